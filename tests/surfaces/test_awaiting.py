"""Programs that await each other's runs: for which time, what wakes who waits, and circles, which are told."""

from __future__ import annotations

import signal
import subprocess
from typing import Any

from tests.surfaces.calling import Person, until_said

LOADS = """
name: loads
cadence: ["0 9 * * *"]
stages:
  - {name: load, execute: {command: wait, params: {duration: 0 seconds}}}
"""
FOLLOWS = """
name: follows
cadence: ["0 9 * * *"]
delay: 1 hour
stages:
  - name: follow
    dependencies: {loads: {kind: program, program: loads}}
    execute: {command: shell, params: [echo, "{loads.run_time}"]}
    outputs: {seen: {from: stdout}}
    rollback: none
"""
DAYS = ("--from", "2026-03-01", "--to", "2026-03-02")
NEXT_DAY = ("--from", "2026-03-03", "--to", "2026-03-03")


def interrupted(person: Person, process: subprocess.Popen[str]) -> str:
    """End a verb that waits; the id of the run that was made last."""
    process.send_signal(signal.SIGINT)
    assert person.end(process).code == 130
    return str(person.clew("runs", "--format", "json").document[0]["run_id"])


def why(person: Person, run_id: str) -> Any:
    return person.clew("why", run_id, "--format", "json").document


def test_the_run_for_the_same_time_is_awaited(person: Person) -> None:
    """Where both have a cadence: those of other times do not count, whatever they came to."""
    person.write("loads.yaml", LOADS)
    person.write("follows.yaml", FOLLOWS)
    person.clew("backfill", "loads.yaml", *DAYS)
    person.clew("backfill", "follows.yaml", *DAYS)
    seen = [person.clew("show", row["run_id"], "--format", "json").document["variables"]["seen"]
            for row in person.clew("runs", "--program", "follows", "--format", "json").document]  # fmt: skip
    assert sorted(one[:19] for one in seen) == ["2026-03-01T09:00:00", "2026-03-02T09:00:00"]
    process = person.begin("backfill", "follows.yaml", *NEXT_DAY)
    until_said(process, "there is no run of 'loads' for 2026-03-03T09:00:00.000+00:00 yet")
    run_id = interrupted(person, process)
    requested = person.run("follows.yaml")
    assert requested["variables"]["seen"].startswith("2026-03-02"), "one that was asked for awaits the latest"
    person.clew("backfill", "loads", *NEXT_DAY)
    assert person.clew("resume", run_id).code == 0


def test_who_waits_is_woken_when_the_other_run_has_settled(person: Person) -> None:
    """Long before its next look is due. Both are driven by one process."""
    person.write("loads.yaml", LOADS.replace('cadence: ["0 9 * * *"]', ""))
    person.write("follows.yaml", FOLLOWS.replace('cadence: ["0 9 * * *"]', ""))
    driver = person.begin("up", "loads.yaml", "follows.yaml")
    until_said(driver, "2 programs live")
    process = person.begin("run", "follows.yaml", "--format", "json")
    until_said(process, "there is no run of 'loads' yet")
    loads = person.run("loads.yaml")
    follows = person.end(process)
    assert (loads["status"], follows.document["status"]) == ("completed", "completed")
    (stage,) = follows.document["stages"]
    assert stage["attempts"] == 1
    driver.send_signal(signal.SIGINT)
    person.end(driver)


def test_a_time_that_never_comes_is_told_with_a_remedy(person: Person) -> None:
    """By `clew why`, of a run that was asked for; and beforehand by the plan."""
    person.write("loads.yaml", LOADS)
    person.clew("backfill", "loads.yaml", *DAYS)
    asked = FOLLOWS.replace("program: loads}", "program: loads, offset: -1 day}")
    process = person.begin("run", person.write("follows.yaml", asked))
    until_said(process, "and there will be none")
    (waiting,) = why(person, interrupted(person, process))["waiting"]
    assert (
        "this run was asked for, and its moment is none at which others are due; leave out"
        in waiting["message"]
    )
    plan = person.clew("plan", person.write("other.yaml", FOLLOWS.replace('"0 9 * * *"', '"0 8 * * *"')))
    assert "'loads' is due at none of the times for which it is awaited" in plan.out
    assert "awaited" not in person.clew("plan", "follows.yaml").out


def test_runs_that_wait_for_each_other_are_named(person: Person) -> None:
    """From each of them; while one of them can go on there is no circle."""
    other = (
        FOLLOWS.replace("follows", "leads").replace("loads", "follows").replace('cadence: ["0 9 * * *"]', "")
    )
    first = FOLLOWS.replace("program: loads", "program: leads").replace('cadence: ["0 9 * * *"]', "")
    process = person.begin("run", person.write("follows.yaml", first))
    until_said(process, "there is no run of 'leads' yet")
    follows = interrupted(person, process)
    assert why(person, follows)["circle"] == []
    process = person.begin("run", person.write("leads.yaml", other))
    until_said(process, "the latest run, is waiting")
    leads = interrupted(person, process)
    assert [set(why(person, one)["circle"]) for one in (follows, leads)] == [{follows, leads}] * 2
    told = person.clew("why", leads).out
    assert f"runs wait for each other: {leads[:16]} waits for {follows[:16]} waits for {leads[:16]}" in told
    person.clew("cancel", leads, "--yes", code=None)
    assert why(person, follows)["circle"] == []


def test_programs_that_await_each_other_for_ever_are_told_beforehand(person: Person) -> None:
    """By the plan of one of them, with what the store knows of the other, and by `clew up`."""
    circle = "'follows' awaits 'loads' awaits 'follows', for the same time or a later one: none of them can ever go on"
    back = FOLLOWS.replace("follows", "loads").replace("program: loads", "program: follows")
    assert circle not in person.clew("plan", person.write("follows.yaml", FOLLOWS)).out
    person.write("loads.yaml", back)
    process = person.begin("up", "follows.yaml", "loads.yaml")
    until_said(process, circle)
    until_said(process, "live")
    process.send_signal(signal.SIGINT)
    person.end(process)
    assert circle in person.clew("plan", "follows.yaml").out
    mended = FOLLOWS.replace("program: loads}", "program: loads, offset: -1 day}")
    assert circle not in person.clew("plan", person.write("follows.yaml", mended)).out
