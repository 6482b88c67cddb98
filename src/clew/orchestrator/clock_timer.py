"""Linux' timers that are descriptors, by their absolute time and with "cancel on set" (timerfd_create(2)). Python has
them from 3.13 on. Apart, since loading ctypes takes a millisecond that not everybody need pay.
"""

from __future__ import annotations

import ctypes
import errno
import os

from clew.ports import StoreError

CLOCK_REALTIME = 0
TFD_NONBLOCK, TFD_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET = 1, 2


class _Moment(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timer(ctypes.Structure):
    _fields_ = (("interval", _Moment), ("value", _Moment))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def new_timer() -> int:
    """Its descriptor, which can be read from when it rings. Raises StoreError where there is none."""
    file: int = _libc().timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC)
    if file < 0:
        raise StoreError(f"no timer can be made: {os.strerror(ctypes.get_errno())}")
    return file


def set_timer(file: int, moment: int) -> None:
    """Have it ring at that moment, in milliseconds since 1970, and when the clock is set. Raises StoreError."""
    seconds, milliseconds = divmod(moment, 1000)
    timer = _Timer(_Moment(0, 0), _Moment(seconds, milliseconds * 1_000_000))
    flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET
    if _libc().timerfd_settime(file, flags, ctypes.byref(timer), None) < 0:
        failure = ctypes.get_errno()
        # The clock was set while the timer waited, which is told once: what is armed now is armed all the same.
        if failure != errno.ECANCELED:
            raise StoreError(f"the timer can't be set: {os.strerror(failure)}")
