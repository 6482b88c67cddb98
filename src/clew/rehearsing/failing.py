"""The executor of a scenario: stands before the real one, and lets go wrong what the scenario says.

One piece of work is done at a time, and the world looked at after it, so that it is known who changed what. Of what
is waiting the one that is to go wrong comes last: what runs beside it has acted by then, and has to be undone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from clew.commands.doubles import NO_DOUBLE
from clew.core.running import statuses
from clew.orchestrator.real_world import LoopTasks
from clew.ports import AttemptError, AttemptReport, AttemptRequest, Executor
from clew.rehearsing.scenarios import AFTER, BEFORE, CRASH, HALFWAY, TWICE, Scenario
from clew.rehearsing.worlds import Act, World, difference

ON_PURPOSE = "rehearsal"
"""The kind of error of what goes wrong on purpose."""

TURNS = 3
"""Rounds of the event loop in which the orchestrator may say more to a report: a block's stages begin in one turn."""

Ended = Callable[[AttemptReport], None]


class FailingExecutor:
    """A `ports.Executor` over another, for one scenario."""

    def __init__(
        self,
        inner: Executor,
        tasks: LoopTasks,
        scenario: Scenario,
        *,
        doubled: Callable[[AttemptRequest], AttemptRequest],
        look: Callable[[], World],
    ) -> None:
        self._inner = inner
        self._tasks = tasks
        self._scenario = scenario
        self._doubled = doubled
        self._look = look
        self._queue: list[tuple[AttemptRequest, Ended]] = []
        self._work_going_on: asyncio.Task[None] | None = None
        self._is_closed = False
        self._running = ""
        self._seen: World = {}
        self._spared: set[str] = set()
        """The units whose rollback has gone wrong as it should."""
        self.has_struck = False
        """The attempt that was to go wrong has."""
        self.acts: list[Act] = []
        self.errors: dict[tuple[str, str], AttemptError] = {}
        """By stage and unit, how its rollback went wrong of itself, if its last try did."""
        self.failures: dict[str, AttemptError] = {}
        """By stage, how its attempt or its validation did."""
        self.missing: dict[str, str] = {}
        """By stage, what turned out to have no double."""

    # ---- the port ----

    def submit(self, request: AttemptRequest, ended: Ended) -> None:
        self.submit_all([(request, ended)])

    recovers = False

    def recover(self, request: AttemptRequest, ended: Ended) -> None:
        raise NotImplementedError("what runs here ends with its orchestrator")

    def submit_all(self, requests: Sequence[tuple[AttemptRequest, Ended]]) -> None:
        self._queue.extend(requests)
        if self._work_going_on is None:
            self._work_going_on = self._tasks.start(self._work(), name="rehearse")

    def cancel(self, attempt_id: str) -> None:
        if attempt_id == self._running:
            self._inner.cancel(attempt_id)
            return
        for at, (request, ended) in enumerate(self._queue):
            if request.attempt_id == attempt_id:
                del self._queue[at]
                error = AttemptError("cancelled", "it was cancelled before its turn came")
                report = AttemptReport(outcome=statuses.NOT_BEGUN, error=error)
                self._tasks.soon(partial(ended, report))
                return

    async def close(self) -> None:
        self._is_closed = True
        self._queue.clear()
        if self._running:
            self._inner.cancel(self._running)
        if self._work_going_on is not None:
            await asyncio.wait({self._work_going_on})

    # ---- one thing after the other ----

    async def _work(self) -> None:
        self._seen = await self._looked()
        while self._queue and not self._is_closed:
            request, ended = self._queue.pop(self._next())
            report = await self._performed(request)
            if not self._is_closed:
                ended(report)
                for _ in range(TURNS):
                    await asyncio.sleep(0)
        self._work_going_on = None

    def _next(self) -> int:
        for at, (request, _) in enumerate(self._queue):
            if not self._is_struck(request):
                return at
        return 0

    async def _looked(self) -> World:
        return await self._tasks.outside(self._look)  # type: ignore[no-any-return]

    def _is_struck(self, request: AttemptRequest) -> bool:
        """Whether this attempt is to go wrong: the stage's first, of the first item if it has items."""
        stage = self._scenario.stage
        if request.work != "execute" or request.stage != stage or self.has_struck:
            return False
        return _unit_of(request) in (stage, f"{stage}[0]")

    # ---- what goes wrong ----

    async def _performed(self, request: AttemptRequest) -> AttemptReport:
        if self._is_struck(request):
            self.has_struck = True
            return await self._gone_wrong(request)
        if request.work != "rollback":
            return await self._run(request)
        if self._scenario.kind == TWICE:
            return await self._run_twice(request)
        if not self._scenario.stage and _unit_of(request) not in self._spared:
            self._spared.add(_unit_of(request))
            return await self._gone_wrong(request)
        return await self._run(request)

    async def _gone_wrong(self, request: AttemptRequest) -> AttemptReport:
        """The report of work that goes wrong as the scenario has it, or of itself."""
        kind, count = self._scenario.kind, self._scenario.commands
        if kind == BEFORE:
            return _failed("it failed on purpose, before it acted")
        if kind == HALFWAY and count < len(request.items):
            await self._run(msgspec.structs.replace(request, items=request.items[:count], outputs=()))
            return _lost(f"it was lost on purpose, after {count} of its {len(request.items)} commands")
        if kind not in (AFTER, CRASH):
            return await self._run(request)
        report = await self._run(request)
        if report.outcome != statuses.COMPLETED:
            return report
        if kind == AFTER:
            return _failed("it failed on purpose, after it had acted")
        return _lost("it was lost on purpose, after it had acted")

    async def _run_twice(self, request: AttemptRequest) -> AttemptReport:
        report = await self._run(request)
        if report.outcome == statuses.COMPLETED:
            await self._run(request)  # how that goes is not the run's business, and is kept
        return report

    # ---- what is really done ----

    async def _run(self, request: AttemptRequest) -> AttemptReport:
        report = await self._submitted(request)
        seen = await self._looked()
        changes = difference(self._seen, seen)
        self._seen = seen
        if changes:
            self.acts.append(Act(request.stage, request.work, tuple(changes)))
        error = report.error or _not_held(report)
        if error is not None:
            self._keep_error(request, error)
        elif request.work == "rollback":
            self.errors.pop((request.stage, _unit_of(request)), None)
        return report

    async def _submitted(self, request: AttemptRequest) -> AttemptReport:
        if self._is_closed:
            return AttemptReport(outcome=statuses.NOT_BEGUN)
        ended: asyncio.Future[AttemptReport] = asyncio.get_running_loop().create_future()
        self._running = request.attempt_id
        self._inner.submit(self._doubled(request), ended.set_result)
        try:
            return await ended
        finally:
            self._running = ""

    def _keep_error(self, request: AttemptRequest, error: AttemptError) -> None:
        if error.kind == NO_DOUBLE:
            self.missing[request.stage] = error.message
        if request.work == "rollback":
            self.errors[request.stage, _unit_of(request)] = error
        else:
            self.failures[request.stage] = error


def _unit_of(request: AttemptRequest) -> str:
    """The stage, or the item of one, that an attempt or a try at a rollback is of."""
    unit = request.attempt_id.partition("/")[2]
    marks = unit.removeprefix(request.stage)
    return request.stage + (marks[: marks.index("]") + 1] if marks.startswith("[") else "")


def _not_held(report: AttemptReport) -> AttemptError | None:
    """What the conditions that did not hold say."""
    said = [f"{one.condition}: {one.message}" for one in report.findings if one.verdict != "held"]
    return AttemptError("validation", "; ".join(said)) if said else None


def _failed(message: str) -> AttemptReport:
    return AttemptReport(outcome=statuses.FAILED, error=AttemptError(ON_PURPOSE, message))


def _lost(message: str) -> AttemptReport:
    return AttemptReport(outcome=statuses.UNKNOWN, error=AttemptError(ON_PURPOSE, message))
