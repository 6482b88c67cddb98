"""What a program says of how its runs follow each other, and how long they go on."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.program.tables import COMMANDS, CONDITIONS

from clew.core.program.content import content, version
from clew.core.program.model import FOREVER, NO_LIMITS, SETTLED_STATUSES, Limits, Program
from clew.core.program.parse import parse
from clew.core.program.problems import ProgramError
from clew.core.program.timing_keys import window_of

STAGE: dict[str, Any] = {"name": "a", "execute": {"command": "note"}}
MINUTE, HOUR = 60_000, 3_600_000


def read(*, stage: dict[str, Any] | None = None, **keys: Any) -> Program:
    return parse({"name": "p", "stages": [{**STAGE, **(stage or {})}], **keys}, COMMANDS, CONDITIONS)


def problems(**keys: Any) -> list[str]:
    with pytest.raises(ProgramError) as caught:
        read(**keys)
    return [f"{'.'.join(map(str, one.path))}: {one.what}" for one in caught.value.problems]


def test_a_program_that_says_nothing_has_no_limits_and_all_its_runs_go_at_once() -> None:
    """With a cadence they go one at a time; and so they do in the order of their times."""
    program = read()
    assert (program.max_active_runs, program.run_order, program.overlap, program.on_missed) == (
        None, "any", "queue", "record",
    )  # fmt: skip
    assert (program.backfill_milliseconds, program.limits) == (None, NO_LIMITS)
    assert read(cadence="@daily").max_active_runs == 1 == read(run_order="scheduled").max_active_runs
    assert read(cadence="@daily", max_active_runs=4).max_active_runs == 4


@pytest.mark.parametrize("text", ["120 minutes", "-120 minutes", "PT2H", "+2 hours"])
def test_the_sign_of_a_backfill_window_is_optional(text: str) -> None:
    """It looks back either way."""
    program = read(backfill=text, stage={"backfill": "-5 minutes"})
    assert (program.backfill_milliseconds, program.stages[0].backfill_milliseconds) == (2 * HOUR, 5 * MINUTE)


def test_a_monitor_is_one_time_or_several() -> None:
    """Of the run, of a stage's attempts, and of its validation."""
    assert read(monitor="6 hours").limits == Limits(6 * HOUR)
    several = read(
        monitor={"run": "6 hours", "validation": "1 minute"}, stage={"monitor": {"execution": "PT1H"}}
    )
    assert several.limits == Limits(6 * HOUR, None, MINUTE)
    assert several.stages[0].limits == Limits(None, HOUR, None)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"backfill": "0 seconds"}, "backfill: '0 seconds' is too short"),
        ({"monitor": "-1 hour"}, "monitor: '-1 hour' is too short"),
        ({"monitor": {}}, "monitor: the key 'run' is missing"),
        ({"monitor": {"runs": "1 hour"}}, "monitor: the key 'run' is missing"),
        ({"max_active_runs": 0}, "max_active_runs: "),
        ({"run_order": "sorted"}, "run_order: "),
        ({"on_missed": "backfill"}, "on_missed: 'on_missed' goes with 'cadence', which is not here"),
        ({"overlap": "skip"}, "overlap: 'overlap' goes with 'cadence', which is not here"),
        ({"run_order": "scheduled", "max_active_runs": 2},
         "max_active_runs: runs in the order of their times go one at a time"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_told(keys: dict[str, Any], problem: str) -> None:
    """With its place."""
    assert any(one.startswith(problem) for one in problems(**keys)), problems(**keys)


def test_what_is_usual_changes_no_version_and_the_rest_reads_the_same_again() -> None:
    """Versions that stores hold stay what they are."""
    assert version(read()) == version(read(run_order="any")) and "max_active_runs" not in content(read())
    assert version(read(cadence="@daily")) == version(
        read(cadence="@daily", max_active_runs=1, overlap="queue", on_missed="record")
    )
    program = read(
        cadence="@daily", backfill="2 hours", monitor={"run": "6 hours", "execution": "1 hour"}, max_active_runs=3,
        overlap="cancel", on_missed="backfill", stage={"backfill": "1 hour", "monitor": "2 hours"},
    )  # fmt: skip
    assert parse(content(program), COMMANDS, CONDITIONS) == program
    ordered = read(run_order="scheduled")
    assert parse(content(ordered), COMMANDS, CONDITIONS) == ordered


def test_a_window_may_stand_without_a_cadence() -> None:
    """Dates are none, and neither is nothing."""
    assert window_of(read()) is None
    assert window_of(read(cadence="@daily", initial="2026-01-01 00:00")) is None
    window = window_of(read(initial="21:00", final="05:00"))
    assert window is not None and window.is_open(0) and not window.is_open(12 * HOUR)


def test_retention_is_one_time_for_all_or_one_for_each_status() -> None:
    """What is not said is for the settings to say; the version is another one by it."""
    day = 24 * HOUR
    assert read().retention == {}
    assert read(retention="90 days").retention == dict.fromkeys(SETTLED_STATUSES, 90 * day)
    some = read(retention={"failed": "forever", "completed": "30 days"})
    assert dict(some.retention) == {"completed": 30 * day, "failed": FOREVER}
    assert content(some)["retention"] == {"completed": "P30D", "failed": "forever"}
    assert parse(content(some), COMMANDS, CONDITIONS) == some
    assert version(some) != version(read()) and "retention" not in content(read())


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"done": "1 day"}, "retention.done: there is no key 'done'"),
        ({}, "retention: the key 'completed' is missing"),
        ("0 days", "retention: '0 days' is too short"),
        ({"completed": "always"}, "retention.completed: 'always' is no duration"),
    ],
)
def test_a_retention_that_can_not_be_read_is_told_with_its_place(said: Any, problem: str) -> None:
    assert problem in "\n".join(problems(retention=said))
