"""`clew up`: programs run when they are due, whatever becomes of their files and of the process."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.surfaces.calling import Person, line_from, line_into, until_said

from clew.stores.sqlite import SqliteStore

READY = "live; Ctrl-C ends this"
SETTINGS = 'programs = ["programs"]\njitter = "0 seconds"\n'

Up = subprocess.Popen[str]


@pytest.fixture
def up(person: Person) -> Iterator[Callable[..., Up]]:
    """Begins `clew up` on the folder of programs, and waits until it is ready. What is left at the end is killed."""
    person.write("clew.toml", SETTINGS)
    (person.folder / "programs").mkdir()
    begun: list[Up] = []

    def begin(*words: str, ready: bool = True) -> Up:
        begun.append(person.begin("up", *words))
        if ready:
            until_said(begun[-1], READY)
        return begun[-1]

    yield begin
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate()


def end(process: Up) -> str:
    """Tell it to end; what it said since."""
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    return said


def program(name: str, *, command: str = "true", **keys: str) -> str:
    lines = [f"name: {name}", *(f"{key}: {value}" for key, value in keys.items())]
    return "\n".join(
        [
            *lines,
            "stages:",
            f"  - {{name: Do, execute: {{command: shell, params: [sh, -c, {command!r}]}}, rollback: none}}",
            "",
        ]
    )


def write(person: Person, file: str, text: str) -> None:
    """Whole at once, as editors do."""
    path = person.folder / "programs" / file
    path.with_suffix(".new").write_text(text)
    os.replace(path.with_suffix(".new"), path)


def seconds_ahead(seconds: int) -> str:
    """A single date-time, so many seconds from now at least."""
    return date_time(int(time.time()) + seconds + 1)


def date_time(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ}"


def rows(person: Person) -> list[dict[str, Any]]:
    """All runs on record, by scheduled time."""
    store = SqliteStore(str(person.folder / ".clew" / "clew.db"), read_only=True)
    try:
        found = store.runs(limit=1_000)
        return sorted(found, key=lambda row: (row["run_time"], row["program"], row["generation"]))
    finally:
        store.close()


def live(person: Person) -> dict[str, Any]:
    return {one["program"]: one for one in person.clew("programs", "--format", "json").document}


# ---- due -------------------------------------------------------------------------------------------------


def test_a_due_time_is_run(person: Person, up: Callable[..., Up]) -> None:
    """Where nothing else is asked for: its run begins, completes, and is on record; also `once`."""
    write(person, "later.yaml", program("later", cadence=f"'{seconds_ahead(2)}'"))
    write(person, "once.yaml", program("at-once", cadence="once"))
    process = up()
    until_said(process, "later  ")  # the line of its beginning
    until_said(process, "the run is completed")
    assert "nothing is under way" in end(process)
    assert {row["program"]: row["status"] for row in rows(person)} == {
        "later": "completed", "at-once": "completed",
    }  # fmt: skip
    assert {row["requested_by"] for row in rows(person)} == {"schedule"}
    assert all(row["is_due"] and row["generation"] == 1 for row in rows(person))
    later = next(row for row in rows(person) if row["program"] == "later")
    lines = person.clew("runs").out.splitlines()
    assert lines[0].split() == ["RUN", "PROGRAM", "STATUS", "FOR", "LAUNCHED", "TOOK"]
    assert date_time(later["run_time"] // 1_000).replace("T", " ") in next(
        one for one in lines if "later" in one
    )
    assert later["launched_at"] - later["run_time"] < 60_000
    person.clew("verify", "--all")


# ---- files ---------------------------------------------------------------------------------------------


def test_what_changes_in_the_folder_is_live_at_once(person: Person, up: Callable[..., Up]) -> None:
    """New, changed, renamed, wrong, and gone; what has mistakes leaves what was live as it was."""
    process = up()
    write(person, "one.yaml", program("one", cadence="'0 0 * * *'"))
    until_said(process, "one  live as version")
    first = live(person)["one"]
    write(person, "one.yaml", program("one", cadence="'0 * * * *'"))
    until_said(process, "one  live as version")
    second = live(person)["one"]
    assert second["version"] != first["version"] and second["cadence"] != first["cadence"]
    assert second["live_since"] == first["live_since"]

    write(person, "one.yaml", "name: one\nstages: nonsense\n")
    until_said(process, "one goes on as it was")
    assert live(person)["one"]["version"] == second["version"]
    write(person, "new.yaml", "name: new\n")
    until_said(process, "nothing of it is used")

    os.rename(person.folder / "programs" / "one.yaml", person.folder / "programs" / "moved.yaml")
    until_said(process, "one  not live any more")
    write(person, "moved.yaml", program("one", cadence="'0 * * * *'"))
    until_said(process, "one  live as version")
    write(person, "moved.yaml", program("another", cadence="'0 * * * *'"))
    until_said(process, "one  not live any more")
    until_said(process, "another  live as version")
    os.remove(person.folder / "programs" / "moved.yaml")
    until_said(process, "another  not live any more")
    assert live(person) == {}
    assert rows(person) == [], "nothing of this was due"
    end(process)


def test_one_name_is_one_program(person: Person, up: Callable[..., Up]) -> None:
    """The first that was read keeps it; once that is gone, the other is live without being touched."""
    write(person, "a.yaml", program("same"))
    write(person, "b.yaml", program("same", command="false"))
    process = up(ready=False)
    until_said(process, "there is a program 'same' already")
    until_said(process, READY)
    assert live(person)["same"]["source"].endswith("a.yaml")
    os.remove(person.folder / "programs" / "a.yaml")
    until_said(process, "same  not live any more")
    until_said(process, "same  live as version")
    assert live(person)["same"]["source"].endswith("b.yaml")
    end(process)


def test_a_restart_remembers_what_was_live(person: Person, up: Callable[..., Up]) -> None:
    """What has mistakes by then goes on as it was, what is gone is not live any more."""
    write(person, "kept.yaml", program("kept", cadence="'0 0 * * *'"))
    write(person, "gone.yaml", program("gone", cadence="'0 0 * * *'"))
    end(up())
    before = live(person)
    assert set(before) == {"kept", "gone"}
    write(person, "kept.yaml", "name: [\n")
    os.remove(person.folder / "programs" / "gone.yaml")
    process = up(ready=False)
    until_said(process, "kept goes on as it was")
    until_said(process, "gone  not live any more")
    until_said(process, READY)
    assert live(person) == {"kept": before["kept"]}
    end(process)


def test_a_place_that_is_gone_as_a_whole_takes_nothing_with_it(person: Person, up: Callable[..., Up]) -> None:
    """A folder that is not there for a while is an accident, here and after a restart."""
    write(person, "one.yaml", program("one", cadence="'0 0 * * *'"))
    process = up()
    os.rename(person.folder / "programs", person.folder / "away")
    until_said(process, "there is no such file or folder")
    assert set(live(person)) == {"one"}
    end(process)
    process = up()
    assert set(live(person)) == {"one"}
    os.rename(person.folder / "away", person.folder / "programs")
    write(person, "two.yaml", program("two"))
    until_said(process, "two  live as version")
    assert set(live(person)) == {"one", "two"}
    end(process)


# ---- other processes -------------------------------------------------------------------------------------


def test_one_store_has_one_orchestrator_and_others_ask_it(person: Person, up: Callable[..., Up]) -> None:
    """A second `clew up` is refused, and says by whom; a `clew run` beside it is driven by it and followed."""
    process = up()
    refused = person.clew("up", code=2)
    assert str(process.pid) in refused.err
    person.write("asked.yaml", program("asked"))
    asked = person.run("asked.yaml")
    assert asked["status"] == "completed"
    until_said(process, f"{asked['run_id'][:16]}")
    said = end(process)
    assert "Traceback" not in said
    journal = person.clew("show", asked["run_id"], "--journal", "--format", "json").document
    assert [one["kind"] for one in journal].count("run_taken") == 1


def test_what_is_asked_for_beside_it_has_its_turn_again_and_again(
    person: Person, up: Callable[..., Up]
) -> None:
    """Also of a program whose runs need places, and which it has seen before."""
    up()
    person.write("asked.yaml", program("asked", max_active_runs="1"))
    for _ in range(3):
        assert person.run("asked.yaml")["status"] == "completed"


def test_a_program_that_is_paused_from_elsewhere_is_skipped_meanwhile(
    person: Person, up: Callable[..., Up]
) -> None:
    """Its due time is on record as skipped, and nothing is caught up when it goes on; requests are run."""
    at = int(time.time()) + 6
    write(person, "paused.yaml", program("paused", cadence=f"'{date_time(at)}'", backfill="1 hour"))
    process = up()
    assert person.clew("pause", "paused", "--reason", "holidays").out == "◌ paused  paused\n"
    person.clew("pause", "paused", code=2)
    assert live(person)["paused"]["paused"]["why"] == "holidays"
    asked = person.run("programs/paused.yaml")
    assert asked["status"] == "completed"
    until_said(process, "paused  1 due time skipped: the program was paused")
    person.clew("unpause", "paused")
    person.clew("unpause", "paused", code=2)
    end(process)
    before = rows(person)
    [skipped] = [row for row in before if row["is_due"]]
    assert (skipped["run_time"], skipped["status"], len(before)) == (at * 1_000, "skipped", 2)
    end(up())
    assert len(rows(person)) == 2
    assert "paused" in person.clew("why", skipped["run_id"]).out


# ---- ending ----------------------------------------------------------------------------------------------


def test_who_is_told_to_end_lets_what_runs_finish(person: Person, up: Callable[..., Up]) -> None:
    """Nothing further begins; the next one goes on with the next stage, without doing the first one again."""
    begun, go_on = person.fifo("begun"), person.fifo("go_on")
    at_a_gate = f"echo begun > {person.folder}/begun; cat {person.folder}/go_on"
    write(
        person,
        "two.yaml",
        f"""
name: two
cadence: once
stages:
  - {{name: First, execute: {{command: shell, params: [sh, -c, "{at_a_gate}"]}}, rollback: none}}
  - {{name: Second, after: [First], execute: {{command: shell, params: ["true"]}}, rollback: none}}
""",
    )
    process = up()
    assert line_from(begun) == "begun"
    process.send_signal(signal.SIGTERM)
    until_said(process, "waiting for 1 attempt")
    line_into(go_on)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    [row] = rows(person)
    assert row["status"] == "running"
    process = up()
    if rows(person)[0]["status"] != "completed":
        until_said(process, "the run is completed")
    end(process)
    stages = person.clew("show", row["run_id"], "--format", "json").document["stages"]
    assert [(one["status"], one["attempts"]) for one in stages] == [("completed", 1)] * 2


def test_who_is_told_to_end_twice_ends_at_once(person: Person, up: Callable[..., Up]) -> None:
    """What it had under way is tried again by the next one."""
    begun = person.fifo("begun")
    folder = person.folder
    command = f"test -e {folder}/allowed && exit 0; echo begun > {folder}/begun; sleep 1000"
    write(person, "long.yaml", program("long", command=command, cadence="once"))
    process = up()
    assert line_from(begun) == "begun"
    process.send_signal(signal.SIGTERM)
    until_said(process, "waiting for 1 attempt")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    person.write("allowed", "")
    process = up()
    if rows(person)[0]["status"] != "completed":
        until_said(process, "the run is completed")
    end(process)
    [row] = rows(person)
    [stage] = person.clew("show", row["run_id"], "--format", "json").document["stages"]
    assert (row["status"], stage["attempts"]) == ("completed", 2)
    person.clew("verify", "--all")


def test_grace_is_over_when_it_is_over(person: Person, up: Callable[..., Up]) -> None:
    """Who may not wait does not."""
    begun = person.fifo("begun")
    command = f"echo begun > {person.folder}/begun; sleep 1000"
    write(person, "long.yaml", program("long", command=command, cadence="once"))
    process = up("--grace", "0 seconds")
    assert line_from(begun) == "begun"
    end(process)
    assert [row["status"] for row in rows(person)] == ["running"]


# ---- killed ----------------------------------------------------------------------------------------------

MOMENTS = (READY, "begins, for", READY, "attempt 1 started", "the run is completed")


def test_killed_before_and_after_due_times_each_time_has_one_run(
    person: Person, up: Callable[..., Up]
) -> None:
    """Whenever it is killed: as soon as it is ready, so that a time comes while nobody is there; when a run has begun,
    when an attempt has, when all is done. Each round has a time of its own to come."""
    wanted = []
    for number, words in enumerate(MOMENTS):
        due = seconds_ahead(3)
        write(person, f"p{number}.yaml", program(f"p{number}", cadence=f"'{due}'", backfill="1 hour"))
        wanted.append((f"p{number}", int(datetime.fromisoformat(due).timestamp()) * 1_000, 1))
        process = up("--verbose")
        if words != READY:
            until_said(process, words)
        process.kill()
        process.communicate()
    process = up()
    while sum(row["status"] == "completed" for row in rows(person)) < len(wanted):
        until_said(process, "  ")
    end(process)
    assert [(row["program"], row["run_time"], row["generation"]) for row in rows(person)] == wanted
    person.clew("verify", "--all")


# ---- calling -------------------------------------------------------------------------------------------


def test_what_can_not_be_begun_says_why(person: Person) -> None:
    """No places at all, and a time that is none."""
    assert "there are no programs to run" in person.clew("up", code=2).err
    assert "--grace soon" in person.clew("up", "x.yaml", "--grace", "soon", code=2).err


def test_a_program_that_nobody_could_give_its_variables_is_refused(
    person: Person, up: Callable[..., Up]
) -> None:
    """A cadence asks for nothing: what a request would have to say needs a default."""
    text = program("wanting", cadence="once") + "requests: {who: {type: string}}\n"
    write(person, "wanting.yaml", text)
    process = up(ready=False)
    until_said(process, "nobody to give it 'who'")
    until_said(process, READY)
    end(process)
    assert not Path(person.folder / ".clew" / "logs").exists() or rows(person) == []
