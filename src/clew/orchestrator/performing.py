"""Carries out what has been recorded: an ordered attempt goes to its executor, a search to the buckets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from clew.core.program import expressions
from clew.core.program.model import Condition, Stage
from clew.core.program.variables import TemplateError
from clew.core.running import statuses
from clew.core.running.actions import EndAttempt
from clew.core.running.entries import AttemptStarted, RollbackStarted
from clew.core.running.sealed_program import SealedProgram
from clew.core.running.stage_state import StageState
from clew.orchestrator.driven_run import DrivenRun
from clew.orchestrator.facts import AttemptReported, Fact, Fetched, Kept, RollbackReported, Searched, Tested
from clew.orchestrator.requests import (
    SOURCE,
    StageWork,
    Surroundings,
    block_scope,
    block_test_request,
    execute_request,
    fetch_number,
    fetch_request,
    restored_places,
    rollback_request,
    scope_of,
    search_request,
    test_request,
)
from clew.orchestrator.waiting import SearchRounds, round_of
from clew.ports import (
    AttemptError,
    AttemptReport,
    AttemptRequest,
    BucketError,
    Executor,
    Finding,
    Keeper,
    SearchAnswer,
    Searcher,
    SearchRequest,
    Tasks,
)

Json = Any
Notice = Callable[[DrivenRun, Fact], None]
Ended = Callable[[AttemptReport], None]
CodeOf = Callable[[Stage, str], dict[str, str]]
"""The digests of the functions of a stage, seen from a folder: by `execute`, `validate`, `rollback`. What has no
functions, or functions that are gone, is left out."""
LOOKS_MAX = 3
"""How often a bucket is asked how an attempt left its objects: if it does not answer, nobody knows."""

TestPure = Callable[[Condition, Mapping[str, Json]], Finding]


class Performer:
    """Whatever the driver wants of the world goes through here."""

    def __init__(
        self,
        *,
        executors: Mapping[str, Executor],
        searcher: Searcher,
        keeper: Keeper,
        tasks: Tasks,
        around: Surroundings,
        code_of: CodeOf,
        test_pure: TestPure,
        is_pure: Callable[[str], bool],
    ) -> None:
        self._executors = executors
        self._rounds = SearchRounds(searcher, tasks)
        self._keeper = keeper
        self._tasks = tasks
        self._around = around
        self._code_of = code_of
        self._test_pure = test_pure
        self.is_pure = is_pure
        self._works: dict[str, dict[str, StageWork]] = {}

    # ---- attempts and rollbacks ----

    def begin(self, run: DrivenRun, outbox: Sequence[Any], notice: Notice) -> None:
        """Carry out what has just been recorded, one submission for an executor and turn."""
        if len(outbox) == 1 and type(outbox[0]) is not EndAttempt:  # what most turns of most runs order
            request, ended = self._submission(run, outbox[0], notice)
            self._executors[request.executor].submit(request, ended)
            return
        submissions: dict[str, list[tuple[AttemptRequest, Ended]]] = {}
        ends: list[EndAttempt] = []
        for order in outbox:
            if type(order) is EndAttempt:
                ends.append(order)
                continue
            request, ended = self._submission(run, order, notice)
            submissions.setdefault(request.executor, []).append((request, ended))
        for executor, requests in submissions.items():
            self._executors[executor].submit_all(requests)
        for (
            order
        ) in ends:  # after the submissions: what one turn orders and takes back must have begun to end
            stage = run.state.units[order.stage]
            attempt_id = f"{run.state.run_id}/{order.stage}.{order.attempt}"
            self._executors[stage.sealed.stage.executor].cancel(attempt_id)

    def _submission(
        self, run: DrivenRun, order: AttemptStarted | RollbackStarted, notice: Notice
    ) -> tuple[AttemptRequest, Ended]:
        """The request that an order amounts to, and what is told of its end."""
        stage = run.state.units[order.stage]
        work = self._works_of(run.state.program)[stage.sealed.stage.name]
        if type(order) is AttemptStarted:
            request = execute_request(run, stage, work, self._around, pins=SOURCE in order.code)
            return request, _AttemptNotice(self, run, order, notice)
        assert isinstance(order, RollbackStarted)
        return rollback_request(run, stage, work, self._around), _rollback_notice(run, order, notice)

    def recover(self, run: DrivenRun, stage: StageState, notice: Notice) -> bool:
        """Have it told how the stage's attempt ends, or the try at its rollback, that another orchestrator has ordered;
        false where that has ended with its orchestrator."""
        executor = self._executors[stage.sealed.stage.executor]
        if not executor.recovers:
            return False
        work = self._works_of(run.state.program)[stage.sealed.stage.name]
        name, attempt, rollback_attempt = stage.name, stage.attempts, stage.rollback_attempts
        if stage.in_flight:
            request = execute_request(run, stage, work, self._around)
            executor.recover(request, lambda report: self.report(run, name, attempt, report, notice))
        else:
            request = rollback_request(run, stage, work, self._around)
            executor.recover(
                request, lambda report: notice(run, RollbackReported(name, rollback_attempt, report))
            )
        return True

    def abandon(self, run: DrivenRun) -> None:
        """Another orchestrator has the run: end what is in flight here; its reports are for nobody."""
        for name, stage in run.state.units.items():
            executor = self._executors[stage.sealed.stage.executor]
            if stage.in_flight:
                executor.cancel(f"{run.state.run_id}/{name}.{stage.attempts}")
            if stage.rollback_in_flight:
                executor.cancel(
                    f"{run.state.run_id}/{name}.{stage.attempts}.rollback.{stage.rollback_attempts}"
                )

    def _works_of(self, program: SealedProgram) -> dict[str, StageWork]:
        works = self._works.get(program.version)
        if works is None:
            works = {
                name: StageWork(program.program.name, sealed.stage, self._around)
                for name, sealed in program.stages.items()
            }
            self._works[program.version] = works
        return works

    # ---- objects that a rollback puts back ----

    def report(self, run: DrivenRun, name: str, attempt: int, report: AttemptReport, notice: Notice) -> None:
        """An attempt has ended. If it may have overwritten what was kept, look first how it left that; of a pass
        before, nothing is kept any more."""
        kept = run.kept.get(name)
        if kept is None:
            notice(run, AttemptReported(name, attempt, report))
            return
        places = [str(each["place"]) for each in kept]
        buckets = {**self._around.buckets, **run.origin.buckets}

        async def look() -> None:
            left = await self._tasks.outside(lambda: self._look(places, buckets))
            notice(run, AttemptReported(name, attempt, report, left))

        self._tasks.start(look(), name=f"look after {name}")

    def _look(self, places: Sequence[str], buckets: Mapping[str, str]) -> Mapping[str, str | None] | None:
        for _ in range(LOOKS_MAX):
            try:
                return self._keeper.look(places, buckets)
            except BucketError:
                continue
        return None  # whoever puts them back will find out, or ask

    def keep(self, run: DrivenRun, stage: StageState, at: int, notice: Notice) -> None:
        """Keep the objects that the stage's rollback would put back; the answer comes as a fact."""
        now, name, pass_number = stage.now_at or at, stage.name, run.state.pass_number
        folder = f"{run.state.run_id}/kept/{_safe(name)}.{pass_number}"
        buckets = {**self._around.buckets, **run.origin.buckets}

        def answer() -> Kept:
            try:
                kept = self._keeper.keep(restored_places(run, stage, now=now), folder, buckets)
            except (TemplateError, ValueError) as error:
                return Kept(name, None, str(error), True, now, pass_number)
            except BucketError as error:
                return Kept(name, None, str(error), False, now, pass_number)
            return Kept(name, kept, "", False, now, pass_number)

        async def keep() -> None:
            notice(run, await self._tasks.outside(answer))

        self._tasks.start(keep(), name=f"keep for {name}")

    # ---- what the code is ----

    def fetch(self, run: DrivenRun, stage: StageState, at: int, number: int, notice: Notice) -> None:
        """Find out what the stage's source is, where the stage runs; the answer comes as a fact."""
        now, name, pass_number = stage.now_at or at, stage.name, run.state.pass_number
        work = self._works_of(run.state.program)[name]
        request = fetch_request(run, stage, work, self._around, now=now, number=number)

        def ended(report: AttemptReport) -> None:
            notice(run, Fetched(name, report, now, pass_number))

        self._executors[request.executor].submit(request, ended)

    def code_of(self, run: DrivenRun, stage: StageState) -> dict[str, str]:
        """The digests of the functions that the stage runs, by what they are for."""
        return self._code_of(stage.sealed.stage, run.origin.folder)

    def end_fetch(self, run: DrivenRun, stage: StageState, number: int) -> None:
        """Nobody wants to know any more what the stage's source is."""
        attempt_id = f"{run.state.run_id}/{stage.name}.{fetch_number(stage, number)}"
        self._executors[stage.sealed.stage.executor].cancel(attempt_id)

    # ---- conditions ----

    def evaluate_when(self, run: DrivenRun, stage: StageState, at: int) -> tuple[bool, str]:
        """The stage's `when` over the map: the verdict, or why it can't be worked out."""
        text = stage.sealed.stage.when
        assert text is not None
        names = sorted(expressions.names_in(text))
        try:
            value = expressions.evaluate(text, scope_of(run, stage, names, now=at))
        except expressions.ExpressionError as error:
            return False, f"when: {error}"
        if not isinstance(value, bool):
            return False, f"when: '{text}' gives {value!r}, and must give true or false"
        return value, ""

    def test_pure(self, run: DrivenRun, stage: StageState | None, condition: Condition) -> Finding:
        """Test, here and now, a condition that looks only at recorded values."""
        scope = block_scope(run) if stage is None else scope_of(run, stage, stage.sealed.validate_reads)
        return self._test_pure(condition, scope)

    def test(
        self, run: DrivenRun, stage: StageState | None, key: str | int, conditions: Sequence[Condition], number: int,
        notice: Notice,
    ) -> None:  # fmt: skip
        """Have a round of conditions tested where the stage runs."""
        if stage is None:
            assert isinstance(key, int)
            request = block_test_request(run, key, conditions, self._around, number=number)
            attempt = run.state.pass_number
        else:
            request = test_request(run, stage, conditions, self._around, number=number)
            attempt = stage.attempts

        def ended(report: AttemptReport) -> None:
            error = report.error or AttemptError("", "")
            why_not_begun = error.kind if report.outcome == statuses.NOT_BEGUN else ""
            notice(run, Tested(key, attempt, number, report.findings, error.message, why_not_begun))

        self._executors[request.executor].submit(request, ended)

    # ---- dependencies ----

    def search(self, run: DrivenRun, stage: StageState, at: int, notice: Notice) -> None:
        """Look for all the stage's dependencies; the answer comes as a fact."""
        now = stage.now_at or at
        self._join_round(_OwnLook(run, stage, now, self._around.buckets, run.state.pass_number, at, notice))

    def look(
        self, run: DrivenRun, stage: StageState, at: int, answered: Callable[[SearchAnswer], None]
    ) -> None:
        """The same look, whose answer nobody but the caller hears of."""
        self._join_round(_LookForOthers(run, stage, stage.now_at or at, self._around.buckets, answered))

    def _join_round(self, look: _OwnLook | _LookForOthers) -> None:
        self._rounds.look(round_of(look.stage.sealed.stage.searched_dependencies), look)


class _AttemptNotice:
    """Tells that an attempt has ended. There is one for each, and it is one object: as a function with what it closes
    over it would be six, and finding out that none of them is garbage takes as long as much of the work."""

    __slots__ = ("_notice", "_order", "_performer", "_run")

    def __init__(self, performer: Performer, run: DrivenRun, order: AttemptStarted, notice: Notice) -> None:
        self._performer, self._run, self._order, self._notice = performer, run, order, notice

    def __call__(self, report: AttemptReport) -> None:
        order = self._order
        self._performer.report(self._run, order.stage, order.attempt, report, self._notice)


# ---- looks -----------------------------------------------------------------------------------------------


class _Look(msgspec.Struct):
    """Waits for its round, perhaps with a hundred thousand others: so all else is made when that is held."""

    run: DrivenRun
    stage: StageState
    now: int
    buckets: Mapping[str, str]

    @property
    def inputs(self) -> dict[str, Json]:
        """What was supplied for the stage."""
        # It may have begun again without them; then nobody wants the answer.
        return {
            one.name: self.run.supplied.get(one.name) for one in self.stage.sealed.stage.input_dependencies
        }

    def request(self) -> SearchRequest:
        """See `waiting.Look`."""
        run, stage = self.run, self.stage
        scope = scope_of(run, stage, stage.sealed.reads, now=self.now)
        scope.update(self.inputs)
        return search_request(run, stage, scope, {**self.buckets, **run.origin.buckets})


class _OwnLook(_Look):
    """A stage's own, begun in that pass at that moment."""

    pass_number: int
    at: int
    notice: Notice

    def answered(self, answer: SearchAnswer) -> None:
        """See `waiting.Look`."""
        found = None if answer.found is None else {**self.inputs, **answer.found}
        fact = Searched(self.stage.name, found, answer, self.now, self.pass_number, self.at)
        self.notice(self.run, fact)


class _LookForOthers(_Look):
    """One that is made for many."""

    hear: Callable[[SearchAnswer], None]

    def answered(self, answer: SearchAnswer) -> None:
        """See `waiting.Look`."""
        self.hear(answer)


def _safe(name: str) -> str:
    """A stage's name as a segment of a key."""
    from urllib.parse import quote  # few programs have anything put back

    return quote(name, safe="")


def _rollback_notice(
    run: DrivenRun, order: RollbackStarted, notice: Notice
) -> Callable[[AttemptReport], None]:
    return lambda report: notice(run, RollbackReported(order.stage, order.attempt, report))
