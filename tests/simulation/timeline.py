"""Time, order and the lives of processes in the pretend world.

One timeline runs everything: what orchestrators do and what the world outside does. It picks by seed among all
that is ready, and time only passes when nothing is. Each orchestrator's life has an asyncio event loop of its
own, so that the real driver runs unmodified, and so that a life can be cut off or held still at any point.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from random import Random
from typing import Any

EVENTS_MAX = 200_000
"""Hundreds of times what an ordinary history takes: beyond it something goes round in circles."""


class Crash(BaseException):
    """The process is gone, here and now. Nothing of it that runs may catch this."""


class Stuck(Exception):
    """The history does not come to an end."""


class Life(asyncio.AbstractEventLoop):
    """The event loop of one orchestrator process, from its start to its end."""

    def __init__(self, timeline: Timeline, name: str) -> None:
        self._timeline = timeline
        self.name = name
        self.is_gone = False
        self.is_frozen = False
        self.backlog: list[asyncio.Handle] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self._readers: dict[int, asyncio.TimerHandle] = {}

    def __repr__(self) -> str:
        return self.name

    # ---- what asyncio asks of a loop ----

    def time(self) -> float:
        return self._timeline.now / 1000

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._timeline.ready(self, handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._timeline.put(round(when * 1000), self, handle)
        return handle

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        """Something comes on the socket, now or in a while."""
        delay = self._timeline.chance.choice((0, 1, 20, 400)) / 1000
        self._readers[fd] = self.call_later(delay, callback, *args)

    def remove_reader(self, fd: Any) -> bool:
        handle = self._readers.pop(fd, None)
        if handle is not None:
            handle.cancel()
        return handle is not None

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coroutine: Any, *, name: str | None = None, context: Any = None
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=self, name=name)
        self.tasks.append(task)
        return task

    def run_in_executor(self, executor: Any, function: Any, *args: Any) -> asyncio.Future[Any]:
        """A thread that takes its time: the function runs somewhere between now and the answer."""
        future = self.create_future()

        def run() -> None:
            if not future.done():
                future.set_result(function(*args))

        self.call_later(self._timeline.chance.choice((0, 1, 20, 400)) / 1000, run)
        return future

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self.is_gone

    def is_closed(self) -> bool:
        return self.is_gone

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.is_gone:
            self._timeline.errors.append(context.get("exception") or RuntimeError(context["message"]))

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays where it is, and is passed over."""

    # ---- its end ----

    def end(self) -> None:
        """It is gone: nothing of it runs any more."""
        self.is_gone = True
        self.backlog.clear()
        for task in self.tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            if not task.done():
                task.get_coro().close()  # type: ignore[union-attr]
        self.tasks.clear()

    def thaw(self) -> None:
        self.is_frozen = False
        handles, self.backlog = self.backlog, []
        for handle in handles:
            self._timeline.ready(self, handle)


class _Outside:
    """An event of the world outside, in the place of a process' handle."""

    __slots__ = ("callback", "is_cancelled")

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Timeline:
    """The one scheduler. `now` is in milliseconds since the history began."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.now = 0
        self.events = 0
        self.errors: list[BaseException] = []
        self.crashed: Callable[[Life], None] = lambda life: None
        self._heap: list[tuple[int, int, Life | None, Any]] = []
        self._ready: list[tuple[Life | None, Any]] = []
        self._count = 0

    # ---- what is to come ----

    def ready(self, life: Life | None, handle: Any) -> None:
        self._ready.append((life, handle))

    def put(self, at: int, life: Life | None, handle: Any) -> None:
        self._count += 1
        heapq.heappush(self._heap, (max(at, self.now), self._count, life, handle))

    def after(self, milliseconds: int, callback: Callable[[], None]) -> _Outside:
        """Have something happen outside, so much later."""
        event = _Outside(callback)
        self.put(self.now + milliseconds, None, event)
        return event

    # ---- running ----

    def step(self) -> bool:
        """Let the next thing happen; False when there is nothing more."""
        while True:
            if not self._ready:
                if not self._heap:
                    return False
                self._pass_time()
            life, handle = self._pick()
            if life is None:
                if not handle.is_cancelled:
                    handle.callback()
                    break
            elif life.is_gone or handle.cancelled():
                continue
            elif life.is_frozen:
                life.backlog.append(handle)
            else:
                self._run(life, handle)
                break
        self.events += 1
        if self.events > EVENTS_MAX:
            raise Stuck(f"after {self.events} events the history goes on at {self.now} ms")
        if self.errors:
            raise self.errors[0]
        return True

    def _pass_time(self) -> None:
        self.now = self._heap[0][0]
        while self._heap and self._heap[0][0] == self.now:
            _, _, life, handle = heapq.heappop(self._heap)
            self._ready.append((life, handle))

    def _pick(self) -> tuple[Life | None, Any]:
        ready = self._ready
        at = int(self.chance.random() * len(ready))
        ready[at], ready[-1] = ready[-1], ready[at]
        return ready.pop()

    def _run(self, life: Life, handle: asyncio.Handle) -> None:
        """Run a handle of a life. asyncio's own way would catch a crash, and nothing may."""
        asyncio._set_running_loop(life)
        try:
            handle._context.run(handle._callback, *handle._args)  # type: ignore[attr-defined]
        except Crash:
            self.crashed(life)
        finally:
            asyncio._set_running_loop(None)

    def within(self, life: Life, function: Callable[[], Any]) -> Any:
        """Run something as if the process did it; a crash ends the process and gives None."""
        asyncio._set_running_loop(life)
        try:
            return function()
        except Crash:
            self.crashed(life)
            return None
        finally:
            asyncio._set_running_loop(None)
