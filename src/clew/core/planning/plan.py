"""From who needs whom to blocks: which stages may run at the same time, and in which order.

Each stage goes to the earliest block it can. Block 1 holds the stages that need no other; a stage of a later
block needs at least one of the block before it, and none of its own. Within a block stages keep
the program's order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from clew.core.program.model import Program
from clew.core.program.needs import AFTER, Need, StageReads, Survey, stage_reads, survey
from clew.core.program.problems import Problem, ProgramError
from clew.core.program.signatures import Signatures

__all__ = [
    "AFTER",
    "Block",
    "Need",
    "Plan",
    "PlannedStage",
    "StageReads",
    "make_plan",
    "plan_of",
    "stage_reads",
]


class PlannedStage(Struct, frozen=True):
    """A stage and what it needs from others, in the program's order of those others."""

    name: str
    needs: tuple[Need, ...]

    @property
    def needed_stages(self) -> tuple[str, ...]:
        """The stages it needs, each once."""
        return tuple(dict.fromkeys(need.stage for need in self.needs))


class Block(Struct, frozen=True):
    """Stages that may run together; `index` counts from 1. `conditions` are positions in the program's
    `validate`: those that first have all outputs they read when this block is done."""

    index: int
    stages: tuple[PlannedStage, ...]
    conditions: tuple[int, ...] = ()


class Plan(Struct, frozen=True):
    blocks: tuple[Block, ...]

    def block_of(self, stage: str) -> int:
        """The index of the stage's block. Raises KeyError if there is no such stage."""
        for block in self.blocks:
            if any(planned.name == stage for planned in block.stages):
                return block.index
        raise KeyError(stage)


def make_plan(program: Program, signatures: Signatures, conditions: Signatures) -> Plan:
    """The program's blocks. Raises ProgramError with every mistake in its names and its order."""
    surveyed = survey(program, signatures, conditions)
    problems = [*surveyed.problems, *order_problems(program, surveyed)]
    if problems:
        raise ProgramError(problems)
    return plan_of(program, surveyed)


def plan_of(program: Program, surveyed: Survey) -> Plan:
    """The blocks of a program whose order has no problems."""
    positions = _positions(program)
    levels = _sequence(program) if program.maintain_sequence else _levels(_needed(surveyed, positions))
    stages: list[list[PlannedStage]] = [[] for _ in range(max(levels, default=0))]
    for stage, level, needs in zip(program.stages, levels, surveyed.needs, strict=True):
        stages[level - 1].append(PlannedStage(stage.name, needs))
    belonging: dict[int, list[int]] = {}
    for at, read in enumerate(surveyed.condition_stages):
        belonging.setdefault(max((levels[stage] for stage in read), default=1), []).append(at)
    return Plan(
        tuple(
            Block(index, tuple(planned), tuple(belonging.get(index, ())))
            for index, planned in enumerate(stages, start=1)
        )
    )


def order_problems(program: Program, surveyed: Survey) -> Iterator[Problem]:
    """Needs that no order satisfies, or not the order that `maintain_sequence` keeps; ways back that are none."""
    positions = _positions(program)
    if program.maintain_sequence:
        yield from _sequence_problems(program, surveyed, positions)
        yield from _target_problems(program, positions, _sequence(program))
        return
    needed = _needed(surveyed, positions)
    levels = _levels(needed)
    yield from _target_problems(program, positions, levels)
    stuck = {at for at, level in enumerate(levels) if level == 0}
    while stuck:
        circle = _circle(stuck, needed)
        yield _circle_problem(circle, program, surveyed)
        stuck.difference_update(circle)
        stuck = _still_stuck(stuck, needed)


def _positions(program: Program) -> dict[str, int]:
    positions: dict[str, int] = {}
    for at, stage in enumerate(program.stages):
        positions.setdefault(stage.name, at)
    return positions


def _needed(surveyed: Survey, positions: Mapping[str, int]) -> list[list[int]]:
    """For each stage the positions of those it needs, each once."""
    return [list(dict.fromkeys(positions[need.stage] for need in needs)) for needs in surveyed.needs]


def _sequence(program: Program) -> list[int]:
    return list(range(1, len(program.stages) + 1))


def _levels(needed: Sequence[Sequence[int]]) -> list[int]:
    """Each stage's block: one after the last block it needs; 0 for those in a circle or behind one."""
    levels = [0] * len(needed)
    missing = [len(others) for others in needed]
    users: list[list[int]] = [[] for _ in needed]
    for at, others in enumerate(needed):
        for other in others:
            users[other].append(at)
    ready = [at for at, count in enumerate(missing) if count == 0]
    while ready:
        at = ready.pop()
        levels[at] = 1 + max((levels[other] for other in needed[at]), default=0)
        for user in users[at]:
            missing[user] -= 1
            if missing[user] == 0:
                ready.append(user)
    return levels


def _circle(stuck: set[int], needed: Sequence[Sequence[int]]) -> list[int]:
    """One circle among the stuck stages, from its first stage in the program's order; each needs the next."""
    trail: list[int] = []
    seen: dict[int, int] = {}
    at = min(stuck)
    while at not in seen:
        seen[at] = len(trail)
        trail.append(at)
        at = next(other for other in needed[at] if other in stuck)
    circle = trail[seen[at] :]
    first = circle.index(min(circle))
    return circle[first:] + circle[:first]


def _still_stuck(stuck: set[int], needed: Sequence[Sequence[int]]) -> set[int]:
    """Those that are in a circle or behind one when what was already told is taken away."""
    ordered = sorted(stuck)
    place = {at: index for index, at in enumerate(ordered)}
    levels = _levels([[place[other] for other in needed[at] if other in stuck] for at in ordered])
    return {at for at, level in zip(ordered, levels, strict=True) if level == 0}


def _circle_problem(circle: Sequence[int], program: Program, surveyed: Survey) -> Problem:
    names = [program.stages[at].name for at in circle]
    steps = []
    for at, following in zip(circle, names[1:] + names[:1], strict=True):
        labels = [need.label for need in surveyed.needs[at] if need.stage == following]
        steps.append(f"'{program.stages[at].name}' needs {_labels(labels)} of '{following}'")
    return Problem(
        ("stages", circle[0]), f"stages wait for each other: {', '.join(steps)}", "one of these needs must go"
    )


def _target_problems(
    program: Program, positions: Mapping[str, int], levels: Sequence[int]
) -> Iterator[Problem]:
    """Stages from which the run would go back to one that comes after them."""
    for at, stage in enumerate(program.stages):
        target = positions.get(stage.rollback.to) if stage.rollback.to is not None else None
        if target is None or not levels[at] or levels[at] >= levels[target]:
            # A stage in a circle has no block yet, and a target that is none is told with the names.
            continue
        yield Problem(
            ("stages", at, "rollback", "to"),
            f"'{stage.rollback.to}' is in block {levels[target]}, after block {levels[at]} of '{stage.name}'",
            "name a stage of the same block or an earlier one, or the stage itself",
        )


def _labels(labels: Sequence[str]) -> str:
    data = [f"'{label}'" for label in labels if label != AFTER]
    return ", ".join(data) if data else "the end"


def _sequence_problems(program: Program, surveyed: Survey, positions: Mapping[str, int]) -> Iterator[Problem]:
    for at, needs in enumerate(surveyed.needs):
        name = program.stages[at].name
        for other in dict.fromkeys(need.stage for need in needs if positions[need.stage] > at):
            labels = [need.label for need in needs if need.stage == other]
            yield Problem(
                ("stages", at),
                f"'{name}' needs {_labels(labels)} of '{other}', which is listed after it",
                f"list '{other}' before '{name}', or leave out maintain_sequence",
            )
