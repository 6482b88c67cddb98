"""What every store promises about backfills: kept whole, each time run once, changed only where that can be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contracts.test_store import VERSION
from tests.contracts.test_store_schedules import due

from clew.ports import BackfillRow, BackfillRun, BackfillTime, RunExists
from clew.stores.sqlite import SqliteStore

TIMES = [(100, ""), (200, "run-before"), (300, "")]


@pytest.fixture(params=["file", "memory"])
def store(request: Any, tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(":memory:" if request.param == "memory" else str(tmp_path / "clew.db"))
    opened.register_program(VERSION, "trip", '{"name":"trip"}', [(1, "{}", "1" * 64)], 5)
    yield opened
    opened.close()


def backfill(backfill_id: str = "b1", made_at: int = 5) -> BackfillRow:
    return BackfillRow(
        backfill_id, "trip", VERSION, 100, 300, "missing", "oldest", 2, 1, "{}", "{}", made_at, "somebody", "why",
        "running", made_at, "somebody", "why",
    )  # fmt: skip


def test_a_backfill_is_kept_with_its_times(store: SqliteStore) -> None:
    """In the order in which they are to be run, each with the run that it had."""
    store.backfills.make(backfill(), TIMES)
    assert store.backfills.all() == [backfill()] == store.backfills.like("b")
    assert store.backfills.next_times("b1", 2) == [
        BackfillTime(0, 100, ""),
        BackfillTime(1, 200, "run-before"),
    ]
    assert store.backfills.counts("b1") == {"": 3}
    assert store.backfills.like("%") == [] == store.backfills.like("c")


def test_the_newest_are_listed_first_and_those_that_are_over_can_be_left_out(store: SqliteStore) -> None:
    """What is paused is not over."""
    for number in (1, 2, 3):
        store.backfills.make(backfill(f"b{number}", made_at=number), TIMES)
    store.backfills.change("b2", "cancelled", before=("running",), at=9, by="somebody", why="")
    store.backfills.change("b1", "paused", before=("running",), at=9, by="somebody", why="")
    assert [row.backfill_id for row in store.backfills.all()] == ["b3", "b2", "b1"]
    assert [row.backfill_id for row in store.backfills.all(only_open=True)] == ["b3", "b1"]


def test_a_time_is_given_its_run_once(store: SqliteStore) -> None:
    """Run and mark are one transaction; a second try does nothing."""
    store.backfills.make(backfill(), TIMES)
    assert store.backfills.begin("b1", 0, due("r1", 100, backfill="b1"))
    assert not store.backfills.begin("b1", 0, due("r2", 100, 2, backfill="b1"))
    assert store.run("r2") is None
    assert store.backfills.counts("b1") == {"": 2, "queued": 1}
    assert [each.run_id for each in store.backfills.runs("b1")] == ["r1", None, None]
    assert store.backfills.runs("b1", 1) == [BackfillRun(100, "r1", "queued", "")]


def test_a_generation_that_somebody_has_made_meanwhile_is_told_and_leaves_the_time_to_do(
    store: SqliteStore,
) -> None:
    """Nothing of it is recorded."""
    store.backfills.make(backfill(), TIMES)
    store.record([due("other", 100)])
    with pytest.raises(RunExists):
        store.backfills.begin("b1", 0, due("r1", 100, backfill="b1"))
    assert store.backfills.counts("b1") == {"": 3}
    assert store.backfills.begin("b1", 0, due("r1", 100, 2, backfill="b1"))


@pytest.mark.parametrize("status", ["paused", "stopped", "cancelled", "completed"])
def test_one_that_does_not_run_gets_no_runs(store: SqliteStore, status: str) -> None:
    """Whoever was about to make one is too late."""
    store.backfills.make(backfill(), TIMES)
    assert store.backfills.change("b1", status, before=("running",), at=9, by="clew", why="said so")
    assert not store.backfills.begin("b1", 0, due("r1", 100, backfill="b1"))
    row = store.backfills.all()[0]
    assert (row.status, row.changed_at, row.changed_by, row.changed_why) == (status, 9, "clew", "said so")
    assert not store.backfills.change("b1", "running", before=("running",), at=10, by="clew", why="")


def test_of_past_times_the_last_generation_is_told(store: SqliteStore) -> None:
    """Of those within the range."""
    store.record([due("a1", 100), due("a2", 100, 2), due("b1", 200), due("c1", 400)])
    found = store.backfills.past_runs("trip", 100, 300)
    assert found == {100: ("a2", "queued"), 200: ("b1", "queued")}
    assert store.backfills.past_runs("another", 0, 1_000) == {}
