"""A flush that is begun on PostgreSQL, and finished later: what came of it is told, whatever is asked in between."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.contracts.conftest import VERSION
from tests.contracts.test_store import created, entry, following
from tests.databases.postgres import PostgresServer
from tests.databases.proxy import CuttingProxy

from clew.ports import CommitUnknown, RunExists
from clew.stores.postgres import PostgresStore


class Watch:
    """What a store did with whoever waits for its answer."""

    def __init__(self) -> None:
        self.sockets: list[int] = []
        self.is_cancelled = self.is_called = False

    def __call__(self, socket: int, milliseconds: int) -> Watch:
        self.sockets.append(socket)
        assert milliseconds == 30_000
        return self

    def cancel(self) -> None:
        self.is_cancelled = True

    def call_now(self) -> None:
        self.is_called = True


@pytest.fixture
def store(postgres: PostgresServer) -> Iterator[PostgresStore]:
    opened = PostgresStore(postgres.url(postgres.new_database()))
    opened.register_program(VERSION, "trip", "{}", [(1, "{}", "1" * 64)], 5)
    yield opened
    opened.close()


def test_a_flush_is_begun_and_finished(store: PostgresStore) -> None:
    """It is whole when it is finished, counts once, and nobody waits for its answer any more."""
    watch, flushes = Watch(), store.flush_count
    store.begin_record([created("r1", 1), created("r2", 2)], watch)
    assert len(watch.sockets) == 1 and not watch.is_cancelled
    assert store.finish_record() == []
    assert watch.is_cancelled and not watch.is_called
    assert store.flush_count == flushes + 1
    assert store.journal("r1") == store.journal("r2") == [entry(0)[1:], entry(1)[1:]]


def test_whatever_is_asked_meanwhile_comes_after_it(store: PostgresStore) -> None:
    """It sees what was flushed; and whoever waits for an answer on the socket, where none will come, is told."""
    watch = Watch()
    store.begin_record([created("r1", 1)], watch)
    assert store.journal("r1") == [entry(0)[1:], entry(1)[1:]]
    assert watch.is_called
    store.instruct("i1", "r1", "{}", 1)
    assert store.finish_record() == []
    assert [row[0] for row in store.instructions()] == ["i1"]


def test_what_others_tell_meanwhile_is_heard_with_the_answer(store: PostgresStore) -> None:
    """Looking for it takes no answer away from whoever waits for one."""
    before, watch = store.change_count(), Watch()
    store.begin_record([created("r1", 1)], watch)
    assert store.change_count() >= before and not watch.is_called
    assert store.finish_record() == []


def test_a_run_that_is_anothers_drops_out_of_it(store: PostgresStore) -> None:
    """The others are written, by a second transaction."""
    store.record([created("r1", 1), created("r2", 2)])
    store.leases.claim_run("r2")
    store.begin_record([following("r1", 2), following("r2", 2)], Watch())
    assert store.finish_record() == ["r2"]
    assert len(store.journal("r1")) == 3 and len(store.journal("r2")) == 2


@pytest.mark.parametrize("asks", ["reads", "writes"])
def test_whoever_asks_meanwhile_hears_nothing_of_its_failure(store: PostgresStore, asks: str) -> None:
    """It was a transaction of its own, which is void: it is told of at its end, and to nobody else."""
    store.record([created("r1", 1), created("r2", 2)])
    store.leases.claim_run("r2")
    store.begin_record([following("r1", 2), following("r2", 2)], Watch())
    if asks == "reads":
        assert len(store.journal("r1")) == 2
    else:
        store.instruct("i1", "r1", "{}", 1)
    assert store.finish_record() == ["r2"]
    assert len(store.journal("r1")) == 3


@pytest.mark.parametrize("other", ["r3", "r2"])
def test_another_flush_meanwhile_has_a_fate_of_its_own(store: PostgresStore, other: str) -> None:
    """What came of the one that was begun is told of that one, and of no other."""
    store.record([created("r1", 1), created("r2", 2), created("r3", 3)])
    store.leases.claim_run("r2")
    store.begin_record([following("r1", 2), following("r2", 2)], Watch())
    assert store.record([following(other, 2)]) == (["r2"] if other == "r2" else [])
    assert store.finish_record() == ["r2"]
    assert [len(store.journal(run)) for run in ("r1", "r2", "r3")] == [3, 2, 3 if other == "r3" else 2]


def test_a_creation_that_can_not_be_is_told_at_its_end(store: PostgresStore) -> None:
    """Nothing of it was written; and the store can be written to again."""
    store.record([created("r1", 1)])
    store.begin_record([created("r2", 1), created("r3", 3)], Watch())
    with pytest.raises(RunExists) as refused:
        store.finish_record()
    assert list(refused.value.run_ids) == ["r2"]
    assert store.record([created("r3", 3)]) == []


def test_nobody_knows_of_one_whose_connection_was_lost(postgres: PostgresServer) -> None:
    """Whether its answer is waited for, or something else is asked, or the store is closed."""
    url = postgres.new_database()
    with CuttingProxy(postgres.port) as proxy:
        store = PostgresStore(postgres.url(url, port=proxy.port))
        store.register_program(VERSION, "trip", "{}", [(1, "{}", "1" * 64)], 5)
        for number, between in enumerate((lambda: None, store.instructions, store.close)):
            watch = Watch()
            store.instructions()  # it is connected
            proxy.cut_replies()
            store.begin_record([created(f"r{number}", number)], watch)
            between()
            with pytest.raises(CommitUnknown):
                store.finish_record()
            assert watch.is_cancelled or watch.is_called
            proxy.forward()
        store.close()
