"""Where `python -m clew.attempt` begins. It is given the socket's descriptor, the lock's or `-`, that of the lease's
memory or `-`, the orchestrator's process id, and the folder for work folders."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from clew.attempt.guardian import FOLDER_PREFIX, guard, remove_remains
from clew.attempt.supervisor import Surroundings, supervise

if TYPE_CHECKING:
    from clew.attempt.lease import Lease


def main(given: list[str]) -> None:
    control, lock, memory, process, work_folders = given
    for descriptor in (control, lock, memory):
        if descriptor != "-":
            os.set_inheritable(int(descriptor), False)
    orchestrator = os.pidfd_open(int(process))
    if os.getppid() != int(process):
        return  # it ended before we had a hold of it
    os.makedirs(work_folders, 0o700, exist_ok=True)
    if lock != "-":
        remove_remains(work_folders)
    folder = os.path.join(work_folders, f"{FOLDER_PREFIX}{os.urandom(8).hex()}")
    os.mkdir(folder, 0o700)
    lease = _lease(memory)
    surroundings = Surroundings(int(control), orchestrator, os.pidfd_open(os.getpid()), folder, lease)
    guard(lambda: supervise(surroundings), folder, lease, int(control))


def _lease(memory: str) -> Lease | None:
    if memory == "-":
        return None
    from clew.attempt.lease import Lease  # only those who share a database need it

    return Lease(int(memory))


main(sys.argv[1:])
