"""Threads for what blocks, that nobody waits for when this process ends: a bucket may not answer for a minute."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any

Work = tuple["Future[Any]", Callable[..., Any], Any, Any]


class DaemonThreads(Executor):
    """So many at most, each begun when there is work and no other is free."""

    def __init__(self, threads_max: int) -> None:
        self._threads_max = threads_max
        self._work: SimpleQueue[Work] = SimpleQueue()
        self._free = threading.Semaphore(0)
        self._count = 0

    def submit(self, function: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        """Called from one thread alone."""
        future: Future[Any] = Future()
        self._work.put((future, function, given, named))
        if not self._free.acquire(blocking=False) and self._count < self._threads_max:
            self._count += 1
            threading.Thread(target=self._run, name=f"outside {self._count}", daemon=True).start()
        return future

    def _run(self) -> None:
        while True:
            future, function, given, named = self._work.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(*given, **named))
                except BaseException as error:
                    future.set_exception(error)
                    del error
            del future, function, given, named
            self._free.release()
