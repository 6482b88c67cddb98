"""Judges a run that was killed, by what the outside world has noted, and by what clew's store says of it.

The outside world comes first: what was done, in which order, under which key. The store is read by Python's own
SQLite, not by clew's code; clew's code then has to agree with it: every hash, every link, every tracker row.

A stage is done once a pass, all attempts of which have one key; an item of a stage counts as a stage.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
    """A line of the outside world's file; see `programs/outside.py`. `stage` may be an item: `stage[n]`."""

    run_id: str
    stage: str
    work: str
    attempt: int
    process: int
    key: str
    word: str


@dataclass(frozen=True)
class Kept:
    """What a store holds; rows by column, a run's in the order of its plan or journal. Each row of `stages` has a
    `unit` besides: the stage's name, or the item's."""

    runs: Mapping[str, Row]
    stages: Mapping[str, Sequence[Row]]
    journals: Mapping[str, Sequence[tuple[str, str]]]
    payloads: Mapping[str, Mapping[int, Row]]
    programs: Mapping[str, str]
    instructions: Sequence[Row]
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
        return Kept({}, {}, {}, {}, {}, [], "")
    # Read only: who may write, and is the last to close, takes the WAL away.
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    database.row_factory = sqlite3.Row
    try:
        database.execute("BEGIN")  # all of one moment, whoever writes meanwhile
        damage = database.execute("PRAGMA integrity_check").fetchone()[0]
        if not database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'instructions'").fetchone():
            return Kept({}, {}, {}, {}, {}, [], damage)
        runs = {row["run_id"]: dict(row) for row in database.execute("SELECT * FROM runs")}

        def rows(query: str) -> dict[str, list[Any]]:
            return {run_id: list(database.execute(query, (run_id,))) for run_id in runs}

        return Kept(
            runs,
            rows(
                "SELECT *, iif(item < 0, name, name || '[' || item || ']') AS unit FROM stages WHERE run_id = ? "
                "ORDER BY position, item"
            ),
            {
                run_id: [(row["content"], row["hash"]) for row in found]
                for run_id, found in rows("SELECT * FROM journal WHERE run_id = ? ORDER BY seq").items()
            },
            {
                run_id: {row["seq"]: row for row in found}
                for run_id, found in rows("SELECT * FROM payloads WHERE run_id = ?").items()
            },
            {row["version"]: row["content"] for row in database.execute("SELECT * FROM programs")},
            [dict(row) for row in database.execute("SELECT * FROM instructions ORDER BY said_at, rowid")],
            damage,
        )
    finally:
        database.close()


@dataclass(frozen=True)
class Evidence:
    """All that is known when it is over. `kills`: what the store held after each kill. `acknowledged`: the runs
    that somebody was told of. `expected`: the status that such a run must end with, or, by `others`, those of
    another program. Unless the outside world `knows_attempts`, the n-th time that a stage acts is taken for its
    attempt n. `pass_count`: how often a run goes forward."""

    acts: Sequence[Act]
    kills: Sequence[Kept]
    end: Kept
    acknowledged: frozenset[str]
    expected: str
    knows_attempts: bool = True
    pass_count: int = 1
    others: Mapping[str, str] = field(default_factory=dict)


def violations(evidence: Evidence) -> list[str]:
    """All promises that were broken, in words; none where all is well."""
    return [
        *violations_in_the_store(evidence),
        *_done_again(evidence),
        *_not_done(evidence),
        *_left_standing(evidence),
        *_left_out(evidence),
        *_out_of_order(evidence),
    ]


def violations_in_the_store(evidence: Evidence) -> list[str]:
    """Those for which nobody need have noted what was done."""
    return [
        *_damaged(evidence),
        *_lost_runs(evidence),
        *_wrong_ends(evidence),
        *_lost_entries(evidence),
        *_half_obeyed(evidence),
        *_half_erased(evidence),
        *_begun_while_paused(evidence.end),
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
        expected = evidence.others.get(row["program"], evidence.expected)
        if row["status"] != expected:
            yield f"run {run_id} is {row['status']}, and should be {expected}"


def _done_again(evidence: Evidence) -> Iterator[str]:
    """No attempt acts twice, and what was recorded as done is not done again."""
    times = Counter(
        (act.run_id, act.stage, act.attempt, act.key) for act in evidence.acts if act.work == "execute"
    )
    for (run_id, stage, attempt, _), count in times.items():
        if count > 1:
            yield f"attempt {attempt} of {stage} of run {run_id} has acted {count} times"
    undone = Counter((act.run_id, act.stage) for act in evidence.acts if act.work == "rollback")
    for row in _stages(evidence.end):
        if undone[row["run_id"], row["unit"]] > row["rollback_attempts"]:
            yield f"{row['unit']} of run {row['run_id']} was rolled back more often than is recorded"
    for kept in evidence.kills:
        for before in _stages(kept):
            yield from _done_again_after(before, kept, evidence)


def _done_again_after(before: Row, kept: Kept, evidence: Evidence) -> Iterator[str]:
    run_id, unit, status = before["run_id"], before["unit"], before["status"]
    if status in ("completed", "rolling_back", "rolled_back"):
        acts = [act for act in evidence.acts if act[:3] == (run_id, unit, "execute")]
        keys = {act.key for act in acts if act.attempt == before["attempts"]}
        last = max((act.attempt for act in acts if act.key in keys), default=0)
        if last > before["attempts"]:
            yield f"{unit} of run {run_id} was executed again when it was {status}: attempt {last}"
    if status == "rolled_back":
        for body in _bodies(evidence.end, run_id, len(kept.journals[run_id])):
            if body["kind"] == "pass_begun" and body["index"] <= before["block"]:
                return
            if body["kind"] == "rollback_started" and body["stage"] == unit:
                yield f"{unit} of run {run_id} was rolled back again when that was done"


def _not_done(evidence: Evidence) -> Iterator[str]:
    """What is called completed was done, by the attempt that counts."""
    done = {(act.run_id, act.stage, act.attempt) for act in evidence.acts if act.work == "execute"}
    for_each = {(row["run_id"], row["name"]) for row in _stages(evidence.end) if row["item"] >= 0}
    for row in _stages(evidence.end):
        attempt = row["attempts"] if evidence.knows_attempts else 1
        if row["item"] < 0 and (row["run_id"], row["name"]) in for_each:
            continue  # its items are what is done
        if row["status"] == "completed" and (row["run_id"], row["unit"], attempt) not in done:
            yield f"{row['unit']} of run {row['run_id']} is called completed, and its attempt has not acted"


def _left_standing(evidence: Evidence) -> Iterator[str]:
    """In a run called rolled back, each effect was undone after it came about; in any run, before the same is done
    again in another pass."""
    for run_id, row in evidence.end.runs.items():
        standing: dict[str, Act] = {}
        for act in evidence.acts:
            if act.run_id != run_id:
                continue
            if act.work == "rollback":
                standing.pop(act.key, None)
                continue
            for other in standing.values():
                if other.stage == act.stage and other.key != act.key:
                    yield f"run {run_id}: {act.stage} (attempt {act.attempt}) acts on top of attempt {other.attempt}"
            standing[act.key] = act
        for act in standing.values() if row["status"] == "rolled_back" else ():
            yield f"run {run_id} is called rolled_back, and the effect of {act.stage} (attempt {act.attempt}) stands"


def _left_out(evidence: Evidence) -> Iterator[str]:
    """Whatever was planned to be undone was undone, once a plan at least, where no person has said otherwise."""
    undone = Counter((act.run_id, act.stage) for act in evidence.acts if act.work == "rollback")
    for run_id in evidence.end.runs:
        planned: Counter[str] = Counter()
        over: set[str] = set()
        for body in _bodies(evidence.end, run_id):
            if body["kind"] == "rollback_planned":
                planned.update(item["stage"] for block in body["blocks"] for item in block["stages"])
            elif body["kind"] == "rollback_skipped":
                over.add(body["stage"])
        for unit, count in planned.items():
            if unit not in over and undone[run_id, unit] < count:
                yield f"{unit} of run {run_id} was to be rolled back {count} times, and was {undone[run_id, unit]}"


def _out_of_order(evidence: Evidence) -> Iterator[str]:
    """Forward block after block; back only when nothing goes forward any more, the last block first; and forward
    again as often as there are passes, from the last block that was undone."""
    blocks = {(row["run_id"], row["unit"]): row["block"] for row in _stages(evidence.end)}
    for run_id in evidence.end.runs:
        acts = [act for act in evidence.acts if act.run_id == run_id]
        yield from _out_of_order_in([(act, blocks[run_id, act.stage]) for act in acts], evidence.pass_count)


def _out_of_order_in(acts: Iterable[tuple[Act, int]], pass_count: int) -> Iterator[str]:
    reached, undoing = 0, None
    for act, block in acts:
        if act.work == "rollback":
            if undoing is not None and block > undoing:
                yield f"{act.stage} of block {block} was rolled back after block {undoing}"
            undoing = block
        elif undoing is not None:
            pass_count -= 1
            if not pass_count:
                yield f"{act.stage} was executed when rollbacks had begun"
            elif block > undoing:
                yield f"{act.stage} of block {block} was executed when block {undoing} had been undone"
            reached, undoing = block, None
        elif block < reached:
            yield f"{act.stage} of block {block} was executed after block {reached} had begun"
        else:
            reached = block


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


def _half_obeyed(evidence: Evidence) -> Iterator[str]:
    """What a person has said is on record as obeyed if and only if the entry is that says it, at any time; and in the
    end it is answered."""
    for kept in (*evidence.kills, evidence.end):
        said = Counter((row["run_id"], row["seq"]) for row in kept.instructions if row["answer"] == "obeyed")
        for row in kept.instructions:
            if not row["content"]:
                continue  # it was erased
            verb, seq = json.loads(row["content"])["verb"], row["seq"]
            bodies = list(_bodies(kept, row["run_id"]))
            kind = bodies[seq]["kind"] if seq is not None else ""
            if (row["answer"] == "obeyed") != (kind in ENTRIES_OF[verb]):
                yield f"'{verb}' is {row['answer'] or 'unanswered'}, and entry {seq} is '{kind}'"
        for run_id in kept.runs:
            for seq, body in enumerate(_bodies(kept, run_id)):
                is_said = body["kind"] in PERSONS_ENTRIES and bool(body.get("by"))
                if is_said and said[run_id, seq] != 1:
                    yield f"entry {seq} of run {run_id}, '{body['kind']}', says {said[run_id, seq]} instructions"
    for row in evidence.end.instructions:
        if row["answer"] is None:
            yield f"nobody has answered {row['content']}"


def _half_erased(evidence: Evidence) -> Iterator[str]:
    """At any time what was erased is gone if and only if its entry is there, and the row of the run says when."""
    for kept in (*evidence.kills, evidence.end):
        for run_id, row in kept.runs.items():
            erased = _erased_seq(kept, run_id)
            left = [seq for seq in kept.payloads[run_id] if seq < erased]
            if left:
                yield f"the payloads of entries {left} of run {run_id} are there, which entry {erased} has erased"
            if (row["erased_at"] is not None) != (erased >= 0):
                yield f"run {run_id} was erased by entry {erased}, at {row['erased_at']}"


def _erased_seq(kept: Kept, run_id: str) -> int:
    """The entry by which the payloads of those before it were erased last; -1 where none were."""
    bodies = enumerate(_bodies(kept, run_id))
    return max((seq for seq, body in bodies if body["kind"] == "payloads_erased"), default=-1)


def _begun_while_paused(kept: Kept) -> Iterator[str]:
    """Nothing begins between a person's word that no further stage does, and that they do again."""
    for run_id in kept.runs:
        begun: set[str] = set()
        is_paused = False
        for body in _bodies(kept, run_id):
            if body["kind"] in ("run_paused", "run_unpaused"):
                is_paused = body["kind"] == "run_paused"
            elif body["kind"] == "attempt_started":
                if is_paused and body["stage"] not in begun:
                    yield f"{body['stage']} of run {run_id} has begun while it was paused"
                begun.add(body["stage"])


ENTRIES_OF = {
    "cancel": ("run_cancelled",),
    "stop": ("run_stopped",),
    "pause": ("run_paused",),
    "unpause": ("run_unpaused",),
    "resume": ("run_released",),
    "retry": ("stage_retried",),
    "skip": ("stage_skipped", "rollback_skipped"),
    "supply": ("input_supplied",),
    "rollback": ("rollback_requested",),
    "rewind": ("rewind_requested",),
    "erase": ("payloads_erased",),
}
"""The kinds of entry that say that a verb was obeyed."""
PERSONS_ENTRIES = frozenset(kind for kinds in ENTRIES_OF.values() for kind in kinds)


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
        payloads, erased = kept.payloads[run_id], _erased_seq(kept, run_id)
        for entry in entries[max(erased, 0) :]:
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


def _tracker_differs(state: RunState, run: Row, stages: Sequence[Row]) -> Iterator[str]:
    told = run_row(state)
    if told._asdict() != {name: run[name] for name in told._fields}:
        yield f"the tracker's row of run {state.run_id} is not what its journal amounts to: {told} {dict(run)}"
    for row in stages:
        folded = stage_row(state.units[row["unit"]])
        found = {name: row[_COLUMNS.get(name, name)] for name in folded._fields}
        if folded._asdict() != found:
            yield f"the tracker's row of {row['unit']} is not what the journal amounts to: {folded} {found}"
    if {row["unit"] for row in stages} != state.units.keys():
        yield f"the tracker of run {state.run_id} has other stages or items than the run"


_COLUMNS = {"pass_number": "pass"}
"""Where a column is called otherwise than in clew's own rows."""


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


def _bodies(kept: Kept, run_id: str, first: int = 0) -> Iterator[Any]:
    """What the entries of a run say, from that one on."""
    for content, _ in kept.journals.get(run_id, ())[first:]:
        yield json.loads(content)["body"]
