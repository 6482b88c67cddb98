"""Which logs there are of a run: one of each attempt and each try at a rollback, in the order in which they began."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from clew.core.running.entries import AttemptStarted, RollbackStarted
from clew.operations.records import History


class Log(NamedTuple):
    """The log of one attempt or rollback of a stage, or of an item. `number`: by which its file is known."""

    stage: str
    work: str
    attempt: int
    number: str


def logs_of(history: History) -> Iterator[Log]:
    """Those of the run, whether anything was written or not."""
    attempts: dict[str, int] = {}
    for entry in history.entries:
        body = entry.body
        if isinstance(body, AttemptStarted):
            attempts[body.stage] = body.attempt
            yield Log(body.stage, "attempt", body.attempt, f"{body.attempt}")
        elif isinstance(body, RollbackStarted):
            number = f"{attempts[body.stage]}.rollback.{body.attempt}"
            yield Log(body.stage, "rollback", body.attempt, number)
