"""A stage that is done once for each of several values: each item by itself, and the stage by all of them."""

from __future__ import annotations

from typing import Any

from tests.core.running.story import IMPOSSIBLE, LOOK, Story, assert_moved_as_they_may, back_to, stage

from clew.core.program.model import Retry, Rollback, Stage
from clew.core.running.actions import (
    CancelStage,
    EndAttempt,
    GatherItems,
    KeepObjects,
    MakeItems,
    StartAttempt,
    StartRollback,
    ValidateStage,
)
from clew.core.running.entries import (
    ObjectsKept,
    ResidueItem,
    RollbackEnded,
    RollbackStarted,
    StageFailed,
    ValidationEnded,
)

RESTORE = Rollback("commands", restore=("data/file",))


def each(name: str, *, at_once: int | None = None, **given: Any) -> Stage:
    return stage(name, for_each=[1, 2, 3], max_parallel=at_once, **given)


def started(story: Story) -> list[str]:
    return [action.stage for action in story.due() if isinstance(action, StartAttempt)]


def test_a_stage_is_made_into_items_and_each_is_an_attempt_of_its_own() -> None:
    """Nothing of the stage begins before its values are known; then each item does, under its own name."""
    story = Story(each("a"))
    assert story.due() == [MakeItems("a")]
    story.make("a", 3)
    assert story.due() == [StartAttempt("a[0]", 1, 0), StartAttempt("a[1]", 1, 0), StartAttempt("a[2]", 1, 0)]
    assert story.statuses("a", "a[0]") == ["started", "pending"]


def test_items_begin_as_there_is_room_for_them() -> None:
    """No more than `max_parallel` are under way at a time, and one that waits for its retry is under way."""
    story = Story(each("a", at_once=2, retry=Retry(attempts=2))).make("a", 3)
    assert started(story) == ["a[0]", "a[1]"]
    story.start("a[0]", "a[1]")
    assert story.due() == []
    story.end("a[0]", "failed", "started", error_kind="exit", retry_at=9_000)
    assert story.due() == [StartAttempt("a[0]", 2, 9_000)]
    story.end("a[1]", "completed", "completed")
    assert started(story) == ["a[0]", "a[2]"]


def test_an_item_that_is_ready_first_overtakes_and_leaves_none_behind() -> None:
    """What an item's rollback puts back is kept before it begins; those that wait for that begin when it is done."""
    story = Story(each("a", at_once=2, rollback=RESTORE)).make("a", 3)
    assert story.due() == [KeepObjects("a[0]"), KeepObjects("a[1]")]
    story.say(ObjectsKept("a[1]", 1)).complete("a[1]")
    assert story.due() == [KeepObjects("a[0]"), KeepObjects("a[2]")]
    story.say(ObjectsKept("a[0]", 1), ObjectsKept("a[2]", 1)).complete("a[2]", "a[0]")
    assert story.due() == [GatherItems("a")]


def test_a_stage_without_values_is_done_at_once() -> None:
    """It has nothing to execute, nothing that may have acted, and nothing to undo."""
    story = Story(each("a", writes=["x"]), stage("b", reads=["x"])).make("a", 0)
    assert story.due() == [GatherItems("a")]
    story.follow()
    assert story.statuses("a") == ["completed"] and story.state.written == {"x": story.state.seq}
    story.fail("b").follow()
    assert [block.index for block in story.state.undo or ()] == [2]


def test_a_stages_outputs_count_when_all_its_items_are_done() -> None:
    """What one of them gave is in no map; what was gathered of all is, by the entry that says so."""
    story = Story(each("a", writes=["x"])).make("a", 2).complete("a[0]")
    assert (story.state.written, story.due()) == ({}, [StartAttempt("a[1]", 1, 0)])
    story.complete("a[1]").follow()
    assert story.state.written == {"x": story.state.seq - 1}
    assert story.stage("a").written_seq == story.state.seq - 1
    assert (story.stage("a").outcome, story.state.status) == ("completed", "completed")


def test_each_item_is_validated_by_itself() -> None:
    """It is done when its conditions hold, and tried again when they do not, whatever the others do."""
    story = Story(each("a", validate=(LOOK,), retry=Retry(attempts=2))).make("a", 2)
    story.start("a[0]", "a[1]").end("a[0]", "completed", "validating").end("a[1]", "completed", "validating")
    assert story.due() == [ValidateStage("a[0]", 1), ValidateStage("a[1]", 1)]
    story.say(ValidationEnded("a[0]", 1, "held", 1, "completed"))
    story.say(ValidationEnded("a[1]", 1, "not_held", 1, "started", 9_000))
    assert story.due() == [StartAttempt("a[1]", 2, 9_000)]
    assert [story.stage(name).tried for name in ("a[0]", "a[1]")] == [0, 1]


def test_an_item_that_fails_for_good_fails_its_stage_and_ends_the_others() -> None:
    """Those in flight are asked to end, and no further one begins; how they ended is told to their rollbacks."""
    story = Story(each("a", at_once=2), stage("b")).make("a", 3).start("b", "a[1]").fail("a[0]")
    assert (story.statuses("a"), story.state.failed_stage) == (["failed"], "a[0]")
    assert (story.stage("a").error_kind, story.stage("a").outcome) == ("exit", "failed")
    assert story.due() == [EndAttempt("a[1]", 1), EndAttempt("b", 1)]
    story.end("b", "cancelled", "cancelled").end("a[1]", "completed", "cancelled")
    assert story.due() == [CancelStage("a")]
    story.follow()
    assert story.statuses("a", "a[0]", "a[1]", "a[2]") == ["failed", "failed", "cancelled", "cancelled"]
    (block,) = story.state.undo or ()
    assert [(one.stage, one.outcome) for one in block.stages] == [
        ("a[0]", "failed"), ("a[1]", "completed"), ("b", "cancelled"),
    ]  # fmt: skip
    assert_moved_as_they_may(story)


def test_the_first_item_that_failed_is_what_the_stage_failed_by() -> None:
    """A second one, which could not be ended in time, changes nothing of that."""
    story = Story(stage("p", rollback=IMPOSSIBLE), each("a")).start("p").make("a", 2).start("a[0]", "a[1]")
    story.end("a[1]", "timed_out", "failed", error_kind="timed_out").end(
        "a[0]", "failed", "failed", error_kind="exit"
    )
    found = story.stage("a")
    assert (story.state.failed_stage, found.error_kind, found.outcome) == ("a[1]", "timed_out", "timed_out")


def test_each_item_is_undone_by_itself_and_the_stage_with_the_last() -> None:
    """They are undone side by side; the stage is being undone until all of them are."""
    story = (
        Story(each("a"), stage("b", after=("a",)))
        .make("a", 2)
        .complete("a[0]", "a[1]")
        .follow()
        .fail("b")
        .follow()
    )
    story.undo("b")
    assert story.due() == [StartRollback("a[0]", 1, "completed", 0), StartRollback("a[1]", 1, "completed", 0)]
    ended_at = story.stage("a").ended_at
    story.say(RollbackStarted("a[1]", 1, "completed"))
    assert (story.statuses("a"), story.stage("a").ended_at) == (["rolling_back"], ended_at)
    story.say(RollbackEnded("a[1]", 1, "completed", "rolled_back"))
    assert story.statuses("a") == ["rolling_back"]
    story.undo("a[0]")
    assert (story.statuses("a"), story.stage("a").ended_at) == (["rolled_back"], story.at - 10)
    assert story.follow().state.status == "rolled_back"


def test_a_stage_is_as_undone_as_its_worst_item() -> None:
    """One whose rollback failed makes it so; tried again, the stage is being undone again."""
    story = Story(each("a")).make("a", 2).complete("a[0]").fail("a[1]").follow()
    story.refuse_to_be_undone("a[0]")
    assert story.statuses("a") == ["rollback_failed"]
    story.undo("a[1]").follow()
    assert (story.state.held, story.state.held_stage) == ("rollback_failed", "a[0]")
    assert story.refusal("retry", "a[1]") == "the rollback of 'a[1]' has not failed"
    assert story.tell("retry", "a").statuses("a", "a[0]", "a[1]") == [
        "rolling_back",
        "rolling_back",
        "rolled_back",
    ]
    assert story.undo("a[0]").follow().state.status == "rolled_back"
    assert_moved_as_they_may(story)


def test_residue_names_the_items() -> None:
    """Of a stage without a rollback each item that may have acted is left, certainly where it completed."""
    story = Story(each("a", rollback=Rollback())).make("a", 3).complete("a[0]").fail("a[1]").follow()
    assert (story.state.status, story.state.residue) == (
        "failed", (ResidueItem("a[0]", True), ResidueItem("a[1]", False)),
    )  # fmt: skip


def test_an_item_fails_before_it_begins_when_what_it_overwrites_can_not_be_kept() -> None:
    """Nothing of it is to be undone; a person can have it tried again, when its turn comes."""
    story = (
        Story(stage("p", rollback=IMPOSSIBLE), each("a", at_once=1, rollback=RESTORE)).start("p").make("a", 2)
    )
    now = story.stage("a").now_at
    story.say(StageFailed("a[0]", "restore")).follow()
    assert story.state.held_stage == "a[0]"
    story.tell("retry", "a[0]")
    assert (story.statuses("a", "a[0]"), story.stage("a[0]").now_at) == (["started", "pending"], now)
    assert story.due() == [KeepObjects("a[0]")]
    story.say(ObjectsKept("a[0]", 1)).complete("a[0]").say(ObjectsKept("a[1]", 1)).complete("a[1]")
    assert story.due() == [GatherItems("a")]


def test_one_failed_item_can_be_tried_again_and_its_stage_with_the_last() -> None:
    """As long as another is failed, so is the stage."""
    story = Story(stage("p", rollback=IMPOSSIBLE), each("a")).start("p").make("a", 2).start("a[0]", "a[1]")
    story.end("a[0]", "failed", "failed", error_kind="exit").end(
        "a[1]", "failed", "failed", error_kind="exit"
    )
    story.follow().tell("retry", "a[0]")
    assert (story.statuses("a", "a[0]", "a[1]"), story.state.ending) == (
        ["failed", "started", "failed"],
        "failure",
    )
    story.follow().tell("retry", "a[1]")
    assert (story.statuses("a", "a[0]", "a[1]"), story.state.ending) == (["started"] * 3, "")
    assert story.complete("a[1]", "a[0]", "p").follow().state.status == "completed"
    assert_moved_as_they_may(story)


def test_while_a_run_is_paused_no_further_item_begins() -> None:
    """Those that have begun are finished, with their retries; and if they are the last, the stage is done."""
    story = Story(each("a", retry=Retry(attempts=2))).make("a", 3).start("a[1]").tell("pause")
    story.end("a[1]", "failed", "started", error_kind="exit", retry_at=9_000)
    assert story.due() == [StartAttempt("a[1]", 2, 9_000)]
    assert story.complete("a[1]").due() == []
    assert started(story.tell("unpause")) == ["a[0]", "a[2]"]
    story.start("a[0]", "a[2]").tell("pause").end("a[0]", "completed", "completed")
    story.end("a[2]", "completed", "completed")
    assert story.due() == [GatherItems("a")]


def test_a_new_pass_finds_out_anew_for_which_values_it_is() -> None:
    """The items of the pass before are gone; those of the next go on counting, so that no two attempts are alike."""
    story = Story(each("a", writes=["x"]), stage("b", reads=["x"], rollback=back_to("a"))).make("a", 3)
    story.complete("a[0]", "a[1]", "a[2]").follow().fail("b").follow()
    story.undo("b", "a[0]", "a[1]", "a[2]").state.touched = {"a[2]": None}
    assert story.follow().due() == [MakeItems("a")]
    assert story.state.units.keys() == story.state.touched.keys() == {"a", "b"} and story.state.dropped == {0}
    story.make("a", 1)
    assert story.due() == [StartAttempt("a[0]", 2, 0)]
    found = story.stage("a[0]")
    assert (found.pass_number, found.attempts_before, found.rollback_attempts) == (2, 1, 1)
    assert story.complete("a[0]").stage("a").attempts == 2
    assert [*found.attempt_numbers] == [2]


def test_the_first_items_first_attempt_pins_the_code_of_all() -> None:
    """What the others run must be what it ran."""
    story = (
        Story(each("a"))
        .make("a", 2)
        .start("a[1]", code={"execute": "1"})
        .start("a[0]", code={"execute": "2"})
    )
    assert story.stage("a").code == {"execute": "1"}
    assert not story.stage("a[0]").is_pinned and story.stage("a[0]").whole.is_pinned
