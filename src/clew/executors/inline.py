"""Runs attempts in the caller's own process: for `Program.run` and for `async` stages. No isolation.

Here nothing can be killed. An attempt that is to end has ended when its function has: an `async` one is cancelled,
a plain one, in its thread, is waited for. One that still runs after a while is reported as `unknown`, and once
more if it ends after all.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clew.core.program.variables import render
from clew.core.running import statuses
from clew.core.running.fold_back import INTERRUPTED
from clew.core.running.json_values import NotJson, to_json
from clew.core.running.outputs import OutputMissing, outputs_of
from clew.ports import AttemptError, AttemptReport, AttemptRequest, Finding, Json, WorkItem

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

Ended = Callable[[AttemptReport], None]
Function = Callable[..., Any]
Check = Callable[[AttemptRequest], AttemptReport | None]

THREADS_MAX = 32
"""Plain functions that run side by side; those of a larger block take turns."""

INLINE_END_SECONDS_MAX = 10
"""How long an attempt that was asked to end is waited for: as long as the local executor waits for a killed one."""

DETAIL_SIZE_MAX = 8_192
"""Characters of a traceback that are kept: its end, where the error is."""


class InlineExecutor:
    """An `Executor` for functions of this process, found by `function_of` (`module:qualname` -> function). `check`
    says, in a thread, why an attempt can't begin with what its stage has found; None where it can."""

    def __init__(self, function_of: Callable[[str, str], Function], check: Check | None = None) -> None:
        self._function_of = function_of
        self._check = check
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

    recovers = False

    def recover(self, request: AttemptRequest, ended: Ended) -> None:
        raise NotImplementedError("what runs here ends with its orchestrator")

    def submit_all(self, requests: Sequence[tuple[AttemptRequest, Ended]]) -> None:
        for request, ended in requests:
            self.submit(request, ended)

    def cancel(self, attempt_id: str) -> None:
        attempt = self._running.get(attempt_id)
        if attempt is not None:
            self._ask_to_end(attempt, statuses.CANCELLED)

    async def close(self) -> None:
        """See `ports.Executor`. What does not end is left behind, since it can't be killed."""
        for attempt in self._running.values():
            self._ask_to_end(attempt, statuses.CANCELLED)
        while self._queue:
            attempt = self._queue.popleft()
            self._end(attempt, attempt.ended_early())
        tasks = [attempt.task for attempt in self._running.values() if attempt.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=INLINE_END_SECONDS_MAX)
        for attempt in list(self._running.values()):
            self._give_up(attempt)
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
            refused = await self._checked(attempt, self._check) if request.found and self._check else None
            if refused is not None:
                report = refused
            elif request.work == "test":
                findings = [await self._find(attempt, item) for item in request.items]
                report = AttemptReport(outcome=statuses.COMPLETED, findings=tuple(findings))
            else:
                result: Json = None
                for item in request.items:
                    function, values = self._call_of(attempt, item)
                    result = await (
                        function(**values)
                        if function.is_async
                        else self._in_thread(attempt, function, values)
                    )
                report = _completed(request, result)
        except asyncio.CancelledError:
            report = attempt.ended_early()
        except Exception as error:
            report = AttemptReport(outcome=statuses.FAILED, error=_told(error))
        if attempt.why == statuses.TIMED_OUT:
            report = attempt.ended_early()  # too late, whatever came of it
        self._end(attempt, report)

    async def _checked(self, attempt: _Attempt, check: Check) -> AttemptReport | None:
        given = {"request": attempt.request}
        refused: AttemptReport | None = await self._in_thread(attempt, _Loaded(check), given)
        return refused

    def _end(self, attempt: _Attempt, report: AttemptReport) -> None:
        attempt.task = None
        if not attempt.is_given_up:
            del self._running[attempt.request.attempt_id]
            attempt.ended(report)
        elif report.outcome != statuses.UNKNOWN and attempt.request.work != "test":
            attempt.ended(report)  # of a test nobody wants to know any more: it is tested anew

    def _ask_to_end(self, attempt: _Attempt, why: str) -> None:
        """Have it end, and give it up if it does not; the first reason counts."""
        if attempt.why:
            return
        loop = self._loop
        assert loop is not None
        attempt.ask_to_end(why)
        attempt.deadline = loop.time() + INLINE_END_SECONDS_MAX
        if attempt.deadline < self._sweep_at:
            self._sweep_later(loop, attempt.deadline)

    def _give_up(self, attempt: _Attempt) -> None:
        """It has not ended, and nobody can say when it will. Its task still waits for it."""
        del self._running[attempt.request.attempt_id]
        attempt.is_given_up = True
        attempt.ended(attempt.still_running())

    async def _find(self, attempt: _Attempt, item: WorkItem) -> Finding:
        """What a `python` condition says: false, or an exception, is not held; a text is why not."""
        function, values = self._call_of(attempt, item)
        try:
            said = await (
                function(**values) if function.is_async else self._in_thread(attempt, function, values)
            )
        except Exception as error:
            return Finding(item.name, "not_held", f"{type(error).__name__}: {error}")
        if isinstance(said, str) and said:
            return Finding(item.name, "not_held", said)
        held = said is None or bool(said)
        return Finding(item.name, "held" if held else "not_held", "" if held else f"it gave {said!r}")

    def _call_of(self, attempt: _Attempt, item: WorkItem) -> tuple[_Loaded, dict[str, Json]]:
        """The function of an item and the values of its parameters. Raises CancelledError when the one before
        has ended, and the attempt was to end: then this one does not begin."""
        if attempt.why:
            raise asyncio.CancelledError
        request = attempt.request
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

    async def _in_thread(self, attempt: _Attempt, loaded: _Loaded, values: dict[str, Json]) -> Any:
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor  # `async` functions need none

            self._pool = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="clew-inline")
        thread = attempt.thread = self._pool.submit(loaded, **values)
        try:
            return await asyncio.wrap_future(thread)
        finally:
            if thread.done():
                attempt.thread = None

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
            if attempt.deadline > now:
                continue
            if attempt.is_over():
                self._give_up(attempt)
            else:
                self._ask_to_end(attempt, statuses.TIMED_OUT)
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
    """`deadline` is when it is asked to end; once it has been, when it is given up. `thread` is what its plain
    function runs in, or waits for, while it does."""

    __slots__ = ("deadline", "ended", "is_given_up", "request", "task", "thread", "why")

    def __init__(self, request: AttemptRequest, ended: Ended, deadline: float) -> None:
        self.request, self.ended, self.deadline = request, ended, deadline
        self.task: asyncio.Task[None] | None = None
        self.thread: Future[Any] | None = None
        self.why = ""
        self.is_given_up = False

    def is_over(self) -> bool:
        """It was asked to end, or ran out of time."""
        return bool(self.why)

    def ask_to_end(self, why: str) -> None:
        self.why = why
        if self.thread is not None:
            self.thread.cancel()  # without effect once the function has begun
        elif self.task is not None:
            self.task.cancel()

    def ended_early(self) -> AttemptReport:
        """It was cancelled or ran out of time."""
        if self.thread is not None:
            # The event loop is being ended, and takes with it whoever waits for the thread.
            lost = AttemptError(INTERRUPTED, "its function was still running when the event loop was ended")
            return AttemptReport(outcome=statuses.UNKNOWN, error=lost)
        error = AttemptError(self.why or statuses.CANCELLED, self._asked())
        return AttemptReport(outcome=error.kind, error=error)

    def still_running(self) -> AttemptReport:
        """What to say of one that does not end."""
        later = f"{INLINE_END_SECONDS_MAX} seconds later it still ran"
        message = f"{self._asked()}, and {later}: what it does may go on"
        return AttemptReport(outcome=statuses.UNKNOWN, error=AttemptError(self.why, message))

    def _asked(self) -> str:
        if self.why == statuses.TIMED_OUT:
            return f"it ran longer than {self.request.timeout_milliseconds / 1000:g} seconds"
        return "it was asked to end"


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
