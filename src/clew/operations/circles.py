"""Runs that wait for each other: which of them, so that somebody can let one go."""

from __future__ import annotations

from collections.abc import Iterator

from clew.core.planning.cycles import awaited_by, circle_from
from clew.core.program.model import ProgramDependency
from clew.core.running import statuses
from clew.core.running.decide import wants_place
from clew.operations.records import Records
from clew.operations.results import awaited_time
from clew.operations.standing import in_the_way_of

RUNS_LOOKED_AT_MAX = 50
"""Runs along which a circle is looked for: each costs the reading of a journal."""


def circle_of(records: Records, run_id: str) -> tuple[str, ...]:
    """The ids of the runs that wait for each other, among those that this one waits for; empty where none do. Raises
    StoreError."""
    return circle_from(run_id, lambda one: list(_waits_for(records, one)), RUNS_LOOKED_AT_MAX)


def _waits_for(records: Records, run_id: str) -> Iterator[str]:
    """The unsettled runs without which that one does not go on."""
    row = records.store.run(run_id)
    if row is None or row["status"] in statuses.SETTLED:
        return
    state = records.history(row).state
    if not state.has_place and (not state.launched_at or wants_place(state)):
        yield from in_the_way_of(records.store, state, records.program_of)
    for stage in state.stages.values():
        if stage.status != statuses.WAITING or stage.found:
            continue
        for one in stage.sealed.stage.searched_dependencies:
            if not isinstance(one, ProgramDependency):
                continue
            offset = one.offset_milliseconds
            name = awaited_by(state.program.program, one)
            at = awaited_time(records, name, offset, run_time=state.run_time, is_due=state.is_due)
            other = records.store.last_run(name, run_time=at, besides=run_id)
            if other is not None and other["status"] not in statuses.SETTLED:
                yield other["run_id"]
