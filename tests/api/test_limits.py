"""How much may be asked, as arithmetic."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.api import security_log
from clew.api.limits import Limits, Places, Rates, depth_of
from clew.api.problems import Problem
from clew.api.security_log import SecurityLog


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_token_may_call_in_bursts_and_then_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    rates = Rates(Limits(calls_a_second=2, calls_burst=3), clock)
    for _ in range(3):
        rates.take("a")
    with pytest.raises(Problem) as refused:
        rates.take("a")
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "1"})
    rates.take("b")
    clock.now += 0.5
    rates.take("a")
    with pytest.raises(Problem):
        rates.take("a")
    clock.now += 1_000
    for _ in range(3):
        rates.take("a")
    with pytest.raises(Problem):
        rates.take("a")
    monkeypatch.setattr(Rates, "TOKENS_MAX", 2)
    for who in "cde":
        rates.take(who)
    rates.take("a")  # who has not called for longest is forgotten


def test_places_are_given_back() -> None:
    places = Places(1, "calls")
    with places, pytest.raises(Problem), places:
        raise AssertionError("there is one")
    with places:
        pass


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
)


@given(VALUES)
def test_depth_is_how_deep_brackets_stand(value: object) -> None:
    def depth(one: object) -> int:
        inner = list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    assert depth_of(value) == depth(value)


def test_what_is_refused_again_and_again_is_logged_seldom(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(security_log, "CALLERS_MAX", 2)
    monkeypatch.setattr(logging.getLogger("clew"), "propagate", True)
    clock = Clock()
    log = SecurityLog(clock)
    for _ in range(5):
        log.refused("refused", "here", why="no token")
    log.refused("forbidden", "here", path="/x")
    log.refused("refused", "there", why="no token")
    clock.now += security_log.SECONDS
    log.refused("refused", "here", why="no token")
    said = [
        (vars(record)["event"], vars(record)["who"], vars(record)["left_out"]) for record in caplog.records
    ]
    assert said == [
        ("refused", "here", 0),
        ("forbidden", "here", 0),
        ("refused", "there", 0),
        ("refused", "here", 0),
    ]
    log.refused("refused", "here", why="no token")
    clock.now += security_log.SECONDS
    log.refused("refused", "here", why="no token")
    assert vars(caplog.records[-1])["left_out"] == 1
