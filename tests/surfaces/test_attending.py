"""What somebody says from another process is taken up soon by the one that drives, as the order of events shows."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from tests.surfaces.calling import Person, line_from, line_into, until_said

from clew.cli.output import Output
from clew.cli.progress import Progress
from clew.core.running.entries import Entry
from clew.core.running.instructions import Instruction, Verb
from clew.core.running.state import RunState
from clew.driving import Refused, instruct_run
from clew.following import Said
from clew.settings import Settings, read_settings
from clew.wiring import instruct

A_SECOND_LONG = """
name: a-second-long
stages:
  - name: Measure
    execute:
      - {command: shell, params: [sh, -c, "echo begun > FOLDER/begun; cat FOLDER/go_on"]}
      - {command: wait, params: [1 second]}
    rollback: {command: shell, params: ["true"]}
  - {name: Follow, after: [Measure], execute: {command: shell, params: ["true"]}, rollback: none}
"""


def settings_in(person: Person) -> Settings:
    return read_settings(folder=str(person.folder), environment=os.environ)


@pytest.mark.parametrize(
    ("verb", "entry", "code"),
    [("pause", "run_paused", 0), ("cancel", "run_cancelled", 3), ("stop", "run_stopped", 1)],
)
def test_a_word_is_taken_up_within_a_second(person: Person, verb: Verb, entry: str, code: int) -> None:
    """An attempt that has a second to go when the word is durable is still under way when that is obeyed."""
    begun, go_on = person.fifo("begun"), person.fifo("go_on")
    name = person.write("second.yaml", A_SECOND_LONG.replace("FOLDER", str(person.folder)))
    driver = person.begin("run", name)
    assert line_from(begun) == "begun"
    [run] = person.clew("runs", "--format", "json").document
    instruct(settings_in(person), run["run_id"], Instruction(verb, "test", "to see how soon"))
    line_into(go_on)
    if verb == "pause":
        person.clew("pause", run["run_id"], code=2)  # refused, and so the word before it has been answered
        person.clew("unpause", run["run_id"])
    assert person.end(driver).code == code
    journal = person.clew("show", run["run_id"], "--journal", "--format", "json").document
    kinds = [each["kind"] for each in journal]
    assert kinds.count(entry) == 1
    assert kinds.index("attempt_started") < kinds.index(entry) < kinds.index("attempt_ended")
    person.clew("verify", "--all")


UNDONE = """
name: undone
stages:
  - {name: Do, execute: {command: shell, params: ["true"]}, rollback: {command: shell, params: ["true"]}}
"""


def test_what_another_has_said_before_is_seen_through(person: Person) -> None:
    """Who says the same again, after one who was killed in saying it, is refused, and leaves no run on its way."""
    run = person.run(person.write("undone.yaml", UNDONE))["run_id"]
    instruct(settings_in(person), run, Instruction("rollback", "test"))
    refused = person.clew("rollback", run, "--yes", code=2)
    assert "it is rolling_back" in refused.err
    [listed] = person.clew("runs", "--format", "json").document
    assert listed["status"] == "rolled_back"


# ---- resuming what was told before -----------------------------------------------------------------------

HELD = """
name: held
stages:
  - {name: Send, execute: {command: shell, params: [test, -e, FOLDER/allowed]}, rollback: impossible}
  - name: File
    after: [Send]
    execute: {command: shell, params: [sh, -c, "GATE"]}
    rollback: none
"""
AT_A_GATE = "echo begun > FOLDER/begun; cat FOLDER/go_on"
FREE = "true"


def held_run(person: Person, gate: str = FREE) -> str:
    """A run that is held, and completes once somebody lets it go on."""
    text = HELD.replace("GATE", gate).replace("FOLDER", str(person.folder))
    run_id: str = person.run(person.write("held.yaml", text), code=4)["run_id"]
    person.write("allowed", "")
    return run_id


def unfinished_run(person: Person) -> str:
    """A run that nobody drives, and that completes once somebody does."""
    run_id: str = person.run(person.write("undone.yaml", UNDONE))["run_id"]
    person.clew("rewind", run_id, "--to", "Do", "--yes", "--no-wait", code=5)
    return run_id


def statuses(person: Person) -> dict[str, str]:
    return {each["run_id"]: each["status"] for each in person.clew("runs", "--format", "json").document}


def test_what_was_said_before_is_obeyed_when_all_are_resumed(person: Person) -> None:
    """A held run whose person was killed in saying that it goes on is none that waits for a person any more."""
    held = held_run(person)
    instruct(settings_in(person), held, Instruction("resume", "test"))
    resumed = person.clew("resume", "--format", "json")
    assert [(each["run_id"], each["status"]) for each in resumed.document] == [(held, "completed")]
    assert resumed.err.splitlines()[0] == "what was said to 1 run has not been taken up yet"
    assert "no run is unfinished" in person.clew("resume").err


def test_resuming_stays_with_the_runs_that_it_takes_up_on_the_way(person: Person) -> None:
    """What is told a run while others are resumed is seen through, also when those have come to their rest."""
    begun, go_on = person.fifo("begun"), person.fifo("go_on")
    held, unfinished = held_run(person, AT_A_GATE), unfinished_run(person)
    instruct(settings_in(person), held, Instruction("resume", "test"))
    resuming = person.begin("resume", "--format", "json")
    assert line_from(begun) == "begun"
    until_said(resuming, f"{unfinished[:16]}  the run is completed")
    line_into(go_on)
    resumed = person.end(resuming)
    assert resumed.code == 0
    assert [each["run_id"] for each in resumed.document] == [unfinished, held]
    assert statuses(person) == {unfinished: "completed", held: "completed"}
    [_, file] = resumed.document[1]["stages"]
    assert file["attempts"] == 1, "nothing of it was cut off"


def test_a_run_that_was_resumed_before_is_seen_through_and_told_of(person: Person) -> None:
    """Who resumes a run that goes on by another's word is told how it comes to its rest: that is all that was wanted.
    Who gives a reason is refused, since that is not on record."""
    for reason, code in ((), 0), (("--reason", "bought one"), 2):
        held = held_run(person)
        instruct(settings_in(person), held, Instruction("resume", "test"))
        done = person.clew("resume", held, *reason, code=code)
        assert ("no person is needed" in done.err) == bool(reason)
        assert statuses(person)[held] == "completed"
        journal = person.clew("show", held, "--journal", "--format", "json").document
        assert sum(entry["kind"] == "run_released" for entry in journal) == 1
        os.remove(person.folder / "allowed")


class Opener(Progress):
    """Lets a run go on as soon as it is followed."""

    def __init__(self, gate: Path) -> None:
        super().__init__(Output(quiet=True))
        self._gate = gate

    def recorded(self, entry: Entry, state: RunState, said: Said) -> None:
        if not self.run_ids:
            line_into(self._gate)
        super().recorded(entry, state, said)


def test_a_run_that_another_process_resumed_first_is_followed(person: Person) -> None:
    """Two who resume a held run at once: it goes on by the one's word, and the other is told how it ends."""
    begun, go_on = person.fifo("begun"), person.fifo("go_on")
    held = held_run(person, AT_A_GATE)
    first = person.begin("resume", held)
    line_from(begun)
    second = Instruction("resume", "test")
    outcome = asyncio.run(instruct_run(settings_in(person), held, second, stays=True, watcher=Opener(go_on)))
    assert outcome.state.status == "completed"
    assert person.end(first).code == 0
    with pytest.raises(Refused, match="it is completed"):
        asyncio.run(instruct_run(settings_in(person), held, second, stays=True, watcher=Opener(go_on)))
