"""The processes of attempts as the orchestrator sees them: something at the other end of a socket."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from typing import NoReturn, Protocol

_BURIAL_SECONDS_MAX = 1
"""A process whose files are closed is dead within microseconds; one that takes this long hangs."""
_DESCRIPTORS_MAX = 2**31 - 1
_MODULE = "clew.attempt"


class _Process(Protocol):
    def wait(self, timeout: float | None = None) -> int: ...

    def kill(self) -> None: ...


class AttemptProcess:
    """A started `python -m clew.attempt`; `socket` does not block, and is at its end when all of it is gone."""

    def __init__(self, lock: int | None, work_folders: str, *, lease: int | None, forks: bool) -> None:
        """`lease`: the memory of an `AttemptsLease`. `forks`: rather than by a new interpreter, which costs 100 ms of
        processor time, begin it as a fork of this process, if that has no other threads. Raises OSError when no
        process can be started."""
        if not sys.platform.startswith("linux"):
            raise OSError(f"the local executor needs Linux, this is {sys.platform}; `inline` runs anywhere")
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self.socket.setblocking(False)
            shared = (theirs.fileno(), lock, lease)
            descriptors = ["-" if descriptor is None else str(descriptor) for descriptor in shared]
            kept = tuple(descriptor for descriptor in shared if descriptor is not None)
            self._process = _start([*descriptors, str(os.getpid()), work_folders], kept, forks=forks)
        except BaseException:
            self.socket.close()
            raise
        finally:
            theirs.close()

    def dismiss(self) -> None:
        """Let it kill what still runs, and end."""
        self.socket.shutdown(socket.SHUT_WR)

    def release(self) -> None:
        """Close the socket, and bury the process, which its closed socket has ended if nothing else has."""
        self.socket.close()
        try:
            self._process.wait(_BURIAL_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _start(given: list[str], kept: tuple[int, ...], *, forks: bool) -> _Process:
    # A thread that is not there after a fork may have held a lock that nobody can release then.
    if forks and len(os.listdir("/proc/self/task")) == 1:
        return _Fork(given, kept)
    return subprocess.Popen(
        # -P: a file of the current folder must not pass for a module of ours.
        [sys.executable, "-P", "-m", _MODULE, *given],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # stderr stays: it tells of our own bugs only
        pass_fds=kept,
        env=environment_of_attempts(),
        start_new_session=True,  # so that Ctrl-C reaches the orchestrator alone, which then decides
    )


def environment_of_attempts() -> dict[str, str]:
    """The orchestrator's, in which secrets may be found, and its own way to find modules: the user's code is
    looked for where it would be found here. Of all this the user's code sees next to nothing."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


class _Fork:
    """A fork of this process that has become `python -m clew.attempt`."""

    def __init__(self, given: list[str], kept: tuple[int, ...]) -> None:
        self._number = os.fork()
        if self._number == 0:
            _become_attempt_process(given, kept)
        self._handle = os.pidfd_open(self._number)

    def wait(self, timeout: float | None = None) -> int:
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        if not poll.poll(None if timeout is None else timeout * 1000):
            raise subprocess.TimeoutExpired(_MODULE, timeout or 0)
        os.close(self._handle)
        return os.waitstatus_to_exitcode(os.waitpid(self._number, 0)[1])

    def kill(self) -> None:
        os.kill(self._number, signal.SIGKILL)


def _become_attempt_process(given: list[str], kept: tuple[int, ...]) -> NoReturn:
    """Forget what the orchestrator was about, and be what a new interpreter would be. Never returns into it:
    nothing of its unfinished work is finished here, no buffer written, no handler of its exit called."""
    try:
        os.setsid()
        _forget_signals()
        _keep_only(kept)
        sys.argv = [_MODULE, *given]
        # By name, as the interpreter would: nobody here knows what is inside.
        from importlib import import_module

        import_module(f"{_MODULE}.__main__")
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)


def _forget_signals() -> None:
    import atexit

    atexit._clear()
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)


def _keep_only(kept: tuple[int, ...]) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, _DESCRIPTORS_MAX)
