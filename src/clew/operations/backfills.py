"""Backfills, as one asks for them and as they are shown. Moments are milliseconds since 1970."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from clew.core.program.model import Json, Program
from clew.core.program.timing_keys import timing_of
from clew.core.running import statuses
from clew.core.running.instructions import Instruction
from clew.core.timing.backfilling import TIME_COUNT_MAX, BackfillPlan, Order, PastRun, Which, plan_backfill
from clew.core.timing.zones import instant_at, milliseconds_at
from clew.operations.due_times import instants_between
from clew.operations.records import REST
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
        "unsettled": [
            {"run_id": run_id, "status": status}
            for run_id, status in store.backfills.unsettled(row.backfill_id)
        ],
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
    "cancel": ("cancelled", ("running", "paused", "stopped")),
}
"""What a person can say to a backfill: the status that it gets, and those in which it can be said."""


def change_backfill(store: Store, row: BackfillRow, verb: str, *, at: int, by: str, why: str) -> None:
    """Pause, resume or cancel it, and cancel with it those of its runs that are queued. Raises RequestError where that
    can't be, StoreError."""
    status, before = CHANGES[verb]
    cancel = msgspec.json.encode(Instruction("cancel", by, why)).decode() if verb == "cancel" else ""
    if not store.backfills.change(
        row.backfill_id, status, before=before, at=at, by=by, why=why, cancel=cancel
    ):
        raise RequestError(f"backfill {row.backfill_id} is {row.status}: it can't be told to {verb}")


def is_at_rest(store: Store, row: BackfillRow) -> bool:
    """Whether nothing of it goes on until a person says something: neither a run that was made for it, nor the making
    of further ones. Raises StoreError."""
    unsettled = store.backfills.unsettled(row.backfill_id)
    if any(status not in REST for _, status in unsettled):
        return False
    return row.status != "running" or len(unsettled) >= row.at_once


def ends_with(status: str, runs: Mapping[str, int]) -> list[str]:
    """The statuses of runs by which one tells how well a backfill went: of one that may go on those that need a person,
    or else that of a queued one; of one that is over those of all its runs, and a skipped one's for what it left."""
    if status in ("running", "paused"):
        return [one for one in runs if one in REST - statuses.SETTLED] or [statuses.QUEUED]
    return [*runs, *([] if status == "completed" else [statuses.SKIPPED])]


def listed(rows: Sequence[BackfillRow], store: Store) -> Iterator[Json]:
    """All of them, as documents."""
    return (backfill_document(store, row) for row in rows)
