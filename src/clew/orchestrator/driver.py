"""Drives runs, turn after turn: gather what came in, decide, record, and only then act.

Many runs' turns share a flush: all that are ready in one round of the event loop are recorded by one
transaction. There is one path for a fresh run and for one that is taken up again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from clew.core.running import actions, statuses
from clew.core.running.consequences import attempt_ended, look_again_at, rollback_ended
from clew.core.running.decide import decide
from clew.core.running.entries import (
    AttemptStarted,
    DependenciesFound,
    RollbackStarted,
    RunHeld,
    RunReleased,
    RunTaken,
    StageCancelled,
    StageFailed,
    StageSkipped,
    StageWaiting,
    WhenTested,
)
from clew.core.running.state import INTERRUPTED, StageState
from clew.orchestrator.driven_run import DrivenRun, defaults_of
from clew.orchestrator.facts import AttemptReported, Fact, Released, RollbackReported, Searched, Tested
from clew.orchestrator.payloads import PayloadKeeper, report_payload
from clew.orchestrator.performing import Performer
from clew.orchestrator.recording import Recorder
from clew.orchestrator.validating import Validator
from clew.ports import AttemptError, AttemptReport, Chance, Clock, Store, Tasks

RUNS_PER_TURN_MAX = 1_000
"""How many runs share one flush: their entries make a transaction of a few megabytes at most."""

BUCKET_ERROR_DELAY_MILLISECONDS = 5_000
"""A bucket that could not answer is asked again so soon: its error says nothing about the data."""

PINNED_WORK = {"attempt": ("execute", "validate"), "rollback": ("rollback",)}
"""Whose code must still be what the first attempt pinned, for each kind of work."""


class Driver:
    """Drives the runs that are handed to it. All of it happens on the event loop's thread."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        chance: Chance,
        tasks: Tasks,
        performer: Performer,
        payloads: PayloadKeeper,
        name: str,
    ) -> None:
        self._recorder = Recorder(store, self._recorded)
        self._clock = clock
        self._chance = chance
        self._tasks = tasks
        self._performer = performer
        self._payloads = payloads
        self._validator = Validator(performer, chance, payloads)
        self._name = name
        self._ready: deque[DrivenRun] = deque()
        self._turn_is_due = False
        self._is_draining = False
        self._is_stopped = False
        self.runs: dict[str, DrivenRun] = {}

    # ---- what comes in ----

    def add(self, run: DrivenRun) -> None:
        """Drive this run from here on: a fresh one with its first entry written, or one that was restored."""
        self.runs[run.state.run_id] = run
        self._wake(run)

    def take_up(self, run: DrivenRun) -> None:
        """Drive a run whose driver is gone, under the epoch that fences it. Its attempts are known to have
        ended, though not how: each is an interrupted one."""
        run.write(RunTaken(self._name), at=self._clock.now())
        interrupted = AttemptReport(
            outcome=statuses.UNKNOWN,
            error=AttemptError(INTERRUPTED, "the orchestrator was lost while it ran"),
        )
        for name, stage in run.state.stages.items():
            if stage.in_flight:
                run.facts.append(AttemptReported(name, stage.attempts, interrupted))
            if stage.rollback_in_flight:
                run.facts.append(RollbackReported(name, stage.rollback_attempts, interrupted))
        self.add(run)

    def notice(self, run: DrivenRun, fact: Fact) -> None:
        """A fact came in; the run's next turn takes it up."""
        run.facts.append(fact)
        self._wake(run)

    def drain(self) -> None:
        """No further stage starts; what runs may finish and is recorded."""
        self._is_draining = True

    def stop(self) -> None:
        """Nothing is recorded any more. What was in flight is interrupted, and taken up by whoever comes."""
        self._is_stopped = True
        for run in self.runs.values():
            for timer in run.timers.values():
                timer.cancel()

    def _wake(self, run: DrivenRun) -> None:
        if run.is_ready or self._is_stopped or run.error is not None:
            return
        run.is_ready = True
        self._ready.append(run)
        self._be_due()

    def _be_due(self) -> None:
        if self._ready and not self._turn_is_due and not self._recorder.is_waiting:
            self._turn_is_due = True
            self._tasks.soon(self._turn)

    # ---- a turn ----

    def _turn(self) -> None:
        self._turn_is_due = False
        if not self._is_stopped:
            self._guarded(self._take_turn)
            self._be_due()

    def _guarded(self, part: Callable[[], int]) -> None:
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

    def _take_turn(self) -> int:
        at = self._clock.now()
        turned: list[DrivenRun] = []
        while self._ready and len(turned) < RUNS_PER_TURN_MAX:
            run = self._ready.popleft()
            run.is_ready = False
            if run.error is not None:
                continue
            self._gather(run, at)
            self._decide(run, at)
            if run.entries:
                turned.append(run)
        return self._recorder.record(turned) if turned else 0

    def _gather(self, run: DrivenRun, at: int) -> None:
        facts = run.facts
        if facts:
            run.facts = []
            for fact in facts:
                _GATHER[type(fact)](self, run, fact, at)

    def _decide(self, run: DrivenRun, at: int) -> None:
        """Decide and write until nothing new follows without the world."""
        state = run.state
        is_news = True
        while is_news:
            is_news = False
            is_failing = state.is_failing
            for action in decide(state):
                kind = type(action)
                seq = state.seq
                _CARRY_OUT[kind](self, run, action, at)
                if state.seq != seq and kind not in _ONLY_BEGINS:
                    is_news = True
                if state.held:
                    return
                if state.is_failing is not is_failing:
                    break  # what else was to be done going forward is not to be done any more

    def _recorded(self, run: DrivenRun, error: Exception | None) -> None:
        """What the run's turn wrote is durable: now, and only now, tell of it and act."""
        if error is not None:
            self._give_up(run, error)
            return
        entries = run.recorded()
        if run.observer is not None:
            for entry in entries:
                run.observer(entry, run.state)
        outbox = run.outbox
        if outbox:
            run.outbox = []
            self._performer.begin(run, outbox, self.notice)
        state = run.state
        if state.is_settled or state.held:
            self._rest(run)

    def _rest(self, run: DrivenRun) -> None:
        """The run is settled, or held and perhaps with something in flight still."""
        if run.state.is_settled:
            del self.runs[run.state.run_id]
        if run.settled is not None and run.is_at_rest:
            run.settled()

    def _give_up(self, run: DrivenRun, error: Exception) -> None:
        """The run is another orchestrator's now, or was refused: what it waited for here is for nobody."""
        run.error = error
        run.outbox = []
        del self.runs[run.state.run_id]
        for timer in run.timers.values():
            timer.cancel()
        self._performer.abandon(run)
        if run.settled is not None:
            run.settled()

    # ---- facts -> entries ----

    def _attempt_reported(self, run: DrivenRun, fact: AttemptReported, at: int) -> None:
        stage = run.state.stages[fact.stage]
        if not stage.in_flight or stage.attempts != fact.attempt:
            return
        if run.asked:
            run.asked.discard(("end", fact.stage))
        report = fact.report
        error_kind = report.error.kind if report.error is not None else ""
        if report.outcome == statuses.COMPLETED:
            run.outputs[fact.stage] = report.outputs
            jitter = 0
        else:
            jitter = self._chance.permille()
        body = attempt_ended(run.state, stage, report.outcome, error_kind, at=at, jitter_permille=jitter)
        payload = self._payloads.keep(run, report_payload(report))
        run.write(body, at=at, block=stage.sealed.block, payload=payload)
        if body.becomes == statuses.COMPLETED:
            run.values.update(report.outputs)
        if body.becomes != statuses.VALIDATING and run.rounds:
            run.rounds.pop(fact.stage, None)

    def _rollback_reported(self, run: DrivenRun, fact: RollbackReported, at: int) -> None:
        stage = run.state.stages[fact.stage]
        if not stage.rollback_in_flight or stage.rollback_attempts != fact.attempt:
            return
        error_kind = fact.report.error.kind if fact.report.error is not None else ""
        body = rollback_ended(
            stage, fact.report.outcome, error_kind, at=at, jitter_permille=self._chance.permille()
        )
        payload = self._payloads.keep(run, report_payload(fact.report))
        run.write(body, at=at, block=stage.sealed.block, payload=payload)

    def _searched(self, run: DrivenRun, fact: Searched, at: int) -> None:
        run.asked.discard(("search", fact.stage))
        stage = run.state.stages[fact.stage]
        if stage.found or stage.status not in (statuses.PENDING, statuses.WAITING) or run.state.is_failing:
            return
        block = stage.sealed.block
        if fact.found is not None:
            payload = self._payloads.keep(run, {"variables": dict(fact.found)})
            run.write(DependenciesFound(fact.stage, fact.now), at=at, block=block, payload=payload)
            run.values.update(fact.found)
        elif fact.verdict == "ambiguous":
            payload = self._payloads.keep(run, {"error": {"kind": "ambiguous", "message": fact.message}})
            run.write(StageFailed(fact.stage, "ambiguous"), at=at, block=block, payload=payload)
        else:
            look = stage.looks + 1
            again = at + BUCKET_ERROR_DELAY_MILLISECONDS
            if fact.verdict == "missing":
                again = look_again_at(stage.sealed.stage.delay, look, at=at)
            payload = self._payloads.keep(run, {fact.verdict: fact.message})
            run.write(StageWaiting(fact.stage, look, again, fact.now), at=at, block=block, payload=payload)

    def _tested(self, run: DrivenRun, fact: Tested, at: int) -> None:
        self._validator.tested(run, fact, at)

    def _released(self, run: DrivenRun, fact: Released, at: int) -> None:
        if run.state.held:
            run.write(RunReleased(fact.by), at=at)

    # ---- actions -> entries, and what to do once they are durable ----

    def _evaluate_when(self, run: DrivenRun, action: actions.EvaluateWhen, at: int) -> None:
        stage = run.state.stages[action.stage]
        verdict, message = self._performer.evaluate_when(run, stage, at)
        block = stage.sealed.block
        if message:
            payload = self._payloads.keep(run, {"error": {"kind": "expression", "message": message}})
            run.write(StageFailed(action.stage, "expression"), at=at, block=block, payload=payload)
        else:
            run.write(WhenTested(action.stage, verdict, stage.now_at or at), at=at, block=block)

    def _skip_stage(self, run: DrivenRun, action: actions.SkipStage, at: int) -> None:
        stage = run.state.stages[action.stage]
        run.write(StageSkipped(action.stage, action.needs), at=at, block=stage.sealed.block)
        run.values.update(defaults_of(stage))

    def _search(self, run: DrivenRun, action: actions.SearchDependencies, at: int) -> None:
        if self._is_draining or self._is_early(run, ("search", action.stage), action.not_before, at):
            return
        if ("search", action.stage) not in run.asked:
            run.asked.add(("search", action.stage))
            self._performer.search(run, run.state.stages[action.stage], at, self.notice)

    def _start_attempt(self, run: DrivenRun, action: actions.StartAttempt, at: int) -> None:
        stage = run.state.stages[action.stage]
        if self._is_draining or self._is_early(run, ("start", action.stage), action.not_before, at):
            return
        if stage.started_at and self._is_held_by_code(run, stage, "attempt", at):
            return
        self.start(run, stage, at)

    def start(self, run: DrivenRun, stage: StageState, at: int, *, reexecution: bool = False) -> None:
        """Order the stage's next attempt."""
        name = stage.sealed.stage.name
        written = run.state.written
        inputs = {read: written[read] for read in stage.sealed.reads if read in written} if written else {}
        code = {} if stage.started_at else self._performer.code_of(run, stage)
        body = AttemptStarted(name, stage.attempts + 1, reexecution, inputs, code)
        run.write(body, at=at, block=stage.sealed.block)
        run.outbox.append(body)

    def _validate_stage(self, run: DrivenRun, action: actions.ValidateStage, at: int) -> None:
        stage = run.state.stages[action.stage]
        if action.stage not in run.rounds and self._is_held_by_code(run, stage, "attempt", at):
            return
        if not self._validator.stage(run, stage, at, self.notice, self._is_early) or self._is_draining:
            return
        if not self._is_held_by_code(run, stage, "attempt", at):
            self._validator.executed_again(run, action.stage)
            self.start(run, stage, at, reexecution=True)

    def _validate_block(self, run: DrivenRun, action: actions.ValidateBlock, at: int) -> None:
        self._validator.block(run, action.block, at, self.notice, self._is_early)

    def _end_attempt(self, run: DrivenRun, action: actions.EndAttempt, at: int) -> None:
        key = ("end", action.stage)
        if key not in run.asked:
            run.asked.add(key)
            run.outbox.append(action)
            if not run.entries:  # nothing is to be recorded first
                outbox, run.outbox = run.outbox, []
                self._performer.begin(run, outbox, self.notice)

    def _cancel_stage(self, run: DrivenRun, action: actions.CancelStage, at: int) -> None:
        stage = run.state.stages[action.stage]
        for work in ("start", "search", "validate"):
            timer = run.timers.pop((work, action.stage), None)
            if timer is not None:
                timer.cancel()
        run.write(StageCancelled(action.stage), at=at, block=stage.sealed.block)

    def _plan_rollback(self, run: DrivenRun, action: actions.PlanRollback, at: int) -> None:
        run.write(action.planned, at=at, block=run.state.block)

    def _start_rollback(self, run: DrivenRun, action: actions.StartRollback, at: int) -> None:
        if self._is_draining or self._is_early(run, ("rollback", action.stage), action.not_before, at):
            return
        stage = run.state.stages[action.stage]
        if self._is_held_by_code(run, stage, "rollback", at):
            return
        body = RollbackStarted(action.stage, action.attempt, action.outcome)
        run.write(body, at=at, block=stage.sealed.block)
        run.outbox.append(body)

    def _hold(self, run: DrivenRun, action: actions.Hold, at: int) -> None:
        run.write(
            RunHeld(action.reason, action.stage), at=at, block=run.state.stages[action.stage].sealed.block
        )

    def _settle(self, run: DrivenRun, action: actions.Settle, at: int) -> None:
        run.write(action.settled, at=at)

    def _is_held_by_code(self, run: DrivenRun, stage: StageState, work: str, at: int) -> bool:
        """Code that differs from what the first attempt pinned, or is gone, holds the run."""
        pinned = stage.code
        if not pinned:
            return False
        found = self._performer.code_of(run, stage)
        for part in PINNED_WORK[work]:
            if pinned.get(part, "") != found.get(part, ""):
                reason = "code_changed" if found.get(part) else "code_gone"
                run.write(RunHeld(reason, stage.sealed.stage.name), at=at, block=stage.sealed.block)
                return True
        return False

    def _is_early(self, run: DrivenRun, key: Any, not_before: int, at: int) -> bool:
        """Whether it is too early yet; then the run is woken at that moment."""
        if not_before <= at:
            timer = run.timers.pop(key, None)
            if timer is not None:  # the clock was put forward meanwhile
                timer.cancel()
            return False
        if key not in run.timers:

            def due() -> None:
                run.timers.pop(key, None)
                self._wake(run)

            run.timers[key] = self._tasks.later(not_before - at, due)
        return True


_ONLY_BEGINS = frozenset({actions.StartAttempt, actions.StartRollback})
"""What puts something in flight and so leaves nothing more to decide: the world has the word."""

_GATHER: dict[type, Callable[[Driver, DrivenRun, Any, int], None]] = {
    AttemptReported: Driver._attempt_reported,
    RollbackReported: Driver._rollback_reported,
    Searched: Driver._searched,
    Tested: Driver._tested,
    Released: Driver._released,
}

_CARRY_OUT: dict[type, Callable[[Driver, DrivenRun, Any, int], None]] = {
    actions.EvaluateWhen: Driver._evaluate_when,
    actions.SkipStage: Driver._skip_stage,
    actions.SearchDependencies: Driver._search,
    actions.StartAttempt: Driver._start_attempt,
    actions.ValidateStage: Driver._validate_stage,
    actions.ValidateBlock: Driver._validate_block,
    actions.EndAttempt: Driver._end_attempt,
    actions.CancelStage: Driver._cancel_stage,
    actions.PlanRollback: Driver._plan_rollback,
    actions.StartRollback: Driver._start_rollback,
    actions.Hold: Driver._hold,
    actions.Settle: Driver._settle,
}
