"""Every store forgets for good what it is told to, by the record that says so, and says whose objects are to go."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contracts.test_store import created, entry, following

from clew.ports import Erased, InstructionRow, ObjectsDue, PayloadRow
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
    (due,) = store.removals.objects_due(9)
    assert due == ObjectsDue(due.position, "r1", 3)
    store.removals.objects_are_gone(due.position)
    assert store.removals.objects_due(9) == []


def test_nothing_of_a_fenced_run_is_erased(store: DatabaseStore) -> None:
    store.record([created("r1", 1), created("r2", 2)])
    late = following("r1", 2, epoch=7, erased=Erased(2, 99))
    assert store.record([late, following("r2", 2)]) == ["r1"]
    assert len(store.payloads("r1")) == 1 and store.removals.objects_due(9) == []


@pytest.mark.parametrize("size", [100, 300_000], ids=["small", "of many pages"])
def test_no_byte_of_it_is_left_in_a_file(tmp_path: Path, size: int) -> None:
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
    store.record([following("r1", 4, erased=Erased(4, 99))])
    assert not found()
    assert entry(4)[1:] in store.journal("r1")
    store.close()
    assert not found()
