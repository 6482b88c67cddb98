"""Past times are run as somebody wants them to be, a few at a time, whatever is lost meanwhile."""

from __future__ import annotations

from typing import Any

from tests.core.running.story import sealed, stage
from tests.orchestrator.on_time import DAY, HOUR, HOURLY, NOON, World, on_a_loop
from tests.orchestrator.test_recording import TroubledStore

from clew.core.running.sealed_program import SealedProgram
from clew.ports import BackfillRow, StoreBusy


class BusyAtFirst(TroubledStore):
    """So many times nobody can make a run of a backfill."""

    is_busy = 0

    def __init__(self) -> None:
        super().__init__()
        begin = self.backfills.begin

        def busy(*words: Any) -> bool:
            if self.is_busy:
                self.is_busy -= 1
                raise StoreBusy("pretended")
            return begin(*words)

        self.backfills.begin = busy  # type: ignore[method-assign]


TIMES = [NOON - 5 * HOUR, NOON - 4 * HOUR, NOON - 3 * HOUR]


def program(**given: Any) -> SealedProgram:
    return sealed(stage("a"), **{"cadence": HOURLY, "max_active_runs": 5, **given})


def make(world: World, its: SealedProgram, times: list[int] = TIMES, **given: Any) -> str:
    """A backfill of these times, which the world's orchestrator sees to."""
    world.orchestrator.programs.register(its)
    row = BackfillRow(
        "b1", its.program.name, its.version, times[0], times[-1], "all", "oldest", 1, 0, "{}", "{}", NOON,
        "somebody", "", "running", NOON, "somebody", "",
    )._replace(**given)  # fmt: skip
    last = world.store.backfills.past_runs(its.program.name, min(times), max(times))
    world.store.backfills.make(row, [(at, last.get(at, ("", ""))[0]) for at in times])
    look(world)
    return row.backfill_id


def look(world: World) -> None:
    world.orchestrator.backfiller.only = None
    world.orchestrator.backfiller.look()


def state(world: World) -> str:
    return world.store.backfills.all()[0].status


@on_a_loop
async def test_its_times_are_run_one_after_the_other_and_then_it_is_completed() -> None:
    """Each as a run of its time, which says what has made it."""
    world, its = World(), program()
    make(world, its)
    await world.quiet()
    for at in TIMES:
        (run_id,) = world.begun
        row = world.store.run(run_id)
        assert row is not None and (row["run_time"], row["backfill"], row["generation"]) == (at, "b1", 1)
        assert state(world) == "running"
        await world.end(run_id)
    assert state(world) == "completed" and world.begun == []
    assert world.store.backfills.counts("b1") == {"completed": 3}


@on_a_loop
async def test_as_many_go_at_once_as_are_asked_for() -> None:
    """And as the program has places."""
    world = World()
    make(world, program(), at_once=2)
    await world.quiet()
    assert len(world.begun) == 2
    world = World()
    make(world, program(max_active_runs=1), at_once=2)
    await world.quiet()
    assert len(world.begun) == 1 and world.store.backfills.counts("b1")["queued"] == 1


@on_a_loop
async def test_a_time_that_has_a_run_gets_the_next_generation_which_names_it() -> None:
    """What was on record stays."""
    world, its = World(), program()
    (before,) = world.due(its, TIMES[0])
    await world.quiet()
    await world.end(before)
    make(world, its)
    await world.quiet()
    (run_id,) = world.begun
    row = world.store.run(run_id)
    assert row is not None and (row["generation"], row["follows"]) == (2, before)
    assert world.status(before) == "completed"


@on_a_loop
async def test_the_first_failure_stops_it_where_that_is_wanted() -> None:
    """Else it goes on, and has completed in the end."""
    for stops, status in ((1, "stopped"), (0, "completed")):
        world = World()
        make(world, program(), stops_on_failure=stops)
        await world.quiet()
        await world.end(world.begun[0], outcome="failed")
        while world.begun:
            await world.end(world.begun[0])
        assert state(world) == status
        assert world.store.backfills.counts("b1").get("", 0) == (2 if stops else 0)


@on_a_loop
async def test_one_that_is_paused_makes_no_more_until_it_goes_on() -> None:
    """What it has made goes on."""
    world = World()
    make(world, program())
    await world.quiet()
    world.store.backfills.change("b1", "paused", before=("running",), at=NOON, by="somebody", why="")
    await world.end(world.begun[0])
    assert world.begun == [] and world.store.backfills.counts("b1") == {"": 2, "completed": 1}
    world.store.backfills.change("b1", "running", before=("paused",), at=NOON, by="somebody", why="")
    look(world)
    await world.quiet()
    assert len(world.begun) == 1


@on_a_loop
async def test_current_runs_go_first_and_the_schedule_is_not_moved() -> None:
    """A run that is due meanwhile gets the next place."""
    world, its = World(at=NOON + 1), program(max_active_runs=1)
    world.go_live(its)
    make(world, its, at_once=3)
    await world.quiet()
    (first,) = world.begun
    before = world.store.schedules.of(its.program.name)
    await world.go_to(NOON + HOUR + 5_000)
    await world.end(first)
    (second,) = world.begun
    row = world.store.run(second)
    assert row is not None and (row["run_time"], row["backfill"]) == (NOON + HOUR, "")
    after = world.store.schedules.of(its.program.name)
    assert before is not None and after is not None
    assert (before.settled_until, after.settled_until) == (NOON, NOON + HOUR + 5_000) or (
        after.settled_until >= NOON + HOUR
    )


@on_a_loop
async def test_it_goes_on_after_a_crash_as_it_stood() -> None:
    """No time is run twice, and none is left out."""
    world, its = World(), program()
    make(world, its)
    await world.quiet()
    await world.end(world.begun[0])
    world.lose(its)
    look(world)
    await world.quiet()
    while world.begun:
        await world.end(world.begun[0], name=next(iter(world.executor.under_way)).partition("/")[2])
    assert state(world) == "completed"
    assert [row["run_time"] for row in world.rows()] == TIMES


@on_a_loop
async def test_runs_are_of_the_version_that_is_live_where_that_is_wanted() -> None:
    """Instead of the one that was when it was made."""
    world, first = World(at=NOON + 1), program()
    world.go_live(first)
    make(world, first, version="")
    await world.quiet()
    second = program(run_order="any", variables={"new": 1})
    world.go_live(second)
    await world.end(world.begun[0])
    await world.quiet()
    rows = sorted(world.rows(), key=lambda row: row["launched_at"])
    versions = {row["run_time"]: row["version"] for row in rows if row["backfill"]}
    assert versions[TIMES[0]] == first.version and versions[TIMES[1]] == second.version


@on_a_loop
async def test_only_the_backfill_that_is_asked_for_is_seen_to_where_one_is() -> None:
    """As by a process that is there for one of them."""
    world, its = World(), program()
    world.orchestrator.programs.register(its)
    make(world, its, times=[NOON - DAY], backfill_id="b2")
    world.orchestrator.backfiller.only = "b1"
    await world.quiet()
    assert world.begun == []


def go_on(world: World, *, before: str = "stopped") -> None:
    world.store.backfills.change("b1", "running", before=(before,), at=NOON, by="somebody", why="")
    look(world)


@on_a_loop
async def test_whoever_lets_it_go_on_accepts_what_has_failed() -> None:
    """The next failure stops it again."""
    world = World()
    make(world, program(), stops_on_failure=1)
    await world.quiet()
    await world.end(world.begun[0], outcome="failed")
    assert state(world) == "stopped"
    go_on(world)
    await world.quiet()
    await world.end(world.begun[0], outcome="failed")
    assert state(world) == "stopped" and world.store.backfills.counts("b1")[""] == 1
    go_on(world)
    await world.quiet()
    await world.end(world.begun[0])
    assert state(world) == "completed"


@on_a_loop
async def test_a_time_that_has_got_a_run_meanwhile_is_left_to_that() -> None:
    """Whoever has made it, and whether it has settled or not: nothing is run twice."""
    world, its = World(), program()
    make(world, its)
    await world.quiet()
    (other,) = world.due(its, TIMES[1])
    await world.quiet()
    await world.end(world.begun[0])
    assert [row["run_time"] for row in world.rows()] == TIMES
    found = {one.run_time: one.run_id for one in world.store.backfills.runs("b1")}
    assert found[TIMES[1]] == other
    while world.begun:
        await world.end(world.begun[0])
    assert state(world) == "completed"


@on_a_loop
async def test_a_busy_store_costs_no_generation() -> None:
    """A run that could not be made is made again as the same one."""
    store = BusyAtFirst()
    world = World(store=store)
    store.is_busy = 2
    make(world, program(), times=TIMES[:1])
    await world.go_to(NOON + DAY)
    assert [row["generation"] for row in world.rows()] == [1]


@on_a_loop
async def test_a_live_version_that_it_does_not_fit_pauses_it() -> None:
    """It says why: what was live then took the variable, or had a cadence."""
    for other, why in (
        (program(variables={}), "takes no variable 'day'"),
        (sealed(stage("a"), max_active_runs=5, variables={"day": 1}), "has no cadence"),
    ):
        world = World(at=NOON + 1)
        world.go_live(program(variables={"day": 1}))
        make(world, program(variables={"day": 1}), version="", variables='{"day": 2}')
        await world.quiet()
        world.go_live(other)
        await world.end(world.begun[0])
        (row,) = world.store.backfills.all()
        assert row.status == "paused" and row.changed_by == "clew" and why in row.changed_why


@on_a_loop
async def test_it_is_known_whether_anything_of_the_program_goes_on() -> None:
    """Nothing does while its only place is taken by a run that is paused, or while the program itself is."""
    world, its = (
        World(),
        sealed(stage("a"), stage("b"), maintain_sequence=True, cadence=HOURLY, max_active_runs=1),
    )
    name, places = its.program.name, world.orchestrator.places
    assert not places.go_on(name)
    make(world, its, at_once=2)
    assert world.orchestrator.backfiller.is_due
    await world.quiet()
    assert places.go_on(name) and not world.orchestrator.backfiller.is_due
    (first,) = world.begun
    world.tell(first, "pause")
    await world.end(first)
    assert (world.status(first), places.go_on(name)) == ("paused", False)
    world.store.schedules.pause(name, at=NOON, by="somebody", why="")
    world.tell(first, "unpause")
    await world.quiet()
    assert places.go_on(name)
    await world.end(first, "b.1")
    assert (world.status(first), places.go_on(name)) == ("completed", False)
    assert world.store.backfills.counts("b1") == {"completed": 1, "queued": 2}


@on_a_loop
async def test_a_version_that_nobody_can_read_pauses_it() -> None:
    """All else goes on."""
    world, its = World(), program()
    make(world, its, version="f" * 64)
    await world.quiet()
    (row,) = world.store.backfills.all()
    assert (row.status, row.changed_why) == ("paused", f"the store has no program of version {'f' * 64}")
