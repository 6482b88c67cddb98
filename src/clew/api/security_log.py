"""What is refused, logged: seldom enough that nobody fills a disk by being refused."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable

SECONDS = 10
"""How often at most the same is logged of the same caller; how often it was meanwhile is told with the next."""

CALLERS_MAX = 1_000

log = logging.getLogger("clew.access")


class SecurityLog:
    """Of one server."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: seconds, from any moment on."""
        self._clock = clock
        self._said: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def refused(self, event: str, who: str, **about: str) -> None:
        """Somebody was refused something."""
        now = self._clock()
        at, left_out = self._said.pop((event, who), (now - SECONDS, 0))
        if now - at < SECONDS:
            self._said[event, who] = at, left_out + 1
            return
        self._said[event, who] = now, 0
        if len(self._said) > CALLERS_MAX:
            self._said.popitem(last=False)
        log.warning("a call was refused", extra={"event": event, "who": who, "left_out": left_out, **about})
