"""Nothing is told or acted upon before it is durable, whatever the store says; and what is told is true."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import pytest
from tests.core.running.story import COMMANDS, CONDITIONS, sealed, stage

from clew.buckets.memory import MemoryBucket
from clew.core.running.entries import RunTaken
from clew.orchestrator.alarm import WallClockAlarm
from clew.orchestrator.creating import RunMaker
from clew.orchestrator.driven_run import DrivenRun, Origin
from clew.orchestrator.driver import Driver
from clew.orchestrator.orchestrator import Orchestrator
from clew.orchestrator.payloads import PayloadKeeper
from clew.orchestrator.performing import Performer
from clew.orchestrator.programs import ProgramBook
from clew.orchestrator.real_world import LoopTasks, RealClock
from clew.orchestrator.recording import AGAIN_MILLISECONDS, AGAIN_MILLISECONDS_MAX, Recorder
from clew.orchestrator.requests import Surroundings
from clew.ports import (
    Alarm,
    AttemptReport,
    AttemptRequest,
    BucketError,
    Clock,
    CommitUnknown,
    Fenced,
    Keeper,
    ObjectFacts,
    RunExists,
    RunRecord,
    SearchAnswer,
    Searcher,
    SearchRequest,
    StoreBusy,
    StoreError,
)
from clew.stores.sqlite import SqliteStore
from clew.stores.store import DatabaseStore

PROGRAM = sealed(stage("a", writes=["x"]))


class Chance:
    def __init__(self) -> None:
        self._random = Random(1)

    def token(self, size: int) -> bytes:
        return self._random.randbytes(size)

    def permille(self) -> int:
        return 0


class TroubledStore(SqliteStore):
    """The real store, in memory, with a list of what goes wrong: one item a call of `record`."""

    def __init__(self, *troubles: str) -> None:
        super().__init__(":memory:")
        self.troubles = list(troubles)

    def record(self, records: Sequence[RunRecord]) -> list[str]:
        trouble = self.troubles.pop(0) if self.troubles else ""
        if trouble == "busy":
            raise StoreBusy("held")
        if trouble == "unknown, not written":
            raise CommitUnknown("lost")
        if trouble == "failed":
            raise StoreError("disk I/O error")
        fenced = super().record(records)
        if trouble == "unknown, written":
            raise CommitUnknown("lost")
        return fenced


def maker(store: DatabaseStore, payloads: PayloadKeeper | None = None) -> RunMaker:
    programs = ProgramBook(
        store=store, clock=RealClock(), signatures=COMMANDS, conditions=CONDITIONS, read=_unread
    )
    payloads = payloads or PayloadKeeper(chance=Chance(), bucket=None)
    return RunMaker(store=store, programs=programs, payloads=payloads, clock=RealClock(), chance=Chance())


def _unread(document: Any) -> Any:
    raise AssertionError("no program is read from the store here")


def made(store: DatabaseStore, count: int = 1) -> list[DrivenRun]:
    runs = maker(store)
    return [runs.make(PROGRAM, {"n": 1}, requested_by="test", origin=Origin()) for _ in range(count)]


class Told:
    """What a recorder told: of each run its id and what came of its record."""

    def __init__(self) -> None:
        self.of: list[tuple[str, type | None]] = []

    def __call__(self, run: DrivenRun, error: Exception | None) -> None:
        self.of.append((run.state.run_id, type(error) if error else None))
        if error is None:
            run.recorded()


# ---- one batch ---------------------------------------------------------------------------------------------


def test_what_is_written_is_told_of_once() -> None:
    """A record that the store takes is durable, and nothing waits."""
    store, told = TroubledStore(), Told()
    runs = made(store, 3)
    assert Recorder(store, told).record(runs) == 0
    assert told.of == [(run.state.run_id, None) for run in runs]
    assert store.flush_count == 1


def test_a_busy_store_gets_the_same_batch_again_ever_later() -> None:
    """Nothing is told meanwhile; the waits double up to their limit, and the record is whole in the end."""
    store, told = TroubledStore(*["busy"] * 12), Told()
    (run,) = made(store)
    recorder = Recorder(store, told)
    waits = [recorder.record([run])] + [recorder.again() for _ in range(11)]
    assert waits[:3] == [AGAIN_MILLISECONDS, 2 * AGAIN_MILLISECONDS, 4 * AGAIN_MILLISECONDS]
    assert waits[-1] == AGAIN_MILLISECONDS_MAX
    assert recorder.is_waiting and told.of == []
    assert recorder.again() == 0 and not recorder.is_waiting
    assert told.of == [(run.state.run_id, None)]
    row = store.run(run.state.run_id)
    assert row is not None and (row["status"], row["entry_count"]) == ("queued", 1)


@pytest.mark.parametrize("trouble", ["unknown, written", "unknown, not written"])
def test_an_unknown_commit_is_looked_up(trouble: str) -> None:
    """What is there is not written again, what is not is; either way it is told of once, when it is there."""
    store, told = TroubledStore(trouble), Told()
    runs = made(store, 2)
    recorder = Recorder(store, told)
    assert recorder.record(runs) > 0 and told.of == []
    assert recorder.again() == 0
    assert told.of == [(run.state.run_id, None) for run in runs]
    assert [len(store.journal(run.state.run_id)) for run in runs] == [1, 1]
    runs[0].write(RunTaken("next"), at=1)
    assert recorder.record(runs[:1]) == 0, "its head is where the store's is"


def test_a_run_that_was_taken_meanwhile_is_lost() -> None:
    """Whether or not the unknown commit took place: another orchestrator decides what becomes of it."""
    for trouble in ("unknown, written", "unknown, not written"):
        store, told = TroubledStore(), Told()
        (run,) = made(store)
        recorder = Recorder(store, told)
        recorder.record([run])
        run.write(RunTaken("again"), at=1)
        store.troubles = [trouble]
        recorder.record([run])
        store.leases.claim_run(run.state.run_id)
        assert recorder.again() == 0
        assert [error for _, error in told.of] == [None, Fenced]


def test_a_run_that_was_taken_before_its_creation_was_known_is_lost_and_not_asked_for_again() -> None:
    """Its creation took place, though nobody could tell: whoever asked for it follows it, and asks for no other."""
    store, told = TroubledStore("unknown, written"), Told()
    (run,) = made(store)
    recorder = Recorder(store, told)
    recorder.record([run])
    claimed = store.leases.claim_run(run.state.run_id)
    assert claimed is not None
    assert recorder.again() == 0
    assert told.of == [(run.state.run_id, Fenced)]
    assert store.run_ids() == [run.state.run_id]


def test_a_journal_that_goes_on_otherwise_is_another_orchestrators() -> None:
    """Where the store's journal ends neither before nor after the record, the run is not ours."""
    store, told = TroubledStore(), Told()
    (run,) = made(store)
    recorder = Recorder(store, told)
    recorder.record([run])
    run.write(RunTaken("mine"), at=1)
    store.troubles = ["unknown, not written"]
    recorder.record([run])
    store._execute("UPDATE runs SET entry_count = 7")
    assert recorder.again() == 0 and told.of[-1][1] is Fenced


def test_a_run_that_is_gone_stops_everything() -> None:
    """A store that has lost a run is not written to any more."""
    store, told = TroubledStore(), Told()
    (run,) = made(store)
    recorder = Recorder(store, told)
    recorder.record([run])
    run.write(RunTaken("mine"), at=1)
    store.troubles = ["unknown, not written"]
    recorder.record([run])
    store._execute("DELETE FROM runs")
    with pytest.raises(StoreError, match="gone from the store"):
        recorder.again()


def test_only_the_creation_that_can_not_be_is_refused() -> None:
    """The other runs of the batch are recorded, in the next transaction."""
    store, told = TroubledStore(), Told()
    one, two, three = made(store, 3)
    assert three.created is not None and one.created is not None
    three.created = three.created._replace(run_time=one.created.run_time, generation=one.created.generation)
    assert Recorder(store, told).record([one, two, three]) == 0
    assert told.of == [
        (three.state.run_id, RunExists),
        (one.state.run_id, None),
        (two.state.run_id, None),
    ]
    assert len(store.run_ids()) == 2


def test_a_failed_flush_is_not_tried_again() -> None:
    """Any other error of the store is for whoever keeps the orchestrator."""
    store, told = TroubledStore("failed"), Told()
    with pytest.raises(StoreError, match="disk"):
        Recorder(store, told).record(made(store))
    assert told.of == []


# ---- the whole orchestrator on a real event loop -----------------------------------------------------------


class Instant:
    """An executor whose attempts complete at once, and which counts them."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def submit(self, request: AttemptRequest, ended: Callable[[AttemptReport], None]) -> None:
        self.begun.append(request.attempt_id)
        report = AttemptReport(outcome="completed", outputs={output.name: 1 for output in request.outputs})
        asyncio.get_running_loop().call_soon(ended, report)

    recovers = False

    def recover(self, request: AttemptRequest, ended: Any) -> None:
        raise NotImplementedError("what runs here ends with its orchestrator")

    def submit_all(self, requests: Any) -> None:
        for request, ended in requests:
            self.submit(request, ended)

    def cancel(self, attempt_id: str) -> None: ...

    async def close(self) -> None: ...


class NothingKept:
    """No stage here says `restore`."""

    url = ""

    def keep(self, places: Sequence[str], folder: str, buckets: Mapping[str, str]) -> list[Any]:
        raise AssertionError(places)

    def look(self, places: Sequence[str], buckets: Mapping[str, str]) -> dict[str, str | None]:
        raise AssertionError(places)


NOTHING_KEPT = NothingKept()


def nothing_found(requests: Sequence[SearchRequest]) -> list[SearchAnswer]:
    return [SearchAnswer("missing", None) for _ in requests]


def assembled(
    store: SqliteStore,
    executor: Instant,
    *,
    keeper: Keeper = NOTHING_KEPT,
    searcher: Searcher = nothing_found,
    tasks: LoopTasks | None = None,
    clock: Clock | None = None,
    alarm: Alarm | None = None,
) -> Orchestrator:
    tasks = tasks or LoopTasks(asyncio.get_running_loop())
    clock, chance = clock or RealClock(), Chance()
    payloads = PayloadKeeper(chance=chance, bucket=None)
    performer = Performer(
        executors={"local": executor},
        searcher=searcher,
        keeper=keeper,
        tasks=tasks,
        around=Surroundings(buckets={}, secrets={}, log_path=lambda run_id, name, number: ""),
        code_of=lambda one, folder: {},
        test_pure=lambda condition, scope: pytest.fail("nothing is tested here"),
        is_pure=lambda name: False,
    )
    alarm = alarm or WallClockAlarm(asyncio.get_running_loop(), clock, guarded=tasks.guarded)
    driver = Driver(
        store=store,
        clock=clock,
        chance=chance,
        tasks=tasks,
        alarm=alarm,
        performer=performer,
        payloads=payloads,
        name="test",
    )
    programs = ProgramBook(store=store, clock=clock, signatures=COMMANDS, conditions=CONDITIONS, read=_unread)
    return Orchestrator(
        store=store, driver=driver, programs=programs, payloads=payloads, payload_bucket=None, executors=[executor],
        clock=clock, chance=chance, tasks=tasks, alarm=alarm, failed=tasks.failed, release=lambda: None,
    )  # fmt: skip


def test_a_run_survives_a_store_that_is_busy_and_one_that_is_unsure() -> None:
    """It completes, each stage executed once, and whoever waits is told when that is durable."""

    async def story() -> tuple[str, list[str], dict[str, Any] | None]:
        store, executor = TroubledStore("busy", "unknown, written", "busy", "unknown, not written"), Instant()
        orchestrator = assembled(store, executor)
        run = orchestrator.create(PROGRAM, {}, requested_by="test", origin=Origin())
        await orchestrator.rested(run)
        return run.state.status, executor.begun, store.run(run.state.run_id)

    status, begun, row = asyncio.run(story())
    assert status == "completed" and len(begun) == 1
    assert row is not None and row["status"] == "completed"


@pytest.mark.parametrize("looks", [True, False])
def test_nobody_looks_for_garbage_amid_a_turn(looks: bool) -> None:
    """When it is over, that is as it was before it, whatever the process has chosen."""

    async def story() -> list[bool]:
        orchestrator = assembled(TroubledStore(), Instant())
        run = orchestrator.create(PROGRAM, {}, requested_by="test", origin=Origin())
        seen: list[bool] = []
        run.observer = lambda entry, state: seen.append(gc.isenabled())
        await orchestrator.rested(run)
        await orchestrator.close()
        return [*seen, gc.isenabled()]

    was_enabled = gc.isenabled()
    try:
        (gc.enable if looks else gc.disable)()
        *amid, after = asyncio.run(story())
    finally:
        (gc.enable if was_enabled else gc.disable)()
    assert len(amid) > 2 and not any(amid)
    assert after is looks


def test_a_failed_flush_ends_the_orchestrator_for_everybody() -> None:
    """Who waits is told why, and so is who asks for a run afterwards; nothing is acted upon or recorded again."""

    async def story() -> tuple[list[str], int]:
        store, executor = TroubledStore("failed"), Instant()
        orchestrator = assembled(store, executor)
        run = orchestrator.create(PROGRAM, {}, requested_by="test", origin=Origin())
        with pytest.raises(StoreError, match="disk"):
            await orchestrator.rested(run)
        late = orchestrator.create(PROGRAM, {}, requested_by="test", origin=Origin())
        with pytest.raises(StoreError, match="disk"):
            await orchestrator.rested(late)
        flushed = store.flush_count
        await orchestrator.close()
        return executor.begun, flushed

    assert asyncio.run(story()) == ([], 0)


def test_a_run_that_can_not_be_created_fails_alone() -> None:
    """Its waiter is told that there is such a run; the run beside it completes."""

    async def story() -> tuple[str, list[str]]:
        store, executor = TroubledStore(), Instant()
        orchestrator = assembled(store, executor)
        good = orchestrator.create(PROGRAM, {}, requested_by="test", origin=Origin())
        bad = orchestrator.create(PROGRAM, {}, requested_by="test", origin=Origin())
        assert good.created is not None and bad.created is not None
        bad.created = bad.created._replace(run_time=good.created.run_time, generation=good.created.generation)
        with pytest.raises(RunExists):
            await orchestrator.rested(bad)
        await orchestrator.rested(good)
        with pytest.raises(RunExists):
            await orchestrator.rested(bad)
        return good.state.status, store.run_ids()

    status, run_ids = asyncio.run(story())
    assert status == "completed" and len(run_ids) == 1


def test_who_waits_for_a_run_that_another_one_took_is_told() -> None:
    """The run is the other's now; reports that still come in for it are for nobody."""

    async def story() -> tuple[bool, int]:
        store, executor = TroubledStore(), Instant()
        orchestrator = assembled(store, executor)
        run = orchestrator.create(PROGRAM, {}, requested_by="test", origin=Origin())
        run.observer = lambda entry, state: store.leases.claim_run(state.run_id) if entry.seq == 0 else None
        with pytest.raises(Fenced):
            await orchestrator.rested(run)
        return run.state.run_id in orchestrator.driver.runs, len(store.journal(run.state.run_id))

    assert asyncio.run(story()) == (False, 2)


# ---- payloads ----------------------------------------------------------------------------------------------


class Refusing(MemoryBucket):
    def write(self, key: str, content: bytes) -> ObjectFacts:
        raise BucketError("full")


def kept(bucket: MemoryBucket | None, size: int) -> tuple[DrivenRun, SqliteStore]:
    store = TroubledStore()
    payloads = PayloadKeeper(chance=Chance(), bucket=bucket, stored_size_max=100)
    run = maker(store, payloads).make(PROGRAM, {"n": "x" * size}, requested_by="test", origin=Origin())
    return run, store


def test_a_large_payload_stands_in_the_bucket_before_its_entry_is_recorded() -> None:
    """The row says where; a small one stands in the store itself."""
    bucket = MemoryBucket("memory:large")
    run, _ = kept(bucket, 1_000)
    (row,) = run.payloads
    assert row.content is None and row.location is not None
    assert b"x" * 1_000 in bucket.read(row.location, 2_000)
    run, _ = kept(bucket, 10)
    assert run.payloads[0].location is None and run.payloads[0].content == '{"variables":{"n":"xxxxxxxxxx"}}'


@pytest.mark.parametrize("bucket", [None, Refusing("memory:refusing")])
def test_without_a_bucket_that_takes_it_a_large_payload_stands_in_the_store(
    bucket: MemoryBucket | None,
) -> None:
    """What was said is not lost for want of the better place."""
    run, _ = kept(bucket, 1_000)
    assert run.payloads[0].location is None and "x" * 1_000 in (run.payloads[0].content or "")
