"""An alarm rings by the wall clock: in order, once, at once for what is past, and anew when the clock is set."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable

import pytest
from tests.orchestrator.on_time import SetClock, on_a_loop

from clew.orchestrator import alarm as alarms
from clew.orchestrator import clock_timer
from clew.orchestrator.alarm import WallClockAlarm
from clew.orchestrator.real_world import LoopTasks, RealClock
from clew.ports import Clock


class Rung:
    """What has rung, and when."""

    def __init__(self, clock: Clock | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.clock = clock or RealClock()
        self.tasks = LoopTasks(loop)
        self.alarm = WallClockAlarm(loop, self.clock, guarded=self.tasks.guarded)
        self.heard: list[str] = []
        self.moments: list[int] = []
        self._news = asyncio.Event()

    def rings(self, name: str) -> Callable[[], None]:
        def ring() -> None:
            self.heard.append(name)
            self.moments.append(self.clock.now())
            self._news.set()

        return ring

    async def until(self, name: str) -> None:
        while name not in self.heard:
            self._news.clear()
            await self._news.wait()


@on_a_loop
async def test_it_rings_in_the_order_of_the_moments() -> None:
    """Whatever the order in which they were asked for; never before; one moment's in the order of asking."""
    rung = Rung()
    at = rung.clock.now() + 30
    for name, moment in (("last", at + 20), ("first", at), ("second", at + 10), ("second again", at + 10)):
        rung.alarm.at(moment, rung.rings(name))
    await rung.until("last")
    assert rung.heard == ["first", "second", "second again", "last"]
    for moment, earliest in zip(rung.moments, (at, at + 10, at + 10, at + 20), strict=True):
        assert moment >= earliest
    rung.alarm.close()


@on_a_loop
async def test_what_is_past_rings_at_once_but_not_within_the_asking() -> None:
    """Who asks goes on first; also for a moment before 1970, and for the present one."""
    rung = Rung()
    for name, moment in (("ages ago", -5), ("zero", 0), ("a minute ago", rung.clock.now() - 60_000)):
        rung.alarm.at(moment, rung.rings(name))
    assert rung.heard == []
    await rung.until("a minute ago")
    assert rung.heard == ["ages ago", "zero", "a minute ago"]
    rung.alarm.at(rung.clock.now(), rung.rings("now"))
    await rung.until("now")
    rung.alarm.close()


@on_a_loop
async def test_what_is_cancelled_does_not_ring() -> None:
    """Not the earliest, whose moment the alarm is set to, and not one that is cancelled by another that rings."""
    rung = Rung()
    at = rung.clock.now() + 20
    rung.alarm.at(at, rung.rings("earliest")).cancel()
    later = rung.alarm.at(at + 10, rung.rings("cancelled by one that rings"))
    rung.alarm.at(at + 5, later.cancel)
    rung.alarm.at(at + 15, rung.rings("last"))
    await rung.until("last")
    assert rung.heard == ["last"]
    later.cancel()
    rung.alarm.close()


@on_a_loop
async def test_who_rings_may_ask_again() -> None:
    """For a moment that has come already, and for a later one."""
    rung = Rung()

    def again() -> None:
        rung.alarm.at(0, rung.rings("at once"))
        rung.alarm.at(rung.clock.now() + 5, rung.rings("later"))

    rung.alarm.at(0, again)
    await rung.until("later")
    assert rung.heard == ["at once", "later"]
    rung.alarm.close()


@on_a_loop
async def test_one_that_fails_keeps_no_other_from_ringing() -> None:
    """The failure is kept by whoever guards."""
    rung = Rung()

    def fail() -> None:
        raise ValueError("of a callback")

    rung.alarm.at(0, fail)
    rung.alarm.at(1, rung.rings("next"))
    await rung.until("next")
    with pytest.raises(ValueError, match="of a callback"):
        await rung.tasks.failed
    rung.alarm.close()


@on_a_loop
async def test_a_clock_that_is_set_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has passed rings at once, what it has not still waits. The kernel's word for it is an error of reading,
    which stands here for the setting of the machine's clock."""
    clock = SetClock(RealClock().now() + 1_000_000)
    rung = Rung(clock)
    rung.alarm.at(clock.at + 10, rung.rings("passed"))
    rung.alarm.at(clock.at + 50, rung.rings("not yet"))
    file = rung.alarm._file
    assert file is not None

    def cancelled(number: int, size: int) -> bytes:
        monkeypatch.undo()
        raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))

    clock.at += 20
    monkeypatch.setattr(alarms.os, "read", cancelled)
    clock_timer.set_timer(file, 1)  # readable, as when the clock is set
    await rung.until("passed")
    assert rung.heard == ["passed"]
    clock.at += 100
    clock_timer.set_timer(file, 1)
    await rung.until("not yet")
    rung.alarm.close()


@on_a_loop
async def test_what_was_cancelled_is_kept_no_longer_than_needed() -> None:
    """A run asks anew with each turn: what waits for days must not hold all that it waited for before."""
    rung = Rung()
    at = rung.clock.now() + 1_000_000
    for _ in range(10_000):
        rung.alarm.at(at, rung.rings("never")).cancel()
    assert len(rung.alarm._awaited) < 5_000
    rung.alarm.at(0, rung.rings("all the same"))
    await rung.until("all the same")
    rung.alarm.close()


@on_a_loop
async def test_once_closed_it_never_rings() -> None:
    """And needs no descriptor any more; closing it twice is closing it."""
    rung, another = Rung(), Rung()
    at = rung.clock.now() + 5
    rung.alarm.at(at, rung.rings("never"))
    file = rung.alarm._file
    rung.alarm.close()
    rung.alarm.close()
    assert file is not None
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(file)
    another.alarm.at(at + 1, another.rings("after"))
    await another.until("after")
    assert rung.heard == []
    another.alarm.close()
