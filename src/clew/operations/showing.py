"""What is on record of a run or of one of its stages, as documents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from clew.core.program.model import Json
from clew.core.program.variables import TemplateError, render
from clew.core.running.entries import (
    AttemptEnded,
    AttemptStarted,
    DependenciesFound,
    Entry,
    ItemsMade,
    RollbackEnded,
    RollbackStarted,
    StageFailed,
    ValidationEnded,
)
from clew.core.running.stage_state import StageState
from clew.operations.records import History, Written, stage_of
from clew.operations.requests import RequestError

Document = dict[str, Any]


def find_stage(history: History, name: str) -> str:
    """The stage of that name, or the item (`stage[3]`), however the letters are cased. Raises RequestError."""
    units = history.state.units
    if name in units:
        return name
    folded = [unit for unit in units if unit.casefold() == name.casefold()]
    if len(folded) == 1:
        return folded[0]
    run = f"run {history.row['run_id']}"
    whole = stage_of(name)
    if whole != name:
        stage = units[find_stage(history, whole)]
        if stage.is_for_each and stage.items is None:
            raise RequestError(f"{run}: '{stage.name}' has no items yet")
        count = len(stage.items or ())
        has = f"has {count} items, from '{stage.name}[0]'" if count else "has no items"
        raise RequestError(f"{run} has no '{name}': '{stage.name}' {has}")
    raise RequestError(f"{run} has no stage '{name}'; it has {', '.join(history.program.stages)}")


def map_documents(written: Iterable[Written]) -> list[Document]:
    """Names of the variables map, with their values and who wrote them."""
    return [{"name": one.name, "value": one.value, "stage": one.stage, "entry": one.seq} for one in written]


def outputs_of(history: History, name: str) -> Document:
    """What the stage, or the item, gave in the pass under way."""
    unit = history.state.units[name]
    key = "variables" if unit.parent is None else "outputs"
    return dict(history.values.get(unit.written_seq, {}).get(key, {}))


def stage_document(history: History, name: str) -> Document:
    """One stage of a run, or one item: the map as it stood there, what it read, its attempts, tests, rollbacks,
    results. The map, the inputs and the results are those of the pass under way; the rest is of all passes."""
    entries = [entry for entry in history.entries if getattr(entry.body, "stage", None) == name]
    unit = history.state.units[name]
    written = history.map_before(_begun(history, unit, entries))
    inputs = {one: seq for one, seq in unit.inputs.items()}
    reads = set(unit.sealed.reads)
    return {
        "name": name,
        "block": unit.sealed.block,
        "pass": unit.pass_number,
        "status": unit.status,
        "needs": list(unit.sealed.needs),
        "value": _value(unit, written),
        "items": [_item(item) for item in unit.items or ()] if unit.is_for_each else None,
        "map": map_documents(written),
        "inputs": map_documents(one for one in written if one.name in inputs or one.name in reads),
        "evidence": _evidence(history, entries),
        "code": dict(unit.whole.code),
        "attempts": [
            _attempt(entry, entries, history) for entry in entries if type(entry.body) is AttemptStarted
        ],
        "outputs": outputs_of(history, name),
        "result": history.values.get(unit.written_seq, {}).get("result"),
        "validations": [
            {
                "attempt": entry.body.attempt,
                "pass": history.pass_of(name, entry.seq),
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


def _evidence(history: History, entries: Iterable[Entry]) -> Document:
    """On what each match of the stage's dependencies rests, or why there was none, as the last look that came to an
    end has it: what was listed, how many matched, and why this one was chosen."""
    ended = [entry.seq for entry in entries if isinstance(entry.body, DependenciesFound | StageFailed)]
    return dict(history.values.get(ended[-1], {}).get("evidence", {})) if ended else {}


def _begun(history: History, unit: StageState, entries: Iterable[Entry]) -> int:
    """The entry by which the stage's pass under way really began; the journal's end where it has not."""
    return next(
        (
            entry.seq
            for entry in entries
            if isinstance(entry.body, AttemptStarted | ItemsMade)
            and history.pass_of(unit.name, entry.seq) == unit.pass_number
        ),
        len(history.entries),
    )


def _value(unit: StageState, written: Iterable[Written]) -> Json:
    """What an item is done for, as far as the map alone can tell."""
    if unit.parent is None:
        return None
    try:
        found: Json = render(unit.sealed.stage.for_each, {one.name: one.value for one in written})
        return found[unit.index]
    except (TemplateError, LookupError, TypeError):
        return None


def _item(item: StageState) -> Document:
    return {
        "name": item.name,
        "status": item.status,
        "attempts": item.attempts,
        "outcome": item.outcome,
        "error_kind": item.error_kind,
        "rollback_attempts": item.rollback_attempts,
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
        "pass": history.pass_of(body.stage, started.seq),
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
        "pass": history.pass_of(body.stage, started.seq),
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
