"""A child of the supervisor with all below it: what it writes, its deadline, its end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from time import monotonic

KILL_SECONDS_MAX = 10
"""A killed process that is still there after this hangs in the kernel. Nobody can say when it will end."""

_PIECE_SIZE = 64 * 1024
"""A Linux pipe holds this much."""
_PIECES_A_TURN = 16
"""So that who writes without end can't keep the supervisor from the others, nor from looking at the clock. As
much as the largest pipe holds, so that one turn takes in all that a process left behind when it ended."""


class Child:
    """`_cause` is why it is being ended before it ended by itself, or None."""

    worker: int
    """The process."""

    def __init__(self, next_step_at: float) -> None:
        self.next_step_at = next_step_at
        self.is_killing = False
        self.strays: set[int] = set()
        """Processes that it has left behind."""
        self.readers: dict[int, Callable[[bytes], None]] = {}
        self._code: int | None = None
        self._cause: str | None = None

    def read(self, reader: int) -> bool:
        """Take in what there is, or some of it. False when the other end is closed."""
        for _ in range(_PIECES_A_TURN):
            try:
                piece = os.read(reader, _PIECE_SIZE)
            except BlockingIOError:
                return True
            if not piece:
                return False
            self.readers[reader](piece)
        return True

    def close(self, reader: int) -> None:
        del self.readers[reader]
        os.close(reader)

    def read_all(self) -> None:
        for reader in tuple(self.readers):
            self.read(reader)

    def close_all(self) -> None:
        for reader in tuple(self.readers):
            self.close(reader)

    def worker_ended(self, code: int) -> None:
        """Its exit code, as of `os.waitstatus_to_exitcode`. Who is left gets what is left of the grace."""
        self._code = code
        if self._cause is None:
            self.kill(None)

    def is_over(self) -> bool:
        return self._code is not None and not self.strays

    def ask_to_end(self, cause: str) -> None:
        """End it for that cause."""
        self.kill(cause)

    def take_next_step(self) -> bool:
        """The time for what it was doing is up. False if there is nothing left to do."""
        if self.is_killing:
            return False
        if self._cause is None:
            self.ask_to_end("timed_out")
        else:
            self.kill(self._cause)
        return True

    def kill(self, cause: str | None) -> None:
        """SIGKILL from the top: what is below becomes a stray when it has lost its parent, and is next."""
        if self.is_killing:
            return
        self.is_killing = True
        self._cause = self._cause or cause
        self.next_step_at = monotonic() + KILL_SECONDS_MAX
        for process in (*self.strays, *(() if self._code is not None else (self.worker,))):
            os.kill(process, signal.SIGKILL)
