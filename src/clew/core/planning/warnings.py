"""What a plan can be warned of before it runs: where the way back would leave something standing.

A warning is no mistake: the program runs. It is said in the shape of a problem, with the path to what it is
about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from clew.core.planning.plan import Plan
from clew.core.program.model import Program, Rollback, Stage
from clew.core.program.params import signature_of, templates_of
from clew.core.program.problems import Problem
from clew.core.program.signatures import Signatures
from clew.core.program.variables import references

# By these a rollback can find out what an attempt did, even one that ended before it could say so.
_FINDS_OUT_BY = frozenset({"idempotency_key", "attempts", "run_id", "run_name"})


def plan_warnings(program: Program, plan: Plan, signatures: Signatures) -> tuple[Problem, ...]:
    """The warnings of a program without problems, in the program's order of stages."""
    undone_later = _undone_later(program, plan)
    return tuple(
        warning
        for at, stage in enumerate(program.stages)
        for warning in (*_residue(at, stage, undone_later), *_unwritten(at, stage, program, signatures))
    )


def _undone_later(program: Program, plan: Plan) -> dict[str, str | None]:
    """For each stage the first stage of the blocks after its own that is undone, if there is one."""
    undone = {stage.name for stage in program.stages if stage.rollback.kind == "commands"}
    later: dict[str, str | None] = {}
    nearest_undone: str | None = None
    for block in reversed(plan.blocks):
        later.update((planned.name, nearest_undone) for planned in block.stages)
        nearest_undone = next((one.name for one in block.stages if one.name in undone), nearest_undone)
    return later


def _residue(at: int, stage: Stage, undone_later: Mapping[str, str | None]) -> Iterator[Problem]:
    """A stage that nobody undoes stays, also where the stages after it are undone."""
    if stage.rollback.kind != "undeclared":
        return
    what = f"the stage '{stage.name}' declares no rollback: what it does stays when the run goes wrong"
    if undone_later[stage.name]:
        what += f", though '{undone_later[stage.name]}' after it is undone"
    yield Problem(("stages", at), what, "declare a rollback, or rollback: none if it leaves nothing")


def _unwritten(at: int, stage: Stage, program: Program, signatures: Signatures) -> Iterator[Problem]:
    """Outputs are written when an attempt has completed; one that was cut off may have acted without them."""
    read = _read_by(stage.rollback, program, signatures)
    own = [output.name for output in stage.outputs if output.name in read]
    if own and not read & _FINDS_OUT_BY:
        names = ", ".join(f"'{name}'" for name in own)
        yield Problem(
            ("stages", at, "rollback"),
            f"the rollback of '{stage.name}' needs {names}, which is null where an attempt was cut off",
            "let it find out by {idempotency_key} what there is to undo",
        )


def _read_by(rollback: Rollback, program: Program, signatures: Signatures) -> set[str]:
    return {
        reference.name
        for command in rollback.commands
        for _, text, kind in templates_of(command, signature_of(command.name, program, signatures), ())
        for reference in references(text, kind)
    }
