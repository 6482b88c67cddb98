"""What was played amounts to what is said: faults by the stage and the scenario, and what was not rehearsed."""

from __future__ import annotations

from clew.core.program.model import Command, Program, Rollback, Stage
from clew.ports import AttemptError
from clew.rehearsing.judging import judge
from clew.rehearsing.playing import Played
from clew.rehearsing.scenarios import UNDISTURBED, Scenario, scenarios_of
from clew.rehearsing.worlds import Act, Change

WORK = Command("publish_file")
UNDOES = Rollback("commands", (WORK,))
PROGRAM = Program(
    "trip",
    (
        Stage("book", (WORK, WORK), rollback=UNDOES),
        Stage("pay", (WORK,), rollback=Rollback("commands", (WORK,), restore=("data/x",))),
        Stage("tell", (WORK,)),
    ),
)
CAME = Change("file", "data/a", None, "1")


def played(scenario=UNDISTURBED, **more):
    fields = {
        "status": "rolled_back", "left": (), "acts": (), "errors": {}, "failures": {}, "held": "",
        "begun": frozenset({"book", "pay", "tell"}), "has_struck": True, "is_completed": True,
    }  # fmt: skip
    return Played(scenario, **{**fields, **more})


def test_every_way_to_go_wrong_is_a_scenario():
    """Each stage fails before, after and lost, and between its commands; rollbacks too, as the longest has parts; and
    all are run twice."""
    names = [scenario.name for scenario in scenarios_of(PROGRAM, ["book", "tell", "pay"])]
    assert names == [
        "book: before", "book: after", "book: crash", "book: halfway 1",
        "tell: before", "tell: after", "tell: crash",
        "pay: before", "pay: after", "pay: crash",
        "rollbacks: before", "rollbacks: after", "rollbacks: crash", "rollbacks: halfway 1", "rollbacks: twice",
    ]  # fmt: skip


def test_without_rollbacks_none_goes_wrong():
    """Where nothing is undone there are only the stages to fail."""
    assert [scenario.kind for scenario in scenarios_of(PROGRAM, ["tell"])] == ["before", "after", "crash"]


def test_all_is_back():
    """Where nothing is left, every rollback that there is has brought it back."""
    verdict = judge(PROGRAM, [played()])
    assert (verdict.faults, verdict.residue, verdict.unrehearsed) == ((), (), ())
    assert verdict.marks == {
        "book": {UNDISTURBED: "back"}, "pay": {UNDISTURBED: "back"}, "tell": {UNDISTURBED: ""}
    }  # fmt: skip


def test_what_is_left_is_told_by_who_left_it():
    """What a stage without a rollback left is residue, told once; what one with a rollback left is a fault."""
    told = Change("file", "data/b", None, "1")
    acts = (Act("book", "execute", (CAME,)), Act("tell", "execute", (told,)))
    twice = Scenario("twice")
    verdict = judge(
        PROGRAM, [played(left=(CAME, told), acts=acts), played(twice, left=(CAME, told), acts=acts)]
    )
    assert [(one.stage, one.scenario, one.left) for one in verdict.faults] == [
        ("book", UNDISTURBED, (CAME,)), ("book", twice, (CAME,)),
    ]  # fmt: skip
    assert [(one.stage, one.declared, one.left) for one in verdict.residue] == [
        ("tell", "undeclared", (told,))
    ]
    assert verdict.marks["book"] == {UNDISTURBED: "left", twice: "left"}


def test_a_rollback_that_fails_is_a_fault():
    """A rollback that went wrong of itself is at fault, whether or not it has left anything."""
    error = AttemptError("KeyError", "'id'")
    verdict = judge(PROGRAM, [played(errors={"pay": error})])
    assert [(one.stage, one.left, one.error) for one in verdict.faults] == [("pay", (), error)]
    assert verdict.marks["pay"] == {UNDISTURBED: "failed"}


def test_what_is_nobodys_is_told_as_that():
    """A difference that no piece of work explains is a fault all the same, of nobody."""
    assert [one.stage for one in judge(PROGRAM, [played(left=(CAME,))]).faults] == [""]


def test_what_did_not_come_about_is_told():
    """A stage that is passed over is told, and no wrong; a scenario that was not over or not reached is one."""
    crash = Scenario("crash", "pay")
    error = AttemptError("exit", "code 1")
    verdict = judge(
        PROGRAM,
        [
            played(begun=frozenset({"book", "pay"})),
            played(crash, is_over=False),
            played(crash, has_struck=False, failures={"book": error}),
            played(crash, has_struck=False),
            played(crash, held="changed_since"),
        ],
    )
    assert [(one.what, one.why, one.is_wrong) for one in verdict.unrehearsed] == [
        ("stage 'tell'", "it was skipped: other variables may lead to it", False),
        ("scenario 'pay: crash'", "it was not over in time; --time gives it more", True),
        ("scenario 'pay: crash'", "'book' failed before: exit: code 1", True),
        ("scenario 'pay: crash'", "it was not reached", True),
        ("scenario 'pay: crash'", "the run was held: changed_since", True),
    ]
