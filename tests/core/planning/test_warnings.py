from __future__ import annotations

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
