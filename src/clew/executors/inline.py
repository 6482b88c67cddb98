"""Runs attempts in the caller's own process: for `Program.run` and for `async` stages. No isolation: a plain
function that runs too long can't be killed, and its attempt then ends `unknown`.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from clew.core.program.variables import render
from clew.core.running import statuses
from clew.core.running.json_values import NotJson, to_json
from clew.core.running.outputs import OutputMissing, outputs_of
from clew.ports import AttemptError, AttemptReport, AttemptRequest, Finding, Json, WorkItem

Ended = Callable[[AttemptReport], None]
Function = Callable[..., Any]

THREADS_MAX = 32
"""Plain functions that run side by side; those of a larger block take turns."""

DETAIL_SIZE_MAX = 8_192
"""Characters of a traceback that are kept: its end, where the error is."""


class InlineExecutor:
    """An `Executor` for functions of this process, found by `function_of` (`module:qualname` -> function)."""

    def __init__(self, function_of: Callable[[str, str], Function]) -> None:
        self._function_of = function_of
        self._pool: ThreadPoolExecutor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: dict[str, _Attempt] = {}
        self._queue: deque[_Attempt] = deque()
        self._server_is_due = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._loaded: dict[str, _Loaded] = {}
        self._sweep_at = float("inf")
        self._sweep: asyncio.TimerHandle | None = None

    def submit(self, request: AttemptRequest, ended: Ended) -> None:
        """See `ports.Executor`."""
        loop = self._loop or self._begin_loop()
        deadline = loop.time() + request.timeout_milliseconds / 1000
        attempt = self._running[request.attempt_id] = _Attempt(request, ended, deadline)
        self._queue.append(attempt)
        if not self._server_is_due:
            self._server_is_due = True
            loop.call_soon(self._serve_queue)
        if deadline < self._sweep_at:
            self._sweep_later(loop, deadline)

    def submit_all(self, requests: Sequence[tuple[AttemptRequest, Ended]]) -> None:
        for request, ended in requests:
            self.submit(request, ended)

    def cancel(self, attempt_id: str) -> None:
        attempt = self._running.get(attempt_id)
        if attempt is not None:
            attempt.end(statuses.CANCELLED)

    async def close(self) -> None:
        for attempt in list(self._running.values()):
            attempt.end(statuses.CANCELLED)
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._sweep is not None:
            self._sweep.cancel()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    # ---- one attempt ----

    def _begin_loop(self) -> asyncio.AbstractEventLoop:
        self._loop = asyncio.get_running_loop()
        return self._loop

    def _serve_queue(self) -> None:
        """Start a task that works off the queue, and look after it when it has had its first step: what is still
        queued then waits behind an attempt that waits for something, so another task goes on with the rest.

        So an attempt that never waits costs no task of its own, and every attempt still runs in one task.
        """
        self._server_is_due = False
        if not self._queue:
            return
        loop = self._loop
        assert loop is not None
        task = asyncio.Task(self._serve(), loop=loop)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._server_is_due = True
        loop.call_soon(self._serve_queue)

    async def _serve(self) -> None:
        task = asyncio.current_task()
        queue = self._queue
        variables = len(contextvars.copy_context())
        while queue:
            attempt = queue.popleft()
            if attempt.is_over():
                self._end(attempt, attempt.ended_early())
                continue
            attempt.task = task
            await self._run(attempt)
            if attempt.is_over() or len(contextvars.copy_context()) != variables:
                return  # a task that was cancelled, or whose context an attempt has changed, serves no other

    async def _run(self, attempt: _Attempt) -> None:
        request = attempt.request
        try:
            if request.work == "test":
                findings = [await self._find(request, item) for item in request.items]
                report = AttemptReport(outcome=statuses.COMPLETED, findings=tuple(findings))
            else:
                result: Json = None
                for item in request.items:
                    function, values = self._call_of(request, item)
                    result = await (
                        function(**values) if function.is_async else self._in_thread(function, values)
                    )
                report = _completed(request, result)
        except asyncio.CancelledError:
            report = attempt.ended_early()
        except Exception as error:
            report = AttemptReport(outcome=statuses.FAILED, error=_told(error))
        self._end(attempt, report)

    def _end(self, attempt: _Attempt, report: AttemptReport) -> None:
        attempt.task = None
        del self._running[attempt.request.attempt_id]
        attempt.ended(report)

    async def _find(self, request: AttemptRequest, item: WorkItem) -> Finding:
        """What a `python` condition says: false, or an exception, is not held; a text is why not."""
        function, values = self._call_of(request, item)
        try:
            said = await (function(**values) if function.is_async else self._in_thread(function, values))
        except Exception as error:
            return Finding(item.name, "not_held", f"{type(error).__name__}: {error}")
        if isinstance(said, str) and said:
            return Finding(item.name, "not_held", said)
        held = said is None or bool(said)
        return Finding(item.name, "held" if held else "not_held", "" if held else f"it gave {said!r}")

    def _call_of(self, request: AttemptRequest, item: WorkItem) -> tuple[_Loaded, dict[str, Json]]:
        """The function of an item and the values of its parameters."""
        params: Mapping[str, Json] = item.params
        reference = params["function"]
        loaded = self._loaded.get(reference)
        if loaded is None:
            loaded = self._loaded[reference] = _Loaded(self._function_of(reference, request.folder))
        given = params.get("with")
        if given is None:
            taken = inspect.signature(loaded.function).parameters
            return loaded, {name: request.scope[name] for name in request.inputs if name in taken}
        return loaded, {name: render(value, request.scope) for name, value in given.items()}

    def _in_thread(self, loaded: _Loaded, values: dict[str, Json]) -> asyncio.Future[Any]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="clew-inline")
        return asyncio.get_running_loop().run_in_executor(self._pool, lambda: loaded(**values))

    # ---- deadlines: one timer for all ----

    def _sweep_later(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        self._sweep_at = at
        self._sweep = loop.call_at(at, self._sweep_now)

    def _sweep_now(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._sweep, self._sweep_at = None, float("inf")
        for attempt in list(self._running.values()):
            if attempt.deadline <= now:
                attempt.end(statuses.TIMED_OUT)
        following = min(
            (each.deadline for each in self._running.values() if each.deadline > now), default=None
        )
        if following is not None:
            self._sweep_later(loop, following)


class _Loaded:
    """A function, and whether it is `async`: asked once, not once an attempt."""

    __slots__ = ("function", "is_async")

    def __init__(self, function: Function) -> None:
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function)

    def __call__(self, **values: Json) -> Any:
        return self.function(**values)


def _completed(request: AttemptRequest, result: Any) -> AttemptReport:
    """The report of work that returned; a value that is no JSON, or an output that is missing, is an error."""
    if result is None and not request.outputs:
        return _NOTHING
    result = to_json(result)
    outputs = outputs_of(request.outputs, result) if request.outputs else {}
    return AttemptReport(outcome=statuses.COMPLETED, result=result, outputs=outputs)


_NOTHING = AttemptReport(outcome=statuses.COMPLETED)


class _Attempt:
    __slots__ = ("deadline", "ended", "request", "task", "why")

    def __init__(self, request: AttemptRequest, ended: Ended, deadline: float) -> None:
        self.request, self.ended, self.deadline = request, ended, deadline
        self.task: asyncio.Task[None] | None = None
        self.why = ""

    def is_over(self) -> bool:
        """It was asked to end, or ran out of time."""
        return bool(self.why)

    def end(self, why: str) -> None:
        """Have it end; the first reason counts."""
        self.why = self.why or why
        if self.task is not None:
            self.task.cancel()

    def ended_early(self) -> AttemptReport:
        """It was cancelled or ran out of time. A plain function may still be running: nobody can tell."""
        if self.why == statuses.TIMED_OUT:
            limit = self.request.timeout_milliseconds / 1000
            error = AttemptError("timed_out", f"it ran longer than {limit:g} seconds")
            return AttemptReport(outcome=statuses.TIMED_OUT, error=error)
        return AttemptReport(
            outcome=statuses.CANCELLED, error=AttemptError("cancelled", "it was asked to end")
        )


def _told(error: Exception) -> AttemptError:
    """An exception of the stage's, for people."""
    if isinstance(error, NotJson | OutputMissing):
        return AttemptError("output", str(error))
    import traceback  # only ever needed when something failed

    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None and _is_ours(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    detail = "".join(traceback.format_exception(type(error), error, frames))[-DETAIL_SIZE_MAX:]
    return AttemptError(type(error).__name__, str(error) or type(error).__name__, detail)


def _is_ours(file: str) -> bool:
    """A frame of how the function was called, which tells its author nothing."""
    return file == __file__ or file.endswith(("concurrent/futures/thread.py", "asyncio/base_events.py"))
