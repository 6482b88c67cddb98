"""What a person can tell a run, in every state that it may be in, and what comes of it."""

from __future__ import annotations

from typing import get_args

import pytest
from tests.core.running.story import ASKED, IMPOSSIBLE, Story, assert_moved_as_they_may, back_to, stage
from tests.core.running.walk import portrait

from clew.core.program.model import Rollback
from clew.core.running.actions import SearchDependencies
from clew.core.running.consequences import inputs_missing
from clew.core.running.entries import (
    ResidueItem,
    RollbackEnded,
    RollbackStarted,
    RunHeld,
    RunPaused,
    StageFailed,
    WindowClosed,
)
from clew.core.running.instructions import Instruction, Verb, barred_if, body_of, payload_of, rollback_if


def chain(**given: object) -> Story:
    return Story(stage("a", writes=["x"]), stage("b", reads=["x"]), stage("c", after=("b",), **given))


def test_a_cancel_that_can_not_be_says_what_can() -> None:
    """A person is told how the run goes on that waits for one, whatever it waits for."""
    story = chain().complete("a", "b").fail("c").follow()
    story.say(RunHeld("code_gone", "c"))
    assert story.refusal("cancel") == (
        "it waits for a person on its way back (code_gone): resume it once the code of 'c' is there again, or skip 'c'"
    )
    story.tell("resume").refuse_to_be_undone("c").follow()
    assert story.refusal("cancel") == (
        "it waits for a person on its way back (rollback_failed): retry or skip 'c'"
    )
    story = Story(stage("a", rollback=IMPOSSIBLE)).start("a").tell("cancel").follow()
    assert story.refusal("cancel").startswith("'a' has begun and can't be undone: `clew resume` goes on")
    assert chain().start("a").tell("stop").refusal("cancel") == "it is being stopped already"
    assert chain().start("a").tell("cancel").refusal("cancel") == "it is going back to the start already"


def test_a_run_whose_point_of_no_return_had_not_begun_after_all_can_be_cancelled() -> None:
    """It was held for an attempt that is shown never to have begun; nothing bars its way to the start any more."""
    story = (
        Story(stage("a", rollback=IMPOSSIBLE), stage("b")).complete("b").start("a").tell("cancel").follow()
    )
    story.end("a", "not_begun", "started", error_kind="executor")
    assert (story.state.held, story.refusal("cancel")) == ("point_of_no_return", "")
    assert story.tell("cancel").follow().undo("b").follow().state.status == "rolled_back"


def test_a_run_that_is_held_before_it_goes_forward_again_can_be_cancelled() -> None:
    """Then it goes back to the start instead, and leaves what nothing undoes."""
    story = Story(
        stage("a", writes=["x"]),
        stage("b", reads=["x"], rollback=Rollback()),
        stage("c", after=("b",), rollback=back_to("b")),
    )
    story.complete("a", "b").fail("c").follow().undo("c").follow()
    assert (story.state.held, story.state.held_stage) == ("not_undone", "b")
    story.tell("cancel").follow().undo("a").follow()
    assert (story.state.status, story.state.cause) == ("failed", "cancelled")
    assert [item.stage for item in story.state.residue] == ["b"]


def test_an_input_can_be_supplied_to_a_run_that_is_held() -> None:
    """Also when it was for want of it that the run is held; a retry of the stage then finds it."""
    story = Story(
        stage("a", writes=["x"], rollback=IMPOSSIBLE), stage("b", reads=["x"], dependencies=ASKED)
    ).complete("a")
    story.say(StageFailed("b", "deadline")).follow().tell("supply", word="yes").tell("retry", "b")
    assert inputs_missing(story.state, story.stage("b")) == []
    assert story.due() == [SearchDependencies("b", story.at - 10)]


# ---- going on forward ------------------------------------------------------------------------------------


def test_an_item_of_a_skipped_stage_is_not_tried_again() -> None:
    """Its failure is passed over together with the stage."""
    story = (
        Story(stage("p", rollback=IMPOSSIBLE), stage("a", for_each=[1, 2]), stage("b"))
        .start("p")
        .make("a", 2)
    )
    story.fail("a[0]").fail("b").follow().tell("skip", "a").follow()
    assert story.state.held_stage == "b"
    assert story.refusal("retry", "a[0]") == "'a' is skipped, not failed"
    assert story.refusal("retry", "p") == "'p' is started, not failed"
    assert story.refusal("retry", "q").startswith("it has no stage 'q'")


def test_what_is_being_undone_is_not_skipped() -> None:
    """A run that had settled, and is held before it goes back, waits for nothing going forward."""
    story = Story(stage("a", rollback=IMPOSSIBLE), stage("b", after=("a",))).complete("a", "b").follow()
    story.tell("rollback").follow().refuse_to_be_undone("b").follow().tell("skip", "b").follow()
    story.tell("rewind", "b").tell("cancel").follow()
    assert story.state.held == "point_of_no_return"
    assert story.refusal("skip", "b") == "'b' is rolling_back, and not what the run waits for"
    assert story.tell("resume").follow().undo("b").follow().complete("b").follow().state.status == "completed"


# ---- giving a rollback up, and trying it again -----------------------------------------------------------


def test_a_rollback_whose_code_is_gone_can_be_skipped() -> None:
    """Nobody can try it any more; the way back goes on without it, and what its stage did is residue."""
    story = chain().complete("a", "b").fail("c").follow().undo("c").say(RunHeld("code_gone", "b"))
    assert story.refusal("skip", "a") == "the rollback of 'a' has not failed"
    story.tell("skip", "b").follow()
    assert story.statuses("b") == ["rollback_failed"]
    story.undo("a").follow()
    assert (story.state.status, story.state.residue) == ("failed", (ResidueItem("b", True),))
    assert_moved_as_they_may(story)


def test_the_rollbacks_of_all_items_can_be_skipped_at_once() -> None:
    """Those that are done stay done, and one that is under way is seen to its end."""
    story = (
        Story(stage("a", for_each=[1, 2, 3, 4])).make("a", 4).complete("a[0]", "a[1]", "a[2]").fail("a[3]")
    )
    story.follow().undo("a[0]").say(RollbackStarted("a[1]", 1, "completed"), RunHeld("code_changed", "a[2]"))
    story.tell("skip", "a")
    assert story.statuses("a", "a[0]", "a[1]", "a[2]", "a[3]") == [
        "rollback_failed", "rolled_back", "rolling_back", "rollback_failed", "rollback_failed",
    ]  # fmt: skip
    story.say(RollbackEnded("a[1]", 1, "completed", "rolled_back")).follow()
    assert [item.stage for item in story.state.residue] == ["a[2]", "a[3]"]
    assert_moved_as_they_may(story)


def test_what_was_given_up_is_tried_again_when_the_settled_run_is_taken_back() -> None:
    """Its residue can still be undone: by `rollback`, and by a rewind before the stage begins again on top of it."""
    for verb, name in (("rollback", ""), ("rewind", "a")):
        story = chain().complete("a").fail("b").follow().refuse_to_be_undone("b").follow().tell("skip", "b")
        story.undo("a").follow()
        assert (story.state.status, story.state.residue) == ("failed", (ResidueItem("b", False),))
        story.tell(verb, name).follow().undo("b").follow()
        assert story.state.residue == ()
        assert story.state.status == ("rolled_back" if verb == "rollback" else "running")
        assert_moved_as_they_may(story)


# ---- showing what would be undone ------------------------------------------------------------------------


def test_what_would_be_undone_is_shown_and_nothing_is_changed() -> None:
    """The same list that the verb leads to, told from the state as it is."""
    story = chain().complete("a", "b").start("c")
    before = portrait(story.state)
    shown = rollback_if(story.state, "cancel")
    assert [[item.stage for item in block.stages] for block in shown.blocks] == [["c"], ["b"], ["a"]]
    assert (shown.cause, shown.blocks[0].stages[0].outcome) == ("cancelled", "unknown")
    shown = rollback_if(story.state, "rewind", "b")
    assert ([block.index for block in shown.blocks], shown.to, shown.forward) == ([3, 2], 2, True)
    assert portrait(story.state) == before


def test_nothing_is_shown_that_a_point_of_no_return_bars() -> None:
    """A cancel beyond it undoes nothing: it holds the run."""
    story = chain(rollback=IMPOSSIBLE).complete("a", "b").start("c")
    assert rollback_if(story.state, "cancel").blocks == rollback_if(story.state, "cancel").residue == ()
    assert barred_if(story.state, "cancel") and not barred_if(story.state, "rollback")


# ---- what is told in words -------------------------------------------------------------------------------


def test_a_rewind_that_can_not_be_says_why() -> None:
    """There must be such a stage, it must have come to it, what comes before must stand, and the way be open."""
    story = chain().complete("a")
    assert story.refusal("rewind", "d") == "it has no stage 'd'; it has a, b, c"
    assert (
        Story(stage("fetch")).refusal("rewind", "fecth") == "it has no stage 'fecth'; did you mean 'fetch'?"
    )
    assert story.refusal("rewind", "c") == "it has not come to 'c' yet"
    story.fail("b").follow()
    assert "it is on its way back already" in story.refusal("rewind", "a")
    story.undo("b", "a").follow()
    assert story.refusal("rewind", "b") == "'a', which comes before 'b', is rolled_back: rewind to it"
    story = Story(stage("a"), stage("b", after=("a",), rollback=IMPOSSIBLE)).complete("a", "b").follow()
    assert story.refusal("rewind", "b") == "'b' has begun and can't be undone: there is no way back to 'b'"


def test_a_run_that_its_window_has_paused_is_not_let_go_on() -> None:
    """Nobody has paused it; somebody may, and then let it go on as far as the window does."""
    story = Story(stage("a")).say(WindowClosed())
    assert story.refusal("unpause") == "nobody has paused it: it goes on when its program's window opens"
    story.say(RunPaused("ann"))
    assert story.refusal("unpause") == ""


def test_a_run_that_rests_says_so_to_whatever_it_can_not_do() -> None:
    """And what undoes a completed one."""
    story = chain().complete("a", "b", "c").follow()
    assert story.refusal("cancel") == "it is completed already; `clew rollback` undoes it"
    assert story.refusal("stop") == "it is completed already"
    assert story.refusal("pause") == "it is completed"
    assert story.refusal("unpause") == "it is completed, not paused"
    assert story.refusal("resume") == story.refusal("retry", "a") == "it is completed: no person is needed"
    story.tell("rollback").follow().undo("c", "b", "a").follow()
    assert story.refusal("cancel") == "it is rolled_back already"
    assert story.refusal("rollback") == "it is rolled_back: there is nothing to undo"


def test_a_run_that_goes_on_says_what_ends_it() -> None:
    """A rollback is for what rests; what goes back can't be paused, what is paused needn't be."""
    story = chain().complete("a").start("b")
    assert story.refusal("rollback") == "it is running: `clew cancel` ends and undoes it"
    story.tell("pause")
    assert story.refusal("pause") == "it is paused already"
    story.tell("cancel")
    assert story.refusal("pause") == "it is going back, and that can't be paused"


def test_nothing_that_declares_a_rollback_is_nothing_to_undo() -> None:
    """A completed run that left all it did to others to clean up."""
    story = Story(stage("a", rollback=Rollback())).complete("a").follow()
    assert story.refusal("rollback") == "nothing that it did declares a rollback"


def test_a_rollback_is_skipped_without_outputs_and_only_if_it_failed() -> None:
    """Outputs are for stages that are passed over going forward."""
    story = chain().complete("a", "b").fail("c").follow().refuse_to_be_undone("c").follow()
    assert story.refusal("skip", "c", z=1) == "a rollback has no outputs"
    assert story.refusal("skip", "b") == "the rollback of 'b' has not failed"
    assert story.refusal("retry", "b") == "the rollback of 'b' has not failed"


def test_what_a_person_says_stands_apart_from_the_entry() -> None:
    """The reason, the outputs that are given, the value that is supplied; who said it is in the entry."""
    assert payload_of(Instruction("cancel", "somebody")) == {}
    assert payload_of(Instruction("cancel", "somebody", "it is late")) == {"reason": "it is late"}
    assert payload_of(Instruction("skip", "somebody", stage="a", values={"x": 1})) == {"variables": {"x": 1}}
    assert payload_of(Instruction("skip", "somebody", stage="a")) == {}
    told = Instruction("supply", "somebody", "by phone", values={"word": None})
    assert payload_of(told) == {"reason": "by phone", "supplied": None}


@pytest.mark.parametrize("verb", get_args(Verb))
def test_every_verb_has_an_entry_that_says_who(verb: str) -> None:
    """Whatever a person tells a run is on record with their name."""
    story = Story(stage("a", dependencies=ASKED))
    body = body_of(
        story.state, Instruction(verb, "somebody", stage="a", values={"word": 1} if verb == "supply" else {})
    )
    assert body.by == "somebody"
