"""An orchestrator in a world of its own, whose clock stands until a test has it go on, and whose attempts end when the
test says so. No real time passes."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from itertools import count
from typing import Any

import msgspec
from tests.orchestrator.test_recording import Instant, TroubledStore, assembled

from clew.core.running.entries import Entry
from clew.core.running.instructions import Instruction
from clew.core.running.sealed_program import SealedProgram
from clew.core.sealing.journal import read_entry
from clew.orchestrator.creating import Due
from clew.orchestrator.driven_run import DrivenRun, Origin
from clew.orchestrator.real_world import LoopTasks
from clew.orchestrator.scheduler import Scheduler
from clew.ports import AttemptError, AttemptReport, AttemptRequest

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOON = 1_767_268_800_000
"""2026-01-01T12:00:00Z, a Thursday."""

HOURLY = (("0 * * * *",),)
MINUTELY = (("* * * * *",),)

ROUNDS = 60
"""Of the event loop, in which all that follows from something has followed: a turn is done in a few."""


def on_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A test that is a coroutine, as one that pytest can call."""

    @wraps(test)
    def called(*words: Any, **given: Any) -> None:
        async def story() -> None:
            await test(*words, **given)

        asyncio.run(story())

    return called


class SetClock:
    """Shows what it was set to."""

    def __init__(self, at: int) -> None:
        self.at = at

    def now(self) -> int:
        return self.at


class Awaited:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class HandAlarm:
    """Rings when it is told to, for what the clock shows then."""

    def __init__(self, clock: SetClock) -> None:
        self._clock = clock
        self._numbers = count()
        self._awaited: list[tuple[int, int, Awaited]] = []

    def at(self, moment: int, callback: Callable[[], None]) -> Awaited:
        awaited = Awaited(callback)
        heapq.heappush(self._awaited, (moment, next(self._numbers), awaited))
        return awaited

    @property
    def next(self) -> int | None:
        """The first moment that somebody waits for."""
        while self._awaited and self._awaited[0][2].is_cancelled:
            heapq.heappop(self._awaited)
        return self._awaited[0][0] if self._awaited else None

    def ring(self) -> None:
        while self.next is not None and self.next <= self._clock.now():
            heapq.heappop(self._awaited)[2].callback()


class HandTasks(LoopTasks):
    """What is put off comes by the world's clock; or never, as for a machine that is asleep until somebody's alarm."""

    is_asleep = False

    def __init__(self, alarm: HandAlarm, clock: SetClock) -> None:
        super().__init__(asyncio.get_running_loop())
        self._alarm = alarm
        self._clock = clock

    def later(self, milliseconds: int, callback: Callable[[], None]) -> Any:
        if self.is_asleep:
            return Awaited(callback)
        return self._alarm.at(self._clock.now() + milliseconds, lambda: self.guarded(callback))


class Hands(Instant):
    """What it has begun waits for a word; but rollbacks work at once, and what is told to end ends."""

    def __init__(self, *, is_instant: bool = False) -> None:
        super().__init__()
        self.is_instant = is_instant
        self.under_way: dict[str, tuple[AttemptRequest, Callable[[AttemptReport], None]]] = {}

    def submit(self, request: AttemptRequest, ended: Callable[[AttemptReport], None]) -> None:
        if self.is_instant or ".rollback." in request.attempt_id:
            super().submit(request, ended)
            return
        self.begun.append(request.attempt_id)
        self.under_way[request.attempt_id] = request, ended

    def cancel(self, attempt_id: str) -> None:
        self.end(attempt_id, "cancelled")

    def end(self, attempt_id: str, outcome: str = "completed") -> None:
        request, ended = self.under_way.pop(attempt_id)
        if outcome == "completed":
            report = AttemptReport(outcome=outcome, outputs={output.name: 1 for output in request.outputs})
        else:
            report = AttemptReport(outcome=outcome, error=AttemptError("exit", "by hand"))
        asyncio.get_running_loop().call_soon(ended, report)


class World:
    """A store, and an orchestrator on it after another."""

    def __init__(
        self, *, at: int = NOON, store: TroubledStore | None = None, is_instant: bool = False
    ) -> None:
        self.store = store or TroubledStore()
        self.clock = SetClock(at)
        self.is_instant = is_instant
        self._said = 0
        self._lives = 0
        self._begin()

    def _begin(self) -> None:
        self._lives += 1
        self.store.leases.me = f"life {self._lives}"
        self.alarm = HandAlarm(self.clock)
        self.executor = Hands(is_instant=self.is_instant)
        self.tasks = HandTasks(self.alarm, self.clock)
        self.orchestrator = assembled(
            self.store, self.executor, tasks=self.tasks, clock=self.clock, alarm=self.alarm
        )
        self._scheduler: Scheduler | None = None
        self.left_alone: list[str] = []
        self.orchestrator.leaves_alone = lambda what, why: self.left_alone.append(f"{what}: {why}")

    def lose(self, *programs: SealedProgram, at: int | None = None) -> None:
        """The orchestrator is gone, as by a kill; the next one, which knows these programs, takes up what it may."""
        self.orchestrator.driver.stop()
        self.orchestrator.places.stop()
        if self._scheduler is not None:
            self._scheduler.stop()
        self.clock.at = self.clock.at + 1 if at is None else at
        self._begin()
        for program in programs:
            self.orchestrator.programs.register(program)
        self.orchestrator.claims.adopt()

    @property
    def scheduler(self) -> Scheduler:
        if self._scheduler is None:
            self.schedule()
        assert self._scheduler is not None
        return self._scheduler

    def schedule(self, jitter: int = 0) -> None:
        self._scheduler = self.orchestrator.schedule(zones="test", jitter_milliseconds=jitter)

    def go_live(self, program: SealedProgram, source: str = "story.yaml") -> None:
        self.scheduler.go_live(program, Origin(), source)

    # ---- time ----

    async def quiet(self) -> None:
        """All has followed that follows."""
        for _ in range(ROUNDS):
            await asyncio.sleep(0)
        self.orchestrator.check()

    async def go_to(self, moment: int) -> None:
        """Time goes on to then; what is awaited meanwhile happens in its turn."""
        await self.quiet()
        while self.alarm.next is not None and self.alarm.next <= moment:
            self.clock.at = max(self.clock.at, self.alarm.next)
            self.alarm.ring()
            await self.quiet()
        self.clock.at = moment
        await self.quiet()

    async def jump_to(self, moment: int) -> None:
        """Somebody sets the clock, or the machine was asleep until then."""
        await self.quiet()
        self.clock.at = moment
        self.alarm.ring()
        await self.quiet()

    # ---- runs ----

    def due(self, program: SealedProgram, *times: int, **given: Any) -> list[str]:
        """Queued runs for these times, as the scheduler makes them."""
        run_ids = []
        for at in times:
            due = Due(at, **{"generation": 1, **given})
            run = self.orchestrator.maker.make(program, {}, requested_by="schedule", origin=Origin(), due=due)
            self.store.record([run.record()])
            run_ids.append(run.state.run_id)
        self.look(program)
        return run_ids

    def look(self, program: SealedProgram) -> None:
        self.orchestrator.places.look(program.program.name)

    def request(self, program: SealedProgram) -> DrivenRun:
        return self.orchestrator.create(program, {}, requested_by="test", origin=Origin())

    def tell(self, run_id: str, verb: Any, **values: Any) -> None:
        """A person says so; which is taken up at once."""
        self._said += 1
        content = msgspec.json.encode(Instruction(verb, "somebody", values=values)).decode()
        self.store.instruct(f"said {self._said}", run_id, content, self.clock.at)
        self.orchestrator.attend()

    def answer(self) -> str | None:
        """What became of what was said last."""
        row = self.store.instruction(f"said {self._said}")
        assert row is not None
        return row.answer

    async def end(self, run_id: str, name: str = "a.1", outcome: str = "completed") -> None:
        self.executor.end(f"{run_id}/{name}", outcome)
        await self.quiet()

    # ---- what is on record ----

    def rows(self) -> list[Mapping[str, Any]]:
        """Of all runs, by scheduled time and generation."""
        rows = self.store.runs(limit=100_000)
        return sorted(rows, key=lambda row: (row["program"], row["run_time"], row["generation"]))

    def statuses(self) -> list[tuple[int, str]]:
        """By scheduled time and generation: minutes since noon, and the status."""
        return [((row["run_time"] - NOON) // MINUTE, row["status"]) for row in self.rows()]

    def status(self, run_id: str) -> str:
        row = self.store.run(run_id)
        assert row is not None
        return str(row["status"])

    def entries(self, run_id: str) -> list[Entry]:
        return [read_entry(content.encode()) for content, _ in self.store.journal(run_id)]

    def kinds(self, run_id: str) -> list[str]:
        return [type(entry.body).__name__ for entry in self.entries(run_id)]

    def reason(self, run_id: str) -> str:
        """Why the run was never begun."""
        return str(getattr(self.entries(run_id)[-1].body, "reason", ""))

    @property
    def begun(self) -> list[str]:
        """The runs whose attempts are under way, by id, in the order in which they began."""
        return [attempt_id.partition("/")[0] for attempt_id in self.executor.under_way]
