"""Whatever is changed of what is on record is found, with the entry; what was not changed is sound."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from msgspec.structs import replace

from clew.core.running.entries import Entry, RunSettled
from clew.core.sealing.canonical import ENTRY_TAG, encode, tagged_hash
from clew.core.sealing.journal import read_entry
from clew.operations.proving import SALT_SIZE, Judgement, Prover
from clew.orchestrator import driven_run
from clew.settings import read_settings
from clew.stores.sqlite import SqliteStore
from clew.wiring import open_records

PROGRAM = """
import clew

@clew.stage(outputs=["flight"])
def flight(city):
    return {"flight": "F-" + city}

@flight.rollback
def cancel_flight(city, flight):
    if city == "Stuck":
        raise ValueError("the airline does not answer")

@clew.stage(outputs=["hotel"], rollback="none")
def hotel(flight, fails):
    if fails:
        raise ValueError("no room")
    return {"hotel": "Grand"}

trip = clew.Program("trip", stages=[flight, hotel])

if __name__ == "__main__":
    for city, fails in [("Rome", False), ("Rome", True), ("Stuck", True), ("R" * 300_000, False)]:
        print(trip.run(city=city, fails=fails).run_id)
"""
NAMES = ("completed", "rolled_back", "stuck", "spilled")


class Trips:
    """A store with four runs by name, in a folder of its own."""

    def __init__(self, folder: Path, runs: dict[str, str]) -> None:
        self.folder = folder
        self.runs = runs

    @property
    def path(self) -> str:
        return str(self.folder / ".clew" / "clew.db")

    def sql(self, statement: str, *bound: Any) -> list[Any]:
        """What somebody does who has the file: `:name` stands for the ids of the runs."""
        connection = apsw.Connection(self.path)
        for name, run_id in self.runs.items():
            statement = statement.replace(f":{name}", f"'{run_id}'")
        try:
            rows = []
            for part in statement.split(";"):
                rows = list(connection.execute(part, bound))
            return rows
        finally:
            connection.close()

    def verify(self, name: str = "completed") -> Judgement:
        with open_records(self._settings()) as records:
            return Prover(records).verify(self.runs[name])

    def replay(self, name: str = "completed") -> Judgement:
        with open_records(self._settings()) as records:
            return Prover(records).replay(self.runs[name])

    def _settings(self) -> Any:
        return read_settings(folder=str(self.folder), environment={})

    def clew(self, *words: str) -> subprocess.CompletedProcess[str]:
        return _python(self.folder, "-m", "clew", *words)

    def rewrite(self, name: str, change: Callable[[list[Entry]], list[Entry]]) -> None:
        """Write the journal anew as somebody does who knows how it is hashed, and move the run's head on, and that of
        its leaves."""
        run_id = self.runs[name]
        rows = self.sql(f"SELECT content FROM journal WHERE run_id = '{run_id}' ORDER BY seq")
        entries = change([read_entry(row[0].encode()) for row in rows])
        self.sql(f"DELETE FROM journal WHERE run_id = '{run_id}'")
        previous = entries[0].body.plan  # type: ignore[union-attr]
        hashes = []
        for seq, entry in enumerate(entries):
            content = encode(msgspec.structs.replace(entry, seq=seq, prev=previous))
            previous = tagged_hash(ENTRY_TAG, content)
            self.sql("INSERT INTO journal VALUES (?, ?, ?, ?)", run_id, seq, content.decode(), previous)
            hashes.append(previous)
        self.sql(
            f"UPDATE runs SET head = ?, entry_count = ? WHERE run_id = '{run_id}'", previous, len(entries)
        )
        for index, kind, count in self.sql(
            f"SELECT leaf_index, kind, entry_count FROM leaves WHERE run_id = '{run_id}'"
        ):
            count = count if kind == "open" else len(hashes)
            values = count, hashes[count - 1], index
            self.sql("UPDATE leaves SET entry_count = ?, head = ? WHERE leaf_index = ?", *values)


def _python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in ("CLEW_STORE", "CLEW_SETTINGS"):
        environment.pop(name, None)
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Trips:
    folder = tmp_path_factory.mktemp("trips")
    (folder / "trip.py").write_text(PROGRAM)
    ran = _python(folder, "trip.py")
    assert ran.returncode == 0, ran.stderr
    return Trips(folder, dict(zip(NAMES, ran.stdout.split(), strict=True)))


@pytest.fixture
def trips(made: Trips, tmp_path: Path) -> Iterator[Trips]:
    folder = tmp_path / "copy"
    shutil.copytree(made.folder, folder)
    yield Trips(folder, made.runs)


# ---- what was not changed --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_what_was_not_changed_is_sound_and_agrees(made: Trips, name: str) -> None:
    """However a run ended, its record is sound, and its journal amounts to what the tracker tells."""
    verified, replayed = made.verify(name), made.replay(name)
    assert (verified.verdict, verified.flaw) == ("sound", None)
    assert (replayed.verdict, replayed.flaw) == ("agrees", None)
    row = made.sql("SELECT status, entry_count, head FROM runs WHERE run_id = ?", made.runs[name])[0]
    assert (verified.status, verified.entry_count, verified.head) == row


def test_salts_have_the_size_that_is_verified() -> None:
    """The size of salts that is verified is the one that is written."""
    assert SALT_SIZE == driven_run.SALT_SIZE


# ---- what was changed ------------------------------------------------------------------------------------

JOURNAL = "journal WHERE run_id = :completed"
CHANGES = {
    # the journal
    "an entry edited": (
        "UPDATE journal SET content = replace(content, '\"attempt\":1', '\"attempt\":2') "
        "WHERE run_id = :completed AND seq = 2", "journal", 2),
    "an entry with a blank": (
        "UPDATE journal SET content = content || ' ' WHERE run_id = :completed AND seq = 3", "journal", 3),
    "an entry with a field": (
        "UPDATE journal SET content = replace(content, '\"v\":1', '\"v\":1,\"w\":1') "
        "WHERE run_id = :completed AND seq = 4", "journal", 4),
    "an entry's hash": (
        "UPDATE journal SET hash = replace(hash, 'a', 'b') || 'c' WHERE run_id = :completed AND seq = 1", "journal", 1),
    "an entry that is none": (
        "UPDATE journal SET content = '{}' WHERE run_id = :completed AND seq = 1", "journal", 1),
    "an entry that is deep": (
        "UPDATE journal SET content = '{\"x\":' || replace(hex(zeroblob(5000)), '0', '[') "
        "WHERE run_id = :completed AND seq = 1", "journal", 1),
    "an entry that is no text": (
        "UPDATE journal SET content = CAST(x'ff' AS TEXT) WHERE run_id = :completed AND seq = 1", "journal", None),
    "the first entry removed": (f"DELETE FROM {JOURNAL} AND seq = 0", "journal", 0),
    "an entry removed": (f"DELETE FROM {JOURNAL} AND seq = 3", "journal", 3),
    "the last entry removed": (f"DELETE FROM {JOURNAL} AND seq = 5", "journal", 5),
    "all entries removed": (f"DELETE FROM {JOURNAL}", "journal", 0),
    "an entry removed, those after moved up": (
        f"DELETE FROM {JOURNAL} AND seq = 3;"
        "UPDATE journal SET seq = 3 WHERE run_id = :completed AND seq = 4;"
        "UPDATE journal SET seq = 4 WHERE run_id = :completed AND seq = 5", "journal", 3),
    "an entry added at the end": (
        f"INSERT INTO journal SELECT run_id, 6, content, hash FROM {JOURNAL} AND seq = 5", "journal", 6),
    "another run's entry put in": (
        "UPDATE journal SET (content, hash) = (SELECT content, hash FROM journal WHERE run_id = :spilled AND seq = 2) "
        "WHERE run_id = :completed AND seq = 2", "journal", 2),
    "an entry put between": (
        "UPDATE journal SET seq = 7 WHERE run_id = :completed AND seq = 5;"
        "UPDATE journal SET seq = 6 WHERE run_id = :completed AND seq = 4;"
        "INSERT INTO journal SELECT run_id, 4, content, hash FROM journal WHERE run_id = :completed AND seq = 3",
        "journal", 4),
    "two entries exchanged": (
        "UPDATE journal SET seq = 99 WHERE run_id = :completed AND seq = 2;"
        "UPDATE journal SET seq = 2 WHERE run_id = :completed AND seq = 3;"
        "UPDATE journal SET seq = 3 WHERE run_id = :completed AND seq = 99", "journal", 2),
    "an entry under another number": (
        "UPDATE journal SET seq = 99 WHERE run_id = :completed AND seq = 5", "journal", 5),
    # payloads
    "a payload edited": (
        "UPDATE payloads SET content = replace(content, 'Rome', 'Oslo') WHERE run_id = :completed AND seq = 0",
        "payload", 0),
    "a payload's salt": (
        "UPDATE payloads SET salt = randomblob(16) WHERE run_id = :completed AND seq = 2", "payload", 2),
    "bytes passed from a payload to its salt": (
        "UPDATE payloads SET salt = CAST(salt || CAST(substr(content, 1, 1) AS BLOB) AS BLOB), "
        "content = substr(content, 2) WHERE run_id = :completed AND seq = 2", "payload", 2),
    "a payload removed": ("DELETE FROM payloads WHERE run_id = :completed AND seq = 4", "payload", 4),
    "a payload emptied": ("UPDATE payloads SET content = NULL WHERE run_id = :completed AND seq = 4", "payload", 4),
    "a payload in two places": (
        "UPDATE payloads SET location = 'x' WHERE run_id = :completed AND seq = 4", "payload", 4),
    "a payload for an entry that has none": (
        "INSERT INTO payloads VALUES (:completed, 1, x'00', '{}', NULL)", "payload", 1),
    "a payload for no entry": ("INSERT INTO payloads VALUES (:completed, 77, x'00', '{}', NULL)", "payload", 77),
    # the run's row
    "the run's count": ("UPDATE runs SET entry_count = 9 WHERE run_id = :completed", "journal", 6),
    "the run's head": ("UPDATE runs SET head = replace(head, 'a', 'b') || 'c' WHERE run_id = :completed", "journal", 5),
    "the run's epoch": ("UPDATE runs SET epoch = 0 WHERE run_id = :completed", "run", 5),
    "the run's status": ("UPDATE runs SET status = 'failed' WHERE run_id = :completed", "run", 5),
    "the run's cause": ("UPDATE runs SET cause = 'failure' WHERE run_id = :completed", "run", 5),
    "the run's end": ("UPDATE runs SET ended_at = ended_at + 1 WHERE run_id = :completed", "run", 5),
    "the run's residue": ("UPDATE runs SET residue = '[{}]' WHERE run_id = :completed", "run", 5),
    "the run's program": ("UPDATE runs SET program = 'other' WHERE run_id = :completed", "run", 0),
    "the run's name": ("UPDATE runs SET run_name = 'other' WHERE run_id = :completed", "run", 0),
    "the run's time": ("UPDATE runs SET run_time = run_time + 1 WHERE run_id = :completed", "run", 0),
    "the run's launch": ("UPDATE runs SET launched_at = launched_at + 1 WHERE run_id = :completed", "run", 0),
    "the run's requester": ("UPDATE runs SET requested_by = 'Eve' WHERE run_id = :completed", "run", 0),
    "the run's generation": ("UPDATE runs SET generation = 7 WHERE run_id = :completed", "run", 0),
    "the run's version": ("UPDATE runs SET version = 'other' WHERE run_id = :completed", "program", None),
    # the stages' rows
    "a stage's status": (
        "UPDATE stages SET status = 'failed' WHERE run_id = :completed AND name = 'hotel'", "stage", 4),
    "a stage's attempts": (
        "UPDATE stages SET attempts = 5 WHERE run_id = :completed AND name = 'flight'", "stage", 2),
    "a stage's outcome": ("UPDATE stages SET outcome = '' WHERE run_id = :completed AND name = 'flight'", "stage", 2),
    "a stage's error": (
        "UPDATE stages SET error_kind = 'x' WHERE run_id = :completed AND name = 'flight'", "stage", 2),
    "a stage's rollbacks": (
        "UPDATE stages SET rollback_attempts = 1 WHERE run_id = :completed AND name = 'flight'", "stage", 2),
    "a stage's start": ("UPDATE stages SET started_at = 1 WHERE run_id = :completed AND name = 'hotel'", "stage", 4),
    "a stage's end": ("UPDATE stages SET ended_at = NULL WHERE run_id = :completed AND name = 'hotel'", "stage", 4),
    "a stage's result": ("UPDATE stages SET result_seq = 2 WHERE run_id = :completed AND name = 'hotel'", "stage", 4),
    "a stage's name": ("UPDATE stages SET name = 'x' WHERE run_id = :completed AND name = 'hotel'", "stage", 4),
    "a stage's block": ("UPDATE stages SET block = 9 WHERE run_id = :completed AND name = 'hotel'", "stage", 4),
    "a stage removed": ("DELETE FROM stages WHERE run_id = :completed AND name = 'hotel'", "stage", None),
    "a stage added": (
        "INSERT INTO stages (run_id, position, name, block, status) VALUES (:completed, 2, 'x', 3, 'pending')",
        "stage", None),
    # the plan and the program
    "a plan block edited": (
        "UPDATE plan_blocks SET content = replace(content, 'flight', 'flown') WHERE block_index = 2", "plan", None),
    "a plan block's hash": (
        "UPDATE plan_blocks SET hash = replace(hash, 'a', 'b') WHERE block_index = 1", "plan", None),
    "a plan block removed": ("DELETE FROM plan_blocks WHERE block_index = 2", "plan", None),
    "the plan removed": ("DELETE FROM plan_blocks", "plan", None),
    "the plan's blocks exchanged": (
        "UPDATE plan_blocks SET block_index = 3 WHERE block_index = 1;"
        "UPDATE plan_blocks SET block_index = 1 WHERE block_index = 2;"
        "UPDATE plan_blocks SET block_index = 2 WHERE block_index = 3", "plan", None),
    "a plan block that is no text": (
        "UPDATE plan_blocks SET content = CAST(x'ff' AS TEXT) WHERE block_index = 1", "plan", None),
    "the program edited": ("UPDATE programs SET content = replace(content, 'flight', 'flown')", "program", None),
    "the program with a blank": ("UPDATE programs SET content = content || ' '", "program", None),
    "the program removed": ("DELETE FROM programs", "program", None),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_found_with_its_entry(trips: Trips, change: str) -> None:
    """Whatever is edited, removed, added or moved by SQL, verify finds it, and says where."""
    statement, where, seq = CHANGES[change]
    trips.sql(statement)
    judged = trips.verify()
    assert judged.verdict == "tampered"
    assert judged.flaw is not None
    assert (judged.flaw.where, judged.flaw.seq) == (where, seq), judged.flaw
    if ":completed" in statement:
        assert trips.verify("rolled_back").verdict == "sound", "it says nothing against another run"


# ---- by somebody who knows how hashing is done -----------------------------------------------------------


def _with_body(entries: list[Entry], seq: int, **changes: Any) -> list[Entry]:
    body = msgspec.structs.replace(entries[seq].body, **changes)
    return [*entries[:seq], msgspec.structs.replace(entries[seq], body=body), *entries[seq + 1 :]]


def _with(entries: list[Entry], seq: int, **changes: Any) -> list[Entry]:
    return [*entries[:seq], msgspec.structs.replace(entries[seq], **changes), *entries[seq + 1 :]]


FORGERIES: dict[str, tuple[Callable[[list[Entry]], list[Entry]], str, int | None]] = {
    "another plan": (lambda all: _with_body(all, 0, plan="0" * 64), "journal", 0),
    "another version": (lambda all: _with_body(all, 0, version="0" * 64), "run", 0),
    "another requester": (lambda all: _with_body(all, 0, requested_by="Eve"), "run", 0),
    "a block that the plan has not": (lambda all: _with(all, 3, block="0" * 64), "journal", 3),
    "an epoch that goes back": (lambda all: _with(all, 2, epoch=9), "journal", 3),
    "another run's id": (lambda all: _with(all, 2, run="x"), "journal", 2),
    "no payload": (lambda all: _with(all, 2, payload=""), "payload", 2),
    "another payload": (lambda all: _with(all, 2, payload="0" * 64), "payload", 2),
    "created twice": (lambda all: [*all[:2], all[0], *all[2:]], "journal", 2),
    "an end left out": (lambda all: [*all[:2], *all[3:]], "payload", 2),
    "settled twice": (
        lambda all: [*all, msgspec.structs.replace(all[-1], body=RunSettled("failed"))], "state", 6),
    "settled otherwise": (lambda all: _with_body(all, 5, status="failed"), "run", 5),
    "settled as nothing is": (lambda all: _with_body(all, 5, status="fine"), "state", 5),
    "a stage that is not": (lambda all: _with_body(all, 1, stage="train"), "state", 1),
    "a stage that becomes nothing known": (lambda all: _with_body(all, 4, becomes="fine"), "state", 4),
    "a failure made of a success": (
        lambda all: _with_body(all, 4, outcome="failed", becomes="failed"), "stage", 4),
}  # fmt: skip


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_journal_written_anew_has_to_fit_all_the_rest(trips: Trips, forgery: str) -> None:
    """Somebody who writes a journal anew, hashes and head included, and not everything else, is found."""
    change, where, seq = FORGERIES[forgery]
    trips.rewrite("completed", change)
    judged = trips.verify()
    assert judged.verdict == "tampered"
    assert judged.flaw is not None
    assert (judged.flaw.where, judged.flaw.seq) == (where, seq), judged.flaw


def test_rewriting_without_a_change_is_what_was_there(trips: Trips) -> None:
    """The forger of these tests writes what clew writes: without a change, the record stays sound."""
    before = trips.verify()
    trips.rewrite("completed", lambda all: all)
    assert trips.verify() == before
    assert before.verdict == "sound"


# ---- payloads that stand elsewhere -----------------------------------------------------------------------


def _spilled(trips: Trips) -> tuple[Path, int]:
    (location, seq), *_ = trips.sql(
        "SELECT location, seq FROM payloads WHERE run_id = :spilled AND location IS NOT NULL ORDER BY seq"
    )
    return trips.folder / ".clew" / "payloads" / location, seq


def test_a_spilled_payload_that_was_edited_is_found(trips: Trips) -> None:
    """A payload outside the store is under the hash like any other."""
    path, seq = _spilled(trips)
    path.write_bytes(path.read_bytes().replace(b"RR", b"RO", 1))
    judged = trips.verify("spilled")
    assert judged.verdict == "tampered"
    assert judged.flaw is not None
    assert (judged.flaw.where, judged.flaw.seq) == ("payload", seq)


@pytest.mark.parametrize("what", ["object", "bucket"])
def test_what_can_not_be_read_makes_the_evidence_incomplete(trips: Trips, what: str) -> None:
    """A payload whose object or bucket is gone proves no tampering: what remains is judged, and that is said."""
    path, seq = _spilled(trips)
    if what == "object":
        path.unlink()
    else:
        shutil.rmtree(trips.folder / ".clew" / "payloads")
    judged = trips.verify("spilled")
    assert judged.verdict == "incomplete"
    assert judged.flaw is not None
    assert (judged.flaw.where, judged.flaw.seq) == ("payload", seq)
    assert trips.replay("spilled").verdict == "agrees"
    trips.sql("UPDATE runs SET status = 'failed' WHERE run_id = :spilled")
    judged = trips.verify("spilled")
    assert judged.verdict == "tampered", "what is gone must not cover what was changed"


def test_a_plan_that_is_not_its_programs_is_not_sound(trips: Trips) -> None:
    """A plan and a journal that hold, but are not what this clew makes of the program, can't be judged."""
    trips.sql("DELETE FROM plan_blocks WHERE block_index = 2")
    (content,) = trips.sql("SELECT content FROM plan_blocks")[0]
    block = json.loads(content)
    block["next"] = None
    content = json.dumps(block, sort_keys=True, separators=(",", ":"))
    plan = tagged_hash(b"clew/block/v1\n", content.encode())
    trips.sql("UPDATE plan_blocks SET content = ?, hash = ?", content, plan)

    def change(entries: list[Entry]) -> list[Entry]:
        return [msgspec.structs.replace(entry, block="") for entry in _with_body(entries, 0, plan=plan)]

    trips.rewrite("completed", change)
    assert trips.verify().verdict == "incomplete"


# ---- a run that is under way -----------------------------------------------------------------------------


def test_a_run_that_moves_on_is_not_taken_for_tampered(trips: Trips) -> None:
    """What is recorded between two reads of a run does not make it look tampered."""
    run_id = trips.runs["stuck"]
    with open_records(trips._settings()) as records:
        store = MovingStore(records.store, trips, run_id, moves_max=3)
        judged = Prover(replace(records, store=store)).verify(run_id)
        assert judged.verdict == "sound", judged.flaw
        assert store.moves == 3
        store.moves_max = 1_000
        judged = Prover(replace(records, store=store)).verify(run_id)
        assert judged.verdict == "incomplete"


class MovingStore:
    """A store in which another process takes the run over whenever its journal has been read."""

    def __init__(self, store: Any, trips: Trips, run_id: str, *, moves_max: int) -> None:
        self._store = store
        self._trips = trips
        self._run_id = run_id
        self.moves_max = moves_max
        self.moves = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def payloads(self, run_id: str) -> Any:
        found = self._store.payloads(run_id)
        if self.moves < self.moves_max:
            self.moves += 1
            other = SqliteStore(self._trips.path)
            other.leases.claim_run(run_id)
            other.close()
        return found


# ---- replaying -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "seq"),
    [
        ("the run's status", 5), ("a stage's attempts", 2), ("an entry removed", None), ("an entry that is none", 1),
        ("the first entry removed", 0), ("all entries removed", 0), ("the program removed", None),
        ("an entry that is no text", None),
    ],
)  # fmt: skip
def test_replay_tells_where_the_tracker_differs(trips: Trips, change: str, seq: int | None) -> None:
    """A journal that does not amount to what the tracker tells differs, and replay says at which entry."""
    trips.sql(CHANGES[change][0])
    judged = trips.replay()
    assert judged.verdict == "differs"
    assert judged.flaw is not None
    assert seq is None or judged.flaw.seq == seq


@pytest.mark.parametrize("change", ["a payload edited", "a payload removed", "a payload's salt"])
def test_replay_needs_no_payload(trips: Trips, change: str) -> None:
    """What steers a run stands in its entries: without its payloads it still amounts to the same."""
    trips.sql(CHANGES[change][0])
    assert trips.replay().verdict == "agrees"


# ---- as a person calls it --------------------------------------------------------------------------------


def test_the_verbs_exit_codes_say_what_came_of_it(trips: Trips) -> None:
    """`verify` and `replay` end with 0 for what is as it was, 3 for what is incomplete, 1 for what was changed."""
    sound = trips.clew("verify")
    assert (sound.returncode, sound.stdout.count("sound")) == (0, 5), "four runs, and the tree of all"
    assert "not proved: that the world did what a stage said" in sound.stderr
    assert sound.stderr.splitlines()[-1].startswith("next: ")
    assert trips.clew("replay", "--all").returncode == 0
    _spilled(trips)[0].unlink()
    incomplete = trips.clew("verify", trips.runs["spilled"])
    assert incomplete.returncode == 3
    trips.sql(CHANGES["an entry edited"][0])
    trips.sql(CHANGES["the run's cause"][0])
    told = trips.clew("verify", "--all", "--format", "json")
    assert told.returncode == 1
    listed = {one["run_id"]: one for one in json.loads(told.stdout)["runs"]}
    assert {name: listed[run_id]["verdict"] for name, run_id in trips.runs.items()} == {
        "completed": "tampered", "rolled_back": "sound", "stuck": "sound", "spilled": "incomplete",
    }  # fmt: skip
    assert listed[trips.runs["completed"]]["problem"]["seq"] == 2
    assert listed[trips.runs["rolled_back"]]["problem"] is None
    tampered = trips.clew("verify", trips.runs["completed"])
    assert tampered.returncode == 1
    assert "journal, entry 2: " in tampered.stdout
    assert trips.clew("replay", trips.runs["completed"]).returncode == 1


def test_a_wrong_call_is_told_so(made: Trips) -> None:
    """A run that does not exist, or a call that names none or too much, ends with 2."""
    assert made.clew("verify", "nope").returncode == 2
    assert made.clew("verify", "--all", made.runs["completed"]).returncode == 2
    assert made.clew("replay").returncode == 2


def test_an_empty_store_has_no_runs(tmp_path: Path) -> None:
    """A store without runs is no error: there is nothing to prove."""
    SqliteStore(str(tmp_path / ".clew" / "clew.db")).close()
    told = Trips(tmp_path, {}).clew("verify", "--all")
    assert told.returncode == 0
    assert "there are no runs" in told.stderr
    assert Trips(tmp_path, {}).clew("verify", "--format", "json").stdout.startswith('{\n  "runs": [],\n')
