"""The tree grows beside the runs, and every checkpoint of it that is the last for a while is published in the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from tests.contracts.conftest import VERSION
from tests.contracts.test_store import created

from clew.core.sealing.leaves import OPEN
from clew.core.sealing.notes import Checkpoint
from clew.orchestrator.real_world import LoopTasks
from clew.orchestrator.tree_keeper import LOOKS_BETWEEN, Publish, TreeKeeper
from clew.ports import BucketError, SigningKeyError, Tree
from clew.stores.sqlite import SqliteStore


@pytest.fixture
def store() -> Iterator[SqliteStore]:
    opened = SqliteStore(":memory:")
    opened.register_program(VERSION, "trip", "{}", [], 5)
    yield opened
    opened.close()


def keeper_of(store: SqliteStore, *publish: Publish) -> TreeKeeper:
    return TreeKeeper(
        tree=store.tree,
        tasks=LoopTasks(asyncio.get_running_loop()),
        flush_count=lambda: store.flush_count,
        sign=lambda checkpoint, tree: f"{checkpoint.text()}\nsigned\n",
        publish=publish,
    )


def run(store: SqliteStore, number: int) -> None:
    store.record([created(f"r{number}", number)._replace(leaves=(OPEN,))])


async def until_size(keeper: TreeKeeper, sizes: list[int], size: int) -> None:
    """Look as an orchestrator does, until that checkpoint is published."""
    async with asyncio.timeout(20):
        while size not in sizes:
            for _ in range(LOOKS_BETWEEN):
                keeper.look()
            await asyncio.sleep(0.001)


def test_what_is_signed_while_a_slow_place_is_busy_is_published_after(store: SqliteStore) -> None:
    """Though no run comes to anything any more."""
    sizes: list[int] = []
    begun, goes_on = threading.Event(), threading.Event()

    def publish(note: str, checkpoint: Checkpoint) -> None:
        begun.set()
        goes_on.wait(20)
        sizes.append(checkpoint.size)

    async def story() -> None:
        keeper = keeper_of(store, publish)
        run(store, 1)
        keeper.look()
        await asyncio.to_thread(begun.wait, 20)
        run(store, 2)
        for _ in range(LOOKS_BETWEEN):
            keeper.look()
        assert store.tree.row().signed_size == 2
        goes_on.set()
        await until_size(keeper, sizes, 2)

    asyncio.run(story())
    assert sizes == [1, 2]


def test_a_place_that_does_not_answer_is_tried_again(store: SqliteStore) -> None:
    """And told of once."""
    sizes: list[int] = []
    told: list[str] = []
    tries = iter(range(10))

    def publish(note: str, checkpoint: Checkpoint) -> None:
        if next(tries) < 3:
            raise BucketError("nobody is there")
        sizes.append(checkpoint.size)

    async def story() -> None:
        keeper = keeper_of(store, publish)
        keeper.is_troubled = told.append
        run(store, 1)
        await until_size(keeper, sizes, 1)

    asyncio.run(story())
    assert (sizes, told) == ([1], ["nobody is there"])


def test_at_its_end_all_is_in_the_tree_and_the_last_checkpoint_is_published(store: SqliteStore) -> None:
    """However much is due; once it was stopped, nothing is."""
    sizes: list[int] = []

    async def story() -> None:
        keeper = keeper_of(store, lambda note, checkpoint: sizes.append(checkpoint.size))
        store.record([created(f"r{at}", at)._replace(leaves=(OPEN,)) for at in range(1_200)])
        keeper.finish()
        await keeper.publish_last()
        run(store, 5_000)
        for _ in range(2 * LOOKS_BETWEEN):
            keeper.look()
        keeper.finish()
        await keeper.publish_last()

    asyncio.run(story())
    assert (sizes, store.tree.row().size) == ([1_200], 1_200)


def test_a_key_that_cannot_be_used_lets_the_tree_grow(store: SqliteStore) -> None:
    """It is told, and nothing is signed."""
    told: list[str] = []

    def refuse(checkpoint: Checkpoint, tree: Tree) -> str:
        raise SigningKeyError("it is gone")

    async def story() -> None:
        keeper = keeper_of(store)
        keeper._sign, keeper.is_troubled = refuse, told.append
        run(store, 1)
        keeper.look()

    asyncio.run(story())
    row = store.tree.row()
    assert (told, row.size, row.note) == (["it is gone"], 1, "")
