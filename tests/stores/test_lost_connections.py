"""A connection to PostgreSQL is lost at any moment: what was to be recorded is there once, and that is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.contracts.test_store import created, entry, following
from tests.databases.postgres import PostgresServer
from tests.databases.proxy import CuttingProxy
from tests.orchestrator.test_recording import PROGRAM, Told, made

from clew.core.running.entries import RunTaken
from clew.core.running.instructions import Instruction
from clew.orchestrator.driven_run import DrivenRun, Origin
from clew.orchestrator.recording import Recorder
from clew.ports import CommitUnknown, Fenced, StoreBusy, StoreError
from clew.settings import Settings
from clew.stores.postgres import PostgresStore
from clew.wiring import instruct, queue_run

TRIES_MAX = 20
"""A store that is there again takes a batch at the first try, and one that has to be looked at at the second."""


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[CuttingProxy]:
    with CuttingProxy(postgres.port) as opened:
        yield opened


@pytest.fixture
def store(postgres: PostgresServer, proxy: CuttingProxy) -> Iterator[PostgresStore]:
    """A store behind the proxy."""
    opened = PostgresStore(postgres.url(postgres.new_database(), port=proxy.port))
    yield opened
    opened.close()


def recorded(recorder: Recorder, runs: list[DrivenRun]) -> None:
    """Record, and try again as the driver does, until it is done."""
    again = recorder.record(runs) or recorder.finish()
    for _ in range(TRIES_MAX):
        if not again:
            assert not recorder.is_recording
            return
        again = recorder.again()
    raise AssertionError("it is not done after so many tries")


class Watched:
    """Nobody waits: the answer is asked for at once."""

    def __init__(self, socket: int, milliseconds: int) -> None: ...

    def cancel(self) -> None: ...

    def call_now(self) -> None: ...


@pytest.fixture(params=["waited for", "begun"])
def recorder_of(request: pytest.FixtureRequest, store: PostgresStore) -> Callable[[Told], Recorder]:
    """Makes recorders that wait for each batch, or begin it and ask what came of it later."""
    if request.param == "waited for":
        return lambda told: Recorder(store, told)
    store.runs_apart_min = 1
    return lambda told: Recorder(store, told, Watched)


def batches(store: PostgresStore, recorder: Recorder, proxy: CuttingProxy, cut: Callable[[], None]) -> None:
    """Two runs come to be; then one of them goes on, and a third comes to be. The connection is cut both times."""
    one, two, three = made(store, 3)
    cut()
    recorded(recorder, [one, two])
    proxy.forward()
    one.write(RunTaken("me"), at=1)
    cut()
    recorded(recorder, [one, three])
    proxy.forward()
    for run, count in ((one, 2), (two, 1), (three, 1)):
        assert len(store.journal(run.state.run_id)) == count
        head = store.head(run.state.run_id)
        assert head is not None and (head.entry_count, head.head) == (run.head.seq, run.head.hash)


def test_a_connection_that_is_cut_after_any_message_leaves_everything_recorded_once(
    store: PostgresStore, proxy: CuttingProxy, recorder_of: Callable[[Told], Recorder]
) -> None:
    """Before the first message of a flush, after each, and after the last of them, for which the commit holds."""
    told, runs, cuts = Told(), 0, 0
    for count in range(200):
        before = proxy.cuts
        batches(store, recorder_of(told), proxy, partial(proxy.cut_after, count))
        runs += 4
        if proxy.cuts == before:
            break
        cuts += proxy.cuts - before
    else:
        raise AssertionError("a flush has no end")
    assert cuts > 30
    assert [error for _, error in told.of] == [None] * runs


@pytest.mark.parametrize("times", [25])
def test_a_commit_whose_reply_is_lost_is_found_out(
    store: PostgresStore, proxy: CuttingProxy, recorder_of: Callable[[Told], Recorder], times: int
) -> None:
    """It was done, and is not done again; each is told of once."""
    told = Told()
    for _ in range(times):
        batches(store, recorder_of(told), proxy, proxy.cut_replies)
    assert proxy.cuts == 2 * times
    assert [error for _, error in told.of] == [None] * 4 * times


@pytest.mark.soak
def test_many_commits_whose_reply_is_lost_are_found_out(
    store: PostgresStore, proxy: CuttingProxy, recorder_of: Callable[[Told], Recorder]
) -> None:
    """As above, two thousand of them."""
    test_a_commit_whose_reply_is_lost_is_found_out(store, proxy, recorder_of, 1_000)


def test_a_run_that_another_one_took_while_the_reply_was_lost_is_the_others(
    store: PostgresStore, proxy: CuttingProxy
) -> None:
    """Whether or not it was written: the other decides what becomes of it."""
    told = Told()
    (run,) = made(store, 1)
    recorder = Recorder(store, told)
    recorded(recorder, [run])
    run.write(RunTaken("me"), at=1)
    proxy.cut_replies()
    assert recorder.record([run]) > 0
    store.leases.claim_run(run.state.run_id)
    assert recorder.again() == 0
    assert [error for _, error in told.of] == [None, Fenced]
    assert len(store.journal(run.state.run_id)) == 2


def test_what_is_cut_is_told_apart(
    store: PostgresStore, proxy: CuttingProxy, postgres: PostgresServer
) -> None:
    """A flush that was on its way may hold; a server that can't be reached has done nothing."""
    store.register_program("v" * 64, "trip", "{}", [], 5)
    proxy.cut_replies()
    with pytest.raises(CommitUnknown):
        store.record([created("r1", 1)])
    assert store.record([following("r1", 2)]) == []
    proxy.cut_all()
    with pytest.raises(StoreError) as lost:
        store.record([following("r1", 3)])
    assert isinstance(lost.value, StoreBusy | CommitUnknown)
    assert store.record([following("r1", 3)]) == []


def test_a_transaction_that_stood_still_for_too_long_can_be_made_again(
    store: PostgresStore, postgres: PostgresServer
) -> None:
    """The server has ended it: nothing was done."""
    other = PostgresStore(store._connection._url)
    with pytest.raises(StoreBusy), store._transaction():
        store._connection.execute("SET LOCAL idle_in_transaction_session_timeout = '1ms'")
        while other._connection.execute(OTHERS):
            pass
        store._rows("select_tree")
    other.close()
    assert store.journal("r1") == []


@pytest.mark.parametrize("what", ["queue", "instruct"])
def test_who_is_told_that_nothing_was_done_may_ask_again(
    proxy: CuttingProxy, postgres: PostgresServer, tmp_path: Path, what: str
) -> None:
    """The connection is cut after any message, and there is none for the rest of the time."""
    database = postgres.new_database()
    store = PostgresStore(postgres.url(database))
    settings = Settings(postgres.url(database, port=proxy.port), str(tmp_path / "logs"), "memory:")
    seen: set[str] = set()
    count = 0
    while "done" not in seen:
        before = asked(store)
        proxy.cut_after(count, stays_away=True)
        try:
            if what == "queue":
                queue_run(settings, PROGRAM, {}, requested_by="me", origin=Origin())
            else:
                instruct(settings, "r0", Instruction("pause", "me"))
            said = "done"
        except CommitUnknown:
            said = "unknown"
        except StoreBusy:
            said = "nothing"
        proxy.forward()
        while store._connection.execute(OTHERS):
            pass  # the server brings to its end what it had begun
        after = asked(store)
        assert after - before in {"done": (1,), "unknown": (0, 1), "nothing": (0,)}[said], (count, said)
        seen.add(said)
        count += 1
    store.close()
    assert seen == {"done", "unknown", "nothing"}


OTHERS = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND backend_type = 'client backend'"
)


def asked(store: PostgresStore) -> int:
    """How many runs and instructions are there."""
    return len(store.unsettled()) + len(store.instructions())


@pytest.mark.parametrize("what", ["instruct", "settle", "refuse", "take_over", "register"])
def test_any_transaction_that_is_cut_is_whole_or_not_at_all(
    store: PostgresStore, proxy: CuttingProxy, what: str
) -> None:
    """Done again, it has been done once."""
    store.register_program("v" * 64, "trip", "{}", [], 5)
    store.schedules.go_live("trip", "v" * 64, at=100, source="trip.yaml", origin="{}", zones="z")
    store.record([created("r0", 99, run_time=1, run_name="first")])
    for count in range(200):
        proxy.cut_after(count)
        before = proxy.cuts
        tries = 0
        while True:
            tries += 1
            assert tries < TRIES_MAX
            try:
                do(store, what, count)
                break
            except (StoreBusy, CommitUnknown):
                continue
        if proxy.cuts == before:
            proxy.forward()
            break
        proxy.forward()
        check(store, what, count)
    else:
        raise AssertionError("a transaction has no end")
    assert count > 3


def do(store: PostgresStore, what: str, count: int) -> None:
    at = 100 + 10 * count
    if what == "instruct":
        store.instruct(f"i{count}", "r0", "{}", count)
    elif what == "refuse":
        store.refuse(f"i{count}", "no", epoch=1)
    elif what == "settle":
        run = created(f"r{at}", 1, run_time=at, run_name=f"due-{at}", is_due=True)
        row = store.schedules.of("trip")
        assert row is not None
        if row.settled_until < at and not store.schedules.settle(
            "trip", settled_until=row.settled_until, until=at, records=[run]
        ):
            raise StoreBusy("what was taken for lost was under way still")
    elif what == "take_over":
        store.leases.claim_run("r0")
    elif what == "register":
        store.register_program(
            f"{count:064x}", f"p{count}", "{}", [(1, "{}", "1" * 64), (2, "[]", "2" * 64)], 5
        )
    else:
        raise AssertionError(what)


def check(store: PostgresStore, what: str, count: int) -> None:
    at = 100 + 10 * count
    if what == "instruct":
        assert store.instructions()[-1] == (f"i{count}", "r0", "{}")
    elif what == "settle":
        assert store.journal(f"r{at}") == [entry(0)[1:], entry(1)[1:]]
        row = store.schedules.of("trip")
        assert row is not None and row.settled_until == at
    elif what == "register":
        assert len(store.chain(f"{count:064x}")) == 2
