"""The part of the fold that leaves the way forward: what is ended, undone, held, and what a person said."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from clew.core.running import entries as kinds
from clew.core.running import statuses
from clew.core.running.entries import Entry, ResidueItem
from clew.core.running.stage_state import StageState

if TYPE_CHECKING:
    from clew.core.running.state import RunState

INTERRUPTED = "interrupted"
"""The error kind of an attempt whose orchestrator was lost: not the stage's failure, so it is tried again."""

INTERRUPTIONS_MAX = 5
"""How often a stage's attempts may be cut off by the loss of their orchestrator before that counts as the
stage's own failure: a stage that kills its orchestrator must not do so for ever. Journals that are folded again
depend on this number."""

CHANGED_SINCE = "changed_since"
"""The error kind of a rollback that found in a place what neither it nor its stage had put there."""

_FINISHED = frozenset({statuses.COMPLETED, statuses.FAILED, statuses.CANCELLED, statuses.SKIPPED})

# ---- ending what is under way ----------------------------------------------------------------------------


def _stage_cancelled(state: RunState, entry: Entry, body: kinds.StageCancelled) -> None:
    stage = state.units[body.stage]
    cancel_items(state, stage, entry.at)
    if stage.status != statuses.FAILED:
        stage.ended_at = entry.at
        state.move(stage, statuses.CANCELLED, entry.at)


def cancel_items(state: RunState, stage: StageState, at: int) -> None:
    """No item of the stage begins any more, nor begins again."""
    for item in stage.items or ():
        if item.status not in _FINISHED:
            stage.close_item(item)
            item.ended_at = at
            state.move(item, statuses.CANCELLED, at)


def _run_cancelled(state: RunState, entry: Entry, body: Any) -> None:
    _end(state, "cancelled", entry.at)


def _run_stopped(state: RunState, entry: Entry, body: kinds.RunStopped) -> None:
    _end(state, "stopped", entry.at)
    state.cause = "cancelled"


def _run_expired(state: RunState, entry: Entry, body: kinds.RunExpired) -> None:
    _end(state, "expired", entry.at)


def _rollback_requested(state: RunState, entry: Entry, body: kinds.RollbackRequested) -> None:
    _end(state, "rollback", entry.at)
    _try_failed_rollbacks_again(state, entry.at)


def _rewind_requested(state: RunState, entry: Entry, body: kinds.RewindRequested) -> None:
    _end(state, "rewind", entry.at)
    state.rewind_to = body.stage


def _end(state: RunState, ending: str, at: int) -> None:
    """The way forward ends, by a person's word or because its time is up; also that of a run that had settled, which
    goes back from then on, and what was given up is tried again."""
    state.ending = ending
    state.held = state.held_stage = ""
    if ending in _NO_REWIND:
        state.rewind_to = ""
    if state.is_settled:
        state.undo = None
        state.ended_at = 0
        state.cause = ""
        state.status = statuses.ROLLING_BACK
        for unit in state.units.values():
            unit.rollback_is_over = unit.status == statuses.ROLLED_BACK
        _try_failed_rollbacks_again(state, at)
    elif state.undo is not None:
        state.status = statuses.ROLLING_BACK
    elif state.status != statuses.ROLLING_BACK:
        state.status = state.forward_status


_NO_REWIND = frozenset({"stopped", "rollback"})
"""After these the run does not go forward again. What else can end a rewind may turn out to be barred."""

# ---- the way back ----------------------------------------------------------------------------------------


def _rollback_planned(state: RunState, entry: Entry, body: kinds.RollbackPlanned) -> None:
    known = {(item.stage, item.pass_number): item for item in (*residue_of(state), *body.residue)}
    state.residue = tuple(known.values())
    state.undo, state.undo_position, state.undo_next = body.blocks, 0, 0
    state.undo_to, state.undo_forward = body.to, body.forward
    state.cause = body.cause
    state.is_crossing_accepted = False
    state.status = statuses.ROLLING_BACK
    if body.declared_by:
        count = state.returns.get(body.declared_by, 0) + 1
        state.returns = {**state.returns, body.declared_by: count}
    for stage in state.stages.values():
        stage.items_to_undo = 0
    for block in body.blocks:
        for item in block.stages:
            unit = state.units[item.stage]
            unit.outcome = item.outcome
            unit.whole.items_to_undo += 1
            state.touched[item.stage] = None


def _rollback_started(state: RunState, entry: Entry, body: kinds.RollbackStarted) -> None:
    stage = state.units[body.stage]
    stage.rollback_attempts, stage.rollback_in_flight = body.attempt, True
    state.move(stage, statuses.ROLLING_BACK, entry.at)
    _follow_items(state, stage, entry.at)


def _rollback_ended(state: RunState, entry: Entry, body: kinds.RollbackEnded) -> None:
    stage = state.units[body.stage]
    stage.rollback_in_flight = False
    stage.rollback_retry_at = body.retry_at
    stage.rollback_outcome = body.outcome
    stage.rollback_not_begun = stage.rollback_not_begun + 1 if body.outcome == statuses.NOT_BEGUN else 0
    if body.outcome not in (statuses.COMPLETED, statuses.NOT_BEGUN):
        if body.error_kind == INTERRUPTED and stage.rollback_interruptions < INTERRUPTIONS_MAX:
            stage.rollback_interruptions += 1
        else:
            stage.rollback_tried += 1
    if body.becomes != statuses.ROLLING_BACK:
        stage.ended_at = entry.at
        stage.rollback_error_kind = body.error_kind
        goes_on = stage.sealed.stage.rollback.on_failure == "continue" and body.error_kind != CHANGED_SINCE
        stage.rollback_is_over = body.becomes == statuses.ROLLED_BACK or goes_on
    state.move(stage, body.becomes, entry.at)
    _follow_items(state, stage, entry.at)
    _close_undone_blocks(state)


def _rollback_skipped(state: RunState, entry: Entry, body: kinds.RollbackSkipped) -> None:
    for stage in rollbacks_to_skip(state, state.units[body.stage]):
        stage.rollback_is_over = True
        state.move(stage, statuses.ROLLBACK_FAILED, entry.at)
        _follow_items(state, stage, entry.at)
    _close_undone_blocks(state)
    state.go_on(entry.at)


def _follow_items(state: RunState, item: StageState, at: int) -> None:
    """A stage with items is rolled back when all its items are that have to be."""
    stage = item.parent
    if stage is None:
        return
    if stage.items_not_undone:
        status = statuses.ROLLBACK_FAILED
    else:
        status = statuses.ROLLING_BACK if stage.items_to_undo else statuses.ROLLED_BACK
    if stage.status == status:
        return
    if stage.status != statuses.ROLLING_BACK:
        state.move(stage, statuses.ROLLING_BACK, at)
    if status != statuses.ROLLING_BACK:
        stage.ended_at = at
        state.move(stage, status, at)


def _close_undone_blocks(state: RunState) -> None:
    """Go on to the block before when all of this one is over. `undo_next` leaves what is known to be."""
    undo = state.undo or ()
    while state.undo_position < len(undo):
        items = undo[state.undo_position].stages
        while state.undo_next < len(items) and state.units[items[state.undo_next].stage].rollback_is_over:
            state.undo_next += 1
        if state.undo_next < len(items):
            return
        state.undo_position += 1
        state.undo_next = 0


def residue_of(state: RunState) -> tuple[ResidueItem, ...]:
    """What a run that went wrong has left standing, or may have, as things are now."""
    listed = [state.units[item.stage] for block in state.undo or () for item in block.stages]
    known = {(item.stage, item.pass_number): item for item in (*map(left_by, listed), *state.residue)}
    return tuple(item for item in known.values() if not _is_undone(state, item))


def left_by(stage: StageState) -> ResidueItem:
    """What the stage leaves if nobody undoes it: certainly when an attempt has completed; of any other nobody knows
    how far it came."""
    return ResidueItem(stage.name, statuses.COMPLETED in stage.outcomes, stage.pass_number)


def _is_undone(state: RunState, item: ResidueItem) -> bool:
    stage = state.units.get(item.stage)
    return (
        stage is not None and stage.pass_number == item.pass_number and stage.status == statuses.ROLLED_BACK
    )


def _pass_begun(state: RunState, entry: Entry, body: kinds.PassBegun) -> None:
    """From here on the stages of that block and those after it are as if they had never begun. What those before it
    did is the run's own again, and no residue."""
    state.residue = tuple(item for item in residue_of(state) if not _is_kept(state, item, body.index))
    state.pass_number += 1
    state.undo, state.undo_position, state.undo_next, state.undo_to, state.undo_forward = None, 0, 0, 1, False
    state.ending = state.rewind_to = state.failed_stage = state.cause = ""
    state.block_failed, state.error_seq = 0, -1
    state.is_crossing_accepted = False
    again = [stage for stage in state.stages.values() if stage.sealed.block >= body.index]
    state.unwrite(again)
    for stage in again:
        _begin_again(state, stage)
    state.block, state.block_validated, state.block_done_at = body.index, False, 0
    state.open_stages = len(state.program.blocks[body.index - 1])
    state.active_stages = state.waiting_stages = 0
    state.skipped_stages = sum(stage.status == statuses.SKIPPED for stage in state.stages.values())
    state.status = state.forward_status


def _is_kept(state: RunState, item: ResidueItem, index: int) -> bool:
    """It was done on the way that leads to that block."""
    stage = state.units.get(item.stage)
    return stage is not None and stage.pass_number == item.pass_number and stage.sealed.block < index


def _begin_again(state: RunState, stage: StageState) -> None:
    rollback_attempts = max(each.rollback_attempts for each in (stage, *(stage.items or ())))
    if stage.items is not None:
        for item in stage.items:
            del state.units[item.name]
            state.touched.pop(item.name, None)
        state.dropped |= {stage.sealed.position}
    fresh = StageState(stage.sealed)
    fresh.pass_number = state.pass_number
    fresh.attempts = fresh.attempts_before = stage.attempts
    fresh.rollback_attempts = rollback_attempts
    state.stages[fresh.name] = state.units[fresh.name] = fresh
    state.touched[fresh.name] = None


# ---- holding, and what a person says ---------------------------------------------------------------------


def _run_held(state: RunState, entry: Entry, body: kinds.RunHeld) -> None:
    state.held, state.held_stage = body.reason, body.stage
    state.status = statuses.ROLLBACK_FAILED if body.reason == statuses.ROLLBACK_FAILED else statuses.HELD


def _run_released(state: RunState, entry: Entry, body: kinds.RunReleased) -> None:
    """The run goes on from where it was held: what failed is tried again."""
    if state.held == "not_undone":
        state.is_crossing_accepted = True
    elif state.held == "point_of_no_return":
        _try_again(state, state.block_stages(), entry.at)
        if state.block_failed:
            state.block_failed, state.block_done_at = 0, entry.at
    _try_failed_rollbacks_again(state, entry.at)
    state.go_on(entry.at)


def _stage_retried(state: RunState, entry: Entry, body: kinds.StageRetried) -> None:
    stage = state.units[body.stage]
    if state.undo is not None:
        _roll_back_again(state, failed_rollbacks(stage), entry.at)
    else:
        _try_again(state, (stage,), entry.at)
        are_left = any(item.status == statuses.FAILED for item in stage.whole.units)
        if stage.whole.status == statuses.FAILED and not are_left:
            state.move(stage.whole, statuses.STARTED, entry.at)
    state.go_on(entry.at)


def _try_again(state: RunState, stages: Iterable[StageState], at: int) -> None:
    """What failed for good among these begins again, with fresh retries."""
    for stage in stages:
        if stage.status == statuses.FAILED:
            _try_again(state, stage.items or (), at)
            _begin_where_it_was(state, stage, at)


def begin_cancelled_again(state: RunState, at: int) -> None:
    """What was ended while the run was going back, and it does not go back any more."""
    for stage in state.block_stages():
        if stage.status == statuses.SKIPPED:
            continue
        for unit in (*(stage.items or ()), stage):
            if unit.status == statuses.CANCELLED:
                _begin_where_it_was(state, unit, at)


def _begin_where_it_was(state: RunState, unit: StageState, at: int) -> None:
    unit.tried = unit.interruptions = unit.executed_at = unit.ended_at = 0
    unit.retry_at = unit.look_again_at = at
    has_begun = unit.items is not None or unit.attempts > unit.attempts_before
    if unit.parent is not None:
        unit.parent.reopen_item(unit, has_begun=has_begun)
    elif not has_begun:
        unit.when, unit.found, unit.now_at = None, False, 0
    state.move(unit, statuses.STARTED if has_begun else statuses.PENDING, at)


def _try_failed_rollbacks_again(state: RunState, at: int) -> None:
    for stage in state.stages.values():
        _roll_back_again(state, failed_rollbacks(stage), at)


def failed_rollbacks(stage: StageState) -> list[StageState]:
    """The stage, or those of its items, whose rollback failed for good and was not given up."""
    return [
        unit for unit in stage.units if unit.status == statuses.ROLLBACK_FAILED and not unit.rollback_is_over
    ]


def rollbacks_to_skip(state: RunState, stage: StageState) -> list[StageState]:
    """Of the stage, or of its items, the rollbacks without which a held run can go on: those that failed for good; or
    all that have not begun, when it is held since their code is gone, or not what it was."""
    if state.held in _CODE:
        lacks_code = state.units[state.held_stage]
        if stage in (lacks_code, lacks_code.whole):
            return [unit for unit in stage.units if _waits_to_be_undone(unit)]
    return failed_rollbacks(stage)


_CODE = frozenset({"code_changed", "code_gone"})


def _waits_to_be_undone(unit: StageState) -> bool:
    return unit.may_have_acted and not unit.rollback_is_over and not unit.rollback_in_flight


def _roll_back_again(state: RunState, stages: Iterable[StageState], at: int) -> None:
    for stage in stages:
        stage.rollback_tried = stage.rollback_interruptions = 0
        stage.rollback_retry_at = at
        state.move(stage, statuses.ROLLING_BACK, at)
        _follow_items(state, stage, at)


def _run_paused(state: RunState, entry: Entry, body: kinds.RunPaused) -> None:
    state.is_paused = True
    state.status = state.forward_status


def _run_unpaused(state: RunState, entry: Entry, body: kinds.RunUnpaused) -> None:
    state.is_paused = False
    if state.status == statuses.PAUSED:
        state.status = state.forward_status


def _report_refused(state: RunState, entry: Entry, body: kinds.ReportRefused) -> None:
    state.refused |= {(body.stage, body.attempt, body.rollback)}


APPLY_BACK: dict[type, Callable[[RunState, Entry, Any], None]] = {
    kinds.StageCancelled: _stage_cancelled,
    kinds.RunCancelled: _run_cancelled,
    kinds.RunStopped: _run_stopped,
    kinds.RunExpired: _run_expired,
    kinds.RollbackRequested: _rollback_requested,
    kinds.RewindRequested: _rewind_requested,
    kinds.RollbackPlanned: _rollback_planned,
    kinds.RollbackStarted: _rollback_started,
    kinds.RollbackEnded: _rollback_ended,
    kinds.RollbackSkipped: _rollback_skipped,
    kinds.PassBegun: _pass_begun,
    kinds.RunHeld: _run_held,
    kinds.RunReleased: _run_released,
    kinds.StageRetried: _stage_retried,
    kinds.RunPaused: _run_paused,
    kinds.RunUnpaused: _run_unpaused,
    kinds.ReportRefused: _report_refused,
}
