"""`cadence`, `initial`, `final` and `clock_change` of a program: read, kept, and refused with a place."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.program.tables import COMMANDS, CONDITIONS

from clew.core.program.content import content, version
from clew.core.program.model import Program
from clew.core.program.parse import parse
from clew.core.program.problems import ProgramError
from clew.core.program.timing_keys import timing_of
from clew.core.timing.clock_change import ClockChange

HOURLY = "0 * * * *"


def program(**keys: Any) -> Program:
    document = {"name": "p", "stages": [{"name": "a", "execute": {"command": "note"}}], **keys}
    return parse(document, COMMANDS, CONDITIONS)


@pytest.mark.parametrize(
    ("cadence", "kept"),
    [
        (HOURLY, ((HOURLY,),)),
        (["0  9 * * MON", ["* * 1-3 * *", "@Daily"]], (("0 9 * * MON",), ("* * 1-3 * *", "@daily"))),
        ("Once", "once"),
        ("2026-03-01T09:00", "2026-03-01 09:00"),
        ("2026-03-01T09:00+01:00", "2026-03-01T08:00:00Z"),
    ],
)
def test_a_cadence_is_kept_in_one_form(cadence: Any, kept: Any) -> None:
    """However it is written; and what is kept is read as the same program again."""
    found = program(cadence=cadence)
    assert found.cadence == kept
    assert parse(content(found), COMMANDS, CONDITIONS) == found


def test_bounds_and_changes_of_clocks_are_kept() -> None:
    """Bounds in one form; what is said of changes of clocks only where it is not the usual."""
    found = program(
        cadence=HOURLY, initial="monday 21:00:00", final="Tue 5:00", clock_change={"twice": "both"}
    )
    assert (found.initial, found.final) == ("Mon 21:00", "Tue 05:00")
    assert found.clock_change == ClockChange("next", "both")
    assert parse(content(found), COMMANDS, CONDITIONS) == found
    usual = program(cadence=HOURLY, clock_change={"gap": "next"})
    assert version(usual) == version(program(cadence=HOURLY)) != version(found)


def test_a_program_without_them_keeps_its_version() -> None:
    """Its content says nothing of them, so that versions in stores stay what they are."""
    assert not content(program()).keys() & {"cadence", "initial", "final", "clock_change"}
    assert timing_of(program()) is None


def test_due_times_are_those_of_the_program() -> None:
    """On the clocks of its time zone, between its bounds."""
    timing = timing_of(program(cadence="30 9 * * *", timezone="America/New_York", initial="2026-07-01 00:00"))
    assert timing is not None and timing.first is not None
    assert timing.next(0) == timing.first + (9 * 60 + 30) * 60


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"cadence": "0 25 * * *"},
            "cadence: '25' is no hour, at character 3 of '0 25 * * *'; write 0 to 23",
        ),
        (
            {"cadence": [HOURLY, ["@daily", "60 * * * *"]]},
            "cadence[1][1]: '60' is no minute, at character 1 of '60 ",
        ),
        (
            {"cadence": [HOURLY, "0 0 30 2 *"]},
            "cadence[1]: '0 0 30 2 *' is never due: no month that it names",
        ),
        ({"cadence": [["0 9 * * *", "0 10 * * *"]]}, "cadence[0][1]: never due together with '0 9 * * *': "),
        (
            {"cadence": [["0 0 1,2 * *", "0 0 2,3 * *", "0 0 1,3 * *"]]},
            "cadence[0]: never due: they have no day",
        ),
        ({"cadence": ["@daily"] * 101}, "cadence: a cadence of 101 rows; at most 100 are allowed"),
        ({"cadence": ["9" * 501]}, "cadence[0]: an expression of 501 characters; at most 500"),
        ({"cadence": "soon"}, "cadence: 'soon' is no time; write a cron expression such as"),
        ({"cadence": ["once"]}, "cadence[0]: 1 field instead of five, at character 5 of 'once'"),
        ({"cadence": []}, "cadence: this list is empty"),
        ({"cadence": [[]]}, "cadence[0]: this list is empty"),
        ({"cadence": [7, HOURLY]}, "cadence[0]: this is a text, not 7"),
        (
            {"cadence": HOURLY, "initial": "tomorrow"},
            "initial: 'tomorrow' is no time; write a date and a time",
        ),
        ({"cadence": HOURLY, "final": "2026-06-24"}, "final: '2026-06-24' has no time of day"),
        (
            {"cadence": HOURLY, "initial": "Mon 21:00"},
            "initial: a window that repeats opens and closes; write final",
        ),
        (
            {"cadence": HOURLY, "initial": "Mon 21:00", "final": "05:00"},
            "final: one bound is of a week, one of a day",
        ),
        (
            {"cadence": HOURLY, "initial": "2026-01-02 00:00", "final": "2026-01-01 00:00"},
            "final: 2026-01-01 00:00 is b",
        ),
        (
            {"cadence": "0 9 * * 1", "initial": "Tue 08:00", "final": "Tue 10:00"},
            "cadence: no time of it is within the",
        ),
        (
            {"cadence": "0 0 29 2 *", "initial": "2026-01-01 00:00", "final": "2027-01-01 00:00"},
            "cadence: never due betw",
        ),
        (
            {"cadence": "once", "initial": "21:00", "final": "22:00"},
            "initial: a window that repeats, for a single time",
        ),
        (
            {"initial": "2026-01-01 00:00"},
            "initial: 'initial' bounds a cadence, and there is none; give a cadence",
        ),
        ({"final": "2026-01-01 00:00"}, "final: 'final' bounds a cadence"),
        (
            {"clock_change": {"gap": "skip"}},
            "clock_change: 'clock_change' goes with 'cadence', which is not here",
        ),
        (
            {"cadence": HOURLY, "clock_change": {"twice": "never"}},
            "clock_change.twice: this can't be 'never'",
        ),
        (
            {"cadence": "2026-03-29 01:30", "timezone": "Europe/London", "clock_change": {"gap": "skip"}},
            "cadence: never due: clocks skip 2026-03-29 01:30 in Europe/London",
        ),
    ],
)
def test_a_mistake_has_its_place_and_its_remedy(keys: dict[str, Any], said: str) -> None:
    """The key, the row and column as they were written, the character, and what would be right."""
    with pytest.raises(ProgramError) as caught:
        program(**keys)
    told = [str(problem) for problem in caught.value.problems]
    assert len(told) == 1 and told[0].startswith(said), told


def test_every_mistake_at_once() -> None:
    """Those of all columns and bounds are told together."""
    with pytest.raises(ProgramError) as caught:
        program(cadence=["60 * * * *", ["0 24 * * *", "@daly"]], initial="x", final="y")
    assert [problem.path for problem in caught.value.problems] == [
        *(("cadence", 0), ("cadence", 1, 0), ("cadence", 1, 1)),
        *(("initial",), ("final",)),
    ]


def test_a_window_alone() -> None:
    """A program that runs on request may have a window that repeats."""
    assert program(initial="21:00", final="05:00").final == "05:00"


def test_a_zone_that_nobody_knows() -> None:
    """Where names of zones can't be looked up, a cadence is looked at all the same."""
    assert program(cadence=HOURLY, timezone="Mars/Olympus").cadence == ((HOURLY,),)
