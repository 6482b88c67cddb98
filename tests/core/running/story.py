"""What the tests of the running core are told with: small programs, and runs that say one entry after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clew.core.program.model import Command, Condition, Output, Program, Retry, Rollback, Stage
from clew.core.program.signatures import Signature, by_name
from clew.core.running.decide import decide
from clew.core.running.entries import AttemptEnded, AttemptStarted, Body, Entry, RunCreated
from clew.core.running.sealed_program import SealedProgram, seal_program
from clew.core.running.state import RunState, StageState
from clew.core.sealing.journal import Head, StoredEntry

COMMANDS = by_name(
    (
        Signature("act", "acts", open_params=True),
        Signature("undo", "undoes", open_params=True),
        Signature("rest", "leaves nothing", open_params=True, leaves_nothing=True),
    )
)
CONDITIONS = by_name((Signature("look", "looks", open_params=True),))

UNDO = Rollback("commands", (Command("undo"),), retry=Retry(attempts=2, delay_milliseconds=100, jitter=False))
LOOK = Condition("look")


def stage(
    name: str, *, reads: Sequence[str] = (), writes: Sequence[str | Output] = (), **given: Any
) -> Stage:
    """A stage that acts, is undone unless it is said otherwise, and is tried once."""
    outputs = tuple(one if isinstance(one, Output) else Output(one) for one in writes)
    given = {"execute": (Command("act"),), "rollback": UNDO, **given}
    return Stage(name, inputs=tuple(reads), outputs=outputs, **given)


def sealed(*stages: Stage, **given: Any) -> SealedProgram:
    return seal_program(Program("story", stages, **given), COMMANDS, CONDITIONS)


class Story:
    """A run that is told entry by entry; `at` is the moment of the next one."""

    def __init__(self, *stages: Stage, **given: Any) -> None:
        self.program = sealed(*stages, **given)
        self.state = RunState(self.program)
        self.head = Head("run-1", 0, self.program.plan_hash)
        self.entries: list[Entry] = []
        self.stored: list[StoredEntry] = []
        self.epoch = 1
        self.at = 1_000
        self.say(RunCreated("story", self.program.version, self.program.plan_hash, "a", 1_000, 1, "test"))

    def say(self, *bodies: Body) -> Story:
        for body in bodies:
            name = getattr(body, "stage", "")
            block = self.program.stages[name].block if name in self.program.stages else 0
            entry, stored = self.head.link(
                body, at=self.at, epoch=self.epoch, block=self.program.block_hash(block) if block else ""
            )
            self.state.apply(entry)
            self.entries.append(entry)
            self.stored.append(stored)
            self.at += 10
        return self

    def stage(self, name: str) -> StageState:
        return self.state.stages[name]

    def due(self) -> list[Any]:
        return decide(self.state)

    # ---- what is told most often ----

    def start(self, *names: str, **given: Any) -> Story:
        for name in names:
            self.say(AttemptStarted(name, self.stage(name).attempts + 1, **given))
        return self

    def end(self, name: str, outcome: str, becomes: str, **given: Any) -> Story:
        return self.say(AttemptEnded(name, self.stage(name).attempts, outcome, becomes, **given))

    def complete(self, *names: str) -> Story:
        for name in names:
            self.start(name).end(name, "completed", "completed")
        return self

    def fail(self, name: str) -> Story:
        return self.start(name).end(name, "failed", "failed", error_kind="exit")
