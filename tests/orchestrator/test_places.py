"""Who goes on and who waits among the runs of a program, on a real store: whatever ends, is told or is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace
from tests.core.running.story import ASKED, IMPOSSIBLE, sealed, stage
from tests.orchestrator.on_time import HOUR, HOURLY, MINUTE, NOON, SECOND, World, on_a_loop
from tests.orchestrator.test_recording import TroubledStore

from clew.core.running.sealed_program import SealedProgram
from clew.ports import RunRecord


def program(*stages: Any, **given: Any) -> SealedProgram:
    facts = {"cadence": HOURLY, "max_active_runs": 1, **given}
    return sealed(*(stages or (stage("a"),)), **facts)


def waits_for_input(**given: Any) -> SealedProgram:
    return program(stage("a", dependencies=ASKED), **given)


# ---- how many, and in which order --------------------------------------------------------------------------


@on_a_loop
async def test_no_more_runs_are_under_way_than_may_and_the_oldest_go_first() -> None:
    """Whatever the order in which they come; what makes up for something comes after all others."""
    world, its = World(), program(max_active_runs=2)
    late, makes_up, early, middle = (
        *world.due(its, NOON),
        *world.due(its, NOON - 9 * HOUR, generation=2, backfill="missed"),
        *world.due(its, NOON - 2 * HOUR, NOON - HOUR),
    )
    await world.quiet()
    assert world.begun == [early, middle]
    await world.end(middle)
    assert world.begun == [early, late]
    await world.end(early)
    await world.end(late)
    assert world.begun == [makes_up]
    await world.end(makes_up)
    assert Counter(row["status"] for row in world.rows()) == {"completed": 4}
    assert world.kinds(late)[:3] == ["RunCreated", "RunTaken", "PlaceGiven"]


@on_a_loop
async def test_a_long_queue_is_worked_off_one_after_the_other() -> None:
    """More than are looked at together; each by itself, in order."""
    world, its = World(), program()
    times = [NOON - minute * MINUTE for minute in range(120)]
    queued = dict(zip(times, world.due(its, *times), strict=True))
    await world.quiet()
    for at in sorted(times):
        assert world.begun == [queued[at]]
        await world.end(queued[at])
    assert {row["status"] for row in world.rows()} == {"completed"}


@on_a_loop
async def test_requests_wait_for_a_place_as_well_and_launch_with_their_creation_where_there_is_one() -> None:
    """By one flush; the row of the tracker says when each was launched."""
    world, its = World(), program()
    first = world.request(its)
    await world.quiet()
    assert world.kinds(first.state.run_id)[:2] == ["RunCreated", "PlaceGiven"]
    flushed = world.store.flush_count
    second = world.request(its)
    await world.quiet()
    assert (second.state.status, world.store.flush_count) == ("queued", flushed + 1)
    world.clock.at += MINUTE
    await world.end(first.state.run_id)
    assert second.state.status == "running"
    row = world.store.run(second.state.run_id)
    assert row is not None and row["launched_at"] == NOON + MINUTE
    await world.end(second.state.run_id)
    assert {row["status"] for row in world.rows()} == {"completed"}


@on_a_loop
async def test_in_scheduled_order_nothing_overtakes() -> None:
    """Not while the one before waits for its data, nor while it is undone; a request waits as well."""
    world, its = World(), waits_for_input(run_order="scheduled")
    first, second = world.due(its, NOON - HOUR, NOON)
    request = world.request(its)
    await world.quiet()
    assert [world.status(one) for one in (first, second)] == ["waiting", "queued"]
    world.tell(first, "supply", word=1)
    await world.quiet()
    assert world.begun == [first] and world.status(second) == "queued"
    world.tell(first, "cancel")
    await world.quiet()
    assert [world.status(one) for one in (first, second)] == ["rolled_back", "waiting"]
    world.tell(second, "stop")
    await world.quiet()
    assert request.state.status == "waiting"


@on_a_loop
async def test_a_run_that_only_waits_for_data_frees_its_place_and_needs_one_again() -> None:
    """It goes on looking meanwhile, and goes on before what is younger."""
    world, its = World(), waits_for_input()
    first, second, third = world.due(its, NOON - 2 * HOUR, NOON - HOUR, NOON)
    await world.quiet()
    assert [world.status(one) for one in (first, second, third)] == ["waiting"] * 3
    world.tell(third, "supply", word=1)
    world.tell(second, "supply", word=1)
    world.tell(first, "supply", word=1)
    await world.quiet()
    assert len(world.begun) == 1
    for _ in range(3):
        assert len(world.begun) == 1
        await world.end(world.begun[0])
    assert [world.status(one) for one in (first, second, third)] == ["completed"] * 3
    assert [world.kinds(one).count("PlaceGiven") for one in (first, second, third)] == [2, 2, 2]


@on_a_loop
async def test_what_waits_without_a_place_is_taken_up_without_one() -> None:
    """A restart gives nobody a place that another one has."""
    world, its = World(), waits_for_input()
    first, second = world.due(its, NOON - HOUR, NOON)
    await world.quiet()
    world.tell(first, "supply", word=1)
    await world.quiet()
    assert world.begun == [first]
    world.lose(its)
    await world.quiet()
    world.tell(second, "supply", word=1)
    await world.quiet()
    assert world.begun == [first] and world.status(second) == "waiting"
    await world.end(first, "a.2")
    assert world.begun == [second]


# ---- overlap -----------------------------------------------------------------------------------------------


@on_a_loop
async def test_overlap_skips_what_is_due_while_there_is_no_place() -> None:
    """On record, and why; a request is never skipped, and what is due once there is a place again is run."""
    world, its = World(), program(overlap="skip")
    [first] = world.due(its, NOON - 2 * HOUR)
    await world.quiet()
    request = world.request(its)
    [second] = world.due(its, NOON - HOUR)
    await world.quiet()
    assert (world.status(second), world.reason(second)) == ("skipped", "overlap")
    assert "PlaceGiven" not in world.kinds(second)
    assert request.state.status == "queued"
    await world.end(first)
    await world.end(request.state.run_id)
    [third] = world.due(its, NOON)
    await world.quiet()
    assert world.begun == [third]


@on_a_loop
async def test_overlap_cancels_what_is_in_the_way() -> None:
    """The new one starts after the old one's rollback; of several that wait, the last one."""
    world, its = World(), program(stage("a", writes=["x"]), stage("b", reads=["x"]), overlap="cancel")
    [first] = world.due(its, NOON - 2 * HOUR)
    await world.quiet()
    await world.end(first)
    assert world.begun == [first]
    second, third = world.due(its, NOON - HOUR, NOON)
    await world.quiet()
    assert [world.status(one) for one in (first, second)] == ["rolled_back", "skipped"]
    assert world.reason(second) == "overtaken"
    assert world.begun == [third]
    assert "RunCancelled" in world.kinds(first) and world.kinds(first)[-1] == "RunSettled"


@on_a_loop
async def test_overlap_leaves_alone_what_is_in_nobodys_way() -> None:
    """A run that waits for its data without a place is older than the one that has it, and makes no room."""
    world, its = World(), waits_for_input(overlap="cancel")
    waiting, active, last = *world.due(its, NOON - 2 * HOUR, NOON - HOUR), ""
    await world.quiet()
    world.tell(active, "supply", word=1)
    await world.quiet()
    assert world.begun == [active]
    [last] = world.due(its, NOON)
    await world.quiet()
    assert [world.status(one) for one in (waiting, active, last)] == ["waiting", "rolled_back", "waiting"]


@on_a_loop
async def test_overlap_cancels_also_a_run_that_is_held_and_that_nobody_drives() -> None:
    """It has its place since before this orchestrator was there. Beyond a point of no return it can't be cancelled: it
    is told so once, and a person has the word."""
    its = program(stage("a", writes=["x"], rollback=IMPOSSIBLE), stage("b", reads=["x"]), overlap="cancel")
    world = World()
    [first] = world.due(its, NOON - HOUR)
    await world.quiet()
    await world.end(first)
    await world.end(first, "b.1", "failed")
    assert world.status(first) == "held"
    world.lose(its)
    await world.quiet()
    [second] = world.due(its, NOON)
    await world.quiet()
    assert (world.status(first), world.status(second)) == ("held", "queued")
    before = world.kinds(first)
    world.look(its)
    await world.quiet()
    assert world.kinds(first) == before and before.count("RunTaken") == 2
    world.tell(first, "stop")
    await world.quiet()
    assert (world.status(first), world.begun) == ("failed", [second])


# ---- leaving the window ------------------------------------------------------------------------------------


class Whole(TroubledStore):
    """After each transaction, each missed time has what makes up for it."""

    transactions = 0

    def _commit(self) -> None:
        super()._commit()
        rows = self.runs(limit=10_000)
        missed = {row["run_id"] for row in rows if row["status"] == "missed"}
        assert {row["follows"] for row in rows if row["backfill"]} == missed
        self.transactions += 1


@on_a_loop
async def test_a_queued_run_that_leaves_its_window_is_missed() -> None:
    """At that moment, not before; it was never begun, and a request has no window."""
    world, its = World(), program(backfill_milliseconds=2 * HOUR)
    active, queued = world.due(its, NOON - HOUR, NOON)
    request = world.request(its)
    await world.go_to(NOON + 2 * HOUR)
    assert [world.status(one) for one in (active, queued)] == ["running", "queued"]
    await world.go_to(NOON + 2 * HOUR + 1)
    assert (world.status(queued), world.reason(queued)) == ("missed", "window_left")
    assert world.kinds(queued)[-1] == "RunSettled" and "PlaceGiven" not in world.kinds(queued)
    await world.go_to(NOON + 30 * HOUR)
    assert request.state.status == "queued" and world.status(active) == "running"


@pytest.mark.parametrize("window", [0, 1_000])
def test_a_run_is_due_for_its_whole_minute_whatever_its_window(window: int) -> None:
    """One that is made due a little late has not left it."""

    async def story() -> None:
        world, its = World(), program(backfill_milliseconds=window)
        [run] = world.due(its, NOON - 30_000)
        await world.quiet()
        assert world.begun == [run]

    on_a_loop(story)()


@on_a_loop
async def test_what_has_left_its_window_is_made_up_for_in_the_same_transaction() -> None:
    """`on_missed: backfill`: by a run of the next generation, behind the current ones. It has no window."""
    world = World(store=Whole())
    its = program(backfill_milliseconds=2 * HOUR, on_missed="backfill")
    active, left = world.due(its, NOON - HOUR, NOON, zones="2026a")
    await world.go_to(NOON + 2 * HOUR + 1)
    [again] = [row for row in world.rows() if row["backfill"]]
    assert (again["run_time"], again["generation"], again["follows"], again["status"]) == (
        NOON, 2, left, "queued",
    )  # fmt: skip
    assert again["backfill"] == "missed" and again["is_due"]
    assert '"zones":"2026a"' in world.store.journal(again["run_id"])[0][0], "by which its time was found"
    [current] = world.due(its, NOON + 2 * HOUR)
    await world.quiet()
    await world.end(active)
    assert world.begun == [current]
    await world.go_to(NOON + 4 * HOUR)
    await world.end(current)
    await world.go_to(NOON + 40 * HOUR)
    assert world.begun == [again["run_id"]]
    await world.end(again["run_id"])
    assert Counter(row["status"] for row in world.rows()) == {"completed": 3, "missed": 1}


@on_a_loop
async def test_a_scheduler_makes_up_in_the_same_transaction_as_well() -> None:
    """For each time that the orchestrator was down for too long."""
    world = World(store=Whole())
    its = program(on_missed="backfill")
    world.go_live(its)
    await world.quiet()
    world.lose(its, at=NOON + 5 * HOUR + 30 * MINUTE)
    world.go_live(its)
    await world.quiet()
    assert Counter((row["status"], row["generation"]) for row in world.rows()) == {
        ("running", 1): 1, ("missed", 1): 5, ("queued", 2): 5,
    }  # fmt: skip


# ---- a program that is paused ------------------------------------------------------------------------------


@on_a_loop
async def test_while_a_program_is_paused_only_requests_are_launched() -> None:
    """What is queued for a due time waits, also across a restart; what is under way goes on; then all goes on."""
    world, its = World(), program(max_active_runs=2)
    [active] = world.due(its, NOON - 2 * HOUR)
    await world.quiet()
    world.store.schedules.pause("story", at=world.clock.at, by="ann", why="")
    [queued] = world.due(its, NOON - HOUR)
    await world.quiet()
    assert world.begun == [active]
    request = world.request(its)
    await world.quiet()
    assert world.begun == [active, request.state.run_id]
    await world.end(active)
    assert world.status(active) == "completed"
    assert world.status(queued) == "queued"
    world.lose(its)
    await world.quiet()
    assert world.status(queued) == "queued"
    world.store.schedules.unpause("story", at=world.clock.at, by="ann", why="")
    world.look(its)
    await world.quiet()
    assert queued in world.begun


@on_a_loop
async def test_while_a_program_is_paused_nothing_is_skipped_or_cancelled_for_overlap() -> None:
    """What is queued stays so."""
    for overlap in ("skip", "cancel"):
        world, its = World(), program(overlap=overlap)
        [active] = world.due(its, NOON - HOUR)
        await world.quiet()
        world.store.schedules.pause("story", at=world.clock.at, by="ann", why="")
        [queued] = world.due(its, NOON)
        await world.quiet()
        assert (world.begun, world.status(queued)) == ([active], "queued")


# ---- runs that wait for a person ---------------------------------------------------------------------------


@on_a_loop
async def test_a_held_run_keeps_its_place_also_when_nobody_drives_it() -> None:
    """After a restart, too; once it has settled, the next one starts."""
    its = program(stage("a", writes=["x"], rollback=IMPOSSIBLE), stage("b", reads=["x"]))
    world = World()
    first, second = world.due(its, NOON - HOUR, NOON)
    await world.quiet()
    await world.end(first)
    await world.end(first, "b.1", "failed")
    assert (world.status(first), world.status(second)) == ("held", "queued")
    world.lose(its)
    await world.quiet()
    assert first not in world.orchestrator.driver.runs
    world.look(its)
    await world.quiet()
    assert (world.begun, world.status(second)) == ([], "queued")
    world.tell(first, "stop")
    await world.quiet()
    assert world.status(first) == "failed"
    assert world.begun == [second]


@on_a_loop
async def test_a_run_that_is_undone_keeps_its_place_until_it_has_settled() -> None:
    """The next one starts after the rollback."""
    world, its = World(), program(stage("a", writes=["x"]), stage("b", reads=["x"]))
    first, second = world.due(its, NOON - HOUR, NOON)
    await world.quiet()
    await world.end(first)
    world.executor.is_instant = False
    await world.end(first, "b.1", "failed")
    assert world.status(first) == "rolled_back"
    begun = [attempt for attempt in world.executor.begun if "rollback" in attempt or second in attempt]
    assert begun[0].startswith(first) and begun[-1].startswith(second)
    assert world.begun == [second]


# ---- telling a queued run something ------------------------------------------------------------------------


@pytest.mark.parametrize(("verb", "status"), [("cancel", "rolled_back"), ("stop", "failed")])
def test_a_queued_run_can_be_ended(verb: str, status: str) -> None:
    """Without ever having begun; nothing else is disturbed."""

    async def story() -> None:
        world, its = World(), program()
        first, second, third = world.due(its, NOON - 2 * HOUR, NOON - HOUR, NOON)
        await world.quiet()
        world.tell(second, verb)
        await world.quiet()
        assert world.answer() == "obeyed"
        assert world.status(second) == status
        assert "PlaceGiven" not in world.kinds(second)
        await world.end(first)
        assert world.begun == [third]

    on_a_loop(story)()


@on_a_loop
async def test_a_queued_run_can_be_paused() -> None:
    """It starts neither in its turn nor after a restart, until somebody lets it; others start before it."""
    world, its = World(), program()
    first, second, third = world.due(its, NOON - 2 * HOUR, NOON - HOUR, NOON)
    await world.quiet()
    world.tell(second, "pause")
    await world.quiet()
    assert (world.answer(), world.status(second)) == ("obeyed", "paused")
    await world.end(first)
    assert world.begun == [third]
    world.lose(its)
    await world.quiet()
    assert world.status(second) == "paused" and world.begun == [third]
    world.tell(second, "unpause")
    await world.quiet()
    assert world.status(second) == "queued"
    await world.end(third, "a.2")
    assert world.begun == [second]


@on_a_loop
async def test_a_queued_run_that_is_paused_does_not_leave_its_window() -> None:
    """A person has taken it in hand; once it is unpaused, it is told what all are told."""
    world, its = World(), program(backfill_milliseconds=HOUR)
    _, second = world.due(its, NOON - MINUTE, NOON)
    await world.quiet()
    world.tell(second, "pause")
    await world.go_to(NOON + 3 * HOUR)
    assert world.status(second) == "paused"
    world.tell(second, "unpause")
    await world.quiet()
    assert (world.status(second), world.reason(second)) == ("missed", "window_left")


# ---- a store that is troubled, an orchestrator that is lost ------------------------------------------------


class Busy(TroubledStore):
    """Is busy each other time that it is to record something."""

    def __init__(self) -> None:
        super().__init__()
        self._calls = 0

    def record(self, records: Sequence[RunRecord]) -> list[str]:
        self._calls += 1
        self.troubles = ["busy"] if self._calls % 2 and any(not one.created for one in records) else []
        return super().record(records)


@on_a_loop
async def test_a_busy_store_costs_no_place_and_gives_none_twice() -> None:
    """What was offered is taken once it is durable."""
    world, its = World(store=Busy()), program()
    runs = world.due(its, NOON - 2 * HOUR, NOON - HOUR, NOON)
    for run in runs:
        await world.go_to(world.clock.at + MINUTE)
        assert world.begun == [run]
        world.executor.end(f"{run}/a.1")
    await world.go_to(world.clock.at + MINUTE)
    assert [world.kinds(run).count("PlaceGiven") for run in runs] == [1, 1, 1]
    assert {row["status"] for row in world.rows()} == {"completed"}


@on_a_loop
async def test_who_is_lost_at_any_moment_leaves_a_queue_that_goes_on_in_order() -> None:
    """Each restart finds the one that was under way before any other."""
    world, its = World(), program()
    runs = world.due(its, NOON - 3 * HOUR, NOON - 2 * HOUR, NOON - HOUR, NOON)
    await world.quiet()
    for number, run in enumerate(runs):
        world.lose(its)
        await world.quiet()
        assert world.begun == [run]
        await world.end(run, "a.2")
        assert world.status(run) == "completed"
        assert [world.status(one) for one in runs[number + 1 :]][1:] == ["queued"] * max(2 - number, 0)


@on_a_loop
async def test_the_newest_run_if_nobody_can_read_it_keeps_no_other_of_its_program_waiting() -> None:
    """The rules are then those of the newest version that can be read."""
    world, its = World(), program(max_active_runs=1)
    [queued] = world.due(its, NOON - MINUTE)
    world.clock.at += 1
    newer = program(variables={"n": 1}, max_active_runs=1)
    world.due(newer, NOON - SECOND)
    world.store._execute("DELETE FROM programs WHERE version = ?", (newer.version,))
    world.lose(its)
    await world.quiet()
    assert world.begun == [queued]


@on_a_loop
async def test_a_version_that_can_not_be_read_any_more_stops_no_other_program() -> None:
    """Its runs are left alone, which is told once; a new version of the program takes over its times all the same."""
    world, its = World(), program(max_active_runs=2)
    [active] = world.due(its, NOON - HOUR)
    await world.quiet()
    [queued] = world.due(its, NOON - MINUTE)
    assert world.begun == [active]
    world.store._execute("DELETE FROM programs")
    world.lose()
    other = replace(its, program=replace(its.program, name="other"), version="v" * 64)
    world.go_live(other, source="other.yaml")
    await world.go_to(NOON + HOUR)
    world.orchestrator.claims.adopt()
    why = f"the store has no program of version {its.version}"
    assert sorted(world.left_alone) == [f"program {its.program.name}: {why}", f"run {active}: {why}"]
    assert [row["status"] for row in world.rows() if row["run_id"] == queued] == ["queued"]
    assert [row["status"] for row in world.rows() if row["program"] == "other"] == ["running"]
    newer = program(variables={"n": 1}, max_active_runs=2)
    world.go_live(newer)
    await world.go_to(NOON + 2 * HOUR)
    its_own = [row["status"] for row in world.rows() if row["version"] == newer.version]
    assert its_own == ["running", "queued"], "the other place is that of the run that nobody can read"


@on_a_loop
async def test_programs_do_not_wait_for_each_other() -> None:
    """Each has its own places."""
    world = World()
    one, other = program(), program(stage("b"))
    other = replace(other, program=replace(other.program, name="other"))
    [first] = world.due(one, NOON)
    [second] = world.due(other, NOON)
    await world.quiet()
    assert sorted(world.begun) == sorted([first, second])
