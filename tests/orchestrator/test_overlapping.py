"""While a database works on a batch, the turns of other runs are taken; nothing is acted upon before it is durable."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

import pytest
from tests.core.running.story import sealed, stage
from tests.databases.postgres import PostgresServer
from tests.orchestrator.test_recording import Instant, Told, TroubledStore, assembled, made

from clew.core.running.entries import RunTaken
from clew.orchestrator.driven_run import DrivenRun, Origin
from clew.orchestrator.real_world import LoopTasks
from clew.orchestrator.recording import Recorder
from clew.ports import AttemptReport, AttemptRequest, RunRecord, StoreBusy, StoreError, Watch, WatchSocket
from clew.stores.postgres import RUNS_APART_MIN, PostgresStore

CHAIN = sealed(
    stage("s0", writes=["x0"]), *[stage(f"s{n}", reads=[f"x{n - 1}"], writes=[f"x{n}"]) for n in range(1, 4)]
)


class ApartStore(TroubledStore):
    """A store that works on a batch when it is asked what came of it."""

    runs_apart_min = 2

    def __init__(self, *troubles: str) -> None:
        super().__init__(*troubles)
        self.begun: list[Sequence[RunRecord]] = []
        self.is_reachable = True

    def begin_record(self, records: Sequence[RunRecord], watch: WatchSocket) -> None:
        if not self.is_reachable:
            raise StoreBusy("nobody there")
        self.begun.append(records)

    def finish_record(self) -> list[str]:
        return self.record(self.begun[-1])


class Ignored:
    """A watch of which nothing comes."""

    def __init__(self, socket: int, milliseconds: int) -> None: ...

    def cancel(self) -> None: ...

    def call_now(self) -> None: ...


def ids(runs: Sequence[DrivenRun]) -> list[str]:
    return [run.state.run_id for run in runs]


def two_batches(store: TroubledStore) -> tuple[list[DrivenRun], list[DrivenRun]]:
    runs = made(store, 4)
    return runs[:2], runs[2:]


def told_well(told: Told) -> list[str]:
    assert all(error is None for _, error in told.of)
    return [run_id for run_id, _ in told.of]


# ---- the recorder ------------------------------------------------------------------------------------------


def test_a_batch_is_told_of_when_it_is_durable() -> None:
    """Not when it is begun; until then its runs have no turn, and it counts as not recorded."""
    store, told = ApartStore(), Told()
    recorder, runs = Recorder(store, told, Ignored), made(store, 2)
    assert recorder.record(runs) == 0
    assert told.of == [] and recorder.is_recording and not recorder.is_waiting
    assert all(run.is_being_recorded for run in runs)
    assert recorder.finish() == 0
    assert told_well(told) == ids(runs) and not recorder.is_recording


def test_a_batch_follows_the_one_before() -> None:
    """It is not begun before the fate of that is known; an answer that comes late is for nobody."""
    store, told = ApartStore(), Told()
    recorder, (first, second) = Recorder(store, told, Ignored), two_batches(store)
    recorder.record(first)
    assert len(store.begun) == 1
    recorder.record(second)
    assert told_well(told) == ids(first) and len(store.begun) == 2
    recorder.finish()
    assert told_well(told) == ids([*first, *second])
    assert recorder.finish() == 0


def test_a_small_batch_is_waited_for() -> None:
    """So is every batch where nobody watches, and of a store that does not work apart."""
    store, told = ApartStore(), Told()
    one, *others = made(store, 4)
    Recorder(store, told, Ignored).record([one])
    Recorder(store, told).record(others)
    assert told_well(told) == ids([one, *others]) and store.begun == []
    plain, told = TroubledStore(), Told()
    Recorder(plain, told, Ignored).record(made(plain, 3))
    assert len(told_well(told)) == 3


@pytest.mark.parametrize("trouble", ["busy", "unknown, written", "unknown, not written"])
def test_a_batch_of_which_nobody_knows_comes_before_the_next(trouble: str) -> None:
    """It is written again first, and the next one after it; meanwhile there is room for no turn."""
    store, told = ApartStore(trouble, "busy"), Told()
    recorder, (first, second) = Recorder(store, told, Ignored), two_batches(store)
    recorder.record(first)
    assert recorder.record(second) > 0
    assert recorder.is_waiting and recorder.room(100) == 0 and told.of == []
    assert recorder.finish() == 0 and told.of == []
    assert recorder.again() > 0
    assert recorder.again() == 0
    assert told_well(told) == ids(first)
    recorder.finish()
    assert told_well(told) == ids([*first, *second])


def test_a_store_that_is_not_there_is_tried_again() -> None:
    """A batch that could not be begun waits, as one that could not be written."""
    store, told = ApartStore("busy"), Told()
    recorder, runs = Recorder(store, told, Ignored), made(store, 2)
    store.is_reachable = False
    assert recorder.record(runs) > 0
    assert recorder.is_waiting and told.of == []
    assert recorder.again() > 0
    assert recorder.again() == 0
    assert told_well(told) == ids(runs)


def test_a_failed_flush_that_was_begun_is_not_tried_again() -> None:
    """Whoever asks what came of it is told, as if it had been waited for."""
    store, told = ApartStore("failed"), Told()
    recorder = Recorder(store, told, Ignored)
    first, second = two_batches(store)
    recorder.record(first)
    with pytest.raises(StoreError, match="disk"):
        recorder.record(second)
    assert told.of == []


def test_half_of_many_have_their_turn_first() -> None:
    """Then the others, while the store works; few wait for its answer. Where it does not work apart, all have."""
    store, told = ApartStore(), Told()
    recorder = Recorder(store, told, Ignored)
    assert [recorder.room(ready) for ready in (0, 1, 3, 4, 5, 9)] == [0, 1, 3, 2, 3, 5]
    recorder.record(made(store, 2))
    assert [recorder.room(ready) for ready in (0, 1, 2, 9)] == [0, 0, 2, 9]
    plain = TroubledStore("busy")
    recorder = Recorder(plain, told, Ignored)
    assert recorder.room(9) == 9
    recorder.record(made(plain, 2))
    assert recorder.room(9) == 0


# ---- the event loop ----------------------------------------------------------------------------------------


def test_a_socket_is_watched_until_it_can_be_read() -> None:
    """Whoever waits is called back once: when something comes, or after a time, or when somebody says so."""

    async def story() -> list[str]:
        tasks, calls = LoopTasks(asyncio.get_running_loop()), list[str]()
        here, there = socket.socketpair()
        came = asyncio.Event()

        def called(name: str) -> Callable[[], None]:
            return lambda: (calls.append(name), came.set())[0]

        def watched(name: str, milliseconds: int = 60_000) -> Watch:
            came.clear()
            return tasks.watch(here.fileno(), milliseconds, called(name))

        watch = watched("read")
        there.send(b"x")
        await came.wait()
        watch.call_now()
        here.recv(1)
        watch = watched("late", milliseconds=1)
        await came.wait()
        watch.cancel()
        watch = watched("said")
        watch.call_now()
        watch.call_now()
        await came.wait()
        watched("nobody").cancel()
        there.send(b"x")
        watched("again")
        await came.wait()
        here.close()
        there.close()
        return calls

    assert asyncio.run(story()) == ["read", "late", "said", "again"]


# ---- the whole orchestrator --------------------------------------------------------------------------------


class Witness(Instant):
    """An executor that looks, over a connection of its own, whether what it is to begin is on record."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._reader = PostgresStore(url, read_only=True)
        self.too_early: list[str] = []

    def submit(self, request: AttemptRequest, ended: Callable[[AttemptReport], None]) -> None:
        ordered = f'"kind":"attempt_started","stage":"{request.stage}"'
        journal = self._reader.journal(request.run_id)
        if not any(
            f'"attempt":{request.attempt}' in content and ordered in content for content, _ in journal
        ):
            self.too_early.append(request.attempt_id)
        super().submit(request, ended)

    async def close(self) -> None:
        self._reader.close()


def test_nothing_begins_before_its_order_is_durable(postgres: PostgresServer) -> None:
    """Of many runs, whose turns are taken while the server works on those of others; each attempt begins once, and
    what the store holds in the end is what memory held."""
    url, count = postgres.url(postgres.new_database()), 3 * RUNS_APART_MIN

    async def story() -> tuple[Witness, list[DrivenRun], int]:
        store = PostgresStore(url)
        orchestrator = assembled(store, witness := Witness(url))
        runs = [orchestrator.create(CHAIN, {}, requested_by="test", origin=Origin()) for _ in range(count)]
        await asyncio.gather(*(orchestrator.rested(run) for run in runs))
        flushes = store.flush_count
        heads = [store.head(run.state.run_id) for run in runs]
        assert [(head.entry_count, head.head) for head in heads if head] == [
            (run.head.seq, run.head.hash) for run in runs
        ]
        await orchestrator.close()
        return witness, runs, flushes

    witness, runs, flushes = asyncio.run(story())
    assert {run.state.status for run in runs} == {"completed"}
    assert witness.too_early == []
    assert len(witness.begun) == len(set(witness.begun)) == 4 * count
    assert flushes > 5  # one for each stage, and the end, would do if all went together


def test_what_comes_in_for_a_run_that_is_being_recorded_waits() -> None:
    """Its next turn is taken when the fate of what it wrote is known, and takes up all that came."""

    async def story() -> tuple[list[tuple[str, str]], list[str]]:
        store, executor = ApartStore(), Instant()
        orchestrator = assembled(store, executor)
        runs = [orchestrator.create(CHAIN, {}, requested_by="test", origin=Origin()) for _ in range(2)]
        await turns()
        assert len(store.begun) == 1 and all(run.is_being_recorded for run in runs)
        seq = runs[0].state.seq
        orchestrator.driver.expire(runs[0])
        await turns()
        assert runs[0].state.seq == seq and runs[0].facts
        for _ in range(10):
            orchestrator.driver._store_answered()
            await turns()
        await orchestrator.close()
        return [(run.state.status, run.state.cause) for run in runs], executor.begun

    ends, begun = asyncio.run(story())
    assert ends == [("rolled_back", "expired"), ("completed", "")]
    assert len(begun) == len(set(begun))


async def turns() -> None:
    """The event loop goes on until nothing is left to be done but what somebody has to say."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_run_that_was_taken_up_is_among_them() -> None:
    """Entries that were written before a batch was begun are recorded with it, and none twice."""
    store, told = ApartStore(), Told()
    recorder, runs = Recorder(store, told, Ignored), made(store, 2)
    recorder.record(runs)
    recorder.finish()
    for run in runs:
        run.write(RunTaken("again"), at=1)
    recorder.record(runs)
    recorder.finish()
    assert told_well(told) == ids([*runs, *runs])
    assert all(len(store.journal(run.state.run_id)) == 2 for run in runs)
