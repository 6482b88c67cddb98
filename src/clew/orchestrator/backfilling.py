"""Makes the runs of backfills, a few at a time, each as the next generation of its time.

All that is known of a backfill is in the store: after a crash it goes on where it stood. It never moves a schedule, and
makes no run for a time that has got another one since the backfill was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from clew.core.running.sealed_program import SealedProgram
from clew.orchestrator.creating import Due, RunMaker
from clew.orchestrator.driven_run import DrivenRun, Origin
from clew.orchestrator.recording import AGAIN_MILLISECONDS
from clew.ports import (
    BackfillRow,
    BackfillTime,
    Clock,
    CommitUnknown,
    RunExists,
    Store,
    StoreBusy,
    Tasks,
    Unreadable,
)

CHANGED_BY = "clew"
"""Who ends or pauses a backfill, where no person does."""


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
        self.is_due = False
        """Something is to be done for them, and is done by and by."""
        self._is_stopped = False

    def changed(self, run: DrivenRun) -> None:
        """Something that happened to a run is on record."""
        if run.state.backfill and run.state.is_settled:
            self.look()

    def look(self) -> None:
        """Something may be to be done for a backfill."""
        if not (self.is_due or self._is_stopped or self.only == ""):
            self.is_due = True
            self._tasks.soon(self._see_to_all)

    def stop(self) -> None:
        """No further run is made."""
        self._is_stopped = True

    def _see_to_all(self) -> None:
        self.is_due = False
        if self._is_stopped:
            return
        try:
            for backfill in self._backfills.all(only_open=True):
                if self.only in (None, backfill.backfill_id) and backfill.status == "running":
                    self._see_to(backfill)
        except (StoreBusy, CommitUnknown):
            self.is_due = True
            self._tasks.later(AGAIN_MILLISECONDS, self._see_to_all)

    def _see_to(self, backfill: BackfillRow) -> None:
        """Make as many runs as may be under way at once; or say how it has ended."""
        backfill_id = backfill.backfill_id
        if backfill.stops_on_failure and (failures := self._backfills.failures(backfill_id)):
            self._change(backfill, "stopped", f"{failures} of its runs ended without completing")
            return
        unsettled = len(self._backfills.unsettled(backfill_id))
        room = backfill.at_once - unsettled
        if room <= 0:
            return
        times = self._backfills.next_times(backfill_id, room)
        if times:
            self._run_all(backfill, times)
        elif not unsettled:
            self._change(backfill, "completed", "all its runs have settled")

    def _run_all(self, backfill: BackfillRow, times: list[BackfillTime]) -> None:
        try:
            sealed = self._sealed(backfill)
        except Unreadable as error:
            self._change(backfill, "paused", str(error))
            return
        misfit = "; ".join(_misfits(sealed, msgspec.json.decode(backfill.variables)))
        if misfit:
            self._change(backfill, "paused", misfit)
            return
        made = [self._run(backfill, sealed, time) for time in times]
        if any(made):
            self._look_for_places(backfill.program)
        if not all(made):
            self.look()  # there is room for others

    def _run(self, backfill: BackfillRow, sealed: SealedProgram, time: BackfillTime) -> bool:
        """Make the run of one of its times; False where there is none to be made."""
        found = self._backfills.past_runs(backfill.program, time.run_time, time.run_time).get(time.run_time)
        last = "" if found is None else found[0]
        if last != time.follows:
            # The time has got a run since the backfill was made: by another backfill, or since it was due.
            self._backfills.leave(backfill.backfill_id, time.position, last)
            return False
        run = self._make(backfill, sealed, time)
        try:
            return self._backfills.begin(backfill.backfill_id, time.position, run.record())
        except RunExists:
            return False  # somebody has just made that generation

    def _make(self, backfill: BackfillRow, sealed: SealedProgram, time: BackfillTime) -> DrivenRun:
        # Asked anew each time: what was made in vain is no generation.
        generation = self._store.last_generation(backfill.program, time.run_time) + 1
        variables: Mapping[str, Any] = msgspec.json.decode(backfill.variables)
        return self._maker.make(
            sealed,
            {**sealed.program.variables, **variables},
            requested_by=f"backfill {backfill.backfill_id}",
            origin=msgspec.json.decode(backfill.origin, type=Origin),
            due=Due(time.run_time, generation, backfill=backfill.backfill_id, follows=time.follows),
        )

    def _sealed(self, backfill: BackfillRow) -> SealedProgram:
        version = backfill.version
        if not version:
            row = self._store.schedules.of(backfill.program)
            assert row is not None, "only a program that was live is backfilled by its live version"
            version = row.version
        return self._program_of(version)

    def _change(self, backfill: BackfillRow, status: str, why: str) -> None:
        self._backfills.change(
            backfill.backfill_id, status, before=("running",), at=self._clock.now(), by=CHANGED_BY, why=why
        )


def _misfits(sealed: SealedProgram, variables: Mapping[str, Any]) -> Iterator[str]:
    """Why the version, which may have become live since the backfill was made, can't be run for it."""
    program = sealed.program
    if program.cadence is None or not sealed.has_places:
        yield f"the version {sealed.version[:12]}, which is live, has no cadence"
    for name in variables:
        if name not in program.variables and name not in program.requests:
            yield f"the version {sealed.version[:12]}, which is live, takes no variable '{name}'"
