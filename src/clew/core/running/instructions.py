"""What a person tells a run: which verbs there are, when each can be obeyed, and the entry that says it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from clew.core.program.model import Json
from clew.core.program.problems import nearest
from clew.core.running import entries as kinds
from clew.core.running import statuses
from clew.core.running.entries import Body, Entry
from clew.core.running.fold_back import CHANGED_SINCE, failed_rollbacks, rollbacks_to_skip
from clew.core.running.rollback import is_going_back, plan_rollback, point_of_no_return, way_back
from clew.core.running.stage_state import StageState
from clew.core.running.state import CANCELLED, EXPIRED, REWIND, ROLLBACK, STOPPED, RunState

Verb = Literal[
    "cancel", "stop", "pause", "unpause", "resume", "retry", "skip", "supply", "rollback", "rewind", "erase"
]  # fmt: skip


class Instruction(Struct, frozen=True, omit_defaults=True):
    """What somebody tells a run, and why. `stage`: which is retried, skipped, or rewound to. `values`: the outputs
    of a stage that is skipped; or, by its name, the input that is supplied."""

    verb: Verb
    by: str
    reason: str = ""
    stage: str = ""
    values: Mapping[str, Json] = {}


def refusal(state: RunState, instruction: Instruction) -> str:
    """Why the run can't obey, in words for a person; empty when it can."""
    return _REFUSALS[instruction.verb](state, instruction)


def body_of(state: RunState, instruction: Instruction) -> Body:
    """The entry that says so, of an instruction that can be obeyed."""
    return _BODIES[instruction.verb](state, instruction)


def payload_of(instruction: Instruction) -> dict[str, Json]:
    """What stands apart from that entry: the reason, and the values."""
    payload: dict[str, Json] = {"reason": instruction.reason} if instruction.reason else {}
    if instruction.verb == "skip" and instruction.values:
        payload["variables"] = dict(instruction.values)
    elif instruction.verb == "supply":
        payload["supplied"] = next(iter(instruction.values.values()))
    return payload


def rollback_if(state: RunState, verb: str, stage: str = "") -> kinds.RollbackPlanned:
    """What `cancel`, `rollback`, or `rewind` to that stage would undo as things are now: nothing, where a point of no
    return bars the way. The state is not changed by it."""
    with _as_if(state, verb, stage):
        planned = plan_rollback(state)
        return replace(planned, blocks=(), residue=()) if way_back(state).barred_by else planned


def barred_if(state: RunState, verb: str, stage: str = "") -> str:
    """The stage that would bar that way, since it has begun and can't be undone; empty when none would."""
    with _as_if(state, verb, stage):
        return way_back(state).barred_by


@contextmanager
def _as_if(state: RunState, verb: str, stage: str) -> Iterator[None]:
    before = state.ending, state.rewind_to
    state.ending, state.rewind_to = _ENDINGS[verb], stage
    try:
        yield
    finally:
        state.ending, state.rewind_to = before


_ENDINGS = {"cancel": CANCELLED, "rollback": ROLLBACK, "rewind": REWIND}


# ---- ending a run ----------------------------------------------------------------------------------------


def _no_cancel(state: RunState, instruction: Instruction) -> str:
    if state.is_settled:
        hint = "; `clew rollback` undoes it" if state.status == statuses.COMPLETED else ""
        return f"it is {state.status} already{hint}"
    stage = point_of_no_return(state)
    if stage is not None and state.held == "point_of_no_return":
        return (
            f"'{stage.name}' has begun and can't be undone: `clew resume` goes on, `clew rollback` undoes what came "
            "after it, `clew stop` undoes nothing"
        )
    if state.undo is not None and state.held in _WAYS_ON:
        return f"it waits for a person on its way back ({state.held}): {_WAYS_ON[state.held].format(state.held_stage)}"
    if state.ending == STOPPED:
        return "it is being stopped already"
    if _goes_back_for_good(state):
        return "it is going back to the start already"
    return ""


_WAYS_ON = {
    statuses.ROLLBACK_FAILED: "retry or skip '{0}'",
    CHANGED_SINCE: "retry or skip '{0}'",
    "code_changed": "resume it once the code of '{0}' is what it was, or skip '{0}'",
    "code_gone": "resume it once the code of '{0}' is there again, or skip '{0}'",
}
"""How a run goes on that is held while it goes back, whatever ends its way forward."""


def _goes_back_for_good(state: RunState) -> bool:
    if state.undo is not None and not state.undo_forward:
        return True
    return state.ending in (CANCELLED, EXPIRED, ROLLBACK) and not state.held


def _no_stop(state: RunState, instruction: Instruction) -> str:
    if state.is_settled:
        return f"it is {state.status} already"
    if state.status == statuses.ROLLING_BACK:
        return "what it did is being undone, which can't be stopped halfway"
    return "it is being stopped already" if state.ending == STOPPED else ""


def _no_rollback(state: RunState, instruction: Instruction) -> str:
    if state.status in (statuses.COMPLETED, statuses.FAILED):
        planned = rollback_if(state, "rollback")
        return _erased_for(state, planned) if planned.blocks else _nothing_to_undo(state)
    if state.held or state.status == statuses.PAUSED:
        return ""
    if state.is_settled:
        return f"it is {state.status}: there is nothing to undo"
    return f"it is {state.status}: `clew cancel` ends and undoes it"


def _nothing_to_undo(state: RunState) -> str:
    stage = point_of_no_return(state)
    if stage is not None:
        return f"nothing that came after '{stage.name}', which can't be undone, is left to undo"
    if any(unit.rollback_is_over for unit in state.units.values()):
        return "all that declares a rollback has been undone already, or was given up"
    return "nothing that it did declares a rollback"


def _no_rewind(state: RunState, instruction: Instruction) -> str:
    unknown = _unknown_stage(state, instruction.stage, state.stages)
    if unknown:
        return unknown
    if state.erased is not None:
        return f"what its stages would go on with is gone: {_erased_by(state.erased)}"
    is_going_back = state.undo is not None or (state.ending and not state.held)
    if is_going_back and not state.is_settled:
        return "it is on its way back already: rewind it when it goes forward again, or has settled"
    block = state.stages[instruction.stage].sealed.block
    if block > state.block:
        return f"it has not come to '{instruction.stage}' yet"
    for stage in state.stages.values():
        if stage.sealed.block < block and stage.status not in (statuses.COMPLETED, statuses.SKIPPED):
            return (
                f"'{stage.name}', which comes before '{instruction.stage}', is {stage.status}: rewind to it"
            )
    barrier = point_of_no_return(state)
    if barrier is not None and barrier.sealed.block >= block:
        return (
            f"'{barrier.name}' has begun and can't be undone: there is no way back to '{instruction.stage}'"
        )
    return ""


# ---- erasing -----------------------------------------------------------------------------------------------


def _no_erase(state: RunState, instruction: Instruction) -> str:
    if not state.is_settled:
        return f"it is {state.status}: what it may need yet can be erased when it has settled"
    if state.erased is not None and state.erased.seq == state.seq:
        return f"that was done already: {_erased_by(state.erased)}"
    return ""


def _erased_for(state: RunState, planned: kinds.RollbackPlanned) -> str:
    """Why not all that is planned can be undone any more, since what that takes was erased; empty where it can."""
    erased = state.erased
    if erased is None:
        return ""
    of_stages = {name for stage in state.program.stages.values() for name in stage.own_names}
    gone: dict[str, list[str]] = {}
    for block in planned.blocks:
        for undo in block.stages:
            unit = state.units[undo.stage]
            needed = [
                name
                for name in unit.sealed.rollback_needs
                if name not in of_stages or _was_given(state, unit, name, erased.seq)
            ]
            if 0 <= unit.kept_seq < erased.seq:
                needed.append("the objects that were kept")
            if needed:
                gone[undo.stage] = needed
    listed = "; ".join(f"that of '{stage}' needs {', '.join(names)}" for stage, names in gone.items())
    return f"its rollbacks need what is gone: {listed} ({_erased_by(erased)})" if gone else ""


def _was_given(state: RunState, unit: StageState, name: str, erased_seq: int) -> bool:
    """Whether a stage had given that name, or this item, before that entry."""
    is_own = unit.parent is not None and any(output.name == name for output in unit.sealed.stage.outputs)
    return 0 <= (unit.written_seq if is_own else state.written.get(name, -1)) < erased_seq


def _erased_by(erased: Entry) -> str:
    assert isinstance(erased.body, kinds.PayloadsErased)
    return f"{erased.body.by} has erased it, by entry {erased.seq}"


# ---- pausing ---------------------------------------------------------------------------------------------


def _no_pause(state: RunState, instruction: Instruction) -> str:
    if state.is_settled or state.held:
        return f"it is {state.status}"
    if state.undo is not None or state.ending:
        return "it is going back, and that can't be paused"
    return "it is paused already" if state.is_paused else ""


def _no_unpause(state: RunState, instruction: Instruction) -> str:
    if state.is_settled or not (state.is_paused or state.is_window_closed):
        return f"it is {state.status}, not paused"
    return "" if state.is_paused else "nobody has paused it: it goes on when its program's window opens"


# ---- going on --------------------------------------------------------------------------------------------


def _not_held(state: RunState) -> str:
    return "" if state.held else f"it is {state.status}: no person is needed"


def _no_resume(state: RunState, instruction: Instruction) -> str:
    return _not_held(state)


def _no_retry(state: RunState, instruction: Instruction) -> str:
    problem = _not_held(state) or _unknown_stage(state, instruction.stage, state.units)
    if problem:
        return problem
    stage = state.units[instruction.stage]
    if state.undo is not None:
        return "" if failed_rollbacks(stage) else f"the rollback of '{stage.name}' has not failed"
    for one in (stage.whole, stage):
        if one.status != statuses.FAILED:
            return f"'{one.name}' is {one.status}, not failed"
    return ""


def _no_skip(state: RunState, instruction: Instruction) -> str:
    problem = _not_held(state) or _unknown_stage(state, instruction.stage, state.units)
    if problem:
        return problem
    stage = state.units[instruction.stage]
    if state.undo is not None:
        if instruction.values:
            return "a rollback has no outputs"
        return "" if rollbacks_to_skip(state, stage) else f"the rollback of '{stage.name}' has not failed"
    if stage.parent is not None:
        return f"an item can't be skipped by itself; skip '{stage.parent.name}'"
    if stage.sealed.block != state.block or stage.status not in _NOT_DONE:
        return f"'{stage.name}' is {stage.status}, and not what the run waits for"
    if any(unit.in_flight for unit in stage.units):
        return f"'{stage.name}' has an attempt under way"
    return _wrong_outputs(state, stage, instruction.values)


_NOT_DONE = frozenset({
    statuses.PENDING, statuses.WAITING, statuses.STARTED, statuses.VALIDATING, statuses.FAILED, statuses.CANCELLED,
})  # fmt: skip


def _wrong_outputs(state: RunState, stage: StageState, values: Mapping[str, Json]) -> str:
    for name in values:
        if name not in stage.sealed.own_names:
            hint = (
                nearest(name, stage.sealed.own_names)
                or f"it writes {', '.join(stage.sealed.own_names) or 'none'}"
            )
            return f"'{stage.name}' has no output '{name}'; {hint}"
    needed = {name: need for name, need in outputs_needed(state, stage).items() if name not in values}
    if not needed:
        return ""
    listed = ", ".join(f"'{name}' (for '{needed[name]}')" for name in sorted(needed))
    return f"other stages need what '{stage.name}' would give: give {listed}"


def outputs_needed(state: RunState, stage: StageState) -> dict[str, str]:
    """The outputs that must be given when the stage is skipped, each with a stage that needs it."""
    defaults = {output.name for output in stage.sealed.stage.outputs if output.has_default}
    return {
        name: other.name
        for other in state.stages.values()
        for name in other.sealed.needed_outputs.get(stage.name, ())
        if name not in defaults
    }


# ---- inputs ----------------------------------------------------------------------------------------------


def _no_supply(state: RunState, instruction: Instruction) -> str:
    name = next(iter(instruction.values))
    inputs = inputs_of(state)
    if name not in inputs:
        hint = nearest(name, inputs) or (f"it has {', '.join(inputs)}" if inputs else "it has none")
        return f"it has no input '{name}'; {hint}"
    if state.is_settled:
        return f"it is {state.status} already"
    if state.undo is not None or is_going_back(state):
        return "it is going back"
    if inputs[name].found:
        return f"'{name}' was supplied already, and '{inputs[name].name}' has begun with it"
    return ""


def inputs_of(state: RunState) -> dict[str, StageState]:
    """The inputs that the run's program has, each with the stage that waits for it."""
    return {
        one.name: stage for stage in state.stages.values() for one in stage.sealed.stage.input_dependencies
    }


def _unknown_stage(state: RunState, name: str, known: Mapping[str, Any]) -> str:
    if name in known:
        return ""
    return f"it has no stage '{name}'; {nearest(name, known) or 'it has ' + ', '.join(state.stages)}"


# ---- entries ---------------------------------------------------------------------------------------------


def _skip_body(state: RunState, instruction: Instruction) -> Body:
    if state.undo is not None:
        return kinds.RollbackSkipped(instruction.stage, instruction.by)
    return kinds.StageSkipped(instruction.stage, by=instruction.by, given=tuple(sorted(instruction.values)))


def _supply_body(state: RunState, instruction: Instruction) -> Body:
    name = next(iter(instruction.values))
    return kinds.InputSupplied(name, inputs_of(state)[name].name, instruction.by)


_REFUSALS: Mapping[str, Callable[[RunState, Instruction], str]] = {
    "cancel": _no_cancel, "stop": _no_stop, "pause": _no_pause, "unpause": _no_unpause, "resume": _no_resume,
    "retry": _no_retry, "skip": _no_skip, "supply": _no_supply, "rollback": _no_rollback, "rewind": _no_rewind,
    "erase": _no_erase,
}  # fmt: skip

_BODIES: Mapping[str, Callable[[RunState, Instruction], Body]] = {
    "cancel": lambda state, instruction: kinds.RunCancelled(instruction.by),
    "stop": lambda state, instruction: kinds.RunStopped(instruction.by),
    "pause": lambda state, instruction: kinds.RunPaused(instruction.by),
    "unpause": lambda state, instruction: kinds.RunUnpaused(instruction.by),
    "resume": lambda state, instruction: kinds.RunReleased(instruction.by),
    "retry": lambda state, instruction: kinds.StageRetried(instruction.stage, instruction.by),
    "skip": _skip_body,
    "supply": _supply_body,
    "rollback": lambda state, instruction: kinds.RollbackRequested(instruction.by),
    "rewind": lambda state, instruction: kinds.RewindRequested(instruction.stage, instruction.by),
    "erase": lambda state, instruction: kinds.PayloadsErased(instruction.by),
}
