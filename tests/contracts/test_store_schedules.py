"""What every store promises about when programs are due, about queued runs, and about what others change."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.contracts.conftest import VERSION
from tests.contracts.settling import NAMES, settle_all
from tests.contracts.test_store import created, entry, following, new

from clew.ports import (
    Advanced,
    BackfillRow,
    PauseRow,
    RunRecord,
    RunRow,
    ScheduleRow,
    StandingRow,
    StoreError,
)
from clew.stores.sqlite import SqliteStore
from clew.stores.store import DatabaseStore

QUEUED = RunRow("queued", "", None, "[]")


def live(store: DatabaseStore, at: int = 100, **given: Any) -> ScheduleRow:
    facts = {"version": VERSION, "source": "trip.yaml", "origin": "{}", "zones": "2026a", **given}
    return store.schedules.go_live("trip", facts.pop("version"), at=at, **facts)


def due(run_id: str, run_time: int, generation: int = 1, **given: Any) -> RunRecord:
    """A queued run for a due time."""
    facts = {"run_name": f"{run_time}-{generation}", "run_time": run_time, "is_due": True, **given}
    return RunRecord(
        run_id, 1, 0, [entry(0)], [], Advanced(1, entry(0)[2]), QUEUED, [], new(generation, **facts)
    )


# ---- what is live ------------------------------------------------------------------------------------------


def test_a_program_that_goes_live_is_due_from_then_on(store: DatabaseStore) -> None:
    """The moment itself is not settled yet; nothing before is due."""
    row = live(store)
    assert row == ScheduleRow("trip", VERSION, 100, 99, "trip.yaml", "{}", "2026a", None)
    assert store.schedules.of("trip") == row and store.schedules.all() == [row]
    assert store.schedules.of("nothing") is None


def test_another_version_goes_on_where_the_one_before_stood(store: DatabaseStore) -> None:
    """What has come meanwhile is not lost."""
    live(store)
    assert store.schedules.settle("trip", settled_until=99, until=150)
    row = live(store, 300, version="w" * 64, source="moved.yaml", origin='{"folder":"x"}', zones="2026b")
    assert row == ScheduleRow("trip", "w" * 64, 100, 150, "moved.yaml", '{"folder":"x"}', "2026b", None)


def test_what_came_while_a_program_was_retired_is_nobodys(store: DatabaseStore) -> None:
    """It is live again from its return on; the first time it was live stays on record."""
    live(store)
    store.schedules.retire("trip", 200)
    retired = store.schedules.of("trip")
    assert retired is not None and retired.retired_at == 200
    store.schedules.retire("trip", 250)
    assert store.schedules.of("trip") == retired, "it was retired then, and not again"
    assert store.schedules.settle("trip", settled_until=99, until=210) is False
    back = live(store, 300)
    assert (back.live_since, back.settled_until, back.retired_at) == (100, 299, None)


def test_a_return_by_a_clock_that_was_put_back_settles_nothing_anew(store: DatabaseStore) -> None:
    """What is settled stays so."""
    live(store)
    store.schedules.settle("trip", settled_until=99, until=900)
    store.schedules.retire("trip", 950)
    assert live(store, 300).settled_until == 900


def test_retiring_what_never_was_live_is_nothing(store: DatabaseStore) -> None:
    """No row comes of it."""
    store.schedules.retire("nothing", 5)
    assert store.schedules.all() == []


# ---- settling ----------------------------------------------------------------------------------------------


def test_times_are_settled_together_with_their_runs(store: DatabaseStore) -> None:
    """The cursor and the runs stand together."""
    live(store)
    assert store.schedules.settle(
        "trip", settled_until=99, until=150, records=[due("r1", 120), due("r2", 140)]
    )
    row = store.schedules.of("trip")
    assert row is not None and row.settled_until == 150
    assert [(one.run_id, one.run_time, one.is_due) for one in store.queued("trip", 9)] == [
        ("r1", 120, True),
        ("r2", 140, True),
    ]


def test_who_comes_second_settles_nothing(store: DatabaseStore) -> None:
    """The cursor was moved by another one meanwhile: neither it nor any run is touched."""
    live(store)
    assert store.schedules.settle("trip", settled_until=99, until=150, records=[due("r1", 120)])
    assert not store.schedules.settle("trip", settled_until=99, until=150, records=[due("r2", 120, 2)])
    assert not store.schedules.settle("nothing", settled_until=99, until=150)
    assert store.run_ids() == ["r1"]


def test_no_run_is_there_twice(store: DatabaseStore) -> None:
    """A time that has a run already keeps it, whoever made it; the others come beside it."""
    live(store)
    store.record([due("r1", 120)])
    assert store.schedules.settle(
        "trip", settled_until=99, until=150, records=[due("r2", 120), due("r3", 140)]
    )
    assert sorted(store.run_ids()) == ["r1", "r3"]
    assert store.schedules.settle("trip", settled_until=150, until=160, records=[due("r4", 120)])
    assert sorted(store.run_ids()) == ["r1", "r3"]


def test_times_are_settled_whole_or_not_at_all(store: DatabaseStore) -> None:
    """A record that can't be written takes the cursor back with it."""
    live(store)
    broken = due("r2", 140)._replace(entries=[entry(0), entry(0)])
    with pytest.raises(StoreError, match=r"(?i)unique"):
        store.schedules.settle("trip", settled_until=99, until=150, records=[due("r1", 120), broken])
    row = store.schedules.of("trip")
    assert row is not None and row.settled_until == 99
    assert store.run_ids() == []
    assert store.schedules.settle("trip", settled_until=99, until=150, records=[due("r1", 120)])


# ---- pausing -----------------------------------------------------------------------------------------------


def test_a_program_is_paused_once_at_a_time(store: DatabaseStore) -> None:
    """Each pause is on record for good, the last one first; what is over by a moment is left out."""
    schedules = store.schedules
    assert schedules.pause_count() == (0, 0)
    assert schedules.pause("trip", at=100, by="ann", why="holidays")
    assert not schedules.pause("trip", at=110, by="bob", why="")
    assert schedules.pause("other", at=100, by="ann", why="")
    assert schedules.pause_count() == (2, 0)
    assert schedules.unpause("trip", at=150, by="bob", why="back")
    assert not schedules.unpause("trip", at=160, by="bob", why="")
    assert schedules.pause_count() == (2, 1)
    assert schedules.pause("trip", at=200, by="ann", why="")
    last, first = PauseRow(200, "ann", "", None), PauseRow(100, "ann", "holidays", 150)
    assert schedules.pauses("trip", 0) == [last, first]
    assert schedules.pauses("trip", 149) == [last, first]
    assert schedules.pauses("trip", 150) == [last]
    assert schedules.pauses("nothing", 0) == []


def test_a_pause_never_ends_before_it_began(store: DatabaseStore) -> None:
    """Whatever the clock says."""
    store.schedules.pause("trip", at=100, by="ann", why="")
    store.schedules.unpause("trip", at=50, by="ann", why="")
    assert store.schedules.pauses("trip", 0) == [PauseRow(100, "ann", "", 100)]


# ---- who is queued, and who is under way -------------------------------------------------------------------


def test_the_queue_is_by_scheduled_time_and_what_makes_up_for_something_comes_last(
    store: DatabaseStore,
) -> None:
    """Of each sort as many as asked for."""
    store.record(
        [
            due("late", 300),
            due("early", 100),
            due("second", 100, 2),
            due("asked", 200, is_due=False),
            due("old", 50, 2, backfill="missed", follows="x"),
            due("older", 40, 2, backfill="missed"),
            due("other", 10, program="other"),
        ]
    )
    assert [one.run_id for one in store.queued("trip", 9)] == [
        "early", "second", "asked", "late", "older", "old",
    ]  # fmt: skip
    assert [one.run_id for one in store.queued("trip", 1)] == ["early", "older"]
    assert store.queued("trip", 9)[-1] == StandingRow("old", VERSION, "{}", 50, 2, True, "missed", "queued")
    assert not store.queued("trip", 9)[2].is_due


def test_what_has_begun_and_has_not_settled_is_under_way(store: DatabaseStore) -> None:
    """Held and paused runs among it; no queued one, and none that is over."""
    store.record([due(f"r{number}", number) for number in range(1, 8)])
    for number, status in enumerate(["running", "waiting", "held", "paused", "completed", "missed"], start=1):
        store.record([following(f"r{number}", 1, run=RunRow(status, "", None, "[]"))])
    assert sorted((one.run_id, one.status) for one in store.under_way("trip")) == [
        ("r1", "running"), ("r2", "waiting"), ("r3", "held"), ("r4", "paused"),
    ]  # fmt: skip
    assert [one.run_id for one in store.queued("trip", 9)] == ["r7"]
    assert store.under_way("other") == []


def test_a_launch_is_on_record_when_a_queued_run_begins(store: DatabaseStore) -> None:
    """Until then its row says when it was made; the order of the listing follows."""
    store.record([due("r1", 100), created("r2", 7, launched_at=50)])
    assert [row["run_id"] for row in store.runs(limit=9)] == ["r2", "r1"]
    store.record([following("r1", 1, launched_at=70)])
    rows = store.runs(limit=9)
    assert [(row["run_id"], row["launched_at"]) for row in rows] == [("r1", 70), ("r2", 50)]
    store.record([following("r1", 2)])
    assert (store.run("r1") or {})["launched_at"] == 70


def test_the_schedules_are_a_documented_table(tmp_path: Path) -> None:
    """Any SQL client can read them."""
    store = SqliteStore(str(tmp_path / "clew.db"))
    live(store)
    store.close()
    with sqlite3.connect(tmp_path / "clew.db") as client:
        assert client.execute("SELECT program, settled_until FROM schedules").fetchall() == [("trip", 99)]


# ---- more than one process ---------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["file"], indirect=True)
def test_only_what_others_change_is_counted(open_again: Callable[..., DatabaseStore]) -> None:
    """What a store has written itself is no news to it."""
    mine, other = open_again(), open_again()
    before = mine.change_count()
    live(mine)
    mine.record([due("r1", 100)])
    assert mine.change_count() == before
    other.schedules.pause("trip", at=1, by="ann", why="")
    after = mine.change_count()
    assert after != before and mine.change_count() == after
    mine.schedules.unpause("trip", at=2, by="ann", why="")
    assert mine.change_count() == after


def test_the_cursor_guards_across_processes(open_again: Callable[..., DatabaseStore]) -> None:
    """Each sees what the other has settled."""
    mine, other = open_again(), open_again()
    live(mine)
    assert other.schedules.settle("trip", settled_until=99, until=150, records=[due("r1", 120)])
    assert not mine.schedules.settle("trip", settled_until=99, until=150, records=[due("r2", 120, 2)])
    assert mine.run_ids() == ["r1"]


PROCESSES = 4
MINUTES = 900
MINUTE = 60_000
START = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""


def test_processes_that_settle_the_same_times_make_one_run_of_each(
    place: str, open_again: Callable[..., DatabaseStore]
) -> None:
    """Four schedulers on one store, at the same moment: none is lost, none is there twice, each is whole."""
    store = open_again()
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(PROCESSES)
    until = START + MINUTES * MINUTE
    processes = [
        context.Process(target=settle_all, args=(place, START + 1, until, barrier)) for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    rows = store.runs(limit=100_000)
    found = Counter((row["program"], row["run_time"]) for row in rows)
    wanted = [START + minute * MINUTE for minute in range(1, MINUTES + 1)]
    assert found == Counter((name, at) for name in NAMES for at in wanted)
    for row in rows:
        late = until - row["run_time"]
        assert row["status"] == ("queued" if late <= MINUTE else "missed")
        assert len(store.journal(row["run_id"])) == row["entry_count"] == (1 if late <= MINUTE else 2)
    assert {row.settled_until for row in store.schedules.all()} == {until}


def test_the_origins_of_all_that_may_run_yet_are_told(store: DatabaseStore) -> None:
    """Each once: of runs that have not settled, of what is live, of backfills that go on; and of nothing else."""

    def settle(run_id: str) -> None:
        head = store.head(run_id)
        assert head is not None
        count = head.entry_count
        advanced, row = Advanced(count + 1, entry(count)[2]), RunRow("completed", "", 9, "[]")
        store.record([RunRecord(run_id, 1, count, [entry(count)], [], advanced, row, [])])

    assert store.schedules.origins() == []
    live(store, origin='{"folder":"live"}')
    store.record([due("r1", 100, origin='{"folder":"queued"}'), due("r2", 200, origin='{"folder":"queued"}')])
    store.record([due("r3", 300, origin='{"folder":"settled"}')])
    settle("r3")
    for number, status in enumerate(("running", "paused", "stopped", "cancelled", "completed")):
        made = BackfillRow(
            f"b{number}", "trip", VERSION, 100, 300, "missing", "oldest", 2, 1, "{}", f'{{"folder":"{status}"}}', 5,
            "somebody", "", status, 5, "somebody", "",
        )  # fmt: skip
        store.backfills.make(made, [(100, "")])
    told = {"live", "queued", "running", "paused", "stopped"}
    assert sorted(store.schedules.origins()) == sorted(f'{{"folder":"{one}"}}' for one in told)
    store.schedules.retire("trip", 200)
    settle("r1")
    assert '{"folder":"queued"}' in store.schedules.origins()
    settle("r2")
    assert not {'{"folder":"live"}', '{"folder":"queued"}'} & set(store.schedules.origins())
