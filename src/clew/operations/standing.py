"""Why a run, or a program, is not under way: its cadence, its window, who paused it, who is in its way. Answered from
what is on record, also while nobody drives anything. Moments are milliseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from clew.core.program.model import Json, Program
from clew.core.program.timing_keys import window_of
from clew.core.running import statuses
from clew.core.running.decide import wants_place
from clew.core.running.entries import RunSettled
from clew.core.running.limits import next_limit
from clew.core.running.places import Standing, in_the_way, window_end
from clew.core.running.state import RunState
from clew.operations.records import History
from clew.operations.scheduling import open_pause, pause_document, program_document
from clew.ports import ScheduleRow, Schedules, StandingRow

Document = dict[str, Any]
ProgramOf = Callable[[str], Program]


class Store(Protocol):
    """What is read of a store. Any call may raise StoreError."""

    @property
    def schedules(self) -> Schedules: ...

    def queued(self, program: str, limit: int) -> list[StandingRow]: ...

    def under_way(self, program: str) -> list[StandingRow]: ...


IN_THE_WAY_MAX = 20
"""Runs that are named as being in the way of another."""

QUEUED_MAX = 50
"""Queued runs of a program that are looked at."""


def standing_of(store: Store, history: History, program_of: ProgramOf, now: int) -> Document:
    """What keeps the run from going on, beside what its own stages wait for: `queued`, `window`, `limit`,
    `never_begun`."""
    state = history.state
    program = history.program.program
    limit = next_limit(state)
    return {
        "queued": _queued(store, history, program_of) if _wants_place(state) else None,
        "window": _window(program, now) if state.is_window_closed else None,
        "limit": None if limit is None else {"at": limit.at, "kind": limit.kind, "stage": limit.stage},
        "never_begun": next(
            (entry.body.reason for entry in reversed(history.entries) if isinstance(entry.body, RunSettled)),
            "",
        ),
    }


def _queued(store: Store, history: History, program_of: ProgramOf) -> Document:
    """Who is in the run's way, and by which rule."""
    state, program = history.state, history.program.program
    rows = _rows(store, program.name)
    standings = [_standing(row, program_of) for row in rows.values()]
    others = in_the_way(program, standings, state.run_id)
    pause = open_pause(store, program.name)
    return {
        "since": state.created_at if not state.launched_at else None,
        "max_active_runs": program.max_active_runs,
        "run_order": program.run_order,
        "until": window_end(program, state.run_time)
        if state.is_due and not state.backfill and not state.launched_at
        else None,
        "paused": None if pause is None or not state.is_due else pause_document(pause),
        "in_the_way": [_run(rows[each.run_id]) for each in others[:IN_THE_WAY_MAX]],
        "in_the_way_count": len(others),
    }


def in_the_way_of(store: Store, state: RunState, program_of: ProgramOf) -> list[str]:
    """The ids of the runs for whose sake that one has no place. Raises StoreError."""
    program = state.program.program
    standings = [_standing(row, program_of) for row in _rows(store, program.name).values()]
    return [each.run_id for each in in_the_way(program, standings, state.run_id)]


def _wants_place(state: RunState) -> bool:
    return not state.is_settled and not state.has_place and (not state.launched_at or wants_place(state))


def _rows(store: Store, program: str) -> Mapping[str, StandingRow]:
    rows = [*store.under_way(program), *store.queued(program, QUEUED_MAX)]
    return {row.run_id: row for row in rows}


def _standing(row: StandingRow, program_of: ProgramOf) -> Standing:
    is_queued = row.status == statuses.QUEUED
    frees = row.status == statuses.WAITING and program_of(row.version).run_order == "any"
    return Standing(
        row.run_id, row.run_time, row.generation, is_queued=is_queued, has_place=not (is_queued or frees),
        is_due=bool(row.is_due), makes_up=bool(row.backfill),
    )  # fmt: skip


def _run(row: StandingRow) -> Document:
    return {
        "run_id": row.run_id,
        "status": row.status,
        "scheduled_at": row.run_time,
        "backfill": row.backfill,
    }


def _window(program: Program, now: int) -> Json:
    """Whether the program's window is open, and when that changes."""
    window = window_of(program)
    if window is None:
        return None
    return {
        "opens": program.initial,
        "closes": program.final,
        "is_open": window.is_open(now),
        "changes_at": window.next_edge(now),
    }


def program_explanation(
    store: Store, row: ScheduleRow, program_of: ProgramOf, runs: Iterable[Mapping[str, Any]], now: int
) -> Document:
    """Why the program runs, or does not. `runs`: the rows of its last runs, the newest first."""
    program = program_of(row.version)
    rows = _rows(store, row.program)
    queued = [one for one in rows.values() if one.status == statuses.QUEUED]
    return {
        **program_document(store, row, program),
        "max_active_runs": program.max_active_runs,
        "run_order": program.run_order,
        "overlap": program.overlap,
        "window": _window(program, now),
        "under_way": [_run(one) for one in rows.values() if one.status != statuses.QUEUED][:IN_THE_WAY_MAX],
        "queued": [_run(one) for one in queued][:IN_THE_WAY_MAX],
        "last": [
            {
                "run_id": one["run_id"], "status": one["status"], "cause": one["cause"],
                "scheduled_at": one["run_time"], "ended_at": one["ended_at"],
            }
            for one in runs
        ],
    }  # fmt: skip
