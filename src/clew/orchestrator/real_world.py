"""The real clock, real chance and real tasks: what a simulation replaces."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Executor

OUTSIDE_MAX = 8
"""Threads at once, for what blocks: they wait for buckets, most of the time."""


class RealClock:
    def now(self) -> int:
        return time.time_ns() // 1_000_000


class RealChance:
    def token(self, size: int) -> bytes:
        return os.urandom(size)

    def permille(self) -> int:
        return int.from_bytes(os.urandom(8), "big") % 1001


class LoopTasks:
    """`Tasks` on the running event loop. The first error that escapes one of them is kept, and `failed` is told."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._running: set[asyncio.Task[None]] = set()
        self.failed: asyncio.Future[None] = loop.create_future()

    def start(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        task = self._loop.create_task(coroutine, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def soon(self, callback: Callable[[], None]) -> None:
        self._loop.call_soon(self.guarded, callback)

    def later(self, milliseconds: int, callback: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.call_later(milliseconds / 1000, self.guarded, callback)

    def watch(self, socket: int, milliseconds: int, callback: Callable[[], None]) -> LoopWatch:
        return LoopWatch(self._loop, socket, milliseconds, lambda: self.guarded(callback))

    async def outside(self, function: Callable[[], Any]) -> Any:
        return await self._loop.run_in_executor(self._threads, function)

    @cached_property
    def _threads(self) -> Executor:
        from clew.orchestrator.daemon_threads import (
            DaemonThreads,  # few small programs have anything that blocks
        )

        return DaemonThreads(OUTSIDE_MAX)

    def guarded(self, callback: Callable[[], None]) -> None:
        """Call back; an error that escapes is kept, and ends the orchestrator."""
        try:
            callback()
        except Exception as error:
            self._fail(error)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)


class LoopWatch:
    """A `Watch` on the event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        socket: int,
        milliseconds: int,
        callback: Callable[[], None],
    ) -> None:
        self._loop, self._socket, self._callback = loop, socket, callback
        self._is_over = False
        loop.add_reader(socket, self._call)
        self._timer = loop.call_later(milliseconds / 1000, self._call)

    def cancel(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._loop.remove_reader(self._socket)
            self._timer.cancel()

    def call_now(self) -> None:
        if not self._is_over:
            self.cancel()
            self._loop.call_soon(self._callback)

    def _call(self) -> None:
        self.cancel()
        self._callback()
