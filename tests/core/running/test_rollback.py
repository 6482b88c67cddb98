"""What is undone, in which order, told which case, and what is left standing."""

from __future__ import annotations

import pytest
from tests.core.running.story import (
    ASKED,
    IMPOSSIBLE,
    LOOK,
    UNDO,
    Story,
    assert_moved_as_they_may,
    back_to,
    last,
    stage,
    three_blocks,
)

from clew.core.program.model import Command, Retry, Rollback
from clew.core.running.actions import (
    EndAttempt,
    Hold,
    Settle,
    StartAttempt,
    StartRollback,
    ValidateBlock,
)
from clew.core.running.consequences import rollback_ended
from clew.core.running.entries import (
    BlockValidated,
    Body,
    ResidueItem,
    RollbackEnded,
    RollbackStarted,
    RunCancelled,
    RunExpired,
    RunSettled,
    StageFailed,
    StageWaiting,
)
from clew.core.running.fold_back import CHANGED_SINCE
from clew.core.running.instructions import rollback_if
from clew.core.running.rollback import (
    WayBack,
    is_going_back,
    next_rollbacks,
    plan_rollback,
    point_of_no_return,
    residue_of,
    way_back,
)


def planned(story: Story) -> dict[str, str]:
    return {item.stage: item.outcome for block in plan_rollback(story.state).blocks for item in block.stages}


def test_the_plan_goes_from_the_block_under_way_back_to_the_first() -> None:
    """Blocks are undone in reverse order; those that have not come yet, and stages that never began, are not."""
    story = Story(stage("a", writes=["x"]), stage("b", reads=["x"], writes=["y"]), stage("c", reads=["y"]))
    story.complete("a").fail("b")
    assert [
        (block.index, [item.stage for item in block.stages]) for block in plan_rollback(story.state).blocks
    ] == [
        (2, ["b"]),
        (1, ["a"]),
    ]


def test_a_stage_is_told_how_its_last_attempt_ended_that_may_have_acted() -> None:
    """An attempt that never began says nothing of the one before it, which may have acted."""
    story = Story(stage("a"), stage("b"), stage("c"))
    story.start("a").end("a", "timed_out", "started", error_kind="timed_out", retry_at=2_000)
    story.start("a").end("a", "not_begun", "started", error_kind="executor", retry_at=3_000)
    story.start("b").end("b", "not_begun", "started", error_kind="executor", retry_at=3_000)
    story.fail("c")
    assert planned(story) == {"a": "timed_out", "c": "failed"}


def test_a_stage_that_was_never_shown_not_to_have_begun_is_undone() -> None:
    """An attempt that is ordered may act, so its stage is undone, whatever became of it."""
    story = Story(stage("a")).start("a").end("a", "unknown", "failed", error_kind="lost")
    assert planned(story) == {"a": "unknown"}


def test_what_declares_no_rollback_is_residue_and_what_leaves_nothing_is_not() -> None:
    """A stage that says nothing and acted is left standing, for certain once an attempt of it has completed; one
    that says `none`, or runs only commands that leave nothing, is neither undone nor residue."""
    story = Story(
        stage("a", rollback=Rollback()),
        stage("b", rollback=Rollback()),
        stage("c", rollback=Rollback("none")),
        stage("d", rollback=Rollback(), execute=(Command("rest"),)),
        stage("e"),
        validate=(LOOK,),
    )
    story.complete("a", "c", "d").start("b").end("b", "cancelled", "cancelled").fail("e")
    plan = plan_rollback(story.state)
    assert [(item.stage, item.certain) for item in plan.residue] == [("a", True), ("b", False)]
    assert planned(story) == {"e": "failed"}
    assert (plan.cause, plan.stage, plan.error_kind) == ("failure", "e", "exit")


def test_a_run_with_residue_ends_as_failed() -> None:
    """It is rolled back only when nothing is left standing."""
    story = Story(stage("a", rollback=Rollback())).fail("a")
    story.say(plan_rollback(story.state))
    (settle,) = next_rollbacks(story.state)
    assert settle.settled.status == "failed"
    assert [item.stage for item in settle.settled.residue] == ["a"]


def test_what_is_not_undone_yet_is_standing() -> None:
    """Until its rollback is done, a stage counts among what stands, and so do those without one."""
    story = Story(stage("a"), stage("b", rollback=Rollback())).complete("a").fail("b")
    assert residue_of(story.state) == ()
    story.say(plan_rollback(story.state))
    assert [(item.stage, item.certain) for item in residue_of(story.state)] == [("a", True), ("b", False)]
    story.say(RollbackStarted("a", 1, "completed"), RollbackEnded("a", 1, "completed", "rolled_back"))
    assert [item.stage for item in residue_of(story.state)] == ["b"]


# ---- points of no return ---------------------------------------------------------------------------------


def no_return(*, then: Rollback = UNDO) -> Story:
    return Story(
        stage("a", writes=["x"]),
        stage("b", reads=["x"], writes=["y"], rollback=IMPOSSIBLE),
        stage("c", reads=["y"], rollback=then),
        stage("d", reads=["y"]),
    ).complete("a")


def test_the_last_point_of_no_return_is_the_one_that_has_begun() -> None:
    """It is one from its first attempt on, and not before; an attempt that never began does not count."""
    story = no_return()
    assert point_of_no_return(story.state) is None
    story.start("b")
    assert point_of_no_return(story.state) is story.stage("b")
    assert point_of_no_return(story.end("b", "not_begun", "started").state) is None
    assert point_of_no_return(story.complete("b", "c", "d").state) is story.stage("b")


def test_nothing_goes_back_beyond_a_point_of_no_return() -> None:
    """A failure after it holds the run; what is in flight goes on meanwhile, and nothing is cancelled."""
    story = no_return().complete("b").start("d").fail("c")
    assert way_back(story.state) == WayBack(1, barred_by="b") and not is_going_back(story.state)
    assert story.due() == [Hold("point_of_no_return", "c")]
    story.follow().end("d", "failed", "started", error_kind="exit", retry_at=9_000)
    assert (story.due(), story.state.status, story.stage("d").status) == ([], "held", "started")


def test_a_point_of_no_return_that_fails_itself_holds_the_run() -> None:
    """For as long as it retries it goes forward; when that is spent a person is needed."""
    story = no_return().start("b").end("b", "failed", "started", error_kind="exit", retry_at=9_000)
    assert story.due() == [StartAttempt("b", 2, 9_000)]
    assert story.fail("b").due() == [Hold("point_of_no_return", "b")]
    assert story.follow().tell("resume").due() == [StartAttempt("b", 3, story.at - 10)]
    assert story.stage("b").tried == 0


@pytest.mark.parametrize("body", [RunCancelled("somebody"), RunExpired()])
def test_cancelling_and_expiry_hold_a_run_that_is_beyond_its_point_of_no_return(body: Body) -> None:
    """Nothing is undone by them; told to go on, the run goes on as if they had not been."""
    story = no_return().complete("b").start("c").say(body)
    assert story.due() == [Hold("point_of_no_return", "b")]
    story.follow().end("c", "completed", "completed").tell("resume")
    assert (story.state.ending, story.state.cause, story.due()) == ("", "", [StartAttempt("d", 1, 0)])


def test_a_target_after_the_point_of_no_return_is_followed() -> None:
    """The way back stays after it, so that nothing bars it."""
    story = no_return(then=back_to("d")).complete("b", "d").fail("c")
    assert way_back(story.state) == WayBack(3, forward=True, declared_by="c")
    assert story.follow().undo("c", "d").follow().state.block == 3


def test_a_target_at_or_before_it_is_barred() -> None:
    """Its own block can't be undone either."""
    for target in ("a", "b"):
        story = no_return(then=back_to(target)).complete("b").fail("c")
        assert story.due() == [Hold("point_of_no_return", "c")]


def test_a_rollback_that_a_person_asks_for_stops_after_it() -> None:
    """What came after is undone; it and all before it are what the run leaves."""
    story = no_return().complete("b", "d").fail("c").follow().tell("rollback")
    assert way_back(story.state) == WayBack(3)
    story.follow().undo("c", "d").follow()
    assert (story.state.status, story.state.cause) == ("failed", "requested")
    assert set(story.state.residue) == {ResidueItem("a", True), ResidueItem("b", True)}
    assert story.refusal("rollback") == "nothing that came after 'b', which can't be undone, is left to undo"


def test_what_holds_at_a_point_of_no_return_is_retried_or_skipped_stage_by_stage() -> None:
    """The run goes on when nothing failed is left; until then it is held again, for what is."""
    story = no_return().complete("b").start("d").fail("c").follow().end("d", "failed", "failed")
    story.tell("retry", "c")
    assert (story.statuses("c", "d"), story.due()) == (
        ["started", "failed"],
        [Hold("point_of_no_return", "d")],
    )
    story.follow().tell("skip", "d")
    assert story.state.ending == "" and story.due() == [StartAttempt("c", 2, story.stage("c").retry_at)]
    story = (
        no_return().complete("b").start("d").fail("c").follow().end("d", "failed", "failed").tell("resume")
    )
    assert story.statuses("c", "d") == ["started", "started"]


def test_a_block_whose_conditions_fail_after_a_point_of_no_return_is_tested_again_on_resume() -> None:
    """On new clocks; nothing of it is executed again."""
    story = Story(stage("a", rollback=IMPOSSIBLE), validate=(LOOK,)).complete("a")
    story.say(BlockValidated(1, "not_held", 2))
    assert story.due() == [Hold("point_of_no_return", "a")]
    assert story.follow().tell("resume").due() == [ValidateBlock(1)]
    assert story.state.block_done_at == story.at - 10
    story.say(BlockValidated(1, "held", 1))
    assert story.due() == [Settle(RunSettled("completed"))]


def test_a_block_can_fail_while_a_person_is_waited_for() -> None:
    """What ended the way forward before still does; told to go on, the run has the block tested again."""
    story = Story(stage("a", rollback=IMPOSSIBLE), validate=(LOOK,)).complete("a").tell("cancel").follow()
    story.say(BlockValidated(1, "not_held", 1))
    assert (story.state.ending, story.state.block_failed) == ("cancelled", 1)
    assert story.tell("resume").due() == [ValidateBlock(1)]
    assert (story.state.ending, story.state.block_failed) == ("", 0)


# ---- rollbacks that fail ---------------------------------------------------------------------------------


def test_with_on_failure_continue_the_rest_is_undone_all_the_same() -> None:
    """Nobody is asked; the run is failed in the end, and says what stands."""
    careless = Rollback("commands", (Command("undo"),), on_failure="continue")
    story = three_blocks(last("c", rollback=careless), last("d")).complete("d").fail("c").follow()
    story.refuse_to_be_undone("c")
    assert story.due() == [StartRollback("d", 1, "completed", 0)]
    story.undo("d", "b", "a").follow()
    assert (story.state.status, story.state.residue) == ("failed", (ResidueItem("c", False),))
    assert story.statuses("c") == ["rollback_failed"]


def test_what_somebody_else_has_changed_holds_the_run_at_once() -> None:
    """It is not tried again by itself, and not passed over either, whatever the stage says of failures."""
    careless = Rollback("commands", restore=("data/file",), on_failure="continue", retry=Retry(attempts=5))
    story = three_blocks(last("c", rollback=careless)).fail("c").follow()
    story.say(RollbackStarted("c", 1, "failed"))
    ended = rollback_ended(story.stage("c"), "failed", CHANGED_SINCE, at=story.at, jitter_permille=0)
    assert (ended.becomes, ended.retry_at) == ("rollback_failed", 0)
    assert story.say(ended).due() == [Hold("changed_since", "c")]
    story.follow()
    assert story.state.status == "held"
    assert story.tell("retry", "c").due() == [StartRollback("c", 2, "failed", story.at - 10)]
    story.refuse_to_be_undone("c", CHANGED_SINCE).follow().tell("skip", "c").undo("b", "a").follow()
    assert story.state.residue == (ResidueItem("c", False),)


def test_a_rollback_that_did_not_work_says_more_than_one_that_must_not_overwrite() -> None:
    """Of several that need a person, the run is held for the one that failed by itself."""
    story = three_blocks(last("c"), last("d")).complete("c").fail("d").follow()
    story.refuse_to_be_undone("c", CHANGED_SINCE).refuse_to_be_undone("d")
    assert story.due() == [Hold("rollback_failed", "d")]
    assert story.follow().tell("resume").statuses("c", "d") == ["rolling_back", "rolling_back"]


def test_the_first_error_and_the_rollbacks_outcomes_are_kept_apart() -> None:
    """A rollback's failure changes nothing of what the run failed by."""
    story = three_blocks(last("c")).fail("c")
    error_seq = story.state.error_seq
    story.follow().refuse_to_be_undone("c").follow()
    assert (story.state.failed_stage, story.state.error_seq) == ("c", error_seq)
    found = story.stage("c")
    assert (found.error_kind, found.outcome) == ("exit", "failed")
    assert (found.rollback_error_kind, found.rollback_outcome) == ("exit", "failed")


# ---- back, and back again --------------------------------------------------------------------------------


def test_a_stopped_run_can_be_rolled_back_and_rewound() -> None:
    """What was residue is undone then; and a run of which nothing is left can begin again."""
    story = three_blocks(last("c")).start("c").tell("stop").end("c", "unknown", "cancelled").follow()
    assert (story.state.status, story.state.cause) == ("failed", "cancelled")
    assert [item.stage for item in story.state.residue] == ["a", "b", "c"]
    story.tell("rollback").follow().undo("c", "b", "a").follow()
    assert (story.state.status, story.state.cause, story.state.residue) == ("rolled_back", "requested", ())
    story.tell("rewind", "a").follow()
    assert (story.state.status, story.state.pass_number, story.due()) == (
        "running",
        2,
        [StartAttempt("a", 2, 0)],
    )
    assert story.complete("a", "b", "c").follow().state.status == "completed"
    assert_moved_as_they_may(story)


def test_a_rewind_undoes_back_to_its_stage_and_goes_forward() -> None:
    """Of a completed run, or of one that is under way; its cause is that somebody asked for it, until it goes on."""
    for story in (three_blocks(last("c")).complete("c").follow(), three_blocks(last("c")).start("c")):
        story.tell("rewind", "b")
        if story.stage("c").in_flight:
            assert story.due() == [EndAttempt("c", 1)]
            story.end("c", "cancelled", "cancelled")
        story.follow()
        assert (story.state.status, story.state.cause) == ("rolling_back", "requested")
        story.undo("c", "b").follow()
        assert (story.state.status, story.state.cause, story.state.block) == ("running", "", 2)


def test_what_a_failure_says_in_its_plan_is_nothing_a_person_asked_for() -> None:
    """A rewind or rollback plans no error kind; a failure says its own, or that the block was not valid."""
    story = three_blocks(last("c")).complete("c").follow()
    for verb, name in (("rollback", ""), ("rewind", "b")):
        planned = rollback_if(story.state, verb, name)
        assert (planned.cause, planned.error_kind, planned.stage) == ("requested", "", "")


# ---- inputs ----------------------------------------------------------------------------------------------


def test_a_run_that_waited_in_vain_for_an_input_is_missed_unless_it_had_begun_something() -> None:
    """Then it is rolled back, like any other that failed."""
    story = Story(stage("a", dependencies=ASKED)).say(StageWaiting("a", 1, 9_000, 1_000))
    story.say(StageFailed("a", "deadline")).follow()
    assert (story.state.status, story.state.cause) == ("missed", "failure")
    story = Story(stage("a", dependencies=ASKED), stage("b")).complete("b").say(StageFailed("a", "deadline"))
    assert story.follow().undo("b").follow().state.status == "rolled_back"
    story = Story(stage("a", dependencies=ASKED), stage("b", rollback=Rollback())).complete("b")
    assert story.say(StageFailed("a", "deadline")).follow().state.status == "failed"
