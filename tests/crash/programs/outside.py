"""What the swept programs do to the world outside clew: each act is one line at the end of one file, and is
durable when it is done. Whoever judges a run reads that file, and asks clew nothing.

A line is a JSON list: run, stage or item, `execute` or `rollback`, attempt, process, idempotency key, word told: the
outcome, in a rollback.

An attempt may also be the killer: where the file `strike` names its stage, its work and a moment (`before` or
`after` its act), it kills its orchestrator then, once.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

ACTS = "acts"
STRIKE = "strike"
ORCHESTRATOR = "orchestrator"
"""The file in which an orchestrator that may be killed leaves its process id."""
FETCHED = ("code", "jobs", "fetched.py")
"""Where this file lies for those who fetch it."""
LATE = "late"
"""The file that says that the run's time is up."""


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
    supplied = Path(world, "data", "supplied")
    if not supplied.exists():  # somebody may have found it already, and would find it changed
        supplied.touch()
    return _told("STAGE")


def leave_twins(world: str) -> str:
    """Do it, and leave two objects where a stage looks for one."""
    _act(world, "execute")
    for name in ("twin-a", "twin-b"):
        Path(world, "data", name).touch()
    return _told("STAGE")


def refuse(world: str) -> None:
    """Do it, and fail for good."""
    _act(world, "execute")
    raise Refused("no")


def refuse_when_told(world: str, told: str) -> None:
    """Do it once the pipe says something, and fail for good."""
    Path(world, told).read_bytes()
    refuse(world)


def count_passes(world: str) -> int:
    """Do it, and give back in which pass, as the world counts them."""
    _act(world, "execute")
    return len({line[5] for line in acts(world) if line[1:3] == [_told("STAGE"), "execute"]})


def refuse_the_first_pass(world: str, pass_number: int) -> str:
    """Do it, and fail each time in the first pass, the first time in each other."""
    _act(world, "execute")
    key = _told("IDEMPOTENCY_KEY")
    times = sum(line[2] == "execute" and line[5] == key for line in acts(world))
    if pass_number == 1 or times == 1:
        raise NotYet("not this time")
    return f"after {pass_number}"


def name_three(world: str) -> list[str]:
    """Do it, and say for what another stage is to be done."""
    _act(world, "execute")
    return ["first", "second", "third"]


def act_for(world: str, item: str, index: int) -> str:
    """Do it for one of several; for the second one, fail the first time all the same."""
    _act(world, "execute", index=index)
    if index == 1 and _told("ATTEMPT") == "1":
        raise NotYet("not the first time")
    return item


def overwrite(world: str, names: list[str]) -> str:
    """Do it to these objects; gives the name of one that another stage deletes."""
    _act(world, "execute")
    for name in names:
        _write(world, name, f"{_told('STAGE')} was here")
    return "empty"


def delete_and_overwrite(world: str, delete: str, overwrite: str) -> str:
    """Do it to these two objects."""
    _act(world, "execute")
    Path(world, "data", delete).unlink(missing_ok=True)
    _write(world, overwrite, f"{_told('STAGE')} was here")
    return _told("STAGE")


def act_and_swap(world: str) -> str:
    """Do it; the first time somebody then puts other code where this came from, and it fails."""
    _act(world, "execute")
    try:
        os.rename(os.path.join(world, "other"), os.path.join(world, *FETCHED))
    except FileNotFoundError:
        return _told("STAGE")
    raise NotYet("not the first time")


def meddle(world: str, name: str) -> None:
    """Change what another stage has made, as somebody would who knows nothing of that; and fail for good."""
    _act(world, "execute")
    _write(world, name, MEDDLED)
    raise Refused("no")


MEDDLED = "somebody else was here"


def act_on(world: str, word: str) -> str:
    """Do it with the word, and say which that was."""
    _act(world, "execute", word)
    return word


def act_when_allowed(world: str) -> str:
    """Do it, and fail as long as a person has not left the file `allowed`."""
    _act(world, "execute")
    if not os.path.exists(os.path.join(world, "allowed")):
        raise Refused("nobody has allowed it")
    return _told("STAGE")


def pass_the_gate(world: str) -> str:
    """Do it, say so, and wait until whoever holds the file `gate` lets it go."""
    _act(world, "execute")
    with open(os.path.join(world, "begun"), "wb") as pipe:
        pipe.write(b".")
    with open(os.path.join(world, "gate"), "rb") as gate:
        fcntl.flock(gate, fcntl.LOCK_SH)
    return _told("STAGE")


def act_or_go_wrong(world: str, how: str) -> str:
    """Do it, and then whatever is to go wrong."""
    _act(world, "execute")
    if how == "fails":
        raise Refused("no")
    if how == "crashes":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "is killed":
        with open(os.path.join(world, "to be killed"), "wb") as pipe:
            pipe.write(b"%d\n" % os.getpid())
    if how in ("times out", "is killed", "goes on"):
        signal.pause()
    return _told("STAGE")


def leave_a_writer(world: str, how: str, tells: str = "") -> str:
    """Do it, deaf to whoever asks it to end, and leave a process that writes on and on, of which the pipe `tells` is
    told; how the one before fares is the word. A second attempt leaves none, and fails."""
    _act(world, "execute", _writer(world))
    if _told("ATTEMPT") != "1":
        raise Refused("no")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _begin_a_writer(world)
    _strike(world, [_told("STAGE"), "execute", "written"])
    if how == "fails":
        raise Refused("no")
    if tells:
        with open(os.path.join(world, tells), "wb") as pipe:
            pipe.write(b".")
    while how != "completes":
        signal.pause()
    return _told("STAGE")


def _begin_a_writer(world: str) -> None:
    """A process in a second session of its own, with no descriptor of ours, deaf as well. It has begun to write when
    this returns."""
    run = _told("RUN")
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            Path(world, f"writer-{run}").write_text(str(os.getpid()))
            written = os.open(os.path.join(world, f"written-{run}"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(written, b".")
            os.write(writer, b".")
            os.dup2(written, 0)
            os.closerange(1, 1024)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            while True:
                os.write(0, b".")
                time.sleep(0.001)
        os._exit(0)
    os.close(writer)
    os.read(reader, 1)


def _writer(world: str) -> str:
    """How the writer fares, and how much it has written."""
    run = _told("RUN")
    try:
        process = Path(world, f"writer-{run}").read_text()
    except FileNotFoundError:
        return "none"
    size = os.path.getsize(os.path.join(world, f"written-{run}"))
    try:
        state = Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return f"dead {size}"
    return f"{'dead' if state in 'ZX' else 'alive'} {size}"


def act_on_and_on(world: str) -> None:
    """Do it, and go on until told to end."""
    _act(world, "execute")
    signal.pause()


def be_late(world: str) -> str:
    """Do it; and then the run's time is up."""
    _act(world, "execute")
    Path(world, LATE).touch()
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


def undo_for(world: str, outcome: str, index: int) -> None:
    """Undo it for one of several."""
    _act(world, "rollback", outcome, index=index)


def undo_and_look(world: str, outcome: str) -> None:
    """Undo it; the word is the outcome, and how the writer fares that the stage has left."""
    _act(world, "rollback", f"{outcome} {_writer(world)}")


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


def _act(world: str, work: str, word: str = "", index: int | None = None) -> None:
    line = [
        _told("RUN"),
        _told("STAGE") if index is None else f"{_told('STAGE')}[{index}]",
        work,
        int(_told("ATTEMPT")),
        os.getpid(),
        _told("IDEMPOTENCY_KEY"),
        word,
    ]
    _strike(world, [*line[1:3], "before"])
    file = os.open(os.path.join(world, ACTS), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, json.dumps(line).encode() + b"\n")  # one write, so that lines never mix
    os.fsync(file)
    os.close(file)
    _strike(world, [*line[1:3], "after"])


def _write(world: str, name: str, text: str) -> None:
    Path(world, "data", name).write_text(text)


def _strike(world: str, here: list[str]) -> None:
    strike = Path(world, STRIKE)
    if not strike.exists() or json.loads(strike.read_text()) != here:
        return
    orchestrator = int(Path(world, ORCHESTRATOR).read_text())
    strike.rename(strike.with_name("struck"))
    os.kill(orchestrator, signal.SIGKILL)


def _told(name: str) -> str:
    return os.environ[f"CLEW_{name}"]
