"""What other runs have come to, as a stage that depends on them is told it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.running.story import sealed, stage

from clew.operations.records import Records
from clew.operations.results import awaited_time, completed_run, last_output, never_due
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


def test_of_several_runs_for_one_time_the_last_counts(records: Records) -> None:
    """What completed before it was run again is no more awaited than what failed before."""
    version = "v" * 64
    for run_id, status in (("r3", "rolled_back"), ("r4", "completed")):
        new = NewRun(
            "loads", version, f"n-{run_id}", DAY, 3 * DAY + int(run_id[1]), "test", int(run_id[1]), "{}", []
        )
        row = RunRow(status, "", 3 * DAY, "[]")
        records.store.record(  # type: ignore[attr-defined]
            [RunRecord(run_id, 1, 0, [], [], Advanced(1, "h" * 64), row, [], new)]
        )
        reply = completed_run(records, "loads", run_time=DAY)
        assert (reply.is_found, reply.facts["run_id"]) == (status == "completed", run_id)


class Knowing:
    """Records that know of each version which program it is."""

    def __init__(self, store: SqliteStore, programs: dict[str, Any]) -> None:
        self.store = store
        self._programs = programs

    def program_of(self, version: str) -> Any:
        return self._programs[version].program


@pytest.fixture
def knowing(records: Records) -> Any:
    """Of `loads` a version that is due daily at midnight, and one on request only."""
    return lambda **given: Knowing(records.store, {"v" * 64: sealed(stage("a"), **given)})  # type: ignore[arg-type]


DAILY = (("0 0 * * *",),)


def test_the_time_that_is_awaited_is_the_same_where_both_have_times(knowing: Any) -> None:
    """With an offset it is that far away; for a request, and of a program on request, it is the latest run."""
    daily, on_request = knowing(cadence=DAILY), knowing()
    assert awaited_time(daily, "loads", None, run_time=DAY, is_due=True) == DAY
    assert awaited_time(daily, "loads", -DAY, run_time=DAY, is_due=True) == 0
    assert awaited_time(daily, "loads", None, run_time=DAY + 1, is_due=False) is None
    assert awaited_time(on_request, "loads", None, run_time=DAY, is_due=True) is None
    assert awaited_time(daily, "unknown", None, run_time=DAY, is_due=True) is None


def test_a_time_for_which_there_will_be_no_run_is_told_with_a_remedy(knowing: Any) -> None:
    """Of a program that nobody knows yet it may come."""
    daily, on_request = knowing(cadence=DAILY), knowing()
    assert never_due(daily, "loads", 9 * DAY, is_due=True) == ""
    assert never_due(daily, "unknown", 9 * DAY + 1, is_due=True) == ""
    assert "'loads' is not due then" in never_due(daily, "loads", 9 * DAY + 1000, is_due=True)
    assert "this run was asked for" in never_due(daily, "loads", 9 * DAY + 1, is_due=False)
    why = never_due(on_request, "loads", 9 * DAY, is_due=True)
    assert why == "'loads' has no cadence; leave out the offset, and its latest run is awaited"
    reply = completed_run(daily, "loads", run_time=9 * DAY, never=why)
    assert (
        reply.why
        == f"there is no run of 'loads' for 1970-01-10T00:00:00.000+00:00, and there will be none: {why}"
    )
