"""The lease of an orchestrator as the processes of its attempts see it: a moment in memory that it moves on.

See `executors/attempts_lease.py` for the other end. The moment is one of the clock that goes on while the machine
sleeps, and so is the timer: when a machine wakes up after the end, that is noticed at once.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import select
from time import CLOCK_BOOTTIME, clock_gettime_ns

_SIZE = 8
_TIMER_TAKES_A_MOMENT = 1  # TFD_TIMER_ABSTIME

_library = ctypes.CDLL(None, use_errno=True)


class Lease:
    """Nothing begins when it is over, and nothing goes on."""

    def __init__(self, memory: int) -> None:
        """Takes over the descriptor."""
        self._ends_at = memoryview(mmap.mmap(memory, _SIZE, access=mmap.ACCESS_READ)).cast("q")
        os.close(memory)

    @property
    def is_over(self) -> bool:
        return clock_gettime_ns(CLOCK_BOOTTIME) >= self._ends_at[0]

    def ends_before(self, child: int) -> bool:
        """Wait until the lease is over, or a child, which is not reaped here, has ended. Whether it was the lease."""
        ended, timer = os.pidfd_open(child), _new_timer()
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        poll.register(timer, select.POLLIN)
        while not self.is_over:
            _set(timer, self._ends_at[0])
            if any(descriptor == ended for descriptor, _ in poll.poll()):
                return False
        return True


def _new_timer() -> int:
    """A descriptor that can be read from once the time has come for which it is set. Python has it from 3.13 on."""
    return _checked(_library.timerfd_create(CLOCK_BOOTTIME, os.O_CLOEXEC))


def _set(timer: int, moment: int) -> None:
    once_at = (ctypes.c_long * 4)(0, 0, *divmod(moment, 10**9))
    _checked(_library.timerfd_settime(timer, _TIMER_TAKES_A_MOMENT, once_at, None))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
