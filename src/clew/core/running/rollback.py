"""The way back: what is to be undone, in which order, told which case."""

from __future__ import annotations

from clew.core.running import statuses
from clew.core.running.actions import Action, Hold, Settle, StartRollback
from clew.core.running.entries import ResidueItem, RollbackPlanned, RunSettled, UndoBlock, UndoStage
from clew.core.running.state import RunState, StageState


def plan_rollback(state: RunState) -> RollbackPlanned:
    """The ordered list of what is to be undone, from the block under way back to the start.

    A stage that may have acted is undone, told how it ended. One that declares no rollback is residue; one
    that leaves nothing is neither.
    """
    blocks: list[UndoBlock] = []
    residue: list[ResidueItem] = []
    for index in range(min(state.block, len(state.program.blocks)), 0, -1):
        acted = [state.stages[sealed.stage.name] for sealed in state.program.blocks[index - 1]]
        acted = [stage for stage in acted if stage.may_have_acted and not stage.sealed.leaves_nothing]
        items = tuple(
            UndoStage(stage.sealed.name, _told(stage))
            for stage in acted
            if stage.sealed.stage.rollback.kind == "commands"
        )
        if items:
            blocks.append(UndoBlock(index, items))
        residue.extend(
            ResidueItem(stage.sealed.name, _certainly_acted(stage))
            for stage in acted
            if stage.sealed.stage.rollback.kind != "commands"
        )
    failed = state.stages.get(state.failed_stage)
    return RollbackPlanned(
        cause="failure",
        blocks=tuple(blocks),
        residue=tuple(residue),
        stage=state.failed_stage,
        index=state.block_failed,
        error_kind=failed.error_kind if failed else "validation",
    )


def next_rollbacks(state: RunState) -> list[Action]:
    """The rollbacks that are due: those of one block side by side, the block before only when all are done."""
    undo = state.undo or ()
    if state.undo_position == len(undo):
        status = statuses.FAILED if state.residue else statuses.ROLLED_BACK
        return [Settle(RunSettled(status, state.residue))]
    actions: list[Action] = []
    failed: list[str] = []
    in_flight = False
    for item in undo[state.undo_position].stages:
        stage = state.stages[item.stage]
        if stage.rollback_in_flight:
            in_flight = True
        elif stage.status == statuses.ROLLBACK_FAILED:
            failed.append(item.stage)
        elif stage.status != statuses.ROLLED_BACK:
            due = StartRollback(
                item.stage, stage.rollback_attempts + 1, item.outcome, stage.rollback_retry_at
            )
            actions.append(due)
    if failed and not actions and not in_flight:
        return [Hold(statuses.ROLLBACK_FAILED, failed[0])]
    return actions


def residue_of(state: RunState) -> tuple[ResidueItem, ...]:
    """What a run that went wrong has left standing, or may have, as things are now."""
    standing = [
        ResidueItem(item.stage, _certainly_acted(state.stages[item.stage]))
        for block in state.undo or ()
        for item in block.stages
        if state.stages[item.stage].status != statuses.ROLLED_BACK
    ]
    return (*standing, *state.residue)


def _told(stage: StageState) -> str:
    """How the last of its attempts ended that may have acted: one that never began says nothing of those."""
    return next(outcome for outcome in reversed(stage.outcomes) if outcome != statuses.NOT_BEGUN)


def _certainly_acted(stage: StageState) -> bool:
    return statuses.COMPLETED in stage.outcomes
