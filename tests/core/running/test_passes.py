"""Back to a stage, and forward again from there: as if it and what came after had never begun, in a new pass."""

from __future__ import annotations

import pytest
from tests.core.running.story import (
    DATA,
    LOOK,
    Story,
    assert_moved_as_they_may,
    back_to,
    last,
    stage,
    three_blocks,
)
from tests.core.running.walk import unit_portrait

from clew.core.program.model import Output, Retry, Rollback
from clew.core.running.actions import (
    BeginPass,
    Settle,
    StartAttempt,
    StartRollback,
)
from clew.core.running.entries import (
    BlockValidated,
    DependenciesFound,
    ResidueItem,
    RunCancelled,
    RunExpired,
    RunSettled,
    WhenTested,
)
from clew.core.running.rollback import (
    WayBack,
    plan_rollback,
    way_back,
)
from clew.core.running.stage_state import StageState

# ---- back to a stage, and forward again ------------------------------------------------------------------


def listed(story: Story) -> list[str]:
    plan = plan_rollback(story.state)
    return [item.stage for block in plan.blocks for item in block.stages]


def test_a_failure_goes_back_to_and_including_the_block_it_names_and_on_from_there() -> None:
    """What came before keeps what it did; the rest is undone and begins again, in the next pass."""
    story = three_blocks(last("c", rollback=back_to("b"))).fail("c").follow()
    assert [block.index for block in story.state.undo or ()] == [3, 2]
    story.undo("c", "b")
    assert story.due() == [BeginPass(2)]
    story.follow()
    assert (story.state.status, story.state.block, story.state.pass_number) == ("running", 2, 2)
    assert story.statuses("a", "b", "c") == ["completed", "pending", "pending"]
    assert [story.stage(name).pass_number for name in "abc"] == [1, 2, 2]
    assert story.complete("b", "c").due() == [Settle(RunSettled("completed"))]
    assert_moved_as_they_may(story)


@pytest.mark.parametrize(("near", "far"), ["cd", "dc"])
def test_of_several_stages_that_failed_the_farthest_target_wins(near: str, far: str) -> None:
    """All of them are undone; the way back counts for the stage that declared it, and for no other."""
    targets = {near: back_to("b"), far: back_to("a")}
    story = three_blocks(last("c", rollback=targets["c"]), last("d", rollback=targets["d"])).start("c", "d")
    story.end(near, "failed", "failed").end(far, "failed", "failed")
    assert way_back(story.state) == WayBack(1, forward=True, declared_by=far)
    story.follow().undo("c", "d", "b", "a").follow()
    assert (story.state.block, story.state.returns) == (1, {far: 1})


def test_of_two_that_name_the_same_target_the_first_counts() -> None:
    """In the order of the plan, so that it is the same one whenever it is decided."""
    story = three_blocks(last("c", rollback=back_to("b")), last("d", rollback=back_to("b"))).start("c", "d")
    story.end("d", "failed", "failed").end("c", "failed", "failed")
    assert way_back(story.state).declared_by == "c"


def test_one_that_names_no_target_sends_all_back_to_the_start() -> None:
    """The start is the farthest there is, and then the run does not go on."""
    story = three_blocks(last("c", rollback=back_to("b")), last("d"))
    story.start("c", "d").end("c", "failed", "failed").end("d", "failed", "failed")
    assert way_back(story.state) == WayBack(1)
    assert story.follow().undo("c", "d", "b", "a").follow().state.status == "rolled_back"


def test_a_stage_sends_its_run_back_as_often_as_it_says_and_then_to_the_start() -> None:
    """Attempts are counted by run and declaring stage, over all passes."""
    story = three_blocks(last("c", rollback=back_to("b", attempts=2)), last("d", rollback=back_to("b")))
    for failing in ("c", "d", "c"):
        story.fail(failing).follow()
        assert story.state.undo_forward
        story.undo(failing, "b").follow().complete("b")
    assert story.state.returns == {"c": 2, "d": 1}
    assert way_back(story.fail("d").state) == WayBack(1)
    assert story.follow().undo("d", "b", "a").follow().state.status == "rolled_back"


def test_a_target_in_the_stages_own_block_begins_that_block_again() -> None:
    """Its neighbours are undone with it, also those that were done already."""
    story = three_blocks(last("c", rollback=back_to("d")), last("d")).complete("d").fail("c")
    assert listed(story) == ["c", "d"]
    story.follow().undo("c", "d").follow()
    assert (story.state.block, story.statuses("b", "c", "d")) == (3, ["completed", "pending", "pending"])


def test_a_block_whose_own_conditions_fail_goes_back_to_the_start() -> None:
    """No stage of it has failed, so none says anything else."""
    story = Story(stage("a", rollback=back_to("a")), validate=(LOOK,)).complete("a")
    story.say(BlockValidated(1, "not_held", 1))
    assert way_back(story.state) == WayBack(1)


def test_expiry_and_cancelling_go_to_the_start_and_never_forward() -> None:
    """Also when a stage has failed that names a target, or while the run is on its way there."""
    for body in (RunCancelled("somebody"), RunExpired()):
        story = three_blocks(last("c", rollback=back_to("b"))).fail("c").say(body)
        assert way_back(story.state) == WayBack(1)
        story = three_blocks(last("c", rollback=back_to("b"))).fail("c").follow().say(body).undo("c", "b")
        (plan,) = story.due()
        assert (plan.planned.to, plan.planned.forward, plan.planned.stage) == (1, False, "c")
        assert story.follow().undo("a").follow().state.status == "rolled_back"
        assert story.state.cause == ("expired" if isinstance(body, RunExpired) else "cancelled")


# ---- a new pass ------------------------------------------------------------------------------------------


def test_the_map_is_as_it_stood_before_the_block() -> None:
    """Names that its stages and later ones wrote are gone, those from before stay, and the second pass writes anew."""
    story = Story(
        stage("a", writes=["x"]),
        stage("b", reads=["x"], writes=["y"], dependencies=DATA),
        stage("c", reads=["y"], writes=[Output("z", has_default=True)], when="y"),
        stage("d", after=("c",), rollback=back_to("b")),
    )
    story.complete("a").say(DependenciesFound("b", 1_000))
    before = dict(story.state.written)
    story.complete("b").say(WhenTested("c", False, 1_000)).follow()
    assert set(story.state.written) == {"x", "file", "y", "z"}
    story.fail("d").follow().undo("d", "b").follow()
    assert story.state.written == {"x": before["x"]}
    assert (story.stage("c").when, story.stage("b").found) == (None, False)
    begun = story.state.seq
    story.say(DependenciesFound("b", 1_000)).complete("b")
    assert all(story.state.written[name] > begun for name in ("file", "y"))


def test_a_new_pass_has_fresh_retries_and_its_own_clock_and_goes_on_counting() -> None:
    """Nothing of the pass before is left of a stage but the numbers of its attempts and of its rollback's tries, so
    that no two are called alike."""
    twice = Retry(attempts=2, delay_milliseconds=100, jitter=False)
    story = three_blocks(last("c", rollback=back_to("c"), retry=twice, validate=(LOOK,)))
    story.start("c", code={"execute": "1"}, inputs={"y": 3}).end("c", "failed", "started", error_kind="exit")
    story.fail("c").follow()
    story.try_to_undo("c", "not_begun", "rolling_back").undo("c").follow()
    found, counts = (
        story.stage("c"),
        {"attempts": 2, "attempts_before": 2, "rollback_attempts": 2, "pass_number": 2},
    )
    assert unit_portrait(found) == {**unit_portrait(StageState(found.sealed)), **counts}
    assert story.due() == [StartAttempt("c", 3, 0)]
    story.start("c").end("c", "failed", "started", error_kind="exit")
    assert [*found.attempt_numbers] == [3]
    story.fail("c").follow()
    assert story.due() == [StartRollback("c", 3, "failed", 0)]


def test_a_run_that_goes_on_forgets_what_had_ended_its_way_forward() -> None:
    """The cause and the first error are those of the pass under way, and so is what was accepted."""
    story = three_blocks(last("c", rollback=back_to("b"))).fail("c").follow().undo("c", "b").follow()
    state = story.state
    assert (state.ending, state.cause, state.failed_stage, state.error_seq, state.block_failed) == (
        "",
        "",
        "",
        -1,
        0,
    )
    assert (state.undo, state.undo_forward, state.rewind_to, state.is_crossing_accepted) == (
        None,
        False,
        "",
        False,
    )


# ---- crossing what nothing undoes ------------------------------------------------------------------------


def test_a_run_does_not_go_forward_over_what_it_left_unless_a_person_says_so() -> None:
    """A stage of the way that declares no rollback holds the run before the next pass; what it left stays residue, of
    the pass that left it, however the run ends."""
    story = (
        three_blocks(last("c", rollback=back_to("b")), last("d", rollback=Rollback())).complete("d").fail("c")
    )
    story.follow().undo("c", "b").follow()
    assert (story.state.status, story.state.held, story.state.held_stage) == ("held", "not_undone", "d")
    assert story.tell("resume").due() == [BeginPass(2)]
    story.follow().complete("b", "c", "d")
    assert story.due() == [Settle(RunSettled("completed", (ResidueItem("d", True),)))]
    story.follow().tell("rollback").follow().undo("c", "b", "a").follow()
    assert story.state.status == "failed"
    assert set(story.state.residue) == {ResidueItem("d", True), ResidueItem("d", True, 2)}


def test_what_a_person_accepted_counts_for_that_way_back_and_no_other() -> None:
    """A cancel that comes with it takes the run to the start; rewound from there it is held again."""
    story = three_blocks(last("c", rollback=Rollback())).complete("c").follow().tell("rewind", "b").follow()
    story.undo("b").follow().tell("resume").tell("cancel").follow().undo("a").follow()
    assert (story.state.status, story.state.residue) == ("failed", (ResidueItem("c", True),))
    story.tell("rewind", "a").follow()
    assert (story.state.held, story.state.held_stage) == ("not_undone", "c")


def test_what_is_left_before_the_way_back_keeps_nobody_from_going_forward() -> None:
    """Only what would begin again on top of itself does."""
    story = Story(
        stage("a", writes=["x"], rollback=Rollback()), stage("b", reads=["x"], rollback=back_to("b"))
    )
    story.complete("a").fail("b").follow().undo("b").follow()
    assert (story.state.status, story.state.residue) == ("running", ())


def test_a_rollback_that_was_given_up_is_in_the_way_too() -> None:
    """The stage has not been undone, whoever gave it up."""
    story = three_blocks(last("c", rollback=back_to("b"))).fail("c").follow()
    story.refuse_to_be_undone("c").follow().tell("skip", "c").undo("b").follow()
    assert (story.state.held, story.state.held_stage) == ("not_undone", "c")
    assert story.tell("resume").follow().state.residue == (ResidueItem("c", False),)
