"""What Linux offers to start processes and to be sure of their end.

A process is never signalled by a number that might be somebody else's by now: our own children keep theirs
until we reap them, and of deeper descendants a pidfd is held while their parent is checked.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38

_prctl = ctypes.CDLL(None, use_errno=True).prctl


def _set_process_option(option: int, value: int) -> None:
    if _prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def adopt_orphans() -> None:
    """Descendants whose parents end become children of this process, wherever they have moved."""
    _set_process_option(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent(parent: int) -> None:
    """Be killed when the parent ends; at once, if it is already gone."""
    _set_process_option(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def refuse_new_privileges() -> None:
    """Nothing that this process executes gains rights by its file's owner."""
    _set_process_option(_PR_SET_NO_NEW_PRIVS, 1)


HANDLED = frozenset({signal.SIGCHLD, signal.SIGTERM})
"""The signals that a supervisor has handlers for."""


class SignalPipe:
    """The handled signals as bytes in a pipe, so that one poll waits for them and all else."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in HANDLED:
            signal.signal(number, _let_the_pipe_tell)

    def take(self) -> frozenset[int]:
        """The numbers of the signals that have come."""
        try:
            return frozenset(os.read(self.reader, 4096))
        except BlockingIOError:
            return frozenset()


def _let_the_pipe_tell(number: int, frame: object) -> None:
    """The wake-up pipe has it already."""


def reap() -> Iterator[tuple[int, int]]:
    """The children that have ended, with their exit codes as of `os.waitstatus_to_exitcode`."""
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if process == 0:
            return
        yield process, os.waitstatus_to_exitcode(status)


def has_children() -> bool:
    """Whether there is any child, ended or not. Reaps none."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def children_of(process: int) -> list[int]:
    """The children of a process, whichever of its threads started them; none when it is gone."""
    if not _KERNEL_LISTS_CHILDREN:
        return [child for child in _numbers_in("/proc") if _parent_of(child) == process]
    children = []
    for thread in _numbers_in(f"/proc/{process}/task"):
        try:
            with open(f"/proc/{process}/task/{thread}/children", "rb") as file:
                children += [int(child) for child in file.read().split()]
        except OSError:
            continue  # the thread has ended, and what it had started went to another
    return children


_KERNEL_LISTS_CHILDREN = os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def _numbers_in(folder: str) -> list[int]:
    try:
        return [int(name) for name in os.listdir(folder) if name.isdecimal()]
    except OSError:
        return []


def _parent_of(process: int) -> int | None:
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            # The name in parentheses may hold anything, parentheses and spaces included.
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return None


def ask_to_end(child: int) -> None:
    """SIGTERM to a child that we have not reaped and to all below it, parents first, and to all of them
    before any can act on another's end."""
    handles = [os.pidfd_open(child), *_descendants(child)]
    for handle in handles:
        try:
            signal.pidfd_send_signal(handle, signal.SIGTERM)
        except (ProcessLookupError, PermissionError):
            continue  # gone by itself, or another user's by setuid: then the worker's end has to do
        finally:
            os.close(handle)


def _descendants(process: int) -> Iterator[int]:
    """A pidfd for each, parents first."""
    for child in children_of(process):
        try:
            handle = os.pidfd_open(child)
        except ProcessLookupError:
            continue
        if _parent_of(child) == process:
            yield handle
            yield from _descendants(child)
        else:
            os.close(handle)


def end_children() -> None:
    """SIGKILL to all children, and to what becomes our child by that; wait until there are none.

    Parents die before their children, so that none sees its child end and goes on to its next act.
    """
    while children := children_of(os.getpid()):
        for child in children:
            os.kill(child, signal.SIGKILL)
        os.waitpid(-1, 0)
