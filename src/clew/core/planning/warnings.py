"""What a plan can be warned of before it runs: where the way back would leave something standing, or ends.

A warning is no mistake: the program runs. It is said in the shape of a problem, with the path to what it is
about.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from msgspec import Struct

from clew.core.planning.plan import Plan
from clew.core.program.model import Program, Rollback, Stage
from clew.core.program.params import signature_of, templates_of
from clew.core.program.problems import Problem
from clew.core.program.signatures import Signatures
from clew.core.program.variables import references

# By these a rollback can find out what an attempt did, even one that ended before it could say so.
_FINDS_OUT_BY = frozenset({"idempotency_key", "attempts", "run_id", "run_name"})
# More names on a line than these, and nobody reads them.
_NAMES_SHOWN = 10


def plan_warnings(program: Program, plan: Plan, signatures: Signatures) -> tuple[Problem, ...]:
    """The warnings of a program without problems, in the program's order of stages."""
    layout = _layout_of(program, plan)
    return (*_too_often(program), *_of_stages(program, layout, signatures))


def _too_often(program: Program) -> Iterator[Problem]:
    if program.cadence is None:
        return
    # Reading cron expressions takes 10 ms to load, which only programs with a cadence need.
    from clew.core.program.timing_keys import timing_of

    timing = timing_of(program)
    if timing is not None and timing.is_due_every_minute:
        yield Problem(
            ("cadence",), "it is due every minute", "name a minute, such as 0 * * * *, if that is not meant"
        )


def _of_stages(program: Program, layout: _Layout, signatures: Signatures) -> tuple[Problem, ...]:
    return tuple(
        warning
        for at, stage in enumerate(program.stages)
        for warning in (
            *_residue(at, stage, layout),
            *_unwritten(at, stage, program, signatures),
            *_after_no_return(at, stage, layout),
            *_way_back(at, stage, layout),
        )
    )


class _Blocks(Struct, frozen=True):
    """Some of the stages, by block: `indices[n]` is the block of `names[n]`."""

    indices: Sequence[int]
    names: Sequence[str]

    def within(self, first: int, last: int) -> Sequence[str]:
        """Those of the blocks from `first` to `last`, both included."""
        return self.names[bisect_left(self.indices, first) : bisect_right(self.indices, last)]


class _Layout(Struct, frozen=True):
    """How the ways back lie among the blocks.

    `later`: for each stage the first of the blocks after its own that is undone. `used[n]`: whether a way back
    to a later stage than any point of no return takes block n along.
    """

    blocks: Mapping[str, int]
    later: Mapping[str, str | None]
    undeclared: _Blocks
    no_return: _Blocks
    used: Sequence[bool]


def _layout_of(program: Program, plan: Plan) -> _Layout:
    blocks = {planned.name: block.index for block in plan.blocks for planned in block.stages}
    no_return = _of_kind("impossible", program, blocks)
    return _Layout(
        blocks,
        _undone_later(program, plan),
        _of_kind("undeclared", program, blocks),
        no_return,
        _used(program, blocks, no_return, len(plan.blocks)),
    )


def _of_kind(kind: str, program: Program, blocks: Mapping[str, int]) -> _Blocks:
    names = [stage.name for stage in program.stages if stage.rollback.kind == kind]
    names.sort(key=lambda name: blocks[name])
    return _Blocks([blocks[name] for name in names], names)


def _undone_later(program: Program, plan: Plan) -> dict[str, str | None]:
    undone = {stage.name for stage in program.stages if stage.rollback.kind == "commands"}
    later: dict[str, str | None] = {}
    nearest_undone: str | None = None
    for block in reversed(plan.blocks):
        later.update((planned.name, nearest_undone) for planned in block.stages)
        nearest_undone = next((one.name for one in block.stages if one.name in undone), nearest_undone)
    return later


def _used(program: Program, blocks: Mapping[str, int], no_return: _Blocks, count: int) -> Sequence[bool]:
    steps = [0] * (count + 2)
    for stage in program.stages:
        target = stage.rollback.to
        if target is not None and not no_return.within(blocks[target], blocks[stage.name]):
            steps[blocks[target]] += 1
            steps[blocks[stage.name] + 1] -= 1
    return [depth > 0 for depth in accumulate(steps)]


# ---- the warnings ----------------------------------------------------------------------------------------


def _residue(at: int, stage: Stage, layout: _Layout) -> Iterator[Problem]:
    """A stage that nobody undoes stays, also where the stages after it are undone."""
    if stage.rollback.kind != "undeclared":
        return
    what = f"the stage '{stage.name}' declares no rollback: what it does stays when the run goes wrong"
    if layout.later[stage.name]:
        what += f", though '{layout.later[stage.name]}' after it is undone"
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


def _after_no_return(at: int, stage: Stage, layout: _Layout) -> Iterator[Problem]:
    """A stage that could be undone is not, once one that can't be has begun: its run goes forward or is held."""
    block = layout.blocks[stage.name]
    if stage.rollback.kind != "commands" or layout.used[block]:
        return
    before = layout.no_return.within(1, block)
    if before:
        place = "beside" if layout.blocks[before[-1]] == block else "after"
        yield Problem(
            ("stages", at, "rollback"),
            f"'{stage.name}' could be undone, but it comes {place} '{before[-1]}', which can't: when it fails, "
            "the run is held instead of rolled back",
            f"let '{before[-1]}' come after it, or go back only to a stage behind '{before[-1]}' by rollback.to",
        )


def _way_back(at: int, stage: Stage, layout: _Layout) -> Iterator[Problem]:
    """What keeps a run from going back to a stage, or from going forward again."""
    target = stage.rollback.to
    if target is None:
        return
    path = ("stages", at, "rollback", "to")
    blocks = layout.blocks[target], layout.blocks[stage.name]
    points = layout.no_return.within(*blocks)
    if points:
        yield Problem(
            path,
            f"the way back from '{stage.name}' to '{target}' crosses {_listed(points)}, which can't be undone: "
            "once that has begun, the run is held instead",
            f"go back to a stage behind '{points[-1]}'",
        )
    standing = layout.undeclared.within(*blocks)
    if standing:
        declares = "declares" if len(standing) == 1 else "declare"
        yield Problem(
            path,
            f"the way back from '{stage.name}' to '{target}' crosses {_listed(standing)}, which {declares} no "
            "rollback: the run is held before it goes forward again",
            "declare a rollback, or rollback: none if it leaves nothing",
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown} and {len(names) - _NAMES_SHOWN} more"
