"""What every store promises about backfills: kept whole, each time run once, changed only where that can be."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contracts.conftest import VERSION
from tests.contracts.test_store_schedules import due

from clew.ports import Advanced, BackfillRow, BackfillRun, BackfillTime, RunExists, RunRecord, RunRow
from clew.stores.sqlite import SqliteStore
from clew.stores.store import DatabaseStore

TIMES = [(100, ""), (200, "run-before"), (300, "")]


def backfill(backfill_id: str = "b1", made_at: int = 5) -> BackfillRow:
    return BackfillRow(
        backfill_id, "trip", VERSION, 100, 300, "missing", "oldest", 2, 1, "{}", "{}", made_at, "somebody", "why",
        "running", made_at, "somebody", "why",
    )  # fmt: skip


def test_a_backfill_is_kept_with_its_times(store: DatabaseStore) -> None:
    """In the order in which they are to be run, each with the run that it had."""
    store.backfills.make(backfill(), TIMES)
    assert store.backfills.all() == [backfill()] == store.backfills.like("b")
    assert store.backfills.next_times("b1", 2) == [
        BackfillTime(0, 100, ""),
        BackfillTime(1, 200, "run-before"),
    ]
    assert store.backfills.counts("b1") == {"": 3}
    assert store.backfills.like("%") == [] == store.backfills.like("c")


def test_the_newest_are_listed_first_and_those_that_are_over_can_be_left_out(store: DatabaseStore) -> None:
    """What is paused is not over."""
    for number in (1, 2, 3):
        store.backfills.make(backfill(f"b{number}", made_at=number), TIMES)
    store.backfills.change("b2", "cancelled", before=("running",), at=9, by="somebody", why="")
    store.backfills.change("b1", "paused", before=("running",), at=9, by="somebody", why="")
    assert [row.backfill_id for row in store.backfills.all()] == ["b3", "b2", "b1"]
    assert [row.backfill_id for row in store.backfills.all(only_open=True)] == ["b3", "b1"]


def test_a_time_is_given_its_run_once(store: DatabaseStore) -> None:
    """Run and mark are one transaction; a second try does nothing."""
    store.backfills.make(backfill(), TIMES)
    assert store.backfills.begin("b1", 0, due("r1", 100, backfill="b1"))
    assert not store.backfills.begin("b1", 0, due("r2", 100, 2, backfill="b1"))
    assert store.run("r2") is None
    assert store.backfills.counts("b1") == {"": 2, "queued": 1}
    assert [each.run_id for each in store.backfills.runs("b1")] == ["r1", None, None]
    assert store.backfills.runs("b1", 1) == [BackfillRun(100, "r1", "queued", "")]


def test_a_generation_that_somebody_has_made_meanwhile_is_told_and_leaves_the_time_to_do(
    store: DatabaseStore,
) -> None:
    """Nothing of it is recorded."""
    store.backfills.make(backfill(), TIMES)
    store.record([due("other", 100)])
    with pytest.raises(RunExists):
        store.backfills.begin("b1", 0, due("r1", 100, backfill="b1"))
    assert store.backfills.counts("b1") == {"": 3}
    assert store.backfills.begin("b1", 0, due("r1", 100, 2, backfill="b1"))


@pytest.mark.parametrize("status", ["paused", "stopped", "cancelled", "completed"])
def test_one_that_does_not_run_gets_no_runs(store: DatabaseStore, status: str) -> None:
    """Whoever was about to make one is too late."""
    store.backfills.make(backfill(), TIMES)
    assert store.backfills.change("b1", status, before=("running",), at=9, by="clew", why="said so")
    assert not store.backfills.begin("b1", 0, due("r1", 100, backfill="b1"))
    row = store.backfills.all()[0]
    assert (row.status, row.changed_at, row.changed_by, row.changed_why) == (status, 9, "clew", "said so")
    assert not store.backfills.change("b1", "running", before=("running",), at=10, by="clew", why="")


def test_of_past_times_the_last_generation_is_told(store: DatabaseStore) -> None:
    """Of those within the range."""
    store.record([due("a1", 100), due("a2", 100, 2), due("b1", 200), due("c1", 400)])
    found = store.backfills.past_runs("trip", 100, 300)
    assert found == {100: ("a2", "queued"), 200: ("b1", "queued")}
    assert store.backfills.past_runs("another", 0, 1_000) == {}


def settled(store: DatabaseStore, backfill_id: str, position: int, run_id: str, at: int, status: str) -> None:
    """The run of that time is made, and has settled so."""
    record = due(run_id, at, backfill=backfill_id)
    assert store.backfills.begin(backfill_id, position, record)
    head = store.head(run_id)
    assert head is not None
    entry = [(head.entry_count, "{}", "a" * 64)]
    store.record([RunRecord(run_id, 1, head.entry_count, entry, [], Advanced(head.entry_count + 1, "a" * 64),
                            RunRow(status, "", at, "[]"), [])])  # fmt: skip


def test_what_has_not_settled_and_what_has_failed_is_told_of_its_own_runs(store: DatabaseStore) -> None:
    """Those of others are no business of it; and what has failed before it was let go on counts no more."""
    store.backfills.make(backfill(), TIMES)
    store.record([due("other", 100)])
    settled(store, "b1", 0, "r1", 200, "rolled_back")
    assert store.backfills.begin("b1", 1, due("r2", 300, backfill="b1"))
    assert store.backfills.unsettled("b1") == [("r2", "queued")]
    assert store.backfills.failures("b1") == 1
    assert store.backfills.change("b1", "stopped", before=("running",), at=9, by="clew", why="")
    assert store.backfills.failures("b1") == 1
    assert store.backfills.change("b1", "running", before=("stopped",), at=9, by="somebody", why="")
    assert store.backfills.failures("b1") == 0


def test_a_time_is_left_to_a_run_that_somebody_else_has_made(store: DatabaseStore) -> None:
    """It is not to do any more, and is told with that run; once, and only while the backfill runs."""
    store.backfills.make(backfill(), TIMES)
    store.record([due("other", 100)])
    assert store.backfills.leave("b1", 0, "other")
    assert not store.backfills.leave("b1", 0, "another")
    assert store.backfills.runs("b1", 1) == [BackfillRun(100, "other", "queued", "")]
    assert [one.position for one in store.backfills.next_times("b1", 5)] == [1, 2]
    assert store.backfills.unsettled("b1") == []
    store.backfills.change("b1", "paused", before=("running",), at=9, by="somebody", why="")
    assert not store.backfills.leave("b1", 1, "other")


def test_cancelling_and_telling_its_queued_runs_so_are_one(store: DatabaseStore) -> None:
    """Only those that are its own, and queued; where it can't be cancelled nobody is told anything."""
    store.backfills.make(backfill(), TIMES)
    store.record([due("other", 400)])
    settled(store, "b1", 0, "r1", 100, "completed")
    assert store.backfills.begin("b1", 1, due("r2", 200, backfill="b1"))
    assert not store.backfills.change(
        "b1", "cancelled", before=("paused",), at=9, by="me", why="", cancel="{}"
    )
    assert store.instructions() == []
    assert store.backfills.change("b1", "cancelled", before=("running",), at=9, by="me", why="", cancel="{}")
    assert store.instructions() == [("backfill-r2", "r2", "{}")]


def test_what_is_asked_at_each_step_does_not_look_through_all_times(tmp_path: Path) -> None:
    """However long the backfill is: each is found by an index."""
    store = SqliteStore(str(tmp_path / "clew.db"))
    for query in ("select_backfill_unsettled", "count_backfill_failures", "select_backfill_times"):
        text = "EXPLAIN QUERY PLAN " + store._sql[query]
        bound = ("b1",) if text.count("?") == 1 else ("b1", 1)
        plan = " ".join(row[3] for row in store._connection.execute(text, bound))
        assert "SCAN" not in plan, plan
        assert "runs_of_backfills" in plan or "backfill_times_by_run" in plan, plan
    store.close()
