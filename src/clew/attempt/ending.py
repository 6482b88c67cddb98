"""How a worker takes SIGTERM: as an exception, so that the code's `finally`s and `with`s tidy up.

While a command waits for a process of its own, which has got the signal too, it goes on waiting: the process
is to have its grace, and not to be killed by the tidying up of the one that waits for it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from clew.attempt.processes import has_children

ENDED_BY_REQUEST = 128 + signal.SIGTERM
"""The exit code, as a shell would put it."""


class Ending:
    """`is_asked` once SIGTERM has come."""

    def __init__(self) -> None:
        self.is_asked = False
        self._is_deferred = False
        signal.signal(signal.SIGTERM, self._take)

    def _take(self, number: int, frame: object) -> None:
        self.is_asked = True
        if not self._is_deferred or not has_children():
            raise SystemExit(ENDED_BY_REQUEST)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """While there is a process to wait for, wait with the exception until the block is over."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False
            if self.is_asked:
                raise SystemExit(ENDED_BY_REQUEST)
