"""What was erased is deleted wherever it stood, later if not at once, by whoever drives the store's runs."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.contracts.conftest import VERSION
from tests.contracts.test_store import created, following

from clew.buckets.erasing import erase_objects
from clew.buckets.memory import MemoryBucket
from clew.orchestrator import eraser as module
from clew.orchestrator.eraser import Eraser
from clew.orchestrator.real_world import LoopTasks
from clew.ports import BucketError, Erased
from clew.settings import Settings, read_settings
from clew.stores.sqlite import SqliteStore
from clew.wiring.removing import FilesBeside


@pytest.fixture
def store() -> Iterator[SqliteStore]:
    opened = SqliteStore(":memory:")
    opened.register_program(VERSION, "trip", "{}", [], 5)
    yield opened
    opened.close()


def erase(store: SqliteStore, run_id: str, number: int, *, at: int = 99) -> None:
    store.record([created(run_id, number)])
    store.record([following(run_id, 2, erased=Erased(2, at))])


EVERY = frozenset(f"r{at}" for at in range(30))


class Files:
    """A bucket that answers after so many times that it does not."""

    def __init__(self, troubles: int = 0) -> None:
        self.troubles = troubles
        self.erased: list[tuple[str, int]] = []
        self.moved = threading.Event()

    def erase_objects(self, run_id: str, before_seq: int) -> None:
        if self.troubles:
            self.troubles -= 1
            raise BucketError("it is away")
        self._note(run_id, before_seq)

    def erase_files(self, run_id: str, until: int) -> None:
        self._note(run_id, until)

    def _note(self, run_id: str, what: int) -> None:
        self.erased.append((run_id, what))
        self.moved.set()

    def runs_with_files(self) -> Iterator[Sequence[str]]:
        yield ["r1", "other"]
        yield ["r2"]


async def until_erased(files: Files, count: int) -> None:
    async with asyncio.timeout(20):
        while len(files.erased) < count:
            await asyncio.to_thread(files.moved.wait, 20)
            files.moved.clear()


def test_what_is_due_is_deleted_and_not_due_any_more(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also more than is done together; and what came to be due meanwhile."""
    monkeypatch.setattr(module, "DUE_TOGETHER", 2)
    files = Files()

    async def work() -> None:
        eraser = Eraser(removals=store.removals, tasks=LoopTasks(asyncio.get_running_loop()), files=files)
        for at in range(1, 6):
            erase(store, f"r{at}", at)
        eraser.look()
        eraser.look()
        await until_erased(files, 10)
        await eraser.finish(EVERY)
        await eraser.finish(EVERY)

    asyncio.run(work())
    erased = list(dict.fromkeys(files.erased))  # the last may be, once more, by `finish`
    assert erased == [each for at in range(1, 6) for each in ((f"r{at}", 99), (f"r{at}", 2))]
    assert store.removals.objects_due(0, 9) == []


def test_a_bucket_that_does_not_answer_is_told_of_once_and_asked_again(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN_MILLISECONDS", 1)
    files, told = Files(troubles=3), list[str]()

    async def work() -> None:
        eraser = Eraser(removals=store.removals, tasks=LoopTasks(asyncio.get_running_loop()), files=files)
        eraser.is_troubled = told.append
        erase(store, "r1", 1)
        eraser.look()
        await until_erased(files, 5)

    asyncio.run(work())
    assert told == ["r1: what was erased can't be deleted yet: it is away"]
    assert files.erased == [*[("r1", 99)] * 4, ("r1", 2)], "its files need not wait for a bucket"


def test_what_can_not_be_deleted_keeps_nothing_else(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some troubles all wait for a while; then those behind have their turn."""
    monkeypatch.setattr(module, "AGAIN_MILLISECONDS", 1)
    monkeypatch.setattr(module, "TROUBLES_TOGETHER", 2)

    class Locked(Files):
        def erase_objects(self, run_id: str, before_seq: int) -> None:
            if run_id in ("r1", "r2", "r3"):
                raise BucketError(f"{run_id} is locked")
            super().erase_objects(run_id, before_seq)

    files, told = Locked(), list[str]()

    async def work() -> None:
        eraser = Eraser(removals=store.removals, tasks=LoopTasks(asyncio.get_running_loop()), files=files)
        eraser.is_troubled = told.append
        for at in range(1, 6):
            erase(store, f"r{at}", at)
        eraser.look()
        await until_erased(files, 10)
        eraser.stop()

    asyncio.run(work())
    assert [due.run_id for due in store.removals.objects_due(0, 9)] == ["r1", "r2", "r3"]
    assert {("r4", 2), ("r5", 2)} <= set(files.erased)
    assert len(told) == 3


def test_only_what_was_asked_for_here_is_waited_for_in_the_end(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For what others have had erased, a moment."""
    monkeypatch.setattr(module, "CLOSING_SECONDS", 0)
    files = Files()

    async def work() -> None:
        for at in (1, 2):
            erase(store, f"r{at}", at)
        eraser = Eraser(removals=store.removals, tasks=LoopTasks(asyncio.get_running_loop()), files=files)
        await eraser.finish({"r2"})

    asyncio.run(work())
    assert [due.run_id for due in store.removals.objects_due(0, 9)] == ["r1"]
    assert files.erased[:2] == [("r2", 99), ("r2", 2)]


def test_what_can_not_be_deleted_in_the_end_is_left_to_the_next(store: SqliteStore) -> None:
    files = Files(troubles=1)

    async def work() -> None:
        erase(store, "r1", 1)
        eraser = Eraser(removals=store.removals, tasks=LoopTasks(asyncio.get_running_loop()), files=files)
        await eraser.finish(EVERY)
        assert [due.run_id for due in store.removals.objects_due(0, 9)] == ["r1"]
        eraser.look()
        assert files.erased == [("r1", 99)], "it is over"
        eraser.stop()

    asyncio.run(work())


def test_what_is_under_way_when_it_is_stopped_asks_the_store_nothing_more(store: SqliteStore) -> None:
    """Which may be closed by then."""
    begun, goes_on = threading.Event(), threading.Event()

    class Slow(Files):
        def erase_objects(self, run_id: str, before_seq: int) -> None:
            begun.set()
            goes_on.wait(20)

    async def work() -> None:
        tasks = LoopTasks(asyncio.get_running_loop())
        eraser = Eraser(removals=store.removals, tasks=tasks, files=(files := Slow()))
        erase(store, "r1", 1)
        eraser.look()
        await asyncio.to_thread(begun.wait, 20)
        eraser.stop()
        store.close()
        goes_on.set()
        await until_erased(files, 1)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not tasks.failed.done()

    asyncio.run(work())


def test_logs_are_gone_through_for_what_others_have_erased(store: SqliteStore) -> None:
    files = Files()

    async def work() -> None:
        eraser = Eraser(removals=store.removals, tasks=LoopTasks(asyncio.get_running_loop()), files=files)
        for at, run_id in enumerate(("r1", "r2"), start=1):
            erase(store, run_id, at, at=at)
        eraser.sweep_regularly()
        await until_erased(files, 2)
        eraser.stop()

    asyncio.run(work())
    assert files.erased == [("r1", 1), ("r2", 2)]


def test_a_file_that_can_not_be_deleted_keeps_no_other(store: SqliteStore) -> None:
    files, told = Files(), list[str]()

    class Held(Files):
        def erase_files(self, run_id: str, until: int) -> None:
            if run_id == "r1":
                raise PermissionError("not yours")
            files.erase_files(run_id, until)

    async def work() -> None:
        eraser = Eraser(removals=store.removals, tasks=LoopTasks(asyncio.get_running_loop()), files=Held())
        eraser.is_troubled = told.append
        for at, run_id in enumerate(("r1", "r2"), start=1):
            erase(store, run_id, at, at=at)
        eraser.sweep_regularly()
        await until_erased(files, 1)
        eraser.stop()

    asyncio.run(work())
    assert (files.erased, told) == ([("r2", 2)], ["r1: what was erased can't be deleted yet: not yours"])


def test_only_what_entries_before_have_put_there_is_deleted() -> None:
    """And all that was kept; of that run alone."""
    bucket = MemoryBucket()
    for key in (
        "r1/2-aa.json",
        "r1/10-bb.json",
        "r1/kept/stage.1/0",
        "r1/kept/other[3].2/7",
        "r10/2-aa.json",
    ):
        bucket.write(key, b"said")
    assert erase_objects(bucket, "r1", 10) == 3
    assert [bucket.facts(key) is not None for key in ("r1/10-bb.json", "r10/2-aa.json")] == [True, True]
    assert [erase_objects(bucket, "r1", before_seq) for before_seq in (10, 0, 0)] == [0, 1, 0]


def test_only_logs_that_were_written_until_then_are_deleted(tmp_path: Path) -> None:
    """Others stand there still, and the folder with them."""
    files = FilesBeside(read_settings(folder=str(tmp_path), environment={}))
    assert list(files.runs_with_files()) == []
    folder = tmp_path / ".clew" / "logs" / "r1"
    folder.mkdir(parents=True)
    for name, at in (("a.1.log", 5), ("a.1.rollback.1.log", 7)):
        (folder / name).write_text("said")
        os.utime(folder / name, (at, at))
    assert list(files.runs_with_files()) == [["r1"]]
    files.erase_files("r1", 5_000)
    assert [path.name for path in folder.iterdir()] == ["a.1.rollback.1.log"]
    files.erase_files("r1", 7_000)
    files.erase_files("r1", 7_000)
    assert not folder.exists()


def test_a_folder_of_payloads_is_gone_through_too(tmp_path: Path) -> None:
    """It may be of this machine alone, and another one was told to delete what stands there."""
    files = FilesBeside(read_settings(folder=str(tmp_path), environment={}))
    kept = tmp_path / ".clew" / "payloads" / "r1" / "kept" / "a.1"
    kept.mkdir(parents=True)
    for path, at in ((kept / "0", 5), (kept.parent.parent / "9-ab.json", 7)):
        path.write_text("said")
        os.utime(path, (at, at))
    assert list(files.runs_with_files()) == [["r1"]]
    files.erase_files("r1", 5_000)
    assert [path.name for path in kept.parent.parent.iterdir()] == ["9-ab.json"]
    there = FilesBeside(Settings("", str(tmp_path / "logs"), "s3://far/away"))
    assert list(there.runs_with_files()) == []
