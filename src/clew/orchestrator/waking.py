"""Has runs woken at moments: the next attempt is due, or the next look. One timer for all of them.

A hundred thousand runs may wait so, each for the first of its moments. What comes later is found out anew when the run
has its turn then.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from clew.orchestrator.driven_run import DrivenRun
from clew.ports import Clock, Tasks, Timer

OUTDATED_MAX = 1_000
"""Moments at which nobody is to be woken any more and that are still kept, beside as many as there are others: it costs
a few of them to drop all."""


class Waking:
    """The moments at which runs are to be woken."""

    def __init__(self, *, clock: Clock, tasks: Tasks, wake: Callable[[DrivenRun], None]) -> None:
        self._clock = clock
        self._tasks = tasks
        self._wake = wake
        self._moments: list[tuple[int, int, DrivenRun]] = []
        """A heap. Only the one that the run itself has counts."""
        self._numbers = count()
        self._run_count = 0
        self._timer: Timer | None = None
        self._timer_at = 0

    def at(self, run: DrivenRun, moment: int) -> None:
        """Wake the run at that moment, if it is not woken before."""
        if run.wakes_at:
            if run.wakes_at <= moment:
                return
        else:
            self._run_count += 1
        run.wakes_at = moment
        if len(self._moments) > 2 * self._run_count + OUTDATED_MAX:
            self._moments = [each for each in self._moments if each[2].wakes_at == each[0]]
            heapq.heapify(self._moments)
        heapq.heappush(self._moments, (moment, next(self._numbers), run))
        if self._timer is None or moment < self._timer_at:
            self._set_timer(self._clock.now())

    def forget(self, run: DrivenRun) -> None:
        """Wake it no more."""
        if run.wakes_at:
            run.wakes_at = 0
            self._run_count -= 1

    def stop(self) -> None:
        """Nobody is woken any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self, now: int) -> None:
        self.stop()
        self._timer = None
        if self._moments:
            self._timer_at = self._moments[0][0]
            self._timer = self._tasks.later(max(self._timer_at - now, 0), self._rings)

    def _rings(self) -> None:
        now = self._clock.now()
        while self._moments and self._moments[0][0] <= now:
            moment, _, run = heapq.heappop(self._moments)
            if run.wakes_at == moment:
                self.forget(run)
                self._wake(run)
        self._set_timer(now)
