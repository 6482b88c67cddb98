"""What comes in from the world between two turns of a run. `stage` may be an item of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from clew.core.running.instructions import Instruction
from clew.ports import AttemptReport, Finding, SearchAnswer


class AttemptReported(Struct, frozen=True):
    """The attempt of that number ended. `left`: how it left the objects that its rollback puts back, by place; None
    when nobody could tell, or there are none."""

    stage: str
    attempt: int
    report: AttemptReport
    left: Mapping[str, str | None] | None = None


class RollbackReported(Struct, frozen=True):
    """A try at the rollback ended."""

    stage: str
    attempt: int
    report: AttemptReport


class Searched(Struct, frozen=True):
    """A look for the stage's dependencies came back: `found` with the values of all of them, or not. `now` is the
    stage's, as the search saw it; `asked_at` is before anything was listed."""

    stage: str
    found: Mapping[str, Any] | None
    answer: SearchAnswer
    now: int
    pass_number: int
    asked_at: int


class Kept(Struct, frozen=True):
    """The objects that the stage's rollback would put back were kept; or not, and what the bucket said. `is_final`
    says that trying again can't help."""

    stage: str
    kept: Sequence[Mapping[str, Any]] | None
    error: str
    is_final: bool
    now: int
    pass_number: int


class Fetched(Struct, frozen=True):
    """What the stage's source is now was found out, or not, as the report says. `now` is the stage's."""

    stage: str
    report: AttemptReport
    now: int
    pass_number: int


class Tested(Struct, frozen=True):
    """A round of tests came back. `key`: the stage's name, or the block's index. `attempt`: what was tested, of a block
    the run's pass. `why_not_begun`: the kind of the error for want of which nothing was tested."""

    key: str | int
    attempt: int
    number: int
    findings: tuple[Finding, ...]
    error: str
    why_not_begun: str = ""


class Instructed(Struct, frozen=True):
    """A person tells the run something. `instruction_id` is empty where nobody waits for an answer."""

    instruction_id: str
    instruction: Instruction


class Expired(Struct, frozen=True):
    """The run has been driven for as long as it may be."""


class PlaceOffered(Struct, frozen=True):
    """There is a place for the run among those of its program that are under way."""


class PassedOver(Struct, frozen=True):
    """The run, which is queued, is never begun: it is to be settled in that status, for that reason."""

    status: str
    reason: str


Fact = (
    AttemptReported | RollbackReported | Searched | Kept | Fetched | Tested | Instructed | Expired | PlaceOffered
    | PassedOver
)  # fmt: skip
