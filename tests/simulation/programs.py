"""Random programs, with what the checkers must know of each, worked out here and not by clew's planner."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from msgspec.structs import replace

from clew.core.program.model import (
    Command,
    Condition,
    Delay,
    Dependency,
    Element,
    Output,
    Program,
    Retry,
    Rollback,
    Stage,
)

STAGES_MAX = 12
ACT, UNDO, LOOK = "pretend:act", "pretend:undo", "pretend:look"

TRUE_WHENS = ("region == 'east'", "size > 1", "true")
FALSE_WHENS = ("region == 'west'", "size > 99")
WRONG_WHENS = ("region", "size + 1", "region.nothing == 1")
"""What can't be worked out to true or false."""


@dataclass(frozen=True, slots=True)
class PretendStage:
    """A stage with what it needs: label -> producing stage (or None for the program's own variables)."""

    stage: Stage
    level: int
    needs: dict[str, str | None]
    after: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.stage.name

    @property
    def undo(self) -> str:
        return self.stage.rollback.kind


@dataclass(frozen=True, slots=True)
class PretendProgram:
    program: Program
    stages: dict[str, PretendStage]
    condition_levels: tuple[int, ...]
    """For each of the program's own conditions the block it belongs to."""

    @property
    def level_count(self) -> int:
        return max(each.level for each in self.stages.values())


def random_program(chance: Random, name: str) -> PretendProgram:
    """A program of 1 to 12 stages: small ones are the most, since their histories say the most a second."""
    count = min(STAGES_MAX, 1 + int(chance.expovariate(1 / 3.0)))
    in_sequence = chance.random() < 0.15
    stages: dict[str, PretendStage] = {}
    producers: dict[str, str] = {}
    for number in range(1, count + 1):
        made = _random_stage(chance, number, producers, stages, in_sequence)
        stages[made.name] = made
        producers.update((output.name, made.name) for output in made.stage.outputs)
    conditions, levels = _block_conditions(chance, producers, stages)
    program = Program(
        name=name,
        stages=tuple(each.stage for each in stages.values()),
        maintain_sequence=in_sequence,
        variables={"region": "east", "size": 3},
        requests={"size": {"type": "integer"}} if chance.random() < 0.3 else {},
        validate=conditions,
    )
    return PretendProgram(program, stages, levels)


def _random_stage(
    chance: Random,
    number: int,
    producers: dict[str, str],
    stages: dict[str, PretendStage],
    in_sequence: bool,
) -> PretendStage:
    known = sorted(producers)
    inputs = tuple(chance.sample(known, min(len(known), chance.choice((0, 0, 1, 1, 2, 3)))))
    if chance.random() < 0.3:
        inputs += ("region",)
    after = tuple(sorted({chance.choice(sorted(stages))})) if stages and chance.random() < 0.15 else ()
    needs = {label: producers.get(label) for label in inputs}
    when = _random_when(chance, known)
    if when in known:
        needs[when] = producers[when]
        when = f"{when} < 90"
    outputs = tuple(
        Output(
            f"o{number}{letter}",
            has_default=(has_default := chance.random() < 0.4),
            default=-number if has_default else None,
        )
        for letter in "ab"[: chance.choice((0, 1, 1, 2))]
    )
    needed = {stage for stage in (*needs.values(), *after) if stage is not None}
    level = number if in_sequence else 1 + max((stages[stage].level for stage in needed), default=0)
    stage = Stage(
        name=f"s{number}",
        execute=(Command("python", {"function": ACT}),),
        dependencies=_random_dependencies(chance, number),
        inputs=inputs,
        outputs=outputs,
        after=after,
        when=when,
        validate=_random_conditions(chance, number, outputs),
        rollback=_random_rollback(chance),
        retry=_random_retry(chance),
        timeout_milliseconds=chance.choice((10_000, 60_000, 600_000)),
        delay=Delay(chance.choice((5_000, 60_000)), chance.choice((1, 2.0)), chance.choice((None, 120_000))),
    )
    return PretendStage(stage, level, needs, after)


def _random_when(chance: Random, known: list[str]) -> str | None:
    kind = chance.random()
    if kind < 0.78:
        return None
    if kind < 0.86:
        return chance.choice(TRUE_WHENS)
    if kind < 0.93:
        return chance.choice(FALSE_WHENS)
    if kind < 0.99 and known:
        return chance.choice(known)
    return chance.choice(WRONG_WHENS)


def _random_dependencies(chance: Random, number: int) -> tuple[Dependency, ...]:
    if chance.random() > 0.2:
        return ()
    first = Dependency(f"d{number}", "memory:data", (Element("{run_id}/data"),))
    if chance.random() < 0.7:
        return (first,)
    return (first, Dependency(f"d{number}b", "memory:data", (Element(f"{{d{number}}}.more"),)))


def _random_conditions(chance: Random, number: int, outputs: tuple[Output, ...]) -> tuple[Condition, ...]:
    conditions = []
    if outputs and chance.random() < 0.15:
        expected = chance.choice(("{size}", "{size}", 7))
        conditions.append(_timed(chance, Condition("equals", {"actual": "{size}", "expected": expected})))
    if outputs and chance.random() < 0.1:
        conditions.append(_timed(chance, Condition("expression", {"expression": f"{outputs[0].name} < 95"})))
    for letter in "xy"[: chance.choice((0, 0, 0, 1, 1, 2))]:
        look = Condition("python", {"function": f"{LOOK}_{number}{letter}"})
        conditions.append(_timed(chance, look))
    return tuple(conditions)


def _timed(chance: Random, condition: Condition) -> Condition:
    if chance.random() < 0.4:
        return condition
    return replace(
        condition,
        maximum_time_milliseconds=chance.choice((1_000, 20_000, 300_000)),
        interval_milliseconds=chance.choice((200, 1_000, 5_000)),
        reexecute=chance.random() < 0.4,
    )


def _random_rollback(chance: Random) -> Rollback:
    kind = chance.random()
    if kind < 0.1:
        return Rollback("none")
    if kind < 0.2:
        return Rollback("undeclared")
    return Rollback(
        "commands",
        (Command("python", {"function": UNDO}),),
        retry=_random_retry(chance),
        timeout_milliseconds=chance.choice((10_000, 60_000)),
    )


def _random_retry(chance: Random) -> Retry:
    return Retry(
        attempts=chance.choice((1, 1, 2, 3, 5)),
        delay_milliseconds=chance.choice((0, 100, 5_000)),
        growth=chance.choice((1, 2, 2.5)),
        maximum_delay_milliseconds=chance.choice((5_000, 300_000)),
        jitter=chance.random() < 0.7,
        on=chance.choice((("any",), ("any",), ("any",), ("exit", "validation", "timed_out"))),
    )


def _block_conditions(
    chance: Random, producers: dict[str, str], stages: dict[str, PretendStage]
) -> tuple[tuple[Condition, ...], tuple[int, ...]]:
    """Up to two conditions of the program's own, each of the first block that has all it reads."""
    conditions: list[Condition] = []
    levels: list[int] = []
    for number in range(chance.choice((0, 0, 0, 1, 2))):
        read = chance.sample(sorted(producers), min(len(producers), chance.choice((1, 2))))
        given = {f"v{at}": f"{{{label}}}" for at, label in enumerate(read)}
        if read and chance.random() < 0.4:
            actual = "{size}" if chance.random() < 0.7 else f"{{{read[0]}}}"
            condition = Condition("equals", {"actual": actual, "expected": 3})
            read = [] if actual == "{size}" else read[:1]
        else:
            condition = Condition("python", {"function": f"{LOOK}_block{number}", "with": given})
        conditions.append(replace(_timed(chance, condition), reexecute=False))
        levels.append(max((stages[producers[label]].level for label in read), default=1))
    return tuple(conditions), tuple(levels)
