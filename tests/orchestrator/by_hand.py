"""An orchestrator whose attempts and tests end when the story says so, and how."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.orchestrator.test_attending import say
from tests.orchestrator.test_recording import Instant, TroubledStore, assembled

from clew.core.running.entries import Entry
from clew.core.running.sealed_program import SealedProgram
from clew.core.running.state import RunState
from clew.orchestrator.driven_run import DrivenRun, Origin
from clew.orchestrator.real_world import LoopTasks
from clew.ports import AttemptError, AttemptReport, AttemptRequest, Finding, Timer


class ByHand(Instant):
    """What it has begun waits for a word. Two of one name at a time no executor can tell apart."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way: dict[str, Callable[[AttemptReport], None]] = {}
        self.moved = asyncio.Event()

    def submit(self, request: AttemptRequest, ended: Callable[[AttemptReport], None]) -> None:
        name = request.attempt_id.partition("/")[2]
        assert name not in self.under_way, f"{name} is under way already"
        self.begun.append(name)
        self.under_way[name] = ended
        self.moved.set()


class Noticed(LoopTasks):
    """Says so when something is put off, or a turn was taken."""

    def __init__(self, moved: asyncio.Event) -> None:
        super().__init__(asyncio.get_running_loop())
        self._moved = moved

    def soon(self, callback: Callable[[], None]) -> None:
        def call() -> None:
            callback()
            self._moved.set()

        super().soon(call)

    def later(self, milliseconds: int, callback: Callable[[], None]) -> Timer:
        self._moved.set()
        return super().later(milliseconds, callback)


class RunByHand:
    """One run of a program, in an orchestrator of its own."""

    def __init__(self, program: SealedProgram, **given: Any) -> None:
        self.executor = ByHand()
        tasks = Noticed(self.executor.moved)
        self.orchestrator = assembled(TroubledStore(), self.executor, tasks=tasks, **given)
        self.run: DrivenRun = self.orchestrator.create(program, {}, requested_by="test", origin=Origin())
        self.entries: list[Entry] = []
        """What is on record."""
        self.run.observer = self._recorded
        self._said = 0

    @property
    def kinds(self) -> list[str]:
        """Of the entries on record."""
        return [type(entry.body).__name__ for entry in self.entries]

    def _recorded(self, entry: Entry, state: RunState) -> None:
        self.entries.append(entry)
        self.executor.moved.set()

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait for what comes about when something begins, is put off, or is recorded."""
        while not holds():
            self.executor.moved.clear()
            await self.executor.moved.wait()

    async def end(self, name: str, outcome: str = "completed", *, findings: tuple[Finding, ...] = ()) -> None:
        """Once that is under way, it ends so."""
        (await self.taken(name))(report(outcome, findings=findings))

    async def taken(self, name: str) -> Callable[[AttemptReport], None]:
        """Once that is under way, what tells its end, which comes later."""
        await self.until(lambda: name in self.executor.under_way)
        return self.executor.under_way.pop(name)

    async def passes(self, name: str) -> None:
        """Once that test is under way, its one condition holds."""
        await self.end(name, findings=(HELD,))

    def say(self, verb: str, **given: str) -> None:
        self._said += 1
        say(self.orchestrator, self.run.state.run_id, verb, f"said {self._said}", **given)

    async def settled(self) -> str:
        await self.until(lambda: self.run.is_at_rest)
        return self.run.state.status


HELD, NOT_HELD = Finding("look", "held"), Finding("look", "not_held")


def report(outcome: str, *, findings: tuple[Finding, ...] = ()) -> AttemptReport:
    error = None if outcome == "completed" else AttemptError("exit", "by hand")
    return AttemptReport(outcome=outcome, findings=findings, error=error)
