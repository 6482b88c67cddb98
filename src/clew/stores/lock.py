"""Who drives the runs of a SQLite store: one orchestrator at a time, told by a lock on a file beside it.

The lock is of the open file, on a file of its own: locks on the database itself would vanish when any handle
of it is closed. A dead owner's lock is gone at once, so nothing is waited out.
"""

from __future__ import annotations

import fcntl
import json
import os

from clew.ports import StoreBusy


class OrchestratorLock:
    """Held from `acquire` to `release`, or to the end of the process."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file: int | None = None

    def acquire(self, *, wait: bool = False) -> None:
        """Take the lock. Raises StoreBusy, naming the holder, unless told to wait."""
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            os.close(file)
            raise StoreBusy(f"{self.path}: {self.holder()} drives the runs of this store") from error
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps({"pid": os.getpid(), "host": os.uname().nodename}).encode(), 0)
        self._file = file

    def holder(self) -> str:
        """Who holds the lock, in words."""
        try:
            with open(self.path, encoding="utf-8") as file:
                holder = json.load(file)
            return f"process {holder['pid']} on {holder['host']}"
        except (OSError, ValueError, KeyError):
            return "another process"

    def release(self) -> None:
        """Give the lock back; doing so twice is fine."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
