"""Sees to it that no more runs of a program are under way than may be, and that the next one starts in its turn.

Who stands where is what the driver holds and what the store has queued; what follows is decided in `core`. It acts when
something has happened to a run, or a queued one leaves its window, and never reads more of a queue than it needs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Protocol

from clew.core.running import statuses
from clew.core.running.decide import wants_place
from clew.core.running.instructions import Instruction
from clew.core.running.places import Decision, Standing, decide_places, in_the_way
from clew.core.running.sealed_program import SealedProgram
from clew.orchestrator.driven_run import DrivenRun
from clew.orchestrator.facts import Fact, Instructed, PassedOver, PlaceOffered
from clew.orchestrator.recording import AGAIN_MILLISECONDS
from clew.ports import (
    Alarm,
    Clock,
    CommitUnknown,
    DrivenElsewhere,
    NoPlace,
    StandingRow,
    Store,
    StoreBusy,
    Tasks,
    Timer,
    Unreadable,
)

QUEUE_LENGTH_MAX = 50
"""Queued runs of one program that are looked at together. More than get a place at once, as a rule; and when all of
them are passed over, it is the turn of the next."""

CANCELLED_BY = "overlap"
"""Who cancels a run in whose way another one is due."""


class TakeUp(Protocol):
    """Has a queued run driven by this orchestrator. Raises StoreError."""

    def __call__(self, row: StandingRow) -> DrivenRun: ...


class Places:
    """The places of all programs whose runs need one."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        alarm: Alarm,
        tasks: Tasks,
        program_of: Callable[[str], SealedProgram],
        take_up: TakeUp,
        notice: Callable[[DrivenRun, Fact], None],
        leave_alone: Callable[[str, Unreadable], None],
        gives: Callable[[str], bool],
    ) -> None:
        """`gives`: whether the places of that program are given here, and not by another orchestrator; raises
        StoreError."""
        self._store = store
        self._clock = clock
        self._alarm = alarm
        self._tasks = tasks
        self._program_of = program_of
        self._take_up = take_up
        self._notice = notice
        self._leave_alone = leave_alone
        self._gives = gives
        self._driven: defaultdict[str, dict[str, DrivenRun]] = defaultdict(dict)
        """The runs of each program that are driven here and not settled, by id."""
        self._left: dict[str, dict[str, StandingRow]] = {}
        """The runs of each program that have begun and that nobody drives: those that wait for a person, or that nobody
        has taken up yet."""
        self._stood: dict[str, tuple[Standing, bool]] = {}
        """How each of them stood when it was last recorded, and whether it stood still: few turns change that."""
        self._told: dict[str, Fact] = {}
        """What a run was told that is not on record yet."""
        self._unreadable: set[str] = set()
        """Queued runs that can't be taken up here: they are in nobody's way."""
        self._to_look: dict[str, None] = {}
        self._alarms: dict[str, tuple[int, Timer]] = {}
        self._is_stopped = False

    # ---- what happens to runs ----

    def came(self, run: DrivenRun) -> None:
        """The run is driven here from now on."""
        if run.state.program.has_places:
            name = run.state.program.program.name
            self._driven[name][run.state.run_id] = run
            self._left.get(name, {}).pop(run.state.run_id, None)

    def changed(self, run: DrivenRun) -> None:
        """Something that happened to the run is on record, or it is not driven here any more."""
        if not run.state.program.has_places:
            return
        name, run_id = run.state.program.program.name, run.state.run_id
        told = self._told.get(run_id)
        # By identity: what was told twice is equal.
        is_news = told is not None and not any(fact is told for fact in run.facts)
        if is_news:
            del self._told[run_id]
        if run.state.is_settled or run.error is not None:
            self._driven[name].pop(run_id, None)
            self._told.pop(run_id, None)
            self._stood.pop(run_id, None)
            is_news = True
        else:
            stands = self._standing(run), run.is_at_rest or run.stands_still
            is_news = is_news or stands != self._stood.get(run_id)
            self._stood[run_id] = stands
        if is_news:
            self.look(name)

    def look(self, program: str) -> None:
        """Something may be to be done for the runs of that program."""
        if not self._to_look and not self._is_stopped:
            self._tasks.soon(self._see_to_all)
        self._to_look[program] = None

    def stop(self) -> None:
        """Nobody gets a place any more."""
        self._is_stopped = True
        for _, timer in self._alarms.values():
            timer.cancel()

    # ---- who is in whose way ----

    def standings(self, program: str) -> list[Standing]:
        """The runs of the program that are under way, and the first that are queued. Raises StoreError."""
        queued = self._store.queued(program, QUEUE_LENGTH_MAX)
        return self._standings(program, queued)

    def _standings(self, program: str, queued: Iterable[StandingRow]) -> list[Standing]:
        driven = self._driven.get(program, {})
        waiting = [
            _standing_of(row, is_queued=True, has_place=False)
            for row in queued
            if row.run_id not in driven and row.run_id not in self._unreadable
        ]
        standing = [run for run in driven.values() if not self._is_passed_over(run)]
        left = self._left.get(program)
        if left is None:
            rows = self._store.under_way(program)
            left = {row.run_id: row for row in rows if row.run_id not in driven}
            self._left[program] = left
        return [*map(self._standing, standing), *map(self._left_standing, left.values()), *waiting]

    def _left_standing(self, row: StandingRow) -> Standing:
        """How a run stands that nobody drives: as the tracker has it. One that nobody can read keeps its place."""
        try:
            frees_place = row.status == statuses.WAITING and self._program_of(row.version).frees_places
        except Unreadable:
            frees_place = False
        return _standing_of(row, is_queued=False, has_place=not frees_place)

    def _is_passed_over(self, run: DrivenRun) -> bool:
        return run.state.is_settled or isinstance(self._told.get(run.state.run_id), PassedOver)

    def _standing(self, run: DrivenRun) -> Standing:
        state = run.state
        told = self._told.get(state.run_id)
        return Standing(
            state.run_id,
            state.run_time,
            state.generation,
            is_queued=not (state.launched_at or state.is_paused or state.ending or told),
            has_place=state.has_place or isinstance(told, PlaceOffered),
            wants_place=wants_place(state),
            is_due=state.is_due,
            makes_up=bool(state.backfill),
            is_ending=bool(state.ending) or isinstance(told, Instructed),
        )

    def check(self, run: DrivenRun) -> None:
        """Raises NoPlace when the run waits for a place that nobody will leave by himself."""
        state = run.state
        told = self._told.get(state.run_id)
        if state.has_place or state.is_settled or told is not None or run.entries or self._is_stopped:
            return
        name = state.program.program.name
        if name in self._to_look:
            return  # it may have its turn at once
        others = in_the_way(state.program.program, self.standings(name), state.run_id)
        holders = [each for each in others if not each.is_queued]
        if not holders or any(self._goes_on(name, each.run_id) for each in holders):
            return
        first = holders[0].run_id
        raise NoPlace(
            f"it is queued behind run {first}, which goes on only when somebody says so: see `clew why {first}`"
        )

    def go_on(self, program: str) -> bool:
        """Whether any run of the program goes on here by itself, or may be about to begin."""
        return program in self._to_look or any(
            self._goes_on(program, run_id) and not self._is_kept_back(run)
            for run_id, run in self._driven[program].items()
        )

    def _is_kept_back(self, run: DrivenRun) -> bool:
        """It waits for a place that nobody will leave by himself."""
        try:
            self.check(run)
        except NoPlace:
            return True
        return False

    def _goes_on(self, program: str, run_id: str) -> bool:
        run = self._driven[program].get(run_id)
        return run is not None and not (run.is_at_rest or run.stands_still)

    def left(self, program: str) -> list[str]:
        """The runs of the program that have begun and that nobody drives. Raises StoreError."""
        self.standings(program)
        return list(self._left.get(program, ()))

    # ---- seeing to them ----

    def _see_to_all(self) -> None:
        programs, self._to_look = list(self._to_look), {}
        for program in programs:
            if self._is_stopped:
                return
            try:
                self.see_to(program)
                self._tell_waiting(program)
            except Unreadable as error:
                self._leave_alone(f"program {program}", error)
            except (StoreBusy, CommitUnknown):
                self._tasks.later(AGAIN_MILLISECONDS, lambda program=program: self.look(program))  # type: ignore[misc]

    def _tell_waiting(self, program: str) -> None:
        """Whoever waits for the rest of a run without a place wants to know whether it may ever get one."""
        for run in self._driven.get(program, {}).values():
            if not run.state.has_place:
                for tell in list(run.awaited_by):
                    tell()

    def see_to(self, program: str) -> None:
        """Decide about the runs of the program, and have that done. Raises StoreError."""
        if not self._gives(program):
            self._left.pop(program, None)  # until they are given here again, others go on
            return
        queued = self._store.queued(program, QUEUE_LENGTH_MAX)
        standings = self._standings(program, queued)
        rules = self._rules(program, queued)
        if rules is None or not rules.has_places:
            return
        rows = {**self._left[program], **{row.run_id: row for row in queued}}
        is_paused = any(each.unpaused_at is None for each in self._store.schedules.pauses(program, 0)[:1])
        decision = decide_places(rules.program, standings, is_paused=is_paused, now=self._clock.now())
        self._carry_out(program, decision, rows)
        if len(decision.passed_over) >= QUEUE_LENGTH_MAX:
            self.look(program)

    def _rules(self, program: str, queued: Iterable[StandingRow]) -> SealedProgram | None:
        """The rules of the version that is newest among the runs, and can be read: it was made last. None where there
        is nothing to decide. Raises Unreadable where none of them can be."""
        versions = {row.run_id: row.version for row in queued}
        driven = self._driven.get(program, {})
        unreadable: Unreadable | None = None
        for newest in sorted({*versions, *driven}, reverse=True):
            try:
                return (
                    driven[newest].state.program if newest in driven else self._program_of(versions[newest])
                )
            except Unreadable as error:
                unreadable = unreadable or error
        if unreadable is not None:
            raise unreadable
        return None

    def _carry_out(self, program: str, decision: Decision, rows: dict[str, StandingRow]) -> None:
        for run_id in decision.cancelled:
            instruction = Instruction("cancel", CANCELLED_BY, "the next run is due, and has no place")
            self._tell(program, run_id, Instructed("", instruction), rows)
        for passed in decision.passed_over:
            self._tell(program, passed.run_id, PassedOver(passed.status, passed.reason), rows)
        for run_id in decision.given:
            self._tell(program, run_id, PlaceOffered(), rows)
        self._set_alarm(program, decision.look_again_at)

    def _tell(self, program: str, run_id: str, fact: Fact, rows: dict[str, StandingRow]) -> None:
        if run_id in self._told:
            return
        run = self._driven[program].get(run_id)
        if run is None:
            try:
                run = self._take_up(rows[run_id])
            except Unreadable as error:
                self._unreadable.add(run_id)
                self._leave_alone(f"run {run_id}", error)
                self.look(program)
                return
            except DrivenElsewhere:
                # Whoever gave the places before is back, and has not noticed yet that he does not any more.
                self._tasks.later(AGAIN_MILLISECONDS, lambda: self.look(program))
                return
        self._told[run_id] = fact
        self._notice(run, fact)

    def _set_alarm(self, program: str, at: int | None) -> None:
        known = self._alarms.get(program)
        if known is not None:
            if known[0] == at:
                return
            known[1].cancel()
            del self._alarms[program]
        if at is not None:

            def look() -> None:
                self._alarms.pop(program, None)
                self.look(program)

            # One more millisecond: the moment itself is in the window.
            self._alarms[program] = at, self._alarm.at(at + 1, look)


def _standing_of(row: StandingRow, *, is_queued: bool, has_place: bool) -> Standing:
    return Standing(
        row.run_id,
        row.run_time,
        row.generation,
        is_queued=is_queued,
        has_place=has_place,
        is_due=bool(row.is_due),
        makes_up=bool(row.backfill),
    )
