"""What is on record of a run or of one of its stages, as documents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from clew.core.program.model import Json
from clew.core.running.entries import (
    AttemptEnded,
    AttemptStarted,
    Entry,
    RollbackEnded,
    RollbackStarted,
    ValidationEnded,
)
from clew.operations.records import History, Written
from clew.operations.requests import RequestError

Document = dict[str, Any]


def find_stage(history: History, name: str) -> str:
    """The stage of that name, however its letters are cased. Raises RequestError."""
    stages = list(history.program.stages)
    folded = [stage for stage in stages if stage.casefold() == name.casefold()]
    if name in stages or len(folded) == 1:
        return name if name in stages else folded[0]
    raise RequestError(f"run {history.row['run_id']} has no stage '{name}'; it has {', '.join(stages)}")


def map_documents(written: Iterable[Written]) -> list[Document]:
    """Names of the variables map, with their values and who wrote them."""
    return [{"name": one.name, "value": one.value, "stage": one.stage, "entry": one.seq} for one in written]


def stage_document(history: History, name: str) -> Document:
    """One stage of a run: the map as it stood there, what it read, its attempts, tests, rollbacks, results."""
    entries = [entry for entry in history.entries if getattr(entry.body, "stage", None) == name]
    stage = history.state.stages[name]
    first = next((one.seq for one in entries if isinstance(one.body, AttemptStarted)), len(history.entries))
    written = history.map_before(first)
    inputs = {one: seq for one, seq in stage.inputs.items()}
    reads = set(stage.sealed.reads)
    return {
        "name": name,
        "block": stage.sealed.block,
        "status": stage.status,
        "needs": list(stage.sealed.needs),
        "map": map_documents(written),
        "inputs": map_documents(one for one in written if one.name in inputs or one.name in reads),
        "code": dict(stage.code),
        "attempts": [
            _attempt(entry, entries, history) for entry in entries if type(entry.body) is AttemptStarted
        ],
        "outputs": dict(history.values.get(stage.written_seq, {}).get("variables", {})),
        "result": history.values.get(stage.written_seq, {}).get("result"),
        "validations": [
            {
                "attempt": entry.body.attempt,
                "verdict": entry.body.verdict,
                "tests": entry.body.tests,
                "at": entry.at,
                "findings": history.values.get(entry.seq, {}).get("findings", []),
            }
            for entry in entries
            if isinstance(entry.body, ValidationEnded)
        ],
        "rollbacks": [
            _rollback(entry, entries, history) for entry in entries if type(entry.body) is RollbackStarted
        ],
    }


def _attempt(started: Entry, entries: list[Entry], history: History) -> Document:
    body = started.body
    assert isinstance(body, AttemptStarted)
    ended = next(
        (one for one in entries if isinstance(one.body, AttemptEnded) and one.body.attempt == body.attempt),
        None,
    )
    outcome = ended.body.outcome if ended is not None and isinstance(ended.body, AttemptEnded) else ""
    return {
        "attempt": body.attempt,
        "reexecution": body.reexecution,
        "started_at": started.at,
        "ended_at": ended.at if ended is not None else None,
        "outcome": outcome,
        "error": history.values.get(ended.seq, {}).get("error") if ended is not None else None,
    }


def _rollback(started: Entry, entries: list[Entry], history: History) -> Document:
    body = started.body
    assert isinstance(body, RollbackStarted)
    ended = next(
        (one for one in entries if isinstance(one.body, RollbackEnded) and one.body.attempt == body.attempt),
        None,
    )
    outcome = ended.body.outcome if ended is not None and isinstance(ended.body, RollbackEnded) else ""
    return {
        "attempt": body.attempt,
        "told": body.outcome,
        "started_at": started.at,
        "ended_at": ended.at if ended is not None else None,
        "outcome": outcome,
        "error": history.values.get(ended.seq, {}).get("error") if ended is not None else None,
    }


def entry_documents(history: History) -> list[Document]:
    """The journal, entry by entry, with what stands apart put beside."""
    return [
        {
            "seq": entry.seq,
            "at": entry.at,
            "epoch": entry.epoch,
            **_body(entry),
            "hash": digest,
            "payload": history.values.get(entry.seq),
        }
        for entry, (_, digest) in zip(history.entries, history.journal, strict=True)
    ]


def _body(entry: Entry) -> Document:
    body: Json = msgspec.to_builtins(entry.body)
    return {"kind": body.pop("kind"), "body": body}
