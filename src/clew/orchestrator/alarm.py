"""An alarm by the wall clock, which also hears when the clock is set or the machine was asleep. Nothing polls.

By `clock_timer`, since no timer of the event loop follows the wall clock.
"""

from __future__ import annotations

import asyncio
import errno
import heapq
import os
from collections.abc import Callable
from itertools import count

from clew.ports import Clock

FAR_SECONDS = 1 << 33
"""Armed also when nothing is awaited, or nobody would hear that the clock is set: until the year 2242."""


CANCELLED_MAX = 1_000
"""Moments that nobody waits for any more and that are still kept: it costs a few of them to drop all, and runs wait
anew with each turn, for moments that may be days away."""


class _Awaited:
    """A moment that somebody waits for, until it has rung or is cancelled."""

    __slots__ = ("_cancelled", "callback")

    def __init__(self, callback: Callable[[], None], cancelled: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback
        self._cancelled = cancelled

    def cancel(self) -> None:
        if self.callback is not None:
            self.callback = None
            self._cancelled()


class WallClockAlarm:
    """An `Alarm` on the running event loop. Closed by `close`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        *,
        guarded: Callable[[Callable[[], None]], None],
    ) -> None:
        """`guarded` calls a callback, and sees to what escapes it. Raises StoreError where there is no such timer."""
        self._loop = loop
        self._clock = clock
        self._guarded = guarded
        self._awaited: list[tuple[int, int, _Awaited]] = []
        self._numbers = count()
        self._cancelled_count = 0
        self._file: int | None = None

    def at(self, moment: int, callback: Callable[[], None]) -> _Awaited:
        awaited = _Awaited(callback, self._cancelled)
        heapq.heappush(self._awaited, (moment, next(self._numbers), awaited))
        if self._awaited[0][2] is awaited:
            self._arm()
        return awaited

    def close(self) -> None:
        """Nothing is awaited any more."""
        self._awaited.clear()
        self._cancelled_count = 0
        if self._file is not None:
            self._loop.remove_reader(self._file)
            os.close(self._file)
            self._file = None

    def _cancelled(self) -> None:
        """One more of those that are kept does not count any more."""
        self._cancelled_count += 1
        if self._cancelled_count > max(CANCELLED_MAX, len(self._awaited) // 2):
            self._awaited = [each for each in self._awaited if each[2].callback is not None]
            heapq.heapify(self._awaited)
            self._cancelled_count = 0

    def _arm(self) -> None:
        if self._file is None:
            from clew.orchestrator import clock_timer

            self._file = clock_timer.new_timer()
            self._set_timer = clock_timer.set_timer
            self._loop.add_reader(self._file, self._rings)
        moment = self._awaited[0][0] if self._awaited else FAR_SECONDS * 1000
        self._set_timer(self._file, min(max(moment, 1), FAR_SECONDS * 1000))

    def _rings(self) -> None:
        """The moment has come, or the clock was set."""
        assert self._file is not None
        try:
            os.read(self._file, 8)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ECANCELED:
                raise
        now = self._clock.now()
        while self._awaited and self._awaited[0][0] <= now:
            awaited = heapq.heappop(self._awaited)[2]
            callback, awaited.callback = awaited.callback, None
            if callback is None:
                self._cancelled_count -= 1
            else:
                self._guarded(callback)
        while self._awaited and self._awaited[0][2].callback is None:
            heapq.heappop(self._awaited)
            self._cancelled_count -= 1
        if self._file is not None:
            self._arm()
