"""What a victim does: what `python -m clew` does, over a store that is watched and a file system that fails."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
from tests.crash.faults import FaultySystem, Witness, watch
from tests.crash.planted_bugs import plant

PROGRAM_RUN = "Program.run"
"""In place of a verb: what it says."""
PASSED = "passed.json"
"""The file that says which transactions passed, when the victim has lived to write it."""


def be_victim(request: Any) -> int:
    """Carry out the words; gives the exit status."""
    from clew.stores.sqlite import SqliteStore

    witness = Witness(Path(request.folder), request.fault)
    system = FaultySystem(witness)  # registered as long as it lives
    watch(SqliteStore, witness)
    if request.bug:
        plant(request.bug, SqliteStore)
    status = command_line(request.words)
    Path(request.folder, PASSED).write_bytes(msgspec.json.encode(witness.passed))
    del system
    return status


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
