"""Which runs of a program may be under way, and which one is next."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.running.story import DATA, Story, stage

from clew.core.program.model import Program
from clew.core.running.decide import wants_place
from clew.core.running.entries import (
    DependenciesFound,
    PlaceGiven,
    RunExpired,
    StageWaiting,
    WindowClosed,
    WindowOpened,
)
from clew.core.running.places import (
    Decision,
    PassOver,
    Standing,
    decide_places,
    in_the_way,
    window_end,
)
from clew.core.timing.late import LATE_MILLISECONDS_MAX


def program(**given: Any) -> Program:
    return Program("p", (), **{"max_active_runs": 1, **given})


def queued(at: int, **given: Any) -> Standing:
    return Standing(f"q{at}", at, 1, **{"is_queued": True, "has_place": False, "is_due": True, **given})


def active(at: int, **given: Any) -> Standing:
    return Standing(f"a{at}", at, 1, **{"is_queued": False, "has_place": True, "is_due": True, **given})


def waiting(at: int, **given: Any) -> Standing:
    return Standing(f"w{at}", at, 1, **{"is_queued": False, "has_place": False, "is_due": True, **given})


def decided(its: Program, *standings: Standing, is_paused: bool = False, now: int = 0) -> Decision:
    return decide_places(its, standings, is_paused=is_paused, now=now)


def test_the_oldest_starts_first_and_what_makes_up_for_something_last() -> None:
    """As many as there is room for."""
    its = program(max_active_runs=3)
    standings = queued(5), queued(2, makes_up=True), queued(9), active(1)
    assert decided(its, *standings).given == ("q5", "q9")
    assert decided(program(max_active_runs=9), *standings).given == ("q5", "q9", "q2")
    assert decided(program(), *standings) == Decision()


def test_a_run_that_waits_for_data_has_no_place_and_gets_one_again_in_its_turn() -> None:
    """It is older than what is queued, as a rule."""
    assert decided(program(), waiting(1), queued(5)).given == ("q5",)
    assert decided(program(), waiting(1, wants_place=True), queued(5)).given == ("w1",)


def test_in_scheduled_order_nothing_overtakes() -> None:
    """Not what waits, not what makes up for something, not what a person has requested."""
    its = program(run_order="scheduled")
    assert decided(its, queued(5), queued(2, makes_up=True), queued(7, is_due=False)).given == ("q2",)
    assert decided(its, waiting(9), queued(5)).given == ()
    assert decided(its, waiting(9, wants_place=True), queued(5)).given == ("w9",)
    assert decided(its, queued(5), is_paused=True).given == ()
    assert decided(its) == Decision()


def test_while_a_program_is_paused_only_what_is_requested_starts() -> None:
    """Runs that are under way go on."""
    its = program(max_active_runs=5)
    standings = queued(1), queued(2, is_due=False), queued(3, makes_up=True), waiting(4, wants_place=True)
    assert decided(its, *standings, is_paused=True).given == ("q2", "w4")
    assert decided(program(overlap="skip"), active(0), queued(1), is_paused=True) == Decision()


def test_a_queued_time_that_leaves_its_window_is_missed() -> None:
    """Until then somebody looks again when the first of them does."""
    its = program(backfill_milliseconds=100_000)
    standings = active(0), queued(50), queued(80), queued(10, makes_up=True), queued(20, is_due=False)
    assert decided(its, *standings, now=100_050) == Decision(look_again_at=100_050)
    found = decided(its, *standings, now=100_051)
    assert found == Decision(passed_over=(PassOver("q50", "missed", "window_left"),), look_again_at=100_080)
    assert decided(its, queued(50), now=100_051).given == ()


@pytest.mark.parametrize("window", [0, 1_000, LATE_MILLISECONDS_MAX])
def test_no_window_is_shorter_than_the_minute_for_which_a_time_is_due(window: int) -> None:
    """What is made due a little late is not missed for that."""
    its = program(backfill_milliseconds=window)
    assert window_end(its, 50) == 50 + LATE_MILLISECONDS_MAX
    assert decided(its, queued(50), now=50 + LATE_MILLISECONDS_MAX).given == ("q50",)
    assert decided(its, queued(50), now=51 + LATE_MILLISECONDS_MAX).passed_over != ()
    assert window_end(program(), 50) is None


def test_only_what_has_a_place_makes_room() -> None:
    """A run that waits for its data is in nobody's way, however old it is."""
    its = program(overlap="cancel", max_active_runs=2)
    standings = waiting(1), active(2), active(3), queued(7)
    assert decided(its, *standings).cancelled == ("a2",)
    assert decided(its, waiting(1), active(2), queued(7), queued(8)).cancelled == ()


def test_overlap_says_what_becomes_of_a_due_run_without_a_place() -> None:
    """It is skipped; or what is in its way is cancelled, once, and of those that wait the last one is left."""
    passed = PassOver("q5", "skipped", "overlap")
    request = queued(6, is_due=False)
    assert decided(program(overlap="skip"), active(1), queued(5), request).passed_over == (passed,)
    assert decided(program(overlap="skip"), queued(5), request).given == ("q5",)
    cancel = program(overlap="cancel")
    found = decided(cancel, active(1), queued(5), queued(7))
    assert found == Decision(passed_over=(PassOver("q5", "skipped", "overtaken"),), cancelled=("a1",))
    assert decided(cancel, active(1, is_ending=True), queued(7)).cancelled == ()
    assert decided(cancel, waiting(1), queued(7)).given == ("q7",)
    assert decided(cancel, queued(5), queued(7)) == Decision(("q5",)), "it has just begun"


def test_who_is_in_the_way_is_named() -> None:
    """Those that have a place, those that come before, and in scheduled order all that is before."""
    standings = [active(1), queued(2), queued(5), waiting(3, wants_place=True), waiting(4), queued(9)]
    assert [each.run_id for each in in_the_way(program(), standings, "q5")] == ["a1", "q2", "w3"]
    order = program(run_order="scheduled")
    assert [each.run_id for each in in_the_way(order, standings, "q5")] == ["a1", "q2", "w3", "w4"]
    assert in_the_way(program(), standings, "a1") == [] == in_the_way(program(), standings, "nobody")


@given(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["queued", "active", "waiting", "wants"]), st.booleans(),
                       st.booleans()), max_size=12),
    st.integers(1, 4),
    st.sampled_from(["any", "scheduled"]),
    st.sampled_from(["queue", "skip", "cancel"]),
    st.sampled_from([None, 10]),
    st.booleans(),
)  # fmt: skip
def test_no_decision_is_against_the_rules(
    drawn: list[tuple[int, str, bool, bool]],
    most: int,
    order: str,
    overlap: str,
    window: int | None,
    paused: bool,
) -> None:
    """Never more than may be, nobody told two things, and whoever could start is not left out."""
    standings = [
        Standing(str(number), at, number, is_queued=kind == "queued", has_place=kind == "active",
                 wants_place=kind == "wants", is_due=is_due, makes_up=makes_up)
        for number, (at, kind, is_due, makes_up) in enumerate(drawn)
    ]  # fmt: skip
    its = program(max_active_runs=most, run_order=order, overlap=overlap, backfill_milliseconds=window)
    found = decided(its, *standings, is_paused=paused, now=25)
    by_id = {each.run_id: each for each in standings}
    holders = [each for each in standings if each.has_place]
    told = [*found.given, *(each.run_id for each in found.passed_over)]
    assert len(told) == len(set(told))
    assert (
        not found.given or order == "scheduled" or len(holders) + len(found.given) <= max(most, len(holders))
    )
    assert all(not by_id[run_id].has_place for run_id in told)
    assert all(by_id[each.run_id].is_due and not by_id[each.run_id].makes_up for each in found.passed_over)
    assert set(found.cancelled) <= {each.run_id for each in standings if not each.is_queued}
    if order == "any" and not paused and len(holders) + len(found.given) < most:
        left = {
            each.run_id for each in standings if not each.has_place and (each.is_queued or each.wants_place)
        }
        assert left <= set(told)


# ---- what a run makes of it ------------------------------------------------------------------------------


def test_a_queued_run_does_nothing_before_it_has_a_place() -> None:
    """A person can still end it, or have it wait."""
    story = Story(stage("a"), max_active_runs=1)
    assert (story.state.status, story.due(), wants_place(story.state)) == ("queued", [], False)
    assert story.tell("pause").state.status == "paused"
    assert story.tell("unpause").state.status == "queued"
    assert story.tell("cancel").follow().state.status == "rolled_back"
    assert Story(stage("a"), max_active_runs=1).tell("stop").follow().state.status == "failed"


@pytest.mark.parametrize("order", ["any", "scheduled"])
def test_a_run_that_only_waits_leaves_its_place_where_that_is_allowed(order: str) -> None:
    """It goes on looking, and needs a place again before anything begins."""
    story = Story(stage("a", dependencies=DATA), max_active_runs=1, run_order=order).say(PlaceGiven())
    story.say(StageWaiting("a", 1, 5_000, 1_000))
    assert story.state.has_place == (order == "scheduled")
    assert [type(action).__name__ for action in story.due()] == ["SearchDependencies"]
    assert not wants_place(story.state)
    story.say(DependenciesFound("a", 1_000))
    assert wants_place(story.state) == (order == "any")
    if order == "any":
        assert story.due() == []
        story.say(PlaceGiven())
    assert not wants_place(story.state)
    assert [type(action).__name__ for action in story.due()] == ["StartAttempt"]


def test_a_run_that_goes_back_or_has_settled_wants_no_place() -> None:
    """It needs none."""
    story = Story(stage("a", dependencies=DATA), max_active_runs=1).say(PlaceGiven())
    story.say(StageWaiting("a", 1, 5_000, 1_000), DependenciesFound("a", 1_000)).tell("cancel")
    assert not wants_place(story.state)
    assert not wants_place(story.follow().state)


def test_outside_of_its_window_a_run_is_paused_and_what_runs_goes_on() -> None:
    """With its retries; what has not begun waits, also what looks for data."""
    story = Story(stage("a"), stage("b", dependencies=DATA)).start("a").say(WindowClosed())
    assert story.state.status == "paused" and story.due() == []
    story.end("a", "failed", "started")
    assert [type(action).__name__ for action in story.due()] == ["StartAttempt"]
    story.start("a").end("a", "completed", "completed")
    assert story.due() == []
    story.tell("pause").say(WindowOpened())
    assert story.state.status == "paused" and story.due() == []
    assert story.tell("unpause").state.status == "running"
    assert [type(action).__name__ for action in story.due()] == ["SearchDependencies"]


def test_a_window_is_nothing_to_a_run_that_goes_back() -> None:
    """All is undone as at any time."""
    story = Story(stage("a"), stage("b", after=("a",))).complete("a").say(RunExpired()).follow()
    story.say(WindowClosed())
    assert story.state.status == "rolling_back"
    assert story.undo("a").follow().state.status == "rolled_back"
