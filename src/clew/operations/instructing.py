"""What a person may tell a run, before it is said: whether the run can obey, and what that would undo."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from clew.core.program.model import InputDependency
from clew.core.running import statuses
from clew.core.running.entries import AttemptEnded, AttemptStarted, RollbackPlanned, RunCancelled, RunStopped
from clew.core.running.fold_back import INTERRUPTED, residue_of
from clew.core.running.instructions import (
    Instruction,
    Verb,
    barred_if,
    inputs_of,
    outputs_needed,
    refusal,
    rollback_if,
)
from clew.core.running.state import RunState
from clew.operations.records import History, Records
from clew.operations.requests import RequestError, against_schema
from clew.operations.showing import find_stage

Document = dict[str, Any]

UNDOING: frozenset[Verb] = frozenset({"cancel", "rollback", "rewind"})
"""What these say can be foreseen."""

APPLIED_AT_ONCE: frozenset[Verb] = frozenset({"pause", "supply", "erase"})
"""After these the run is not stayed with: it rests, or waits, by what was said."""

# ---- whether it can be obeyed ----------------------------------------------------------------------------


def checked_instruction(history: History, instruction: Instruction) -> Instruction:
    """The instruction with its stage called as the program calls it. Raises RequestError when, as things are now,
    the run can't obey."""
    state = history.state
    if instruction.stage:
        instruction = replace(instruction, stage=find_stage(history, instruction.stage))
    why = refusal(state, instruction)
    problems = [why] if why else []
    if instruction.verb == "supply" and not why:
        name, value = next(iter(instruction.values.items()))
        problems = against_schema(name, value, input_named(state, name).schema, what="input")
    if problems:
        raise RequestError("\n".join(f"run {state.run_id}: {problem}" for problem in problems))
    return instruction


def input_named(state: RunState, name: str) -> InputDependency:
    """The input of that name."""
    inputs = inputs_of(state)[name].sealed.stage.input_dependencies
    return next(one for one in inputs if one.name == name)


def verbs_now(state: RunState) -> list[Document]:
    """What a person that the run waits for can tell it: verbs, each with the stage that it is about and the outputs
    that must be given with it."""
    return [
        {"verb": verb, "stage": stage, "outputs": list(outputs)}
        for verb, stage, outputs in _candidates(state)
        if not refusal(state, Instruction(verb, "", stage=stage, values=dict.fromkeys(outputs)))
    ]


def _candidates(state: RunState) -> Iterator[tuple[Verb, str, list[str]]]:
    if state.is_paused and not state.held:
        yield "unpause", "", []
    yield "resume", "", []
    for name, unit in state.units.items():
        is_named = name in (state.held_stage, state.failed_stage)
        if is_named or (unit.status in _FAILED and unit.parent is None):
            yield "retry", name, []
            yield "skip", name, list(outputs_needed(state, unit)) if state.undo is None else []
    # Both undo what the run did; a run that can be cancelled need not be told the other.
    yield ("rollback" if refusal(state, Instruction("cancel", "")) else "cancel"), "", []
    yield "stop", "", []


_FAILED = (statuses.FAILED, statuses.ROLLBACK_FAILED)

# ---- what would be undone --------------------------------------------------------------------------------


def foreseen(history: History, verb: str, stage: str = "") -> Document:
    """What `cancel`, `rollback`, or `rewind` to that stage would do as things are now: what is ended, undone and
    left, what bars the way, what runs again, and what becomes of the run."""
    state = history.state
    barred_by = barred_if(state, verb, stage)
    planned = RollbackPlanned(verb, ()) if barred_by else rollback_if(state, verb, stage)
    left = [] if barred_by else list(_left(state, planned))
    return {
        "run_id": state.run_id,
        "program": history.program.program.name,
        "status": state.status,
        "verb": verb,
        "ends": [
            {"stage": name, "attempt": unit.attempts}
            for name, unit in state.units.items()
            if unit.in_flight and not barred_by
        ],
        "undo": [
            {
                "index": block.index,
                "stages": [{"stage": one.stage, "outcome": one.outcome} for one in block.stages],
            }
            for block in planned.blocks
        ],
        "residue": left,
        "barred_by": barred_by,
        "to": planned.to,
        "again": list(_again(state, planned)),
        "becomes": statuses.HELD if barred_by else _becomes(state, planned, left),
    }


def _left(state: RunState, planned: RollbackPlanned) -> Iterator[Document]:
    """What is, or may be, left standing when all that is planned is undone."""
    undone = {one.stage for block in planned.blocks for one in block.stages}
    known = {(item.stage, item.pass_number): item for item in (*residue_of(state), *planned.residue)}
    for item in known.values():
        unit = state.units.get(item.stage)
        is_of_this_pass = unit is not None and unit.pass_number == item.pass_number
        if is_of_this_pass and item.stage in undone:
            continue
        yield {
            "stage": item.stage,
            "certain": item.certain,
            "pass": item.pass_number,
            "why": _why_left(state, planned, item.stage) if is_of_this_pass else "earlier",
        }


def _why_left(state: RunState, planned: RollbackPlanned, name: str) -> str:
    """`undeclared`, `impossible`, `beyond` (a point of no return came after it) or `given_up`."""
    unit = state.units[name]
    kind = unit.sealed.stage.rollback.kind
    if kind in ("undeclared", "impossible"):
        return kind
    return "beyond" if unit.sealed.block < planned.to and not planned.forward else "given_up"


def _again(state: RunState, planned: RollbackPlanned) -> Iterator[str]:
    if planned.forward:
        for block in state.program.blocks[planned.to - 1 :]:
            for sealed in block:
                if sealed.block <= state.block:
                    yield sealed.stage.name


def _becomes(state: RunState, planned: RollbackPlanned, left: list[Document]) -> str:
    """The run's status when all that is planned has been undone."""
    if not planned.forward:
        return statuses.FAILED if left else statuses.ROLLED_BACK
    of_this_pass = (state.units[item["stage"]] for item in left if item["why"] != "earlier")
    if any(unit.sealed.block >= planned.to for unit in of_this_pass):
        return statuses.HELD
    return statuses.PAUSED if state.is_paused else statuses.RUNNING


# ---- what has been said ----------------------------------------------------------------------------------


def unanswered(records: Records, run_id: str) -> list[Document]:
    """What was said to the run and nobody has taken up yet, in order."""
    return [
        msgspec.json.decode(content) for _, told, content in records.store.instructions() if told == run_id
    ]


# ---- what was ended --------------------------------------------------------------------------------------


def ends_of(history: History) -> list[Document] | None:
    """How each attempt ended that was under way when the run was last cancelled or stopped, or that had not been
    seen to end before. `is_seen` says that it was: nothing of it can act any more. None where the run is held,
    since nothing is ended that can't be undone: what is under way goes on."""
    if history.state.held == "point_of_no_return":
        return None
    under_way: dict[str, int] = {}
    unseen: dict[tuple[str, int], Document] = {}
    ends: dict[tuple[str, int], Document] = {}
    for entry in history.entries:
        body = entry.body
        if isinstance(body, AttemptStarted):
            under_way[body.stage] = body.attempt
        elif isinstance(body, AttemptEnded):
            under_way.pop(body.stage, None)
            one = (body.stage, body.attempt)
            end = {
                "stage": body.stage,
                "attempt": body.attempt,
                "outcome": body.outcome,
                "is_seen": body.outcome != statuses.UNKNOWN or body.error_kind == INTERRUPTED,
                "error": history.values.get(entry.seq, {}).get("error"),
            }
            if one in ends:
                ends[one] = end
            elif not end["is_seen"]:
                unseen[one] = end
        elif isinstance(body, RunCancelled | RunStopped):
            ends = unseen | {one: _open_end(*one) for one in under_way.items()}
    return list(ends.values())


def _open_end(stage: str, attempt: int) -> Document:
    return {"stage": stage, "attempt": attempt, "outcome": "", "is_seen": False, "error": None}
