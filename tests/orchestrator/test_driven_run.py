"""A run that is taken up knows what its driver knew that is gone."""

from __future__ import annotations

from tests.core.running.story import UNDO, Story, stage

from clew.core.program.model import Output
from clew.core.running.entries import RollbackStarted, StageSkipped
from clew.core.running.rollback import plan_rollback
from clew.orchestrator.driven_run import DrivenRun, Origin


def test_what_a_skipped_stage_is_told_to_have_given_is_known_while_it_is_undone() -> None:
    """A stage may have acted before a person skipped it. Its rollback is told the same before a crash and after it: the
    outputs that were given, else their defaults."""
    story = Story(
        stage("a", rollback=UNDO, writes=[Output("x", has_default=True, default=1), Output("y")]), stage("b")
    )
    story.start("a").end("a", "unknown", "started", error_kind="lost", retry_at=0)
    story.say(StageSkipped("a", by="somebody", given=("y",))).fail("b").say(plan_rollback(story.state))
    story.say(RollbackStarted("a", 1, "unknown"))
    assert story.stage("a").status == "rolling_back"
    given = {story.state.written["y"]: {"variables": {"y": 2}}}
    run = DrivenRun(story.program, "run-1", epoch=2, origin=Origin())
    run.restore([(entry.content.decode(), entry.hash) for entry in story.stored], given)
    assert run.values == {"x": 1, "y": 2}
