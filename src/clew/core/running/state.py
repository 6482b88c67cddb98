"""What a journal amounts to: fold its entries, one after another, into a RunState.

The fold believes the journal and works out nothing that an entry already says. It is kept in place while a run
is driven, and built by the same code when a run is taken up again: there is no second path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from clew.core.running import entries as kinds
from clew.core.running import statuses
from clew.core.running.entries import Entry, ResidueItem, UndoBlock
from clew.core.running.sealed_program import SealedProgram, SealedStage

INTERRUPTED = "interrupted"
"""The error kind of an attempt whose orchestrator was lost: not the stage's failure, so it is tried again."""

INTERRUPTIONS_MAX = 5
"""How often a stage's attempts may be cut off by the loss of their orchestrator before that counts as the
stage's own failure: a stage that kills its orchestrator must not do so for ever. Journals that are folded again
depend on this number."""


class StageState:
    """What is known of one stage of a run. Moments are milliseconds since 1970, 0 for none yet.

    The defaults stand in the class: most stages of most runs change few of them.
    """

    status = statuses.PENDING
    when: bool | None = None
    found = False
    looks = 0
    look_again_at = 0
    attempts = 0
    """Attempts begun, re-executions included: the number of the last one."""
    tried = 0
    """Attempts that count against `retry`."""
    interruptions = 0
    in_flight = False
    retry_at = 0
    executed_at = 0
    """When the last attempt under `retry` had executed: the clocks of the conditions start here."""
    may_have_acted = False
    outcome = ""
    outcomes: tuple[str, ...] = ()
    error_kind = ""
    inputs: Mapping[str, int] = MappingProxyType({})
    code: Mapping[str, str] = MappingProxyType({})
    now_at = 0
    """The stage's `now`: when it first looked for its data or began, the same for all its attempts."""
    started_at = 0
    ended_at = 0
    written_seq = -1
    """The entry whose payload holds the outputs that count; -1 while there is none."""
    rollback_attempts = 0
    rollback_tried = 0
    rollback_interruptions = 0
    rollback_in_flight = False
    rollback_retry_at = 0

    def __init__(self, sealed: SealedStage) -> None:
        self.sealed = sealed
        self.name = sealed.stage.name


class RunState:
    """All that a run's journal amounts to. `touched`: stages whose tracker rows are to be written."""

    __slots__ = (
        "active_stages", "block", "block_done_at", "block_failed", "block_validated", "cause", "created_at",
        "ended_at", "epoch", "error_seq", "failed_stage", "generation", "held", "open_stages", "program",
        "requested_by", "residue", "run_id", "run_name", "run_time", "seq", "skipped_stages", "stages", "status",
        "touched", "undo", "undo_position", "waiting_stages", "written",
    )  # fmt: skip

    def __init__(self, program: SealedProgram) -> None:
        self.program = program
        self.stages = {name: StageState(sealed) for name, sealed in program.stages.items()}
        self.run_id = self.run_name = self.requested_by = ""
        self.run_time = self.created_at = self.ended_at = self.generation = 0
        self.status = statuses.QUEUED
        self.cause = ""
        self.epoch = 0
        self.seq = -1
        """The last entry's."""
        self.block = 1
        """The block that is under way going forward; one more than there are when all are done."""
        self.open_stages = len(program.blocks[0])
        self.active_stages = 0
        self.waiting_stages = 0
        self.skipped_stages = 0
        self.block_validated = False
        self.block_done_at = 0
        """When the last stage of a block was done: the clocks of the block's own conditions start here."""
        self.block_failed = 0
        self.failed_stage = ""
        self.error_seq = -1
        """The entry whose payload holds the first error."""
        self.held = ""
        """Why a person is needed; empty while none is."""
        self.undo: tuple[UndoBlock, ...] | None = None
        self.undo_position = 0
        self.residue: tuple[ResidueItem, ...] = ()
        self.written: dict[str, int] = {}
        """For each name of the variables map that a stage wrote, the `seq` of the entry that did."""
        self.touched: set[str] = set()

    @property
    def is_failing(self) -> bool:
        """Something failed for good; the run goes back as soon as nothing is in flight."""
        return bool(self.failed_stage or self.block_failed)

    @property
    def is_settled(self) -> bool:
        return self.status in statuses.SETTLED

    def apply(self, entry: Entry) -> None:
        """Take in the journal's next entry."""
        self.seq = entry.seq
        self.epoch = entry.epoch
        _APPLY[type(entry.body)](self, entry, entry.body)

    def move(self, stage: StageState, status: str, at: int) -> None:
        """Give a stage its new status, and keep the counts of the block that is under way."""
        before = stage.status
        stage.status = status
        self.touched.add(stage.name)
        if before in _ACTIVE:
            self.active_stages -= 1
        elif before == statuses.WAITING:
            self.waiting_stages -= 1
        if status in _ACTIVE:
            self.active_stages += 1
        elif status == statuses.WAITING:
            self.waiting_stages += 1
        elif status in _DONE:
            self.open_stages -= 1
            if not self.open_stages:
                self.block_done_at = at
                self.close_blocks()
        if self.undo is None and not self.held:
            self.status = (
                statuses.WAITING if self.waiting_stages and not self.active_stages else statuses.RUNNING
            )

    def close_blocks(self) -> None:
        """Go on to the next block when this one is done and valid."""
        index = self.block
        if self.program.conditions[index - 1] and not self.block_validated:
            return
        self.block = index + 1
        self.block_validated = False
        if index < len(self.program.blocks):
            self.open_stages = len(self.program.blocks[index])


_ACTIVE = frozenset({statuses.STARTED, statuses.VALIDATING})
_DONE = frozenset({statuses.COMPLETED, statuses.SKIPPED})


def _run_created(state: RunState, entry: Entry, body: kinds.RunCreated) -> None:
    state.run_id = entry.run
    state.run_name, state.run_time = body.run_name, body.run_time
    state.generation, state.requested_by = body.generation, body.requested_by
    state.created_at = entry.at


def _run_taken(state: RunState, entry: Entry, body: kinds.RunTaken) -> None:
    """The epoch, which every entry carries, is all that changes."""


def _when_tested(state: RunState, entry: Entry, body: kinds.WhenTested) -> None:
    stage = state.stages[body.stage]
    stage.when = body.verdict
    stage.now_at = stage.now_at or body.now


def _stage_skipped(state: RunState, entry: Entry, body: kinds.StageSkipped) -> None:
    stage = state.stages[body.stage]
    stage.ended_at = entry.at
    state.skipped_stages += 1
    for output in stage.sealed.stage.outputs:
        if output.has_default:
            state.written[output.name] = entry.seq
    state.move(stage, statuses.SKIPPED, entry.at)


def _stage_failed(state: RunState, entry: Entry, body: kinds.StageFailed) -> None:
    stage = state.stages[body.stage]
    stage.error_kind = body.error_kind
    _conclude(state, stage, entry, statuses.FAILED)


def _stage_waiting(state: RunState, entry: Entry, body: kinds.StageWaiting) -> None:
    stage = state.stages[body.stage]
    stage.looks, stage.look_again_at = body.look, body.look_again_at
    stage.now_at = stage.now_at or body.now
    state.move(stage, statuses.WAITING, entry.at)


def _dependencies_found(state: RunState, entry: Entry, body: kinds.DependenciesFound) -> None:
    stage = state.stages[body.stage]
    stage.found = True
    stage.now_at = stage.now_at or body.now
    for dependency in stage.sealed.stage.dependencies:
        state.written[dependency.name] = entry.seq


def _attempt_started(state: RunState, entry: Entry, body: kinds.AttemptStarted) -> None:
    stage = state.stages[body.stage]
    stage.attempts = body.attempt
    stage.in_flight = stage.may_have_acted = True
    stage.inputs = body.inputs
    if not stage.started_at:
        stage.started_at = entry.at
        stage.now_at = stage.now_at or entry.at
        stage.code = body.code
    state.move(stage, statuses.STARTED, entry.at)


def _attempt_ended(state: RunState, entry: Entry, body: kinds.AttemptEnded) -> None:
    stage = state.stages[body.stage]
    stage.in_flight = False
    stage.outcome = body.outcome
    stage.outcomes += (body.outcome,)
    stage.error_kind = body.error_kind
    stage.retry_at = body.retry_at
    if body.outcome == statuses.COMPLETED:
        stage.executed_at = stage.executed_at or entry.at
        stage.written_seq = entry.seq
    elif body.outcome == statuses.NOT_BEGUN:
        stage.may_have_acted = any(outcome != statuses.NOT_BEGUN for outcome in stage.outcomes)
    elif body.error_kind == INTERRUPTED and stage.interruptions < INTERRUPTIONS_MAX:
        stage.interruptions += 1
    else:
        stage.tried += 1
        stage.executed_at = 0
    _conclude(state, stage, entry, body.becomes)


def _validation_ended(state: RunState, entry: Entry, body: kinds.ValidationEnded) -> None:
    stage = state.stages[body.stage]
    stage.retry_at = body.retry_at
    if body.verdict != "held":
        stage.tried += 1
        stage.executed_at = 0
        stage.error_kind = "validation"
    _conclude(state, stage, entry, body.becomes)


def _conclude(state: RunState, stage: StageState, entry: Entry, becomes: str) -> None:
    """What a stage becomes by the end of an attempt or of its validation."""
    if becomes == statuses.COMPLETED:
        stage.ended_at = entry.at
        for output in stage.sealed.stage.outputs:
            state.written[output.name] = stage.written_seq
    elif becomes == statuses.FAILED:
        stage.ended_at = entry.at
        if not state.is_failing:
            state.failed_stage, state.error_seq = stage.sealed.stage.name, entry.seq
    elif becomes == statuses.CANCELLED:
        stage.ended_at = entry.at
    state.move(stage, becomes, entry.at)


def _block_validated(state: RunState, entry: Entry, body: kinds.BlockValidated) -> None:
    if body.verdict == "held":
        state.block_validated = True
        state.close_blocks()
    else:
        state.block_failed, state.error_seq = body.index, entry.seq


def _stage_cancelled(state: RunState, entry: Entry, body: kinds.StageCancelled) -> None:
    stage = state.stages[body.stage]
    stage.ended_at = entry.at
    state.move(stage, statuses.CANCELLED, entry.at)


def _rollback_planned(state: RunState, entry: Entry, body: kinds.RollbackPlanned) -> None:
    state.undo, state.undo_position = body.blocks, 0
    state.residue, state.cause = body.residue, body.cause
    state.status = statuses.ROLLING_BACK
    for block in body.blocks:
        for item in block.stages:
            state.stages[item.stage].outcome = item.outcome
            state.touched.add(item.stage)


def _rollback_started(state: RunState, entry: Entry, body: kinds.RollbackStarted) -> None:
    stage = state.stages[body.stage]
    stage.rollback_attempts, stage.rollback_in_flight = body.attempt, True
    state.move(stage, statuses.ROLLING_BACK, entry.at)


def _rollback_ended(state: RunState, entry: Entry, body: kinds.RollbackEnded) -> None:
    stage = state.stages[body.stage]
    stage.rollback_in_flight = False
    stage.rollback_retry_at = body.retry_at
    if body.outcome not in (statuses.COMPLETED, statuses.NOT_BEGUN):
        if body.error_kind == INTERRUPTED and stage.rollback_interruptions < INTERRUPTIONS_MAX:
            stage.rollback_interruptions += 1
        else:
            stage.rollback_tried += 1
    if body.becomes != statuses.ROLLING_BACK:
        stage.ended_at = entry.at
    state.move(stage, body.becomes, entry.at)
    _close_undone_blocks(state)


def _close_undone_blocks(state: RunState) -> None:
    undo = state.undo or ()
    while state.undo_position < len(undo):
        items = undo[state.undo_position].stages
        if any(state.stages[item.stage].status != statuses.ROLLED_BACK for item in items):
            return
        state.undo_position += 1


def _run_held(state: RunState, entry: Entry, body: kinds.RunHeld) -> None:
    state.held = body.reason
    state.status = statuses.ROLLBACK_FAILED if body.reason == statuses.ROLLBACK_FAILED else statuses.HELD


def _run_released(state: RunState, entry: Entry, body: kinds.RunReleased) -> None:
    state.held = ""
    if state.undo is None:
        state.status = (
            statuses.WAITING if state.waiting_stages and not state.active_stages else statuses.RUNNING
        )
        return
    state.status = statuses.ROLLING_BACK
    for stage in state.stages.values():
        if stage.status == statuses.ROLLBACK_FAILED:
            stage.rollback_tried = stage.rollback_interruptions = 0
            stage.rollback_retry_at = entry.at
            state.move(stage, statuses.ROLLING_BACK, entry.at)


def _run_settled(state: RunState, entry: Entry, body: kinds.RunSettled) -> None:
    state.status, state.residue, state.ended_at = body.status, body.residue, entry.at


_APPLY: dict[type, Callable[[RunState, Entry, Any], None]] = {
    kinds.RunCreated: _run_created,
    kinds.RunTaken: _run_taken,
    kinds.WhenTested: _when_tested,
    kinds.StageSkipped: _stage_skipped,
    kinds.StageFailed: _stage_failed,
    kinds.StageWaiting: _stage_waiting,
    kinds.DependenciesFound: _dependencies_found,
    kinds.AttemptStarted: _attempt_started,
    kinds.AttemptEnded: _attempt_ended,
    kinds.ValidationEnded: _validation_ended,
    kinds.BlockValidated: _block_validated,
    kinds.StageCancelled: _stage_cancelled,
    kinds.RollbackPlanned: _rollback_planned,
    kinds.RollbackStarted: _rollback_started,
    kinds.RollbackEnded: _rollback_ended,
    kinds.RunHeld: _run_held,
    kinds.RunReleased: _run_released,
    kinds.RunSettled: _run_settled,
}
