"""Judges a run that was killed, by what the outside world has noted, and by what clew's store says of it.

The outside world comes first: what was done, in which order, under which key. The store is read by Python's own
SQLite, not by clew's code; clew's code then has to agree with it: every hash, every link, every tracker row.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from clew.core.running.sealed_program import SealedProgram
from clew.core.running.state import RunState
from clew.core.sealing.canonical import payload_digest
from clew.core.sealing.journal import JournalError, StoredEntry, verify_journal
from clew.orchestrator.driven_run import run_row, stage_row

Row = Mapping[str, Any]


class Act(NamedTuple):
    """A line of the outside world's file; see `programs/outside.py`."""

    run_id: str
    stage: str
    work: str
    attempt: int
    process: int
    key: str
    outcome: str


@dataclass(frozen=True)
class Kept:
    """What a store holds; rows by column, a run's in the order of its plan or journal."""

    runs: Mapping[str, Row]
    stages: Mapping[str, Sequence[Row]]
    journals: Mapping[str, Sequence[tuple[str, str]]]
    payloads: Mapping[str, Mapping[int, Row]]
    programs: Mapping[str, str]
    damage: str


def read_store(path: Path, *, aside: Path | None = None) -> Kept:
    """What is in the store. With `aside` a copy of it is read, made in that folder, so that the store itself
    stays as the killed process left it, its WAL included."""
    if aside is not None:
        aside.mkdir()
        for ending in ("", "-wal"):
            if path.with_name(path.name + ending).exists():
                shutil.copy(path.with_name(path.name + ending), aside / (path.name + ending))
        path = aside / path.name
    if not path.exists():
        return Kept({}, {}, {}, {}, {}, "")
    database = sqlite3.connect(path)
    database.row_factory = sqlite3.Row
    try:
        damage = database.execute("PRAGMA integrity_check").fetchone()[0]
        if not database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'payloads'").fetchone():
            return Kept({}, {}, {}, {}, {}, damage)
        runs = {row["run_id"]: dict(row) for row in database.execute("SELECT * FROM runs")}

        def rows(query: str) -> dict[str, list[Any]]:
            return {run_id: list(database.execute(query, (run_id,))) for run_id in runs}

        return Kept(
            runs,
            rows("SELECT * FROM stages WHERE run_id = ? ORDER BY position"),
            {
                run_id: [(row["content"], row["hash"]) for row in found]
                for run_id, found in rows("SELECT * FROM journal WHERE run_id = ? ORDER BY seq").items()
            },
            {
                run_id: {row["seq"]: row for row in found}
                for run_id, found in rows("SELECT * FROM payloads WHERE run_id = ?").items()
            },
            {row["version"]: row["content"] for row in database.execute("SELECT * FROM programs")},
            damage,
        )
    finally:
        database.close()


@dataclass(frozen=True)
class Evidence:
    """All that is known when it is over. `kills`: what the store held after each kill. `acknowledged`: the runs
    that somebody was told of. `expected`: the status that such a run must end with. Unless the outside world
    `knows_attempts`, the n-th time that a stage acts is taken for its attempt n."""

    acts: Sequence[Act]
    kills: Sequence[Kept]
    end: Kept
    acknowledged: frozenset[str]
    expected: str
    knows_attempts: bool = True


def violations(evidence: Evidence) -> list[str]:
    """All promises that were broken, in words; none where all is well."""
    return [
        *_damaged(evidence),
        *_lost_runs(evidence),
        *_wrong_ends(evidence),
        *_lost_entries(evidence),
        *_done_again(evidence),
        *_not_done(evidence),
        *_left_standing(evidence),
        *_out_of_order(evidence),
        *_does_not_verify(evidence.end),
    ]


# ---- by the outside world --------------------------------------------------------------------------------


def _lost_runs(evidence: Evidence) -> Iterator[str]:
    for run_id in sorted({*evidence.acknowledged, *(act.run_id for act in evidence.acts)}):
        if run_id not in evidence.end.runs:
            yield f"run {run_id} is lost: somebody was told of it, or it has acted, and the store has no such run"


def _wrong_ends(evidence: Evidence) -> Iterator[str]:
    if not evidence.end.runs:
        yield "there is no run"
    for run_id, row in evidence.end.runs.items():
        if row["status"] != evidence.expected:
            yield f"run {run_id} is {row['status']}, and should be {evidence.expected}"


def _done_again(evidence: Evidence) -> Iterator[str]:
    """No attempt acts twice, and what was recorded as done is not done again."""
    times = Counter((act.run_id, act.stage, act.attempt) for act in evidence.acts if act.work == "execute")
    for (run_id, stage, attempt), count in times.items():
        if count > 1:
            yield f"attempt {attempt} of {stage} of run {run_id} has acted {count} times"
    undone = Counter((act.run_id, act.stage) for act in evidence.acts if act.work == "rollback")
    for row in _stages(evidence.end):
        if undone[row["run_id"], row["name"]] > row["rollback_attempts"]:
            yield f"{row['name']} of run {row['run_id']} was rolled back more often than is recorded"
    for kept in evidence.kills:
        for before in _stages(kept):
            yield from _done_again_after(before, evidence)


def _done_again_after(before: Row, evidence: Evidence) -> Iterator[str]:
    run_id, stage = before["run_id"], before["name"]
    after = next((row for row in evidence.end.stages.get(run_id, ()) if row["name"] == stage), None)
    if after is None:
        return
    if before["status"] in ("completed", "rolling_back", "rolled_back"):
        last = max((act.attempt for act in evidence.acts if act[:3] == (run_id, stage, "execute")), default=0)
        if last > before["attempts"]:
            yield f"{stage} of run {run_id} was executed again when it was {before['status']}: attempt {last}"
    if before["status"] == "rolled_back" and after["rollback_attempts"] > before["rollback_attempts"]:
        yield f"{stage} of run {run_id} was rolled back again when that was done"


def _not_done(evidence: Evidence) -> Iterator[str]:
    """What is called completed was done, by the attempt that counts."""
    done = {(act.run_id, act.stage, act.attempt) for act in evidence.acts if act.work == "execute"}
    for row in _stages(evidence.end):
        attempt = row["attempts"] if evidence.knows_attempts else 1
        if row["status"] == "completed" and (row["run_id"], row["name"], attempt) not in done:
            yield f"{row['name']} of run {row['run_id']} is called completed, and its attempt has not acted"


def _left_standing(evidence: Evidence) -> Iterator[str]:
    """In a run called rolled back, each effect was undone after it came about."""
    for run_id, row in evidence.end.runs.items():
        if row["status"] != "rolled_back":
            continue
        standing: dict[str, Act] = {}
        for act in evidence.acts:
            if act.run_id == run_id and act.work == "execute":
                standing[act.key] = act
            elif act.run_id == run_id:
                standing.pop(act.key, None)
        for act in standing.values():
            yield f"run {run_id} is called rolled_back, and the effect of {act.stage} (attempt {act.attempt}) stands"


def _out_of_order(evidence: Evidence) -> Iterator[str]:
    """Forward block after block; back only when nothing goes forward any more, the last block first."""
    blocks = {(row["run_id"], row["name"]): row["block"] for row in _stages(evidence.end)}
    reached: dict[str, int] = {}
    undoing: dict[str, int] = {}
    for act in evidence.acts:
        block = blocks.get((act.run_id, act.stage))
        if block is None:
            continue  # the run is lost, which is told elsewhere
        if act.work == "rollback":
            if block > undoing.setdefault(act.run_id, block):
                yield f"{act.stage} of block {block} was rolled back after block {undoing[act.run_id]}"
            undoing[act.run_id] = block
        elif act.run_id in undoing:
            yield f"{act.stage} was executed when rollbacks had begun"
        elif block < reached.setdefault(act.run_id, block):
            yield f"{act.stage} of block {block} was executed after block {reached[act.run_id]} had begun"
        else:
            reached[act.run_id] = block


# ---- by the store ----------------------------------------------------------------------------------------


def _damaged(evidence: Evidence) -> Iterator[str]:
    for kept in (*evidence.kills, evidence.end):
        if kept.damage not in ("", "ok"):
            yield f"the store is damaged: {kept.damage}"


def _lost_entries(evidence: Evidence) -> Iterator[str]:
    """What a kill left is still there, as it was: journals only grow."""
    for kept in evidence.kills:
        for run_id, before in kept.journals.items():
            after = evidence.end.journals.get(run_id, ())
            if list(after[: len(before)]) != list(before):
                yield f"run {run_id} has lost entries that it had when it was killed"


def _does_not_verify(kept: Kept) -> Iterator[str]:
    """Every hash and link, every payload's digest, and every row of the tracker."""
    for run_id, row in kept.runs.items():
        stored = [StoredEntry(content.encode(), hash) for content, hash in kept.journals[run_id]]
        try:
            entries = verify_journal(run_id, stored)
        except JournalError as error:
            yield f"the journal of run {run_id} does not verify: {error}"
            continue
        if (row["entry_count"], row["head"]) != (len(stored), stored[-1].hash):
            yield f"the row of run {run_id} does not name its journal's end"
        payloads = kept.payloads[run_id]
        for entry in entries:
            payload = payloads.get(entry.seq)
            found = payload and payload_digest(payload["salt"], payload["content"].encode())
            if (found or "") != entry.payload:
                yield f"the payload of entry {entry.seq} of run {run_id} is not what the entry names"
        sealed = sealed_program(kept.programs[row["version"]])
        if (sealed.version, sealed.plan_hash) != (row["version"], entries[0].prev):
            yield f"the journal of run {run_id} does not link to the plan of its program"
        state = RunState(sealed)
        for entry in entries:
            state.apply(entry)
        yield from _tracker_differs(state, row, kept.stages[run_id])


def _tracker_differs(state: RunState, run: Row, stages: Iterable[Row]) -> Iterator[str]:
    told = run_row(state)
    if told._asdict() != {name: run[name] for name in told._fields}:
        yield f"the tracker's row of run {state.run_id} is not what its journal amounts to: {told} {dict(run)}"
    for row in stages:
        folded = stage_row(state.stages[row["name"]])
        if folded._asdict() != {name: row[name] for name in folded._fields}:
            yield f"the tracker's row of stage {row['name']} is not what the journal amounts to: {folded} {dict(row)}"


@lru_cache(maxsize=64)
def sealed_program(content: str) -> SealedProgram:
    from clew.commands import SIGNATURES
    from clew.conditions import SIGNATURES as CONDITIONS
    from clew.core.program.parse import parse
    from clew.core.running.sealed_program import seal_program

    return seal_program(parse(json.loads(content), SIGNATURES, CONDITIONS), SIGNATURES, CONDITIONS)


def _stages(kept: Kept) -> Iterator[Row]:
    for rows in kept.stages.values():
        yield from rows
