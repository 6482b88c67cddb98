"""Runs are woken at the first of their moments, by one timer for all of them."""

from __future__ import annotations

from collections.abc import Callable

from tests.core.running.story import sealed, stage

from clew.orchestrator import waking
from clew.orchestrator.driven_run import DrivenRun, Origin
from clew.orchestrator.waking import Waking


class Hand:
    """A clock, and timers that ring when it is moved on."""

    def __init__(self) -> None:
        self.at = 1_000
        self.timers: list[Timer] = []
        self.woken: list[str] = []
        self.waking = Waking(clock=self, tasks=self, wake=lambda run: self.woken.append(run.state.run_id))

    def now(self) -> int:
        return self.at

    def later(self, milliseconds: int, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self, self.at + milliseconds, callback))
        return self.timers[-1]

    def move_on(self, to: int, *, clock: int | None = None) -> list[str]:
        """That much later; which runs are woken by then. `clock`: what the clock shows, if it was set."""
        self.woken.clear()
        self.at = to if clock is None else clock
        for timer in [each for each in self.timers if each.at <= to]:
            self.timers.remove(timer)
            timer.callback()
        return sorted(self.woken)


class Timer:
    def __init__(self, hand: Hand, at: int, callback: Callable[[], None]) -> None:
        self.hand, self.at, self.callback = hand, at, callback

    def cancel(self) -> None:
        if self in self.hand.timers:
            self.hand.timers.remove(self)


def run(run_id: str) -> DrivenRun:
    return DrivenRun(PROGRAM, run_id, epoch=1, origin=Origin())


PROGRAM = sealed(stage("a"))


def test_each_is_woken_once_at_the_first_of_its_moments() -> None:
    """What comes later is told anew in the turn that it has then."""
    hand, one, other = Hand(), run("one"), run("other")
    hand.waking.at(one, 3_000)
    hand.waking.at(one, 2_000)
    hand.waking.at(one, 4_000)
    hand.waking.at(other, 2_500)
    assert len(hand.timers) == 1
    assert hand.move_on(1_999) == []
    assert hand.move_on(2_000) == ["one"]
    hand.waking.at(one, 3_000)
    assert hand.move_on(3_500) == ["one", "other"]
    assert hand.move_on(9_000) == [] and hand.timers == []


def test_who_is_forgotten_is_not_woken() -> None:
    """And nobody is, once it is stopped."""
    hand, one, other = Hand(), run("one"), run("other")
    hand.waking.at(one, 2_000)
    hand.waking.at(other, 2_000)
    hand.waking.forget(one)
    hand.waking.forget(one)
    assert hand.move_on(2_000) == ["other"]
    hand.waking.at(one, 3_000)
    hand.waking.stop()
    assert hand.move_on(3_000) == []


def test_a_clock_that_is_put_back_wakes_nobody_early() -> None:
    """The moment is by the clock; the timer that rings before it is set again."""
    hand, one = Hand(), run("one")
    hand.waking.at(one, 2_000)
    assert hand.move_on(2_000, clock=1_500) == []
    assert hand.move_on(2_000) == ["one"]


def test_moments_that_nobody_waits_for_are_not_kept(monkeypatch) -> None:
    """A run whose stage waits for days may be settled long before."""
    monkeypatch.setattr(waking, "OUTDATED_MAX", 10)
    hand = Hand()
    for number in range(100):
        each = run(f"{number}")
        hand.waking.at(each, 1_000_000)
        hand.waking.forget(each)
    last = run("last")
    hand.waking.at(last, 2_000)
    assert len(hand.waking._moments) <= 12
    assert hand.move_on(2_000) == ["last"]
    assert hand.move_on(1_000_000) == []
