"""Backfills, as one asks for them and as they are shown. Moments are milliseconds since 1970."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

from msgspec import Struct

from clew.core.program.model import Json, Program
from clew.core.program.timing_keys import timing_of
from clew.core.running import statuses
from clew.core.timing.backfilling import TIME_COUNT_MAX, BackfillPlan, Order, PastRun, Which, plan_backfill
from clew.core.timing.zones import instant_at, milliseconds_at
from clew.operations.due_times import instants_between
from clew.operations.requests import RequestError
from clew.ports import BackfillRow, Backfills

TIMES_SHOWN_MAX = 1_000
"""Times that are told one by one."""


class Store(Protocol):
    """What is asked of a store. Any call may raise StoreError."""

    @property
    def backfills(self) -> Backfills: ...


class Wanted(Struct, frozen=True):
    """What somebody wants: a range as it was written, which of its times, in which order."""

    start: str
    end: str
    which: Which = "missing"
    order: Order = "oldest"


class Foreseen(Struct, frozen=True):
    """What a backfill of it would do: the range in moments, both ends in it, and the plan."""

    first: int
    last: int
    plan: BackfillPlan


def foresee(store: Store, program: Program, wanted: Wanted, now: int) -> Foreseen:
    """Which times would be run, as things are now. Times that are still to come are none. Raises RequestError."""
    timing = timing_of(program)
    if timing is None or timing.is_once_when_live:
        raise RequestError(
            f"{program.name} has no cadence, so that no time of it can be made up for; `clew run` runs it"
        )
    start, end = instants_between(program, wanted.start, wanted.end)
    end = min(end, instant_at(now))
    if end < start:
        raise RequestError(f"{wanted.start} is still to come: a backfill is of past times")
    due = [milliseconds_at(at) for at in islice(timing.between(start, end + 1), TIME_COUNT_MAX + 1)]
    if len(due) > TIME_COUNT_MAX:
        raise RequestError(
            f"more than {TIME_COUNT_MAX} times are due between {wanted.start} and {wanted.end}; make several backfills"
        )
    first, last = milliseconds_at(start), milliseconds_at(end)
    found = store.backfills.past_runs(program.name, first, last)
    runs = {at: PastRun(run_id, status) for at, (run_id, status) in found.items()}
    return Foreseen(first, last, plan_backfill(due, runs, which=wanted.which, order=wanted.order))


def foreseen_document(program: Program, foreseen: Foreseen, wanted: Wanted, at_once: int) -> dict[str, Any]:
    """What `clew backfill --dry-run` shows."""
    return {
        "program": program.name,
        "from": foreseen.first,
        "to": foreseen.last,
        "which": wanted.which,
        "order": wanted.order,
        "at_once": at_once,
        "count": len(foreseen.plan.times),
        "times": [{"time": one.at, "follows": one.follows} for one in foreseen.plan.times[:TIMES_SHOWN_MAX]],
        "left": dict(foreseen.plan.left),
    }


def backfill_document(store: Store, row: BackfillRow) -> dict[str, Any]:
    """A backfill, and how far it has come."""
    counts = store.backfills.counts(row.backfill_id)
    return {
        "backfill_id": row.backfill_id,
        "program": row.program,
        "version": row.version or None,
        "from": row.from_time,
        "to": row.to_time,
        "which": row.which,
        "order": row.run_order,
        "at_once": row.at_once,
        "stops_on_failure": bool(row.stops_on_failure),
        "status": row.status,
        "made": {"at": row.made_at, "by": row.made_by, "why": row.made_why},
        "changed": {"at": row.changed_at, "by": row.changed_by, "why": row.changed_why},
        "count": sum(counts.values()),
        "to_do": counts.get("", 0),
        "runs": {status: count for status, count in counts.items() if status},
    }


def times_documents(store: Store, row: BackfillRow) -> list[Json]:
    """Its times, each with its run."""
    return [
        {"time": one.run_time, "run_id": one.run_id, "status": one.status, "follows": one.follows}
        for one in store.backfills.runs(row.backfill_id, TIMES_SHOWN_MAX)
    ]


def find_backfill(store: Store, text: str) -> BackfillRow:
    """The backfill whose id begins so. Raises RequestError."""
    found = store.backfills.like(text)
    if len(found) > 1:
        raise RequestError(f"'{text}' may be any of {len(found)} backfills; give more of the id")
    if not found:
        raise RequestError(f"there is no backfill '{text}'; `clew backfill list` lists them")
    return found[0]


CHANGES = {
    "pause": ("paused", ("running",)),
    "resume": ("running", ("paused", "stopped")),
    "cancel": ("cancelled", ("running", "paused")),
}
"""What a person can say to a backfill: the status that it gets, and those in which it can be said."""


def change_backfill(store: Store, row: BackfillRow, verb: str, *, at: int, by: str, why: str) -> None:
    """Pause, resume or cancel it. Raises RequestError where that can't be."""
    status, before = CHANGES[verb]
    if not store.backfills.change(row.backfill_id, status, before=before, at=at, by=by, why=why):
        raise RequestError(f"backfill {row.backfill_id} is {row.status}: it can't be told to {verb}")


def is_over(status: str) -> bool:
    """Whether it makes no more runs until somebody says so."""
    return status != "running"


def worst_status(counts: Json) -> str:
    """By how its runs have settled: `completed`, or what is worst among them."""
    order = (
        statuses.FAILED, statuses.ROLLBACK_FAILED, statuses.HELD, statuses.ROLLED_BACK, statuses.MISSED,
        statuses.SKIPPED,
    )  # fmt: skip
    return next((status for status in order if counts.get(status)), statuses.COMPLETED)


def listed(rows: Sequence[BackfillRow], store: Store) -> Iterator[Json]:
    """All of them, as documents."""
    return (backfill_document(store, row) for row in rows)
