"""`clew backfill`: past times of a program, run on demand, told and followed by any process."""

from __future__ import annotations

import signal
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.surfaces.calling import Person, line_from, line_into, until_said

DAILY = """
name: daily
cadence: ["0 9 * * *"]
timezone: Europe/London
variables: {fail: none}
stages:
  - name: load
    execute: {command: shell, params: [sh, -c, "test {run_time:%Y-%m-%d} != {fail}"]}
    rollback: none
"""
RANGE = ("--from", "2026-03-27", "--to", "2026-03-30")
"""Four days, in which clocks change."""
DAYS = ("--from", "2026-02-01", "--to", "2026-02-02")


@pytest.fixture
def person(tmp_path: Path) -> Person:
    somebody = Person(tmp_path)
    somebody.write("daily.yaml", DAILY)
    return somebody


def backfills(person: Person) -> list[Any]:
    return list(person.clew("backfill", "list", "--format", "json").document)


def rows(person: Person) -> list[Any]:
    return list(person.clew("runs", "--format", "json", "--limit", "1000").document)


def test_a_dry_run_shows_the_times_and_does_nothing(person: Person) -> None:
    """In UTC, as the program's clocks had them."""
    told = person.clew("backfill", "daily.yaml", *RANGE, "--dry-run", "--format", "json").document
    assert [one["at"] for one in told["times"]] == [
        f"2026-03-{day}T{hour}:00:00.000Z"
        for day, hour in (("27", "09"), ("28", "09"), ("29", "08"), ("30", "08"))
    ]
    assert backfills(person) == [] == rows(person)
    text = person.clew("backfill", "daily.yaml", *RANGE, "--dry-run").out
    assert "4 times would be run, oldest first" in text


def test_all_is_run_and_then_there_is_nothing_left_to_run(person: Person) -> None:
    """Each time has one run, which names the backfill; a second backfill finds none missing."""
    done = person.clew(
        "backfill", "daily.yaml", *RANGE, "--at-once", "2", "--reason", "they asked", "--format", "json"
    )
    document = done.document
    assert (document["status"], document["count"], document["runs"]) == ("completed", 4, {"completed": 4})
    assert document["made"]["why"] == "they asked" and document["made"]["by"].startswith("cli:")
    assert Counter(row["scheduled_at"] for row in rows(person)).most_common(1)[0][1] == 1
    assert {row["backfill"] for row in rows(person)} == {document["backfill_id"]}
    again = person.clew("backfill", "daily", *RANGE)
    assert "nothing to run: left as they are: 4 completed" in again.err
    person.clew("verify", "--all")


def test_a_failure_stops_it_where_that_is_wanted_and_the_failed_ones_can_be_run_again(person: Person) -> None:
    """The exit code says what is worst; the next generation follows the one before."""
    stopped = person.clew(
        "backfill",
        "daily.yaml",
        *RANGE,
        "--stop-on-failure",
        "--var",
        "fail=2026-03-28",
        "--format",
        "json",
        code=3,
    ).document
    assert (stopped["status"], stopped["to_do"]) == ("stopped", 2)
    failed = person.clew("backfill", "daily", *RANGE, "--which", "failed", "--format", "json").document
    assert (failed["count"], failed["runs"]) == (1, {"completed": 1})
    (second,) = [row for row in rows(person) if row["generation"] == 2]
    (first,) = [row for row in rows(person) if row["run_id"] == second["follows"]]
    assert (first["status"], first["scheduled_at"]) == ("rolled_back", second["scheduled_at"])
    resumed = person.clew("backfill", "resume", stopped["backfill_id"], "--format", "json", code=3).document
    assert (resumed["status"], resumed["runs"]) == ("completed", {"completed": 3, "rolled_back": 1}), (
        "whoever lets it go on knows what has failed"
    )


def test_from_another_process_it_is_paused_shown_resumed_and_cancelled(person: Person) -> None:
    """What it has begun finishes; what it has not is not run."""
    begun, go_on = person.fifo("begun"), person.fifo("go-on")
    person.write("slow.yaml", DAILY.replace("daily", "slow").replace(
        '"test {run_time:%Y-%m-%d} != {fail}"', f'"echo begun > {begun}; read line < {go_on}"'
    ))  # fmt: skip
    process = person.begin("backfill", "slow.yaml", *RANGE)
    line_from(begun)
    (told,) = backfills(person)
    paused = person.clew("backfill", "pause", told["backfill_id"], "--format", "json").document
    assert paused["status"] == "paused"
    line_into(go_on)
    assert person.end(process).code == 5
    shown = person.clew("backfill", "show", told["backfill_id"][:6], "--format", "json").document
    assert [one["status"] for one in shown["times"]] == ["completed", None, None, None]
    person.clew("backfill", "cancel", told["backfill_id"], "--reason", "enough")
    assert [one["status"] for one in backfills(person)] == ["cancelled"]
    refused = person.clew("backfill", "pause", told["backfill_id"], code=2)
    assert "is cancelled: it can't be told to pause" in refused.err


HELD = """
name: held
cadence: ["0 9 * * *"]
variables: {there: nowhere}
stages:
  - {name: post, execute: {command: shell, params: ["test", "-e", "{there}"]}, rollback: impossible}
"""


def test_it_rests_where_a_person_is_needed(person: Person) -> None:
    """It says which run it is, and goes on once that has settled; behind a run that nobody lets go on it rests too."""
    person.write("held.yaml", HELD)
    there = ("--var", f"there={person.folder / 'there'}")
    rests = person.clew("backfill", "held.yaml", *RANGE, *there, "--format", "json", code=4).document
    (its,) = rests["unsettled"]
    assert (rests["status"], rests["to_do"], its["status"]) == ("running", 3, "held")
    behind = person.clew("backfill", "held.yaml", *DAYS, *there, code=5)
    assert "says why a run of it is queued" in behind.err
    person.write("there", "")
    person.clew("retry", its["run_id"], "post")
    done = person.clew("backfill", "resume", rests["backfill_id"], "--format", "json").document
    assert (done["status"], done["runs"]) == ("completed", {"completed": 4})


def test_to_cancel_one_cancels_its_runs_that_are_queued(person: Person) -> None:
    """By one word with that, obeyed by whoever drives next; what has begun is left alone."""
    person.write("held.yaml", HELD)
    first = person.clew("backfill", "held.yaml", *RANGE, "--format", "json", code=4).document
    second = person.clew("backfill", "held", *DAYS, "--format", "json", code=5).document
    (queued,) = second["unsettled"]
    for its in (first, second):
        told = person.clew("backfill", "cancel", its["backfill_id"], "--reason", "enough", "--format", "json")
        assert (told.document["status"], told.document["changed"]["why"]) == ("cancelled", "enough")
    with sqlite3.connect(person.folder / ".clew" / "clew.db") as store:
        said = store.execute("SELECT run_id, content ->> 'verb', content ->> 'reason' FROM instructions")
        assert said.fetchall() == [(queued["run_id"], "cancel", "enough")]
    person.clew("resume", code=None)
    (row,) = [one for one in rows(person) if one["run_id"] == queued["run_id"]]
    assert (row["status"], row["cause"]) == ("rolled_back", "cancelled")
    assert person.clew("backfill", "resume", second["backfill_id"], code=2).err.count("is cancelled") == 1


def test_clew_up_makes_the_runs_and_the_others_watch(person: Person) -> None:
    """Also those of one that it finds when it begins."""
    person.clew("backfill", "daily.yaml", *DAYS, "--detach", code=5)
    (left,) = backfills(person)
    driver = person.begin("up", "daily.yaml")
    until_said(driver, "1 program live")
    done = person.clew("backfill", "daily", *RANGE, "--at-once", "2", "--format", "json")
    assert done.document["runs"] == {"completed": 4} and "if it is `clew up`" in done.err
    watched = person.clew("backfill", "resume", left["backfill_id"], "--format", "json", code=None)
    assert watched.code == 0 or "is completed" in watched.err
    assert {one["status"] for one in backfills(person)} == {"completed"}
    driver.send_signal(signal.SIGINT)
    assert person.end(driver).code in (0, 130)
    assert Counter(row["status"] for row in rows(person) if row["backfill"]) == {"completed": 6}


def test_what_stands_still_in_clew_up_goes_on_when_somebody_says_so(person: Person) -> None:
    """Though nothing of it happens by which it could be noticed otherwise."""
    begun, go_on = person.fifo("begun"), person.fifo("go-on")
    person.write("slow.yaml", DAILY.replace("daily", "slow").replace(
        '"test {run_time:%Y-%m-%d} != {fail}"', f'"echo begun > {begun}; read line < {go_on}"'
    ))  # fmt: skip
    driver = person.begin("up", "slow.yaml")
    until_said(driver, "1 program live")
    person.clew("backfill", "slow", *DAYS, "--detach", code=5)
    (told,) = backfills(person)
    line_from(begun)
    person.clew("backfill", "pause", told["backfill_id"])
    line_into(go_on)
    until_said(driver, "the run is completed")
    watching = person.begin("backfill", "resume", told["backfill_id"])
    line_from(begun)
    line_into(go_on)
    assert person.end(watching).code == 0
    driver.send_signal(signal.SIGINT)
    person.end(driver)


def test_ctrl_c_leaves_it_on_record(person: Person) -> None:
    """It says how to go on with it, and how to end it."""
    begun, go_on = person.fifo("begun"), person.fifo("go-on")
    person.write("slow.yaml", DAILY.replace("daily", "slow").replace(
        '"test {run_time:%Y-%m-%d} != {fail}"', f'"echo begun > {begun}; read line < {go_on}"'
    ))  # fmt: skip
    process = person.begin("backfill", "slow.yaml", *RANGE)
    line_from(begun)
    process.send_signal(signal.SIGINT)
    done = person.end(process)
    (told,) = backfills(person)
    its = told["backfill_id"]
    assert (
        done.code == 130
        and f"`clew backfill resume {its}` goes on, `clew backfill cancel {its}` ends" in done.err
    )
    assert told["status"] == "running"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("nobody", *RANGE), "'nobody' is no program of this store, and no file"),
        (("daily.yaml", "--from", "2126-01-01", "--to", "2126-01-02"), "is still to come"),
        (("daily.yaml", "--from", "2026-01-02", "--to", "2026-01-01"), "2026-01-01 is before 2026-01-02"),
        (("daily.yaml", "--from", "tomorrow", "--to", "2026-01-01"), "'tomorrow' is no time"),
        (("daily.yaml", *RANGE, "--var", "what=1"), "it takes no variable 'what'"),
        (("daily.yaml", *RANGE, "--live-version"), "is not live in this store"),
        (("once.yaml", *RANGE), "has no cadence"),
        (("show", "b"), "there is no backfill 'b'"),
    ],
)
def test_what_can_not_be_is_refused_and_nothing_is_done(
    person: Person, words: tuple[str, ...], what: str
) -> None:
    """With what would be right."""
    person.write("once.yaml", DAILY.replace('cadence: ["0 9 * * *"]', "").replace("daily", "once"))
    refused = person.clew("backfill", *words, code=2)
    assert what in refused.err, refused.err
    assert rows(person) == []


def test_kill_9_at_any_moment_leaves_each_time_with_one_run(person: Person) -> None:
    """Whoever resumes it goes on where it stood: nothing is run twice, nothing is left out."""
    person.clew("backfill", "daily.yaml", *RANGE, "--detach", code=5)
    (made,) = backfills(person)
    for said in ("taken up again", "it has a place", " started", " completed", "the run is completed"):
        process = person.begin("backfill", "resume", made["backfill_id"])
        until_said(process, said)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert person.clew("backfill", "resume", made["backfill_id"], code=None).code in (0, 2), (
        "it may be done already"
    )
    assert Counter(row["status"] for row in rows(person)) == {"completed": 4}
    assert len({row["scheduled_at"] for row in rows(person)}) == 4
    with sqlite3.connect(person.folder / ".clew" / "clew.db") as store:
        (count,) = store.execute("SELECT count(*) FROM backfill_times WHERE run_id IS NULL").fetchone()
    assert count == 0
