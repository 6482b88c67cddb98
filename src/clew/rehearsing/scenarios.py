"""The scenarios of a rehearsal: what goes wrong on purpose, where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from clew.core.program.model import Program, Stage

SCENARIOS_MAX = 500
"""Each takes the time of a run and its way back: beyond this, a rehearsal is for a part of the stages at a time."""

BEFORE = "before"
AFTER = "after"
CRASH = "crash"
HALFWAY = "halfway"
ONCE = "once"
TWICE = "twice"

KINDS = (BEFORE, AFTER, CRASH, HALFWAY)
"""How an attempt, or a try at a rollback, goes wrong: it fails and has not acted; it fails and has; it is lost and has
acted, which nobody knows; it is lost between two of its commands."""


class Scenario(NamedTuple):
    """What goes wrong. With a `stage` its first attempt does, by `kind`. Without one the program is completed, then
    rolled back: `once`, with every rollback run `twice`, or with the first try of each going wrong by `kind`.
    `commands` is how many are performed `halfway`."""

    kind: str
    stage: str = ""
    commands: int = 0

    @property
    def name(self) -> str:
        """A name for people and files."""
        part = f" {self.commands}" if self.kind == HALFWAY else ""
        return f"{self.stage or 'rollbacks'}: {self.kind}{part}"


UNDISTURBED = Scenario(ONCE)
"""Comes first: what does not get through undisturbed can't be rehearsed."""


def scenarios_of(program: Program, stages: Iterable[str]) -> list[Scenario]:
    """All scenarios for these stages beside the undisturbed one."""
    models = [program.stage(name) for name in stages]
    found = [scenario for stage in models for scenario in _of_stage(stage)]
    undone = [stage for stage in models if stage.rollback.kind == "commands"]
    return [*found, *_of_rollbacks(undone)] if undone else found


def _of_stage(stage: Stage) -> Iterator[Scenario]:
    for kind in (BEFORE, AFTER, CRASH):
        yield Scenario(kind, stage.name)
    for count in range(1, len(stage.execute)):
        yield Scenario(HALFWAY, stage.name, count)


def _of_rollbacks(stages: Iterable[Stage]) -> Iterator[Scenario]:
    for kind in (BEFORE, AFTER, CRASH):
        yield Scenario(kind)
    longest = max(len(stage.rollback.commands) + bool(stage.rollback.restore) for stage in stages)
    for count in range(1, longest):
        yield Scenario(HALFWAY, commands=count)
    yield Scenario(TWICE)
