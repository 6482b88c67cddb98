"""What is undone, in which order, told which case, and what is left standing."""

from __future__ import annotations

from tests.core.running.story import LOOK, Story, stage

from clew.core.program.model import Command, Rollback
from clew.core.running.entries import RollbackEnded, RollbackStarted
from clew.core.running.rollback import next_rollbacks, plan_rollback, residue_of


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
