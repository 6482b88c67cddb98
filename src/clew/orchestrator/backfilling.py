"""Makes the runs of backfills, a few at a time, each as the next generation of its time.

All that is known of a backfill is in the store: after a crash it goes on where it stood. It never moves a schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from clew.core.running import statuses
from clew.core.running.sealed_program import SealedProgram
from clew.orchestrator.creating import Due, RunMaker
from clew.orchestrator.driven_run import DrivenRun, Origin
from clew.orchestrator.recording import AGAIN_MILLISECONDS
from clew.ports import BackfillRow, Clock, CommitUnknown, RunExists, Store, StoreBusy, Tasks

CHANGED_BY = "clew"
"""Who ends a backfill that nobody ends."""


class Backfiller:
    """Sees to the backfills of a store; with `only` to no other than that one."""

    def __init__(
        self,
        *,
        store: Store,
        maker: RunMaker,
        clock: Clock,
        tasks: Tasks,
        program_of: Callable[[str], SealedProgram],
        look_for_places: Callable[[str], None],
    ) -> None:
        self._store = store
        self._backfills = store.backfills
        self._maker = maker
        self._clock = clock
        self._tasks = tasks
        self._program_of = program_of
        self._look_for_places = look_for_places
        self.only: str | None = ""
        """Which backfills: all for None, none for an empty text."""
        self._is_due = False
        self._is_stopped = False

    def changed(self, run: DrivenRun) -> None:
        """Something that happened to a run is on record."""
        if run.state.backfill and run.state.is_settled:
            self.look()

    def look(self) -> None:
        """Something may be to be done for a backfill."""
        if not (self._is_due or self._is_stopped or self.only == ""):
            self._is_due = True
            self._tasks.soon(self._see_to_all)

    def stop(self) -> None:
        """No further run is made."""
        self._is_stopped = True

    def _see_to_all(self) -> None:
        self._is_due = False
        if self._is_stopped:
            return
        try:
            for backfill in self._backfills.all(only_open=True):
                if self.only in (None, backfill.backfill_id) and backfill.status == "running":
                    self._see_to(backfill)
        except (StoreBusy, CommitUnknown):
            self._tasks.later(AGAIN_MILLISECONDS, self.look)

    def _see_to(self, backfill: BackfillRow) -> None:
        """Make as many runs as may be under way at once; or say how it has ended."""
        counts = self._backfills.counts(backfill.backfill_id)
        unsettled = sum(
            count for status, count in counts.items() if status and status not in statuses.SETTLED
        )
        failed = _failed_count(counts)
        if failed and backfill.stops_on_failure:
            self._end(backfill, "stopped", f"{failed} of its runs ended without completing")
            return
        room = backfill.at_once - unsettled
        times = self._backfills.next_times(backfill.backfill_id, room) if room > 0 else []
        if room > 0 and not times and not unsettled:
            self._end(backfill, "completed", "all its runs have settled")
            return
        for time in times:
            run = self._make(backfill, time.run_time, time.follows)
            try:
                self._backfills.begin(backfill.backfill_id, time.position, run.record())
            except RunExists:
                self.look()  # somebody has just made that generation: then it is the one after
        if times:
            self._look_for_places(backfill.program)

    def _make(self, backfill: BackfillRow, run_time: int, follows: str) -> DrivenRun:
        last = self._store.last_run(backfill.program, run_time=run_time)
        due = Due(
            run_time, backfill=backfill.backfill_id, follows=follows if last is None else last["run_id"]
        )
        sealed = self._sealed(backfill)
        variables: Mapping[str, Any] = msgspec.json.decode(backfill.variables)
        return self._maker.make(
            sealed,
            {**sealed.program.variables, **variables},
            requested_by=f"backfill {backfill.backfill_id}",
            origin=msgspec.json.decode(backfill.origin, type=Origin),
            due=due,
        )

    def _sealed(self, backfill: BackfillRow) -> SealedProgram:
        version = backfill.version
        if not version:
            row = self._store.schedules.of(backfill.program)
            assert row is not None, "only a program that was live is backfilled by its live version"
            version = row.version
        return self._program_of(version)

    def _end(self, backfill: BackfillRow, status: str, why: str) -> None:
        self._backfills.change(
            backfill.backfill_id, status, before=("running",), at=self._clock.now(), by=CHANGED_BY, why=why
        )


def _failed_count(counts: Mapping[str, int]) -> int:
    """How many of the runs have settled, but not completed."""
    return sum(
        count
        for status, count in counts.items()
        if status in statuses.SETTLED and status != statuses.COMPLETED
    )
