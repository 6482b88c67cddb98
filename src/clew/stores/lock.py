"""Who drives the runs of a SQLite store: one orchestrator at a time, told by a lock on a file beside it.

The lock is of the open file, on a file of its own: locks on the database itself would vanish when any handle
of it is closed. A dead owner's lock is gone at once, so nothing is waited out.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from datetime import UTC, datetime

from clew.ports import Holder, StoreBusy, StoreError

LOOKS_MAX = 3
"""How often a lock that is held is asked for before it is believed: somebody may be looking at it, for some
microseconds (see `is_held`)."""

LOOKS_APART_SECONDS = 0.000_5


class OrchestratorLock:
    """Held from `acquire` to `release`, or to the end of the process."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file: int | None = None

    def acquire(self, holder: Holder) -> None:
        """Take the lock, and say in it who has it. Raises StoreBusy, naming who has it already, and StoreError."""
        try:
            os.makedirs(os.path.dirname(self.path) or ".", mode=0o700, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"{self.path}: can't be opened as a store's lock: {error.strerror}") from error
        if not _is_taken(file):
            os.close(file)
            raise StoreBusy(f"{self.path}: {self.told()} drives the runs of this store")
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(holder._asdict()).encode(), 0)
        self._file = file

    def told(self) -> str:
        """Who has, or had last, the lock, in words."""
        holder = self.holder()
        return "another process" if holder is None else told_holder(holder)

    def is_held(self) -> bool:
        """Whether somebody has the lock now."""
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    def holder(self) -> Holder | None:
        """Who has, or had last, the lock, where that can be read."""
        try:
            with open(self.path, encoding="utf-8") as file:
                return Holder(**json.load(file))
        except (OSError, ValueError, TypeError):
            return None

    def release(self) -> None:
        """Give the lock back; doing so twice is fine."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _is_taken(file: int) -> bool:
    """Whether the lock on that file could be taken."""
    for look in range(LOOKS_MAX):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if look < LOOKS_MAX - 1:
                time.sleep(LOOKS_APART_SECONDS)
        else:
            return True
    return False


def told_holder(holder: Holder) -> str:
    """Who that is, in words."""
    since = datetime.fromtimestamp(holder.started_at / 1000, UTC)
    return f"process {holder.pid} on {holder.host} (since {since:%Y-%m-%d %H:%M:%SZ})"
