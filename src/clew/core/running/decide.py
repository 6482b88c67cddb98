"""What happens next in a run, given what happened so far: RunState -> actions.

Nothing here asks the clock: an action that must wait says `not_before`. Whatever is decided here and not
recorded yet is decided again, alike, after a crash.
"""

from __future__ import annotations

from clew.core.running import statuses
from clew.core.running.actions import (
    Action,
    CancelStage,
    EndAttempt,
    EvaluateWhen,
    PlanRollback,
    SearchDependencies,
    Settle,
    SkipStage,
    StartAttempt,
    ValidateBlock,
    ValidateStage,
)
from clew.core.running.entries import RunSettled
from clew.core.running.rollback import next_rollbacks, plan_rollback
from clew.core.running.sealed_program import SealedStage
from clew.core.running.state import RunState, StageState


def decide(state: RunState) -> list[Action]:
    """The actions that are due now. Those that need no waiting change the state once they are recorded, so
    that deciding again gives what follows; when nothing new is given, the run waits for the world."""
    if state.is_settled or state.held:
        return []
    if state.undo is not None:
        return next_rollbacks(state)
    if state.is_failing:
        return _wind_up(state)
    return _go_forward(state)


def _go_forward(state: RunState) -> list[Action]:
    program = state.program
    if state.block > len(program.blocks):
        return [Settle(RunSettled(statuses.COMPLETED))]
    if not state.open_stages:
        return [ValidateBlock(state.block)]
    actions: list[Action] = []
    for sealed in program.blocks[state.block - 1]:
        stage = state.stages[sealed.stage.name]
        if not stage.in_flight and stage.status not in _DONE:
            actions.append(_next_of_stage(state, sealed, stage))
    return actions


_DONE = frozenset({statuses.COMPLETED, statuses.SKIPPED})


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
    return StartAttempt(model.name, stage.attempts + 1, stage.retry_at)


def _skipped_needs(state: RunState, sealed: SealedStage) -> tuple[str, ...]:
    """The skipped stages without which this one can't run: their outputs are read and have no default."""
    return tuple(
        need
        for need in sealed.needs
        if state.stages[need].status == statuses.SKIPPED
        and any(name not in state.written for name in sealed.needed_outputs.get(need, ()))
    )


def _wind_up(state: RunState) -> list[Action]:
    """Something failed for good: end the block's other stages, then say what is to be undone."""
    actions: list[Action] = []
    for sealed in state.program.blocks[state.block - 1]:
        stage = state.stages[sealed.stage.name]
        if stage.in_flight:
            actions.append(EndAttempt(sealed.stage.name, stage.attempts))
        elif stage.status in _UNFINISHED:
            actions.append(CancelStage(sealed.stage.name))
    return actions or [PlanRollback(plan_rollback(state))]


_UNFINISHED = frozenset({statuses.PENDING, statuses.WAITING, statuses.STARTED, statuses.VALIDATING})
