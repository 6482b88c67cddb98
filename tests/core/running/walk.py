"""Random walks through all that can happen to a run, and what must hold wherever they lead.

A walk says, one entry after another, what a driver could: what `decide` orders, how what was ordered came out,
what a person tells the run, that its time is up, that its orchestrator was lost. Beside it goes a `Reckoning`,
which reads the entries alone and knows nothing of the fold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.core.running.story import LOOK, ORDERED, Story, stage

from clew.core.program.model import (
    Command,
    Dependency,
    Element,
    InputDependency,
    Output,
    Retry,
    Rollback,
    Stage,
)
from clew.core.running import actions, statuses
from clew.core.running import entries as kinds
from clew.core.running.consequences import attempt_ended, expires, rollback_ended, validation_ended
from clew.core.running.entries import Body, Entry, ResidueItem
from clew.core.running.fold_back import CHANGED_SINCE, INTERRUPTED
from clew.core.running.instructions import Instruction, body_of, refusal
from clew.core.running.rollback import is_going_back
from clew.core.running.sealed_program import SealedStage
from clew.core.running.stage_state import StageState
from clew.core.running.state import RunState

STEPS_MAX = 60
"""Enough to go back twice and forward again."""


# ---- programs --------------------------------------------------------------------------------------------


def program(random: Random) -> list[Stage]:
    """One to three blocks of one to three stages each, all of which may fail, wait, or be undone in some way."""
    stages: list[Stage] = []
    before: list[str] = []
    for block in range(random.randint(1, 3)):
        names = [f"{'abc'[at]}{block + 1}" for at in range(random.randint(1, 3))]
        for name in names:
            given: dict[str, Any] = {"rollback": _rollback(random, [*(one.name for one in stages), *names])}
            if before:
                need = random.choice(before)
                given["reads"] = [need] if random.random() < 0.7 else []
                given["after"] = () if given["reads"] else (f"{need[1:]}",)
            writes: list[Any] = [Output(f"x{name}", has_default=random.random() < 0.2)]
            if random.random() < 0.3:
                given["retry"] = Retry(attempts=2, delay_milliseconds=100, jitter=False)
            if random.random() < 0.25:
                given["validate"] = (LOOK,)
            if random.random() < 0.15:
                given["when"] = "true"
            if random.random() < 0.15:
                given["dependencies"] = (Dependency(f"f{name}", "data", (Element("file"),)),)
            if random.random() < 0.15:
                given["dependencies"] = (*given.get("dependencies", ()), InputDependency(f"i{name}"))
            if random.random() < 0.25:
                given["for_each"] = [1, 2, 3]
                given["max_parallel"] = random.choice([None, 1, 2])
            if random.random() < 0.1:
                given["execute"] = (Command("rest"),)
            stages.append(stage(name, writes=writes, **given))
        before = [f"x{name}" for name in names]
    return stages


def _rollback(random: Random, targets: Sequence[str]) -> Rollback:
    kind = random.choice(["commands"] * 6 + ["undeclared", "none", "impossible", "restore"])
    if kind in ("undeclared", "none", "impossible"):
        return Rollback(kind)
    return Rollback(
        "commands",
        (Command("undo"),),
        restore=("data/file",) if kind == "restore" else (),
        to=random.choice(targets) if random.random() < 0.4 else None,
        attempts=random.randint(1, 2),
        on_failure=random.choice(["hold", "continue"]),
        retry=Retry(attempts=random.randint(1, 2), delay_milliseconds=100, jitter=False),
    )


# ---- what was done, by the entries alone -----------------------------------------------------------------


@dataclass
class Deed:
    """What was done of one stage or item, in one pass."""

    sealed: SealedStage
    is_in_flight: bool = False
    outcomes: list[str] = field(default_factory=list)
    is_undone: bool = False
    is_being_undone: bool = False
    has_failed: bool = False
    is_given_up: bool = False
    is_superseded: bool = False

    @property
    def may_stand(self) -> bool:
        acted = self.is_in_flight or any(outcome != statuses.NOT_BEGUN for outcome in self.outcomes)
        return acted and not self.is_undone and not self.sealed.leaves_nothing

    @property
    def waits_to_be_undone(self) -> bool:
        declares = self.sealed.stage.rollback.kind == "commands"
        return self.may_stand and declares and not self.is_given_up


class Reckoning:
    """What a run's entries say was done, pass by pass."""

    def __init__(self, walk: Walk) -> None:
        self.program = walk.program
        self.passes = {name: 1 for name in self.program.stages}
        self.deeds: dict[tuple[str, int], Deed] = {}
        self.tries: set[tuple[str, int, bool]] = set()
        self.begun_seq = {name: -1 for name in self.program.stages}
        self.pass_number = 1
        self.held = self.lacks_code = ""
        self.is_crossing_accepted = False
        self.is_settled = False
        self.is_launched = not self.program.has_places
        self.is_closed = False
        self.is_taken_back = False
        """It had settled, and does not go forward again yet."""

    def deed(self, unit: str) -> Deed:
        name = unit.partition("[")[0]
        return self.deeds.setdefault((unit, self.passes[name]), Deed(self.program.stages[name]))

    def take(self, entry: Entry) -> None:
        match entry.body:
            case kinds.PlaceGiven():
                self.is_launched = True
            case kinds.WindowClosed():
                self.is_closed = True
            case kinds.WindowOpened():
                self.is_closed = False
            case kinds.AttemptStarted(stage=name, attempt=number):
                self._is_new(name, number, rollback=False)
                assert self.is_launched
                assert not self.is_closed or self.deed(name).outcomes or self.deed(name).sealed.stage.for_each
                self._needs_are_there(self.deed(name).sealed)
                self.deed(name).is_in_flight = True
            case kinds.AttemptEnded(stage=name, outcome=outcome):
                deed = self.deed(name)
                assert deed.is_in_flight
                deed.is_in_flight = False
                deed.outcomes.append(outcome)
            case kinds.RollbackStarted(stage=name, attempt=number, outcome=outcome):
                self._is_new(name, number, rollback=True)
                self._nobody_needs(name)
                deed = self.deed(name)
                assert deed.waits_to_be_undone and not deed.is_in_flight and not deed.is_being_undone
                began = [one for one in deed.outcomes if one != statuses.NOT_BEGUN]
                assert outcome == began[-1], "it is told how it ended"
                deed.is_being_undone = True
            case kinds.RollbackEnded(stage=name, becomes=becomes, error_kind=error_kind):
                deed = self.deed(name)
                assert deed.is_being_undone
                deed.is_being_undone = False
                deed.is_undone = becomes == statuses.ROLLED_BACK
                deed.has_failed = becomes == statuses.ROLLBACK_FAILED
                goes_on = deed.sealed.stage.rollback.on_failure == "continue" and error_kind != CHANGED_SINCE
                deed.is_given_up = deed.has_failed and goes_on
            case kinds.RunHeld(reason=reason, stage=name):
                self.held = reason
                self.lacks_code = name if reason.startswith("code_") else ""
            case kinds.RunReleased():
                self.is_crossing_accepted |= self.held == "not_undone"
            case kinds.RollbackPlanned():
                self.is_crossing_accepted = False
            case kinds.RollbackSkipped(stage=name):
                self._give_up(name)
            case kinds.RollbackRequested() | kinds.RewindRequested():
                for deed in self.deeds.values():
                    if self.is_settled and not deed.is_superseded:
                        deed.is_given_up = False
                self.is_taken_back = self.is_taken_back or self.is_settled
                self.is_settled = False
            case kinds.PassBegun(index=index):
                self.pass_number += 1
                self.is_taken_back = False
                for (unit, number), deed in self.deeds.items():
                    if deed.sealed.block >= index and number == self.passes[unit.partition("[")[0]]:
                        assert not deed.is_in_flight and not deed.waits_to_be_undone
                        assert self.is_crossing_accepted or not deed.may_stand, "on top of its own leftovers"
                        deed.is_superseded = True
                for name, sealed in self.program.stages.items():
                    if sealed.block >= index:
                        self.passes[name] = self.pass_number
                        self.begun_seq[name] = entry.seq
            case kinds.RunSettled(status=status, residue=residue):
                self.is_settled = True
                assert not any(deed.is_in_flight or deed.is_being_undone for deed in self.deeds.values())
                assert sorted(residue, key=_key) == self.residue(is_completed=status == statuses.COMPLETED)
                if status in (statuses.ROLLED_BACK, statuses.MISSED):
                    assert not residue

    def residue(self, *, is_completed: bool) -> list[ResidueItem]:
        """What stands, or may. In a run that completed the last pass is no residue."""
        found = [
            ResidueItem(unit, statuses.COMPLETED in deed.outcomes, number)
            for (unit, number), deed in self.deeds.items()
            if deed.may_stand and not (is_completed and not deed.is_superseded)
        ]
        return sorted(found, key=_key)

    def _give_up(self, name: str) -> None:
        """The rollbacks that failed of the stage, or the item; all, if it is the one whose code is not there."""
        lacks_code = name in (self.lacks_code, self.lacks_code.partition("[")[0])
        for (unit, number), deed in self.deeds.items():
            whole = unit.partition("[")[0]
            if name in (unit, whole) and number == self.passes[whole] and not deed.is_being_undone:
                deed.is_given_up = deed.is_given_up or deed.has_failed or lacks_code

    def _is_new(self, name: str, number: int, *, rollback: bool) -> None:
        assert (name, number, rollback) not in self.tries, "attempts are never numbered alike"
        self.tries.add((name, number, rollback))

    def _needs_are_there(self, sealed: SealedStage) -> None:
        """Nothing begins before all that it needs is done, and as long as any of that is being undone."""
        for (unit, number), deed in self.deeds.items():
            name = unit.partition("[")[0]
            if name in sealed.needs and number == self.passes[name]:
                assert not (deed.is_in_flight or deed.is_undone or deed.is_being_undone)

    def _nobody_needs(self, unit: str) -> None:
        """Nothing is undone before all that needed its data is, nor while that may act."""
        for (other, _), deed in self.deeds.items():
            if unit.partition("[")[0] in deed.sealed.needs:
                assert not (deed.is_in_flight or deed.is_being_undone or deed.waits_to_be_undone), other


def _key(item: ResidueItem) -> tuple[str, int]:
    return item.stage, item.pass_number


# ---- walking ---------------------------------------------------------------------------------------------


class Walk(Story):
    """A run that goes anywhere. After each entry everything is looked at."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.asked: list[tuple[Any, ...]] = []
        """What was asked of the world and has not been answered: what, of whom, in which pass, and more."""
        stages = program(random)
        conditions = (LOOK,) if random.random() < 0.2 else ()
        self.reckoning: Reckoning | None = None
        places: dict[str, Any] = {}
        if random.random() < 0.3:
            places = {"max_active_runs": 1, "run_order": random.choice(["any", "scheduled"])}
        super().__init__(*stages, validate=conditions, **places)
        self.reckoning = Reckoning(self)

    def say(self, *bodies: Body) -> Story:
        for body in bodies:
            before = self.state.status, {name: unit.status for name, unit in self.state.units.items()}
            super().say(body)
            if self.reckoning is not None:
                self.reckoning.take(self.entries[-1])
                self._moved_as_it_may(*before)
                look_at(self.state, has_been_settled=self.reckoning.is_taken_back)
                self._map_is_of_this_pass()
                self._begins_on_what_is_done()
        return self

    def _moved_as_it_may(self, run: str, units: dict[str, str]) -> None:
        state = self.state
        assert state.status == run or state.status in statuses.RUN_MOVES[run], (run, state.status)
        is_again = isinstance(self.entries[-1].body, kinds.PassBegun)
        for name, unit in state.units.items():
            was = units.get(name, statuses.PENDING)
            assert unit.status == was or unit.status in statuses.STAGE_MOVES[was], (name, was, unit.status)
            assert is_again or unit.status == was or name in state.touched, name

    def _begins_on_what_is_done(self) -> None:
        body = self.entries[-1].body
        if isinstance(body, kinds.AttemptStarted):
            for need in self.stage(body.stage).sealed.needs:
                assert self.stage(need).status in (statuses.COMPLETED, statuses.SKIPPED), need

    def _map_is_of_this_pass(self) -> None:
        assert self.reckoning is not None
        writers = {name: sealed for sealed in self.program.stages.values() for name in sealed.own_names}
        for name, seq in self.state.written.items():
            assert seq > self.reckoning.begun_seq[writers[name].stage.name], name

    # ---- steps ----

    def step(self) -> bool:
        """Say one more thing that can happen now; false when nothing can."""
        choices: list[Callable[[], Any]] = [*self._answers()]
        due = self.due()
        if due:
            choices += [lambda: self._carry_out(due)] * 3
        if self.random.random() < 0.12 or not choices:
            choices += self._instructions()
        if self.random.random() < 0.02 and not self.state.is_settled:
            choices += [self._be_taken_up, self._expire, self._hear_too_late]
        choices += self._others_and_time()
        if not choices:
            return False
        self.random.choice(choices)()
        return True

    def _others_and_time(self) -> list[Callable[[], Any]]:
        """A place is given, or the program's window opens or closes."""
        state, choices = self.state, list[Callable[[], Any]]()
        if state.is_settled:
            return choices
        if not (state.has_place or state.ending or state.undo is not None):
            choices.append(lambda: self.say(kinds.PlaceGiven()))
        if state.is_window_closed:
            choices.append(lambda: self.say(kinds.WindowOpened()))
        elif state.launched_at and self._happens(0.02):
            choices.append(lambda: self.say(kinds.WindowClosed()))
        return choices

    def _carry_out(self, due: Sequence[Any]) -> None:
        """Carry out some of the actions, in their order, as a driver does in one turn."""
        ending = self.state.ending
        for action in due:
            if self.random.random() < 0.3:
                continue
            self._order(action)
            if self.state.held or self.state.ending != ending or self.state.is_settled:
                return

    def _order(self, action: Any) -> None:
        match action:
            case actions.EvaluateWhen(stage=name):
                if self._happens(0.1):
                    self.say(kinds.StageFailed(name, "expression"))
                else:
                    self.say(kinds.WhenTested(name, self._happens(0.7), self.at))
            case actions.SearchDependencies(stage=name, not_before=due_at):
                self.at = max(self.at, due_at)
                self._search(self.stage(name))
            case actions.MakeItems(stage=name):
                if self._happens(0.1):
                    self.say(kinds.StageFailed(name, "for_each"))
                else:
                    self.make(name, self.random.randint(0, 3))
            case actions.KeepObjects(stage=name):
                self._ask("keep", name)
            case actions.StartAttempt(stage=name, attempt=number, not_before=due_at):
                if not self._is_held_by_code(name):
                    self.at = max(self.at, due_at)
                    self.say(kinds.AttemptStarted(name, number, code={"execute": "1"}))
            case actions.ValidateStage(stage=name):
                if not self._is_held_by_code(name):
                    self._ask("test", name, self.stage(name).attempts)
            case actions.ValidateBlock(block=index):
                self._ask("test block", index)
            case actions.EndAttempt(stage=name, attempt=number):
                assert self.stage(name).in_flight and self.stage(name).attempts == number
            case actions.StartRollback(stage=name, attempt=number, outcome=outcome, not_before=due_at):
                if not self._is_held_by_code(name):
                    self.at = max(self.at, due_at)
                    self.say(kinds.RollbackStarted(name, number, outcome))
            case _:
                self.say(ORDERED[type(action)](action))

    def _happens(self, probability: float) -> bool:
        return self.random.random() < probability

    def _is_held_by_code(self, name: str) -> bool:
        if not self.stage(name).whole.is_pinned or self._happens(0.97):
            return False
        self.say(kinds.RunHeld(self.random.choice(["code_changed", "code_gone"]), name))
        return True

    def _ask(self, what: str, of: Any, *more: Any) -> None:
        question = (what, of, self.state.pass_number, *more)
        if question not in self.asked:
            self.asked.append(question)

    def _search(self, found: StageState) -> None:
        missing = [
            one for one in found.sealed.stage.input_dependencies if one.name not in self.state.supplied
        ]
        if missing and self._happens(0.1):
            self.say(kinds.StageFailed(found.name, "deadline"))
        elif missing:
            self.say(
                kinds.StageWaiting(found.name, found.looks + 1, self.at + 5_000, found.now_at or self.at)
            )
        elif not found.sealed.stage.file_dependencies:
            self.say(kinds.DependenciesFound(found.name, found.now_at or self.at))
        else:
            self._ask("search", found.name)

    # ---- answers ----

    def _answers(self) -> list[Callable[[], Any]]:
        answers: list[Callable[[], Any]] = []
        for unit in self.state.units.values():
            if unit.in_flight:
                answers += [lambda unit=unit: self._end_attempt(unit)]
            if unit.rollback_in_flight:
                answers += [lambda unit=unit: self._end_rollback(unit)]
        answers += [lambda question=question: self._answer(question) for question in self.asked]
        return answers

    def _end_attempt(self, unit: StageState) -> None:
        kind = {
            "failed": "exit", "timed_out": "timed_out", "cancelled": "cancelled", "unknown": "lost",
            "not_begun": "executor", "completed": "",
        }  # fmt: skip
        outcome = self.random.choice(["completed"] * 10 + ["failed"] * 3 + list(statuses.OUTCOMES))
        self.say(attempt_ended(self.state, unit, outcome, kind[outcome], at=self.at, jitter_permille=0))

    def _end_rollback(self, unit: StageState) -> None:
        outcome, kind = self.random.choice(
            [("completed", "")] * 8
            + [("failed", "exit")] * 2
            + [
                ("failed", CHANGED_SINCE),
                ("not_begun", "executor"),
                ("unknown", "lost"),
                ("timed_out", "timed_out"),
            ]
        )
        self.say(rollback_ended(unit, outcome, kind, at=self.at, jitter_permille=0))

    def _answer(self, question: tuple[Any, ...]) -> None:
        """Take in what came of it, if that still says anything."""
        self.asked.remove(question)
        what, of, pass_number, *more = question
        is_over = pass_number != self.state.pass_number or is_going_back(self.state) or self.state.is_settled
        if is_over:
            return
        if what == "test block":
            if self.state.block == of and not self.state.open_stages and not self.state.block_failed:
                self.say(kinds.BlockValidated(of, self._verdict(), 1))
            return
        unit = self.state.units.get(of)
        if unit is None:
            return
        if what == "search":
            self._found_or_not(unit)
        elif what == "keep":
            self._kept_or_not(unit)
        elif unit.status == statuses.VALIDATING and [unit.attempts] == more:
            if self._happens(0.1) and not self.state.held and not self.state.ending:
                self.say(kinds.AttemptStarted(of, unit.attempts + 1, reexecution=True))
            else:
                self.say(validation_ended(unit, self._verdict(), 1, at=self.at, jitter_permille=0))

    def _verdict(self) -> str:
        return self.random.choice(["held", "held", "held", "not_held", "error"])

    def _found_or_not(self, unit: StageState) -> None:
        if unit.found or unit.status not in (statuses.PENDING, statuses.WAITING):
            return
        now = unit.now_at or self.at
        match self.random.choice(["found", "found", "missing", "ambiguous"]):
            case "found":
                self.say(kinds.DependenciesFound(unit.name, now))
            case "missing":
                self.say(kinds.StageWaiting(unit.name, unit.looks + 1, self.at + 5_000, now))
            case "ambiguous":
                self.say(kinds.StageFailed(unit.name, "ambiguous"))

    def _kept_or_not(self, unit: StageState) -> None:
        over = (statuses.COMPLETED, statuses.FAILED, statuses.CANCELLED, statuses.SKIPPED)
        if unit.kept_seq >= 0 or unit.status in over:
            return
        if self._happens(0.1):
            self.say(kinds.StageFailed(unit.name, "restore"))
        else:
            self.say(kinds.ObjectsKept(unit.name, 1, unit.now_at or self.at))

    # ---- what else can happen ----

    def _instructions(self) -> list[Callable[[], Any]]:
        """Whatever a person can tell the run now."""
        names = [*self.state.units, "nothing"]
        told = [
            *(Instruction(verb, "somebody") for verb in PLAIN),
            *(
                Instruction(verb, "somebody", stage=name)
                for verb in ("retry", "skip", "rewind")
                for name in names
            ),
            *(Instruction("skip", "somebody", stage=name, values={f"x{name}": 1}) for name in names),
            *(
                Instruction("supply", "somebody", values={name: 1})
                for sealed in self.program.stages.values()
                for name in sealed.own_names
            ),
        ]
        obeyed = [one for one in told if not refusal(self.state, one)]
        return [lambda one=one: self.say(body_of(self.state, one)) for one in obeyed]

    def _expire(self) -> None:
        if expires(self.state):
            self.say(kinds.RunExpired())

    def _hear_too_late(self) -> None:
        """An attempt is heard of whose end is on record, or which nobody knows any more."""
        unit = self.random.choice([*self.state.units.values()])
        if unit.in_flight or (unit.name, unit.attempts, False) in self.state.refused:
            return
        self.say(kinds.ReportRefused(unit.name, unit.attempts, "completed"))

    def _be_taken_up(self) -> None:
        """The orchestrator is lost, and another one finds out what was in flight."""
        self.epoch += 1
        self.asked.clear()
        self.say(kinds.RunTaken("another"))
        for unit in [*self.state.units.values()]:
            if unit.in_flight:
                ended = attempt_ended(self.state, unit, "unknown", INTERRUPTED, at=self.at, jitter_permille=0)
                self.say(ended)
            if unit.rollback_in_flight:
                self.say(rollback_ended(unit, "unknown", INTERRUPTED, at=self.at, jitter_permille=0))

    # ---- the way out ----

    def walk(self) -> Walk:
        """Go anywhere for a while; then let all go well, until the run has settled."""
        for _ in range(self.random.randint(5, STEPS_MAX)):
            if not self.step():
                break
        self.see_through()
        return self


PLAIN = ("cancel", "stop", "pause", "unpause", "resume", "rollback", "erase")


# ---- what holds of every state ---------------------------------------------------------------------------


def look_at(state: RunState, *, has_been_settled: bool = False) -> None:
    """The counts are what a recount says, and no two parts of the state contradict each other. There is nothing to
    count in a run that goes back, or that has settled and does not go forward again yet."""
    if state.undo is None and not state.is_settled and not has_been_settled:
        _recount_block(state)
    assert state.skipped_stages >= sum(one.status == statuses.SKIPPED for one in state.stages.values())
    for found in state.stages.values():
        _recount_items(found)
        assert state.units[found.name] is found
        for item in found.items or ():
            assert state.units[item.name] is item and item.pass_number == found.pass_number
    assert len(state.units) == sum(1 + len(one.items or ()) for one in state.stages.values())
    assert bool(state.held) == (state.status in (statuses.HELD, statuses.ROLLBACK_FAILED))
    for unit in state.units.values():
        numbers = len(unit.outcomes) + unit.in_flight
        assert unit.items is not None or unit.is_for_each or unit.attempts == unit.attempts_before + numbers
        assert not (unit.in_flight and unit.rollback_in_flight)
        assert not unit.in_flight or unit.status == statuses.STARTED
        assert unit.status != statuses.VALIDATING or unit.outcome == statuses.COMPLETED
        assert not unit.rollback_in_flight or unit.status == statuses.ROLLING_BACK
    if state.is_settled:
        assert not any(unit.in_flight or unit.rollback_in_flight for unit in state.units.values())
        assert not state.held


def _recount_block(state: RunState) -> None:
    block = [*state.block_stages()]
    done = (statuses.COMPLETED, statuses.SKIPPED)
    active = (statuses.STARTED, statuses.VALIDATING)
    assert state.open_stages == sum(found.status not in done for found in block)
    assert state.active_stages == sum(found.status in active for found in block)
    assert state.waiting_stages == sum(found.status == statuses.WAITING for found in block)
    assert state.skipped_stages == sum(one.status == statuses.SKIPPED for one in state.stages.values())
    for found in state.stages.values():
        if found.sealed.block < state.block:
            assert found.status in done
        elif found.sealed.block > state.block:
            assert found.status == statuses.PENDING and not found.attempts > found.attempts_before


def _recount_items(found: StageState) -> None:
    if found.items is None:
        return
    assert found.items_left == sum(item.status != statuses.COMPLETED for item in found.items) or (
        found.status in (statuses.ROLLING_BACK, statuses.ROLLED_BACK, statuses.ROLLBACK_FAILED)
    )
    open_items = [*found.open_items]
    assert found.open_count == len(open_items)
    begun = (statuses.STARTED, statuses.VALIDATING)
    for item in found.items:
        assert (item in open_items) or item.status not in begun, item.name
        assert item.index >= found.next_item or item.status != statuses.PENDING or item in open_items
        if item in open_items:
            assert item.status in (*begun, statuses.PENDING)
    failed = statuses.ROLLBACK_FAILED
    assert found.items_not_undone == sum(item.status == failed for item in found.items)
    assert found.items_to_undo >= sum(item.status == statuses.ROLLING_BACK for item in found.items)
    limit = found.sealed.stage.max_parallel or len(found.items)
    assert sum(item.in_flight for item in found.items) <= limit


def portrait(state: RunState) -> dict[str, Any]:
    """All that a state says, in values that can be compared."""
    said = {name: copy(getattr(state, name)) for name in RunState.__slots__ if name not in _NOT_SAID}
    said["units"] = {name: unit_portrait(unit) for name, unit in state.units.items()}
    return said


_NOT_SAID = {"program", "stages", "units", "touched", "dropped"}


def unit_portrait(unit: StageState) -> dict[str, Any]:
    """All that is said of a stage or an item."""
    names = [
        name for name, value in vars(StageState).items() if not name.startswith("_") and _is_plain(value)
    ]
    said = {name: getattr(unit, name) for name in names if name != "items"}
    said["items"] = None if unit.items is None else [item.name for item in unit.items]
    if unit.items is not None:
        said["open"] = sorted(item.name for item in unit.open_items)
    return said


def _is_plain(value: Any) -> bool:
    return not callable(value) and not isinstance(value, property)
