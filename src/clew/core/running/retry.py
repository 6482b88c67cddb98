"""When the next try is due: delay, growth, cap and jitter, the jitter given as a number."""

from __future__ import annotations

from clew.core.program.model import Retry

DELAY_MILLISECONDS_MAX = 365 * 24 * 3_600_000
"""A year: growth without a cap must not run out of the calendar."""


def retry_delay_milliseconds(retry: Retry, tried: int, jitter_permille: int) -> int:
    """How long to wait after the `tried`-th try (from 1).

    The delay grows geometrically up to the policy's cap; jitter then takes it to between half of it and all of
    it ("equal jitter"), so that many runs that failed together do not come back together.
    """
    try:
        grown = retry.delay_milliseconds * retry.growth ** (tried - 1)
    except OverflowError:
        grown = DELAY_MILLISECONDS_MAX
    capped = int(min(grown, retry.maximum_delay_milliseconds, DELAY_MILLISECONDS_MAX))
    if not retry.jitter:
        return capped
    return capped // 2 + capped * jitter_permille // 2000


def is_worth_retrying(retry: Retry, error_kind: str) -> bool:
    """Whether the policy's `on` covers that kind of error."""
    return "any" in retry.on or error_kind in retry.on
