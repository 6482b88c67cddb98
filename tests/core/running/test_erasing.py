"""What a run has said can be erased once it has settled; what then can't be undone any more is refused by name."""

from __future__ import annotations

import pytest
from tests.core.running.story import Story, stage

from clew.core.program.model import Command, Output, Rollback, Stage
from clew.core.running import statuses
from clew.core.running.entries import ObjectsKept, PayloadsErased
from clew.operations.proving import follow


def wipe(what: str = "", restore: tuple[str, ...] = ()) -> Rollback:
    """A rollback of which it is known what it refers to."""
    return Rollback("commands", (Command("wipe", {"what": what}),), restore)


def done(*stages: Stage) -> Story:
    story = Story(*stages)
    for one in stages:
        story.complete(one.name)
    return story.follow()


def test_only_what_has_settled_is_erased_and_once() -> None:
    story = Story(stage("a"), stage("b", after=("a",))).complete("a")
    assert story.refusal("erase") == "it is running: what it may need yet can be erased when it has settled"
    story.complete("b").follow().tell("erase")
    assert isinstance(story.entries[-1].body, PayloadsErased)
    assert (story.state.status, story.state.erased) == (statuses.COMPLETED, story.entries[-1])
    assert (
        story.refusal("erase") == f"that was done already: somebody has erased it, by entry {story.state.seq}"
    )


def test_what_was_undone_since_can_be_erased_again() -> None:
    """The way back has said something, too."""
    story = done(stage("a", rollback=wipe("it"))).tell("erase").tell("rollback").follow().undo("a").follow()
    assert (story.state.status, story.refusal("erase")) == (statuses.ROLLED_BACK, "")


def test_a_run_of_which_was_erased_goes_forward_no_more() -> None:
    story = done(stage("a", rollback=wipe("it"))).tell("erase")
    assert story.refusal("rewind", "a").startswith(
        "what its stages would go on with is gone: somebody has erased"
    )


@pytest.mark.parametrize(
    ("one", "gone"),
    [
        (stage("b", writes=["x"], rollback=wipe("{x}")), "x"),
        (stage("b", writes=["x"], rollback=wipe("of {y}")), "y"),
        (stage("b", rollback=wipe("{region}")), "region"),
        (stage("b", reads=["y"], writes=["x"]), "x, y"),  # nobody knows what of it the command takes
        (stage("b", writes=["x"], rollback=wipe("{run_id} {item}"), for_each="{region}"), "region"),
    ],
    ids=["own", "of-another", "of-the-request", "unknown", "items"],
)
def test_a_rollback_that_needs_what_is_gone_is_refused_by_name(one: Stage, gone: str) -> None:
    story = Story(stage("a", writes=["y"], rollback=Rollback("none")), one, variables={"region": ["east"]})
    story.complete("a")
    if one.for_each is None:
        story.complete("b")
    else:
        story.make("b", 1).complete("b[0]")
    story.follow().tell("erase")
    of = "b" if one.for_each is None else "b[0]"
    assert story.refusal("rollback") == (
        f"its rollbacks need what is gone: that of '{of}' needs {gone} "
        f"(somebody has erased it, by entry {story.state.seq})"
    )


def test_a_rollback_that_needs_the_objects_that_were_kept_is_refused() -> None:
    one = stage("a", rollback=wipe("it", restore=("data/a",)))
    story = Story(one).say(ObjectsKept("a", 1)).complete("a").follow().tell("erase")
    assert "that of 'a' needs the objects that were kept" in story.refusal("rollback")


@pytest.mark.parametrize(
    "one",
    [
        stage("a", writes=["x"], rollback=wipe("{run_id} of {program_name}")),
        stage("a", writes=["x"], rollback=wipe("it")),
        stage("a"),
    ],
    ids=["what-clew-gives", "nothing", "nothing-there-is"],
)
def test_what_needs_nothing_of_it_can_be_undone(one: Stage) -> None:
    story = done(one).tell("erase")
    assert story.refusal("rollback") == ""
    assert story.tell("rollback").follow().undo("a").follow().state.status == statuses.ROLLED_BACK


def test_what_was_never_written_is_not_missed() -> None:
    """The outputs of a stage that failed, of its items too, are null for its rollback before and after."""
    story = (
        Story(stage("a", writes=[Output("x")], rollback=wipe("{x}"))).fail("a").follow().undo("a").follow()
    )
    assert story.state.status == statuses.ROLLED_BACK
    story = Story(stage("a", writes=["x"], rollback=wipe("{x}"), for_each=[1, 2])).make("a", 2)
    story.complete("a[0]").fail("a[1]").tell("stop").follow().tell("erase")
    assert story.refusal("rollback").startswith("its rollbacks need what is gone: that of 'a[0]' needs x (")


def test_an_erasure_of_what_had_not_settled_is_believed_by_nobody() -> None:
    """Whoever gets at the database could say so, where no leaf covers the journal yet."""
    story = Story(stage("a"), stage("b", after=("a",))).complete("a").say(PayloadsErased("somebody"))
    flaw = follow(story.program, story.entries).flaw
    assert flaw is not None and flaw.seq == story.state.seq
    assert flaw.what == "its payloads were erased while it was running: only what has settled can be"
