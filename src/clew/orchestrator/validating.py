"""Tests a stage's conditions, or a block's own, round after round until they hold or their time is up.

Rounds are not recorded, only how they ended: a lost orchestrator's successor tests again, on the same clocks,
which start at a recorded moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clew.core.program.model import Condition
from clew.core.running import statuses
from clew.core.running.consequences import Tested as TestedCondition
from clew.core.running.consequences import Verdict, validation_ended, verdict_of
from clew.core.running.entries import BlockValidated, RunHeld
from clew.core.running.rollback import is_going_back
from clew.core.running.stage_state import StageState
from clew.orchestrator.driven_run import DrivenRun
from clew.orchestrator.facts import Tested
from clew.orchestrator.payloads import PayloadKeeper
from clew.orchestrator.performing import Notice, Performer
from clew.ports import Chance, Finding

IsEarly = Callable[[DrivenRun, int, int], bool]


CODE_REASONS = frozenset({"code_changed", "code_gone"})
"""What an attempt or a test says that did not begin for want of the code that was pinned: why the run is held then."""


class Round:
    """A round of tests: its number, what the pure conditions said, and when the next one is due."""

    __slots__ = ("again_at", "findings", "is_out", "number", "reexecute")

    def __init__(self, number: int) -> None:
        self.number = number
        self.findings: dict[int, Finding] = {}
        self.is_out = False
        self.again_at = 0
        self.reexecute = False


class Validator:
    """Keeps the rounds of the runs that are driven."""

    def __init__(self, performer: Performer, chance: Chance, payloads: PayloadKeeper) -> None:
        self._performer = performer
        self._chance = chance
        self._payloads = payloads

    def stage(self, run: DrivenRun, stage: StageState, at: int, notice: Notice, is_early: IsEarly) -> bool:
        """Go on with the stage's validation; true when it is to be executed again now, before the next test."""
        name = stage.name
        round_ = self._due_round(run, name, at, is_early)
        if round_ is None:
            return False
        if round_.reexecute:
            return True
        self._test(run, stage, name, stage.sealed.stage.validate, round_, at, notice)
        if name in run.rounds:
            self._due_round(run, name, at, is_early)  # so that the run is woken for the next one
        return False

    def executed_again(self, run: DrivenRun, name: str) -> None:
        """The stage is being executed again; when that has ended, the round goes on with its tests."""
        run.rounds[name].reexecute = False

    def block(self, run: DrivenRun, index: int, at: int, notice: Notice, is_early: IsEarly) -> None:
        """Go on with the validation of the block's own conditions."""
        round_ = self._due_round(run, index, at, is_early)
        if round_ is None:
            return
        self._test(run, None, index, run.state.program.conditions[index - 1], round_, at, notice)
        if index in run.rounds:
            self._due_round(run, index, at, is_early)

    def _due_round(self, run: DrivenRun, key: str | int, at: int, is_early: IsEarly) -> Round | None:
        """The round that is to be tested now; None while one is out, or it is too early for the next."""
        round_: Round = run.rounds.setdefault(key, Round(1))
        if round_.is_out or is_early(run, round_.again_at, at):
            return None
        return round_

    def _test(
        self, run: DrivenRun, stage: StageState | None, key: str | int, conditions: Sequence[Condition], round_: Round,
        at: int, notice: Notice,
    ) -> None:  # fmt: skip
        """Test what is pure here and now, and send the rest out."""
        outside: list[Condition] = []
        for position, condition in enumerate(conditions):
            if self._performer.is_pure(condition.name):
                round_.findings[position] = self._performer.test_pure(run, stage, condition)
            else:
                outside.append(condition)
        if outside:
            round_.is_out = True
            self._performer.test(run, stage, key, outside, round_.number, notice)
        else:
            self._conclude(run, stage, key, conditions, round_, at)

    def tested(self, run: DrivenRun, fact: Tested, at: int) -> None:
        """A round came back."""
        round_ = run.rounds.get(fact.key)
        if round_ is None or not round_.is_out or round_.number != fact.number:
            return
        state = run.state
        stage = state.units[fact.key] if isinstance(fact.key, str) else None
        is_of_now = fact.attempt == (state.pass_number if stage is None else stage.attempts)
        if not is_of_now or is_going_back(state):
            return
        round_.is_out = False
        if stage is not None and stage.status == statuses.VALIDATING and fact.why_not_begun in CODE_REASONS:
            run.rounds[fact.key] = Round(fact.number + 1)
            if not run.state.held:
                run.write(RunHeld(fact.why_not_begun, stage.name), at=at, block=stage.sealed.block)
            return
        conditions = self._conditions(run, fact.key)
        answers = iter(fact.findings)
        for position, condition in enumerate(conditions):
            if not self._performer.is_pure(condition.name):
                lost = Finding(condition.name, "error", fact.error or "the test gave no answer")
                round_.findings[position] = next(answers, lost)
        if stage is None or stage.status == statuses.VALIDATING:
            self._conclude(run, stage, fact.key, conditions, round_, at)

    def _conditions(self, run: DrivenRun, key: str | int) -> Sequence[Condition]:
        if isinstance(key, str):
            return run.state.units[key].sealed.stage.validate
        return run.state.program.conditions[key - 1]

    def _conclude(
        self, run: DrivenRun, stage: StageState | None, key: str | int, conditions: Sequence[Condition], round_: Round,
        at: int,
    ) -> None:  # fmt: skip
        """All conditions of the round have an answer: held, failed, or another round."""
        findings = [round_.findings[position] for position in range(len(conditions))]
        tested = [
            TestedCondition(condition, finding.verdict, self._performer.is_pure(condition.name))
            for condition, finding in zip(conditions, findings, strict=True)
        ]
        clock_start = run.state.block_done_at if stage is None else stage.executed_at
        verdict = verdict_of(tested, round_.number, clock_start=clock_start, at=at)
        if verdict.verdict == "again":
            following = Round(round_.number + 1)
            following.again_at, following.reexecute = (
                verdict.again_at,
                verdict.reexecute and stage is not None,
            )
            run.rounds[key] = following
            return
        del run.rounds[key]
        self._write(run, stage, key, verdict, findings, round_.number, at)

    def _write(
        self, run: DrivenRun, stage: StageState | None, key: str | int, verdict: Verdict, findings: list[Finding],
        tests: int, at: int,
    ) -> None:  # fmt: skip
        payload = self._payloads.keep(run, {"findings": findings})
        if stage is None:
            assert isinstance(key, int)
            run.write(BlockValidated(key, verdict.verdict, tests), at=at, block=key, payload=payload)
            return
        jitter = 0 if verdict.verdict == "held" else self._chance.permille()
        body = validation_ended(stage, verdict.verdict, tests, at=at, jitter_permille=jitter)
        run.write(body, at=at, block=stage.sealed.block, payload=payload)
        if body.becomes == statuses.COMPLETED and stage.parent is None:
            run.values.update(run.outputs.get(stage.name, {}))
