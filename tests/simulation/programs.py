"""Random programs, with what the checkers must know of each, worked out here and not by clew's planner."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from msgspec.structs import replace
from tests.simulation.stages import LOOK, PLACES, Drawn, PretendStage, random_stage, timed

from clew.core.program.model import Condition, Program

STAGES_MAX = 12


@dataclass(frozen=True, slots=True)
class PretendProgram:
    program: Program
    stages: dict[str, PretendStage]
    condition_levels: tuple[int, ...]
    """For each of the program's own conditions the block it belongs to."""

    @property
    def level_count(self) -> int:
        return max(each.level for each in self.stages.values())

    def of_level(self, level: int) -> list[PretendStage]:
        return [each for each in self.stages.values() if each.level == level]


def random_program(chance: Random, name: str) -> PretendProgram:
    """A program of 1 to 12 stages: small ones are the most, since their histories say the most a second."""
    count = min(STAGES_MAX, 1 + int(chance.expovariate(1 / 3.0)))
    drawn = Drawn(in_sequence=chance.random() < 0.15)
    for number in range(1, count + 1):
        drawn.add(random_stage(chance, number, drawn))
    conditions, levels = _block_conditions(chance, drawn)
    program = Program(
        name=name,
        stages=tuple(each.stage for each in drawn.stages.values()),
        maintain_sequence=drawn.in_sequence,
        variables={
            "region": "east",
            "size": 3,
            PLACES: ["a", "b", "c", "d"][: chance.choice((0, 1, 2, 3, 4))],
        },
        requests={"size": {"type": "integer"}} if chance.random() < 0.3 else {},
        validate=conditions,
    )
    return PretendProgram(program, drawn.stages, levels)


def _block_conditions(chance: Random, drawn: Drawn) -> tuple[tuple[Condition, ...], tuple[int, ...]]:
    """Up to two conditions of the program's own, each of the first block that has all it reads."""
    conditions: list[Condition] = []
    levels: list[int] = []
    for number in range(chance.choice((0, 0, 0, 1, 2))):
        read = chance.sample(drawn.labels, min(len(drawn.labels), chance.choice((1, 2))))
        given = {f"v{at}": f"{{{label}}}" for at, label in enumerate(read)}
        if read and chance.random() < 0.4:
            actual = "{size}" if chance.random() < 0.7 else f"{{{read[0]}}}"
            condition = Condition("equals", {"actual": actual, "expected": 3})
            read = [] if actual == "{size}" else read[:1]
        else:
            condition = Condition("python", {"function": f"{LOOK}_block{number}", "with": given})
        conditions.append(replace(timed(chance, condition), reexecute=False))
        levels.append(max((drawn.stages[drawn.producers[label]].level for label in read), default=1))
    return tuple(conditions), tuple(levels)
