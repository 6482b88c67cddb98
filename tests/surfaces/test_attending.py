"""What somebody says from another process is taken up soon by the one that drives, as the order of events shows."""

from __future__ import annotations

import os

import pytest
from tests.surfaces.calling import Person, line_from, line_into

from clew.core.running.instructions import Instruction, Verb
from clew.settings import read_settings
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
    settings = read_settings(folder=str(person.folder), environment=os.environ)
    instruct(settings, run["run_id"], Instruction(verb, "test", "to see how soon"))
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
    settings = read_settings(folder=str(person.folder), environment=os.environ)
    instruct(settings, run, Instruction("rollback", "test"))
    refused = person.clew("rollback", run, "--yes", code=2)
    assert "it is rolling_back" in refused.err
    [listed] = person.clew("runs", "--format", "json").document
    assert listed["status"] == "rolled_back"
