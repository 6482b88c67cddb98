"""Why a run stands where it stands: what it waits for, what failed first, how undoing went, what is left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clew.core.running import entries as kinds
from clew.core.running import statuses
from clew.core.running.consequences import inputs_missing, look_again_at, looks_evenly
from clew.core.running.entries import Entry
from clew.core.running.fold_back import CHANGED_SINCE
from clew.core.running.limits import waits_until
from clew.core.running.rollback import point_of_no_return
from clew.core.running.stage_state import StageState
from clew.operations.instructing import verbs_now
from clew.operations.records import History, stage_of
from clew.operations.requests import residue_documents

Document = dict[str, Any]


def explanation(history: History) -> Document:
    """What `clew why --format json` prints. Moments are milliseconds since 1970."""
    state = history.state
    *earlier, current = _passes(history)
    for one in current["rollbacks"]:
        one["status"] = state.units[one["stage"]].status
    return {
        "run_id": state.run_id,
        "program": history.program.program.name,
        "status": state.status,
        "cause": state.cause,
        "paused": _paused(history),
        "under_way": list(_under_way(history)),
        "waiting": list(_waiting(history)),
        **current,
        "first_error": current["first_error"] or _last_failure(history),
        "held": _held(history),
        "can_be_told": verbs_now(state) if state.held or state.is_paused else [],
        "earlier": earlier,
        "residue": residue_documents(state),
    }


# ---- now -------------------------------------------------------------------------------------------------


def _under_way(history: History) -> Iterator[Document]:
    for name, unit in history.state.units.items():
        if unit.in_flight or unit.rollback_in_flight or (unit.status in _BEGUN and not unit.is_for_each):
            yield {
                "stage": name,
                "status": unit.status,
                "attempts": unit.attempts,
                "in_flight": unit.in_flight or unit.rollback_in_flight,
                "retry_at": unit.retry_at if not unit.in_flight and unit.retry_at else None,
            }


_BEGUN = frozenset({statuses.STARTED, statuses.VALIDATING})


def _waiting(history: History) -> Iterator[Document]:
    """Each stage that waits for data, or for somebody to supply an input."""
    state = history.state
    last: dict[str, Entry] = {}
    for entry in history.entries:
        if isinstance(entry.body, kinds.StageWaiting):
            last[entry.body.stage] = entry
    for name, stage in state.stages.items():
        if stage.status != statuses.WAITING:
            continue
        said = history.values.get(last[name].seq, {})
        yield {
            "stage": name,
            "look": stage.looks,
            "look_again_at": stage.look_again_at,
            "every_milliseconds": _looks_every(stage) if "missing" in said else None,
            "since": stage.now_at,
            "until": waits_until(state, stage),
            "message": said.get("missing") or said.get("unsettled") or said.get("error") or "",
            "inputs": [
                {
                    "name": one.name,
                    "schema": one.schema,
                    "until": stage.now_at + one.deadline_milliseconds if one.deadline_milliseconds else None,
                }
                for one in inputs_missing(state, stage)
            ],
        }


def _looks_every(stage: StageState) -> int | None:
    """How many milliseconds are between its looks from now on, if that does not change: looks in vain that say no more
    than the last one are not on record then. None for one that is not looked for."""
    delay, look = stage.sealed.stage.delay, stage.looks
    if not stage.sealed.stage.searched_dependencies or not looks_evenly(delay, look):
        return None
    return look_again_at(delay, look, at=0)


def _held(history: History) -> Document | None:
    if not history.state.held:
        return None
    entry = _last(history, kinds.RunHeld)
    body = entry.body if entry is not None else None
    assert isinstance(body, kinds.RunHeld) and entry is not None
    barrier = point_of_no_return(history.state) if body.reason == "point_of_no_return" else None
    return {
        "reason": body.reason,
        "stage": body.stage,
        "at": entry.at,
        "barred_by": barrier.name if barrier is not None else "",
        "cause": history.state.ending,
    }


def _paused(history: History) -> Document | None:
    entry = _last(history, kinds.RunPaused) if history.state.is_paused else None
    return None if entry is None else _told(history, entry)


def _last_failure(history: History) -> Document | None:
    """The last failure of an attempt that is tried again."""
    for entry in reversed(history.entries):
        body = entry.body
        if isinstance(body, kinds.AttemptEnded | kinds.ValidationEnded) and body.becomes == statuses.STARTED:
            unit = history.state.units.get(body.stage)
            if unit is not None and unit.attempts == body.attempt and unit.status in _BEGUN:
                return _error(history, entry, is_final=False)
    return None


def _last(history: History, kind: type) -> Entry | None:
    return next((entry for entry in reversed(history.entries) if isinstance(entry.body, kind)), None)


# ---- pass by pass ----------------------------------------------------------------------------------------


def _passes(history: History) -> list[Document]:
    """Of each pass what failed first, who ended it, and how each rollback went: kept apart, for good."""
    passes = [_new_pass(1)]
    for entry in history.entries:
        body = entry.body
        now = passes[-1]
        if isinstance(body, kinds.PassBegun):
            passes.append(_new_pass(len(passes) + 1))
        elif _is_failure(body):
            now["first_error"] = now["first_error"] or _error(history, entry, is_final=True)
        elif isinstance(body, _ENDING):
            now["ended_by"] = _told(history, entry)
        elif isinstance(body, kinds.RollbackPlanned):
            _plan(now, body)
        elif isinstance(body, kinds.RollbackStarted | kinds.RollbackEnded | kinds.RollbackSkipped):
            _go_back(now, history, entry)
    for one in passes:
        one["rollbacks"] = list(one["rollbacks"].values())
    return passes


def _new_pass(number: int) -> Document:
    return {"pass": number, "first_error": None, "ended_by": None, "back_to": None, "rollbacks": {}}


def _is_failure(body: kinds.Body) -> bool:
    """Something failed for good."""
    if isinstance(body, kinds.AttemptEnded | kinds.ValidationEnded):
        return body.becomes == statuses.FAILED
    if isinstance(body, kinds.BlockValidated):
        return body.verdict != "held"
    return isinstance(body, kinds.StageFailed)


_ENDING = (
    kinds.RunCancelled | kinds.RunStopped | kinds.RunExpired | kinds.RollbackRequested | kinds.RewindRequested
)


def _plan(now: Document, body: kinds.RollbackPlanned) -> None:
    now["back_to"] = body.to
    for block in body.blocks:
        for one in block.stages:
            now["rollbacks"][one.stage] = {
                "stage": one.stage,
                "block": block.index,
                "told": one.outcome,
                "status": "",
                "attempts": 0,
                "given_up": False,
                "error": None,
            }


def _go_back(now: Document, history: History, entry: Entry) -> None:
    body = entry.body
    if isinstance(body, kinds.RollbackStarted):
        rollback = now["rollbacks"][body.stage]
        rollback["status"], rollback["attempts"] = statuses.ROLLING_BACK, rollback["attempts"] + 1
    elif isinstance(body, kinds.RollbackEnded):
        rollback = now["rollbacks"][body.stage]
        rollback["status"] = body.becomes
        rollback["error"] = history.values.get(entry.seq, {}).get("error") or rollback["error"]
        stage = history.program.stages[stage_of(body.stage)].stage
        goes_on = stage.rollback.on_failure == "continue" and body.error_kind != CHANGED_SINCE
        rollback["given_up"] = body.becomes == statuses.ROLLBACK_FAILED and goes_on
    elif isinstance(body, kinds.RollbackSkipped):
        for name, rollback in now["rollbacks"].items():
            if body.stage in (name, stage_of(name)) and rollback["status"] == statuses.ROLLBACK_FAILED:
                rollback["given_up"] = True


def _told(history: History, entry: Entry) -> Document:
    """What a person said, who, when, and why; `by` is empty where nobody did."""
    body: Any = entry.body
    reason = history.values.get(entry.seq, {}).get("reason", "")
    return {
        "kind": body.__struct_config__.tag,
        "by": getattr(body, "by", ""),
        "at": entry.at,
        "reason": reason,
    }


def _error(history: History, entry: Entry, *, is_final: bool) -> Document:
    body: Any = entry.body
    said = history.values.get(entry.seq, {})
    stage = getattr(body, "stage", "")
    error = said.get("error")
    if error is None and isinstance(body, kinds.ValidationEnded | kinds.BlockValidated):
        error = {"kind": "validation", "message": "what it did is not valid"}
    return {
        "stage": stage,
        "block": history.program.stages[stage_of(stage)].block if stage else body.index,
        "attempt": getattr(body, "attempt", None),
        "entry": entry.seq,
        "at": entry.at,
        "is_final": is_final,
        "error": error,
        "findings": said.get("findings", []),
    }
