"""A process that is to end waits for what runs, and until that is on record."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.core.running.story import sealed, stage
from tests.orchestrator.on_time import HOUR, NOON, SECOND, World, on_a_loop

from clew.serving import Ends, _drain


class Counts:
    """A watcher that only wants to know how many attempts are waited for."""

    waited_for: int | None = None

    def drains(self, count: int) -> None:
        self.waited_for = count


def draining(world: World, ends: Ends) -> tuple[asyncio.Task[None], Any]:
    watcher: Any = Counts()
    drain = _drain(world.orchestrator, grace_seconds=30, watcher=watcher, ends=ends)
    return asyncio.ensure_future(drain), watcher


@on_a_loop
async def test_what_runs_is_waited_for_until_its_end_is_on_record() -> None:
    """A store that is busy at that moment is given it again; the next stage does not begin."""
    world = World()
    run = world.request(sealed(stage("a", writes=["x"]), stage("b", reads=["x"]))).state.run_id
    await world.quiet()
    drain, watcher = draining(world, Ends())
    await world.quiet()
    assert watcher.waited_for == 1
    world.store.troubles = ["busy"]
    await world.end(run)
    assert world.orchestrator.in_flight_count == 0 and world.kinds(run)[-1] == "AttemptStarted"
    assert world.orchestrator.driver.is_recording
    await world.go_to(NOON + SECOND)
    await drain
    assert world.kinds(run)[-1] == "AttemptEnded" and world.begun == []


@on_a_loop
async def test_who_is_told_twice_waits_no_longer() -> None:
    """What runs is left to whoever takes the runs up."""
    world, ends = World(), Ends()
    world.request(sealed(stage("a")))
    await world.quiet()
    ends.tell()
    drain, _ = draining(world, ends)
    await world.quiet()
    assert not drain.done()
    ends.tell()
    await drain
    assert len(world.begun) == 1


@on_a_loop
async def test_nobody_gets_a_place_any_more() -> None:
    """What is queued stays so, and no alarm brings it about either."""
    world, its = World(), sealed(stage("a"), max_active_runs=1, backfill_milliseconds=HOUR)
    first, second = world.due(its, NOON - 1, NOON)
    await world.quiet()
    drain, _ = draining(world, Ends())
    await world.quiet()
    await world.end(first)
    await drain
    await world.go_to(NOON + 2 * HOUR)
    assert (world.status(first), world.status(second), world.begun) == ("completed", "queued", [])
