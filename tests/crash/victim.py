"""What a victim does: what `python -m clew` does, over a store that is watched and a file system that fails."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
from tests.crash.faults import STRUCK, FaultySystem, Witness, watch
from tests.crash.planted_bugs import plant
from tests.crash.quirks import bring_about, stores

PROGRAM_RUN = "Program.run"
"""In place of a verb: what it says."""
PASSED = "passed.json"
"""The file that says which transactions passed, when the victim has lived to write it."""


def be_victim(request: Any) -> int:
    """Carry out the words; gives the exit status."""
    from clew.stores.sqlite import SqliteStore

    witness = Witness(Path(request.folder, f"{request.role}{STRUCK}"), request.fault)
    system = FaultySystem(witness)  # registered as long as it lives
    watch(SqliteStore, witness)
    if "tests.crash.postgres_faults" in sys.modules:
        from tests.crash.postgres_faults import watch_postgres

        watch_postgres(witness)
    if request.role:
        make_haste()
    if request.quirk:
        bring_about(request.quirk)
    if request.bug:
        for store in stores():
            plant(request.bug, store)
    status = command_line(request.words)
    Path(request.folder, f"{request.role}{PASSED}").write_bytes(msgspec.json.encode(witness.passed))
    del system
    return status


def make_haste() -> None:
    """Look more often for what somebody has said, or done, so that the sweep need not wait for it."""
    from clew import driving
    from clew.orchestrator import orchestrator
    from clew.wiring import orchestrators

    driving.FOLLOW_INTERVAL_SECONDS = 0.01
    orchestrator.ATTEND_MILLISECONDS = 10
    orchestrators.LOCK_INTERVAL_SECONDS = 0.01


def command_line(words: tuple[str, ...]) -> int:
    """clew's command line, in this process; gives its exit status."""
    if words[0] == PROGRAM_RUN:
        return program_run(*words[1:])
    from clew.cli.main import main

    sys.argv = ["clew", *words]
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def program_run(reference: str, *variables: str) -> int:
    """`Program.run` of the program at `module:name`, its stages functions of this very process."""
    module, _, name = reference.partition(":")
    result = getattr(import_module(module), name).run(**dict(each.split("=", 1) for each in variables))
    return {"completed": 0, "rolled_back": 3}[result.status]
