"""Carries out what has been recorded: an ordered attempt goes to its executor, a search to the buckets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from clew.core.program import expressions
from clew.core.program.model import Condition, Dependency, Stage
from clew.core.running.actions import EndAttempt
from clew.core.running.entries import AttemptStarted, RollbackStarted
from clew.core.running.sealed_program import SealedProgram
from clew.core.running.state import StageState
from clew.orchestrator.driven_run import DrivenRun
from clew.orchestrator.facts import AttemptReported, Fact, RollbackReported, Searched, Tested
from clew.orchestrator.requests import (
    StageWork,
    Surroundings,
    block_scope,
    block_test_request,
    execute_request,
    rollback_request,
    scope_of,
    test_request,
)
from clew.ports import AttemptReport, AttemptRequest, Executor, Finding, Searcher, Tasks

Json = Any
Notice = Callable[[DrivenRun, Fact], None]
CodeOf = Callable[[Stage, str], dict[str, str]]
"""The digests of the functions of a stage, seen from a folder: by `execute`, `validate`, `rollback`. What has no
functions, or functions that are gone, is left out."""
TestPure = Callable[[Condition, Mapping[str, Json]], Finding]


class Performer:
    """Whatever the driver wants of the world goes through here."""

    def __init__(
        self,
        *,
        executors: Mapping[str, Executor],
        searcher: Searcher,
        tasks: Tasks,
        around: Surroundings,
        code_of: CodeOf,
        test_pure: TestPure,
        is_pure: Callable[[str], bool],
    ) -> None:
        self._executors = executors
        self._searcher = searcher
        self._tasks = tasks
        self._around = around
        self._code_of = code_of
        self._test_pure = test_pure
        self.is_pure = is_pure
        self._works: dict[str, dict[str, StageWork]] = {}

    # ---- attempts and rollbacks ----

    def begin(self, run: DrivenRun, outbox: list[Any], notice: Notice) -> None:
        """Carry out what has just been recorded, one submission for an executor and turn."""
        works = self._works_of(run.state.program)
        submissions: dict[str, list[tuple[AttemptRequest, Callable[[AttemptReport], None]]]] = {}
        ends: list[EndAttempt] = []
        for order in outbox:
            if type(order) is EndAttempt:
                ends.append(order)
                continue
            stage = run.state.stages[order.stage]
            work = works[order.stage]
            if type(order) is AttemptStarted:
                request = execute_request(run, stage, work, self._around)
                ended = _attempt_notice(run, order, notice)
            else:
                request = rollback_request(run, stage, work, self._around)
                ended = _rollback_notice(run, order, notice)
            submissions.setdefault(request.executor, []).append((request, ended))
        for executor, requests in submissions.items():
            self._executors[executor].submit_all(requests)
        for (
            order
        ) in ends:  # after the submissions: what one turn orders and takes back must have begun to end
            stage = run.state.stages[order.stage]
            attempt_id = f"{run.state.run_id}/{order.stage}.{order.attempt}"
            self._executors[stage.sealed.stage.executor].cancel(attempt_id)

    def abandon(self, run: DrivenRun) -> None:
        """Another orchestrator has the run: end what is in flight here; its reports are for nobody."""
        for name, stage in run.state.stages.items():
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

    # ---- what the code is ----

    def code_of(self, run: DrivenRun, stage: StageState) -> dict[str, str]:
        """The digests of the functions that the stage runs, by what they are for."""
        return self._code_of(stage.sealed.stage, run.origin.folder)

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
        self, run: DrivenRun, stage: StageState | None, key: str | int, conditions: Iterable[Condition], number: int,
        notice: Notice,
    ) -> None:  # fmt: skip
        """Have a round of conditions tested where the stage runs."""
        if stage is None:
            assert isinstance(key, int)
            request = block_test_request(run, key, conditions, self._around, number=number)
        else:
            request = test_request(run, stage, conditions, self._around, number=number)

        def ended(report: AttemptReport) -> None:
            error = "" if report.error is None else report.error.message
            notice(run, Tested(key, number, report.findings, error))

        self._executors[request.executor].submit(request, ended)

    # ---- dependencies ----

    def search(self, run: DrivenRun, stage: StageState, at: int, notice: Notice) -> None:
        """Look for all the stage's dependencies; the answer comes as a fact."""
        now = stage.now_at or at
        scope = scope_of(run, stage, stage.sealed.reads, now=now)
        buckets = {**self._around.buckets, **run.origin.buckets}
        name, dependencies = stage.sealed.stage.name, stage.sealed.stage.file_dependencies

        async def look() -> None:
            answer = await self._tasks.outside(lambda: self._search(dependencies, scope, buckets))
            notice(run, Searched(name, answer.found, answer.verdict, answer.message, now))

        self._tasks.start(look(), name=f"search for {name}")

    def _search(
        self, dependencies: tuple[Dependency, ...], scope: Mapping[str, Json], buckets: Mapping[str, str]
    ) -> Any:
        return self._searcher(dependencies, scope, buckets)


def _attempt_notice(run: DrivenRun, order: AttemptStarted, notice: Notice) -> Callable[[AttemptReport], None]:
    return lambda report: notice(run, AttemptReported(order.stage, order.attempt, report))


def _rollback_notice(
    run: DrivenRun, order: RollbackStarted, notice: Notice
) -> Callable[[AttemptReport], None]:
    return lambda report: notice(run, RollbackReported(order.stage, order.attempt, report))
