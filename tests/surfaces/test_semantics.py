"""What stages, their conditions and their rollbacks are told, as whoever writes them sees it."""

from __future__ import annotations

import asyncio

import pytest
from tests.surfaces.calling import Person, line_from

import clew

TELLING = """
name: telling
stages:
  - name: Make
    outputs: [made]
    execute: {command: python, params: ["telling:make"]}
    validate: [{condition: python, params: ["telling:is_known"]}]
    rollback: {command: python, params: ["telling:undo"]}
  - {name: Break, after: [Make], execute: {command: shell, params: ["false"]}, rollback: none}
"""

TELLING_CODE = """
from pathlib import Path

TOLD = Path(__file__).with_name("told")

def make():
    return {"made": 5}

def is_known(made):
    return made == 5

def undo(made, outcome, idempotency_key, rollback_idempotency_key):
    TOLD.write_text(f"{made} {outcome} {idempotency_key[:4]} {rollback_idempotency_key[:4]}")
"""


def test_functions_of_a_file_are_given_the_stages_own_outputs(person: Person) -> None:
    """A condition's function and a rollback's have parameters for the stage's outputs, as in Python."""
    person.write("telling.py", TELLING_CODE)
    person.clew("run", person.write("telling.yaml", TELLING), code=3)
    assert (person.folder / "told").read_text() == "5 completed ck1_ cr1_"


SURROUNDED = """
name: surrounded
variables: {account: A7}
stages:
  - {name: Ask, outputs: {rate: {from: stdout}}, execute: {command: shell, params: [echo, "3"]}, rollback: none}
  - name: Pay
    environment: {ACCOUNT: "{account} {rate} {attempt}"}
    execute: {command: shell, params: ["true"]}
    validate: [{condition: python, params: ["surrounded:is_known"]}]
    rollback: {command: python, params: ["surrounded:undo"]}
  - {name: Break, after: [Pay], execute: {command: shell, params: ["false"]}, rollback: none}
"""

SURROUNDED_CODE = """
import os
from pathlib import Path

def is_known():
    return os.environ["ACCOUNT"] == "A7 3 1"

def undo():
    Path(__file__).with_name("told").write_text(os.environ["ACCOUNT"])
"""


def test_conditions_and_rollbacks_have_the_environment_of_their_stage(person: Person) -> None:
    """With the values to which it refers."""
    person.write("surrounded.py", SURROUNDED_CODE)
    run = person.run(person.write("surrounded.yaml", SURROUNDED), code=3)
    assert run["status"] == "rolled_back"
    assert (person.folder / "told").read_text() == "A7 3 1"


BLOCK = """
name: block
custom_times: {later: [now, 1 hour], before: [run, -1 day]}
stages:
  - {name: A, outputs: {a: {from: stdout}}, execute: {command: shell, params: [echo, x]}, rollback: none}
  - {name: B, outputs: [b], when: "false", execute: {command: shell, params: ["true"]}, rollback: none}
validate:
  - {condition: expression, params: {expression: "EXPRESSION"}}
"""


@pytest.mark.parametrize(
    "expression",
    ["a == 'x' && b == null", "a == 'x' && before < now && now < later && run_time <= now"],
)
def test_a_blocks_own_conditions_know_every_name_they_may_use(person: Person, expression: str) -> None:
    """The program's own conditions see its times, and null where a stage was skipped."""
    person.clew("run", person.write("block.yaml", BLOCK.replace("EXPRESSION", expression)))


def test_running_inside_an_event_loop_says_what_to_write() -> None:
    """`Program.run` can't wait inside a running event loop, and names what can."""

    @clew.stage
    def nothing() -> None: ...

    async def inside() -> None:
        with pytest.raises(RuntimeError, match="open_session"):
            clew.Program("inside", stages=[nothing]).run()

    asyncio.run(inside())


SECRET = """
name: secret
environment: {TOKEN: "secret:API_TOKEN"}
stages:
  - {name: A, execute: {command: shell, params: ["true"]}, rollback: {command: shell, params: ["true"]}}
"""


def test_a_secret_that_no_setting_knows_is_told_before_anything_is_done(person: Person) -> None:
    """Code 2, and no run: the stage could only fail, and so could its rollback."""
    said = person.clew("run", person.write("secret.yaml", SECRET), code=2).err
    assert "no setting says where the secret 'API_TOKEN' is" in said
    assert not (person.folder / ".clew").exists()


WAITING_TO_BE_VALID = """
name: waiting
stages:
  - name: A
    execute: {command: shell, params: ["true"]}
    validate:
      - {condition: python, params: {function: "checks:holds"}, maximum_time: 1 hour, interval: 1 hour}
    rollback: none
"""

CHECKS = """
def holds():
    with open("BEGUN", "w") as begun:
        begun.write("tested")
    return False
"""


def test_a_condition_that_changed_while_nobody_ran_it_holds_the_run(person: Person) -> None:
    """A run that is taken up amid a stage's validation goes on under the code that was pinned, or not at all."""
    begun = person.fifo("begun")
    person.write("checks.py", CHECKS.replace("BEGUN", str(begun)))
    process = person.begin("run", person.write("waiting.yaml", WAITING_TO_BE_VALID))
    assert line_from(begun) == "tested"
    process.kill()
    person.end(process)
    person.write("checks.py", "def holds():\n    return True\n")
    assert "the code" in person.clew("resume", code=4).err
    person.clew("verify", "--all")
