"""What other runs have come to, as a stage that depends on them is told it."""

from __future__ import annotations

from typing import Any

import pytest

from clew.operations.records import Records
from clew.operations.results import completed_run, last_output
from clew.ports import Advanced, NewRun, RunRecord, RunRow
from clew.stores.sqlite import SqliteStore

DAY = 86_400_000


@pytest.fixture
def records() -> Any:
    """Of the program `loads` the runs of two days; the second is still going."""
    store = SqliteStore(":memory:")
    store.register_program("v" * 64, "loads", "{}", [], 1)
    for run_id, run_time, row in (
        ("r1", DAY, RunRow("completed", "", DAY + 5, "[]")),
        ("r2", 2 * DAY, RunRow("running", "", None, "[]")),
    ):
        new = NewRun("loads", "v" * 64, f"n-{run_id}", run_time, run_time + 1, "test", 1, "{}", [])
        store.record([RunRecord(run_id, 1, 0, [], [], Advanced(1, "h" * 64), row, [], new)])
    yield Records(store, None, None, None)  # type: ignore[arg-type]
    store.close()


def test_the_latest_run_must_have_completed(records: Records) -> None:
    """An earlier one that has does not count; but for the run that asks, which is never waited for."""
    reply = completed_run(records, "loads")
    assert (reply.is_found, reply.why) == (False, "run n-r2 of 'loads', the latest run, is running")
    assert (reply.facts["run_id"], reply.facts["status"]) == ("r2", "running")
    assert completed_run(records, "loads", besides="r2").value == {
        "program": "loads",
        "run_id": "r1",
        "run_name": "n-r1",
        "generation": 1,
        "status": "completed",
        "version": "v" * 64,
        "run_time": "1970-01-02T00:00:00.000+00:00",
        "launch_time": "1970-01-02T00:00:00.001+00:00",
        "ended_at": "1970-01-02T00:00:00.005+00:00",
    }


def test_the_run_for_a_scheduled_time_must_have_completed(records: Records) -> None:
    """Whatever there is for later times; and where there is none, it is said for which time."""
    assert completed_run(records, "loads", run_time=DAY).is_found
    reply = completed_run(records, "loads", run_time=2 * DAY)
    assert reply.why == "run n-r2 of 'loads', the run for that time, is running"
    reply = completed_run(records, "loads", run_time=3 * DAY)
    assert reply.why == "there is no run of 'loads' for 1970-01-04T00:00:00.000+00:00 yet"
    assert completed_run(records, "other").why == "there is no run of 'other' yet"


def test_a_program_that_never_completed_has_left_nothing(records: Records) -> None:
    """Which is said, for `clew why`."""
    assert last_output(records, "other", "sum").why == "no run of 'other' has completed yet"
