"""What every store promises: one suite, run over each database."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.contracts.conftest import VERSION

from clew.ports import (
    Advanced,
    InstructionRow,
    NewRun,
    PayloadRow,
    RunExists,
    RunHead,
    RunRecord,
    RunRow,
    StageRow,
    StoreError,
)
from clew.stores import sqlite
from clew.stores.queries import load_queries
from clew.stores.store import DatabaseStore

RUNNING = RunRow("running", "", None, "[]")


def entry(seq: int, text: str = "{}") -> tuple[int, str, str]:
    return seq, text, f"{seq:064x}"


def new(generation: int, **changed: Any) -> NewRun:
    created = NewRun(
        "trip", VERSION, f"a-{generation}", 7, 8, "test", generation, "{}", [(0, "one", 1), (1, "two", 2)]
    )
    return created._replace(**changed)


def created(run_id: str, generation: int, **changed: Any) -> RunRecord:
    """A run's first record: two entries and a payload."""
    return RunRecord(
        run_id, 1, 0, [entry(0), entry(1)], [PayloadRow(0, b"salt", '{"variables":{"x":1}}', None)],
        Advanced(2, entry(1)[2]), RUNNING, [], new(generation, **changed),
    )  # fmt: skip


def following(run_id: str, count: int, **changed: Any) -> RunRecord:
    """One more entry of a run that has `count`."""
    record = RunRecord(run_id, 1, count, [entry(count)], [], Advanced(count + 1, entry(count)[2]), None, [])
    return record._replace(**changed)


# ---- writing, whole ----------------------------------------------------------------------------------------


def test_a_record_is_there_whole(store: DatabaseStore) -> None:
    """Its entries, its payloads and the rows of the tracker stand together."""
    assert store.record([created("r1", 1)]) == []
    done = StageRow(1, -1, 1, "completed", 2, "completed", "", 0, 10, 20, 0)
    row = RunRow("completed", "", 30, "[]")
    assert (
        store.record(
            [following("r1", 2, stages=[done], run=row, payloads=[PayloadRow(2, b"s", None, "far/away")])]
        )
        == []
    )
    assert store.journal("r1") == [entry(seq)[1:] for seq in range(3)]
    assert store.journal("r1", after=1) == [entry(2)[1:]]
    assert store.payloads("r1") == [
        PayloadRow(0, b"salt", '{"variables":{"x":1}}', None),
        PayloadRow(2, b"s", None, "far/away"),
    ]
    assert store.payload("r1", 2) == PayloadRow(2, b"s", None, "far/away")
    assert store.payload("r1", 1) is None
    found = store.run("r1")
    assert found is not None
    assert (found["status"], found["ended_at"], found["entry_count"], found["head"]) == (
        "completed",
        30,
        3,
        entry(2)[2],
    )
    assert (found["program"], found["run_name"], found["generation"], found["epoch"]) == ("trip", "a-1", 1, 1)
    one, two = store.stages("r1")
    assert (one["name"], one["status"], one["started_at"]) == ("one", "pending", None)
    assert (two["name"], two["status"], two["attempts"], two["result_seq"]) == ("two", "completed", 2, 0)


def test_many_runs_share_one_flush(store: DatabaseStore) -> None:
    """However many records, it is one transaction."""
    before = store.flush_count
    store.record([created(f"r{number}", number) for number in range(1, 50)])
    assert store.flush_count == before + 1
    assert len(store.run_ids()) == 49


def test_a_row_that_stays_is_not_written(store: DatabaseStore) -> None:
    """A record without a row for its run leaves that row, but for where the journal ends."""
    store.record([created("r1", 1)])
    store.record([following("r1", 2)])
    assert store.head("r1") == RunHead(1, 3, entry(2)[2])
    assert (store.run("r1") or {})["status"] == "running"


def test_what_fails_leaves_nothing(store: DatabaseStore) -> None:
    """When one entry of a batch can't be written, nothing of the whole batch is, and the store goes on."""
    store.record([created("r1", 1)])
    broken = following("r1", 2, entries=[entry(2), entry(0)])
    with pytest.raises(StoreError):
        store.record([created("r2", 2), broken])
    assert store.run_ids() == ["r1"] and store.head("r1") == RunHead(1, 2, entry(1)[2])
    assert store.record([created("r2", 2), following("r1", 2)]) == []


def taken(store: DatabaseStore, run_id: str) -> int:
    """The epoch under which another orchestrator drives the run from now on."""
    claimed = store.leases.claim_run(run_id)
    assert claimed is not None and claimed.run_id == run_id
    return claimed.epoch


# ---- the fence ---------------------------------------------------------------------------------------------


def test_taking_over_fences_the_run_and_only_that_one(store: DatabaseStore) -> None:
    """The fenced run of a batch is left out whole and named; the others are written."""
    store.record([created("r1", 1), created("r2", 2)])
    assert taken(store, "r1") == 2
    fenced = following(
        "r1", 2, payloads=[PayloadRow(2, b"s", "{}", None)], run=RunRow("completed", "", 9, "[]")
    )
    assert store.record([fenced, following("r2", 2)]) == ["r1"]
    assert store.head("r1") == RunHead(2, 2, entry(1)[2])
    assert (store.run("r1") or {})["status"] == "running" and len(store.payloads("r1")) == 1
    assert store.head("r2") == RunHead(1, 3, entry(2)[2])


def test_the_new_holder_writes_and_the_old_one_never_again(store: DatabaseStore) -> None:
    """Each take-over gives out a higher epoch, and only the highest writes."""
    store.record([created("r1", 1)])
    assert [taken(store, "r1"), taken(store, "r1")] == [2, 3]
    assert store.record([following("r1", 2, epoch=2)]) == ["r1"]
    assert store.record([following("r1", 2, epoch=3)]) == []
    assert store.record([following("r1", 3, epoch=1)]) == ["r1"]


def test_the_count_of_entries_guards_beside_the_epoch(store: DatabaseStore) -> None:
    """Who does not know where the journal ends writes nothing, whatever its epoch."""
    store.record([created("r1", 1)])
    store.record([following("r1", 2)])
    assert store.record([following("r1", 2)._replace(advanced=Advanced(9, "9" * 64))]) == ["r1"]
    assert store.record([following("r1", 5)]) == ["r1"]
    assert len(store.journal("r1")) == 3


def test_a_run_that_is_not_there_can_not_be_taken_or_written(store: DatabaseStore) -> None:
    """It is fenced off like any other that is not ours."""
    assert store.leases.claim_run("r9") is None
    assert store.record([following("r9", 2)]) == ["r9"]
    assert store.head("r9") is None and store.run("r9") is None


# ---- creating ----------------------------------------------------------------------------------------------


# ---- what people say -----------------------------------------------------------------------------------------


def test_an_instruction_is_obeyed_by_the_commit_of_its_entry_and_answered_once(store: DatabaseStore) -> None:
    """It waits, in the order in which it was said, until an entry says it; whatever comes after changes nothing."""
    store.record([created("r1", 1)])
    store.instruct("i1", "r1", "{}", 20)
    store.instruct("i2", "r1", "[]", 10)
    assert store.instructions() == [("i2", "r1", "[]"), ("i1", "r1", "{}")]
    assert store.instruction("i1") == InstructionRow(None, "", None)
    store.record([following("r1", 2, obeyed=[(2, "i1")])])
    store.refuse("i1", "too late", epoch=1)
    assert store.instruction("i1") == InstructionRow("obeyed", "", 2)
    assert store.instructions() == [("i2", "r1", "[]")]
    assert store.instruction("i3") is None


def test_a_record_that_is_fenced_obeys_nothing(store: DatabaseStore) -> None:
    """Its entry is not there, so what it would have said waits still."""
    store.record([created("r1", 1)])
    store.instruct("i1", "r1", "{}", 10)
    store.leases.claim_run("r1")
    assert store.record([following("r1", 2, obeyed=[(2, "i1")])]) == ["r1"]
    assert store.instruction("i1") == InstructionRow(None, "", None)


def test_only_who_drives_the_run_refuses(store: DatabaseStore) -> None:
    """Whoever was fenced knows an old state of the run, and another obeys perhaps what that could not."""
    store.record([created("r1", 1)])
    store.instruct("i1", "r1", "{}", 10)
    store.instruct("i2", "r9", "{}", 10)
    epoch = taken(store, "r1")
    store.refuse("i1", "of old", epoch=epoch - 1)
    store.refuse("i1", "of no run", epoch=None)
    assert store.instruction("i1") == InstructionRow(None, "", None)
    store.refuse("i1", "no", epoch=epoch)
    store.refuse("i2", "there is no run", epoch=None)
    assert store.instruction("i1") == InstructionRow("refused", "no", None)
    assert store.instruction("i2") == InstructionRow("refused", "there is no run", None)


def test_a_due_time_and_generation_have_one_run(store: DatabaseStore) -> None:
    """A second one is refused by name, and nothing of its batch is written; without it the rest is."""
    store.record([created("r1", 1)])
    batch = [created("r2", 2), created("r3", 1, run_name="b"), following("r1", 2)]
    with pytest.raises(RunExists) as refused:
        store.record(batch)
    assert refused.value.run_ids == ("r3",)
    assert store.run_ids() == ["r1"] and store.head("r1") == RunHead(1, 2, entry(1)[2])
    assert store.record([batch[0], batch[2]]) == []


def test_refused_are_all_that_can_not_be_at_once(store: DatabaseStore) -> None:
    """The same run again, one of the same name, and one in the place of another of the same batch."""
    store.record([created("r1", 1)])
    with pytest.raises(RunExists) as refused:
        store.record([created("r1", 5), created("r6", 6, run_name="a-1")])
    assert refused.value.run_ids == ("r1", "r6")
    with pytest.raises(RunExists) as refused:
        store.record([created("r7", 7), created("r8", 7, run_name="other")])
    assert refused.value.run_ids == ("r8",)


def test_generations_are_counted_by_program_and_due_time(store: DatabaseStore) -> None:
    """0 while there is none."""
    assert store.last_generation("trip", 7) == 0
    store.record([created("r1", 1), created("r2", 2), created("r3", 1, run_time=8, run_name="b")])
    assert (store.last_generation("trip", 7), store.last_generation("trip", 8)) == (2, 1)
    assert store.last_generation("other", 7) == 0


# ---- reading -----------------------------------------------------------------------------------------------


def test_a_program_version_is_kept_once(store: DatabaseStore) -> None:
    """Registering it again changes nothing, whatever comes with it."""
    store.register_program(VERSION, "trip", "{}", [(1, "x", "3" * 64)], 6)
    assert store.program(VERSION) == '{"name":"trip"}'
    assert store.chain(VERSION) == [(1, "{}", "1" * 64), (2, "[]", "2" * 64)]
    assert store.program("w") is None and store.chain("w") == []


def test_unsettled_runs_are_listed_oldest_first(store: DatabaseStore) -> None:
    """Held ones among them; settled ones not."""
    store.record(
        [created("r1", 1, launched_at=30), created("r2", 2, launched_at=10), created("r3", 3, launched_at=20)]
    )
    store.record([following("r3", 2, run=RunRow("failed", "failure", 40, "[]"))])
    store.record([following("r1", 2, run=RunRow("held", "", None, "[]"))])
    assert store.unsettled() == [("r2", VERSION, 1, "running"), ("r1", VERSION, 1, "held")]


def test_the_last_run_is_that_of_the_latest_scheduled_time(store: DatabaseStore) -> None:
    """Then of the latest launch; of all, of one status, of one scheduled time, and never the one that asks."""
    assert store.last_run("trip") is None
    for run_id, run_time, launched_at, status in (
        ("late", 7, 90, "completed"),  # launched last, for an earlier time
        ("first", 9, 20, "completed"),
        ("second", 9, 30, "completed"),
        ("failed", 9, 40, "failed"),
        ("going", 11, 50, "running"),
    ):
        generation = launched_at
        store.record([created(run_id, generation, run_time=run_time, launched_at=launched_at)])
        store.record([following(run_id, 2, run=RunRow(status, "", None, "[]"))])
    other = new(1)._replace(program="other", run_name="o", run_time=99)
    store.record([created("other", 1)._replace(created=other)])

    def last(**given: Any) -> str | None:
        found = store.last_run("trip", **given)
        return found and found["run_id"]

    assert last() == "going"
    assert last(besides="going") == "failed"
    assert last(status="completed") == "second"
    assert last(status="completed", besides="second") == "first"
    assert (last(run_time=7), last(run_time=9, status="completed"), last(run_time=8)) == (
        "late",
        "second",
        None,
    )
    store.record([following("second", 3, run=RunRow("rolling_back", "requested", None, "[]"))])
    assert last(status="completed") == "first"


def test_runs_are_found_by_what_people_type(store: DatabaseStore) -> None:
    """By the beginning of the id or the whole name, literally; listed newest first, by program and status."""
    store.record(
        [created("r%1", 1, launched_at=1), created("rx2", 2, launched_at=2), created("s3", 3, launched_at=3)]
    )
    store.record([following("rx2", 2, run=RunRow("completed", "", 9, "[]"))])
    assert store.run_ids_like("r%") == ["r%1"]
    assert store.run_ids_like("r") == ["rx2", "r%1"]
    assert store.run_ids_like("a-3") == ["s3"]
    assert [row["run_id"] for row in store.runs(limit=2)] == ["s3", "rx2"]
    assert [row["run_id"] for row in store.runs(limit=9, status="completed")] == ["rx2"]
    assert [row["run_id"] for row in store.runs(limit=9, before=(3, ""))] == ["rx2", "r%1"]
    assert store.runs(limit=9, program="other") == []
    assert store.last_version("trip") == VERSION and store.last_version("other") is None


# ---- files, processes, versions ----------------------------------------------------------------------------


# ---- several at once -----------------------------------------------------------------------------------------


def test_two_connections_see_and_fence_each_other(open_again: Callable[..., DatabaseStore]) -> None:
    """What one has recorded the other reads; who is taken over writes nothing more."""
    one, other = open_again(), open_again()
    one.register_program(VERSION, "trip", "{}", [], 5)
    one.record([created("r1", 1)])
    assert other.unsettled() == [("r1", VERSION, 1, "running")]
    assert taken(other, "r1") == 2
    assert one.record([following("r1", 2)]) == ["r1"]
    assert other.record([following("r1", 2, epoch=2)]) == []
    assert open_again(read_only=True).head("r1") == RunHead(2, 3, entry(2)[2])


def test_a_process_that_dies_in_a_transaction_leaves_nothing(
    open_again: Callable[..., DatabaseStore], place: str
) -> None:
    """Whatever it had written without committing is not there."""
    open_again().register_program(VERSION, "trip", "{}", [], 5)
    died = subprocess.run([sys.executable, "-c", _DIES, place], check=False, capture_output=True, text=True)
    assert died.returncode == 7, died.stderr
    store = open_again()
    assert store.run_ids() == ["whole"]
    assert store.record([created("after", 3)]) == []


_DIES = """
import os, sys
from clew.ports import Advanced, NewRun, RunRecord, RunRow
from tests.contracts.conftest import open_store
store = open_store(sys.argv[1])
def record(run_id, generation):
    new = NewRun("trip", "v" * 64, run_id, 7, 8, "test", generation, "{}", [(0, "one", 1)])
    return RunRecord(run_id, 1, 0, [(0, "{}", "0" * 64)], [], Advanced(1, "0" * 64), RunRow("running", "", None, "[]"),
                     [], new)
store.record([record("whole", 1)])
with store._transaction():
    store._insert([record("torn", 2)])
    os._exit(7)
"""


# ---- its queries ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("database", "parts"),
    [("sqlite", ("queries", "orchestrators")), ("postgres", ("queries", "transactions", "orchestrators"))],
)
def test_every_query_is_used_and_has_its_sentence(database: str, parts: tuple[str, ...]) -> None:
    """No query lies about unused, and each says what it is for."""
    folder = Path(sqlite.__file__).parent
    source = "".join(path.read_text() for path in folder.glob("*.py"))
    for part in parts:
        text = (folder / f"sql/{database}/{part}.sql").read_text()
        for name in load_queries(database, part):
            assert f'"{name}"' in source, f"{name} is not used"
            assert f"-- name: {name}\n-- " in text, f"{name} has no sentence"


def test_databases_have_the_same_queries_in_the_same_order() -> None:
    """What one is asked the other is: only how it is put differs."""
    assert list(load_queries("postgres")) == list(load_queries("sqlite"))
