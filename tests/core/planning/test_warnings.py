from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.core.program.tables import COMMANDS, CONDITIONS

from clew.core.planning.plan import make_plan
from clew.core.planning.warnings import plan_warnings
from clew.core.program.model import Command, Output, Program, Rollback, Stage


def warned(*stages: Stage) -> list[str]:
    program = Program("p", stages)
    planned = make_plan(program, COMMANDS, CONDITIONS)
    return [str(warning) for warning in plan_warnings(program, planned, COMMANDS)]


def undo(text: str) -> Rollback:
    return Rollback("commands", (Command("note", {"text": text}),))


def test_a_stage_that_nobody_undoes_is_warned_of() -> None:
    """A stage that declares no rollback is warned of, with a later one that is undone."""
    said = warned(
        Stage("a", (Command("note"),), outputs=(Output("x"),)),
        Stage("b", (Command("note", {"text": "{x}"}),), rollback=undo("b")),
        Stage("c", (Command("note"),), rollback=Rollback("none")),
        Stage("d", (Command("note", {"text": "{x}"}),)),
    )
    assert said == [
        "stages[0]: the stage 'a' declares no rollback: what it does stays when the run goes wrong, "
        "though 'b' after it is undone; declare a rollback, or rollback: none if it leaves nothing",
        "stages[3]: the stage 'd' declares no rollback: what it does stays when the run goes wrong; "
        "declare a rollback, or rollback: none if it leaves nothing",
    ]


def test_a_rollback_that_needs_what_a_crashed_stage_can_t_have_written_is_warned_of() -> None:
    """A rollback by a stage's own outputs alone is warned of; one that can find out otherwise is not."""
    outputs = (Output("x"),)
    said = warned(
        Stage("a", (Command("note"),), outputs=outputs, rollback=undo("{x}")),
    )
    assert said == [
        "stages[0].rollback: the rollback of 'a' needs 'x', which is null where an attempt was cut off; "
        "let it find out by {idempotency_key} what there is to undo"
    ]
    assert not warned(Stage("a", (Command("note"),), outputs=outputs, rollback=undo("{x}{idempotency_key}")))
    assert not warned(Stage("a", (Command("note"),), outputs=outputs, rollback=undo("gone")))


IMPOSSIBLE = Rollback("impossible")


def test_a_cadence_that_leaves_out_no_minute_is_warned_of() -> None:
    """A program that is due every minute is warned of; one that is due every other minute is not."""
    stages = (Stage("a", (Command("note"),), rollback=Rollback("none")),)
    for cadence, said in (
        ("* * * * *", ["cadence: it is due every minute; name a minute"]),
        ("*/2 * * * *", []),
    ):
        program = Program("p", stages, cadence=((cadence,),))
        planned = make_plan(program, COMMANDS, CONDITIONS)
        warnings = [str(one) for one in plan_warnings(program, planned, COMMANDS)]
        assert [warning.partition(",")[0] for warning in warnings] == said


def in_row(*stages: tuple[str, Rollback]) -> list[str]:
    """The warnings of stages that come one after another."""
    names = [name for name, _ in stages]
    return warned(
        *(
            Stage(name, (Command("note"),), after=tuple(names[at - 1 : at]), rollback=rollback)
            for at, (name, rollback) in enumerate(stages)
        )
    )


def test_a_stage_that_can_t_be_undone_is_no_stage_without_a_rollback() -> None:
    """A point of no return is none of the stages that declare no rollback, and what comes before is no worry."""
    assert not in_row(("load", undo("x")), ("charge", IMPOSSIBLE), ("tell", Rollback("none")))


def test_a_stage_that_could_be_undone_after_one_that_can_t_is_warned_of() -> None:
    """A rollback after or beside a point of no return is not used when the run fails."""
    assert in_row(("charge", IMPOSSIBLE), ("send", IMPOSSIBLE), ("index", undo("x"))) == [
        "stages[2].rollback: 'index' could be undone, but it comes after 'send', which can't: when it fails, "
        "the run is held instead of rolled back; let 'send' come after it, or go back only to a stage behind "
        "'send' by rollback.to"
    ]
    (said,) = warned(
        Stage("index", (Command("note"),), rollback=undo("x")),
        Stage("charge", (Command("note"),), rollback=IMPOSSIBLE),
    )
    assert "'index' could be undone, but it comes beside 'charge', which can't" in said


def test_a_way_back_that_ends_behind_a_point_of_no_return_is_fine() -> None:
    """What lies on a way back that stays behind the point of no return is undone on it; the rest is not."""
    again = Rollback("commands", (Command("note"),), to="first")
    steps = [("charge", IMPOSSIBLE), ("first", undo("x")), ("second", again)]
    assert not in_row(*steps)
    (said,) = in_row(*steps, ("third", undo("x")))
    assert said.startswith("stages[3].rollback: 'third' could be undone, but it comes after 'charge'")


def test_a_way_back_across_a_point_of_no_return_is_warned_of() -> None:
    """A run can't go back to where it would have to undo what can't be undone, and is held instead."""
    assert in_row(("load", IMPOSSIBLE), ("check", Rollback("none", to="load"))) == [
        "stages[1].rollback.to: the way back from 'check' to 'load' crosses 'load', which can't be undone: once "
        "that has begun, the run is held instead; go back to a stage behind 'load'"
    ]
    beside = Stage("beside", (Command("note"),), rollback=IMPOSSIBLE)
    (said,) = warned(Stage("check", (Command("note"),), rollback=Rollback("none", to="check")), beside)
    assert "crosses 'beside', which can't be undone" in said
    assert not in_row(("load", Rollback("none")), ("check", Rollback("none", to="load")), ("end", IMPOSSIBLE))


def test_a_way_back_across_what_nobody_undoes_is_warned_of() -> None:
    """A run is held before it goes forward over what a stage without a rollback left, its own included."""
    said = in_row(("a", Rollback()), ("b", Rollback()), ("c", Rollback(to="b")), ("d", Rollback()))
    assert [one for one in said if ".to: " in one] == [
        "stages[2].rollback.to: the way back from 'c' to 'b' crosses 'b', 'c', which declare no rollback: the "
        "run is held before it goes forward again; declare a rollback, or rollback: none if it leaves nothing"
    ]
    own = [one for one in in_row(("a", Rollback(to="a"))) if ".to: " in one]
    assert "crosses 'a', which declares no rollback" in own[0]
    many = [(f"s{at}", Rollback()) for at in range(12)]
    (shown,) = [one for one in in_row(*many, ("end", Rollback("none", to="s0"))) if ".to: " in one]
    assert "'s8', 's9' and 2 more, which declare no rollback" in shown


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=8))
def test_each_rollback_is_used_or_warned_of(steps: list[tuple[int, int]]) -> None:
    """Of stages in a row: a rollback after a point of no return is warned of, unless a way back takes it along."""
    kinds = ("commands", "none", "undeclared", "impossible", "back")
    rows = [(f"s{at}", kinds[kind], f"s{target % (at + 1)}") for at, (kind, target) in enumerate(steps)]
    said = in_row(
        *(
            (name, Rollback("commands", (Command("note"),), to=target) if kind == "back" else Rollback(kind))
            for name, kind, target in rows
        )
    )
    points = [at for at, (_, kind, _) in enumerate(rows) if kind == "impossible"]
    ways = [
        (int(target[1:]), at)
        for at, (_, kind, target) in enumerate(rows)
        if kind == "back" and not any(int(target[1:]) <= point <= at for point in points)
    ]
    for at, (name, kind, _) in enumerate(rows):
        is_undone = kind in ("commands", "back")
        is_used = any(first <= at <= last for first, last in ways)
        expected = is_undone and not is_used and any(point < at for point in points)
        assert any(f"'{name}' could be undone, but" in one for one in said) is expected
