"""What a journal amounts to: fold its entries, one after another, into a RunState.

The fold believes the journal and works out nothing that an entry already says. It is kept in place while a run
is driven, and built by the same code when a run is taken up again: there is no second path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from clew.core.running import entries as kinds
from clew.core.running import statuses
from clew.core.running.entries import Entry, ResidueItem, UndoBlock
from clew.core.running.fold_back import (
    APPLY_BACK,
    INTERRUPTED,
    INTERRUPTIONS_MAX,
    begin_cancelled_again,
    cancel_items,
)
from clew.core.running.sealed_program import SealedProgram
from clew.core.running.stage_state import StageState

NOTHING: Mapping[str, int] = {}
NONE: frozenset[Any] = frozenset()


class RunState:
    """All that a run's journal amounts to. `touched`: stages and items whose tracker rows are to be written;
    `dropped`: positions of stages whose items' rows are to go first.

    There may be a hundred thousand runs that wait. So what few runs need is one value for all of them while there is
    none of it, and replaced rather than changed."""

    __slots__ = (
        "active_stages", "backfill", "block", "block_done_at", "block_failed", "block_validated", "cause",
        "created_at", "dropped", "ended_at", "ending", "epoch", "erased", "error_seq", "failed_stage", "follows",
        "generation", "has_place", "has_started", "held", "held_stage", "is_crossing_accepted", "is_due",
        "is_paused", "is_window_closed", "launched_at", "open_stages", "pass_number", "program", "refused",
        "requested_by", "residue", "returns", "rewind_to", "run_id", "run_name", "run_time", "seq",
        "skipped_stages", "stages", "status", "still_since", "stood_still", "supplied", "touched", "undo",
        "undo_forward", "undo_next", "undo_position", "undo_to", "units", "waiting_stages", "written",
        "zones",
    )  # fmt: skip

    def __init__(self, program: SealedProgram) -> None:
        self.program = program
        self.stages = {name: StageState(sealed) for name, sealed in program.stages.items()}
        self.units: dict[str, StageState] = self.stages
        """The stages and their items, by name: whatever an entry can be about. Without items the same dictionary."""
        self.run_id = self.run_name = self.requested_by = ""
        self.run_time = self.created_at = self.launched_at = self.ended_at = self.generation = 0
        """Launched: when it was first given a place; 0 while it waits for that."""
        self.is_due = False
        """It stands for a due time."""
        self.backfill = self.follows = self.zones = ""
        """What has it made up for, and the run of the generation before."""
        self.has_place = True
        """It may go forward: it is among those of its program that are under way."""
        self.status = statuses.QUEUED
        self.cause = ""
        self.epoch = 0
        self.seq = -1
        """The last entry's."""
        self.pass_number = 1
        self.has_started = False
        """An attempt has been begun."""
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
        self.ending = ""
        """What ends the way forward, one of ENDINGS; empty while nothing does."""
        self.rewind_to = ""
        """The stage to whose block a person wants to go back."""
        self.is_paused = self.is_window_closed = False
        """No further stage begins: a person says so; or the program's window is closed."""
        self.stood_still = self.still_since = 0
        """How long the run has stood still so far, and since when it does now; 0 while it does not."""
        self.held = self.held_stage = ""
        """Why a person is needed, and about which stage; empty while none is."""
        self.is_crossing_accepted = False
        """A person has said that the run may go forward again on top of what is not undone."""
        self.returns: Mapping[str, int] = NOTHING
        """How often each stage's `rollback.to` was followed."""
        self.undo: tuple[UndoBlock, ...] | None = None
        self.undo_position = self.undo_next = 0
        """The block of that list whose turn it is, and the first of its stages and items that is not over."""
        self.undo_to = 1
        self.undo_forward = False
        self.residue: tuple[ResidueItem, ...] = ()
        """What has no rollback, or was given up, of all ways back so far."""
        self.supplied: Mapping[str, int] = NOTHING
        """The entries by which inputs were supplied."""
        self.refused: frozenset[tuple[str, int, bool]] = NONE
        """The attempts and tries at rollbacks of which a late report was refused."""
        self.written: dict[str, int] = {}
        """For each name of the variables map that a stage wrote, the `seq` of the entry that did."""
        self.erased: Entry | None = None
        """The entry by which the payloads of all before it were erased, the last of such."""
        self.touched: dict[str, None] = {}
        self.dropped: frozenset[int] = NONE

    @property
    def forward_status(self) -> str:
        """The run's status as long as it goes forward."""
        if self.is_paused:
            return statuses.PAUSED
        if not self.launched_at:
            return statuses.QUEUED
        if self.is_window_closed:
            return statuses.PAUSED
        return statuses.WAITING if self.waiting_stages and not self.active_stages else statuses.RUNNING

    def block_stages(self) -> Iterator[StageState]:
        """The stages of the block that is under way; none when all blocks are done."""
        if self.block <= len(self.program.blocks):
            for sealed in self.program.blocks[self.block - 1]:
                yield self.stages[sealed.stage.name]

    @property
    def is_settled(self) -> bool:
        return self.status in statuses.SETTLED

    def apply(self, entry: Entry) -> None:
        """Take in the journal's next entry."""
        self.seq = entry.seq
        self.epoch = entry.epoch
        _APPLY[type(entry.body)](self, entry, entry.body)
        if self.still_since or self.held or self.is_paused or self.is_window_closed:
            self._count_stillness(entry.at)

    def _count_stillness(self, at: int) -> None:
        stands_still = bool(self.held or self.is_paused or self.is_window_closed)
        if stands_still and not self.still_since:
            self.still_since = at
        elif self.still_since and not stands_still:
            self.stood_still += at - self.still_since
            self.still_since = 0

    def move(self, stage: StageState, status: str, at: int) -> None:
        """Give a stage its new status, and keep the counts of the block that is under way."""
        before = stage.status
        stage.status = status
        self.touched[stage.name] = None
        if stage.parent is not None:
            _count_item(stage.parent, before, status)
            return
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
        if self.status in _GOES_FORWARD:
            self.status = self.forward_status
            if self.status == statuses.WAITING and self.program.frees_places:
                self.has_place = False

    def close_blocks(self) -> None:
        """Go on to the next block when this one is done and valid."""
        index = self.block
        if self.program.conditions[index - 1] and not self.block_validated:
            return
        self.block = index + 1
        self.block_validated = False
        if index < len(self.program.blocks):
            self.open_stages = len(self.program.blocks[index])

    def fail(self, ending: str) -> None:
        """The way forward has an end; the first reason counts, until a person gives another."""
        if not self.ending:
            self.ending = ending

    def go_on(self, at: int) -> None:
        """A person says that the run goes on. What failed for good and is not tried again still ends its way forward,
        and so does a rewind; that its time was up, or that somebody wanted it undone, does not any more."""
        was_barred = self.held == "point_of_no_return"
        self.held = self.held_stage = ""
        if self.undo is not None:
            self.status = statuses.ROLLING_BACK
            if was_barred:  # it goes forward again, as was planned
                self.ending = REWIND if self.rewind_to else FAILURE
            return
        if self.ending:
            failed = next((stage for stage in self.block_stages() if stage.status == statuses.FAILED), None)
            self.failed_stage = "" if failed is None else failed.name
            has_failed = failed is not None or self.block_failed
            self.ending = REWIND if self.rewind_to else FAILURE if has_failed else ""
        if not self.ending:
            begin_cancelled_again(self, at)
        self.status = self.forward_status

    def unwrite(self, stages: Iterable[StageState]) -> None:
        """The variables map is as it stood before these stages."""
        for stage in stages:
            for name in stage.sealed.own_names:
                self.written.pop(name, None)
                if stage.found and name in self.supplied:
                    self.supplied = {each: seq for each, seq in self.supplied.items() if each != name}


FAILURE = "failure"
CANCELLED = "cancelled"
STOPPED = "stopped"
EXPIRED = "expired"
ROLLBACK = "rollback"
REWIND = "rewind"
ENDINGS = (FAILURE, CANCELLED, STOPPED, EXPIRED, ROLLBACK, REWIND)
"""What ends a run's way forward: something failed for good; a person cancels or stops it; its time is up; a person
wants it rolled back, or rewound."""

_GOES_FORWARD = frozenset({statuses.QUEUED, statuses.RUNNING, statuses.WAITING, statuses.PAUSED})
_ACTIVE = frozenset({statuses.STARTED, statuses.VALIDATING})
_DONE = frozenset({statuses.COMPLETED, statuses.SKIPPED})


def _count_item(stage: StageState, before: str, status: str) -> None:
    """Keep count of the items that are to be undone, and of those for which that did not work."""
    if before == statuses.ROLLBACK_FAILED:
        stage.items_not_undone -= 1
        stage.items_to_undo += 1
    if status == statuses.ROLLBACK_FAILED:
        stage.items_not_undone += 1
    if status in (statuses.ROLLBACK_FAILED, statuses.ROLLED_BACK):
        stage.items_to_undo -= 1


def _run_created(state: RunState, entry: Entry, body: kinds.RunCreated) -> None:
    state.run_id = entry.run
    state.run_name, state.run_time = body.run_name, body.run_time
    state.generation, state.requested_by = body.generation, body.requested_by
    state.created_at = entry.at
    state.is_due, state.backfill, state.follows = body.due, body.backfill, body.follows
    state.zones = body.zones
    state.has_place = not body.queued
    state.launched_at = 0 if body.queued else entry.at


def _place_given(state: RunState, entry: Entry, body: kinds.PlaceGiven) -> None:
    state.has_place = True
    state.launched_at = state.launched_at or entry.at
    state.status = state.forward_status


def _window_closed(state: RunState, entry: Entry, body: kinds.WindowClosed) -> None:
    state.is_window_closed = True
    _follow_window(state)


def _window_opened(state: RunState, entry: Entry, body: kinds.WindowOpened) -> None:
    state.is_window_closed = False
    _follow_window(state)


def _follow_window(state: RunState) -> None:
    """Of a run that goes back, or is held, only what comes after is another matter."""
    if state.status in _GOES_FORWARD:
        state.status = state.forward_status


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
    cancel_items(state, stage, entry.at)
    for output in stage.sealed.stage.outputs:
        if output.has_default:
            state.written[output.name] = entry.seq
    for name in body.given:
        state.written[name] = entry.seq
    state.move(stage, statuses.SKIPPED, entry.at)
    if body.by:
        state.go_on(entry.at)


def _stage_failed(state: RunState, entry: Entry, body: kinds.StageFailed) -> None:
    stage = state.units[body.stage]
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


def _items_made(state: RunState, entry: Entry, body: kinds.ItemsMade) -> None:
    stage = state.stages[body.stage]
    stage.now_at = stage.now_at or body.now
    _note_start(state, stage, entry.at)
    stage.make_items(body.count)
    if state.units is state.stages:
        state.units = dict(state.stages)
    for item in stage.units:
        item.attempts = item.attempts_before = stage.attempts_before
        item.rollback_attempts = stage.rollback_attempts
        state.units[item.name] = item
        state.touched[item.name] = None
    state.move(stage, statuses.STARTED, entry.at)


def _items_gathered(state: RunState, entry: Entry, body: kinds.ItemsGathered) -> None:
    stage = state.stages[body.stage]
    stage.written_seq = entry.seq
    stage.outcome = statuses.COMPLETED
    _conclude(state, stage, entry, statuses.COMPLETED)


def _objects_kept(state: RunState, entry: Entry, body: kinds.ObjectsKept) -> None:
    stage = state.units[body.stage]
    stage.kept_seq = entry.seq
    stage.now_at = stage.now_at or body.now


def _input_supplied(state: RunState, entry: Entry, body: kinds.InputSupplied) -> None:
    state.supplied = {**state.supplied, body.name: entry.seq}
    state.stages[body.stage].look_again_at = 0


def _attempt_started(state: RunState, entry: Entry, body: kinds.AttemptStarted) -> None:
    stage = state.units[body.stage]
    stage.attempts = body.attempt
    stage.in_flight = stage.may_have_acted = state.has_started = True
    stage.inputs = body.inputs
    if not stage.started_at:
        _note_start(state, stage, entry.at)
        stage.now_at = stage.now_at or entry.at
    if stage.parent is not None:
        stage.parent.open_item(stage)
        stage.parent.attempts = max(stage.parent.attempts, body.attempt)
        state.touched[stage.parent.name] = None
    pinned = stage.parent or stage
    if not pinned.is_pinned:
        pinned.is_pinned, pinned.code = True, body.code
    state.move(stage, statuses.STARTED, entry.at)


def _note_start(state: RunState, stage: StageState, at: int) -> None:
    stage.started_at, stage.started_still = at, state.stood_still


def _attempt_ended(state: RunState, entry: Entry, body: kinds.AttemptEnded) -> None:
    stage = state.units[body.stage]
    stage.in_flight = False
    stage.outcome = body.outcome
    stage.outcomes += (body.outcome,)
    stage.error_kind = body.error_kind
    stage.retry_at = body.retry_at
    if stage.kept_seq >= 0 and body.outcome != statuses.NOT_BEGUN:
        stage.left_seq = entry.seq
    if body.outcome == statuses.COMPLETED:
        if not stage.executed_at:
            stage.executed_at, stage.executed_still = entry.at, state.stood_still
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
    stage = state.units[body.stage]
    stage.retry_at = body.retry_at
    if body.verdict != "held":
        stage.tried += 1
        stage.executed_at = 0
        stage.error_kind = "validation"
    _conclude(state, stage, entry, body.becomes)


def _conclude(state: RunState, stage: StageState, entry: Entry, becomes: str) -> None:
    """What a stage or an item becomes by the end of an attempt or of its validation."""
    if becomes in _OVER:
        stage.ended_at = entry.at
        if stage.parent is not None:
            _conclude_item(state, stage, stage.parent, entry, becomes)
            return
        if becomes == statuses.COMPLETED:
            for output in stage.sealed.stage.outputs:
                state.written[output.name] = stage.written_seq
        elif becomes == statuses.FAILED:
            _fail(state, stage, entry)
    state.move(stage, becomes, entry.at)


_OVER = frozenset({statuses.COMPLETED, statuses.FAILED, statuses.CANCELLED})


def _conclude_item(state: RunState, item: StageState, stage: StageState, entry: Entry, becomes: str) -> None:
    """An item is done: the stage with it, if one has failed for good. When all are completed they are gathered."""
    stage.close_item(item)
    state.move(item, becomes, entry.at)
    if becomes == statuses.COMPLETED:
        stage.items_left -= 1
    elif becomes == statuses.FAILED and stage.status != statuses.FAILED:
        stage.ended_at, stage.error_kind, stage.outcome = entry.at, item.error_kind, item.outcome
        _fail(state, item, entry)
        state.move(stage, statuses.FAILED, entry.at)


def _fail(state: RunState, stage: StageState, entry: Entry) -> None:
    if not state.ending:
        state.failed_stage, state.error_seq = stage.name, entry.seq
        state.fail(FAILURE)


def _block_validated(state: RunState, entry: Entry, body: kinds.BlockValidated) -> None:
    if body.verdict == "held":
        state.block_validated = True
        state.close_blocks()
    else:
        state.block_failed, state.error_seq = body.index, entry.seq
        state.fail(FAILURE)


def _run_settled(state: RunState, entry: Entry, body: kinds.RunSettled) -> None:
    state.status, state.residue, state.ended_at = body.status, body.residue, entry.at
    state.rewind_to, state.is_paused = "", False


def _payloads_erased(state: RunState, entry: Entry, body: kinds.PayloadsErased) -> None:
    """What they were never steered: the run is what it was."""
    state.erased = entry


_APPLY: dict[type, Callable[[RunState, Entry, Any], None]] = {
    kinds.RunCreated: _run_created,
    kinds.RunTaken: _run_taken,
    kinds.PlaceGiven: _place_given,
    kinds.WindowClosed: _window_closed,
    kinds.WindowOpened: _window_opened,
    kinds.WhenTested: _when_tested,
    kinds.StageSkipped: _stage_skipped,
    kinds.StageFailed: _stage_failed,
    kinds.StageWaiting: _stage_waiting,
    kinds.DependenciesFound: _dependencies_found,
    kinds.AttemptStarted: _attempt_started,
    kinds.AttemptEnded: _attempt_ended,
    kinds.ValidationEnded: _validation_ended,
    kinds.BlockValidated: _block_validated,
    kinds.ItemsMade: _items_made,
    kinds.ItemsGathered: _items_gathered,
    kinds.ObjectsKept: _objects_kept,
    kinds.InputSupplied: _input_supplied,
    kinds.RunSettled: _run_settled,
    kinds.PayloadsErased: _payloads_erased,
    **APPLY_BACK,
}
