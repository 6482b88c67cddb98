"""What the tests of the running core are told with: small programs, and runs that say one entry after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from clew.core.program.model import (
    Command,
    Condition,
    Dependency,
    Element,
    InputDependency,
    Output,
    Program,
    Retry,
    Rollback,
    Stage,
)
from clew.core.program.signatures import TEXT, Param, Signature, by_name
from clew.core.running import actions, statuses
from clew.core.running.consequences import attempt_ended, rollback_ended, validation_ended
from clew.core.running.decide import decide
from clew.core.running.entries import (
    AttemptEnded,
    AttemptStarted,
    BlockValidated,
    Body,
    DependenciesFound,
    Entry,
    ItemsGathered,
    ItemsMade,
    ObjectsKept,
    PassBegun,
    PlaceGiven,
    RollbackEnded,
    RollbackStarted,
    RunCreated,
    RunHeld,
    StageCancelled,
    StageSkipped,
    WhenTested,
    WindowOpened,
)
from clew.core.running.instructions import Instruction, body_of, refusal
from clew.core.running.sealed_program import SealedProgram, seal_program
from clew.core.running.stage_state import StageState
from clew.core.running.state import RunState
from clew.core.sealing.journal import Head, StoredEntry

COMMANDS = by_name(
    (
        Signature("act", "acts", open_params=True),
        Signature("undo", "undoes", open_params=True),
        Signature("wipe", "undoes what it is told", params={"what": Param(TEXT)}),
        Signature("rest", "leaves nothing", open_params=True, leaves_nothing=True),
    )
)
CONDITIONS = by_name((Signature("look", "looks", open_params=True),))

UNDO = Rollback("commands", (Command("undo"),), retry=Retry(attempts=2, delay_milliseconds=100, jitter=False))
LOOK = Condition("look")
DATA = (Dependency("file", "data", (Element("file"),)),)
ASKED = (InputDependency("word"),)
IMPOSSIBLE = Rollback("impossible")

WAY_OUT_MAX = 400
"""How many steps at most it takes a run of a small program to settle, once nothing goes wrong any more."""


def back_to(name: str, attempts: int = 1) -> Rollback:
    """The rollback of a stage that sends its run back to that one."""
    return Rollback("commands", (Command("undo"),), to=name, attempts=attempts)


def stage(
    name: str, *, reads: Sequence[str] = (), writes: Sequence[str | Output] = (), **given: Any
) -> Stage:
    """A stage that acts, is undone unless it is said otherwise, and is tried once."""
    outputs = tuple(one if isinstance(one, Output) else Output(one) for one in writes)
    given = {"execute": (Command("act"),), "rollback": UNDO, **given}
    return Stage(name, inputs=tuple(reads), outputs=outputs, **given)


def sealed(*stages: Stage, **given: Any) -> SealedProgram:
    return seal_program(Program("story", stages, **given), COMMANDS, CONDITIONS)


class Story:
    """A run that is told entry by entry; `at` is the moment of the next one. Its program has the stages given, or is
    given itself."""

    def __init__(
        self,
        *stages: Stage,
        program: SealedProgram | None = None,
        created: Mapping[str, Any] = MappingProxyType({}),
        **given: Any,
    ) -> None:
        self.program = program or sealed(*stages, **given)
        self.state = RunState(self.program)
        self.head = Head("run-1", 0, self.program.plan_hash)
        self.entries: list[Entry] = []
        self.stored: list[StoredEntry] = []
        self.epoch = 1
        self.at = 1_000
        queued, generation = self.program.has_places, created.get("generation", 1)
        run_time = created.get("run_time", 1_000)
        more = {key: value for key, value in created.items() if key not in ("generation", "run_time")}
        self.say(
            RunCreated(
                "story",
                self.program.version,
                self.program.plan_hash,
                "a",
                run_time,
                generation,
                "test",
                queued=queued,
                **more,
            )
        )

    def say(self, *bodies: Body) -> Story:
        for body in bodies:
            name = getattr(body, "stage", "")
            block = self.program.stages[name].block if name in self.program.stages else 0
            entry, stored = self.head.link(
                body, at=self.at, epoch=self.epoch, block=self.program.block_hash(block) if block else ""
            )
            self.state.apply(entry)
            self.entries.append(entry)
            self.stored.append(stored)
            self.at += 10
        return self

    def stage(self, name: str) -> StageState:
        """The stage of that name, or the item."""
        return self.state.units[name]

    def statuses(self, *names: str) -> list[str]:
        return [self.stage(name).status for name in names]

    def due(self) -> list[Any]:
        return decide(self.state)

    def again(self) -> RunState:
        """The same entries, folded once more."""
        state = RunState(self.program)
        for entry in self.entries:
            state.apply(entry)
        return state

    # ---- what is told most often ----

    def start(self, *names: str, **given: Any) -> Story:
        for name in names:
            self.say(AttemptStarted(name, self.stage(name).attempts + 1, **given))
        return self

    def end(self, name: str, outcome: str, becomes: str, **given: Any) -> Story:
        return self.say(AttemptEnded(name, self.stage(name).attempts, outcome, becomes, **given))

    def make(self, name: str, count: int) -> Story:
        return self.say(ItemsMade(name, count, self.at))

    def complete(self, *names: str) -> Story:
        for name in names:
            self.start(name).end(name, "completed", "completed")
        return self

    def fail(self, name: str) -> Story:
        return self.start(name).end(name, "failed", "failed", error_kind="exit")

    # ---- what a run does by itself ----

    def follow(self) -> Story:
        """Say what is ordered, as long as that wants nothing of the world."""
        while True:
            bodies = [ORDERED[type(action)](action) for action in self.due() if type(action) in ORDERED]
            if not bodies:
                return self
            self.say(bodies[0])

    def undo(self, *names: str) -> Story:
        """Roll these back, one after the other."""
        for name in names:
            self.try_to_undo(name, "completed", "rolled_back")
        return self

    def try_to_undo(self, name: str, outcome: str, becomes: str, kind: str = "") -> Story:
        (action,) = (
            one for one in self.due() if isinstance(one, actions.StartRollback) and one.stage == name
        )
        self.say(RollbackStarted(name, action.attempt, action.outcome))
        return self.say(RollbackEnded(name, action.attempt, outcome, becomes, kind))

    def refuse_to_be_undone(self, name: str, kind: str = "exit") -> Story:
        """The stage's rollback fails for good."""
        return self.try_to_undo(name, "failed", "rollback_failed", kind)

    # ---- the way out ----

    def see_through(self) -> Story:
        """Let all go well from here on, with somebody there who resumes and supplies, until the run has settled."""
        for _ in range(WAY_OUT_MAX):
            if self.state.is_settled:
                return self
            self._step_out()
        raise AssertionError(f"it does not come to rest: {self.state.status}, {self.due()}")

    def _step_out(self) -> None:
        """Whatever is asked is answered well, and whoever is asked for is there."""
        state = self.state
        for unit in [*state.units.values()]:
            if unit.in_flight:
                self.say(attempt_ended(state, unit, "completed", "", at=self.at, jitter_permille=0))
            if unit.rollback_in_flight:
                self.say(rollback_ended(unit, "completed", "", at=self.at, jitter_permille=0))
        if state.held:
            self.tell("resume")
        if state.is_paused:
            self.tell("unpause")
        if state.is_window_closed:
            self.say(WindowOpened())
        if not (state.has_place or state.is_settled or state.ending or state.undo is not None):
            self.say(PlaceGiven())
        due = self.due()
        assert due or state.is_settled, "nothing is due, and nothing is awaited"
        if due:
            self._order_well(due[0])

    def _order_well(self, action: Any) -> None:
        match action:
            case actions.EvaluateWhen(stage=name):
                self.say(WhenTested(name, True, self.at))
            case actions.SearchDependencies(stage=name):
                for one in self.stage(name).sealed.stage.input_dependencies:
                    if one.name not in self.state.supplied:
                        self.tell("supply", **{one.name: 1})
                self.say(DependenciesFound(name, self.stage(name).now_at or self.at))
            case actions.MakeItems(stage=name):
                self.make(name, 2)
            case actions.KeepObjects(stage=name):
                self.say(ObjectsKept(name, 1, self.stage(name).now_at or self.at))
            case actions.StartAttempt(stage=name, attempt=number, not_before=due_at):
                self.at = max(self.at, due_at)
                self.say(AttemptStarted(name, number))
            case actions.ValidateStage(stage=name):
                self.say(validation_ended(self.stage(name), "held", 1, at=self.at, jitter_permille=0))
            case actions.ValidateBlock(block=index):
                self.say(BlockValidated(index, "held", 1))
            case actions.EndAttempt(stage=name):
                raise AssertionError("nothing is in flight any more")
            case actions.StartRollback(stage=name, attempt=number, outcome=outcome, not_before=due_at):
                self.at = max(self.at, due_at)
                self.say(RollbackStarted(name, number, outcome))
            case _:
                self.say(ORDERED[type(action)](action))

    # ---- what a person says ----

    def refusal(self, verb: Any, stage: str = "", **values: Any) -> str:
        return refusal(self.state, Instruction(verb, "somebody", stage=stage, values=values))

    def tell(self, verb: Any, stage: str = "", **values: Any) -> Story:
        """A person tells the run something that it can do."""
        instruction = Instruction(verb, "somebody", stage=stage, values=values)
        assert refusal(self.state, instruction) == ""
        return self.say(body_of(self.state, instruction))


def three_blocks(*last: Stage) -> Story:
    """Two blocks of a stage each, which are done, then the stages given."""
    return Story(stage("a", writes=["x"]), stage("b", reads=["x"], writes=["y"]), *last).complete("a", "b")


def last(name: str, **given: Any) -> Stage:
    """A stage of the third of these blocks."""
    return stage(name, reads=["y"], **given)


def assert_moved_as_they_may(story: Story) -> None:
    """Each entry moves the run, its stages and its items by the tables of moves, and no other way."""
    state = RunState(story.program)
    for entry in story.entries:
        run, units = state.status, {name: unit.status for name, unit in state.units.items()}
        state.apply(entry)
        assert state.status == run or state.status in statuses.RUN_MOVES[run], (entry.body, run, state.status)
        for name, unit in state.units.items():
            was = units.get(name, statuses.PENDING)
            assert unit.status == was or unit.status in statuses.STAGE_MOVES[was], (entry.body, name, was)


ORDERED: dict[type, Any] = {
    actions.SkipStage: lambda action: StageSkipped(action.stage, action.needs),
    actions.GatherItems: lambda action: ItemsGathered(action.stage),
    actions.CancelStage: lambda action: StageCancelled(action.stage),
    actions.PlanRollback: lambda action: action.planned,
    actions.BeginPass: lambda action: PassBegun(action.block),
    actions.Hold: lambda action: RunHeld(action.reason, action.stage),
    actions.Settle: lambda action: action.settled,
}
"""The entries of actions that need no answer."""
