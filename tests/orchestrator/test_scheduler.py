"""Time becomes runs: each due time once, whatever goes live, retires, is paused, is lost, or is done to the clock."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace
from tests.core.running.story import COMMANDS, CONDITIONS, stage
from tests.orchestrator.on_time import DAY, HOUR, HOURLY, MINUTE, MINUTELY, NOON, SECOND, World, on_a_loop
from tests.orchestrator.test_recording import TroubledStore

from clew.core.program.model import Program
from clew.core.running.sealed_program import SealedProgram, seal_program
from clew.orchestrator.scheduler import TIMES_A_TURN_MAX, jitter_of


def program(cadence: Any = HOURLY, name: str = "story", **given: Any) -> SealedProgram:
    facts = {"max_active_runs": 1, "cadence": cadence, **given}
    return seal_program(Program(name, (stage("a"),), **facts), COMMANDS, CONDITIONS)


def another(cadence: Any, **given: Any) -> SealedProgram:
    """Another version of the program."""
    return program(cadence, **{"variables": {"version": 2}, **given})


# ---- going live --------------------------------------------------------------------------------------------


@on_a_loop
async def test_each_due_time_has_a_run_when_it_has_come() -> None:
    """Not before; from the moment at which the program is live on, that moment included."""
    world = World(is_instant=True)
    world.go_live(program())
    await world.quiet()
    assert world.statuses() == [(0, "completed")]
    assert world.scheduler.next_due("story") == NOON + HOUR
    await world.go_to(NOON + HOUR - 1)
    assert len(world.rows()) == 1
    await world.go_to(NOON + 3 * HOUR)
    assert world.statuses() == [(minutes, "completed") for minutes in (0, 60, 120, 180)]
    for row in world.rows():
        assert (row["generation"], row["requested_by"], row["is_due"]) == (1, "schedule", 1)


@on_a_loop
async def test_a_program_that_goes_live_again_is_no_news() -> None:
    """The same version, read again, or by the next orchestrator, leaves what is settled as it is."""
    world = World(is_instant=True)
    its = program()
    world.go_live(its)
    await world.go_to(NOON + HOUR)
    before = world.store.schedules.all()
    world.go_live(its)
    await world.quiet()
    assert world.store.schedules.all() == before
    world.lose(its)
    world.go_live(its)
    await world.go_to(NOON + 2 * HOUR)
    assert world.statuses() == [(minutes, "completed") for minutes in (0, 60, 120)]


@on_a_loop
async def test_what_comes_while_nobody_is_there_is_run_within_the_window_and_missed_beyond() -> None:
    """Each on record; the one that is due for its minute still is on time."""
    world = World(is_instant=True)
    its = program(backfill_milliseconds=2 * HOUR)
    world.go_live(its)
    await world.quiet()
    world.lose(its, at=NOON + 5 * HOUR + 30 * MINUTE)
    world.go_live(its)
    await world.quiet()
    assert world.statuses() == [
        (0, "completed"), (60, "missed"), (120, "missed"), (180, "missed"), (240, "completed"), (300, "completed"),
    ]  # fmt: skip
    missed = world.rows()[1]["run_id"]
    assert world.reason(missed) == "window_left"
    assert all(row["generation"] == 1 for row in world.rows())


@on_a_loop
async def test_a_run_that_was_made_due_before_the_loss_is_neither_lost_nor_made_twice() -> None:
    """It is queued on record, and the next one begins it."""
    world, its = World(), program()
    world.go_live(its)
    world.scheduler._turn()  # settled, and nobody has looked yet
    assert world.statuses() == [(0, "queued")]
    world.lose(its)
    world.go_live(its)
    await world.quiet()
    assert world.statuses() == [(0, "running")]


# ---- versions ----------------------------------------------------------------------------------------------


@on_a_loop
async def test_another_cadence_counts_from_when_it_is_live() -> None:
    """What came before by the old one is settled by it; none of what the new one would have had is made up."""
    world = World(at=NOON + MINUTE, is_instant=True)
    world.go_live(program((("0 0 * * *",),)))
    await world.go_to(NOON + 6 * HOUR + MINUTE)
    world.go_live(another(HOURLY))
    await world.go_to(NOON + 8 * HOUR)
    assert world.statuses() == [(420, "completed"), (480, "completed")]


@on_a_loop
async def test_a_program_that_had_no_cadence_is_due_from_when_it_has_one() -> None:
    """It was live before, on request only."""
    world = World(at=NOON + MINUTE, is_instant=True)
    world.go_live(program(None))
    await world.go_to(NOON + 6 * HOUR + MINUTE)
    assert world.rows() == []
    world.go_live(another(HOURLY))
    await world.go_to(NOON + 7 * HOUR)
    assert world.statuses() == [(420, "completed")]


@on_a_loop
async def test_a_program_that_loses_its_cadence_is_due_no_more() -> None:
    """And what came while it had none is nobody's when it has one again."""
    world = World(is_instant=True)
    world.go_live(program())
    await world.go_to(NOON + HOUR + MINUTE)
    world.go_live(another(None))
    await world.go_to(NOON + 4 * HOUR + MINUTE)
    assert world.scheduler.next_due("story") is None
    world.go_live(another(HOURLY, variables={"version": 3}))
    await world.go_to(NOON + 5 * HOUR)
    assert world.statuses() == [(0, "completed"), (60, "completed"), (300, "completed")]


@on_a_loop
async def test_what_the_old_version_had_due_is_run_as_the_new_one() -> None:
    """The file was changed while nobody was there: its times till then are the old ones, its runs the new ones."""
    world = World(is_instant=True)
    old, new = program(), another((("30 * * * *",),), backfill_milliseconds=DAY)
    world.go_live(old)
    await world.quiet()
    world.lose(old, at=NOON + 2 * HOUR + 15 * MINUTE)
    world.go_live(new)
    await world.go_to(NOON + 2 * HOUR + 30 * MINUTE)
    assert world.statuses() == [(minutes, "completed") for minutes in (0, 60, 120, 150)]
    assert [row["version"] for row in world.rows()] == [old.version, *[new.version] * 3]


# ---- retiring ----------------------------------------------------------------------------------------------


@on_a_loop
async def test_a_retired_program_is_due_no_more_and_what_came_meanwhile_is_nobodys() -> None:
    """Its runs stay, those that are queued are run; when it is live again, it goes on from there."""
    world, its = World(is_instant=True), program()
    world.go_live(its)
    await world.go_to(NOON + HOUR)
    world.scheduler.retire("story")
    assert not world.scheduler.live_programs() and world.scheduler.next_due("story") is None
    await world.go_to(NOON + 3 * HOUR + MINUTE)
    world.go_live(its)
    await world.go_to(NOON + 4 * HOUR)
    assert world.statuses() == [(0, "completed"), (60, "completed"), (240, "completed")]


@on_a_loop
async def test_what_has_come_when_a_program_retires_is_not_lost() -> None:
    """Though the scheduler had no turn since: a file that is replaced by another is there no more for a moment."""
    world, its = World(is_instant=True), program()
    world.go_live(its)
    await world.quiet()
    world.clock.at = NOON + HOUR + 5
    world.scheduler.retire("story")
    world.clock.at += 5
    world.go_live(its, source="moved.yaml")
    await world.quiet()
    assert world.statuses() == [(0, "completed"), (60, "completed")]


@on_a_loop
async def test_retiring_what_is_not_live_is_nothing() -> None:
    """Nor is it anything twice."""
    world = World()
    world.scheduler.retire("nothing")
    world.go_live(program())
    world.scheduler.retire("story")
    world.scheduler.retire("story")
    await world.quiet()
    assert len(world.rows()) == 1, "the moment at which it went live was due"


# ---- once, and a single time -------------------------------------------------------------------------------


@on_a_loop
async def test_once_is_when_the_program_is_first_live() -> None:
    """Not again by a restart, after it was retired, or as another version."""
    world, its = World(at=NOON + 7, is_instant=True), program("once")
    world.go_live(its)
    await world.quiet()
    assert [(row["run_time"], row["status"]) for row in world.rows()] == [(NOON + 7, "completed")]
    assert world.scheduler.next_due("story") is None
    world.lose(its, at=NOON + HOUR)
    world.go_live(its)
    await world.quiet()
    world.scheduler.retire("story")
    world.clock.at += HOUR
    world.go_live(its)
    await world.quiet()
    world.go_live(another("once"))
    await world.go_to(NOON + DAY)
    assert len(world.rows()) == 1


@on_a_loop
async def test_once_with_an_initial_time_is_then() -> None:
    """If the program is live by then."""
    world = World(is_instant=True)
    world.go_live(program("once", initial="2026-01-01 14:00"))
    await world.go_to(NOON + DAY)
    assert world.statuses() == [(120, "completed")]


@on_a_loop
async def test_a_single_time_that_is_past_when_the_program_goes_live_is_nobodys() -> None:
    """Nothing before it was first live is made up."""
    world = World(is_instant=True)
    world.go_live(program("2026-01-01 11:00"))
    await world.go_to(NOON + DAY)
    assert world.rows() == [] and world.alarm.next is None


# ---- spreading ---------------------------------------------------------------------------------------------


@on_a_loop
async def test_programs_that_are_due_together_are_spread_by_their_names() -> None:
    """Each is made due a little later, always the same; its scheduled time stays what it is."""
    world = World(at=NOON + MINUTE)
    world.schedule(jitter=10 * SECOND)
    names = [f"program {number}" for number in range(20)]
    for name in names:
        world.go_live(program(name=name), source=name)
    await world.go_to(NOON + HOUR + 10 * SECOND)
    made = {row["program"]: row for row in world.rows()}
    assert len(made) == len(names)
    for name, row in made.items():
        [created, *_] = world.entries(row["run_id"])
        assert row["run_time"] == NOON + HOUR
        assert created.at == NOON + HOUR + jitter_of(name, 10 * SECOND)
    assert len({jitter_of(name, 10 * SECOND) for name in names}) > 10


# ---- a long time away --------------------------------------------------------------------------------------


class Counted(TroubledStore):
    """Counts the runs of each transaction."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[str, int]] = []
        self._runs = 0

    def _commit(self) -> None:
        super()._commit()
        [(count, program)] = self._execute(
            "SELECT count(*), (SELECT program FROM runs ORDER BY rowid DESC LIMIT 1) FROM runs"
        )
        if count != self._runs:
            self.made.append((program, count - self._runs))
            self._runs = count


@on_a_loop
async def test_a_long_time_away_is_settled_in_batches_between_which_others_have_their_turn() -> None:
    """None of the times is lost, and no program waits for all of another's."""
    store = Counted()
    world = World(store=store, is_instant=True)
    its = [program(MINUTELY, name=name) for name in ("one", "two", "three")]
    for one in its:
        world.go_live(one)
    await world.quiet()
    world.lose(*its, at=NOON + DAY)
    store.made.clear()
    for one in its:
        world.go_live(one)
    await world.quiet()
    made = list(store.made)
    assert max(count for _, count in made) <= TIMES_A_TURN_MAX
    assert [name for name, _ in made[:6]] == ["one", "two", "three"] * 2
    per_program = Counter(row["program"] for row in world.rows())
    assert per_program == dict.fromkeys(("one", "two", "three"), 24 * 60 + 1)
    assert Counter(row["status"] for row in world.rows())["missed"] == 3 * (24 * 60 - 2)
    assert len({(row["program"], row["run_time"], row["generation"]) for row in world.rows()}) == len(
        world.rows()
    )


class BusySchedules(TroubledStore):
    """Is busy for a while."""

    busy = 0

    def _commit(self) -> None:
        if self.busy:
            self.busy -= 1
            from clew.ports import StoreBusy

            raise StoreBusy("held")
        super()._commit()


@on_a_loop
async def test_a_busy_store_is_asked_again() -> None:
    """Nothing is made due twice, and nothing is forgotten."""
    store = BusySchedules()
    world = World(store=store, is_instant=True)
    world.go_live(program())
    await world.quiet()
    store.busy = 3
    await world.go_to(NOON + HOUR + MINUTE)
    assert world.statuses() == [(0, "completed"), (60, "completed")]


# ---- the clock ---------------------------------------------------------------------------------------------


@on_a_loop
async def test_a_clock_that_is_put_back_makes_nothing_twice() -> None:
    """What is settled stays so, also by a version that comes meanwhile; then it goes on."""
    world = World(is_instant=True)
    world.go_live(program())
    await world.go_to(NOON + 3 * HOUR)
    await world.jump_to(NOON + HOUR - MINUTE)
    await world.go_to(NOON + 2 * HOUR + MINUTE)
    assert len(world.rows()) == 4
    world.go_live(another(HOURLY))
    await world.go_to(NOON + 4 * HOUR)
    assert world.statuses() == [(minutes, "completed") for minutes in (0, 60, 120, 180, 240)]


@on_a_loop
async def test_a_clock_that_jumps_ahead_has_what_lies_between_settled() -> None:
    """As after a time away."""
    world = World(is_instant=True)
    world.go_live(program(backfill_milliseconds=HOUR))
    await world.jump_to(NOON + 4 * HOUR + 30 * MINUTE)
    assert world.statuses() == [
        (0, "completed"), (60, "missed"), (120, "missed"), (180, "missed"), (240, "completed"),
    ]  # fmt: skip


# ---- paused programs ---------------------------------------------------------------------------------------


@on_a_loop
async def test_what_is_due_while_a_program_is_paused_is_skipped() -> None:
    """On record, and why; nothing is caught up with, also if nobody was there when it ended."""
    world, its = World(is_instant=True), program(backfill_milliseconds=DAY)
    world.go_live(its)
    await world.go_to(NOON + 30 * MINUTE)
    world.store.schedules.pause("story", at=world.clock.at, by="ann", why="")
    await world.go_to(NOON + 2 * HOUR)
    world.lose(its, at=NOON + 5 * HOUR + 30 * MINUTE)
    world.store.schedules.unpause("story", at=NOON + 3 * HOUR + 30 * MINUTE, by="ann", why="")
    world.go_live(its)
    await world.go_to(NOON + 6 * HOUR)
    assert world.statuses() == [
        (0, "completed"), (60, "skipped"), (120, "skipped"), (180, "skipped"), (240, "completed"),
        (300, "completed"), (360, "completed"),
    ]  # fmt: skip
    assert world.reason(world.rows()[1]["run_id"]) == "program_paused"


@on_a_loop
async def test_what_is_paused_is_not_made_up_for() -> None:
    """A pause is no outage."""
    world, its = World(is_instant=True), program(on_missed="backfill")
    world.go_live(its)
    await world.quiet()
    world.store.schedules.pause("story", at=NOON + MINUTE, by="ann", why="")
    world.lose(its, at=NOON + 3 * HOUR + 30 * MINUTE)
    world.go_live(its)
    await world.quiet()
    assert world.statuses() == [(0, "completed"), (60, "skipped"), (120, "skipped"), (180, "skipped")]


@pytest.mark.parametrize("order", ["any", "scheduled"])
def test_variables_of_a_due_run_are_the_programs(order: str) -> None:
    """There is nobody who would set others."""

    async def story() -> None:
        world = World(is_instant=True)
        world.go_live(replace(program(variables={"n": 3}, run_order=order)))
        await world.quiet()
        [row] = world.rows()
        payload = world.store.payload(row["run_id"], 0)
        assert payload is not None and payload.content == '{"variables":{"n":3}}'
        assert row["status"] == "completed"

    on_a_loop(story)()
