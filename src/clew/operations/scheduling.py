"""Programs that are live in a store: what is known of them, and what a person says to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from clew.core.program.model import Json, Program
from clew.core.program.problems import nearest
from clew.core.program.timing_keys import timing_of
from clew.core.timing.schedule import next_due
from clew.operations.due_times import in_words
from clew.operations.requests import RequestError
from clew.ports import PauseRow, ScheduleRow, Schedules


class Store(Protocol):
    """What is asked of a store. Any call may raise StoreError."""

    @property
    def schedules(self) -> Schedules: ...


ProgramOf = Callable[[str], Program]
"""The program of a version that the store has."""


def program_documents(store: Store, program_of: ProgramOf) -> list[Json]:
    """Every program that is live in the store, by name: since when, when it is due next, whether it is paused."""
    rows = [row for row in store.schedules.all() if row.retired_at is None]
    return [program_document(store, row, program_of(row.version)) for row in rows]


def program_document(store: Store, row: ScheduleRow, program: Program) -> dict[str, Any]:
    """One of them. `next` is as things are now: a moment in milliseconds since 1970, or None."""
    timing = timing_of(program)
    due = None
    if timing is not None and row.retired_at is None:
        due = next_due(timing, live_since=row.live_since, settled_until=row.settled_until)
    return {
        "program": row.program,
        "version": row.version,
        "source": row.source,
        "live_since": row.live_since,
        "retired_at": row.retired_at,
        "cadence": None if timing is None else in_words(timing),
        "timezone": program.timezone,
        "timezone_data": row.zones,
        "settled_until": row.settled_until,
        "next": due,
        "paused": pause_document(open_pause(store, row.program)),
    }


def open_pause(store: Store, program: str) -> PauseRow | None:
    """The pause of the program that lasts, if one does."""
    pauses = store.schedules.pauses(program, 0)[:1]
    return pauses[0] if pauses and pauses[0].unpaused_at is None else None


def pause_document(pause: PauseRow | None) -> Json:
    """Who paused a program, when and why; None where nobody did."""
    if pause is None:
        return None
    return {"at": pause.paused_at, "by": pause.paused_by, "why": pause.paused_why}


def pause(store: Store, program: str, *, is_paused: bool, at: int, by: str, why: str) -> Json:
    """Pause the program, or let it go on. Raises RequestError where that is so already, or there is no such program."""
    schedules = store.schedules
    if schedules.of(program) is None:
        known = [row.program for row in schedules.all()]
        raise RequestError(
            f"no program '{program}' is live in this store; {nearest(program, known) or 'see `clew programs`'}"
        )
    done = (schedules.pause if is_paused else schedules.unpause)(program, at=at, by=by, why=why)
    if not done:
        raise RequestError(f"{program} is {'paused already' if is_paused else 'not paused'}")
    return {"program": program, "paused": is_paused, "at": at, "by": by, "why": why}
