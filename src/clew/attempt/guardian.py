"""The process that outlives the supervisor, whatever happens to that one, while anything below it lives.

It holds the socket and the lock by merely existing: that they are let go of means that nothing is left.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable

from clew.attempt.folders import remove_folder
from clew.attempt.processes import adopt_orphans, end_children

FOLDER_PREFIX = "clew-"
"""How the folder begins in which a supervisor makes the work folders of its attempts."""


def guard(supervise: Callable[[], None], folder: str) -> None:
    """Run `supervise` in a child; when that has ended, kill what it leaves, and remove the folder."""
    # What is there by now stays. Without the collector looking at it, forks share its memory.
    gc.freeze()
    gc.disable()
    adopt_orphans()
    if os.fork() == 0:
        _run(supervise)
    os.waitpid(-1, 0)  # the supervisor: until it has ended there is nobody else
    end_children()
    remove_folder(folder)


def remove_remains(work_folders: str) -> None:
    """Remove what others like us have left there. Only who holds the lock knows that none of them lives."""
    for name in os.listdir(work_folders):
        if name.startswith(FOLDER_PREFIX):
            remove_folder(os.path.join(work_folders, name))


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
