"""What a run amounts to that leaves its way forward: ended, undone, held, told by a person."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.running.story import DATA, IMPOSSIBLE, LOOK, Story, assert_moved_as_they_may, back_to, stage

from clew.core.program.model import Retry
from clew.core.running.actions import EvaluateWhen, Settle, StartAttempt, StartRollback
from clew.core.running.consequences import attempt_ended
from clew.core.running.entries import (
    Body,
    ItemsGathered,
    ResidueItem,
    RollbackEnded,
    RollbackStarted,
    RunCancelled,
    RunExpired,
    RunHeld,
    RunSettled,
    StageCancelled,
    StageWaiting,
    WhenTested,
)
from clew.core.running.rollback import is_going_back


def chain() -> Story:
    """Three blocks of a stage each, all of which are undone."""
    return Story(
        stage("a", writes=["x"]), stage("b", reads=["x"], writes=["y"]), stage("c", reads=["y"], writes=["z"])
    )


# ---- a person takes a settled run back -------------------------------------------------------------------


def test_a_failed_rollback_is_tried_again_when_a_stopped_run_is_rolled_back() -> None:
    """The run goes back from the moment it is told to; what had failed is tried afresh."""
    story = chain().complete("a").fail("b").follow().refuse_to_be_undone("b").follow().tell("stop").follow()
    assert story.state.status == "failed"
    story.tell("rollback")
    assert (story.state.status, story.stage("b").status) == ("rolling_back", "rolling_back")
    assert (story.state.ended_at, story.state.cause) == (0, "")
    assert story.follow().due() == [StartRollback("b", 2, "failed", story.stage("b").rollback_retry_at)]
    assert story.undo("b", "a").follow().state.status == "rolled_back"


def test_what_ends_a_rewind_of_a_settled_run_leaves_it_going_back() -> None:
    """It does not go forward in between, and can't be stopped halfway; a cancel undoes all of it."""
    story = chain().complete("a", "b", "c").follow().tell("rewind", "c")
    assert story.state.status == "rolling_back"
    assert story.refusal("stop") == "what it did is being undone, which can't be stopped halfway"
    story.tell("cancel")
    assert story.state.status == "rolling_back"
    assert story.follow().undo("c", "b", "a").follow().state.status == "rolled_back"


# ---- residue ---------------------------------------------------------------------------------------------


def test_what_a_stopped_run_had_done_is_no_residue_once_the_run_has_gone_on_and_completed() -> None:
    """Stages that keep what they did belong to the run again from the moment at which it goes forward from them."""
    story = chain().complete("a").start("b").tell("stop").follow().end("b", "unknown", "cancelled").follow()
    assert story.state.residue == (ResidueItem("a", True), ResidueItem("b", False))
    story.tell("rewind", "b").follow().undo("b").follow()
    assert (story.state.status, story.state.residue) == ("running", ())
    assert story.complete("b", "c").due() == [Settle(RunSettled("completed"))]


# ---- skipping --------------------------------------------------------------------------------------------


def held(story: Story, name: str) -> Story:
    """The code of that stage has changed."""
    return story.say(RunHeld("code_changed", name))


def test_whatever_a_held_run_has_not_finished_can_be_skipped() -> None:
    """A stage that waits for data, that is between two attempts, or that is validated: each is passed over."""
    story = Story(stage("w", dependencies=DATA), stage("s"), stage("v", validate=(LOOK,)), stage("p"))
    story.say(StageWaiting("w", 1, 9_000, 1_010)).start("s", "v").end("s", "not_begun", "started")
    story.end("v", "completed", "validating")
    for name in "wsvp":
        held(story, name).tell("skip", name)
        assert_moved_as_they_may(story)
    assert story.due() == [Settle(RunSettled("completed"))]


def test_skipping_a_stage_ends_its_items_too() -> None:
    """What is left of them begins no more, and what they did can still be undone."""
    story = Story(stage("a", for_each=[1, 2, 3]), stage("b", after=("a",))).make("a", 3).complete("a[0]")
    story.start("a[1]").end("a[1]", "failed", "started", error_kind="exit")
    held(story, "a[1]").tell("skip", "a")
    assert story.statuses("a", "a[0]", "a[1]", "a[2]") == ["skipped", "completed", "cancelled", "cancelled"]
    assert not [*story.stage("a").open_items] and story.stage("a[1]").ended_at == story.at - 10
    story.complete("b").follow().tell("rollback").follow().undo("b", "a[0]", "a[1]").follow()
    assert_moved_as_they_may(story)
    assert (story.state.status, story.stage("a").status) == ("rolled_back", "rolled_back")


# ---- stopping --------------------------------------------------------------------------------------------


def test_a_stop_ends_what_is_under_way_also_after_a_point_of_no_return() -> None:
    """What comes in meanwhile leads to nothing more: whatever is in flight is cancelled when it has ended."""
    story = Story(
        stage("a", writes=["x"], rollback=IMPOSSIBLE), stage("b", reads=["x"]), stage("c", after=("b",))
    )
    story.complete("a").start("b").tell("stop")
    assert is_going_back(story.state)
    ended = attempt_ended(story.state, story.stage("b"), "completed", "", at=story.at, jitter_permille=0)
    assert ended.becomes == "cancelled"
    (settle,) = story.say(ended).due()
    assert settle.settled == RunSettled("failed", (ResidueItem("a", True), ResidueItem("b", True)))


def test_a_stop_waits_for_rollbacks_that_are_under_way() -> None:
    """A run settles with nothing in flight: a rollback that was begun is seen to its end, and no other begins."""
    story = Story(stage("a"), stage("b"), stage("c"), stage("d")).complete("a", "b", "c").fail("d").follow()
    story.say(RollbackStarted("a", 1, "completed"), RunHeld("code_gone", "b")).tell("stop")
    assert story.due() == []
    story.say(RollbackEnded("a", 1, "completed", "rolled_back"))
    (settle,) = story.due()
    assert [item.stage for item in settle.settled.residue] == ["b", "c", "d"]
    assert story.say(settle.settled).state.status == "failed"


# ---- a point of no return bars the way -------------------------------------------------------------------


def beyond(**given: Any) -> Story:
    """A point of no return that is done, then a block whose failures go back to where it began, and not beyond."""
    return Story(
        stage("a", writes=["x"], rollback=IMPOSSIBLE),
        stage("b", reads=["x"], rollback=back_to("b")),
        stage("c", reads=["x"], **given),
        stage("d", reads=["x"], **given),
    ).complete("a")


@pytest.mark.parametrize("end", [RunCancelled("somebody"), RunExpired()])
def test_a_cancel_on_a_way_back_that_is_barred_further_on_holds_when_it_is_done(end: Body) -> None:
    """What was planned is undone; a person then says whether the run goes forward again from there, or rests."""
    story = beyond().complete("c", "d").fail("b").follow().say(end).follow().undo("b", "c", "d").follow()
    assert (story.state.status, story.state.held, story.state.held_stage) == (
        "held", "point_of_no_return", "a",
    )  # fmt: skip
    story.tell("resume").follow()
    assert (story.state.status, story.state.block, story.state.pass_number) == ("running", 2, 2)
    assert_moved_as_they_may(story)


def test_what_follows_a_point_of_no_return_is_undone_and_rests_there_if_a_person_says_so() -> None:
    """After a cancel that could not be: `rollback` ends the run as failed, with what can't be undone as residue."""
    story = beyond().complete("c", "d").fail("b").follow().tell("cancel").undo("b", "c", "d").follow()
    (settled,) = story.tell("rollback").follow().entries[-1:]
    assert settled.body == RunSettled("failed", (ResidueItem("a", True),))


def test_what_was_cancelled_begins_again_when_the_run_does_not_go_back_after_all() -> None:
    """A cancel that is barred meets a block that is being ended: a person has all of it go on, with fresh retries."""
    story = beyond(retry=Retry(attempts=2), when="true").say(WhenTested("c", True, 1_030))
    story.start("c").fail("b").end("c", "cancelled", "cancelled", error_kind="cancelled")
    story.say(StageCancelled("d")).tell("cancel").follow()
    assert (story.state.held, *story.statuses("b", "c", "d")) == (
        "point_of_no_return", "failed", "cancelled", "cancelled",
    )  # fmt: skip
    story.tell("resume")
    assert story.statuses("b", "c", "d") == ["started", "started", "pending"]
    assert (story.stage("c").tried, story.stage("d").ended_at, story.state.ending) == (0, 0, "")
    again_at = story.at - 10
    assert story.due() == [
        StartAttempt("b", 2, again_at), StartAttempt("c", 2, again_at), EvaluateWhen("d"),
    ]  # fmt: skip
    assert_moved_as_they_may(story)


def test_a_second_failure_can_bar_the_way_back_that_the_first_had_found_open() -> None:
    """Then the run is held after all, and what had been ended meanwhile begins again with what failed."""
    story = beyond().start("b", "c").end("b", "failed", "failed", error_kind="exit").say(StageCancelled("d"))
    story.end("c", "failed", "failed", error_kind="exit").follow()
    assert (story.state.held, story.state.held_stage) == ("point_of_no_return", "b")
    assert story.tell("resume").statuses("b", "c", "d") == ["started", "started", "pending"]
    assert story.see_through().state.status == "completed"
    assert_moved_as_they_may(story)


def test_items_that_were_cancelled_begin_again_as_there_is_room_for_them() -> None:
    """Those that had begun go on, those that had not wait for their turn, and those that are done stay so."""
    story = beyond(for_each=[1, 2, 3], max_parallel=1).make("c", 3).make("d", 0).say(ItemsGathered("d"))
    story.complete("c[0]").start("c[1]").fail("b").end("c[1]", "cancelled", "cancelled")
    story.say(StageCancelled("c")).tell("cancel").follow().tell("resume")
    assert story.statuses("c", "c[0]", "c[1]", "c[2]") == ["started", "completed", "started", "pending"]
    assert [action.stage for action in story.due()] == ["b", "c[1]"]
    story.complete("c[1]")
    assert [action.stage for action in story.due()] == ["b", "c[2]"]
    assert_moved_as_they_may(story)


def test_a_stage_that_is_skipped_meanwhile_stays_skipped() -> None:
    """Only what nobody has passed over begins again with the rest."""
    story = held(beyond(for_each=[1, 2]).make("c", 2), "c").tell("skip", "c")
    story.fail("b").say(StageCancelled("d")).tell("cancel").follow().tell("resume")
    assert story.statuses("b", "c", "c[0]", "d") == ["started", "skipped", "cancelled", "pending"]
    assert_moved_as_they_may(story)


def test_a_rewind_that_was_cancelled_in_vain_goes_on_when_the_run_does() -> None:
    """Also of a run that had settled, which has nowhere else to go."""
    for story in (beyond().complete("b", "c"), beyond().complete("b", "c", "d").follow()):
        story.tell("rewind", "c").tell("cancel").follow()
        assert story.state.held == "point_of_no_return"
        story.tell("resume").follow().undo("b", "c")
        if story.stage("d").may_have_acted:
            story.undo("d")
        story.follow()
        assert (story.state.status, story.state.block, story.state.rewind_to) == ("running", 2, "")
        assert_moved_as_they_may(story)


# ---- pausing ---------------------------------------------------------------------------------------------


def test_a_run_that_has_settled_is_paused_no_longer() -> None:
    """Whoever rewinds it later wants it to go on."""
    story = chain().complete("a", "b").start("c").tell("pause").end("c", "completed", "completed").follow()
    assert (story.state.status, story.state.is_paused) == ("completed", False)
    assert story.tell("rewind", "c").follow().undo("c").follow().state.status == "running"


def test_a_pause_outlasts_a_way_back_and_ends_also_on_it() -> None:
    """No further stage begins after it either, unless a person has said so meanwhile."""
    for is_ended in (False, True):
        story = chain().complete("a", "b").tell("pause").tell("rewind", "b").follow()
        if is_ended:
            story.tell("unpause")
        assert story.state.status == "rolling_back"
        story.undo("b").follow()
        assert (story.state.status, len(story.due())) == (("running", 1) if is_ended else ("paused", 0))
        assert_moved_as_they_may(story)
