"""What a person tells a run: the verbs as they are used, alone and beside a `clew run`, and what they say."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.surfaces.calling import Person, line_from, line_into, until_said
from tests.surfaces.terminal import STYLE, terminal

from clew import driving
from clew.cli.output import Output
from clew.cli.progress import Progress
from clew.core.running.instructions import Instruction
from clew.settings import read_settings
from clew.stores.lock import OrchestratorLock
from clew.wiring.taking import this_process

HELLO = "{name: hello, stages: [{name: A, rollback: none, execute: {command: shell, params: [echo, hello]}}]}"

TRIP = """
name: trip
stages:
  - name: Reserve
    outputs: {ticket: {from: stdout}}
    execute: {command: shell, params: [sh, -c, "echo reserve >> FOLDER/outside; echo LH-7"]}
    rollback: {command: shell, params: [sh, -c, "echo cancel {ticket} >> FOLDER/outside"]}
  - name: Wait
    after: [Reserve]
    outputs: {said: {from: stdout}}
    execute: {command: shell, params: [sh, -c, "echo begun > FOLDER/begun; cat FOLDER/go_on"]}
    rollback: {command: shell, params: [sh, -c, "echo forget >> FOLDER/outside"]}
  - name: Tell
    inputs: [said]
    execute: {command: shell, params: [sh, -c, "echo tell >> FOLDER/outside"]}
    rollback: {command: shell, params: [sh, -c, "echo take back >> FOLDER/outside"]}
"""
"""Its second stage says that it has begun, and ends when it is told to."""

LETTER = """
name: letter
stages:
  - name: Write
    execute: {command: shell, params: [echo, written]}
    rollback: {command: shell, params: [echo, burnt]}
  - name: Send
    after: [Write]
    execute: {command: shell, params: [echo, sent]}
    rollback: impossible
  - name: File
    after: [Send]
    outputs: {drawer: {from: stdout}}
    execute: {command: shell, params: [sh, -c, "test -e FOLDER/cabinet && echo 7"]}
    rollback: {command: shell, params: [echo, taken out]}
  - name: Index
    inputs: [drawer]
    dependencies: {keeper: {kind: input, schema: {enum: [Ariadne, Minos]}, deadline: 1 day}}
    execute: {command: shell, params: [echo, "{drawer} {keeper}"]}
    rollback: none
"""
"""Its third stage fails unless there is a cabinet, beyond a point of no return; its fourth asks for something."""


class Teller(Person):
    """Somebody who begins runs, and tells them things."""

    def program(self, name: str, text: str) -> str:
        return self.write(f"{name}.yaml", text.replace("FOLDER", str(self.folder)))

    def begin_trip(self) -> tuple[str, subprocess.Popen[str]]:
        """A `clew run` whose second stage is under way: the run's id, and the process that drives it."""
        self.begun, self.go_on = self.fifo("begun"), self.fifo("go_on")
        process = self.begin("run", self.program("trip", TRIP), "--format", "json")
        assert line_from(self.begun) == "begun"
        return self.listed()[0][0], process

    def interrupted_trip(self) -> str:
        """The same, once its process has been killed: nobody drives it."""
        run_id, process = self.begin_trip()
        process.kill()
        self.end(process)
        return run_id

    def held_letter(self) -> str:
        """A run that is held beyond a point of no return."""
        run_id: str = self.run(self.program("letter", LETTER), code=4)["run_id"]
        return run_id

    def rows(self, query: str) -> list[Any]:
        """What the store's tables say, which any SQL client may read."""
        with closing(sqlite3.connect(self.folder / ".clew" / "clew.db")) as store:
            return store.execute(query).fetchall()

    def listed(self) -> list[Any]:
        """Id and status of each run, the newest first."""
        return self.rows("SELECT run_id, status FROM runs ORDER BY launched_at DESC")

    def tell(self, *words: str, code: int = 0) -> Any:
        """A verb, and the document that it ends with."""
        return self.clew(*words, "--format", "json", code=code).document

    def refused(self, *words: str) -> str:
        """Why the verb is refused: code 2, and nothing was done or said."""
        count = "SELECT (SELECT count(*) FROM journal), (SELECT count(*) FROM instructions)"
        before = self.rows(count)
        done = self.clew(*words, code=2)
        assert done.out == ""
        assert self.rows(count) == before
        return done.err

    def outside(self) -> list[str]:
        """What the stages and their rollbacks did, in order."""
        path = self.folder / "outside"
        return path.read_text().splitlines() if path.exists() else []

    def kinds(self, run_id: str) -> list[str]:
        """What happened to the run, in order."""
        rows = self.rows(f"SELECT kind FROM journal_entries WHERE run_id = '{run_id}' ORDER BY seq")
        return [kind for (kind,) in rows]

    def said(self, run_id: str, kind: str) -> tuple[Any, Any]:
        """The one entry of that kind, and its payload."""
        [one] = [entry for entry in self.tell("show", run_id, "--journal") if entry["kind"] == kind]
        return one["body"], one["payload"]


@pytest.fixture
def teller(tmp_path: Path) -> Teller:
    return Teller(tmp_path)


# ---- cancelling and stopping -----------------------------------------------------------------------------


def test_cancel_beside_a_run(teller: Teller) -> None:
    """Whoever drives the run obeys, once: what runs is ended and seen to end, all is undone; both processes say how
    it ended, each by its own code."""
    run_id, driving = teller.begin_trip()
    done = teller.clew("cancel", run_id, "--yes", "--reason", "not today", "--format", "json")
    assert "drives the runs of this store, and is told" in done.err
    assert "created" not in done.err, "what went before is not news"
    assert (done.document["status"], done.document["cause"]) == ("rolled_back", "cancelled")
    assert done.document["ends"] == [
        {"stage": "Wait", "attempt": 1, "outcome": "cancelled", "is_seen": True,
         "error": {"kind": "cancelled", "message": "was asked to end"}}
    ]  # fmt: skip
    ended = teller.end(driving)
    assert (ended.code, ended.document["status"]) == (3, "rolled_back")
    assert teller.outside() == ["reserve", "forget", "cancel LH-7"]
    body, payload = teller.said(run_id, "run_cancelled")
    assert body["by"].startswith("cli:")
    assert payload == {"reason": "not today"}
    teller.clew("verify", "--all")
    teller.clew("replay", "--all")


def test_cancel_alone(teller: Teller) -> None:
    """A run that nobody drives is driven back by the verb itself."""
    run_id = teller.interrupted_trip()
    done = teller.clew("cancel", run_id[:16], "--yes")
    assert "↶ rolled_back" in done.out
    assert "nothing was under way" in done.out
    assert done.err.splitlines()[-1].endswith("shows what was done, and what was undone")
    assert teller.outside() == ["reserve", "forget", "cancel LH-7"]
    assert "it is rolled_back already" in teller.refused("cancel", run_id, "--yes")
    assert "cancelled by cli:" in teller.clew("why", run_id).out


def test_cancel_is_shown_first(teller: Teller) -> None:
    """Without a terminal it must be said that it is meant; a dry run shows what would be ended, undone and left."""
    run_id, driving = teller.begin_trip()
    done = teller.clew("cancel", run_id, code=2)
    assert "nobody can be asked here: nothing was done" in done.err
    shown = teller.clew("cancel", run_id, "--dry-run").out.splitlines()
    assert shown[0] == f"cancel  run {run_id} of trip, ▸ running"
    assert [line.split() for line in shown[1:]] == [
        ["ends", "Wait"],
        ["undoes", "block", "2", "Wait", "(under", "way)"],
        ["block", "1", "Reserve"],
        ["then", "the", "run", "is", "rolled_back,", "with", "nothing", "left", "standing"],
    ]
    document = teller.tell("cancel", run_id, "--dry-run")
    assert document["undo"] == [
        {"index": 2, "stages": [{"stage": "Wait", "outcome": "unknown"}]},
        {"index": 1, "stages": [{"stage": "Reserve", "outcome": "completed"}]},
    ]
    assert (document["ends"], document["becomes"]) == ([{"stage": "Wait", "attempt": 1}], "rolled_back")
    line_into(teller.go_on)
    assert teller.end(driving).code == 0, "none of these did anything"


def test_stop_and_roll_back_later(teller: Teller) -> None:
    """Stopping undoes nothing, and that is what was asked for: code 0. What is left is undone when that is asked
    for; then there is nothing more to undo."""
    run_id = teller.interrupted_trip()
    stopped = teller.tell("stop", run_id)
    assert (stopped["status"], stopped["cause"], stopped["ends"]) == ("failed", "cancelled", [])
    assert stopped["residue"] == [
        {"stage": "Reserve", "certain": True, "pass": 1},
        {"stage": "Wait", "certain": False, "pass": 1},
    ]
    assert teller.outside() == ["reserve"]
    assert teller.tell("rollback", run_id, "--yes")["status"] == "rolled_back"
    assert teller.outside() == ["reserve", "forget", "cancel LH-7"]
    assert "there is nothing to undo" in teller.refused("rollback", run_id, "--yes")


# ---- pausing ---------------------------------------------------------------------------------------------


def test_pause_and_unpause(teller: Teller) -> None:
    """A paused run begins no further stage, whoever drives it, and `clew resume` leaves it alone, until somebody
    says that it goes on."""
    run_id, driving = teller.begin_trip()
    assert teller.tell("pause", run_id, "--reason", "lunch")["status"] == "paused"
    line_into(teller.go_on, "a word")
    until_said(driving, "Wait: attempt 1 completed")
    driving.send_signal(signal.SIGINT)
    assert teller.end(driving).code == 130
    assert "it is paused already" in teller.refused("pause", run_id)
    listed = teller.clew("resume")
    assert f"`clew unpause {run_id[:16]}` goes on" in listed.err
    assert "no run is unfinished" in listed.err
    assert "`clew unpause" in teller.refused("resume", run_id)
    assert "unfinished" not in teller.clew("run", teller.write("hello.yaml", HELLO)).err
    why = teller.clew("why", run_id).out
    assert "paused by cli:" in why
    assert "lunch" in why
    assert teller.tell("why", run_id)["can_be_told"][0] == {"verb": "unpause", "stage": "", "outputs": []}
    assert teller.outside() == ["reserve"]
    assert teller.tell("unpause", run_id)["status"] == "completed"
    assert teller.outside() == ["reserve", "tell"]
    assert "not paused" in teller.refused("unpause", run_id)
    assert "it is completed" in teller.refused("pause", run_id)


def paused_run(teller: Teller) -> str:
    """A run that is paused and that nobody drives, after its first stages."""
    run_id, driving = teller.begin_trip()
    teller.clew("pause", run_id)
    line_into(teller.go_on, "a word")
    until_said(driving, "Wait: attempt 1 completed")
    driving.send_signal(signal.SIGINT)
    teller.end(driving)
    return run_id


def test_a_run_that_was_paused_is_stayed_with_until_it_stands_still(teller: Teller) -> None:
    """It goes back as it is told, and forward again not before somebody says that it is paused no longer: nobody waits
    for that, neither who has told it, nor who takes it up on its way."""
    run_id = paused_run(teller)
    rewind = ("rewind", run_id, "--to", "Reserve", "--yes")
    teller.clew(*rewind, "--no-wait", code=5)
    [resumed] = teller.tell("resume", code=5)
    assert (resumed["run_id"], resumed["status"]) == (run_id, "paused")
    done = teller.clew(*rewind, code=5)
    assert done.out.startswith(f"◌ paused  trip  run {run_id}\n")
    assert done.err.splitlines()[-1] == f"next: `clew unpause {run_id[:16]}` goes on"


def test_a_run_that_was_paused_is_followed_until_it_stands_still(teller: Teller) -> None:
    """So it is by who has told it something while another process drives."""
    run_id = paused_run(teller)
    os.remove(teller.go_on)
    os.remove(teller.begun)
    _, driving = teller.begin_trip()
    assert teller.tell("rewind", run_id, "--to", "Reserve", "--yes", code=5)["status"] == "paused"
    line_into(teller.go_on, "a word")
    assert teller.end(driving).code == 0


# ---- a run that is held ----------------------------------------------------------------------------------


def test_what_a_held_run_can_be_told(teller: Teller) -> None:
    """`why` lists, as they are to be typed, the verbs that it can obey, with the outputs that must be given; every
    other is refused with what would be right."""
    run_id = teller.held_letter()
    short = run_id[:16]
    why = teller.clew("why", run_id)
    assert "'Send' has begun and can't be undone, and lies on the way back" in why.out
    for command in (
        f"clew resume {short} ",
        f"clew retry {short} File ",
        f"clew skip {short} File --output drawer=VALUE ",
        f"clew rollback {short} ",
        f"clew stop {short} ",
    ):
        assert f"  {command}" in why.out
    assert f"clew cancel {short}" not in why.out
    assert "'Send' has begun and can't be undone" in teller.refused("cancel", run_id, "--yes")
    assert "'Write' is completed, not failed" in teller.refused("retry", run_id, "write")
    assert "has no stage 'Post'; it has Write, Send" in teller.refused("retry", run_id, "Post")
    assert "'File' has no items" in teller.refused("retry", run_id, "File[1]")
    assert "give 'drawer' (for 'Index')" in teller.refused("skip", run_id, "File")
    wrong = teller.refused("skip", run_id, "File", "--output", "drawr=3")
    assert "has no output 'drawr'; did you mean 'drawer'?" in wrong
    assert "must be NAME=VALUE" in teller.refused("skip", run_id, "File", "--output", "drawer")
    assert "there is no way back to 'Write'" in teller.refused("rewind", run_id, "--to", "Write", "--yes")
    assert "it has not come to 'Index' yet" in teller.refused("rewind", run_id, "--to", "index", "--yes")
    assert "it is held" in teller.refused("pause", run_id)
    assert teller.kinds(run_id)[-1] == "run_held", "none of these did anything"


def test_retry_and_supply(teller: Teller) -> None:
    """A stage is tried again with fresh retries; the run waits for its input, which is checked against the schema
    and may be given beforehand, from a file too."""
    run_id = teller.held_letter()
    assert "has no input 'keepr'; did you mean 'keeper'?" in teller.refused(
        "supply", run_id, "keepr", "Minos"
    )
    assert "the input 'keeper': \"Zeus\" is not one of" in teller.refused("supply", run_id, "keeper", "Zeus")
    for words in ((), ("Minos", "--file", "name")):
        assert "say the VALUE" in teller.refused("supply", run_id, "keeper", *words)
    assert "name: can't be read" in teller.refused("supply", run_id, "keeper", "--file", "name")
    teller.write("name", "Minos\n")
    assert teller.tell("supply", run_id, "keeper", "--file", "name")["status"] == "held"
    assert teller.tell("retry", run_id, "file", code=4)["stages"][2]["attempts"] == 2
    teller.write("cabinet", "")
    done = teller.tell("retry", run_id, "File", "--reason", "there is one now")
    assert (done["status"], done["variables"]) == ("completed", {"drawer": "7", "keeper": "Minos"})
    assert "it is completed" in teller.refused("supply", run_id, "keeper", "Ariadne")
    why = teller.clew("why", run_id).out
    assert "failed first: 'File', attempt 1" in why
    assert why.endswith("it is completed\n")


def test_skip_with_outputs_and_an_input_that_is_waited_for(teller: Teller) -> None:
    """What a skipped stage would have given is given in its place; what waits for an input says for which, until
    when and how it is given; a second process gives it."""
    run_id = teller.held_letter()
    skipping = teller.begin("skip", run_id, "File", "--output", "drawer=9", "--format", "json")
    until_said(skipping, "somebody has to supply 'keeper'")
    [waiting] = teller.tell("why", run_id)["waiting"]
    [wanted] = waiting["inputs"]
    assert (wanted["name"], wanted["schema"]) == ("keeper", {"enum": ["Ariadne", "Minos"]})
    assert wanted["until"] > waiting["since"]
    why = teller.clew("why", run_id, "--probe")
    assert f"clew supply {run_id[:16]} keeper VALUE" in why.out
    supplied = teller.clew("supply", run_id, "keeper", "Ariadne")
    assert "is told" in supplied.err
    done = teller.end(skipping)
    assert (done.code, done.document["status"]) == (0, "completed")
    assert done.document["variables"] == {"drawer": 9, "keeper": "Ariadne"}
    assert teller.clew("logs", run_id, "--stage", "Index").out == "9 Ariadne\n"
    shown = teller.clew("show", run_id, "--journal").out
    assert "File: cli:" in shown and "says: go on without it" in shown


def test_roll_back_after_a_point_of_no_return(teller: Teller) -> None:
    """What came after it is undone; the rest stays, which is said before, and the code says that it stays."""
    run_id = teller.held_letter()
    shown = teller.clew("rollback", run_id, "--dry-run").out
    assert "block 3  File (failed)" in shown
    assert "Send: it can't be undone" in shown
    assert "Write: what came after it can't be undone" in shown
    done = teller.clew("rollback", run_id, "--yes", code=1)
    assert "Send              yes" in done.out
    assert "nothing that came after 'Send', which can't be undone, is left to undo" in teller.refused(
        "rollback", run_id, "--yes"
    )


def test_a_way_back_that_is_barred(teller: Teller) -> None:
    """Cancelling beyond a point of no return undoes nothing and holds the run; that is shown before."""
    teller.write("cabinet", "")
    driving = teller.begin("run", teller.program("letter", LETTER))
    until_said(driving, "somebody has to supply 'keeper'")
    run_id = teller.listed()[0][0]
    shown = teller.clew("cancel", run_id, "--dry-run").out
    assert "undoes   nothing: 'Send' has begun and can't be undone" in shown
    assert "the run is held for a person" in shown
    cancelled = teller.clew("cancel", run_id, "--yes", code=4).out
    assert cancelled.startswith("! held  letter")
    assert "under way" not in cancelled, "nothing is ended"
    ended = teller.end(driving)
    assert ended.code == 4
    assert "Send: the run is held for a person: the way back is barred by what can't be undone" in ended.err
    check_what_resume_does(teller, run_id, "goes forward")


def check_what_resume_does(teller: Teller, run_id: str, effect: str) -> None:
    """What `clew why` says that `clew resume` does, to the end of its line."""
    [line] = [line for line in teller.clew("why", run_id).out.splitlines() if "clew resume" in line]
    assert line.partition("  goes")[0].strip() == f"clew resume {run_id[:16]}"
    assert line.endswith(f"  {effect}")


def test_who_resumes_beyond_a_point_of_no_return_knows_what_is_tried_again(teller: Teller) -> None:
    """Where something failed, that is; where somebody cancelled, nothing is said to have failed, though something had
    before."""
    run_id = teller.held_letter()
    check_what_resume_does(teller, run_id, "goes forward: what failed is tried again")
    teller.write("cabinet", "")
    teller.clew("resume", run_id, "--no-wait", code=5)
    teller.clew("cancel", run_id, "--yes", code=4)
    check_what_resume_does(teller, run_id, "goes forward")


def test_resume_tells_a_held_run_beside_another(teller: Teller) -> None:
    """Somebody else drives the store: they take the held run up and go on with it, and the reason is kept."""
    run_id = teller.held_letter()
    teller.write("cabinet", "")
    _, driving = teller.begin_trip()
    done = teller.clew("resume", run_id, "--reason", "bought one", "--no-wait", code=5)
    assert "is told" in done.err
    assert done.err.splitlines()[-1] == f"next: `clew show {run_id[:16]}` shows how far it is"
    assert teller.said(run_id, "run_released")[1] == {"reason": "bought one"}
    assert teller.tell("supply", run_id, "keeper", "Minos")["status"] in ("running", "completed")
    line_into(teller.go_on)
    assert teller.end(driving).code == 0
    assert teller.clew("resume").code == 0
    assert [status for _, status in teller.listed()] == ["completed", "completed"]
    for words in (("--reason", "x"), ("--no-wait",)):
        assert "name it" in teller.refused("resume", *words)


# ---- going back, and forward again -----------------------------------------------------------------------

PASSES = """
name: passes
stages:
  - name: Load
    outputs: {loaded: {from: stdout}}
    execute: {command: shell, params: [sh, -c, "echo load >> FOLDER/outside; wc -l < FOLDER/outside"]}
    rollback: {command: shell, params: [sh, -c, "echo unload >> FOLDER/outside"]}
  - name: Split
    inputs: [loaded]
    for_each: [a, b, c]
    outputs: {part: {from: stdout}}
    execute: {command: shell, params: [echo, "{item}{loaded}"]}
    rollback: {command: shell, params: [sh, -c, "test {item} != b || test -e FOLDER/allowed"]}
  - name: Note
    after: [Split]
    execute: {command: shell, params: [echo, noted]}
"""


def test_rewind(teller: Teller) -> None:
    """It is shown what is undone, what stays and what runs again; over what stays the run is held before it goes
    forward. Passes are kept apart: in the stages, the attempts, what is left, and in `why`."""
    run_id = teller.run(teller.program("passes", PASSES))["run_id"]
    shown = teller.clew("rewind", run_id, "--to", "load", "--dry-run").out
    assert "block 2  Split, 3 items" in shown
    assert "Note: it declares no rollback" in shown
    assert "the run is held, for what is left" in shown
    assert "forward again from block 1: Load; Split; Note" in shown

    failed = teller.tell("rewind", run_id, "--to", "Load", "--yes", "--reason", "once more", code=4)
    assert failed["status"] == "rollback_failed"
    assert "clew retry" in teller.clew("why", run_id).out
    teller.clew("skip", run_id, "Split[1]", code=4)
    held = teller.tell("why", run_id)
    assert held["held"]["reason"] == "not_undone"
    given_up = {one["stage"]: one["given_up"] for one in held["rollbacks"]}
    assert given_up == {"Split[0]": False, "Split[1]": True, "Split[2]": False, "Load": False}

    done = teller.tell("resume", run_id)
    assert (done["status"], done["variables"]["part"]) == ("completed", ["a3", "b3", "c3"])
    assert [stage["pass"] for stage in done["stages"]] == [2, 2, 2]
    assert done["residue"] == [
        {"stage": "Split[1]", "certain": True, "pass": 1},
        {"stage": "Note", "certain": True, "pass": 1},
    ]
    told = teller.tell("why", run_id)
    [first] = told["earlier"]
    assert (first["pass"], first["back_to"], first["ended_by"]["kind"]) == (1, 1, "rewind_requested")
    assert first["ended_by"]["reason"] == "once more"
    assert (told["pass"], told["first_error"], told["rollbacks"]) == (2, None, [])
    item = teller.tell("show", run_id, "split[1]")
    assert (item["name"], item["value"], item["pass"]) == ("Split[1]", "b", 2)
    assert [(one["attempt"], one["pass"]) for one in item["attempts"]] == [(1, 1), (2, 2)]
    assert [(one["pass"], one["outcome"]) for one in item["rollbacks"]] == [(1, "failed")]
    words = teller.clew("why", run_id).out
    assert "pass 1" in words
    assert "then forward again from block 1" in words
    assert "Split[1]          yes      1" in words
    teller.clew("verify", "--all")
    teller.clew("replay", "--all")


def test_roll_back_a_completed_run(teller: Teller) -> None:
    """What a completed run did is undone when somebody says so."""
    teller.write("allowed", "")
    program = teller.program("passes", PASSES.replace("    execute: {command: shell, params: [echo, noted]}\n",
                             "    rollback: none\n    execute: {command: shell, params: [echo, noted]}\n"))  # fmt: skip
    run_id = teller.run(program)["run_id"]
    assert "`clew rollback` undoes it" in teller.refused("cancel", run_id, "--yes")
    assert "it is completed" in teller.refused("stop", run_id)
    done = teller.tell("rollback", run_id, "--yes")
    assert (done["status"], done["cause"]) == ("rolled_back", "requested")
    assert teller.outside() == ["load", "unload"]


def test_no_wait(teller: Teller) -> None:
    """The verb returns once the run has obeyed, 5 as long as that does not rest; whoever resumes it takes it on."""
    run_id = teller.interrupted_trip()
    done = teller.clew("cancel", run_id, "--yes", "--no-wait", code=5)
    assert done.out.startswith(f"↶ rolling_back  trip  run {run_id}\n")
    assert done.err.splitlines()[-1] == f"next: `clew resume {run_id[:16]}` drives it"
    assert teller.outside() == ["reserve"], "nothing is begun by a verb that does not stay"
    teller.clew("resume", code=3)
    assert teller.outside() == ["reserve", "forget", "cancel LH-7"]


def test_an_interrupted_verb(teller: Teller) -> None:
    """Ctrl-C ends the verb, not what it said: the run is taken up from there."""
    run_id = teller.interrupted_trip()
    telling = teller.begin("rewind", run_id, "--to", "Wait", "--yes")
    assert line_from(teller.begun) == "begun"
    telling.send_signal(signal.SIGINT)
    done = teller.end(telling)
    assert done.code == 130
    assert done.err.splitlines()[-1].startswith("interrupted; what was said stands")
    assert "pass_begun" in teller.kinds(run_id)


# ---- items -----------------------------------------------------------------------------------------------

MANY = """
name: many
stages:
  - name: Split
    for_each: [FIRST, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, LAST]
    outputs: {part: {from: stdout}}
    execute: {command: shell, params: [sh, -c, "echo {item}; test {item} != LAST"]}
    rollback: impossible
"""


def test_many_items(teller: Teller) -> None:
    """So many are listed, those that say something among them, and the others are counted; JSON has all."""
    run = teller.run(teller.write("many.yaml", MANY), code=4)
    assert len(run["stages"][0]["items"]) == 25
    shown = teller.clew("show", run["run_id"]).out
    assert "  [24]        ✗ failed" in shown
    assert "  and 5 more  5 completed" in shown
    assert "[19]" not in shown
    [stage] = teller.tell("show", run["run_id"])["stages"]
    assert [item["item"] for item in stage["items"]] == list(range(25))
    assert stage["items"][24]["outputs"] == {}
    assert "Split[24]   ✗ failed" in teller.clew("show", run["run_id"], "Split").out
    one = teller.clew("show", run["run_id"], "Split[24]").out
    assert 'for     "LAST"' in one
    assert "has 25 items, from 'Split[0]'" in teller.clew("show", run["run_id"], "Split[25]", code=2).err
    assert teller.clew("logs", run["run_id"], "--stage", "split[24]").out == "LAST\n"
    assert len(teller.clew("logs", run["run_id"], "--stage", "Split").out.splitlines()) == 25
    assert "say one of them" in teller.clew("show", run["run_id"], "Split", "--stage", "Split", code=2).err
    why = teller.clew("why", run["run_id"]).out
    assert "failed first: 'Split[24]', attempt 1" in why
    assert f"clew retry {run['run_id'][:16]} 'Split[24]' " in why


# ---- at a terminal ---------------------------------------------------------------------------------------


# Python hears of a Ctrl-C that comes right before it reads only when it has read: hence the line after it.
@pytest.mark.parametrize(
    ("keys", "code"), [("n\r", 2), ("\r", 2), ("maybe\rno\r", 2), ("\x03\r", 130), ("Yes\r", 0)]
)
def test_a_person_is_asked(teller: Teller, keys: str, code: int) -> None:
    """What would be undone is shown, and nothing is done unless the answer is yes."""
    run_id = teller.interrupted_trip()
    with terminal(teller, "cancel", run_id) as screen:
        screen.until(f"cancel run {run_id[:16]}? [y/N]: ")
        shown = STYLE.sub("", screen.shown)
        assert "undoes   block 2  Wait (under way)" in shown
        assert "block 1  Reserve" in shown
        screen.type(keys)
        assert screen.end() == code
    said = STYLE.sub("", screen.shown)
    assert ("nothing was done" in said) is (code != 0)
    assert teller.listed()[0][1] == ("running" if code else "rolled_back")


# ---- a process that hangs --------------------------------------------------------------------------------


def test_a_word_that_nobody_takes_up(teller: Teller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever drives the store does not answer: the verb does not wait for ever. What was said stands, `why` tells
    so, and the next who looks obeys."""
    run_id = teller.interrupted_trip()
    monkeypatch.setattr(driving, "TAKEN_UP_SECONDS_MAX", 0)
    settings = read_settings(folder=str(teller.folder), environment={})
    lock = OrchestratorLock(settings.store + ".lock")
    lock.acquire(this_process())
    said = Instruction("cancel", "somebody", "to see")
    telling = driving.instruct_run(settings, run_id, said, stays=True, watcher=Progress(Output(quiet=True)))
    with pytest.raises(driving.NotFinished, match="has not taken up what was said; it stands"):
        asyncio.run(telling)
    lock.release()
    assert "somebody said cancel (to see); nobody has taken that up yet" in teller.clew("why", run_id).out
    teller.clew("run", teller.write("hello.yaml", HELLO))
    assert "run_cancelled" in teller.kinds(run_id)
    assert teller.tell("why", run_id)["unanswered"] == []


# ---- what can't be obeyed --------------------------------------------------------------------------------

BIG = """
name: big
stages: [{name: B, outputs: [text], execute: {command: python, params: ['big:big']}}]
"""


def test_an_instruction_that_cannot_be_obeyed_stops_nobody(person: Person) -> None:
    """One for a run that can't be read, and one that says nothing known: both are refused, and runs go on."""
    person.write("big.py", "def big():\n    return {'text': 'x' * 400_000}\n")
    run = person.run(person.write("big.yaml", BIG))
    shutil.rmtree(person.folder / ".clew" / "payloads")
    sayings = [{"verb": "rollback", "by": "somebody"}, {"verb": "praise", "by": "somebody"}]
    with closing(sqlite3.connect(person.folder / ".clew" / "clew.db")) as store, store:
        insert = "INSERT INTO instructions VALUES (?, ?, ?, 0, NULL, '', NULL)"
        rows = [(str(number), run["run_id"], json.dumps(said)) for number, said in enumerate(sayings)]
        store.executemany(insert, rows)
    assert person.run(person.write("hello.yaml", HELLO))["status"] == "completed"
    with closing(sqlite3.connect(person.folder / ".clew" / "clew.db")) as store:
        [unread, unknown] = store.execute("SELECT answer, why FROM instructions ORDER BY instruction_id")
    assert (unread[0], unknown[0]) == ("refused", "refused")
    assert "can't be read" in unread[1]
    assert "praise" in unknown[1]
