"""`runs`, `show`, `logs` and `why` tell what is on record of runs, to people and to programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.surfaces.calling import Person

PROGRAM = """
name: letters
variables: {who: Theseus, longest: 20}
stages:
  - name: Write it
    execute: {command: publish_file, params: ["file:letters/{run_name}.txt", "Dear {who}"]}
    rollback: {command: delete_file, params: ["file:letters/{run_name}.txt"]}
  - name: Measure it
    after: [Write it]
    execute: {command: shell, params: [sh, -c, "echo 'measured \\x1b[31m' >&2; printf '%s' '{who}' | wc -c"]}
    outputs: {size: {from: stdout}}
    validate:
      - {condition: expression, params: {expression: "int(size) <= longest"}}
    rollback: none
  - name: Keep it
    execute: {command: python, params: {function: "keeping:keep"}}
    inputs: [size]
    outputs: [kept]
    rollback: none
"""

KEEPING = """
def keep(size):
    print("keeping", size)
    return {"kept": [size.strip(), {"deep": None}], "more": "x" * 10}
"""


class Letters(Person):
    """A store with a completed run and one that was rolled back."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.write("letters.yaml", PROGRAM)
        self.write("keeping.py", KEEPING)
        self.completed: str = self.run("letters.yaml")["run_id"]
        self.undone: str = self.run("letters.yaml", "--var", "who=everybody on the ship to Naxos", code=3)[
            "run_id"
        ]

    def json(self, *words: str) -> Any:
        return self.clew(*words, "--format", "json").document


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Letters:
    return Letters(tmp_path_factory.mktemp("letters"))


# ---- runs ------------------------------------------------------------------------------------------------


def test_runs_as_json(letters: Letters) -> None:
    """A list of objects, newest first, with moments as ISO 8601."""
    listed = letters.json("runs")
    assert [(run["run_id"], run["status"]) for run in listed] == [
        (letters.undone, "rolled_back"),
        (letters.completed, "completed"),
    ]
    first = listed[0]
    assert first["program"] == "letters"
    assert first["cause"] == "failure"
    assert first["launched_at"] <= first["ended_at"]
    assert first["launched_at"].endswith("Z")
    assert first["requested_by"].startswith("cli:")
    assert first["residue"] == []


def test_runs_in_words(letters: Letters) -> None:
    """A table with a short id that `show` takes."""
    lines = letters.clew("runs").out.splitlines()
    assert lines[0].split() == ["RUN", "PROGRAM", "STATUS", "LAUNCHED", "TOOK"]
    assert "↶ rolled_back" in lines[1]
    assert letters.json("show", lines[1].split()[0])["run_id"] == letters.undone


def test_a_run_that_has_not_begun_was_not_launched(person: Person) -> None:
    """It has no moment of that, and took no time."""
    person.write(
        "quick.yaml",
        "name: quick\nstages:\n  - {name: a, execute: {command: shell, params: ['true']}, rollback: none}\n",
    )
    person.run("quick.yaml")
    with apsw.Connection(str(person.folder / ".clew" / "clew.db")) as connection:
        connection.execute("UPDATE runs SET status = 'queued', ended_at = NULL")
    lines = person.clew("runs").out.splitlines()
    assert lines[1].split()[1:] == ["quick", "·", "queued"]


def test_runs_are_chosen(letters: Letters) -> None:
    """By program, by status, and so many."""
    assert [run["status"] for run in letters.json("runs", "--status", "completed")] == ["completed"]
    assert letters.json("runs", "--program", "nothing") == []
    limited = letters.clew("runs", "--limit", "1", "--format", "json")
    assert len(limited.document) == 1
    assert "--limit shows more" in limited.err
    assert "Invalid value" in letters.clew("runs", "--status", "perfect", code=2).err


# ---- show ------------------------------------------------------------------------------------------------


def test_show_as_json(letters: Letters) -> None:
    """The run's row, its stages with what they gave, and the map with who wrote each name."""
    shown = letters.json("show", letters.completed)
    assert [(stage["name"], stage["block"], stage["status"]) for stage in shown["stages"]] == [
        ("Write it", 1, "completed"),
        ("Measure it", 2, "completed"),
        ("Keep it", 3, "completed"),
    ]
    assert shown["stages"][2]["outputs"] == {"kept": ["7", {"deep": None}]}
    assert shown["variables"]["kept"] == ["7", {"deep": None}]
    assert {one["name"]: one["stage"] for one in shown["map"]} == {
        "who": "", "longest": "", "size": "Measure it", "kept": "Keep it"
    }  # fmt: skip


def test_show_by_name(letters: Letters) -> None:
    """A RUN may be the run's name, or the beginning of its id; one that may be several is refused."""
    name = letters.json("show", letters.completed)["run_name"]
    assert letters.json("show", name)["run_id"] == letters.completed
    assert letters.json("show", letters.completed[:-4])["run_id"] == letters.completed
    assert "may be any of the runs" in letters.clew("show", letters.completed[:3], code=2).err
    assert "there is no run 'nothing'" in letters.clew("show", "nothing", code=2).err
    assert "there is no run '%'" in letters.clew("show", "%", code=2).err


def test_show_in_words(letters: Letters) -> None:
    """Status, stages, values."""
    shown = letters.clew("show", letters.completed).out
    for words in ("✓ completed", "Measure it", "kept", '["7", {"deep": null}]', "(request)", "cli:"):
        assert words in shown


def test_show_a_stage(letters: Letters) -> None:
    """The map as it stood at that stage, its inputs, attempts, results and log."""
    stage = letters.json("show", letters.completed, "--stage", "keep it")
    assert [one["name"] for one in stage["map"]] == ["longest", "who", "size"]
    assert [(one["name"], one["stage"]) for one in stage["inputs"]] == [("size", "Measure it")]
    assert [(one["attempt"], one["outcome"]) for one in stage["attempts"]] == [(1, "completed")]
    assert stage["result"] == {"kept": ["7", {"deep": None}], "more": "x" * 10}
    assert set(stage["code"]) == {"execute"}
    assert stage["log_tail"] == "keeping 7\n"
    shown = letters.clew("show", letters.completed, "--stage", "keep it").out
    assert "keeping 7" in shown
    assert "has no stage 'Keep'" in letters.clew("show", letters.completed, "--stage", "Keep", code=2).err


def test_show_findings(letters: Letters) -> None:
    """What was compared when a stage was validated."""
    stage = letters.json("show", letters.undone, "--stage", "Measure it")
    [validation] = stage["validations"]
    assert validation["verdict"] == "not_held"
    assert validation["findings"][0]["condition"] == "expression"
    assert validation["findings"][0]["compared"]["longest"] == 20
    assert "expression did not hold" in letters.clew("show", letters.undone, "--stage", "Measure it").out


def test_show_the_journal(letters: Letters) -> None:
    """Every entry, with its hash; for people as sentences."""
    entries = letters.json("show", letters.undone, "--journal")
    assert [entry["seq"] for entry in entries] == list(range(len(entries)))
    assert entries[0]["kind"] == "run_created"
    assert entries[0]["payload"]["variables"]["longest"] == 20
    assert entries[-1]["hash"] == letters.json("show", letters.undone)["head"]
    words = letters.clew("show", letters.undone, "--journal").out
    assert "going back from Measure it: Write it" in words
    assert "the run is rolled_back" in words
    assert "say one of them" in letters.clew("show", letters.undone, "--journal", "--stage", "x", code=2).err


# ---- logs ------------------------------------------------------------------------------------------------


def test_logs(letters: Letters) -> None:
    """What attempts wrote, as they wrote it where it goes to a file; the headings go beside."""
    done = letters.clew("logs", letters.completed)
    assert done.out == "measured \x1b[31m\n7\nkeeping 7\n"
    assert done.err == "== Measure it, attempt 1\n== Keep it, attempt 1\n"
    one = letters.clew("logs", letters.completed, "--stage", "Keep it", "--attempt", "1")
    assert (one.out, one.err) == ("keeping 7\n", "")
    assert letters.clew("logs", letters.completed, "--attempt", "2").err == "nothing has begun yet\n"


def test_logs_as_json(letters: Letters) -> None:
    """Which logs there are, and where."""
    listed = letters.json("logs", letters.undone)
    assert [(log["stage"], log["work"], log["size"] > 0) for log in listed] == [
        ("Write it", "attempt", False),
        ("Measure it", "attempt", True),
        ("Write it", "rollback", False),
    ]
    assert "measured" in Path(listed[1]["path"]).read_text()


# ---- why -------------------------------------------------------------------------------------------------


def test_why_it_failed(letters: Letters) -> None:
    """The first error with its stage and what was compared, and how each rollback went."""
    told = letters.json("why", letters.undone)
    error = told["first_error"]
    assert (error["stage"], error["attempt"], error["is_final"]) == ("Measure it", 1, True)
    assert error["findings"][0]["verdict"] == "not_held"
    assert [(one["stage"], one["status"], one["attempts"]) for one in told["rollbacks"]] == [
        ("Write it", "rolled_back", 1)
    ]
    words = letters.clew("why", letters.undone).out
    assert "failed first: 'Measure it', attempt 1" in words
    assert "int(size) <= longest" in words


def test_why_nothing_is_wrong(letters: Letters) -> None:
    assert "nothing is wrong" in letters.clew("why", letters.completed).out
    assert letters.json("why", letters.completed)["first_error"] is None


RAISES = """
def raises():
    raise ValueError("it is \\x1b[2J so")
"""


def test_why_an_exception(person: Person) -> None:
    """An exception is told with its kind, its message and where it came from, harmlessly."""
    person.write("raising.py", RAISES)
    text = "{name: r, stages: [{name: R, execute: {command: python, params: {function: 'raising:raises'}}}]}"
    run = person.run(person.write("r.yaml", text), code=1)
    words = person.clew("why", run["run_id"]).out
    assert "ValueError: it is \\x1b[2J so" in words
    assert 'raise ValueError("it is' in words
    assert "\x1b" not in words
    assert "R                 perhaps" in words


WAITING = """
name: waiting
delay: 1 hour
stages:
  - name: Read
    dependencies:
      first: {bucket: "file:inbox", prefix: [{match: daily}, {match: 'batch_\\d+', type: regex, multiple: max}]}
    execute: {command: shell, params: [echo, "{first}"]}
    rollback: none
"""


def test_why_it_waits(person: Person) -> None:
    """What it waits for, how near the search came, when it looks again; `--probe` looks now."""
    (person.folder / "inbox" / "daily").mkdir(parents=True)
    (person.folder / "inbox" / "daily" / "other.csv").write_text("x")
    process = person.begin("run", person.write("waiting.yaml", WAITING))
    assert process.stderr is not None
    while "waiting for data" not in (line := process.stderr.readline()):
        assert line, "it ended"
    process.terminate()
    assert person.end(process).code == 130
    [listed] = person.clew("runs", "--format", "json").document
    assert listed["status"] == "waiting"
    told = person.clew("why", listed["run_id"], "--format", "json").document
    [waiting] = told["waiting"]
    assert waiting["stage"] == "Read"
    assert "daily" in waiting["message"]
    assert waiting["look_again_at"] > waiting["since"]
    assert waiting["every_milliseconds"] == 3_600_000
    assert "looks again every 1 h 0 min" in person.clew("why", listed["run_id"]).out
    (person.folder / "inbox" / "daily" / "batch_7").write_text("x")
    probed = person.clew("why", listed["run_id"], "--probe", "--format", "json").document
    assert probed["waiting"][0]["now"]["verdict"] == "found"
    assert person.clew("runs", "--format", "json").document == [listed], "looking records nothing"


def test_a_large_value_is_shown(person: Person) -> None:
    """A value that stands beside the store is fetched; people see the beginning of it."""
    person.write("big.py", "def big():\n    return {'text': 'x' * 400_000}\n")
    text = """
name: b
stages: [{name: B, rollback: none, outputs: [text], execute: {command: python, params: ['big:big']}}]
"""
    run = person.run(person.write("b.yaml", text))
    assert len(run["variables"]["text"]) == 400_000
    shown = person.clew("show", run["run_id"], "--format", "json").document
    assert shown["variables"] == run["variables"]
    assert len(person.clew("show", run["run_id"]).out) < 10_000
    assert json.loads(person.clew("verify", "--all", "--format", "json").out)


def test_an_empty_store(person: Person) -> None:
    """A store without runs lists none; a folder without a store is a wrong call that says what would help."""
    assert "`clew run` makes one" in person.clew("runs", code=2).err
    broken = "{name: x, requests: {a: {}}, stages: [{name: A, execute: {command: shell, params: ['true']}}]}"
    person.clew("run", person.write("x.yaml", broken), code=2)
    (person.folder / "not.db").write_text("this is no database, but long enough to be looked at" * 20)
    assert "not a clew store" in person.clew("runs", "--store", "sqlite:///not.db", code=2).err
