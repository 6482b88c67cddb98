"""Runs leave whose time is over, a few at a time, and no run that could not be put where it is to go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pytest
from tests.contracts.conftest import VERSION
from tests.contracts.test_store_removals import settle

from clew.orchestrator import remover as module
from clew.orchestrator.real_world import LoopTasks
from clew.orchestrator.remover import BEHIND_MILLISECONDS, WITHDRAWN, NotArchived, Page, Remover
from clew.ports import ArchiveNamed, BucketError, RemovedRun, StoreBusy, StoreError
from clew.stores.sqlite import SqliteStore

NOW = 10 * BEHIND_MILLISECONDS


class At:
    def now(self) -> int:
        return NOW


class Shelf:
    """Runs whose time was over so long ago, in pages; some can't be archived."""

    def __init__(self, *pages: Sequence[str], ago: int = 5, refused: Sequence[str] = ()) -> None:
        self.pages = pages
        self.ago, self.refused = ago, refused
        self.asked: list[tuple[int, str]] = []
        self.archived: list[str] = []
        self.deleted: list[str] = []
        self.troubles: Sequence[str] = ()
        self.left_behind: Sequence[tuple[str, str]] = ()

    def over(self, after: tuple[int, str], now: int) -> Page:
        assert now == NOW
        self.asked.append(after)
        at = len(self.asked) - 1
        runs = [(RemovedRun(run_id, 3, f"far/{run_id}"), NOW - self.ago) for run_id in self.pages[at]]
        after = (at, "page") if at + 1 < len(self.pages) else None
        return Page(runs, after, self.troubles, self.left_behind)

    def archive(self, run_id: str, archive: str) -> bool:
        assert archive == f"far/{run_id}"
        if run_id in self.refused:
            raise NotArchived(f"{run_id} can't")
        self.archived.append(run_id)
        return True

    def delete(self, archive: str) -> None:
        self.deleted.append(archive)


@pytest.fixture
def store() -> Iterator[SqliteStore]:
    opened = SqliteStore(":memory:")
    opened.register_program(VERSION, "trip", "{}", [], 5)
    for at in range(1, 8):
        settle(opened, f"r{at}", at)
    yield opened
    opened.close()


class Swept:
    """What a remover did and said."""

    def __init__(self, store: SqliteStore, shelf: Shelf, *, sweeps: int = 1) -> None:
        self.removed: list[int] = []
        self.behind: list[str] = []
        self.left = 0

        def note() -> None:
            self.left += 1

        async def sweep() -> None:
            remover = Remover(
                removals=store.removals, tasks=LoopTasks(asyncio.get_running_loop()), clock=At(), shelf=shelf,
                removed=note,
            )  # fmt: skip
            remover.has_removed, remover.is_behind = self.removed.append, self.behind.append
            for _ in range(sweeps):
                await remover.sweep()

        asyncio.run(sweep())


def archives(store: SqliteStore) -> list[str]:
    return [row["archive"] for row in sorted(store.runs(limit=99), key=lambda row: str(row["run_id"]))]


def test_all_pages_are_gone_through_a_few_runs_at_a_time(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RUNS_TOGETHER", 2)
    shelf = Shelf(["r1", "r2", "r3"], [], ["r5"])
    swept = Swept(store, shelf)
    assert shelf.asked == [(-1, ""), (0, "page"), (1, "page")]
    assert archives(store) == ["far/r1", "far/r2", "far/r3", "", "far/r5", "", ""]
    assert (swept.removed, swept.behind, swept.left) == ([4], [], 3)


def test_what_can_not_be_archived_stays_and_is_told_of(store: SqliteStore) -> None:
    """All others leave; who should have left a day ago is late."""
    swept = Swept(store, Shelf(["r1", "r2"], ago=3 * BEHIND_MILLISECONDS + 1, refused=["r1"]))
    assert archives(store)[:2] == ["", "far/r2"] and store.journal("r1")
    assert swept.behind == ["1 run should have left, the first 3 days ago: r1 can't"]
    again = Swept(store, Shelf(["r1"], refused=["r1"]))
    assert (again.removed, again.behind) == ([], ["r1 can't"]), "it is not late, and nobody need wonder"


def test_what_was_told_something_waits_and_may_be_late(store: SqliteStore) -> None:
    store.instruct("i1", "r1", "{}", 5)
    swept = Swept(store, shelf := Shelf(["r1", "r2"], ago=2 * BEHIND_MILLISECONDS))
    assert shelf.deleted == ["far/r1"], "what has left stays in the archive"
    assert archives(store)[:2] == ["", "far/r2"]
    assert swept.behind == ["1 run should have left, the first 2 days ago: they were told something"]
    assert Swept(store, Shelf(["r1"])).behind == []


@pytest.mark.parametrize(
    "error", [BucketError("it is away"), StoreError("not now"), StoreBusy("not now")], ids=repr
)
def test_a_trouble_ends_nothing(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Of the bucket, or of the store when it is asked or told: the next sweep goes on."""

    class Troubled(Shelf):
        def archive(self, run_id: str, archive: str) -> bool:
            raise error

    assert Swept(store, Troubled(["r1"])).behind == [str(error)]
    if not isinstance(error, StoreError):
        return

    class Unread(Shelf):
        def over(self, after: tuple[int, str], now: int) -> Page:
            raise error

    assert Swept(store, Unread(["r1"])).behind == ["not now"]
    if isinstance(error, StoreBusy):

        def refuse(runs: Sequence[RemovedRun], at: int) -> list[str]:
            raise error

        monkeypatch.setattr(store.removals, "remove", refuse)
        shelf = Shelf(["r1"])
        assert Swept(store, shelf).behind == ["not now"]
        assert shelf.deleted == [], "it may have left all the same, and this may be all that there is of it"


def test_what_nobody_can_tell_of_a_program_is_said(store: SqliteStore) -> None:
    shelf = Shelf(["r1"])
    shelf.troubles = ["program other: can't be read"]
    swept = Swept(store, shelf)
    assert (swept.removed, swept.behind) == ([1], ["program other: can't be read"])


def test_it_sweeps_again_and_again_until_it_is_stopped(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is on its way to the archive by then stays in the store."""
    monkeypatch.setattr(module, "SWEEP_MILLISECONDS", 0)

    async def work() -> None:
        remover = Remover(
            removals=store.removals, tasks=LoopTasks(asyncio.get_running_loop()), clock=At(),
            shelf=Shelf(["r1"], ["r2"]), removed=lambda: None,
        )  # fmt: skip
        swept = asyncio.Event()

        class Endless(Shelf):
            def over(self, after: tuple[int, str], now: int) -> Page:
                if len(self.asked) == 3:
                    loop.call_soon_threadsafe(swept.set)
                    return Page([], None)
                return Page([*super().over(after, now).over], None)

            def archive(self, run_id: str, archive: str) -> bool:
                if run_id == "r3":
                    remover.stop()
                return super().archive(run_id, archive)

        loop = asyncio.get_running_loop()
        remover._shelf = endless = Endless(["r1"], ["r2"], ["r3"])
        remover.sweep_regularly()
        async with asyncio.timeout(20):
            while len(endless.archived) < 3:
                await asyncio.to_thread(lambda: None)
        await asyncio.sleep(0)

    asyncio.run(work())
    kept = store.run("r3")
    assert archives(store)[:2] == ["far/r1", "far/r2"] and kept is not None and kept["removed_at"] is None


def test_what_a_killed_process_has_put_there_is_taken_out_again(store: SqliteStore) -> None:
    """Its row says where that is, and until it is deleted that it is to be. Then the run may leave."""
    store.removals.name_archives(
        [ArchiveNamed("r1", "", "old/r1"), ArchiveNamed("r2", "", f"{WITHDRAWN}old/r2")]
    )
    shelf = Shelf(["r1"])
    shelf.left_behind = [("r1", "old/r1"), ("r2", f"{WITHDRAWN}old/r2")]
    Swept(store, shelf)
    assert shelf.deleted == ["old/r1", "old/r2"]
    assert archives(store)[:2] == ["far/r1", ""]

    class Locked(Shelf):
        def delete(self, archive: str) -> None:
            raise BucketError("locked")

    store.removals.name_archives([ArchiveNamed("r3", "", "old/r3")])
    locked = Locked([])
    locked.left_behind = [("r3", "old/r3")]
    Swept(store, locked)
    assert archives(store)[2] == f"{WITHDRAWN}old/r3"
    shelf = Shelf(["r3"])
    shelf.left_behind = [("r3", "old/r3")]
    Swept(store, shelf)
    assert shelf.deleted == [], "somebody else has said so, and sees to it"


def test_what_another_one_puts_there_meanwhile_leaves_by_its_word_alone(store: SqliteStore) -> None:
    class Overtaken(Shelf):
        def archive(self, run_id: str, archive: str) -> bool:
            if run_id == "r1":
                store.removals.name_archives([ArchiveNamed("r1", "far/r1", "other/r1")])
                assert store.removals.remove([RemovedRun("r1", 3, "other/r1")], NOW) == ["r1"]
            return super().archive(run_id, archive)

    shelf = Overtaken(["r1", "r2"], ago=2 * BEHIND_MILLISECONDS)
    swept = Swept(store, shelf)
    assert archives(store)[:2] == ["other/r1", "far/r2"]
    assert swept.removed == [1] and shelf.deleted == []


def test_they_leave_by_short_transactions(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not many entries at a time, but what one run has by itself."""
    monkeypatch.setattr(module, "ENTRIES_TOGETHER", 7)
    counts: list[int] = []
    remove = store.removals.remove

    def counted(runs: Sequence[RemovedRun], at: int) -> list[str]:
        counts.append(len(runs))
        return remove(runs, at)

    monkeypatch.setattr(store.removals, "remove", counted)
    Swept(store, Shelf(["r1", "r2", "r3", "r4", "r5"]))
    assert counts == [2, 2, 1]
    monkeypatch.setattr(module, "ENTRIES_TOGETHER", 1)
    Swept(store, Shelf(["r6"]))
    assert counts == [2, 2, 1, 1]
