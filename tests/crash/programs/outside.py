"""What the swept programs do to the world outside clew: each act is one line at the end of one file, and is
durable when it is done. Whoever judges a run reads that file, and asks clew nothing.

A line is a JSON list: run, stage, `execute` or `rollback`, attempt, process, idempotency key, outcome told.

An attempt may also be the killer: where the file `strike` names its stage, its work and a moment (`before` or
`after` its act), it kills its orchestrator then, once.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

ACTS = "acts"
STRIKE = "strike"
ORCHESTRATOR = "orchestrator"
"""The file in which an orchestrator that may be killed leaves its process id."""


class Refused(Exception):
    """The stage says no, for good."""


class NotYet(Exception):
    """The stage says no, this time."""


# ---- stages ----------------------------------------------------------------------------------------------


def act(world: str) -> str:
    """Do it."""
    _act(world, "execute")
    return _told("STAGE")


def act_after_a_failure(world: str) -> str:
    """Do it, and fail the first time all the same."""
    _act(world, "execute")
    if _told("ATTEMPT") == "1":
        raise NotYet("not the first time")
    return _told("STAGE")


def supply(world: str) -> str:
    """Do it, and leave the object that another stage of the block waits for."""
    _act(world, "execute")
    Path(world, "data", "supplied").touch()
    return _told("STAGE")


def leave_twins(world: str) -> str:
    """Do it, and leave two objects where a stage looks for one."""
    _act(world, "execute")
    for name in ("twin-a", "twin-b"):
        Path(world, "data", name).touch()
    return _told("STAGE")


def refuse_after_another(world: str) -> str:
    """The first time: leave an object for `consume`, wait until that has acted, fail. Later: fail at once."""
    _act(world, "execute")
    if _told("ATTEMPT") == "1":
        Path(world, "data", "bait").touch()
        with open(os.path.join(world, "consumed"), "rb") as pipe:  # opened when the other end is
            pipe.read(1)
    raise Refused("no")


def consume(world: str) -> None:
    """Use an object up, say so, and go on until told to end. Where the object is gone, nobody would know by
    looking for it again that this has ever begun: the journal alone can tell."""
    _act(world, "execute")
    Path(world, "data", "bait").unlink(missing_ok=True)
    pipe = os.open(os.path.join(world, "consumed"), os.O_RDWR)  # never blocks, reader or not
    os.write(pipe, b".")
    signal.pause()


# ---- conditions ------------------------------------------------------------------------------------------


def is_done_twice(world: str) -> bool:
    """Whether the stage has acted twice at least."""
    return sum(line[1:3] == [_told("STAGE"), "execute"] for line in acts(world)) >= 2


# ---- rollbacks -------------------------------------------------------------------------------------------


def undo(world: str, outcome: str) -> None:
    _act(world, "rollback", outcome)


def undo_after_a_failure(world: str, outcome: str) -> None:
    """Undo it, and fail the first time all the same."""
    before = [line for line in acts(world) if line[1:3] == [_told("STAGE"), "rollback"]]
    _act(world, "rollback", outcome)
    if not before:
        raise NotYet("not the first time")


def undo_when_allowed(world: str, outcome: str) -> None:
    """Undo it once a person has left the file `allowed`."""
    if not os.path.exists(os.path.join(world, "allowed")):
        raise NotYet("nobody has allowed it")
    _act(world, "rollback", outcome)


# ---- the file --------------------------------------------------------------------------------------------


def acts(world: str) -> list[list[Any]]:
    """All that was done, in order."""
    try:
        text = Path(world, ACTS).read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines()]


def _act(world: str, work: str, outcome: str = "") -> None:
    line = [
        _told("RUN"),
        _told("STAGE"),
        work,
        int(_told("ATTEMPT")),
        os.getpid(),
        _told("IDEMPOTENCY_KEY"),
        outcome,
    ]
    _strike(world, [*line[1:3], "before"])
    file = os.open(os.path.join(world, ACTS), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, json.dumps(line).encode() + b"\n")  # one write, so that lines never mix
    os.fsync(file)
    os.close(file)
    _strike(world, [*line[1:3], "after"])


def _strike(world: str, here: list[str]) -> None:
    strike = Path(world, STRIKE)
    if not strike.exists() or json.loads(strike.read_text()) != here:
        return
    orchestrator = int(Path(world, ORCHESTRATOR).read_text())
    strike.rename(strike.with_name("struck"))
    os.kill(orchestrator, signal.SIGKILL)


def _told(name: str) -> str:
    return os.environ[f"CLEW_{name}"]
