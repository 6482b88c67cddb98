"""How much may be asked of this process, by whom, and how fast: everything has an end."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import msgspec

from clew.api.problems import Problem


class Limits(msgspec.Struct, frozen=True):
    """Sizes in bytes, times in seconds."""

    header_size_max: int = 16_384
    url_size_max: int = 4_096
    body_size_max: int = 1_048_576
    json_depth_max: int = 64
    header_seconds: float = 5
    """Until a request's head is there, from its first byte on, or from the connection's beginning."""
    body_seconds: float = 15
    idle_seconds: float = 30
    """Between two requests of a connection."""
    connections_max: int = 256
    in_flight_max: int = 64
    """Calls at once that are answered; those that wait for a run are not among them."""
    waiting_max: int = 200
    """Calls at once that wait for a run, or follow one."""
    calls_a_second: float = 10
    calls_burst: int = 40
    """Of one token. Whoever sits at this machine, and needs none, is not limited."""
    page_rows_max: int = 500
    wait_seconds_max: float = 300


class Rates:
    """How fast each token is used: a bucket that fills by so much a second, and holds a burst."""

    TOKENS_MAX = 10_000

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        """`clock`: seconds, from any moment on."""
        self._limits = limits
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, who: str) -> None:
        """They call once more. Raises Problem when that is too often."""
        now, limits = self._clock(), self._limits
        left, at = self._left.pop(who, (float(limits.calls_burst), now))
        left = min(limits.calls_burst, left + (now - at) * limits.calls_a_second)
        is_enough = left >= 1
        self._left[who] = (left - 1 if is_enough else left, now)
        if len(self._left) > self.TOKENS_MAX:
            self._left.popitem(last=False)
        if not is_enough:
            seconds = max(1, round((1 - left) / limits.calls_a_second))
            raise Problem(
                429,
                "too-many-calls",
                f"so many calls are too many; wait for {seconds} s",
                {"Retry-After": f"{seconds}"},
            )


class Places:
    """So many at once, and no more."""

    def __init__(self, count: int, what: str) -> None:
        self._left = count
        self._what = what

    def see(self) -> None:
        """Raises Problem where there is none left."""
        if not self._left:
            raise Problem(503, "too-busy", f"too many {self._what} at once; try again", {"Retry-After": "1"})

    def __enter__(self) -> None:
        self.see()
        self._left -= 1

    def __exit__(self, *raised: object) -> None:
        self._left += 1


def depth_of(value: object) -> int:
    """How deep a JSON value is nested: 0 where it is neither an array nor an object."""
    depth, ahead = 0, [value]
    while True:
        inner: list[object] = []
        for one in ahead:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
            else:
                continue
            inner.append(None)
        if not inner:
            return depth
        depth, ahead = depth + 1, inner
