"""`clew programs`, `clew why PROGRAM`, and `clew why` of runs that wait for a place or for their window."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime
from typing import Any

from tests.surfaces.calling import Person, line_from, line_into, until_said

NIGHTLY = """
name: nightly
timezone: Europe/Berlin
cadence: 0 3 * * *
backfill: 2 hours
stages:
  - {name: Do, execute: {command: shell, params: ["true"]}, rollback: none}
"""
ASKED = "name: asked\nstages:\n  - {name: Do, execute: {command: shell, params: ['true']}, rollback: none}\n"


def made_live(person: Person, *texts: str) -> None:
    """These programs are live in the store, and nobody drives it."""
    (person.folder / "programs").mkdir(exist_ok=True)
    for number, text in enumerate(texts):
        person.write(f"programs/{number}.yaml", text)
    process = person.begin("up", "programs")
    until_said(process, "live; Ctrl-C ends this")
    process.send_signal(signal.SIGINT)
    assert person.end(process).code == 0


def test_what_is_live_is_listed(person: Person) -> None:
    """When each is due next, and whether it is paused; nothing where there is no store, which is not made for that."""
    assert "no program is live" in person.clew("programs").err
    assert person.clew("programs", "--format", "json").document == []
    assert not (person.folder / ".clew").exists()
    made_live(person, NIGHTLY, ASKED)
    listed = person.clew("programs").out.splitlines()
    assert listed[0].split() == ["PROGRAM", "VERSION", "NEXT", "CADENCE", "SOURCE"]
    assert "on request" in listed[1] and "03:00" in listed[2]
    person.clew("pause", "nightly", "--reason", "the disk is being changed")
    asked, nightly = person.clew("programs", "--format", "json").document
    assert (asked["cadence"], asked["next"], asked["paused"]) == (None, None, None)
    assert nightly["paused"]["why"] == "the disk is being changed"
    assert nightly["next"].endswith("Z") and nightly["live_since"].endswith("Z")
    assert "paused" in person.clew("programs").out


def test_why_a_program_runs_or_does_not(person: Person) -> None:
    """When it is due next, who paused it, how its last run went; and that it is not live any more."""
    made_live(person, NIGHTLY, ASKED)
    said = person.clew("why", "nightly").out
    assert "due next at" in said and "Europe/Berlin" in said
    run = person.run("programs/0.yaml")
    person.clew("pause", "nightly", "--reason", "no tape")
    said = person.clew("why", "nightly").out
    assert "paused by" in said and "no tape" in said and run["run_id"][:8] in said
    document = person.clew("why", "nightly", "--format", "json").document
    assert document["last"][0]["run_id"] == run["run_id"]
    assert document["paused"]["why"] == "no tape"
    assert "on request only" in person.clew("why", "asked").out
    (person.folder / "programs" / "1.yaml").unlink()
    made_live(person)
    assert "not live since" in person.clew("why", "asked").out


def test_who_names_no_program_is_told_which_there_are(person: Person) -> None:
    """A name that is neither a run nor a program is refused, wherever it is said."""
    made_live(person, NIGHTLY)
    assert person.clew("why", "nigtly", code=2).err
    assert person.clew("pause", "nigtly", code=2).err
    assert person.clew("unpause", "nightly", code=2).err.strip().endswith("nightly is not paused")


ONE_AT_A_TIME = """
name: one-at-a-time
max_active_runs: 1
stages:
  - name: Do
    execute: {command: shell, params: [sh, -c, "echo begun > FOLDER/begun; cat FOLDER/go_on"]}
    rollback: none
"""


def test_why_a_run_is_queued(person: Person) -> None:
    """Who is in its way, by which rule, and since when; once it goes on, nothing of that is said."""
    begun, go_on = person.fifo("begun"), person.fifo("go_on")
    name = person.write("one.yaml", ONE_AT_A_TIME.replace("FOLDER", str(person.folder)))
    first = person.begin("run", name)
    assert line_from(begun) == "begun"
    second = person.begin("run", name)
    until_said(second, "queued")
    queued, active = person.clew("runs", "--format", "json").document
    assert (queued["status"], active["status"]) == ("queued", "running")
    said = person.clew("why", queued["run_id"]).out
    assert "it waits for a place" in said and "1 run at a time" in said
    assert f"in its way: run {active['run_id'][:8]}" in said
    document = person.clew("why", queued["run_id"], "--format", "json").document
    assert [one["run_id"] for one in document["queued"]["in_the_way"]] == [active["run_id"]]
    assert person.clew("why", active["run_id"], "--format", "json").document["queued"] is None
    line_into(go_on)
    assert person.end(first).code == 0
    assert line_from(begun) == "begun"
    assert person.clew("why", queued["run_id"], "--format", "json").document["queued"] is None
    line_into(go_on)
    assert person.end(second).code == 0


def test_why_a_run_stands_still_outside_of_its_window(person: Person) -> None:
    """When the window opens; the program says so as well."""
    opens, closes = clock(2), clock(3)
    text = ASKED.replace("asked", "windowed") + (
        f"cadence: '* * * * *'\ninitial: '{opens}'\nfinal: '{closes}'\nmonitor: 1 hour\n"
    )
    process = person.begin("run", person.write("windowed.yaml", text))
    until_said(process, "window is closed")
    [row] = person.clew("runs", "--format", "json").document
    assert row["status"] == "paused"
    said = person.clew("why", row["run_id"]).out
    assert f"its program's window ({opens} to {closes}) is closed; it opens at" in said
    document: Any = person.clew("why", row["run_id"], "--format", "json").document
    assert document["window"]["is_open"] is False and document["limit"] is None
    person.clew("stop", row["run_id"], code=None)
    person.end(process)
    made_live(person, text)
    assert "is closed: no stage begins" in person.clew("why", "windowed").out


def clock(hours: int) -> str:
    """What clocks of UTC show so many hours from now."""
    return f"{datetime.fromtimestamp(time.time() + hours * 3_600, UTC):%H:%M}"
