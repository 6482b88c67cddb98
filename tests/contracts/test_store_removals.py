"""Every store forgets for good what it is told to, by the record that says so, and says whose objects are to go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.contracts.test_store import created, entry, following

from clew.core.sealing.leaves import CLOSE
from clew.ports import (
    ArchiveNamed,
    Erased,
    InstructionRow,
    ObjectsDue,
    PayloadRow,
    RemovedRun,
    RunExists,
    RunRow,
)
from clew.stores.sqlite import SqliteStore
from clew.stores.store import DatabaseStore

WORD = "a word that nobody is to find"


def test_what_is_erased_is_gone_with_the_record_that_says_so(store: DatabaseStore) -> None:
    """Payloads of the entries before, and what people told the run until then; of that run, and of no other."""
    store.record([created("r1", 1), created("r2", 2)])
    store.instruct("i1", "r1", WORD, 5)
    store.instruct("i2", "r1", "to erase", 6)
    store.record([following("r1", 2, obeyed=[(2, "i1")], payloads=[PayloadRow(2, b"s", None, "far/away")])])
    reason = PayloadRow(3, b"s", "{}", None)
    erasing = following("r1", 3, payloads=[reason], obeyed=[(3, "i2")], erased=Erased(3, 99))
    assert store.record([erasing, following("r2", 2)]) == []
    assert (store.payloads("r1"), len(store.payloads("r2"))) == ([reason], 1)
    assert store.instruction("i1") == InstructionRow("obeyed", "", 2)
    assert store.instruction("i2") == InstructionRow("obeyed", "", 3)
    assert [row["erased_at"] for row in map(store.run, ("r1", "r2")) if row] == [99, None]
    assert store.removals.gone(["r1", "r2", "r3"]) == {"r1": 99}
    (due,) = store.removals.objects_due(0, 9)
    assert due == ObjectsDue(due.position, "r1", 3)
    store.removals.objects_are_gone(due.position)
    assert store.removals.objects_due(0, 9) == []


def test_nothing_of_a_fenced_run_is_erased(store: DatabaseStore) -> None:
    store.record([created("r1", 1), created("r2", 2)])
    late = following("r1", 2, epoch=7, erased=Erased(2, 99))
    assert store.record([late, following("r2", 2)]) == ["r1"]
    assert len(store.payloads("r1")) == 1 and store.removals.objects_due(0, 9) == []


@pytest.mark.parametrize("removes", [False, True], ids=["erased", "removed"])
@pytest.mark.parametrize("size", [100, 300_000], ids=["small", "of many pages"])
def test_no_byte_of_it_is_left_in_a_file(tmp_path: Path, size: int, removes: bool) -> None:
    """Neither in a page that is free now, nor in the log."""
    path = tmp_path / "store.db"
    store = SqliteStore(str(path))
    said = PayloadRow(2, b"salt", f'"{WORD * (size // len(WORD) + 1)}"', None)
    store.record([created("r1", 1)])
    store.record([following("r1", 2, payloads=[said])])
    store.instruct("i1", "r1", WORD, 5)
    store.record([following("r1", 3, obeyed=[(3, "i1")])])

    def found() -> bool:
        return any(WORD.encode() in each.read_bytes() for each in tmp_path.iterdir())

    assert found()
    if removes:
        store.record([following("r1", 4, run=RunRow("failed", "", 30, "[]"), leaves=(CLOSE,))])
        assert store.removals.remove([RemovedRun("r1", 5, "")], 99) == ["r1"]
    else:
        store.record([following("r1", 4, erased=Erased(4, 99))])
        assert entry(4)[1:] in store.journal("r1")
    assert not found()
    store.close()
    assert not found()


# ---- runs whose time is over ------------------------------------------------------------------------------


def settle(store: DatabaseStore, run_id: str, number: int, *, ended_at: int = 30) -> None:
    store.record([created(run_id, number, launched_at=10 + number)])
    store.record([following(run_id, 2, run=RunRow("completed", "", ended_at, "[]"), leaves=(CLOSE,))])


def test_all_of_a_run_leaves_but_its_row(store: DatabaseStore) -> None:
    """By which nothing else takes its place: no other run of its name, or of its time; nor is it driven again."""
    settle(store, "r1", 1)
    settle(store, "r2", 2)
    store.instruct("i1", "r1", WORD, 5)
    store.refuse("i1", "no", epoch=1)
    assert store.removals.name_archives([ArchiveNamed("r1", "", "far/r1")]) == ["r1"]
    assert store.removals.remove([RemovedRun("r1", 3, "far/r1"), RemovedRun("none", 3, "")], 99) == ["r1"]
    row = store.run("r1")
    assert row is not None
    kept = ("program", "run_time", "generation", "status", "entry_count", "head", "removed_at", "archive")
    assert [row[name] for name in kept] == ["trip", 7, 1, "completed", 3, entry(2)[2], 99, "far/r1"]
    assert (store.journal("r1"), store.payloads("r1"), store.stages("r1")) == ([], [], [])
    assert store.instruction("i1") is None
    assert (len(store.journal("r2")), len(store.payloads("r2")), len(store.stages("r2"))) == (3, 1, 2)
    assert [due[1:] for due in store.removals.objects_due(0, 9)] == [("r1", 0)]
    assert store.removals.gone(["r1", "r2"]) == {"r1": 2**63 - 1}
    assert store.last_generation("trip", 7) == 2
    with pytest.raises(RunExists):
        store.record([created("r3", 1)])
    assert store.leases.claim_run("r1") is None
    assert store.removals.name_archives([ArchiveNamed("r1", "far/r1", "again")]) == []
    assert store.removals.remove([RemovedRun("r1", 3, "far/r1")], 100) == []


def test_a_run_that_moves_on_does_not_leave(store: DatabaseStore) -> None:
    """It has another length by now, or has not settled, or was told something that nobody has taken up."""
    settle(store, "r1", 1)
    store.record([created("r2", 2)])
    settle(store, "r3", 3)
    store.instruct("i1", "r3", "{}", 5)
    runs = [RemovedRun("r1", 2, ""), RemovedRun("r2", 2, ""), RemovedRun("r3", 3, "")]
    assert store.removals.remove(runs, 99) == []
    assert all(store.journal(run_id) for run_id in ("r1", "r2", "r3"))


def test_of_a_program_the_last_completed_run_stays(store: DatabaseStore) -> None:
    """By its scheduled time, then its launch, then its generation; whichever that is when the others leave. Of another
    status all may leave."""
    for at in range(1, 4):
        settle(store, f"r{at}", at)
    runs = [RemovedRun(f"r{at}", 3, "") for at in (3, 1)]
    assert store.removals.remove(runs, 99) == ["r1"]
    rolled_back = RunRow("rolled_back", "", 31, "[]")
    store.record([following("r3", 3, run=rolled_back, leaves=(CLOSE,))])
    assert store.removals.remove([RemovedRun("r2", 3, ""), RemovedRun("r3", 4, "")], 99) == ["r3"]


def test_only_one_says_where_an_export_is_about_to_be_put(store: DatabaseStore) -> None:
    """And nobody has a run leave with another's word for it."""
    settle(store, "r1", 1)
    settle(store, "r2", 2)
    name = store.removals.name_archives
    assert sorted(name([ArchiveNamed("r1", "", "far/a"), ArchiveNamed("r2", "", "far/b")])) == ["r1", "r2"]
    assert name([ArchiveNamed("r1", "", "far/c"), ArchiveNamed("r2", "far/b", "")]) == ["r2"]
    assert [run.archive for run in store.removals.runs_after(-1, "", 9)] == ["far/a", ""]
    assert store.removals.remove([RemovedRun("r1", 3, ""), RemovedRun("r1", 3, "far/c")], 99) == []
    assert store.removals.remove([RemovedRun("r1", 3, "far/a")], 99) == ["r1"]


def test_whoever_drives_a_run_that_has_left_is_fenced(store: DatabaseStore) -> None:
    settle(store, "r1", 1)
    settle(store, "r2", 2)
    assert store.removals.remove([RemovedRun("r1", 3, "")], 99) == ["r1"]
    assert store.record([following("r1", 3), following("r2", 3)]) == ["r1"]
    assert store.journal("r1") == []


def test_runs_are_looked_at_page_by_page(store: DatabaseStore) -> None:
    """In the order of their launch, several of one moment too; each once."""
    for at in range(1, 6):
        store.record([created(f"r{at}", at, launched_at=10 + at // 3)])
    seen, after = [], (-1, "")
    while page := store.removals.runs_after(*after, 2):
        seen += [(run.run_id, run.launched_at, run.ended_at, run.removed_at) for run in page]
        after = (page[-1].launched_at, page[-1].run_id)
    assert seen == [(f"r{at}", 10 + at // 3, None, None) for at in range(1, 6)]


def test_what_nobody_has_taken_up_is_not_deleted_with_a_run(
    store: DatabaseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was said between two statements, and is to be refused; then nothing is left of it."""
    settle(store, "r1", 1)
    settle(store, "r2", 2)
    rows = store.removals._rows

    def between(name: str, bound: Any) -> list[Any]:
        if name == "remove_instructions":
            rows("insert_instruction", ("i1", "r1", WORD, 5))
        return rows(name, bound)

    monkeypatch.setattr(store.removals, "_rows", between)
    assert store.removals.remove([RemovedRun("r1", 3, "")], 99) == ["r1"]
    assert store.instruction("i1") == InstructionRow(None, "", None)
    row = store.run("r1")
    assert row is not None
    store.refuse("i1", "it was removed", epoch=row["epoch"])
    assert store.instruction("i1") == InstructionRow("refused", "it was removed", None)
    assert list(store._connection.execute("SELECT content FROM instructions")) == [("",)]  # type: ignore[attr-defined]
