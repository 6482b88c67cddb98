"""The lock that is held as long as any process of an orchestrator's attempts is there.

It belongs to an open file that the orchestrator and the two processes above its workers share, so that the
kernel lets go of it when the last of them has ended, however it ended. User code never has it.
"""

from __future__ import annotations

import fcntl
import os


class AttemptsRemain(OSError):
    """Attempts of another orchestrator still run; wait for their end with `wait_until_attempts_ended`."""


def take_lock(path: str) -> int:
    """The descriptor of the lock's file, locked. Raises AttemptsRemain, or another OSError."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise AttemptsRemain(AttemptsRemain.__doc__) from None
    except BaseException:
        os.close(file)
        raise
    return file


def wait_until_attempts_ended(lock_path: str, timeout_seconds: float) -> bool:
    """Wait until all attempts of the orchestrators before have ended; False when that takes longer.

    Blocks; nothing is left locked. No file means that no attempt ever ran. Raises OSError.
    """
    try:
        file = os.open(lock_path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _wait_for(file, timeout_seconds)
    os.close(file)
    return True


def _wait_for(file: int, timeout_seconds: float) -> bool:
    import threading  # there is nothing to wait for, as a rule

    is_free = threading.Event()

    def wait() -> None:
        # There is no flock with a time limit. When the time is up the thread stays behind, harmless: it lets
        # go of the lock in the moment in which it gets it.
        fcntl.flock(file, fcntl.LOCK_EX)
        os.close(file)
        is_free.set()

    threading.Thread(target=wait, name="waiting for attempts to end", daemon=True).start()
    return is_free.wait(timeout_seconds)
