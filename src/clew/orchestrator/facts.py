"""What comes in from the world between two turns of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from clew.ports import AttemptReport, Finding


class AttemptReported(NamedTuple):
    """The stage's attempt of that number ended."""

    stage: str
    attempt: int
    report: AttemptReport


class RollbackReported(NamedTuple):
    """A try at the stage's rollback ended."""

    stage: str
    attempt: int
    report: AttemptReport


class Searched(NamedTuple):
    """A look for the stage's dependencies came back: `found` with the values, or not, and then how near it
    came (`missing`), or what can't be told apart (`ambiguous`), or what the bucket said (`error`).
    `now` is the stage's, as the search saw it."""

    stage: str
    found: Mapping[str, Any] | None
    verdict: str
    message: str
    now: int


class Tested(NamedTuple):
    """A round of tests came back. `key`: the stage's name, or the block's index."""

    key: str | int
    number: int
    findings: tuple[Finding, ...]
    error: str


class Released(NamedTuple):
    """A person says that the run goes on."""

    by: str


Fact = AttemptReported | RollbackReported | Searched | Tested | Released
