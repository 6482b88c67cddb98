"""Every store has one tree over its runs, which only grows, without gaps, whoever makes it grow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.contracts.conftest import VERSION, open_store
from tests.contracts.test_store import created, entry, following

from clew.core.sealing.leaves import CLOSE, OPEN, Leaf
from clew.core.sealing.merkle import Frontier, leaf_hash
from clew.ports import StoreError
from clew.stores.store import DatabaseStore


def open_runs(store: DatabaseStore, numbers: Sequence[int], letter: str = "r") -> None:
    store.record([created(f"{letter}{at}", at)._replace(leaves=(OPEN,)) for at in numbers])


def grown(leaves: Sequence[Leaf]) -> Frontier:
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf_hash(leaf.content()))
    return frontier


def test_a_leaf_is_due_with_the_record_that_it_is_about(store: DatabaseStore) -> None:
    """It has the length and the head of the journal, and no place yet; one of a fenced run is not there."""
    open_runs(store, [1, 2])
    late = following("r2", 2, epoch=7, leaves=(CLOSE,))
    assert store.record([following("r1", 2, leaves=(CLOSE,)), late]) == ["r2"]
    one, two = Leaf(2, entry(1)[2], OPEN, "r1"), Leaf(3, entry(2)[2], CLOSE, "r1")
    assert store.tree.leaves_due("r1") == [one, two]
    assert store.tree.leaves_due("r2") == [Leaf(2, entry(1)[2], OPEN, "r2")]
    assert store.tree.leaves_of("r1") == [] and store.tree.row().size == 0


def test_the_tree_grows_by_what_is_due(store: DatabaseStore) -> None:
    """In the order in which it came, in steps of any size; what it has is not due any more."""
    open_runs(store, range(700))
    store.record([following("r3", 2, leaves=(CLOSE,))])
    steps = []
    while count := store.tree.grow(300):
        steps.append(count)
    assert steps == [300, 300, 101]
    leaves = store.tree.leaves(0, 1000)
    assert leaves == [
        *(Leaf(2, entry(1)[2], OPEN, f"r{at}") for at in range(700)),
        Leaf(3, entry(2)[2], CLOSE, "r3"),
    ]
    assert store.tree.leaves(699, 1) == leaves[699:700]
    assert store.tree.leaves_of("r3") == [(3, leaves[3]), (700, leaves[700])]
    assert store.tree.leaves_due("r3") == []
    frontier, row = grown(leaves), store.tree.row()
    assert (row.size, row.root) == (701, frontier.root())
    assert store.tree.nodes(8, 0, 9) == [grown(leaves[:256]).root(), grown(leaves[256:512]).root()]
    assert store.tree.nodes(8, 1, 1) == [grown(leaves[256:512]).root()]


def test_whoever_makes_it_grow_there_are_no_gaps(open_again: Callable[..., DatabaseStore]) -> None:
    """Several at once, while runs are recorded."""
    first = open_again()
    first.register_program(VERSION, "trip", "{}", [], 5)
    stores = [first, *(open_again() for _ in range(3))]

    def work(at: int) -> None:
        for number in range(25):
            open_runs(stores[at], [at * 1000 + number * 4 + more for more in range(4)], f"{at}-")
            stores[at].tree.grow(7)

    with ThreadPoolExecutor() as pool:
        list(pool.map(work, range(4)))
    while first.tree.grow(50):
        pass
    leaves = first.tree.leaves(0, 1000)
    assert len(leaves) == first.tree.row().size == 400 == len({leaf.run for leaf in leaves})
    assert first.tree.row().root == grown(leaves).root()


def test_each_store_has_a_tree_of_its_own(store: DatabaseStore) -> None:
    """By its name it can be told from any other."""
    other = open_store(":memory:")
    assert store.tree.row().origin.startswith("clew/") and len(store.tree.row().origin) == 21
    assert store.tree.row().origin != other.tree.row().origin
    other.close()


def test_what_was_signed_is_never_taken_back(store: DatabaseStore) -> None:
    """A tree that does not go on from it is not signed; a note is kept for what was signed last."""
    tree = store.tree
    open_runs(store, [1, 2])
    tree.grow(1)
    early = store._rows("select_tree", ())[0][1:3]
    first = tree.begin_signing()
    assert (first.signed_size, first.signed_root, first.note) == (1, first.root, "")
    tree.keep_note("one", 1)
    assert tree.row().note == tree.begin_signing().note == "one"
    tree.grow(1)
    second = tree.begin_signing()
    assert (second.signed_size, second.note) == (2, "") and second == tree.row()
    tree.keep_note("one", 1)
    assert tree.row().note == ""
    store._rows("grow_tree", early)
    with pytest.raises(StoreError, match="a checkpoint of 2 leaves was signed already, and the tree of 1"):
        tree.begin_signing()
    store._rows("grow_tree", (2, early[1][::-1]))
    with pytest.raises(StoreError, match="was signed already"):
        tree.begin_signing()
    assert tree.row().signed_root == second.root


def test_a_tree_that_was_changed_does_not_grow(store: DatabaseStore) -> None:
    """It says so."""
    open_runs(store, [1, 2])
    store.tree.grow(9)
    store._rows("grow_tree", (3, store._rows("select_tree", ())[0][2]))
    open_runs(store, [3])
    with pytest.raises(StoreError, match="the store's tree was changed"):
        store.tree.grow(9)
    assert len(store.tree.leaves(0, 9)) == 2
