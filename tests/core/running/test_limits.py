"""When a run's time is up, and until when its stages wait for data."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.core.running.story import DATA, LOOK, Story, stage

from clew.core.program.model import Dependency, Element, Limits
from clew.core.running.entries import (
    DependenciesFound,
    PlaceGiven,
    RunExpired,
    StageFailed,
    StageWaiting,
    WindowClosed,
    WindowOpened,
)
from clew.core.running.limits import Limit, next_limit, next_wait_end, waits_until

EACH = {"for_each": [1, 2], "writes": ()}


def test_without_limits_no_time_is_up() -> None:
    """There is none to wait for."""
    assert next_limit(Story(stage("a")).state) is None


def test_a_run_is_driven_for_so_long_from_the_later_of_its_scheduled_time_and_its_launch() -> None:
    """A run that is queued has not begun, and its time can't be up."""
    story = Story(stage("a"), limits=Limits(run_milliseconds=500), max_active_runs=1)
    assert next_limit(story.state) is None
    story.at = 9_000
    story.say(PlaceGiven())
    assert next_limit(story.state) == Limit(9_500, "run")
    early = Story(stage("a"), limits=Limits(run_milliseconds=500), created={"run_time": 20_000})
    assert next_limit(early.state) == Limit(20_500, "run")


@pytest.mark.parametrize("way", ["pause", "window", "hold"])
def test_while_a_run_stands_still_no_time_passes(way: str) -> None:
    """Paused, outside of its window, or waiting for a person: all that is added to its time when it goes on."""
    story = Story(stage("a"), limits=Limits(run_milliseconds=5_000)).start("a")
    if way == "pause":
        story.tell("pause")
    elif way == "window":
        story.say(WindowClosed())
    else:
        story = Story(stage("a", rollback=replace(stage("a").rollback, kind="impossible", commands=())),
                      limits=Limits(run_milliseconds=5_000)).start("a").fail("a").follow()  # fmt: skip
        assert story.state.held
    since = story.entries[-1].at
    assert next_limit(story.state) is None, "nothing is up meanwhile"
    story.at = since + 60_000
    if way == "window":
        story.say(WindowOpened())
    else:
        story.tell("unpause" if way == "pause" else "resume")
    assert next_limit(story.state) == Limit(1_000 + 5_000 + 60_000, "run")


def test_a_stage_is_to_be_done_by_its_own_time() -> None:
    """Counted from where the run's is; also if it has not begun by then; not any more when it is done."""
    own = Limits(run_milliseconds=100)
    story = Story(stage("a"), stage("b", after=("a",), limits=own), limits=Limits(run_milliseconds=900))
    assert next_limit(story.state) == Limit(1_100, "run", "b")
    assert next_limit(story.complete("a", "b").state) is None, "there is nothing left"
    story = Story(stage("a", limits=own), stage("b"), limits=Limits(run_milliseconds=900)).complete("a")
    assert next_limit(story.state) == Limit(1_900, "run")


def test_attempts_and_validation_have_times_of_their_own() -> None:
    """The one from the first attempt's start, with all retries; the other from when it had executed."""
    usual = Limits(execution_milliseconds=300, validation_milliseconds=200)
    story = Story(stage("a", validate=(LOOK,)), limits=usual)
    assert next_limit(story.state) is None
    begun = story.at
    story.start("a").end("a", "failed", "started").start("a")
    assert next_limit(story.state) == Limit(begun + 300, "execution", "a")
    executed = story.at
    story.end("a", "completed", "validating")
    assert next_limit(story.state) == Limit(executed + 200, "validation", "a")
    own = Limits(execution_milliseconds=50, validation_milliseconds=60)
    story = Story(stage("a", validate=(LOOK,), limits=own), limits=usual).start("a")
    assert next_limit(story.state) == Limit(story.entries[-1].at + 50, "execution", "a")
    story.end("a", "completed", "validating")
    assert next_limit(story.state) == Limit(story.entries[-1].at + 60, "validation", "a")


def test_what_stands_still_counts_for_a_stage_only_since_it_began() -> None:
    """A pause before its attempt is no business of its."""
    story = Story(stage("a"), limits=Limits(execution_milliseconds=300)).tell("pause")
    story.at += 10_000
    story.tell("unpause")
    begun = story.at
    assert next_limit(story.start("a").state) == Limit(begun + 300, "execution", "a")
    story.tell("pause")
    story.at += 7_000
    story.tell("unpause")
    still = story.entries[-1].at - story.entries[-2].at
    assert next_limit(story.state) == Limit(begun + 300 + still, "execution", "a")


def test_each_item_that_has_begun_has_its_own_time() -> None:
    """Those that have not begun wait for their turn."""
    story = Story(stage("a", for_each=[1, 2]), limits=Limits(execution_milliseconds=300)).make("a", 2)
    assert next_limit(story.state) is None
    begun = story.at
    story.start("a[1]")
    assert next_limit(story.state) == Limit(begun + 300, "execution", "a[1]")


def test_nothing_is_up_of_a_run_that_goes_back_for_good() -> None:
    """Its rollback takes what it takes."""
    story = Story(stage("a"), stage("b", after=("a",)), limits=Limits(run_milliseconds=500)).complete("a")
    story.say(RunExpired()).follow()
    assert story.state.cause == "expired" and next_limit(story.state) is None
    assert story.undo("a").follow().state.status == "rolled_back"


def test_a_run_that_has_begun_nothing_when_its_time_is_up_is_missed() -> None:
    """It is not rolled back: there is nothing."""
    story = (
        Story(stage("a", dependencies=DATA)).say(StageWaiting("a", 1, 9_000, 1_000), RunExpired()).follow()
    )
    assert (story.state.status, story.state.cause) == ("missed", "expired")
    story = Story(stage("a", dependencies=DATA)).say(StageWaiting("a", 1, 9_000, 1_000))
    assert story.say(StageFailed("a", "missing")).follow().state.status == "missed"


@pytest.mark.parametrize(
    ("given", "created", "of_stage", "until"),
    [
        ({}, {}, {}, None),
        ({"backfill_milliseconds": 700}, {}, {}, 9_700),
        ({"backfill_milliseconds": 700}, {"due": True}, {}, 1_700),
        ({"backfill_milliseconds": 700}, {"due": True, "backfill": "missed"}, {}, 9_700),
        ({"backfill_milliseconds": 700}, {"due": True}, {"backfill_milliseconds": 50}, 1_050),
        ({"limits": Limits(run_milliseconds=400)}, {"due": True}, {}, 9_400),
        ({"limits": Limits(run_milliseconds=400)}, {}, {"limits": Limits(run_milliseconds=90)}, 9_090),
        ({"limits": Limits(run_milliseconds=400), "backfill_milliseconds": 5_000}, {}, {}, 14_000),
    ],
)
def test_data_is_waited_for_until_the_window_ends_or_the_run_does(
    given: dict[str, Any], created: dict[str, Any], of_stage: dict[str, Any], until: int | None
) -> None:
    """From the scheduled time of a run that stands for one, from the launch of any other."""
    story = Story(stage("a", dependencies=DATA, **of_stage), max_active_runs=1, created=created, **given)
    story.at = 9_000
    story.say(PlaceGiven())
    assert waits_until(story.state, story.stage("a")) == until


def test_only_a_program_with_limits_or_a_window_keeps_time() -> None:
    """For all others time alone changes nothing."""
    windowed = Story(stage("a"), initial="21:00", final="05:00").program
    assert windowed.keeps_time and windowed.window is not None
    assert Story(stage("a", limits=Limits(run_milliseconds=5))).program.keeps_time
    assert not Story(stage("a")).program.keeps_time
    assert not Story(stage("a"), backfill_milliseconds=5).program.keeps_time, "it waits for nothing"
    assert Story(stage("a", dependencies=DATA), backfill_milliseconds=5).program.keeps_time
    assert Story(stage("a", dependencies=DATA, backfill_milliseconds=5)).program.keeps_time


def test_the_next_end_of_waiting_is_the_first_of_the_stages_that_wait() -> None:
    """One that has found its data waits no more; what is past is no moment to wait for."""
    story = Story(
        stage("a", dependencies=DATA, backfill_milliseconds=500),
        stage("b", dependencies=(Dependency("other", "data", (Element("file"),)),)),
        stage("c"),
        backfill_milliseconds=900,
    )
    launched = story.state.launched_at
    assert next_wait_end(story.state, story.at) is None, "none has looked yet"
    for name in ("a", "b"):
        story.say(StageWaiting(name, 1, story.at + 10, story.at))
    assert next_wait_end(story.state, story.at) == launched + 500
    assert next_wait_end(story.state, launched + 500) == launched + 900
    story.say(DependenciesFound("a", story.at))
    assert next_wait_end(story.state, story.at) == launched + 900
    assert next_wait_end(Story(stage("a", dependencies=DATA)).state, 0) is None
