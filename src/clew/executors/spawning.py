"""The supervisor as the orchestrator sees it: a process at the other end of a socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

_BURIAL_SECONDS_MAX = 1
"""A process whose files are closed is dead within microseconds; one that takes this long hangs."""


class AttemptProcess:
    """A started `python -m clew.attempt`; `socket` is not blocking, and at its end when all is gone."""

    def __init__(self, lock: int | None, work_folders: str) -> None:
        """Raises OSError when no process can be started."""
        if not sys.platform.startswith("linux"):
            raise OSError(f"the local executor needs Linux, this is {sys.platform}; `inline` runs anywhere")
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self.socket.setblocking(False)
            self._process = subprocess.Popen(
                _command(theirs.fileno(), lock, work_folders),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # stderr stays: it tells of our own bugs only
                pass_fds=(theirs.fileno(),) if lock is None else (theirs.fileno(), lock),
                env=_environment(),
                start_new_session=True,  # so that Ctrl-C reaches the orchestrator alone, which then decides
            )
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


def _command(control: int, lock: int | None, work_folders: str) -> list[str]:
    # -P: a file of the current folder must not pass for a module of ours.
    given = [str(control), "-" if lock is None else str(lock), str(os.getpid()), work_folders]
    return [sys.executable, "-P", "-m", "clew.attempt", *given]


def _environment() -> dict[str, str]:
    """The orchestrator's, in which secrets may be found, and its own way to find modules: the user's code is
    looked for where it would be found here. Of all this the user's code sees next to nothing."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
