"""From what came in between two turns to the entries that say it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clew.core.program.model import MINUTE, Retry
from clew.core.running import statuses
from clew.core.running.consequences import (
    attempt_ended,
    expires,
    look_again_at,
    looks_evenly,
    rollback_ended,
)
from clew.core.running.entries import (
    DependenciesFound,
    ObjectsKept,
    PlaceGiven,
    ReportRefused,
    RunExpired,
    RunHeld,
    RunSettled,
    StageFailed,
    StageWaiting,
)
from clew.core.running.instructions import Instruction, body_of, payload_of, refusal
from clew.core.running.limits import waits_until
from clew.core.running.retry import retry_delay_milliseconds
from clew.core.running.rollback import is_going_back
from clew.core.running.stage_state import StageState
from clew.orchestrator.driven_run import NO_TRIES, DrivenRun, defaults_of, more
from clew.orchestrator.facts import (
    AttemptReported,
    Expired,
    Fact,
    Fetched,
    Instructed,
    Kept,
    PassedOver,
    PlaceOffered,
    RollbackReported,
    Searched,
    Tested,
)
from clew.orchestrator.payloads import PayloadKeeper, report_payload
from clew.orchestrator.validating import CODE_REASONS, Validator
from clew.orchestrator.waiting import Waiting, is_soon, unsettled_among
from clew.ports import AttemptReport, Chance

BUCKET_ERRORS = Retry(delay_milliseconds=5_000, growth=2, maximum_delay_milliseconds=5 * MINUTE)
"""How soon a bucket that could not answer is asked again: its error says nothing about the data. As long as the run
may wait, since stores that are down for an hour come back."""

MISSING = "missing"
"""The verdict of a search that found nothing."""

KEEP_AGAIN_MILLISECONDS = 1_000
"""How long a bucket that did not give what is to be kept is left alone; each time twice as long."""

KEEP_TRIES_MAX = 5
"""How often a bucket is asked to give what a rollback would put back, before the stage fails for want of it."""


class Gatherer:
    """Writes what a fact says, if it still says anything."""

    def __init__(
        self, *, chance: Chance, payloads: PayloadKeeper, validator: Validator, waiting: Waiting
    ) -> None:
        self._chance = chance
        self._waiting = waiting
        self._payloads = payloads
        self._validator = validator

    def take(self, run: DrivenRun, fact: Fact, at: int) -> None:
        """Write the fact's entry."""
        _TAKE[type(fact)](self, run, fact, at)

    # ---- reports ----

    def _attempt_reported(self, run: DrivenRun, fact: AttemptReported, at: int) -> None:
        stage = run.state.units.get(fact.stage)
        if stage is None or not stage.in_flight or stage.attempts != fact.attempt:
            known = dict(zip(stage.attempt_numbers, stage.outcomes, strict=True)) if stage is not None else {}
            self._refuse_report(run, fact, at, known.get(fact.attempt))
            return
        run.answered(("end", fact.stage))
        report = fact.report
        error_kind = report.error.kind if report.error is not None else ""
        if report.outcome == statuses.COMPLETED:
            run.gave(fact.stage, report.outputs)
            jitter = 0
        else:
            jitter = self._chance.permille()
        body = attempt_ended(run.state, stage, report.outcome, error_kind, at=at, jitter_permille=jitter)
        said = report_payload(report, "variables" if stage.parent is None else "outputs")
        if stage.kept_seq >= 0 and report.outcome != statuses.NOT_BEGUN:
            run.left[fact.stage] = fact.left
            said = {**(said or {}), "left": fact.left}
        run.write(body, at=at, block=stage.sealed.block, payload=self._payloads.keep(run, said))
        if body.becomes == statuses.STARTED:
            self._hold_for_code(run, stage, report, at)
        if body.becomes == statuses.COMPLETED and stage.parent is None:
            run.values.update(report.outputs)
        if body.becomes != statuses.VALIDATING and run.rounds:
            run.rounds.pop(fact.stage, None)

    def _rollback_reported(self, run: DrivenRun, fact: RollbackReported, at: int) -> None:
        stage = run.state.units.get(fact.stage)
        if stage is None or not stage.rollback_in_flight or stage.rollback_attempts != fact.attempt:
            is_last = stage is not None and stage.rollback_attempts == fact.attempt
            self._refuse_report(
                run, fact, at, stage.rollback_outcome if is_last and stage is not None else None
            )
            return
        error_kind = fact.report.error.kind if fact.report.error is not None else ""
        body = rollback_ended(
            stage, fact.report.outcome, error_kind, at=at, jitter_permille=self._chance.permille()
        )
        payload = self._payloads.keep(run, report_payload(fact.report))
        run.write(body, at=at, block=stage.sealed.block, payload=payload)
        self._hold_for_code(run, stage, fact.report, at)

    def _hold_for_code(self, run: DrivenRun, stage: StageState, report: AttemptReport, at: int) -> None:
        """Code that differs from what the first attempt was to run, or is gone, holds the run."""
        if report.outcome != statuses.NOT_BEGUN or report.error is None or run.state.held:
            return
        if report.error.kind in CODE_REASONS:
            run.write(RunHeld(report.error.kind, stage.name), at=at, block=stage.sealed.block)

    def _refuse_report(
        self, run: DrivenRun, fact: AttemptReported | RollbackReported, at: int, known: str | None
    ) -> None:
        """It came too late. That the same was told twice is not worth an entry."""
        report: AttemptReport = fact.report
        is_rollback = isinstance(fact, RollbackReported)
        key = (fact.stage, fact.attempt, is_rollback)
        if run.state.is_settled or report.outcome == known or key in run.state.refused:
            return
        run.write(ReportRefused(fact.stage, fact.attempt, report.outcome, is_rollback), at=at)

    def _tested(self, run: DrivenRun, fact: Tested, at: int) -> None:
        self._validator.tested(run, fact, at)

    # ---- what a stage needs before it begins ----

    def _searched(self, run: DrivenRun, fact: Searched, at: int) -> None:
        run.answered(("search", fact.stage))
        stage = run.state.stages[fact.stage]
        is_awaited = stage.status in (statuses.PENDING, statuses.WAITING) and not stage.found
        if not is_awaited or self._is_of_before(run, stage, fact) or self._is_over(run):
            return
        block, answer = stage.sealed.block, fact.answer
        unsettled = unsettled_among(run, stage, fact, at)
        if unsettled is not None:
            again, message = unsettled
            self._look_again(run, stage, fact, "unsettled", message, again, at)
        elif fact.found is not None:
            self._waiting.forget(run, fact.stage)
            said = {"variables": dict(fact.found), "evidence": dict(answer.evidence)}
            payload = self._payloads.keep(run, said)
            run.write(DependenciesFound(fact.stage, fact.now), at=at, block=block, payload=payload)
            run.values.update(fact.found)
        elif answer.verdict == "ambiguous":
            self._waiting.forget(run, fact.stage)
            self._fail(run, fact.stage, "ambiguous", answer.message, at, evidence=dict(answer.evidence))
        else:
            again = at + self._bucket_error_delay(run, fact)
            if answer.verdict == MISSING:
                delay, look = stage.sealed.stage.delay, stage.looks + 1
                again = look_again_at(delay, look, at=at)
                every = again - at if looks_evenly(delay, look) else 0
                self._waiting.wait(run, fact.stage, answer, fact.asked_at, every=every)
            self._look_again(run, stage, fact, answer.verdict, answer.message, again, at)

    def _look_again(
        self,
        run: DrivenRun,
        stage: StageState,
        fact: Searched,
        verdict: str,
        message: str,
        again: int,
        at: int,
    ) -> None:
        """Write that the stage has looked in vain. A look that a folder's event brought about long before it was due
        is not worth an entry if it says no more than the last one: then the next look stays when it was to be. Nor
        does it count, or delays that grow would grow with each event, or with each answer that a bucket owes. Where
        looks come evenly and are made for many stages, no look is worth one that says no more."""
        if verdict != MISSING:
            self._waiting.look_alone(run, stage.name, fact.asked_at)
        end = waits_until(run.state, stage)
        if end is not None and end <= at:
            self._waiting.forget(run, stage.name)
            self._fail(run, stage.name, "missing", f"its data did not come in time: {message}", at)
            return
        again = again if end is None else min(again, end)
        said = (verdict, *fact.answer.evidence)
        is_early = not is_soon(stage, at) if verdict == MISSING else stage.look_again_at > at
        # Of a run that was taken up it isn't known what it said last, most often this.
        is_as_before = run.said_in_vain.get(stage.name, said if verdict == MISSING else None) == said
        is_needless = is_early or self._waiting.looks_for(run, stage.name)
        if stage.status == statuses.WAITING and is_needless and is_as_before:
            return
        run.said_in_vain[stage.name] = said
        look = stage.looks + (verdict == MISSING)
        payload = self._payloads.keep(run, {verdict: message})
        body = StageWaiting(stage.name, look, again, fact.now)
        run.write(body, at=at, block=stage.sealed.block, payload=payload)

    def _bucket_error_delay(self, run: DrivenRun, fact: Searched) -> int:
        """How long a bucket that did not answer is left alone: longer each time in a row, and never so that many
        come back at the same moment."""
        if fact.answer.verdict != "error":
            if fact.stage in run.unanswered:
                run.unanswered = {name: tries for name, tries in run.unanswered.items() if name != fact.stage}
            return 0
        tries = run.unanswered.get(fact.stage, 0) + 1
        run.unanswered = {**run.unanswered, fact.stage: tries}
        return retry_delay_milliseconds(BUCKET_ERRORS, tries, self._chance.permille())

    def _kept(self, run: DrivenRun, fact: Kept, at: int) -> None:
        run.answered(("keep", fact.stage))
        stage = run.state.units.get(fact.stage)
        if stage is None or self._is_of_before(run, stage, fact) or stage.kept_seq >= 0:
            return
        if stage.status in _FINISHED or self._is_over(run):
            return
        if fact.kept is not None:
            run.kept[fact.stage] = fact.kept
            body = ObjectsKept(fact.stage, len(fact.kept), fact.now)
            payload = self._payloads.keep(run, {"kept": list(fact.kept)})
            run.write(body, at=at, block=stage.sealed.block, payload=payload)
            return
        tries, _ = run.keep_tries.pop(fact.stage, NO_TRIES)
        if not fact.is_final and tries + 1 < KEEP_TRIES_MAX:
            run.keep_tries[fact.stage] = tries + 1, at + (KEEP_AGAIN_MILLISECONDS << tries)
        else:
            self._fail(run, fact.stage, "restore", fact.error, at)

    def _fetched(self, run: DrivenRun, fact: Fetched, at: int) -> None:
        if fact.pass_number != run.state.pass_number:
            return  # another may have been asked for since
        run.answered(("fetch", fact.stage))
        stage = run.state.stages[fact.stage]
        if self._is_of_before(run, stage, fact) or stage.is_pinned or stage.status in _FINISHED:
            return
        if self._is_over(run):
            return
        report = fact.report
        message = "" if report.error is None else report.error.message
        tries, _ = run.fetch_tries.pop(fact.stage, NO_TRIES)
        if report.outcome == statuses.COMPLETED:
            run.fetched[fact.stage] = report.result
        elif report.outcome == statuses.FAILED:
            self._fail(run, fact.stage, "source", message, at)
        else:
            again = at + retry_delay_milliseconds(BUCKET_ERRORS, tries + 1, self._chance.permille())
            run.fetch_tries[fact.stage] = tries + 1, again
            if stage.status != statuses.STARTED:  # else its items have been made
                body = StageWaiting(fact.stage, stage.looks, again, fact.now)
                payload = self._payloads.keep(run, {"error": message})
                run.write(body, at=at, block=stage.sealed.block, payload=payload)

    def _fail(self, run: DrivenRun, name: str, kind: str, message: str, at: int, **said: Any) -> None:
        """The stage fails for good before it has begun."""
        payload = self._payloads.keep(run, {"error": {"kind": kind, "message": message}, **said})
        run.write(StageFailed(name, kind), at=at, block=run.state.units[name].sealed.block, payload=payload)

    def _is_of_before(self, run: DrivenRun, stage: StageState, fact: Searched | Kept | Fetched) -> bool:
        """It was asked in another pass; or before the stage began again, at another `now`."""
        return fact.pass_number != run.state.pass_number or fact.now != (stage.now_at or fact.now)

    def _is_over(self, run: DrivenRun) -> bool:
        return is_going_back(run.state)

    # ---- what people say ----

    def _instructed(self, run: DrivenRun, fact: Instructed, at: int) -> None:
        instruction = fact.instruction
        why = refusal(run.state, instruction)
        if why:
            if fact.instruction_id:
                run.refused = more(run.refused, (fact.instruction_id, why))
            return
        body = body_of(run.state, instruction)
        entry = run.write(body, at=at, payload=self._payloads.keep(run, payload_of(instruction)))
        if fact.instruction_id:
            run.obeyed = more(run.obeyed, (entry.seq, fact.instruction_id))
        _OBEY.get(instruction.verb, _nothing)(run, instruction)
        if instruction.verb == "skip":
            self._waiting.forget(run, instruction.stage)
        elif instruction.verb == "erase":
            run.erase(entry)

    # ---- places ----

    def _place_offered(self, run: DrivenRun, fact: PlaceOffered, at: int) -> None:
        state = run.state
        if not (state.has_place or state.is_settled or state.ending or state.undo is not None):
            run.write(PlaceGiven(), at=at)

    def _passed_over(self, run: DrivenRun, fact: PassedOver, at: int) -> None:
        state = run.state
        if not (state.launched_at or state.is_settled or state.ending):
            run.write(RunSettled(fact.status, reason=fact.reason), at=at)

    def _expired(self, run: DrivenRun, fact: Expired, at: int) -> None:
        if expires(run.state):
            run.write(RunExpired(), at=at)


_FINISHED = frozenset({statuses.COMPLETED, statuses.FAILED, statuses.CANCELLED, statuses.SKIPPED})


def _nothing(run: DrivenRun, instruction: Instruction) -> None:
    """Most instructions change no values."""


def _skipped(run: DrivenRun, instruction: Instruction) -> None:
    stage = run.state.stages.get(instruction.stage)
    if stage is not None and stage.status == statuses.SKIPPED:
        run.values.update({**defaults_of(stage), **instruction.values})


def _supplied(run: DrivenRun, instruction: Instruction) -> None:
    run.supplied.update(instruction.values)


_OBEY: Mapping[str, Callable[[DrivenRun, Instruction], None]] = {"skip": _skipped, "supply": _supplied}

_TAKE: dict[type, Callable[[Gatherer, DrivenRun, Any, int], None]] = {
    AttemptReported: Gatherer._attempt_reported,
    RollbackReported: Gatherer._rollback_reported,
    Searched: Gatherer._searched,
    Kept: Gatherer._kept,
    Fetched: Gatherer._fetched,
    Tested: Gatherer._tested,
    Instructed: Gatherer._instructed,
    Expired: Gatherer._expired,
    PlaceOffered: Gatherer._place_offered,
    PassedOver: Gatherer._passed_over,
}
