"""Reads the record in threads of its own, so that nothing else waits for a long read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from clew.operations.records import Records
from clew.ports import StoreError
from clew.settings import Settings
from clew.wiring.records import open_records

THREADS = 4
"""Reads at once. One that takes long keeps three others going."""

Answer = TypeVar("Answer")

_Question = tuple[Callable[[Records], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class RecordsReader:
    """Reads one store, for one event loop. Each thread has a connection of its own, which is kept open."""

    def __init__(self, settings: Settings, threads: int = THREADS) -> None:
        self._settings = settings
        self._questions: SimpleQueue[_Question | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._read, name=f"reading {number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    async def ask(self, function: Callable[[Records], Answer]) -> Answer:
        """What the function finds. Raises what it raises, StoreError where the store can't be opened."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._questions.put((function, answer, loop))
        return await answer

    def close(self) -> None:
        """Nothing is read any more, once what is under way is done."""
        for _ in self._threads:
            self._questions.put(None)

    def _read(self) -> None:
        with ExitStack() as stack:
            records: Records | None = None
            while (question := self._questions.get()) is not None:
                function, answer, loop = question
                try:
                    if records is None:
                        records = stack.enter_context(open_records(self._settings))
                    found, error = function(records), None
                except BaseException as caught:
                    found, error = None, caught
                    if isinstance(caught, StoreError):
                        stack.close()
                        records = None  # opened anew
                with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    loop.call_soon_threadsafe(_settle, answer, found, error)


def _settle(answer: asyncio.Future[Any], found: Any, error: BaseException | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(found)
    else:
        answer.set_exception(error)
