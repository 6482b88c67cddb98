"""Why a run stands where it stands: what it waits for, what failed first, how undoing went, what is left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clew.core.running.entries import (
    AttemptEnded,
    BlockValidated,
    Entry,
    RollbackEnded,
    RollbackPlanned,
    RunHeld,
    StageWaiting,
    ValidationEnded,
)
from clew.core.running.rollback import residue_of
from clew.core.running.statuses import WAITING
from clew.operations.records import History

Document = dict[str, Any]


def explanation(history: History) -> Document:
    """What `clew why --format json` prints. Moments are milliseconds since 1970."""
    state = history.state
    residue = state.residue if state.is_settled else residue_of(state)
    return {
        "run_id": state.run_id,
        "program": history.program.program.name,
        "status": state.status,
        "cause": state.cause,
        "under_way": list(_under_way(history)),
        "waiting": list(_waiting(history)),
        "first_error": _first_error(history),
        "held": _held(history),
        "rollbacks": list(_rollbacks(history)),
        "residue": [{"stage": item.stage, "certain": item.certain} for item in residue],
    }


def _under_way(history: History) -> Iterator[Document]:
    for name, stage in history.state.stages.items():
        if stage.in_flight or stage.rollback_in_flight or stage.status in ("started", "validating"):
            yield {
                "stage": name,
                "status": stage.status,
                "attempts": stage.attempts,
                "in_flight": stage.in_flight or stage.rollback_in_flight,
                "retry_at": stage.retry_at if not stage.in_flight and stage.retry_at else None,
            }


def _waiting(history: History) -> Iterator[Document]:
    for entry in reversed(history.entries):
        body = entry.body
        if not isinstance(body, StageWaiting):
            continue
        stage = history.state.stages[body.stage]
        if stage.status == WAITING and stage.looks == body.look:
            said = history.values.get(entry.seq, {})
            yield {
                "stage": body.stage,
                "look": body.look,
                "look_again_at": body.look_again_at,
                "since": stage.now_at,
                "message": said.get("missing") or said.get("error") or "",
            }


def _first_error(history: History) -> Document | None:
    """The first thing that failed for good; before that, the last attempt that failed and is retried."""
    state = history.state
    seq = state.error_seq if state.error_seq >= 0 else _last_failure(history)
    if seq < 0:
        return None
    entry = history.entries[seq]
    body: Any = entry.body
    said = history.values.get(seq, {})
    stage = getattr(body, "stage", "")
    error = said.get("error")
    if error is None and isinstance(body, ValidationEnded | BlockValidated):
        error = {"kind": "validation", "message": "what it did is not valid"}
    return {
        "stage": stage,
        "block": history.program.stages[stage].block if stage else body.index,
        "attempt": getattr(body, "attempt", None),
        "entry": seq,
        "at": entry.at,
        "is_final": state.error_seq >= 0,
        "error": error,
        "findings": said.get("findings", []),
    }


def _last_failure(history: History) -> int:
    for entry in reversed(history.entries):
        body = entry.body
        if isinstance(body, AttemptEnded | ValidationEnded) and body.becomes == "started":
            stage = history.state.stages[body.stage]
            if stage.status in ("started", "validating"):
                return entry.seq
    return -1


def _held(history: History) -> Document | None:
    if not history.state.held:
        return None
    entry = _last(history, RunHeld)
    body = entry.body if entry is not None else None
    assert isinstance(body, RunHeld) and entry is not None
    return {"reason": body.reason, "stage": body.stage, "at": entry.at}


def _rollbacks(history: History) -> Iterator[Document]:
    """Each stage that is to be undone, in the order of undoing."""
    planned = _last(history, RollbackPlanned)
    if planned is None or not isinstance(planned.body, RollbackPlanned):
        return
    for block in planned.body.blocks:
        for item in block.stages:
            stage = history.state.stages[item.stage]
            yield {
                "stage": item.stage,
                "block": block.index,
                "told": item.outcome,
                "status": stage.status,
                "attempts": stage.rollback_attempts,
                "error": _rollback_error(history, item.stage),
            }


def _rollback_error(history: History, stage: str) -> Any:
    """What the last try that failed said."""
    for entry in reversed(history.entries):
        body: Any = entry.body
        if isinstance(body, RollbackEnded) and body.stage == stage:
            error = history.values.get(entry.seq, {}).get("error")
            if error is not None:
                return error
    return None


def _last(history: History, kind: type) -> Entry | None:
    return next((entry for entry in reversed(history.entries) if isinstance(entry.body, kind)), None)
