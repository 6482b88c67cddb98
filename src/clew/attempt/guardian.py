"""The process that outlives the supervisor, whatever happens to that one, while anything below it lives.

It holds the socket and the lock by merely existing: that they are let go of means that nothing is left.

When the orchestrator's lease is over it kills the supervisor with all the rest. That one could not be relied on: it may
be stopped too, or wait for a disk that is as far away as the database. This one touches none before they are dead.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from clew.attempt.folders import remove_folder
from clew.attempt.processes import adopt_orphans, end_children
from clew.core.running.packets import LAPSED, packet

if TYPE_CHECKING:
    from clew.attempt.lease import Lease

FOLDER_PREFIX = "clew-"
"""How the folder begins in which a supervisor makes the work folders of its attempts."""


def guard(supervise: Callable[[], None], folder: str, lease: Lease | None, control: int) -> None:
    """Run `supervise` in a child; when that has ended, or the lease, kill what is left, and remove the folder. Where it
    was the lease, the orchestrator is told by the socket `control`."""
    # What is there by now stays. Without the collector looking at it, forks share its memory.
    gc.freeze()
    gc.disable()
    adopt_orphans()
    supervisor = os.fork()
    if supervisor == 0:
        _run(supervise)
    has_lapsed = False
    if lease is None:
        os.waitpid(supervisor, 0)
    else:
        has_lapsed = lease.ends_before(supervisor)
    end_children()
    if has_lapsed:
        _tell_of_lapse(control)
    remove_folder(folder)


def remove_remains(work_folders: str) -> None:
    """Remove what others like us have left there. Only who holds the lock knows that none of them lives."""
    for name in os.listdir(work_folders):
        if name.startswith(FOLDER_PREFIX):
            remove_folder(os.path.join(work_folders, name))


def _tell_of_lapse(control: int) -> None:
    try:
        os.write(control, packet(LAPSED, 0))
    except (BlockingIOError, BrokenPipeError, ConnectionResetError):
        return  # then it will know by the socket's end that they have ended, and not why


def _run(supervise: Callable[[], None]) -> None:
    status = 1
    try:
        supervise()
        status = 0
    except BaseException:
        # A bug of ours. The orchestrator hears of it by the socket's end, a person by this.
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)
