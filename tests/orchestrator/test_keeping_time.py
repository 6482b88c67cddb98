"""What time alone brings about for a run: its time is up, its data did not come, its window closes and opens."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.running.story import ASKED, LOOK, sealed, stage
from tests.orchestrator.on_time import DAY, HOUR, HOURLY, MINUTE, NOON, World, on_a_loop

from clew.core.program.model import Limits
from clew.core.running.entries import RunExpired, StageFailed
from clew.core.running.sealed_program import SealedProgram


def two_stages(**given: Any) -> SealedProgram:
    return sealed(stage("a", writes=["x"]), stage("b", reads=["x"]), **given)


def expired(world: World, run_id: str) -> list[tuple[str, str, int]]:
    """Which times were up, of which stage, how many minutes after noon."""
    return [
        (entry.body.limit, entry.body.stage, (entry.at - NOON) // MINUTE)
        for entry in world.entries(run_id)
        if isinstance(entry.body, RunExpired)
    ]


# ---- monitors ----------------------------------------------------------------------------------------------


@on_a_loop
async def test_a_run_is_driven_as_long_as_its_monitor_says() -> None:
    """Not a moment less; then it is stopped and rolled back, and what ran is ended."""
    world = World()
    run = world.request(two_stages(limits=Limits(HOUR))).state.run_id
    await world.quiet()
    await world.end(run)
    await world.go_to(run_time(world, run) + HOUR - 1)
    assert world.status(run) == "running"
    await world.go_to(run_time(world, run) + HOUR)
    assert world.status(run) == "rolled_back"
    assert expired(world, run) == [("run", "", 60)]
    assert (world.store.run(run) or {})["cause"] == "expired"
    assert any("a.1.rollback" in attempt for attempt in world.executor.begun)
    assert world.alarm.next is None, "nothing is awaited any more"


def run_time(world: World, run_id: str) -> int:
    return int((world.store.run(run_id) or {})["run_time"])


@on_a_loop
async def test_a_run_that_ends_in_time_is_left_alone() -> None:
    """Nothing is awaited for it any more."""
    world = World()
    run = world.request(two_stages(limits=Limits(HOUR))).state.run_id
    await world.quiet()
    await world.end(run)
    await world.end(run, "b.1")
    assert world.status(run) == "completed" and world.alarm.next is None
    await world.go_to(NOON + DAY)
    assert expired(world, run) == []


@on_a_loop
async def test_a_monitor_counts_from_the_launch_of_a_run_that_was_queued() -> None:
    """Waiting for a place is no time of it."""
    world, its = World(), two_stages(limits=Limits(HOUR), max_active_runs=1, cadence=HOURLY)
    first, second = world.due(its, NOON - HOUR, NOON)
    await world.go_to(NOON + 50 * MINUTE)
    await world.end(first)
    await world.end(first, "b.1")
    await world.go_to(NOON + 110 * MINUTE - 1)
    assert world.status(second) == "running"
    await world.go_to(NOON + 110 * MINUTE)
    assert expired(world, second) == [("run", "", 110)]


@on_a_loop
async def test_a_run_that_is_taken_up_after_its_time_expires_at_once() -> None:
    """It begins nothing more; what it had in flight is interrupted, and all is undone."""
    world, its = World(), two_stages(limits=Limits(HOUR))
    run = world.request(its).state.run_id
    await world.quiet()
    await world.end(run)
    world.lose(its, at=NOON + 3 * HOUR)
    await world.quiet()
    assert (world.status(run), expired(world, run)) == ("rolled_back", [("run", "", 180)])
    assert not [attempt for attempt in world.executor.begun if "rollback" not in attempt]


@on_a_loop
async def test_an_execution_is_limited_by_itself() -> None:
    """From its first attempt's start; the next stage has its own time, and the first to be up counts."""
    world = World()
    run = world.request(two_stages(limits=Limits(execution_milliseconds=10 * MINUTE))).state.run_id
    await world.quiet()
    await world.go_to(NOON + 9 * MINUTE)
    await world.end(run)
    await world.go_to(NOON + 19 * MINUTE - 1)
    assert world.status(run) == "running"
    await world.go_to(NOON + 19 * MINUTE)
    assert (world.status(run), expired(world, run)) == ("rolled_back", [("execution", "b", 19)])


@on_a_loop
async def test_a_stages_own_limit_rules() -> None:
    """What a stage says of itself stands before what the program says of all."""
    own = Limits(execution_milliseconds=5 * MINUTE)
    program = sealed(stage("a", limits=own), limits=Limits(execution_milliseconds=HOUR))
    world = World()
    run = world.request(program).state.run_id
    await world.go_to(NOON + 5 * MINUTE)
    assert expired(world, run) == [("execution", "a", 5)]


@on_a_loop
async def test_a_validation_is_limited_by_itself() -> None:
    """From when the attempt had executed, whatever that took."""
    program = sealed(stage("a", validate=(LOOK,)), limits=Limits(validation_milliseconds=10 * MINUTE))
    world = World()
    run = world.request(program).state.run_id
    await world.go_to(NOON + 3 * HOUR)
    await world.end(run)
    assert world.status(run) == "running"
    await world.go_to(NOON + 3 * HOUR + 10 * MINUTE - 1)
    assert expired(world, run) == []
    await world.go_to(NOON + 3 * HOUR + 10 * MINUTE)
    assert expired(world, run) == [("validation", "a", 190)]
    assert world.status(run) == "rolled_back"


@on_a_loop
async def test_time_stands_still_while_a_run_is_paused() -> None:
    """Also across a restart; what it ran before counts."""
    world, its = World(), two_stages(limits=Limits(HOUR))
    run = world.request(its).state.run_id
    await world.go_to(NOON + 10 * MINUTE)
    world.tell(run, "pause")
    await world.go_to(NOON + 5 * HOUR)
    assert world.status(run) == "paused"
    world.lose(its)
    await world.go_to(NOON + 10 * HOUR)
    assert world.status(run) == "paused"
    world.tell(run, "unpause")
    await world.go_to(NOON + 10 * HOUR + 50 * MINUTE - 1)
    assert world.status(run) == "running"
    await world.go_to(NOON + 10 * HOUR + 50 * MINUTE + 2)
    assert world.status(run) == "rolled_back"


@on_a_loop
async def test_a_rollback_is_not_bounded() -> None:
    """It goes on for as long as it takes."""
    world, its = World(), two_stages(limits=Limits(HOUR))
    run = world.request(its).state.run_id
    await world.quiet()
    await world.end(run)
    await world.end(run, "b.1", "failed")
    assert world.status(run) == "rolled_back"
    await world.go_to(NOON + 5 * HOUR)
    assert expired(world, run) == []


# ---- data that does not come -------------------------------------------------------------------------------


def waits(**given: Any) -> SealedProgram:
    return sealed(stage("a", dependencies=ASKED), **given)


@on_a_loop
async def test_a_due_run_waits_for_its_data_until_its_scheduled_time_is_too_far_back() -> None:
    """Then it has done nothing, and its time is missed."""
    world, its = World(), waits(backfill_milliseconds=HOUR, max_active_runs=1, cadence=HOURLY)
    [run] = world.due(its, NOON - 20 * MINUTE)
    await world.go_to(NOON + 40 * MINUTE - 1)
    assert world.status(run) == "waiting"
    await world.go_to(NOON + 40 * MINUTE)
    assert world.status(run) == "missed"
    assert any(isinstance(entry.body, StageFailed) for entry in world.entries(run))


@on_a_loop
async def test_waiting_ends_by_the_wall_clock() -> None:
    """No other timer goes on while a machine is asleep; a run that is paused then is asked when it goes on."""
    world, its = World(), waits(backfill_milliseconds=HOUR, max_active_runs=2, cadence=HOURLY)
    world.tasks.is_asleep = True
    run, paused = world.due(its, NOON, NOON - 1)
    await world.quiet()
    world.tell(paused, "pause")
    await world.jump_to(NOON + 3 * HOUR)
    assert [world.status(one) for one in (run, paused)] == ["missed", "paused"]
    assert world.alarm.next is None, "nothing is asked for again and again"
    world.tell(paused, "unpause")
    await world.quiet()
    assert world.status(paused) == "missed"


@on_a_loop
async def test_what_did_not_wait_in_vain_for_all_is_rolled_back() -> None:
    """Something of it was done already."""
    its = sealed(
        stage("a", writes=["x"]),
        stage("b", reads=["x"], dependencies=ASKED),
        backfill_milliseconds=HOUR,
        max_active_runs=1,
        cadence=HOURLY,
    )
    world = World()
    [run] = world.due(its, NOON)
    await world.quiet()
    await world.end(run)
    await world.go_to(NOON + HOUR)
    assert world.status(run) == "rolled_back"


@on_a_loop
async def test_a_request_waits_from_its_launch_on() -> None:
    """And without a window as long as its monitor says, without either for good."""
    world = World()
    run = world.request(waits(backfill_milliseconds=HOUR)).state.run_id
    await world.go_to(NOON + HOUR - 1)
    assert world.status(run) == "waiting"
    await world.go_to(NOON + HOUR + 1)
    assert world.status(run) in ("missed", "rolled_back")
    world = World()
    run = world.request(waits(limits=Limits(2 * HOUR))).state.run_id
    await world.go_to(NOON + 2 * HOUR - 1)
    assert world.status(run) == "waiting"
    await world.go_to(NOON + 2 * HOUR + 1)
    assert world.status(run) in ("missed", "rolled_back")
    world = World()
    run = world.request(waits()).state.run_id
    await world.go_to(NOON + 20 * DAY)
    assert world.status(run) == "waiting"


@on_a_loop
async def test_a_missed_run_is_made_up_for_once() -> None:
    """By a run that waits from its own launch on; when that has waited in vain as well, it stays so."""
    its = waits(backfill_milliseconds=HOUR, max_active_runs=1, cadence=HOURLY, on_missed="backfill")
    world = World()
    [run] = world.due(its, NOON)
    await world.go_to(NOON + HOUR)
    assert world.statuses() == [(0, "missed"), (0, "waiting")]
    [_, again] = world.rows()
    assert again["follows"] == run
    await world.go_to(NOON + 2 * HOUR)
    assert world.statuses() == [(0, "missed"), (0, "missed")]
    await world.go_to(NOON + 2 * DAY)
    assert len(world.rows()) == 2


# ---- windows -----------------------------------------------------------------------------------------------

WINDOW = {"initial": "08:00", "final": "13:00"}


@on_a_loop
async def test_when_the_window_closes_nothing_further_begins_and_what_runs_finishes() -> None:
    """The run is paused until it opens again, and then goes on by itself; also after a restart."""
    world, its = World(), two_stages(cadence=HOURLY, max_active_runs=1, **WINDOW)
    [run] = world.due(its, NOON)
    await world.go_to(NOON + HOUR - 1)
    assert world.status(run) == "running"
    await world.go_to(NOON + HOUR + MINUTE)
    assert world.status(run) == "paused"
    await world.end(run)
    assert world.begun == []
    world.lose(its)
    await world.go_to(NOON + 20 * HOUR - 1)
    assert (world.status(run), world.begun) == ("paused", [])
    await world.go_to(NOON + 20 * HOUR)
    assert (world.status(run), world.begun) == ("running", [run])
    await world.end(run, "b.1")
    assert world.status(run) == "completed"
    assert world.kinds(run).count("WindowClosed") == world.kinds(run).count("WindowOpened") == 1


@on_a_loop
async def test_no_time_of_the_monitor_passes_while_the_window_is_closed() -> None:
    """What is left is what was left."""
    world, its = World(), two_stages(limits=Limits(2 * HOUR), cadence=HOURLY, max_active_runs=1, **WINDOW)
    [run] = world.due(its, NOON)
    await world.go_to(NOON + 20 * HOUR + 30 * MINUTE)
    assert (world.status(run), expired(world, run)) == ("running", [])
    await world.go_to(NOON + 22 * HOUR)
    assert world.status(run) == "rolled_back"


@on_a_loop
async def test_a_window_that_has_closed_and_opened_while_nobody_was_there_is_open() -> None:
    """The run goes on at once, as if nothing had been."""
    world, its = World(), two_stages(cadence=HOURLY, max_active_runs=1, **WINDOW)
    [run] = world.due(its, NOON)
    await world.quiet()
    world.lose(its, at=NOON + 21 * HOUR)
    await world.quiet()
    assert world.status(run) == "running"
    assert world.kinds(run).count("WindowClosed") == 0


@on_a_loop
async def test_a_rollback_does_not_mind_the_window() -> None:
    """What is to be undone is undone while it is closed."""
    world, its = World(), two_stages(cadence=HOURLY, max_active_runs=1, **WINDOW)
    [run] = world.due(its, NOON)
    await world.quiet()
    await world.end(run)
    await world.go_to(NOON + 2 * HOUR)
    await world.end(run, "b.1", "failed")
    assert world.status(run) == "rolled_back"


# ---- the clock is set --------------------------------------------------------------------------------------


@on_a_loop
async def test_a_clock_that_jumps_ahead_brings_about_what_lies_between() -> None:
    """As if the machine had slept."""
    world = World()
    run = world.request(two_stages(limits=Limits(HOUR))).state.run_id
    await world.jump_to(NOON + DAY)
    assert (world.status(run), expired(world, run)) == ("rolled_back", [("run", "", 24 * 60)])


@pytest.mark.parametrize("back", [MINUTE, DAY])
def test_a_clock_that_is_put_back_expires_nothing(back: int) -> None:
    """The run goes on until the clock shows that moment; its entries never go back in time."""

    async def story() -> None:
        world = World()
        run = world.request(two_stages(limits=Limits(HOUR))).state.run_id
        await world.go_to(NOON + 30 * MINUTE)
        await world.jump_to(NOON + 30 * MINUTE - back)
        await world.end(run)
        await world.go_to(NOON + HOUR - MINUTE)
        assert world.status(run) == "running"
        await world.go_to(NOON + HOUR + 1)
        assert world.status(run) == "rolled_back"
        moments = [entry.at for entry in world.entries(run)]
        assert moments == sorted(moments)

    on_a_loop(story)()
