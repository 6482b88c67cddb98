"""From what was decided to the entries that order it, and what is to be done once they are durable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from clew.core.program.model import InputDependency
from clew.core.running import actions
from clew.core.running.consequences import inputs_due_at, inputs_missing
from clew.core.running.entries import (
    AttemptStarted,
    DependenciesFound,
    ItemsGathered,
    ItemsMade,
    PassBegun,
    RollbackStarted,
    RunHeld,
    StageCancelled,
    StageFailed,
    StageSkipped,
    StageWaiting,
    WhenTested,
)
from clew.core.running.limits import waits_until
from clew.core.running.stage_state import StageState
from clew.orchestrator.driven_run import NO_TRIES, NOTHING, DrivenRun, defaults_of
from clew.orchestrator.payloads import PayloadKeeper
from clew.orchestrator.performing import Notice, Performer
from clew.orchestrator.requests import SOURCE, NoItems, items_of
from clew.orchestrator.validating import Validator
from clew.orchestrator.waiting import Waiting
from clew.orchestrator.waking import Waking

PINNED_WORK = {"attempt": ("execute", "validate"), "rollback": ("rollback",)}
"""Whose code must still be what the first attempt pinned, for each kind of work."""


Begin = Callable[[DrivenRun, Sequence[Any]], None]
"""Has done what is on record as ordered."""


class Wake(Protocol):
    """Has the run's next turn come."""

    def __call__(self, run: DrivenRun) -> None: ...


class Orderer:
    """Carries out actions as far as that is possible before anything is durable."""

    def __init__(
        self,
        *,
        performer: Performer,
        payloads: PayloadKeeper,
        validator: Validator,
        waking: Waking,
        notice: Notice,
        begin: Begin,
        wake: Wake,
        waiting: Waiting,
    ) -> None:
        self._performer = performer
        self._waiting = waiting
        self._payloads = payloads
        self._validator = validator
        self._waking = waking
        self._notice = notice
        self._begin = begin
        self._wake = wake
        self.is_draining = False
        """No further stage begins."""

    def carry_out(self, run: DrivenRun, action: actions.Action, at: int) -> None:
        """Write what the action orders, or have it asked of the world."""
        _CARRY_OUT[type(action)](self, run, action, at)

    # ---- before a stage begins ----

    def _evaluate_when(self, run: DrivenRun, action: actions.EvaluateWhen, at: int) -> None:
        stage = run.state.stages[action.stage]
        verdict, message = self._performer.evaluate_when(run, stage, at)
        if message:
            self._fail(run, stage, "expression", message, at)
        else:
            body = WhenTested(action.stage, verdict, stage.now_at or at)
            run.write(body, at=at, block=stage.sealed.block)

    def _skip_stage(self, run: DrivenRun, action: actions.SkipStage, at: int) -> None:
        stage = run.state.stages[action.stage]
        run.write(StageSkipped(action.stage, action.needs), at=at, block=stage.sealed.block)
        run.values.update(defaults_of(stage))

    def _search(self, run: DrivenRun, action: actions.SearchDependencies, at: int) -> None:
        key = ("search", action.stage)
        stage = run.state.stages[action.stage]
        not_before = action.not_before
        if action.stage in run.look_now:
            not_before = 0
        elif self._waiting.looks_for(run, action.stage):
            end = waits_until(run.state, stage)
            if end is None or at < end:
                return
        if self.is_draining or self._is_early(run, not_before, at) or key in run.asked:
            return
        run.look_now = run.look_now - {action.stage} or NOTHING
        now = stage.now_at or at
        missing = inputs_missing(run.state, stage)
        if missing:
            self._wait_for_inputs(run, stage, missing, now, at)
        elif not stage.sealed.stage.searched_dependencies:
            found = {one.name: run.supplied[one.name] for one in stage.sealed.stage.input_dependencies}
            payload = self._payloads.keep(run, {"variables": found})
            run.write(DependenciesFound(stage.name, now), at=at, block=stage.sealed.block, payload=payload)
            run.values.update(found)
        else:
            run.ask(key)
            self._performer.search(run, stage, at, self._notice)
            for other, name in self._waiting.companions(run, stage.name, at):
                self.look_now(other, name)

    def look_now(self, run: DrivenRun, stage: str) -> None:
        """Have a stage that waits for its data look for it before it is due; once more, if it is looking: it may have
        looked already at what has changed since."""
        run.look_now |= {stage}
        self._wake(run)

    def _wait_for_inputs(
        self, run: DrivenRun, stage: StageState, missing: list[InputDependency], now: int, at: int
    ) -> None:
        """Nothing is looked for until somebody supplies them; there is a time when that is too late."""
        names = ", ".join(f"'{one.name}'" for one in missing)
        due_at = inputs_due_at(missing, now=now)
        end = waits_until(run.state, stage)
        due_at = due_at if end is None else min(due_at, end)
        if due_at <= at:
            self._fail(run, stage, "deadline", f"nobody supplied {names} in time", at)
            return
        said = {"missing": f"somebody has to supply {names}", "inputs": [one.name for one in missing]}
        body = StageWaiting(stage.name, stage.looks + 1, due_at, now)
        run.write(body, at=at, block=stage.sealed.block, payload=self._payloads.keep(run, said))

    def _make_items(self, run: DrivenRun, action: actions.MakeItems, at: int) -> None:
        if self.is_draining:
            return
        stage = run.state.stages[action.stage]
        if self._lacks_source(run, stage, at):
            return
        now = stage.now_at or at
        try:
            count = len(items_of(run, stage, now=now))
        except NoItems as error:
            self._fail(run, stage, "for_each", str(error), at)
        else:
            run.write(ItemsMade(stage.name, count, now), at=at, block=stage.sealed.block)

    def _gather_items(self, run: DrivenRun, action: actions.GatherItems, at: int) -> None:
        stage = run.state.stages[action.stage]
        gave = [run.outputs.get(item.name, {}) for item in stage.units]
        outputs = {one.name: [each.get(one.name) for each in gave] for one in stage.sealed.stage.outputs}
        payload = self._payloads.keep(run, {"variables": outputs} if outputs else None)
        run.write(ItemsGathered(stage.name), at=at, block=stage.sealed.block, payload=payload)
        run.gave(stage.name, outputs)
        run.values.update(outputs)

    def _keep_objects(self, run: DrivenRun, action: actions.KeepObjects, at: int) -> None:
        key = ("keep", action.stage)
        _, again_at = run.keep_tries.get(action.stage, NO_TRIES)
        if self._lacks_source(run, run.state.units[action.stage].whole, at):
            return
        if self.is_draining or self._is_early(run, again_at, at) or key in run.asked:
            return
        run.ask(key)
        self._performer.keep(run, run.state.units[action.stage], at, self._notice)

    def _fail(self, run: DrivenRun, stage: StageState, kind: str, message: str, at: int) -> None:
        payload = self._payloads.keep(run, {"error": {"kind": kind, "message": message}})
        run.write(StageFailed(stage.name, kind), at=at, block=stage.sealed.block, payload=payload)

    # ---- attempts ----

    def _start_attempt(self, run: DrivenRun, action: actions.StartAttempt, at: int) -> None:
        if self.is_draining or self._is_early(run, action.not_before, at):
            return
        stage = run.state.units[action.stage]
        if self._lacks_source(run, stage.whole, at):
            return
        if stage.whole.is_pinned and self._is_held_by_code(run, stage, "attempt", at):
            return
        self._start(run, stage, at)

    def _lacks_source(self, run: DrivenRun, stage: StageState, at: int) -> bool:
        """Whether it is yet to be found out what code the stage's first attempt is to run. That is fetched then, and
        known before the attempt is ordered: whatever becomes of that, no other code is run after it."""
        if stage.sealed.stage.source is None or stage.is_pinned or stage.name in run.fetched:
            return False
        key = ("fetch", stage.name)
        tries, again_at = run.fetch_tries.get(stage.name, NO_TRIES)
        if not (self.is_draining or self._is_early(run, again_at, at) or key in run.asked):
            run.ask(key)
            self._performer.fetch(run, stage, at, tries + 1, self._notice)
        return True

    def _start(self, run: DrivenRun, stage: StageState, at: int, *, reexecution: bool = False) -> None:
        """Order the next attempt."""
        written = run.state.written
        inputs = {read: written[read] for read in stage.sealed.reads if read in written} if written else {}
        code = {} if stage.whole.is_pinned else self._performer.code_of(run, stage)
        fetched = None if stage.whole.is_pinned else run.fetched.get(stage.whole.name)
        if fetched is not None:
            code = {**code, SOURCE: fetched["digest"]}
        body = AttemptStarted(stage.name, stage.attempts + 1, reexecution, inputs, code)
        payload = self._payloads.keep(run, {SOURCE: dict(fetched)} if fetched is not None else None)
        run.write(body, at=at, block=stage.sealed.block, payload=payload)
        run.order(body)

    def _validate_stage(self, run: DrivenRun, action: actions.ValidateStage, at: int) -> None:
        stage = run.state.units[action.stage]
        if action.stage not in run.rounds and self._is_held_by_code(run, stage, "attempt", at):
            return
        if not self._validator.stage(run, stage, at, self._notice, self._is_early) or self.is_draining:
            return
        if not self._is_held_by_code(run, stage, "attempt", at):
            self._validator.executed_again(run, action.stage)
            self._start(run, stage, at, reexecution=True)

    def _validate_block(self, run: DrivenRun, action: actions.ValidateBlock, at: int) -> None:
        self._validator.block(run, action.block, at, self._notice, self._is_early)

    def _end_attempt(self, run: DrivenRun, action: actions.EndAttempt, at: int) -> None:
        key = ("end", action.stage)
        if key not in run.asked:
            run.ask(key)
            run.order(action)
            if not run.entries:  # nothing is to be recorded first
                outbox, run.outbox = run.outbox, ()
                self._begin(run, outbox)

    def _cancel_stage(self, run: DrivenRun, action: actions.CancelStage, at: int) -> None:
        stage = run.state.stages[action.stage]
        self._waiting.forget(run, action.stage)
        if ("fetch", action.stage) in run.asked:
            tries, _ = run.fetch_tries.get(action.stage, NO_TRIES)
            self._performer.end_fetch(run, stage, tries + 1)
        for unit in (stage, *stage.units):
            run.rounds.pop(unit.name, None)
        run.write(StageCancelled(action.stage), at=at, block=stage.sealed.block)

    # ---- the way back ----

    def _plan_rollback(self, run: DrivenRun, action: actions.PlanRollback, at: int) -> None:
        block = min(run.state.block, len(run.state.program.blocks))
        run.write(action.planned, at=at, block=block)

    def _start_rollback(self, run: DrivenRun, action: actions.StartRollback, at: int) -> None:
        if self.is_draining or self._is_early(run, action.not_before, at):
            return
        stage = run.state.units[action.stage]
        if self._is_held_by_code(run, stage, "rollback", at):
            return
        body = RollbackStarted(action.stage, action.attempt, action.outcome)
        run.write(body, at=at, block=stage.sealed.block)
        run.order(body)

    def _begin_pass(self, run: DrivenRun, action: actions.BeginPass, at: int) -> None:
        again = [stage for stage in run.state.stages.values() if stage.sealed.block >= action.block]
        for stage in again:
            self._waiting.forget(run, stage.name)
        run.write(PassBegun(action.block), at=at, block=action.block)
        run.forget(again)

    def _hold(self, run: DrivenRun, action: actions.Hold, at: int) -> None:
        unit = run.state.units.get(action.stage)
        block = unit.sealed.block if unit is not None else 0
        run.write(RunHeld(action.reason, action.stage), at=at, block=block)

    def _settle(self, run: DrivenRun, action: actions.Settle, at: int) -> None:
        run.write(action.settled, at=at)

    # ---- what keeps an action from being carried out ----

    def _is_held_by_code(self, run: DrivenRun, stage: StageState, work: str, at: int) -> bool:
        """Code that differs from what the first attempt pinned, or is gone, holds the run."""
        pinned = stage.whole.code
        if not pinned:
            return False
        found = self._performer.code_of(run, stage)
        for part in PINNED_WORK[work]:
            if pinned.get(part, "") != found.get(part, ""):
                reason = "code_changed" if found.get(part) else "code_gone"
                run.write(RunHeld(reason, stage.name), at=at, block=stage.sealed.block)
                return True
        return False

    def _is_early(self, run: DrivenRun, not_before: int, at: int) -> bool:
        """Whether it is too early yet; then the run is woken at that moment."""
        if not_before <= at:
            return False
        self._waking.at(run, not_before)
        return True


_CARRY_OUT: dict[type, Callable[[Orderer, DrivenRun, Any, int], None]] = {
    actions.EvaluateWhen: Orderer._evaluate_when,
    actions.SkipStage: Orderer._skip_stage,
    actions.SearchDependencies: Orderer._search,
    actions.MakeItems: Orderer._make_items,
    actions.GatherItems: Orderer._gather_items,
    actions.KeepObjects: Orderer._keep_objects,
    actions.StartAttempt: Orderer._start_attempt,
    actions.ValidateStage: Orderer._validate_stage,
    actions.ValidateBlock: Orderer._validate_block,
    actions.EndAttempt: Orderer._end_attempt,
    actions.CancelStage: Orderer._cancel_stage,
    actions.PlanRollback: Orderer._plan_rollback,
    actions.StartRollback: Orderer._start_rollback,
    actions.BeginPass: Orderer._begin_pass,
    actions.Hold: Orderer._hold,
    actions.Settle: Orderer._settle,
}
