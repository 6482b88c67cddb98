"""The way back: how far it goes, what is to be undone, in which order, told which case."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from clew.core.running import statuses
from clew.core.running.actions import Action, BeginPass, Hold, PlanRollback, Settle, StartRollback
from clew.core.running.entries import ResidueItem, RollbackPlanned, RunSettled, UndoBlock, UndoStage
from clew.core.running.fold_back import CHANGED_SINCE, left_by, residue_of
from clew.core.running.stage_state import StageState
from clew.core.running.state import EXPIRED, FAILURE, REWIND, ROLLBACK, STOPPED, RunState

__all__ = [
    "WayBack",
    "is_going_back",
    "next_rollbacks",
    "plan_rollback",
    "point_of_no_return",
    "residue_of",
    "stopped",
    "way_back",
]

_CAUSES = {ROLLBACK: "requested", REWIND: "requested"}
"""What is said beside the status; the others are called as what ends the way forward."""


class WayBack(NamedTuple):
    """Back to and including block `to`; with `forward` on from there, as the stage `declared_by` has it. `barred_by`
    is a point of no return that lies in the way."""

    to: int
    forward: bool = False
    declared_by: str = ""
    barred_by: str = ""


def way_back(state: RunState) -> WayBack:
    """How far the run goes back, its way forward having ended."""
    begun = point_of_no_return(state)
    if state.ending == FAILURE:
        way = _declared(state)
    elif state.ending == REWIND:
        way = WayBack(state.stages[state.rewind_to].sealed.block, forward=True)
    else:
        way = WayBack(1)
    if begun is None or begun.sealed.block < way.to:
        return way
    if state.ending == ROLLBACK:
        return WayBack(begun.sealed.block + 1)
    return way._replace(barred_by=begun.name)


def is_going_back(state: RunState) -> bool:
    """Whether what is under way is to be ended: nothing can be undone beyond a point of no return, and then what
    is under way goes on. A run that is stopped undoes nothing, and is ended wherever it stands."""
    return state.ending == STOPPED or (bool(state.ending) and not way_back(state).barred_by)


def point_of_no_return(state: RunState) -> StageState | None:
    """The last stage that may have acted and can't be undone."""
    for index in range(min(state.block, len(state.program.blocks)), 0, -1):
        for sealed in state.program.blocks[index - 1]:
            stage = state.stages[sealed.stage.name]
            if sealed.stage.rollback.kind == "impossible" and _acted(stage):
                return stage
    return None


def _acted(stage: StageState) -> bool:
    return any(unit.may_have_acted for unit in stage.units)


def _declared(state: RunState) -> WayBack:
    """Where the stages that failed say to go back to: of several the farthest, and the start unless they say."""
    if state.block_failed:
        return WayBack(1)
    farthest: WayBack | None = None
    for stage in state.block_stages():
        if stage.status != statuses.FAILED:
            continue
        rollback = stage.sealed.stage.rollback
        if rollback.to is None or state.returns.get(stage.name, 0) >= rollback.attempts:
            return WayBack(1)
        to = state.stages[rollback.to].sealed.block
        if farthest is None or to < farthest.to:
            farthest = WayBack(to, forward=True, declared_by=stage.name)
    return farthest or WayBack(1)


def plan_rollback(state: RunState) -> RollbackPlanned:
    """The ordered list of what is to be undone, from the block under way back.

    A stage that may have acted is undone, told how it ended. One that declares no rollback is residue, and so is
    all before a point of no return beyond which the run can't go back; one that leaves nothing is neither.
    """
    way = way_back(state)
    blocks: list[UndoBlock] = []
    residue: list[ResidueItem] = []
    for index in range(min(state.block, len(state.program.blocks)), 0, -1):
        standing = [unit for unit in _units(state, index) if _stands(state, unit)]
        if index < way.to:
            if not way.forward:
                residue.extend(map(left_by, standing))
            continue
        items = tuple(UndoStage(unit.name, _told(unit)) for unit in standing if _is_undone(unit))
        if items:
            blocks.append(UndoBlock(index, items))
        residue.extend(left_by(unit) for unit in standing if not _is_undone(unit))
    failed = state.units.get(state.failed_stage)
    error_kind = ""
    if state.ending == FAILURE:
        error_kind = failed.error_kind if failed else "validation"
    return RollbackPlanned(
        cause=_CAUSES.get(state.ending, state.ending),
        blocks=tuple(blocks),
        residue=tuple(residue),
        stage=state.failed_stage,
        index=state.block_failed,
        error_kind=error_kind,
        to=way.to,
        forward=way.forward,
        declared_by=way.declared_by,
    )


def _units(state: RunState, index: int) -> Iterator[StageState]:
    for sealed in state.program.blocks[index - 1]:
        yield from state.stages[sealed.stage.name].units


def _stands(state: RunState, unit: StageState) -> bool:
    """It may have left something that was not undone, nor given up on the way back that is under way."""
    if not unit.may_have_acted or unit.sealed.leaves_nothing:
        return False
    return not unit.rollback_is_over or (state.is_settled and unit.status == statuses.ROLLBACK_FAILED)


def _is_undone(unit: StageState) -> bool:
    return unit.sealed.stage.rollback.kind == "commands"


def next_rollbacks(state: RunState) -> list[Action]:
    """The rollbacks that are due: those of one block side by side, the block before only when all are done."""
    undo = state.undo or ()
    if state.undo_position == len(undo):
        return [_after_the_way_back(state)]
    actions: list[Action] = []
    failed: list[StageState] = []
    in_flight = False
    for item in undo[state.undo_position].stages:
        unit = state.units[item.stage]
        if unit.rollback_is_over:
            continue
        if unit.rollback_in_flight:
            in_flight = True
        elif unit.status == statuses.ROLLBACK_FAILED:
            failed.append(unit)
        else:
            due = StartRollback(item.stage, unit.rollback_attempts + 1, item.outcome, unit.rollback_retry_at)
            actions.append(due)
    if failed and not actions and not in_flight:
        return [_held_by(failed)]
    return actions


def _held_by(failed: Iterable[StageState]) -> Hold:
    """Why a person is needed: a rollback that did not work says more than one that must not overwrite."""
    for unit in failed:
        if unit.rollback_error_kind != CHANGED_SINCE:
            return Hold(statuses.ROLLBACK_FAILED, unit.name)
    return Hold(CHANGED_SINCE, unit.name)


def _after_the_way_back(state: RunState) -> Action:
    """All that was to be undone is undone, or was given up."""
    residue = residue_of(state)
    if not state.undo_forward:
        return Settle(RunSettled(_settled_status(state, residue), residue))
    if state.ending not in (FAILURE, REWIND):  # meanwhile it is not to go forward any more
        barred_by = way_back(state).barred_by
        return Hold("point_of_no_return", barred_by) if barred_by else PlanRollback(plan_rollback(state))
    crossed = next((item for item in residue if _is_crossed(state, item)), None)
    if crossed is not None and not state.is_crossing_accepted:
        return Hold("not_undone", crossed.stage)
    return BeginPass(state.undo_to)


def _is_crossed(state: RunState, item: ResidueItem) -> bool:
    """It would begin again on top of what it has left."""
    unit = state.units.get(item.stage)
    return unit is not None and unit.pass_number == item.pass_number and unit.sealed.block >= state.undo_to


def _settled_status(state: RunState, residue: tuple[ResidueItem, ...]) -> str:
    if residue:
        return statuses.FAILED
    if state.has_started:
        return statuses.ROLLED_BACK
    waited_in_vain = any(stage.error_kind in WAITED_IN_VAIN for stage in state.stages.values())
    return statuses.MISSED if waited_in_vain or state.ending == EXPIRED else statuses.ROLLED_BACK


WAITED_IN_VAIN = ("deadline", "missing")
"""The kinds of error of a stage for which what it waited for did not come in time: an input, or data."""


def stopped(state: RunState) -> list[Action]:
    """A person wants nothing undone: all that may have acted is residue, once the rollbacks are over that were under
    way."""
    listed = (state.units[item.stage] for block in state.undo or () for item in block.stages)
    if any(unit.rollback_in_flight for unit in listed):
        return []
    known = {(item.stage, item.pass_number): item for item in residue_of(state)}
    for index in range(1, min(state.block, len(state.program.blocks)) + 1):
        for unit in _units(state, index):
            if _stands(state, unit):
                known[unit.name, unit.pass_number] = left_by(unit)
    return [Settle(RunSettled(statuses.FAILED, tuple(known.values())))]


def _told(stage: StageState) -> str:
    """How the last of its attempts ended that may have acted: one that never began says nothing of those. One that is
    in flight still, as far as anybody looks ahead, has an end that nobody knows."""
    ends = (outcome for outcome in reversed(stage.outcomes) if outcome != statuses.NOT_BEGUN)
    return statuses.UNKNOWN if stage.in_flight else next(ends)
