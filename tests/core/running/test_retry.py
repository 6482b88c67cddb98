"""Delays grow up to a cap, and jitter spreads them between half and all of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clew.core.program.model import Retry
from clew.core.running.retry import DELAY_MILLISECONDS_MAX, is_worth_retrying, retry_delay_milliseconds

RETRIES = st.builds(
    Retry,
    attempts=st.just(5),
    delay_milliseconds=st.integers(0, 10**12),
    growth=st.floats(1, 1e6),
    maximum_delay_milliseconds=st.integers(0, 10**12),
    jitter=st.booleans(),
)


def test_without_jitter_it_doubles() -> None:
    """5, 10, 20 seconds, and never more than the policy's cap."""
    retry = Retry(jitter=False, maximum_delay_milliseconds=15_000)
    assert [retry_delay_milliseconds(retry, tried, 0) for tried in (1, 2, 3, 99)] == [
        5_000,
        10_000,
        15_000,
        15_000,
    ]


def test_jitter_takes_it_to_between_half_and_all() -> None:
    """Equal jitter: half is certain, the other half drawn."""
    assert [retry_delay_milliseconds(Retry(), 1, permille) for permille in (0, 500, 1_000)] == [
        2_500,
        3_750,
        5_000,
    ]


def test_what_grows_beyond_numbers_waits_a_year() -> None:
    """Growth without a cap ends at the limit, and not in an overflow."""
    retry = Retry(growth=1e6, jitter=False, maximum_delay_milliseconds=2 * DELAY_MILLISECONDS_MAX)
    assert retry_delay_milliseconds(retry, 1_000, 0) == DELAY_MILLISECONDS_MAX


@given(RETRIES, st.integers(1, 10**6), st.integers(0, 1_000))
def test_every_delay_is_within_its_bounds(retry: Retry, tried: int, permille: int) -> None:
    """Whatever the policy, a delay is a whole number of milliseconds from 0 to the cap, and to a year."""
    delay = retry_delay_milliseconds(retry, tried, permille)
    assert isinstance(delay, int)
    assert 0 <= delay <= min(retry.maximum_delay_milliseconds, DELAY_MILLISECONDS_MAX)


def test_on_says_which_errors_are_worth_it() -> None:
    """`any` is all of them."""
    assert is_worth_retrying(Retry(), "whatever")
    assert is_worth_retrying(Retry(on=("exit", "timed_out")), "exit")
    assert not is_worth_retrying(Retry(on=("exit",)), "validation")
