"""Until when an orchestrator's attempts may run, where others may take its runs: a moment that its attempts' guardian
looks at too.

It stands in memory that both have. So it is moved on without a message, whatever the orchestrator's event loop is at;
and when nobody moves it on, since the orchestrator is stopped or can't reach its database, its attempts end all the
same.
"""

from __future__ import annotations

import mmap
import os
import sys
import time

_SIZE = 8
"""One whole number, at the beginning of a page: so it is written in one go, and nobody reads half of another."""

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_nanoseconds() -> int:
    """Now, by the clock of these moments: this machine's, that goes on while the machine sleeps. So does the
    database's, by which others find that a lease is over."""
    return time.clock_gettime_ns(_CLOCK)


class AttemptsLease:
    """Over from its beginning on, until it is first moved. Given to a `LocalExecutor`, which may be one of several."""

    def __init__(self) -> None:
        # Without a file there can be no local attempts either: they need Linux.
        self.memory = os.memfd_create("clew lease") if sys.platform == "linux" else -1
        """The descriptor of what is shared."""
        if self.memory >= 0:
            os.ftruncate(self.memory, _SIZE)
        self._page = mmap.mmap(self.memory, _SIZE)
        self._ends_at = memoryview(self._page).cast("q")

    def ends_at(self, moment_nanoseconds: int) -> None:
        """Attempts may run until then, as told by `boot_nanoseconds`; what still runs when it comes is killed. Leave
        that some time before others may take the runs. From any one thread, until it is closed.

        A moment before the one that was said last keeps attempts from beginning; it does not end what runs."""
        self._ends_at[0] = moment_nanoseconds

    @property
    def is_over(self) -> bool:
        return boot_nanoseconds() >= self._ends_at[0]

    def close(self) -> None:
        """Give the memory back; attempts that still run go by what was said last."""
        self._ends_at.release()
        self._page.close()
        if self.memory >= 0:
            os.close(self.memory)
