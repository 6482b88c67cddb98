"""What is known beforehand of runs that await those of other programs."""

from __future__ import annotations

from typing import Any

from tests.core.program.tables import COMMANDS, CONDITIONS

from clew.core.planning.awaiting import awaiting_warnings, is_due_at
from clew.core.planning.cycles import Awaits, awaits_of
from clew.core.program.model import Program
from clew.core.program.parse import parse

NOON = 1_767_268_800_000
"""2026-01-01T12:00:00Z."""
HOUR = 3_600_000


def program(name: str, cadence: Any = "@hourly", **awaited: Any) -> Program:
    """It awaits these, each the name of a program, or that and an offset."""
    dependencies = {}
    for key, its in awaited.items():
        other, offset = (its, None) if isinstance(its, str) else its
        dependencies[key] = {"kind": "program", "program": other, **({"offset": offset} if offset else {})}
    stage = {"name": "a", "execute": {"command": "note"}, "rollback": "none", "dependencies": dependencies}
    document = {
        "name": name,
        "stages": [{"name": "first", "execute": {"command": "note"}, "rollback": "none"}, stage],
    }
    return parse({**document, **({"cadence": cadence} if cadence else {})}, COMMANDS, CONDITIONS)


def warned(its: Program, *others: Program) -> list[str]:
    return [str(one) for one in awaiting_warnings(its, {one.name: one for one in others}, NOON)]


def test_what_can_come_is_not_warned_of() -> None:
    """Nor what nobody knows: a program that the store has not, or that is due once it is live."""
    assert warned(program("p", one="loads"), program("loads")) == []
    total = {"kind": "variable", "program": "loads", "output": "sum"}
    stage = {"name": "a", "execute": {"command": "note"}, "dependencies": {"total": total}}
    assert warned(parse({"name": "p", "stages": [stage]}, COMMANDS, CONDITIONS)) == []
    assert warned(program("p", one=("loads", "-1 hour")), program("loads")) == []
    assert warned(program("p", one="loads"), program("loads", None)) == []
    assert warned(program("p", None, one="loads"), program("loads")) == []
    assert warned(program("p", one=("loads", "-1 minute")), program("loads", "once")) == []
    assert warned(program("p", "once", one=("loads", "-1 minute")), program("loads")) == []
    assert warned(program("p", one="loads", two=("others", "-1 minute"))) == []
    assert warned(program("p", one=("{program_name}", "-1 hour"))) == []
    assert warned(program("p", "2020-01-01 12:00", one="loads"), program("loads")) == []


def test_a_time_that_never_is_is_warned_of() -> None:
    """Because a request has no due time, or the other has none, or they are due at other times."""
    (said,) = warned(program("p", None, one=("loads", "-1 hour")), program("loads"))
    assert said == (
        "stages[1].dependencies.one: 'p' has no cadence: the moment of a request, and what is so far from it, is never "
        "due; leave out the offset; then the latest run of 'loads' is awaited"
    )
    (said,) = warned(program("p", one=("loads", "-1 hour")), program("loads", None))
    assert "'loads' has no cadence: no run of it is for a set time" in said
    (said,) = warned(program("p", one="loads"), program("loads", "30 * * * *"))
    assert "'loads' is due at none of the times for which it is awaited by the next 20 of 'p'" in said


def test_a_circle_is_warned_of_in_it_and_behind_it() -> None:
    """By way of others too; one that leads back in time is none; one that it does not lead to is not its business."""
    circle = program("a", one="b"), program("b", one="a")
    said = (
        "stages: 'a' awaits 'b' awaits 'a', for the same time or a later one: none of them can ever go on; "
    )
    for its, *others in ((*circle,), (*circle[::-1],), (program("p", one="a"), *circle)):
        assert [one.startswith(said) for one in warned(its, *others)] == [True]
    assert warned(program("p", one="q"), program("q"), *circle) == []
    assert warned(program("a", one="b"), program("b", one=("a", "-1 hour"))) == []
    (said,) = warned(program("p", one="{program_name}"))
    assert "'p' awaits 'p'" in said


def test_only_those_that_have_times_await_each_other_for_a_time() -> None:
    """A latest run is that of some other time."""
    known = [program("a", one="b"), program("b", None, one="a"), program("c", one="a", two="unknown")]
    assert awaits_of({one.name: one for one in known}) == [Awaits("c", "a")]


def test_whether_a_program_is_due_at_a_moment() -> None:
    """To the millisecond; one that is due once it is live may be at any."""
    hourly = program("p")
    assert is_due_at(hourly, NOON)
    assert not is_due_at(hourly, NOON + 1) and not is_due_at(hourly, NOON + 60_000)
    assert is_due_at(program("p", "once"), NOON) and not is_due_at(program("p", None), NOON)
