"""The kinds of journal entry: what can happen to a run.

An entry is one JSON object in canonical form (RFC 8785, its safe part: ASCII keys, no floats, integers within
2^53). Its bytes, once hashed, are the bytes that are stored. Names of fields and kinds are frozen: a later
version may add a kind, or a field with a default, and nothing else. What a person or a stage said (variables,
results, messages) is never in an entry: it stands in the payload that the entry names by its salted digest.
What steers the run (verdicts, counts, times, what was skipped) is here.
"""

from __future__ import annotations

from typing import get_args

import msgspec


class _Kind(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", gc=False):
    pass


class RunCreated(_Kind, frozen=True, tag="run_created"):
    """The run exists. The payload holds the variables: the program's and the request's. `plan` is the hash of
    the plan's last block; the first entry's `prev` is that hash too, which ties the two chains together."""

    program: str
    version: str
    plan: str
    run_name: str
    run_time: int
    generation: int
    requested_by: str


class RunTaken(_Kind, frozen=True, tag="run_taken"):
    """Another orchestrator drives the run from here on, under the epoch of this entry."""

    orchestrator: str


class WhenTested(_Kind, frozen=True, tag="when_tested"):
    """The stage's `when` was worked out. `now` is fixed for the stage by the first entry that says it."""

    stage: str
    verdict: bool
    now: int


class StageSkipped(_Kind, frozen=True, tag="stage_skipped"):
    """The stage is passed over: its `when` is false, or the stages in `needs` were skipped."""

    stage: str
    needs: tuple[str, ...] = ()


class StageFailed(_Kind, frozen=True, tag="stage_failed"):
    """The stage failed for good before an attempt of it began: its `when` can't be worked out (`expression`),
    or its dependencies can't be told apart (`ambiguous`). The payload holds the error."""

    stage: str
    error_kind: str


class StageWaiting(_Kind, frozen=True, tag="stage_waiting"):
    """A dependency is missing; clew looks again at `look_again_at`. The payload says how near the search came."""

    stage: str
    look: int
    look_again_at: int
    now: int


class DependenciesFound(_Kind, frozen=True, tag="dependencies_found"):
    """All the stage's dependencies were found in one look. The payload holds what was matched, by name."""

    stage: str
    now: int


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
    attempt is due at `retry_at`), `failed` or `cancelled`. The payload holds outputs, result and error."""

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
    """What a stage has left standing; not `certain` where it may have."""

    stage: str
    certain: bool


class RollbackPlanned(_Kind, frozen=True, tag="rollback_planned"):
    """The run goes back: the ordered list of what is to be undone, never worked out anew. `stage` (or the
    block of `index`) is what failed first; the payload holds that error. `residue` has no rollback."""

    cause: str
    blocks: tuple[UndoBlock, ...]
    residue: tuple[ResidueItem, ...] = ()
    stage: str = ""
    index: int = 0
    error_kind: str = ""


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


class RunHeld(_Kind, frozen=True, tag="run_held"):
    """A person is needed: `reason` is `code_changed`, `code_gone` or `rollback_failed`."""

    reason: str
    stage: str = ""


class RunReleased(_Kind, frozen=True, tag="run_released"):
    """A person says that the run goes on."""

    by: str


class RunSettled(_Kind, frozen=True, tag="run_settled"):
    """The run has come to rest."""

    status: str
    residue: tuple[ResidueItem, ...] = ()


Body = (
    RunCreated | RunTaken | WhenTested | StageSkipped | StageFailed | StageWaiting | DependenciesFound
    | AttemptStarted | AttemptEnded | ValidationEnded | BlockValidated | StageCancelled | RollbackPlanned
    | RollbackStarted | RollbackEnded | RunHeld | RunReleased | RunSettled
)  # fmt: skip

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
