"""What `decide` orders. An action is a value; the driver records what it says and then carries it out."""

from __future__ import annotations

from typing import NamedTuple

from clew.core.running.entries import RollbackPlanned, RunSettled


class EvaluateWhen(NamedTuple):
    """Work out the stage's `when`."""

    stage: str


class SkipStage(NamedTuple):
    """Pass the stage over, for the sake of `needs` if it names any."""

    stage: str
    needs: tuple[str, ...]


class SearchDependencies(NamedTuple):
    """Look for all the stage's dependencies, not before that moment."""

    stage: str
    not_before: int


class MakeItems(NamedTuple):
    """Find out for which values the stage is to be done."""

    stage: str


class GatherItems(NamedTuple):
    """All the stage's items are completed: its outputs are theirs, as lists."""

    stage: str


class KeepObjects(NamedTuple):
    """Keep the objects that the rollback of the stage, or of the item, would put back."""

    stage: str


class StartAttempt(NamedTuple):
    """Begin the next attempt of the stage, or of the item, not before that moment."""

    stage: str
    attempt: int
    not_before: int


class ValidateStage(NamedTuple):
    """Test the stage's conditions."""

    stage: str
    attempt: int


class ValidateBlock(NamedTuple):
    """Test the block's own conditions."""

    block: int


class EndAttempt(NamedTuple):
    """Ask what is in flight to end, then kill it."""

    stage: str
    attempt: int


class CancelStage(NamedTuple):
    """Nothing of the stage is in flight: no further attempt of it begins."""

    stage: str


class PlanRollback(NamedTuple):
    """Nothing is in flight any more: record what is to be undone."""

    planned: RollbackPlanned


class StartRollback(NamedTuple):
    """Begin the next try at the stage's rollback, not before that moment."""

    stage: str
    attempt: int
    outcome: str
    not_before: int


class BeginPass(NamedTuple):
    """Go forward again from that block."""

    block: int


class Hold(NamedTuple):
    """Wait for a person."""

    reason: str
    stage: str


class Settle(NamedTuple):
    """The run comes to rest."""

    settled: RunSettled


Action = (
    EvaluateWhen | SkipStage | SearchDependencies | StartAttempt | ValidateStage | ValidateBlock | EndAttempt
    | CancelStage | PlanRollback | StartRollback | Hold | Settle | MakeItems | GatherItems | KeepObjects | BeginPass
)  # fmt: skip
