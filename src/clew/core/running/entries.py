"""The kinds of journal entry: what can happen to a run.

An entry is one JSON object in canonical form (RFC 8785, its safe part: ASCII keys, no floats, integers within
2^53). Its bytes, once hashed, are the bytes that are stored. Names of fields and kinds are frozen: a later
version may add a kind, or a field with a default, and nothing else. What a person or a stage said (variables,
results, messages) is never in an entry: it stands in the payload that the entry names by its salted digest.
What steers the run (verdicts, counts, times, what was skipped) is here. What a person told a run names who in
`by`, and has the reason in the payload.

A `stage` that is done once for each of several values has *items*, which are named as `stage[n]`, from 0:
wherever an entry is about an attempt, a validation or a rollback, its `stage` may be an item.
"""

from __future__ import annotations

from typing import get_args

import msgspec


class _Kind(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", gc=False):
    pass


class RunCreated(_Kind, frozen=True, tag="run_created"):
    """The run exists. The payload holds the variables: the program's and the request's. `plan` is the hash of
    the plan's last block; the first entry's `prev` is that hash too, which ties the two chains together.

    `queued`: it begins when a place is given to it. `due`: it stands for a due time, and `zones` is the release of the
    time zone data by which that was found. `backfill`: what has it made up for, a backfill's id or MISSED_TIME.
    `follows`: the run of the generation before, for the same time. `unsafe`: by name, what was found so of the store by
    whoever drives the run from here on, and was put up with since somebody said so."""

    program: str
    version: str
    plan: str
    run_name: str
    run_time: int
    generation: int
    requested_by: str
    queued: bool = False
    due: bool = False
    zones: str = ""
    backfill: str = ""
    follows: str = ""
    unsafe: tuple[str, ...] = ()


class PlaceGiven(_Kind, frozen=True, tag="place_given"):
    """The run has a place among those of its program that are under way: it is launched, or goes on after it has
    waited for data, which takes no place."""


class WindowClosed(_Kind, frozen=True, tag="window_closed"):
    """The program's window has closed: no further stage begins until it opens."""


class WindowOpened(_Kind, frozen=True, tag="window_opened"):
    """The program's window is open again."""


class RunTaken(_Kind, frozen=True, tag="run_taken"):
    """Another orchestrator drives the run from here on, under the epoch of this entry. `unsafe`: see `RunCreated`."""

    orchestrator: str
    unsafe: tuple[str, ...] = ()


class WhenTested(_Kind, frozen=True, tag="when_tested"):
    """The stage's `when` was worked out. `now` is fixed for the stage by the first entry that says it."""

    stage: str
    verdict: bool
    now: int


class StageSkipped(_Kind, frozen=True, tag="stage_skipped"):
    """The stage is passed over: its `when` is false, the stages in `needs` were skipped, or a person says so; then
    `given` names the outputs that the payload holds in its place."""

    stage: str
    needs: tuple[str, ...] = ()
    by: str = ""
    given: tuple[str, ...] = ()


class StageFailed(_Kind, frozen=True, tag="stage_failed"):
    """The stage failed for good before an attempt of it began: its `when` can't be worked out (`expression`),
    its dependencies can't be told apart (`ambiguous`), nobody supplied an input in time (`deadline`), its data did
    not come in time (`missing`), or what it is to be done for is no list (`for_each`). The payload holds the error."""

    stage: str
    error_kind: str


class StageWaiting(_Kind, frozen=True, tag="stage_waiting"):
    """A dependency is missing, or nobody can tell; clew looks again at `look_again_at`, and then as the stage's delay
    says. `look`: how many recorded looks have found it missing; one that says no more than the last may be left out.
    The payload says how near the search came."""

    stage: str
    look: int
    look_again_at: int
    now: int


class DependenciesFound(_Kind, frozen=True, tag="dependencies_found"):
    """All the stage's dependencies were found in one look. The payload holds what was matched, by name, and the
    evidence: what was listed, how many matched, and why this one was chosen."""

    stage: str
    now: int


class ItemsMade(_Kind, frozen=True, tag="items_made"):
    """The stage is done once for each of so many values, which the variables map gives."""

    stage: str
    count: int
    now: int


class ItemsGathered(_Kind, frozen=True, tag="items_gathered"):
    """All the stage's items are completed. The payload holds its outputs: lists in the order of the items."""

    stage: str


class InputSupplied(_Kind, frozen=True, tag="input_supplied"):
    """Somebody supplied the input of that name. The payload holds its value."""

    name: str
    stage: str
    by: str


class ObjectsKept(_Kind, frozen=True, tag="objects_kept"):
    """The objects that the stage's rollback puts back were kept, before the first attempt. The payload says
    which they are, and where the copies stand."""

    stage: str
    count: int
    now: int = 0


class AttemptStarted(_Kind, frozen=True, tag="attempt_started"):
    """The order to begin an attempt, durable before the attempt. `inputs`: for each name it reads the `seq`
    of the entry that wrote it. `code`: digests of the code that executes, validates and rolls back, pinned by
    the first attempt. A re-execution (during validation) does not count against `retry`."""

    stage: str
    attempt: int
    reexecution: bool = False
    inputs: dict[str, int] = {}
    code: dict[str, str] = {}


class AttemptEnded(_Kind, frozen=True, tag="attempt_ended"):
    """How an attempt ended, and what the stage becomes by it: `completed`, `validating`, `started` (another
    attempt is due at `retry_at`), `failed` or `cancelled`. The payload holds outputs, result and error, and how
    the attempt left the objects that the rollback puts back."""

    stage: str
    attempt: int
    outcome: str
    becomes: str
    error_kind: str = ""
    retry_at: int = 0


class ValidationEnded(_Kind, frozen=True, tag="validation_ended"):
    """The stage's conditions were tested to an end: `held`, `not_held`, or `error` when it could not be told.
    The payload holds what was compared."""

    stage: str
    attempt: int
    verdict: str
    tests: int
    becomes: str
    retry_at: int = 0


class ReportRefused(_Kind, frozen=True, tag="report_refused"):
    """An attempt (or, with `rollback`, a try at the rollback) was heard of after its end had been recorded, as
    something else: too late to change anything."""

    stage: str
    attempt: int
    outcome: str
    rollback: bool = False


class StageRetried(_Kind, frozen=True, tag="stage_retried"):
    """A person says that a failed stage, or its failed rollback, is tried again, with fresh retries."""

    stage: str
    by: str


class BlockValidated(_Kind, frozen=True, tag="block_validated"):
    """The block's own conditions were tested to an end. The payload holds what was compared."""

    index: int
    verdict: str
    tests: int


class StageCancelled(_Kind, frozen=True, tag="stage_cancelled"):
    """The run goes back, and this stage had nothing in flight: no further attempt of it begins."""

    stage: str


class UndoStage(msgspec.Struct, frozen=True, gc=False):
    """A stage to be undone, and which case its rollback is told (see OUTCOMES)."""

    stage: str
    outcome: str


class UndoBlock(msgspec.Struct, frozen=True):
    index: int
    stages: tuple[UndoStage, ...]


class ResidueItem(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a stage, or an item of one, has left standing; not `certain` where it may have."""

    stage: str
    certain: bool
    pass_number: int = 1


class RollbackPlanned(_Kind, frozen=True, tag="rollback_planned"):
    """The run goes back: the ordered list of what is to be undone, never worked out anew. `stage` (or the
    block of `index`) is what failed first, if anything did. `residue` has no rollback.

    The run goes back to and including block `to`, and with `forward` goes on from there; `declared_by` is the
    stage whose `rollback.to` that is. `to` is 1 where it goes back to the start, and more where it does not go
    beyond a point of no return.
    """

    cause: str
    blocks: tuple[UndoBlock, ...]
    residue: tuple[ResidueItem, ...] = ()
    stage: str = ""
    index: int = 0
    error_kind: str = ""
    to: int = 1
    forward: bool = False
    declared_by: str = ""


class RollbackStarted(_Kind, frozen=True, tag="rollback_started"):
    """The order to begin a try at a stage's rollback, durable before it; `outcome` is the case it is told."""

    stage: str
    attempt: int
    outcome: str


class RollbackEnded(_Kind, frozen=True, tag="rollback_ended"):
    """How that try ended, and what the stage becomes: `rolled_back`, `rolling_back` (tried again at
    `retry_at`) or `rollback_failed`. The payload holds the error."""

    stage: str
    attempt: int
    outcome: str
    becomes: str
    error_kind: str = ""
    retry_at: int = 0


class RollbackSkipped(_Kind, frozen=True, tag="rollback_skipped"):
    """A person says that the way back goes on without this rollback: what the stage did is residue."""

    stage: str
    by: str


class PassBegun(_Kind, frozen=True, tag="pass_begun"):
    """All is undone back to this block, and the run goes forward again from there: with fresh retries, and the
    variables map as it stood before."""

    index: int


class RunHeld(_Kind, frozen=True, tag="run_held"):
    """A person is needed; `reason` is one of HOLD_REASONS."""

    reason: str
    stage: str = ""


class RunReleased(_Kind, frozen=True, tag="run_released"):
    """A person says that the run goes on."""

    by: str


class RunPaused(_Kind, frozen=True, tag="run_paused"):
    """A person says that no further stage begins."""

    by: str


class RunUnpaused(_Kind, frozen=True, tag="run_unpaused"):
    """A person says that stages begin again."""

    by: str


class RunCancelled(_Kind, frozen=True, tag="run_cancelled"):
    """A person says that no further stage begins, what runs is ended, and all is undone."""

    by: str


class RunStopped(_Kind, frozen=True, tag="run_stopped"):
    """A person says that no further stage begins, what runs is ended, and nothing is undone."""

    by: str


class RunExpired(_Kind, frozen=True, tag="run_expired"):
    """The run was driven for as long as it may be, and was not done: `limit` says which time was up, one of LIMITS;
    `stage` which one's, where it is not the whole run's."""

    limit: str = "run"
    stage: str = ""


class RollbackRequested(_Kind, frozen=True, tag="rollback_requested"):
    """A person says that what the run did is undone."""

    by: str


class RewindRequested(_Kind, frozen=True, tag="rewind_requested"):
    """A person says that the run goes back to and including the block of that stage, and on from there."""

    stage: str
    by: str


class PayloadsErased(_Kind, frozen=True, tag="payloads_erased"):
    """A person has had the payloads of all entries before this one erased, for good. The payload of this one holds
    the reason."""

    by: str


class RunSettled(_Kind, frozen=True, tag="run_settled"):
    """The run has come to rest. `reason`: why it never began, one of REST_REASONS."""

    status: str
    residue: tuple[ResidueItem, ...] = ()
    reason: str = ""


Body = (
    RunCreated | RunTaken | WhenTested | StageSkipped | StageFailed | StageWaiting | DependenciesFound
    | AttemptStarted | AttemptEnded | ValidationEnded | BlockValidated | StageCancelled | RollbackPlanned
    | RollbackStarted | RollbackEnded | RunHeld | RunReleased | RunSettled | ItemsMade | ItemsGathered
    | InputSupplied | ObjectsKept | ReportRefused | StageRetried | RollbackSkipped | PassBegun | RunPaused
    | RunUnpaused | RunCancelled | RunStopped | RunExpired | RollbackRequested | RewindRequested | PlaceGiven
    | WindowClosed | WindowOpened | PayloadsErased
)  # fmt: skip

HOLD_REASONS = (
    "code_changed", "code_gone", "rollback_failed", "point_of_no_return", "not_undone", "changed_since",
)  # fmt: skip
"""Why a person is needed: the code is not what it was, or gone; a rollback failed for good; the run is to go back
beyond what can't be undone; it would go forward again on top of what nothing undoes; somebody else has changed what a
rollback would put back."""

LIMITS = ("run", "execution", "validation")
"""Whose time can be up: the run's, that of a stage's attempts, or of its validation."""

MISSED_TIME = "missed"
"""As a run's `backfill`: it makes up for a time that was missed."""

REST_REASONS = ("window_left", "program_paused", "overlap", "overtaken")
"""Why a run was never begun: its time left the backfill window (`missed`); or it was passed over (`skipped`) since the
program was paused, since there was no place for it, or since one that was due later stood for it too."""

ENTRY_KINDS: tuple[str, ...] = tuple(str(kind.__struct_config__.tag) for kind in get_args(Body))


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One line of a journal.

    `at`: milliseconds since 1970; `prev`: hash of the entry before (of the plan's last block for the first);
    `block`: hash of the plan block it belongs to; `payload`: salted digest of what stands apart; `epoch`: the
    fencing number under which it was written.
    """

    at: int
    body: Body
    epoch: int
    prev: str
    run: str
    seq: int
    v: int
    block: str = ""
    payload: str = ""
