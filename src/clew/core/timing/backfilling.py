"""Which of a program's past times are to be run, or run again, by a backfill. Moments are milliseconds since 1970."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from msgspec import Struct

from clew.core.running import statuses

Which = Literal["missing", "failed", "all"]
WHICH: tuple[Which, ...] = get_args(Which)
"""`missing`: times that have no run, or a missed one. `failed`: those whose last run ended without completing. `all`:
both, and those that completed or were skipped too."""

Order = Literal["oldest", "newest"]
ORDERS: tuple[Order, ...] = get_args(Order)

TIME_COUNT_MAX = 100_000
"""Times of one backfill: eleven years of hours."""

_FAILED = frozenset({statuses.FAILED, statuses.ROLLED_BACK})


class PastRun(Struct, frozen=True):
    """The last run that there is for a due time."""

    run_id: str
    status: str


class PastTime(Struct, frozen=True):
    """A time that is to be run, and the run that it had before; empty if it had none."""

    at: int
    follows: str = ""


class BackfillPlan(Struct, frozen=True):
    """The times in the order in which they are run; and how many are left as they are, by their last run's status."""

    times: tuple[PastTime, ...]
    left: Mapping[str, int]


def plan_backfill(
    due: Iterable[int], runs: Mapping[int, PastRun], *, which: Which, order: Order
) -> BackfillPlan:
    """Which of these due times are run. One whose last run has not settled is never."""
    times: list[PastTime] = []
    left: Counter[str] = Counter()
    for at in due:
        run = runs.get(at)
        if run is None:
            if which != "failed":
                times.append(PastTime(at))
        elif _is_taken(which, run.status):
            times.append(PastTime(at, run.run_id))
        else:
            left[run.status] += 1
    if order == "newest":
        times.reverse()
    return BackfillPlan(tuple(times), dict(left))


def _is_taken(which: Which, status: str) -> bool:
    if status not in statuses.SETTLED:
        return False
    if which == "missing":
        return status == statuses.MISSED
    return which == "all" or status in _FAILED
