"""`clew run` and `clew resume` end with the code that says how the run ended, and lose no run on the way."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing

import pytest
from tests.surfaces.calling import Person, line_from, line_into

HELLO = """
name: hello
variables: {who: Theseus}
stages:
  - name: Greet
    execute: {command: shell, params: [echo, "hello {who}"]}
    outputs: {greeting: {from: stdout}}
    rollback: none
"""

FAILS = """
name: fails
stages:
  - name: Write
    execute: {command: shell, params: [touch, written]}
    outputs: []
    rollback: {command: shell, params: [rm, -f, written]}
    validate: []
  - name: Break
    after: [Write]
    execute: {command: shell, params: [sh, -c, "echo broken; exit 7"]}
    rollback: ROLLBACK
"""

WAITS = """
name: waits
stages:
  - name: Wait
    execute: {command: shell, params: [sh, -c, "echo begun > FOLDER/begun; cat FOLDER/go_on"]}
    outputs: {said: {from: stdout}}
    rollback: none
"""


def test_a_run_that_completes(person: Person) -> None:
    """Code 0; the document on standard output, and nothing else there; the id and the next step beside it."""
    done = person.clew("run", person.write("hello.yaml", HELLO), "--var", "who=Ariadne", "--format", "json")
    run = done.document
    assert list(run) == [
        "run_id", "program", "version", "status", "cause", "is_paused", "stages", "variables", "residue"
    ]  # fmt: skip
    assert (run["program"], run["status"]) == ("hello", "completed")
    assert run["stages"] == [
        {"name": "Greet", "block": 1, "pass": 1, "status": "completed", "attempts": 1, "outcome": "completed"}
    ]
    assert run["variables"] == {"who": "Ariadne", "greeting": "hello Ariadne"}
    assert run["residue"] == []
    assert done.err.startswith(f"run {run['run_id']} of hello\n")
    assert "Greet: attempt 1 started" in done.err


def test_a_run_in_words(person: Person) -> None:
    """For people: the status, the stages, the values; the last line says what to do next."""
    done = person.clew("run", person.write("hello.yaml", HELLO))
    assert "✓ completed  hello  run " in done.out
    assert 'greeting  "hello Theseus"' in done.out
    assert done.err.splitlines()[-1].startswith("next: `clew show ")
    assert "\x1b" not in done.out + done.err


def test_quiet(person: Person) -> None:
    """`--quiet` leaves standard error empty."""
    done = person.clew("run", person.write("hello.yaml", HELLO), "--quiet")
    assert done.err == ""
    assert "completed" in done.out


@pytest.mark.parametrize(
    ("rollback", "code", "status", "residue"),
    [
        ("none", 3, "rolled_back", []),
        ("{command: shell, params: [echo, undone]}", 3, "rolled_back", []),
        ("", 1, "failed", [("Break", False)]),
        ("{command: shell, params: ['false']}", 4, "rollback_failed", [("Break", False), ("Write", True)]),
    ],
)  # fmt: skip
def test_how_a_run_that_fails_ends(
    person: Person, rollback: str, code: int, status: str, residue: list[tuple[str, bool]]
) -> None:
    """3 where nothing is left standing, 1 where something is, 4 where a person is needed."""
    text = FAILS.replace("    rollback: ROLLBACK\n", f"    rollback: {rollback}\n" if rollback else "")
    run = person.run(person.write("fails.yaml", text), code=code)
    assert run["status"] == status
    assert run["residue"] == [{"stage": name, "certain": certain, "pass": 1} for name, certain in residue]


def test_a_rollback_that_failed_goes_on(person: Person) -> None:
    """`clew resume RUN` tries the rollback again; without a name it leaves a run that needs a person alone."""
    rollback = "{command: shell, params: [test, -e, FOLDER/allowed]}".replace("FOLDER", str(person.folder))
    run = person.run(person.write("fails.yaml", FAILS.replace("ROLLBACK", rollback)), code=4)
    listed = person.clew("resume")
    assert (listed.code, listed.out) == (0, "")
    assert f"run {run['run_id']} is rollback_failed" in listed.err
    assert "no run is unfinished" in listed.err
    person.write("allowed", "")
    resumed = person.clew("resume", run["run_id"][:20], "--format", "json", code=3).document
    assert (resumed["run_id"], resumed["status"], resumed["residue"]) == (run["run_id"], "rolled_back", [])


def test_nothing_to_resume(person: Person) -> None:
    """A run that is settled can't be resumed; where none is unfinished, resuming all is done at once."""
    run = person.run(person.write("hello.yaml", HELLO))
    refused = person.clew("resume", run["run_id"], code=2)
    assert "is completed: there is nothing to resume" in refused.err
    assert person.clew("resume", "--format", "json").document == []


# ---- wrong calls -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run",), "Missing argument 'PROGRAM'"),
        (("run", "nothing.yaml"), "nothing.yaml:1:1: program: the file can't be read"),
        (("run", "nothing:here"), "there is no module 'nothing'"),
        (("run", "hello.yaml", "--var", "whom=x"), "takes no variable 'whom'; did you mean 'who'?"),
        (("run", "hello.yaml", "--var", "who"), "must be NAME=VALUE"),
        (("run", "hello.yaml", "--vars", "nothing.json"), "nothing.json: can't be read"),
        (("run", "hello.yaml", "--store", "hello.db"), "not a store; write sqlite:///PATH"),
        (("run", "hello.yaml", "--settings", "nothing.toml"), "there is no such settings file"),
        (("rum", "hello.yaml"), "there is no verb 'rum'; did you mean 'run'?"),
        (("resume", "x"), "there is no store here"),
    ],
)  # fmt: skip
def test_a_wrong_call(person: Person, words: tuple[str, ...], said: str) -> None:
    """Code 2, one message that says what would be right, and nothing was done: not even a store is made."""
    person.write("hello.yaml", HELLO)
    done = person.clew(*words, code=2)
    assert done.out == ""
    assert said in done.err
    assert "Traceback" not in done.err
    assert not (person.folder / ".clew").exists()


def test_a_request_that_does_not_fit_its_schema(person: Person) -> None:
    """A value that a program's schema refuses is a wrong call."""
    text = HELLO.replace("variables: {who: Theseus}", "requests: {who: {type: string, minLength: 3}}")
    name = person.write("hello.yaml", text)
    assert "needs the variable 'who'" in person.clew("run", name, code=2).err
    assert "the variable 'who'" in person.clew("run", name, "--var", "who=12", code=2).err
    assert person.run(name, "--var", 'who="123"')["variables"]["who"] == "123"


def test_variables_from_a_file(person: Person) -> None:
    """`--vars` reads a JSON object, and `--var` overrules it."""
    text = HELLO.replace("variables: {who: Theseus}", "variables: {who: Theseus, more: null}")
    person.write("values.json", '{"who": "Minos", "more": [1, {"a": 2.5}]}')
    run = person.run(person.write("hello.yaml", text), "--vars", "values.json", "--var", "who=Ariadne")
    assert run["variables"]["more"] == [1, {"a": 2.5}]
    assert run["variables"]["greeting"] == "hello Ariadne"
    person.write("list.json", "[1]")
    assert "must be a JSON object" in person.clew("run", "hello.yaml", "--vars", "list.json", code=2).err


# ---- a program in Python ---------------------------------------------------------------------------------

PYTHON = """
from clew import Program, stage

@stage(outputs=["doubled"], rollback="none")
def double(number: int):
    print("doubling", number)
    return 2 * number

program = Program("doubling", stages=[double])
"""


def test_a_program_in_python(person: Person) -> None:
    """`module:name` runs the program of a module in the current folder, its stages in processes of their own."""
    person.write("doubling.py", PYTHON)
    run = person.run("doubling:program", "--var", "number=21")
    assert run["variables"] == {"number": 21, "doubled": 42}
    assert person.clew("logs", run["run_id"]).out == "doubling 21\n"
    assert "it has program" in person.clew("run", "doubling:nothing", code=2).err


# ---- interruptions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_goes_on(person: Person, ending: signal.Signals) -> None:
    """Ctrl-C ends the attempts and leaves the run unfinished: 130, or the signal's own death; `resume` completes it."""
    begun, go_on = person.fifo("begun"), person.fifo("go_on")
    name = person.write("waits.yaml", WAITS.replace("FOLDER", str(person.folder)))
    process = person.begin("run", name)
    assert line_from(begun) == "begun"
    process.send_signal(ending)
    done = person.end(process)
    if ending is signal.SIGKILL:
        assert done.code == -signal.SIGKILL
    else:
        assert done.code == 130
        assert done.err.splitlines()[-1].startswith("interrupted; unfinished, and safe: `clew resume ")
    assert "Traceback" not in done.err
    [listed] = person.clew("runs", "--format", "json").document
    assert listed["status"] == "running"

    resuming = person.begin("resume", "--format", "json")
    assert line_from(begun) == "begun"
    line_into(go_on)
    resumed = person.end(resuming)
    assert resumed.code == 0, resumed.err
    [run] = resumed.document
    assert (run["run_id"], run["status"]) == (listed["run_id"], "completed")
    assert run["stages"][0]["attempts"] == 2
    assert run["variables"]["said"] == "go on"
    person.clew("verify", "--all")


def test_others_that_are_unfinished_are_told_of(person: Person) -> None:
    """`clew run` leaves another's unfinished run alone, and says how it goes on."""
    begun = person.fifo("begun")
    person.fifo("go_on")
    name = person.write("waits.yaml", WAITS.replace("FOLDER", str(person.folder)))
    process = person.begin("run", name)
    line_from(begun)
    process.kill()
    person.end(process)
    done = person.clew("run", person.write("hello.yaml", HELLO))
    assert "1 other run is unfinished; `clew resume` takes it up" in done.err
    statuses = [run["status"] for run in person.clew("runs", "--format", "json").document]
    assert statuses == ["completed", "running"]


# ---- two at once -----------------------------------------------------------------------------------------


def test_two_runs_at_once(person: Person) -> None:
    """The second is on disk at once, follows, is driven when the first has ended, and each is driven once."""
    begun, go_on = person.fifo("begun"), person.fifo("go_on")
    waits = person.write("waits.yaml", WAITS.replace("FOLDER", str(person.folder)))
    first = person.begin("run", waits, "--format", "json")
    line_from(begun)
    second = person.begin("run", person.write("hello.yaml", HELLO), "--format", "json")
    assert second.stderr is not None
    assert "drives the runs of this store" in second.stderr.readline()
    queued = [run["status"] for run in person.clew("runs", "--format", "json").document]
    assert queued == ["queued", "running"]
    line_into(go_on)
    ended = [person.end(process) for process in (first, second)]
    assert [done.code for done in ended] == [0, 0], [done.err for done in ended]
    assert [done.document["status"] for done in ended] == ["completed", "completed"]
    for done in ended:
        assert [stage["attempts"] for stage in done.document["stages"]] == [1]
        journal = person.clew("show", done.document["run_id"], "--journal", "--format", "json").document
        assert sum(entry["kind"] == "attempt_started" for entry in journal) == 1
    person.clew("verify", "--all")
    person.clew("replay", "--all")


def test_resuming_beside_a_run_waits_for_it(person: Person) -> None:
    """`clew resume` while another process drives waits until it is free, then finds what is left to do."""
    begun, go_on = person.fifo("begun"), person.fifo("go_on")
    waits = person.write("waits.yaml", WAITS.replace("FOLDER", str(person.folder)))
    first = person.begin("run", waits)
    line_from(begun)
    second = person.begin("resume", "--format", "json")
    assert second.stderr is not None
    assert second.stderr.readline() == "1 unfinished run\n"
    assert "drives the runs of this store" in second.stderr.readline()
    line_into(go_on)
    assert person.end(first).code == 0
    resumed = person.end(second)
    assert (resumed.code, resumed.document) == (0, [])


def test_a_held_run_is_resumed_beside_a_run(person: Person) -> None:
    """`clew resume RUN` of a run that waits for a person is heard while another process drives, and once."""
    rollback = "{command: shell, params: [test, -e, FOLDER/allowed]}".replace("FOLDER", str(person.folder))
    held = person.run(person.write("fails.yaml", FAILS.replace("ROLLBACK", rollback)), code=4)["run_id"]
    begun, go_on = person.fifo("begun"), person.fifo("go_on")
    first = person.begin("run", person.write("waits.yaml", WAITS.replace("FOLDER", str(person.folder))))
    line_from(begun)
    person.write("allowed", "")
    resumed = person.clew("resume", held, "--format", "json", code=3).document
    assert (resumed["run_id"], resumed["status"]) == (held, "rolled_back")
    journal = person.clew("show", held, "--journal", "--format", "json").document
    assert sum(entry["kind"] == "run_released" for entry in journal) == 1
    assert "there is nothing to resume" in person.clew("resume", held, code=2).err
    line_into(go_on)
    assert person.end(first).code == 0
    person.clew("verify", "--all")


def test_a_run_that_is_driven_is_followed_when_it_is_resumed_by_name(person: Person) -> None:
    """`clew resume RUN` of the very run that another process drives tells how that comes to its rest."""
    begun, go_on = person.fifo("begun"), person.fifo("go_on")
    first = person.begin("run", person.write("waits.yaml", WAITS.replace("FOLDER", str(person.folder))))
    line_from(begun)
    [run] = person.clew("runs", "--format", "json").document
    second = person.begin("resume", run["run_id"], "--format", "json")
    assert second.stderr is not None
    assert "drives the runs of this store" in second.stderr.readline()
    line_into(go_on)
    assert person.end(first).code == 0
    resumed = person.end(second)
    assert (resumed.code, resumed.document["status"]) == (0, "completed")
    assert [stage["attempts"] for stage in resumed.document["stages"]] == [1]


# ---- a store that is lost on the way ---------------------------------------------------------------------

LOSES_THE_STORE = """
import os, sqlite3

FOLDER = os.path.dirname(__file__)

def act():
    if not os.path.exists(f"{FOLDER}/lost"):
        open(f"{FOLDER}/lost", "w").close()
        with sqlite3.connect(f"{FOLDER}/.clew/clew.db") as store:
            store.execute("ALTER TABLE journal RENAME TO elsewhere")
"""

LOSING = """
name: losing
stages:
  - name: Act
    execute: {command: python, params: ["losing:act"]}
    rollback: none
  - name: Go on
    after: [Act]
    execute: {command: shell, params: [echo, done]}
    rollback: none
"""


def test_a_store_that_is_lost_on_the_way(person: Person) -> None:
    """Code 5: the run is not finished. Once the store is back, `resume` goes on with it."""
    person.write("losing.py", LOSES_THE_STORE)
    done = person.clew("run", person.write("losing.yaml", LOSING), code=5)
    assert "is not finished" in done.err
    assert "Traceback" not in done.err
    assert done.err.splitlines()[-1].startswith("next: `clew resume ")
    with closing(sqlite3.connect(person.folder / ".clew" / "clew.db")) as store:
        store.execute("ALTER TABLE elsewhere RENAME TO journal")
    [run] = person.clew("resume", "--format", "json").document
    assert run["status"] == "completed"
    person.clew("verify", "--all")
