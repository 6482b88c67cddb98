"""What `decide` orders. An action is a value; the driver records what it says and then carries it out."""

from __future__ import annotations

from msgspec import Struct

from clew.core.running.entries import RollbackPlanned, RunSettled


class EvaluateWhen(Struct, frozen=True):
    """Work out the stage's `when`."""

    stage: str


class SkipStage(Struct, frozen=True):
    """Pass the stage over, for the sake of `needs` if it names any."""

    stage: str
    needs: tuple[str, ...]


class SearchDependencies(Struct, frozen=True):
    """Look for all the stage's dependencies, not before that moment."""

    stage: str
    not_before: int


class MakeItems(Struct, frozen=True):
    """Find out for which values the stage is to be done."""

    stage: str


class GatherItems(Struct, frozen=True):
    """All the stage's items are completed: its outputs are theirs, as lists."""

    stage: str


class KeepObjects(Struct, frozen=True):
    """Keep the objects that the rollback of the stage, or of the item, would put back."""

    stage: str


class StartAttempt(Struct, frozen=True):
    """Begin the next attempt of the stage, or of the item, not before that moment."""

    stage: str
    attempt: int
    not_before: int


class ValidateStage(Struct, frozen=True):
    """Test the stage's conditions."""

    stage: str
    attempt: int


class ValidateBlock(Struct, frozen=True):
    """Test the block's own conditions."""

    block: int


class EndAttempt(Struct, frozen=True):
    """Ask what is in flight to end, then kill it."""

    stage: str
    attempt: int


class CancelStage(Struct, frozen=True):
    """Nothing of the stage is in flight: no further attempt of it begins."""

    stage: str


class PlanRollback(Struct, frozen=True):
    """Nothing is in flight any more: record what is to be undone."""

    planned: RollbackPlanned


class StartRollback(Struct, frozen=True):
    """Begin the next try at the stage's rollback, not before that moment."""

    stage: str
    attempt: int
    outcome: str
    not_before: int


class BeginPass(Struct, frozen=True):
    """Go forward again from that block."""

    block: int


class Hold(Struct, frozen=True):
    """Wait for a person."""

    reason: str
    stage: str


class Settle(Struct, frozen=True):
    """The run comes to rest."""

    settled: RunSettled


Action = (
    EvaluateWhen | SkipStage | SearchDependencies | StartAttempt | ValidateStage | ValidateBlock | EndAttempt
    | CancelStage | PlanRollback | StartRollback | Hold | Settle | MakeItems | GatherItems | KeepObjects | BeginPass
)  # fmt: skip
