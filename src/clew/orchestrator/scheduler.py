"""Turns time into runs: what is due is on record as a run, queued, missed or passed over, before anything else.

It sleeps until the next time of any program. All that it knows is in the store (`schedules`): who starts a scheduler on
the same store goes on where the last one stood, and any number of them make each time's run once.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from clew.core.program.model import Json, Program
from clew.core.program.timing_keys import timing_of
from clew.core.running.entries import MISSED_TIME, RunSettled
from clew.core.running.sealed_program import SealedProgram
from clew.core.timing.schedule import DueTime, Pause, next_due, settle
from clew.core.timing.timing import Timing
from clew.orchestrator.creating import Due, RunMaker
from clew.orchestrator.driven_run import DrivenRun, Origin
from clew.orchestrator.programs import ProgramBook
from clew.orchestrator.recording import AGAIN_MILLISECONDS
from clew.ports import (
    Alarm,
    Clock,
    CommitUnknown,
    RunRecord,
    ScheduleRow,
    Store,
    StoreBusy,
    Tasks,
    Timer,
    Unreadable,
)

TIMES_A_TURN_MAX = 200
"""Due times of one program that are settled by one transaction, after which it is another program's turn: it takes a
few tens of milliseconds, and the orchestrator does other things in between."""

REQUESTED_BY = "schedule"
"""Who asks for the runs of due times."""


class Live(NamedTuple):
    """A program that is live: with what it is run, and when."""

    sealed: SealedProgram
    timing: Timing
    origin: Origin


class Scheduler:
    """Handed the store, and `look`, which sees to the queued runs of a program."""

    def __init__(
        self,
        *,
        store: Store,
        maker: RunMaker,
        programs: ProgramBook,
        clock: Clock,
        alarm: Alarm,
        tasks: Tasks,
        look: Callable[[str], None],
        zones: str,
        jitter_milliseconds: int = 0,
    ) -> None:
        """`zones`: the release of the time zone data. `jitter_milliseconds`: over how long the programs that are due at
        one moment are spread, each by its name."""
        self._store = store
        self._schedules = store.schedules
        self._maker = maker
        self._programs = programs
        self._clock = clock
        self._alarm = alarm
        self._tasks = tasks
        self._look = look
        self._zones = zones
        self._jitter = jitter_milliseconds
        self._live: dict[str, Live] = {}
        self._due: list[tuple[int, str]] = []
        """When each program is to be looked at; what does not hold any more is passed over."""
        self._due_at: dict[str, int] = {}
        self._behind: dict[str, None] = {}
        """Programs of which times may have come that are not settled, in the order of their turns."""
        self._turn_is_due = False
        self.settled: Callable[[str, Sequence[DueTime]], None] | None = None
        """Is told of due times of a program that are on record from then on."""
        self._timer: Timer | None = None
        self._is_stopped = False

    # ---- what is live ----

    def go_live(self, sealed: SealedProgram, origin: Origin, source: str) -> None:
        """From here on the program is run when it is due. What came before by the version that was live till now is
        settled first, by its timing; nothing before is due by the new one. Raises StoreError."""
        program = sealed.program
        now = self._clock.now()
        known = self._schedules.of(program.name)
        if known is not None and known.retired_at is None and known.version != sealed.version:
            self._settle_all(sealed, self._timing_before(known.version, sealed), origin, now)
        registered = self._programs.register(sealed)
        facts = (source, msgspec.json.encode(origin).decode(), self._zones)
        if known is None or (known.version, *known[4:]) != (sealed.version, *facts, None):
            self._schedules.go_live(
                program.name, sealed.version, at=now, source=facts[0], origin=facts[1], zones=facts[2]
            )
        timing = timing_of(program)
        if timing is None:
            self._live.pop(program.name, None)
            self._due_at.pop(program.name, None)
            return
        self._live[program.name] = Live(registered, timing, origin)
        self._wait_for_turn(program.name)

    def _timing_before(self, version: str, sealed: SealedProgram) -> Timing | None:
        """That of the version that was live. Where nobody can read it any more, the new one's is the best guess."""
        try:
            return timing_of(self._programs.of_version(version).program)
        except Unreadable:
            return timing_of(sealed.program)

    def retire(self, program: str) -> None:
        """The program is not live any more; its runs stay, and what has come till now is settled. Raises StoreError."""
        live, now = self._live.pop(program, None), self._clock.now()
        self._due_at.pop(program, None)
        if live is not None:
            self._settle_all(live.sealed, live.timing, live.origin, now)
        self._schedules.retire(program, now)

    def live_programs(self) -> list[Program]:
        """The programs that are run when they are due."""
        return [live.sealed.program for live in self._live.values()]

    def next_due(self, program: str) -> int | None:
        """When it is due next, in milliseconds since 1970; None for never."""
        live, row = self._live.get(program), self._schedules.of(program)
        if live is None or row is None:
            return None
        return next_due(live.timing, live_since=row.live_since, settled_until=row.settled_until)

    def stop(self) -> None:
        """Nothing more is made due."""
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()

    # ---- turns ----

    def _wait_for_turn(self, program: str) -> None:
        """The program has its turn as soon as nothing else is to be done."""
        self._behind[program] = None
        if not self._turn_is_due:
            self._turn_is_due = True
            self._tasks.soon(self._turn)

    def _turn(self) -> None:
        """Settle some times of the program that has waited longest. A store that is busy is asked again."""
        self._turn_is_due = False
        if self._is_stopped or not self._behind:
            return
        program = next(iter(self._behind))
        del self._behind[program]
        try:
            if not self._settle(program):
                self._wait_for_turn(program)
        except (StoreBusy, CommitUnknown):
            self._behind[program] = None
            self._turn_is_due = True
            self._tasks.later(AGAIN_MILLISECONDS, self._turn)
            return
        if self._behind and not self._turn_is_due:
            self._turn_is_due = True
            self._tasks.soon(self._turn)

    def _settle(self, program: str) -> bool:
        """Settle due times of the program, as many as one turn may; whether these were all that have come."""
        live = self._live.get(program)
        row = None if live is None else self._schedules.of(program)
        if live is None or row is None or row.retired_at is not None:
            return True
        now = self._clock.now()
        is_complete = self._settle_once(row, live.sealed, live.timing, live.origin, now)
        if is_complete:
            self._sleep(program, live.timing, row, now)
        return is_complete

    def _settle_all(self, sealed: SealedProgram, timing: Timing | None, origin: Origin, now: int) -> None:
        """Settle all that has come by that timing, as runs of the given version. Nothing till now is left to be due by
        any other."""
        name = sealed.program.name
        row = self._schedules.of(name)
        while row is not None and row.retired_at is None and row.settled_until < now:
            if timing is None or self._settle_once(row, sealed, timing, origin, now):
                self._schedules.settle(name, settled_until=row.settled_until, until=now)
            row = self._schedules.of(name)

    def _settle_once(
        self, row: ScheduleRow, sealed: SealedProgram, timing: Timing, origin: Origin, now: int
    ) -> bool:
        if now <= row.settled_until:
            return True
        program = sealed.program
        pauses = [
            Pause(each.paused_at, each.unpaused_at)
            for each in self._schedules.pauses(row.program, row.settled_until)
        ]
        batch = settle(
            timing,
            live_since=row.live_since,
            settled_until=row.settled_until,
            pauses=pauses,
            backfill_milliseconds=program.backfill_milliseconds,
            now=now,
            count_max=TIMES_A_TURN_MAX,
        )
        if not batch.times:
            return True  # nothing to put on record: looking again costs nothing
        records = [
            record
            for due in batch.times
            for record in self._records(sealed, due, origin, makes_up=program.on_missed == "backfill")
        ]
        is_settled = self._schedules.settle(
            row.program, settled_until=row.settled_until, until=batch.settled_until, records=records
        )
        if is_settled and self.settled is not None:
            self.settled(row.program, batch.times)
        self._look(row.program)
        return batch.is_complete

    def _records(
        self, sealed: SealedProgram, due: DueTime, origin: Origin, *, makes_up: bool
    ) -> list[RunRecord]:
        """The run of a due time; with the one that makes up for it, if it was missed."""
        run = self._make(sealed, origin, Due(due.at, generation=1, zones=self._zones))
        if due.verdict == "run":
            return [run.record()]
        is_missed = due.verdict == "missed"
        reason = "window_left" if is_missed else "program_paused"
        run.write(RunSettled(due.verdict, reason=reason), at=self._clock.now())
        if not (is_missed and makes_up):
            return [run.record()]
        follows = run.state.run_id
        again = Due(due.at, generation=2, zones=self._zones, backfill=MISSED_TIME, follows=follows)
        return [run.record(), self._make(sealed, origin, again).record()]

    def _make(self, sealed: SealedProgram, origin: Origin, due: Due) -> DrivenRun:
        variables: dict[str, Json] = dict(sealed.program.variables)
        return self._maker.make(sealed, variables, requested_by=REQUESTED_BY, origin=origin, due=due)

    # ---- sleeping ----

    def _sleep(self, program: str, timing: Timing, row: ScheduleRow, now: int) -> None:
        """Nothing of the program is to be done until its next time."""
        due = next_due(timing, live_since=row.live_since, settled_until=max(row.settled_until, now))
        if due is None:
            self._due_at.pop(program, None)
            return
        at = due + jitter_of(program, self._jitter)
        self._due_at[program] = at
        heapq.heappush(self._due, (at, program))
        if self._due[0] == (at, program):
            self._set_alarm()

    def _set_alarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._alarm.at(self._due[0][0], self._wake) if self._due else None

    def _wake(self) -> None:
        """The time of some program has come."""
        if self._is_stopped:
            return
        now = self._clock.now()
        while self._due and self._due[0][0] <= now:
            at, program = heapq.heappop(self._due)
            if self._due_at.get(program) == at:
                del self._due_at[program]
                self._wait_for_turn(program)
        self._set_alarm()


def jitter_of(program: str, span_milliseconds: int) -> int:
    """How much later than due a program is looked at: always the same for one name, spread evenly over the span."""
    if not span_milliseconds:
        return 0
    digest = hashlib.sha256(program.encode()).digest()
    return int.from_bytes(digest[:8], "big") % span_milliseconds


def variables_wanting(program: Program) -> list[str]:
    """The variables that a request must set: a program that has any can't be run by a cadence."""
    return [name for name in program.requests if name not in program.variables]
