"""What happens next follows from what happened so far, and from nothing else."""

from __future__ import annotations

from tests.core.running.story import ASKED, DATA, LOOK, Story, stage

from clew.core.program.model import Output, Retry, Rollback
from clew.core.running.actions import (
    CancelStage,
    EndAttempt,
    EvaluateWhen,
    Hold,
    KeepObjects,
    MakeItems,
    PlanRollback,
    SearchDependencies,
    Settle,
    SkipStage,
    StartAttempt,
    StartRollback,
    ValidateBlock,
    ValidateStage,
)
from clew.core.running.decide import stands_still
from clew.core.running.entries import (
    AttemptEnded,
    BlockValidated,
    DependenciesFound,
    ObjectsKept,
    ResidueItem,
    RollbackEnded,
    RollbackStarted,
    RunHeld,
    RunReleased,
    RunSettled,
    StageCancelled,
    StageFailed,
    StageSkipped,
    StageWaiting,
    ValidationEnded,
    WhenTested,
)


def test_the_stages_of_a_block_begin_together_and_the_next_block_waits() -> None:
    """Each stage of the first block is started; one that needs them is not, until all of them are done."""
    story = Story(stage("a", writes=["x"]), stage("b"), stage("c", reads=["x"]))
    assert story.due() == [StartAttempt("a", 1, 0), StartAttempt("b", 1, 0)]
    story.complete("a").start("b")
    assert story.due() == []
    story.end("b", "completed", "completed")
    assert story.due() == [StartAttempt("c", 1, 0)]


def test_a_run_completes_when_all_its_blocks_have() -> None:
    """When every stage is done the run settles as completed, and then nothing more is due."""
    story = Story(stage("a")).complete("a")
    assert story.due() == [Settle(RunSettled("completed"))]
    story.say(RunSettled("completed"))
    assert story.due() == []


def test_a_retry_waits_until_it_is_due() -> None:
    """The next attempt is started, though not before the moment that the last one's end named."""
    story = Story(stage("a")).start("a").end("a", "failed", "started", error_kind="exit", retry_at=9_000)
    assert story.due() == [StartAttempt("a", 2, 9_000)]


def test_when_comes_before_data_and_data_before_the_attempt() -> None:
    """A stage's `when` is worked out first, then its dependencies are looked for, then it is started."""
    story = Story(stage("a", when="true", dependencies=DATA))
    assert story.due() == [EvaluateWhen("a")]
    story.say(WhenTested("a", True, 1_500))
    assert story.due() == [SearchDependencies("a", 0)]
    story.say(StageWaiting("a", 1, 7_000, 1_500))
    assert story.due() == [SearchDependencies("a", 7_000)]
    story.say(DependenciesFound("a", 1_500))
    assert story.due() == [StartAttempt("a", 1, 0)]


def test_a_false_when_skips_and_skips_who_needs_what_is_missing() -> None:
    """Stages that read a skipped one's outputs are skipped too, for its sake; `after` it is satisfied, and so is
    a need whose output has a default."""
    story = Story(
        stage("a", when="false", writes=["x", Output("y", has_default=True, default=1)]),
        stage("b", reads=["x"]),
        stage("c", reads=["y"]),
        stage("d", after=("a",)),
    )
    story.say(WhenTested("a", False, 1_500))
    assert story.due() == [SkipStage("a", ())]
    story.say(StageSkipped("a"))
    assert story.due() == [SkipStage("b", ("a",)), StartAttempt("c", 1, 0), StartAttempt("d", 1, 0)]


def test_what_has_executed_is_validated() -> None:
    """A stage with conditions is validated when it has executed, and done when they hold."""
    story = Story(stage("a", validate=(LOOK,))).start("a").end("a", "completed", "validating")
    assert story.due() == [ValidateStage("a", 1)]
    story.say(ValidationEnded("a", 1, "held", 1, "completed"))
    assert story.due() == [Settle(RunSettled("completed"))]


def test_a_blocks_own_conditions_stand_before_the_next_block() -> None:
    """When its stages are done the block is validated; the next one begins when that holds."""
    story = Story(stage("a", writes=["x"]), stage("b", reads=["x"]), validate=(LOOK,))
    assert len(story.program.conditions[0]) == 1
    story.complete("a")
    assert story.due() == [ValidateBlock(1)]
    story.say(BlockValidated(1, "held", 1))
    assert story.due() == [StartAttempt("b", 1, 0)]


def test_a_failure_ends_the_others_of_its_block_and_then_plans_the_way_back() -> None:
    """What is in flight is asked to end, what is not is cancelled; only when nothing is left is the way back
    planned, and then it is all that is due."""
    waiting = stage("w", dependencies=DATA)
    story = Story(stage("a"), stage("b"), waiting, stage("v", validate=(LOOK,)), stage("p"))
    story.say(StageWaiting("w", 1, 7_000, 1_500)).start("v").end("v", "completed", "validating")
    story.start("b").fail("a")
    assert story.due() == [EndAttempt("b", 1), CancelStage("w"), CancelStage("v"), CancelStage("p")]
    story.say(StageCancelled("w"), StageCancelled("v"), StageCancelled("p"))
    assert story.due() == [EndAttempt("b", 1)]
    story.end("b", "cancelled", "cancelled", error_kind="cancelled")
    (planned,) = story.due()
    assert isinstance(planned, PlanRollback)
    assert [(item.stage, item.outcome) for item in planned.planned.blocks[0].stages] == [
        ("a", "failed"),
        ("b", "cancelled"),
        ("v", "completed"),
    ]


def test_a_block_that_is_not_valid_is_rolled_back_itself() -> None:
    """A block's conditions that do not hold roll back, from that block on, without another attempt."""
    story = Story(stage("a"), validate=(LOOK,)).complete("a")
    story.say(BlockValidated(1, "not_held", 3))
    (planned,) = story.due()
    assert isinstance(planned, PlanRollback)
    assert (planned.planned.index, planned.planned.stage, planned.planned.error_kind) == (1, "", "validation")
    assert [block.index for block in planned.planned.blocks] == [1]


def test_the_way_back_goes_block_by_block() -> None:
    """The rollbacks of one block run side by side, those of the block before only when all of them are done."""
    story = Story(
        stage("a", writes=["x"]), stage("b", reads=["x"]), stage("c", reads=["x"]), stage("d", after=("b",))
    )
    story.complete("a", "b", "c").fail("d")
    (plan,) = story.due()
    story.say(plan.planned)
    assert story.due() == [StartRollback("d", 1, "failed", 0)]
    story.say(RollbackStarted("d", 1, "failed"))
    assert story.due() == []
    story.say(RollbackEnded("d", 1, "completed", "rolled_back"))
    assert story.due() == [StartRollback("b", 1, "completed", 0), StartRollback("c", 1, "completed", 0)]
    story.say(RollbackStarted("b", 1, "completed"), RollbackStarted("c", 1, "completed"))
    story.say(RollbackEnded("b", 1, "completed", "rolled_back"))
    assert story.due() == []
    story.say(RollbackEnded("c", 1, "failed", "rolling_back", "exit", 8_000))
    assert story.due() == [StartRollback("c", 2, "completed", 8_000)]
    story.say(RollbackStarted("c", 2, "completed"), RollbackEnded("c", 2, "completed", "rolled_back"))
    story.say(RollbackStarted("a", 1, "completed"), RollbackEnded("a", 1, "completed", "rolled_back"))
    assert story.due() == [Settle(RunSettled("rolled_back"))]


def test_a_rollback_that_failed_for_good_holds_the_run_when_the_others_are_done() -> None:
    """The rest of its block is undone first; a person's release then tries it again."""
    story = Story(stage("a"), stage("b")).complete("b").fail("a")
    (plan,) = story.due()
    story.say(
        plan.planned,
        RollbackStarted("a", 1, "failed"),
        RollbackEnded("a", 1, "failed", "rollback_failed", "exit"),
    )
    assert story.due() == [StartRollback("b", 1, "completed", 0)]
    story.say(RollbackStarted("b", 1, "completed"))
    assert story.due() == []
    story.say(RollbackEnded("b", 1, "completed", "rolled_back"))
    assert story.due() == [Hold("rollback_failed", "a")]
    story.say(RunHeld("rollback_failed", "a"))
    assert story.due() == [] and story.state.status == "rollback_failed"
    story.say(RunReleased("somebody"))
    assert story.due() == [StartRollback("a", 2, "failed", story.at - 10)]


def test_nothing_is_due_while_a_person_is_needed() -> None:
    """A run that is held does nothing until it is released, and then goes on where it was."""
    story = Story(stage("a")).say(RunHeld("code_changed", "a"))
    assert story.due() == [] and story.state.status == "held"
    story.say(RunReleased("somebody"))
    assert story.due() == [StartAttempt("a", 1, 0)] and story.state.status == "running"


def test_a_stage_that_can_not_be_told_apart_fails_the_run_before_it_acts() -> None:
    """A failure before any attempt leaves nothing of that stage to undo."""
    story = Story(stage("a", dependencies=DATA)).say(StageFailed("a", "ambiguous"))
    (plan,) = story.due()
    assert plan.planned.blocks == () and plan.planned.error_kind == "ambiguous"
    story.say(plan.planned)
    assert story.due() == [Settle(RunSettled("rolled_back"))]


def test_an_attempt_that_is_cut_off_while_the_run_fails_is_not_tried_again() -> None:
    """Whatever comes of it, the stage is cancelled, and undone as one that may have acted."""
    story = Story(stage("a"), stage("b")).start("b").fail("a")
    story.say(AttemptEnded("b", 1, "unknown", "cancelled", "interrupted"))
    (plan,) = story.due()
    assert [(one.stage, one.outcome) for one in plan.planned.blocks[0].stages] == [
        ("a", "failed"),
        ("b", "unknown"),
    ]


# ---- what is kept before, what is supplied, what is paused -----------------------------------------------


def test_what_a_rollback_puts_back_is_kept_before_the_first_attempt_of_a_pass() -> None:
    """Once: later attempts overwrite what an earlier one left; the next pass keeps anew."""
    story = Story(
        stage("a", rollback=Rollback("commands", restore=("data/file",), to="a"), retry=Retry(attempts=2))
    )
    assert story.due() == [KeepObjects("a")]
    story.say(ObjectsKept("a", 1, 1_500))
    assert (story.due(), story.stage("a").now_at) == ([StartAttempt("a", 1, 0)], 1_500)
    story.start("a").end("a", "failed", "started", error_kind="exit", retry_at=9_000)
    assert story.due() == [StartAttempt("a", 2, 9_000)]
    story.fail("a").follow().undo("a").follow()
    assert story.due() == [KeepObjects("a")]


def test_data_and_inputs_come_before_items_and_items_before_what_is_kept() -> None:
    """What a stage is done for may be what was found; what is overwritten may be named by the item."""
    story = Story(
        stage("a", dependencies=DATA, for_each="{file}", rollback=Rollback("commands", restore=("{item}",)))
    )
    assert story.due() == [SearchDependencies("a", 0)]
    story.say(DependenciesFound("a", 1_500))
    assert story.due() == [MakeItems("a")]
    story.make("a", 1)
    assert story.due() == [KeepObjects("a[0]")]


def test_while_a_run_is_paused_no_further_stage_begins() -> None:
    """None is looked up, decided, skipped or kept for; an input can be supplied all the same."""
    story = Story(
        stage("a", when="true"), stage("b", dependencies=DATA), stage("c"), stage("d", dependencies=ASKED)
    )
    story.say(StageWaiting("b", 1, 9_000, 1_500)).tell("pause")
    assert (story.due(), story.state.status) == ([], "paused")
    story.tell("supply", word="yes")
    assert (story.due(), story.state.status) == ([], "paused")
    assert story.tell("unpause").state.status == "waiting"
    assert [type(action).__name__ for action in story.due()] == [
        "EvaluateWhen", "SearchDependencies", "StartAttempt", "SearchDependencies",
    ]  # fmt: skip


def test_what_runs_when_a_run_is_paused_is_finished_with_its_retries_and_validation() -> None:
    """Also a block's own conditions; the next block then waits, and a run that has no other completes."""
    again = Retry(attempts=2, delay_milliseconds=100, jitter=False)
    story = Story(
        stage("a", writes=["x"], validate=(LOOK,), retry=again), stage("b", reads=["x"]), validate=(LOOK,)
    )
    story.start("a").tell("pause")
    assert (story.due(), stands_still(story.state)) == ([], False)
    story.end("a", "failed", "started", error_kind="exit", retry_at=9_000)
    assert (story.due(), stands_still(story.state)) == ([StartAttempt("a", 2, 9_000)], False)
    story.start("a").end("a", "completed", "validating")
    assert (story.due(), story.state.status) == ([ValidateStage("a", 2)], "paused")
    story.say(ValidationEnded("a", 2, "held", 1, "completed"))
    assert story.due() == [ValidateBlock(1)]
    story.say(BlockValidated(1, "held", 1))
    assert (story.due(), story.state.status) == ([], "paused")
    assert stands_still(story.state)
    story.tell("unpause")
    assert not stands_still(story.state)
    story.start("b").tell("pause").end("b", "completed", "completed")
    assert story.due() == [Settle(RunSettled("completed"))]


def test_a_run_that_fails_while_it_is_paused_is_rolled_back() -> None:
    """Going back is not paused."""
    story = (
        Story(stage("a"), stage("b")).start("a").tell("pause").end("a", "failed", "failed", error_kind="exit")
    )
    assert story.due() == [CancelStage("b")]
    assert story.follow().state.status == "rolling_back"
    assert story.undo("a").follow().state.status == "rolled_back"


def test_a_cancel_ends_what_runs_before_anything_is_undone() -> None:
    """What has not begun is cancelled, what is in flight is awaited, and then all of it is undone, told its case."""
    story = Story(stage("a", writes=["x"]), stage("b", reads=["x"]), stage("c", reads=["x"])).complete("a")
    story.start("b").tell("cancel")
    assert story.due() == [EndAttempt("b", 1), CancelStage("c")]
    story.end("b", "unknown", "cancelled", error_kind="lost").follow()
    assert (story.state.status, story.state.cause) == ("rolling_back", "cancelled")
    assert story.due() == [StartRollback("b", 1, "unknown", 0)]
    assert story.undo("b", "a").follow().state.status == "rolled_back"


def test_a_stop_ends_what_runs_and_undoes_nothing() -> None:
    """What may have acted is residue, certainly where it completed."""
    story = Story(stage("a", writes=["x"]), stage("b", reads=["x"]), stage("c", reads=["x"])).complete("a")
    story.start("b").tell("stop")
    assert story.due() == [EndAttempt("b", 1), CancelStage("c")]
    story.end("b", "timed_out", "cancelled", error_kind="timed_out").follow()
    assert (story.state.status, story.state.cause) == ("failed", "cancelled")
    assert story.state.residue == (ResidueItem("a", True), ResidueItem("b", False))
