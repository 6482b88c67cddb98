"""What becomes of the due times of a program: a run, a record that it was missed, or one that it was passed over.

Pure: which times are settled already, the pauses and the moment come in. Moments are milliseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from clew.core.timing.late import LATE_MILLISECONDS_MAX
from clew.core.timing.timing import Timing
from clew.core.timing.zones import instant_at, milliseconds_at

Verdict = Literal["run", "missed", "skipped"]


class Pause(Struct, frozen=True):
    """A program was paused from that moment on, until the other one; until further notice if that is None."""

    paused_at: int
    unpaused_at: int | None = None

    def holds(self, moment: int) -> bool:
        """Whether the program was paused at that moment."""
        return self.paused_at <= moment and (self.unpaused_at is None or moment < self.unpaused_at)


class DueTime(Struct, frozen=True):
    """A time that is due, and what becomes of it."""

    at: int
    verdict: Verdict


class Batch(Struct, frozen=True):
    """Due times in order. With them all times up to and including `settled_until` are settled; there are more that have
    come already unless it is `complete`."""

    times: tuple[DueTime, ...]
    settled_until: int
    is_complete: bool


def next_due(timing: Timing, *, live_since: int, settled_until: int) -> int | None:
    """The first due time that is not settled; None if there is none."""
    if timing.is_once_when_live:
        return live_since if live_since > settled_until else None
    found = timing.next(instant_at(settled_until))
    return None if found is None else milliseconds_at(found)


def settle(
    timing: Timing,
    *,
    live_since: int,
    settled_until: int,
    pauses: Sequence[Pause],
    backfill_milliseconds: int | None,
    now: int,
    count_max: int,
) -> Batch:
    """What becomes of the due times that have come and are not settled: of `count_max` at most.

    A time at which the program was paused is `skipped`. Any other is run if it is not late, or not further back than
    `backfill_milliseconds`; else it is `missed`.
    """
    times: list[DueTime] = []
    at = settled_until
    while len(times) < count_max:
        due = next_due(timing, live_since=live_since, settled_until=at)
        if due is None or due > now:
            return Batch(tuple(times), max(at, now), is_complete=True)
        at = due
        times.append(DueTime(due, _verdict(due, pauses, backfill_milliseconds, now)))
    return Batch(tuple(times), at, is_complete=False)


def _verdict(due: int, pauses: Sequence[Pause], backfill_milliseconds: int | None, now: int) -> Verdict:
    if any(pause.holds(due) for pause in pauses):
        return "skipped"
    reach = max(LATE_MILLISECONDS_MAX, backfill_milliseconds or 0)
    return "run" if now - due <= reach else "missed"
