"""What happens next in a run, given what happened so far: RunState -> actions.

Nothing here asks the clock: an action that must wait says `not_before`. Whatever is decided here and not
recorded yet is decided again, alike, after a crash.
"""

from __future__ import annotations

from itertools import islice

from clew.core.running import statuses
from clew.core.running.actions import (
    Action,
    CancelStage,
    EndAttempt,
    EvaluateWhen,
    GatherItems,
    Hold,
    KeepObjects,
    MakeItems,
    PlanRollback,
    SearchDependencies,
    Settle,
    SkipStage,
    StartAttempt,
    ValidateBlock,
    ValidateStage,
)
from clew.core.running.entries import RunSettled
from clew.core.running.rollback import next_rollbacks, plan_rollback, stopped, way_back
from clew.core.running.sealed_program import SealedStage
from clew.core.running.stage_state import StageState
from clew.core.running.state import FAILURE, STOPPED, RunState


def decide(state: RunState) -> list[Action]:
    """The actions that are due now. Those that need no waiting change the state once they are recorded, so
    that deciding again gives what follows; when nothing new is given, the run waits for the world."""
    if state.held or state.is_settled:
        return []
    if state.ending == STOPPED:
        return _end_block(state) or stopped(state)
    if state.undo is not None:
        return next_rollbacks(state)
    if state.ending:
        return _turn_back(state)
    if not state.has_place:
        return _without_place(state)
    return _go_forward(state)


def wants_place(state: RunState) -> bool:
    """Whether the run, which has been launched, would go on if it had a place."""
    if state.has_place or not state.launched_at or state.held or state.is_settled:
        return False
    if state.undo is not None or state.ending:
        return False
    return any(type(action) is not SearchDependencies for action in _go_forward(state))


def _without_place(state: RunState) -> list[Action]:
    """A run that waits for data goes on looking for it; one that was never launched does nothing."""
    if not state.launched_at:
        return []
    return [action for action in _go_forward(state) if type(action) is SearchDependencies]


def stands_still(state: RunState) -> bool:
    """Whether the run is paused, and nothing of it goes on until somebody says that it does."""
    if state.status != statuses.PAUSED or decide(state):
        return False
    return not any(unit.in_flight for unit in state.units.values())


def _go_forward(state: RunState) -> list[Action]:
    program = state.program
    if state.block > len(program.blocks):
        return [Settle(RunSettled(statuses.COMPLETED, state.residue))]
    if not state.open_stages:
        return [ValidateBlock(state.block)]
    actions: list[Action] = []
    halted = state.is_paused or state.is_window_closed
    for sealed in program.blocks[state.block - 1]:
        stage = state.stages[sealed.stage.name]
        if stage.in_flight or stage.status in _DONE:
            continue
        if stage.items is not None:
            actions.extend(_next_of_items(state, stage))
        elif not halted or stage.status not in _NOT_BEGUN:
            actions.append(_next_of_stage(state, sealed, stage))
    return actions


_DONE = frozenset({statuses.COMPLETED, statuses.SKIPPED})
_NOT_BEGUN = frozenset({statuses.PENDING, statuses.WAITING})


def _next_of_stage(state: RunState, sealed: SealedStage, stage: StageState) -> Action:
    """The next action of a stage of the block that is under way, with nothing in flight."""
    model = sealed.stage
    if stage.status == statuses.VALIDATING:
        return ValidateStage(model.name, stage.attempts)
    if stage.status == statuses.PENDING:
        skipped = _skipped_needs(state, sealed) if state.skipped_stages else ()
        if skipped or stage.when is False:
            return SkipStage(model.name, skipped)
        if model.when is not None and stage.when is None:
            return EvaluateWhen(model.name)
    if model.dependencies and not stage.found:
        return SearchDependencies(model.name, stage.look_again_at)
    if model.for_each is not None:
        return MakeItems(model.name)
    if model.rollback.restore and stage.kept_seq < 0:
        return KeepObjects(model.name)
    return StartAttempt(model.name, stage.attempts + 1, stage.retry_at)


def _next_of_items(state: RunState, stage: StageState) -> list[Action]:
    """The next actions of the items that have begun, and of as many others as there is room for."""
    assert stage.items is not None
    if not stage.items_left:
        return [GatherItems(stage.name)]
    actions = [_next_of_item(item) for item in stage.open_items if not item.in_flight]
    if not (state.is_paused or state.is_window_closed):
        room = (stage.sealed.stage.max_parallel or len(stage.items)) - stage.open_count
        actions.extend(_next_of_item(item) for item in islice(stage.items_not_begun(), max(room, 0)))
    return actions


def _next_of_item(item: StageState) -> Action:
    if item.status == statuses.VALIDATING:
        return ValidateStage(item.name, item.attempts)
    if item.sealed.stage.rollback.restore and item.kept_seq < 0:
        return KeepObjects(item.name)
    return StartAttempt(item.name, item.attempts + 1, item.retry_at)


def _skipped_needs(state: RunState, sealed: SealedStage) -> tuple[str, ...]:
    """The skipped stages without which this one can't run: their outputs are read and have no default."""
    return tuple(
        need
        for need in sealed.needs
        if state.stages[need].status == statuses.SKIPPED
        and any(name not in state.written for name in sealed.needed_outputs.get(need, ()))
    )


def _turn_back(state: RunState) -> list[Action]:
    """The way forward has ended: end what is under way, then say what is to be undone. Where that can't be, beyond
    a point of no return, a person is needed."""
    way = way_back(state)
    if way.barred_by:
        stage = state.failed_stage if state.ending == FAILURE else way.barred_by
        return [Hold("point_of_no_return", stage or way.barred_by)]
    return _end_block(state) or [PlanRollback(plan_rollback(state))]


def _end_block(state: RunState) -> list[Action]:
    """End what the block has under way; nothing when nothing is."""
    actions: list[Action] = []
    if state.undo is not None:
        return actions
    for stage in state.block_stages():
        in_flight = [unit for unit in stage.units if unit.in_flight]
        actions.extend(EndAttempt(unit.name, unit.attempts) for unit in in_flight)
        if not in_flight and _is_unfinished(stage):
            actions.append(CancelStage(stage.name))
    return actions


def _is_unfinished(stage: StageState) -> bool:
    if stage.status in _UNFINISHED:
        return True
    return stage.items is not None and any(item.status in _UNFINISHED for item in stage.items)


_UNFINISHED = frozenset({statuses.PENDING, statuses.WAITING, statuses.STARTED, statuses.VALIDATING})
