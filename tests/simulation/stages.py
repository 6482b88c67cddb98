"""Random stages: all that a stage may say of what it needs, does, is checked by and undone by."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from msgspec.structs import replace

from clew.core.program.model import (
    AnyDependency,
    Command,
    Condition,
    Delay,
    Dependency,
    Element,
    FolderSource,
    InputDependency,
    Json,
    Output,
    Retry,
    Rollback,
    Stage,
)

ACT, UNDO, LOOK = "pretend:act", "pretend:undo", "pretend:look"
PLACES = "places"
"""The program's variable that is a list."""

TRUE_WHENS = ("region == 'east'", "size > 1", "true")
FALSE_WHENS = ("region == 'west'", "size > 99")
WRONG_WHENS = ("region", "size + 1", "region.nothing == 1")
"""What can't be worked out to true or false."""

SOURCES = 0.12
"""How many of the stages fetch their code."""

WHEN_LIMIT = 90
"""A stage whose `when` reads a number begins below it."""


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

    @property
    def inputs(self) -> tuple[InputDependency, ...]:
        """What somebody must supply."""
        return self.stage.input_dependencies

    @property
    def each(self) -> Any:
        """What it is done for: None, a label, or a list."""
        each = self.stage.for_each
        return each[1:-1] if isinstance(each, str) else each

    @property
    def writes(self) -> set[str]:
        return {one.name for one in (*self.stage.outputs, *self.stage.dependencies)}


@dataclass
class Drawn:
    """The stages that have been drawn so far, and who makes each label."""

    in_sequence: bool
    stages: dict[str, PretendStage] = field(default_factory=dict)
    producers: dict[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        return sorted(self.producers)

    @property
    def numbers(self) -> list[str]:
        """The labels whose values are numbers."""
        return [label for label in self.labels if label[0] == "o" and self._is_single(label)]

    @property
    def lists(self) -> list[str]:
        """The labels whose values are lists."""
        return [label for label in self.labels if label[0] == "l" or not self._is_single(label)]

    def _is_single(self, label: str) -> bool:
        return self.stages[self.producers[label]].each is None

    def add(self, made: PretendStage) -> None:
        self.stages[made.name] = made
        self.producers.update((output.name, made.name) for output in made.stage.outputs)


def random_stage(chance: Random, number: int, drawn: Drawn) -> PretendStage:
    """The next stage of a program, which may need any of those before."""
    inputs = tuple(chance.sample(drawn.labels, min(len(drawn.labels), chance.choice((0, 0, 1, 1, 2, 3)))))
    if chance.random() < 0.3:
        inputs += ("region",)
    after = (chance.choice(sorted(drawn.stages)),) if drawn.stages and chance.random() < 0.15 else ()
    needs = {label: drawn.producers.get(label) for label in inputs}
    when = _random_when(chance, drawn.numbers)
    if when in drawn.producers:
        needs[when] = drawn.producers[when]
        when = f"{when} < {WHEN_LIMIT}"
    each = _random_each(chance, drawn)
    if isinstance(each, str):
        needs[each] = drawn.producers.get(each)
        each = f"{{{each}}}"
    needed = {stage for stage in (*needs.values(), *after) if stage is not None}
    level = number if drawn.in_sequence else 1 + max((drawn.stages[one].level for one in needed), default=0)
    outputs = _random_outputs(chance, number)
    stage = Stage(
        name=f"s{number}",
        execute=(Command("python", {"function": ACT}),),
        dependencies=_random_dependencies(chance, number),
        inputs=inputs,
        outputs=outputs,
        after=after,
        when=when,
        for_each=each,
        max_parallel=None if each is None else chance.choice((None, 1, 2, 3)),
        validate=_random_conditions(chance, number, outputs),
        rollback=_random_rollback(chance, number, level, drawn, is_for_each=each is not None),
        retry=_random_retry(chance),
        timeout_milliseconds=chance.choice((10_000, 60_000, 600_000)),
        delay=Delay(chance.choice((5_000, 60_000)), chance.choice((1, 2.0)), chance.choice((None, 120_000))),
        # Drawn apart: what else is drawn stays what it was.
        source=FolderSource("code") if Random(f"source/{chance.getstate()}").random() < SOURCES else None,
    )
    return PretendStage(stage, level, needs, after)


def _random_outputs(chance: Random, number: int) -> tuple[Output, ...]:
    """Numbers, and now and then a list."""
    outputs = []
    for letter in "ab"[: chance.choice((0, 1, 1, 2))]:
        sort, default = ("l", [-number]) if chance.random() < 0.15 else ("o", -number)
        has_default = chance.random() < 0.4
        outputs.append(Output(f"{sort}{number}{letter}", None, has_default, default if has_default else None))
    return tuple(outputs)


def _random_each(chance: Random, drawn: Drawn) -> Json:
    """What the stage is done for: nothing mostly, a label, or a list; now and then what can't be a list."""
    kind = chance.random()
    if kind > 0.22:
        return None
    if kind > 0.12 and drawn.lists:
        return chance.choice(drawn.lists)
    if kind < 0.01:
        return "size"  # which is none
    return PLACES if kind > 0.03 else list(range(chance.choice((1, 3, 5))))


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


def _random_dependencies(chance: Random, number: int) -> tuple[AnyDependency, ...]:
    dependencies: list[AnyDependency] = []
    if chance.random() < 0.2:
        dependencies.append(Dependency(f"d{number}", "memory:data", (Element("{run_id}/data"),)))
        if chance.random() < 0.3:
            more = Element(f"{{d{number}}}.more")
            dependencies.append(Dependency(f"d{number}b", "memory:data", (more,)))
    if chance.random() < 0.12:
        for letter in "ab"[: chance.choice((1, 1, 2))]:
            deadline = chance.choice((None, 100, 60_000, 7_200_000))
            dependencies.append(InputDependency(f"i{number}{letter}", None, deadline))
    return tuple(dependencies)


def _random_conditions(chance: Random, number: int, outputs: tuple[Output, ...]) -> tuple[Condition, ...]:
    conditions = []
    numbers = [output.name for output in outputs if output.name[0] == "o"]
    if outputs and chance.random() < 0.15:
        expected = chance.choice(("{size}", "{size}", 7))
        conditions.append(timed(chance, Condition("equals", {"actual": "{size}", "expected": expected})))
    if numbers and chance.random() < 0.1:
        conditions.append(timed(chance, Condition("expression", {"expression": f"{numbers[0]} < 95"})))
    for letter in "xy"[: chance.choice((0, 0, 0, 1, 1, 2))]:
        look = Condition("python", {"function": f"{LOOK}_{number}{letter}"})
        conditions.append(timed(chance, look))
    return tuple(conditions)


def timed(chance: Random, condition: Condition) -> Condition:
    """The condition, perhaps with time to come true."""
    if chance.random() < 0.4:
        return condition
    return replace(
        condition,
        maximum_time_milliseconds=chance.choice((1_000, 20_000, 300_000)),
        interval_milliseconds=chance.choice((200, 1_000, 5_000)),
        reexecute=chance.random() < 0.4,
    )


def _random_rollback(chance: Random, number: int, level: int, drawn: Drawn, *, is_for_each: bool) -> Rollback:
    """How it is undone, and where the run goes back to when it fails for good."""
    to, attempts = None, 1
    if chance.random() < 0.3:
        targets = [one.name for one in drawn.stages.values() if one.level <= level]
        to, attempts = chance.choice([*targets, f"s{number}"]), chance.choice((1, 1, 2, 3))
    kind = chance.random()
    if kind < 0.06:
        return Rollback("impossible")
    if kind < 0.22:
        return Rollback("none" if kind < 0.14 else "undeclared", to=to, attempts=attempts)
    commands: tuple[Command, ...] = (Command("python", {"function": UNDO}),)
    restore: tuple[str, ...] = ()
    if chance.random() < 0.15:
        commands = commands if chance.random() < 0.5 else ()
        restore = (f"data/{{run_id}}/s{number}" + ("/{index}" if is_for_each else ""),)
    return Rollback(
        "commands",
        commands,
        restore,
        to=to,
        attempts=attempts,
        on_failure=chance.choice(("hold", "hold", "continue")),
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
