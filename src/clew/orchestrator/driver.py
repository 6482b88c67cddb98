"""Drives runs, turn after turn: gather what came in, decide, record, and only then act.

Many runs' turns share a flush: all that are ready in one round of the event loop are recorded by one
transaction. There is one path for a fresh run and for one that is taken up again.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from clew.core.program.model import Dependency, ProgramDependency, VariableDependency
from clew.core.running import actions, statuses
from clew.core.running.consequences import inputs_missing
from clew.core.running.decide import decide
from clew.core.running.entries import RunExpired, RunTaken, WindowClosed, WindowOpened
from clew.core.running.fold_back import INTERRUPTED
from clew.core.running.limits import next_limit, next_wait_end
from clew.core.running.stage_state import StageState
from clew.orchestrator.driven_run import NOTHING, DrivenRun
from clew.orchestrator.facts import Expired, Fact, RollbackReported
from clew.orchestrator.gathering import Gatherer
from clew.orchestrator.ordering import Orderer
from clew.orchestrator.payloads import PayloadKeeper
from clew.orchestrator.performing import Performer
from clew.orchestrator.recording import AGAIN_MILLISECONDS, Recorder
from clew.orchestrator.validating import Validator
from clew.orchestrator.waiting import Answered, Waiting
from clew.orchestrator.waking import Waking
from clew.ports import (
    Alarm,
    AttemptError,
    AttemptReport,
    BucketEvents,
    Chance,
    Clock,
    CommitUnknown,
    Store,
    StoreBusy,
    Tasks,
    Watch,
)

Told = Callable[[DrivenRun], None]
"""Is told of a run."""

MakeUpFor = Callable[[DrivenRun], DrivenRun | None]
"""Makes the run that makes up for one that was missed."""

RUNS_PER_TURN_MAX = 1_000
"""How many runs share one flush: their entries make a transaction of a few megabytes at most."""


class Driver:
    """Drives the runs that are handed to it. All of it happens on the event loop's thread."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        chance: Chance,
        tasks: Tasks,
        alarm: Alarm,
        performer: Performer,
        payloads: PayloadKeeper,
        name: str,
        unsafe: Sequence[str] = (),
        events: BucketEvents | None = None,
    ) -> None:
        """`unsafe`: what was found so of the store, and is put up with; it stands in the journal of each run."""
        self._store = store
        self._recorder = Recorder(store, self._recorded, self._watch)
        self._clock = clock
        self._tasks = tasks
        self._alarm = alarm
        self._performer = performer
        validator = Validator(performer, chance, payloads)
        self._waiting = Waiting(tasks=tasks, events=events, look=self._look, look_now=self._look_now)
        self._waking = Waking(clock=clock, tasks=tasks, wake=self._wake)
        self._gatherer = Gatherer(
            chance=chance, payloads=payloads, validator=validator, waiting=self._waiting
        )
        self._orderer = Orderer(
            performer=performer, payloads=payloads, validator=validator, notice=self.notice, begin=self._begin,
            wake=self._wake, waking=self._waking, waiting=self._waiting,
        )  # fmt: skip
        self._name = name
        self.may_begin: Callable[[], bool] = lambda: True
        """Whether it is sure that nobody else drives these runs: else nothing is begun until it is."""
        self._held_back: deque[tuple[DrivenRun, Sequence[Any]]] = deque()
        """What is on record and was not begun yet."""
        self.gave_up: Callable[[DrivenRun, Exception], None] = _tell_nobody_why
        """Is told of a run that is not driven here any more, though it has not settled, and why."""
        self.unsafe = tuple(unsafe)
        self._ready: deque[DrivenRun] = deque()
        self._turn_is_due = False
        self._is_stopped = False
        self.runs: dict[str, DrivenRun] = {}
        self._came: Told = _tell_nobody
        self._changed: Told = _tell_nobody
        self._make_up_for: MakeUpFor = _make_up_for_nothing

    def tell(self, *, came: Told, changed: Told, make_up_for: MakeUpFor) -> None:
        """Tell of runs of programs with places from here on: when one is driven here, and when something that happened
        to it is on record, or it is not driven any more. What makes up for one is recorded together with it."""
        self._came, self._changed, self._make_up_for = came, changed, make_up_for

    # ---- what comes in ----

    def add(self, run: DrivenRun) -> None:
        """Drive this run from here on: a fresh one with its first entry written, or one that was restored."""
        self.runs[run.state.run_id] = run
        self._came(run)
        self._wake(run)

    def take_up(self, run: DrivenRun) -> None:
        """Drive a run whose driver is gone, under the epoch that fences it. Attempts that did not outlive it are known
        to have ended, though not how: each is an interrupted one. What it waits for may have come meanwhile."""
        run.write(RunTaken(self._name, self.unsafe), at=self._clock.now())
        interrupted = AttemptReport(
            outcome=statuses.UNKNOWN,
            error=AttemptError(INTERRUPTED, "the orchestrator was lost while it ran"),
        )
        run.look_now = (
            frozenset(name for name, stage in run.state.stages.items() if _waits_for_news(run, stage))
            or NOTHING
        )
        for name, stage in run.state.units.items():
            if not (stage.in_flight or stage.rollback_in_flight):
                continue
            if self._performer.recover(run, stage, self.notice):
                continue
            if stage.in_flight:
                self._performer.report(run, name, stage.attempts, interrupted, self.notice)
            else:
                run.notice(RollbackReported(name, stage.rollback_attempts, interrupted))
        self.add(run)

    def notice(self, run: DrivenRun, fact: Fact) -> None:
        """A fact came in; the run's next turn takes it up."""
        run.notice(fact)
        self._wake(run)

    def expire(self, run: DrivenRun) -> None:
        """The run has been driven for as long as it may be."""
        self.notice(run, Expired())

    def refuse(self, instruction_id: str, why: str, *, epoch: int | None) -> None:
        """Answer an instruction that its run can't obey, as long as nobody else drives the run. A store that did not
        take the answer, or may not have, is given it again."""
        if self._is_stopped:
            return
        try:
            self._store.refuse(instruction_id, why, epoch=epoch)
        except (StoreBusy, CommitUnknown):
            self._tasks.later(
                AGAIN_MILLISECONDS,
                lambda: self._guarded(lambda: self.refuse(instruction_id, why, epoch=epoch)),
            )

    def drain(self) -> None:
        """No further stage starts; what runs may finish and is recorded."""
        self._orderer.is_draining = True

    @property
    def is_recording(self) -> bool:
        """What the last turn wrote is not durable yet: the store could not take it."""
        return self._recorder.is_recording

    def stop(self) -> None:
        """Nothing is recorded any more. What was in flight is interrupted, and taken up by whoever comes."""
        self._is_stopped = True
        self._waking.stop()
        self._waiting.stop()
        for run in self.runs.values():
            if run.alarm is not None:
                run.alarm.cancel()

    def _look(self, run: DrivenRun, stage: str, answered: Answered) -> None:
        self._performer.look(run, run.state.stages[stage], self._clock.now(), answered)

    def _look_now(self, run: DrivenRun, stage: str) -> None:
        self._orderer.look_now(run, stage)

    def _wake(self, run: DrivenRun) -> None:
        if run.is_ready or self._is_stopped or run.error is not None:
            return
        run.is_ready = True
        if not run.is_being_recorded:
            self._ready.append(run)
            self._be_due()

    def _be_due(self) -> None:
        if self._ready and not self._turn_is_due and self._recorder.room(len(self._ready)):
            self._turn_is_due = True
            self._tasks.soon(self._turn)

    # ---- a turn ----

    def _turn(self) -> None:
        self._turn_is_due = False
        if not self._is_stopped:
            with _without_collection():
                self._guarded(self._take_turn)
            self._be_due()

    def _guarded(self, part: Callable[[], int | None]) -> None:
        """Take a part of a turn. Whatever escapes it leaves memory ahead of the store: then nothing is recorded
        any more, and the orchestrator ends. A positive answer says when to go on with the batch that waits."""
        try:
            again = part()
        except BaseException:
            self.stop()
            raise
        if again:
            self._tasks.later(again, self._record_again)

    def _record_again(self) -> None:
        if not self._is_stopped:
            self._guarded(self._recorder.again)
            self._be_due()

    def _watch(self, socket: int, milliseconds: int) -> Watch:
        """Have what the store works on finished when it answers there, or does not for so long."""
        return self._tasks.watch(socket, milliseconds, self._store_answered)

    def _store_answered(self) -> None:
        if not self._is_stopped:
            self._guarded(self._recorder.finish)
            self._be_due()

    def _take_turn(self) -> int:
        at = self._clock.now()
        turned: list[DrivenRun] = []
        room = min(self._recorder.room(len(self._ready)), RUNS_PER_TURN_MAX)
        while self._ready and len(turned) < room:
            run = self._ready.popleft()
            run.is_ready = False
            if run.error is not None:
                continue
            self._gather(run, at)
            keeps_time = run.state.program.keeps_time
            if keeps_time:
                self._keep_time(run, at)
            self._decide(run, at)
            if keeps_time:
                self._sleep(run, at)
            if run.entries:
                turned.append(run)
                if run.state.status == statuses.MISSED:
                    again = self._make_up_for(run)
                    turned += [] if again is None else [again]
            else:
                self._answer(run)
                self._let_go(run)
        return self._recorder.record(turned) if turned else 0

    def _gather(self, run: DrivenRun, at: int) -> None:
        facts = run.facts
        if facts:
            run.facts = ()
            for fact in facts:
                self._gatherer.take(run, fact, at)

    def _keep_time(self, run: DrivenRun, at: int) -> None:
        """Write what time has brought about: the program's window has opened or closed, or a time is up."""
        state, window = run.state, run.state.program.window
        if not state.launched_at or state.is_settled:
            return
        if window is not None and window.is_open(at) == state.is_window_closed:
            run.write(WindowOpened() if state.is_window_closed else WindowClosed(), at=at)
        limit = next_limit(state)
        if limit is not None and limit.at <= at:
            run.write(RunExpired(limit.kind, limit.stage), at=at)

    def _sleep(self, run: DrivenRun, at: int) -> None:
        """Have the run's next turn come when time brings about something else, whatever happens until then."""
        state, window = run.state, run.state.program.window
        moments: list[int] = []
        if state.launched_at and not state.is_settled:
            limit = next_limit(state)
            edge = None if window is None else window.next_edge(at)
            end = next_wait_end(state, at)
            if limit is not None:
                moments.append(limit.at)
            moments += [moment for moment in (edge, end) if moment is not None]
        if run.alarm is not None:
            run.alarm.cancel()
            run.alarm = None
        if moments:
            run.alarm = self._alarm.at(min(moments), partial(self._wake, run))

    def _decide(self, run: DrivenRun, at: int) -> None:
        """Decide and write until nothing new follows without the world."""
        state = run.state
        is_news = True
        while is_news:
            is_news = False
            ending = state.ending
            for action in decide(state):
                kind = type(action)
                seq = state.seq
                self._orderer.carry_out(run, action, at)
                if state.seq != seq and kind not in _ONLY_BEGINS:
                    is_news = True
                if state.held:
                    return
                if state.ending != ending:
                    break  # what else was to be done going forward is not to be done any more

    def _recorded(self, run: DrivenRun, error: Exception | None) -> None:
        """What the run's turn wrote is durable: now, and only now, tell of it and act."""
        run.is_being_recorded = False
        if run.error is not None:
            return
        if run.is_ready:
            self._ready.append(run)
        if error is not None:
            self.drop(run, error)
            return
        entries = run.recorded()
        if run.observer is not None:
            for entry in entries:
                run.observer(entry, run.state)
        self._answer(run)
        outbox = run.outbox
        if outbox:
            run.outbox = ()
            self._begin(run, outbox)
        state = run.state
        if state.is_settled or state.held or state.is_paused:
            self._rest(run)
            if state.is_settled:
                self._waiting.settled(state.program.program.name, self._clock.now())
        if state.program.has_places:
            self._changed(run)

    def _begin(self, run: DrivenRun, outbox: Sequence[Any]) -> None:
        """Carry out what is on record; in the order of their records, when it is sure that nobody else drives it."""
        if not self._held_back:
            if self.may_begin():
                self._performer.begin(run, outbox, self.notice)
                return
            self._tasks.later(AGAIN_MILLISECONDS, self._begin_held_back)
        self._held_back.append((run, outbox))

    def _begin_held_back(self) -> None:
        while self._held_back and not self._is_stopped:
            if not self.may_begin():
                self._tasks.later(AGAIN_MILLISECONDS, self._begin_held_back)
                return
            run, outbox = self._held_back.popleft()
            if run.error is None:
                self._performer.begin(run, outbox, self.notice)

    def _answer(self, run: DrivenRun) -> None:
        """Refuse what the run can't obey, now that what keeps it from that is on record."""
        refused, run.refused = run.refused, ()
        for instruction_id, why in refused:
            self.refuse(instruction_id, why, epoch=run.epoch)

    def _rest(self, run: DrivenRun) -> None:
        """The run is settled, or held or paused and perhaps with something in flight still."""
        self._let_go(run)
        if run.awaited_by and (run.is_at_rest or run.stands_still):
            for tell in run.awaited_by:
                tell()

    def _let_go(self, run: DrivenRun) -> None:
        """A run that has settled is driven no more, unless somebody has told it something meanwhile."""
        if run.state.is_settled and not run.facts and self.runs.get(run.state.run_id) is run:
            del self.runs[run.state.run_id]
            self._forget(run)

    def _forget(self, run: DrivenRun) -> None:
        """The run waits for nothing any more."""
        self._waiting.forget_run(run)
        self._waking.forget(run)

    def is_idle(self, run: DrivenRun) -> bool:
        """Whether nothing of the run is under way, or about to be, and all of it is on record."""
        if run.is_ready or run.facts or run.entries or run.asked or run.created is not None:
            return False
        units = run.state.units.values()
        return not any(unit.in_flight or unit.rollback_in_flight for unit in units)

    def drop(self, run: DrivenRun, error: Exception) -> None:
        """Drive the run no more, for that reason: it is another orchestrator's now, or was refused. What it waited for
        here is for nobody."""
        run.error = error
        run.outbox = run.refused = ()
        self.runs.pop(run.state.run_id, None)
        self._forget(run)
        if run.alarm is not None:
            run.alarm.cancel()
        self._performer.abandon(run)
        self._changed(run)
        self.gave_up(run, error)
        for tell in run.awaited_by:
            tell()


@contextmanager
def _without_collection() -> Iterator[None]:
    """Nobody looks for garbage amid a turn: what it makes for its runs, up to the flush, is all in use until then, and
    to find that out again and again takes one part in twenty of its time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _make_up_for_nothing(run: DrivenRun) -> None:
    """What is missed stays missed."""


def _tell_nobody(run: DrivenRun) -> None:
    """Nobody wants to know."""


def _tell_nobody_why(run: DrivenRun, error: Exception) -> None:
    """Nobody wants to know."""


def _waits_for_news(run: DrivenRun, stage: StageState) -> bool:
    """Nobody is told any more what has changed for the stage, in buckets or among other runs, until it has looked."""
    if stage.status != statuses.WAITING or stage.found or inputs_missing(run.state, stage):
        return False
    told_of = (Dependency, ProgramDependency, VariableDependency)
    return any(isinstance(one, told_of) for one in stage.sealed.stage.dependencies)


_ONLY_BEGINS = frozenset({actions.StartAttempt, actions.StartRollback})
"""What puts something in flight and so leaves nothing more to decide: the world has the word."""
