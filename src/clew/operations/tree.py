"""What the tree over all runs of a store proves: that no run was dropped or written anew since it got its leaves, and
that the tree is the one which was signed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from msgspec import Struct

from clew.core.sealing.leaves import Leaf
from clew.core.sealing.merkle import (
    KEPT_LEVELS,
    Frontier,
    Node,
    NodeHash,
    ProofError,
    inclusion_proof,
    leaf_hash,
    root_of_complete,
    verify_inclusion,
)
from clew.core.sealing.notes import Checkpoint, NoteError, PublicKey, Verify, verified_checkpoint
from clew.ports import Tree, TreeRow

LEAVES_A_READ = 1_000

NODES_REMEMBERED = 1_000


class TreeJudgement(Struct, frozen=True):
    """What came of verifying a store's tree. `root`: in lowercase hex. `signed`: of how many leaves the last signature
    is; `is_key_given`: whether it was verified. `flaw`: what is wrong; empty: nothing is. `missing`: what could not be
    looked at."""

    origin: str
    size: int
    root: str
    signed: int
    is_key_given: bool
    flaw: str = ""
    missing: str = ""


def nodes_of(tree: Tree) -> NodeHash:
    """The complete nodes of the store's tree, worked out of those that are kept. Raises ProofError where some are
    missing, StoreError."""

    @lru_cache(maxsize=NODES_REMEMBERED)
    def hash_of(level: int, index: int) -> bytes:
        above = level % KEPT_LEVELS
        first, count = index << above, 1 << above
        if level < KEPT_LEVELS:
            hashes = [leaf_hash(leaf.content()) for leaf in tree.leaves(first, count)]
        else:
            hashes = tree.nodes(level - above, first, count)
        if len(hashes) != count:
            raise ProofError("the tree lacks some of its leaves, or nodes")
        return root_of_complete(hashes)

    return hash_of


def leaf_flaws(
    leaves: Sequence[Leaf], hashes: Sequence[str], *, is_settled: bool
) -> Iterator[tuple[str, int | None]]:
    """What in a run's journal, by the hashes of its entries, does not go on from what its leaves say, and which entry
    is the first bad one."""
    if not leaves or leaves[0].kind != "open":
        yield "the store's tree does not have the run, which was added to it then", None
        return
    for leaf in leaves:
        if leaf.entries > len(hashes):
            yield f"the tree has {leaf.entries} entries of the run: its end was cut off", len(hashes)
        elif leaf.entries < 1 or hashes[leaf.entries - 1] != leaf.head:
            what = "by the tree, the journal up to here was another: it was written anew"
            yield what, max(leaf.entries - 1, 0)
    if is_settled and leaves[-1].entries < len(hashes):
        yield "the tree does not have this entry: it was added after the run had settled", leaves[-1].entries


def see_in_tree(tree: Tree, placed: Sequence[tuple[int, Leaf]]) -> None:
    """See that these leaves stand in the tree as it is. Raises ProofError, StoreError."""
    row, hash_of = tree.row(), nodes_of(tree)
    for index, leaf in placed:
        if index >= row.size:
            raise ProofError(f"the tree has {row.size} leaves, and one stands at {index}")
        proof = inclusion_proof(index, row.size, hash_of)
        verify_inclusion(leaf_hash(leaf.content()), index, row.size, proof, row.root)


def judge_tree(
    tree: Tree,
    *,
    keys: Sequence[PublicKey],
    verify: Verify,
    since: Sequence[Checkpoint] = (),
    has_to_be_signed: bool = False,
) -> TreeJudgement:
    """Build the store's tree again, leaf by leaf, and compare what is kept of it, what was signed of it, and what it
    was at earlier checkpoints, which somebody has kept elsewhere. Raises StoreError."""
    row = tree.row()
    flaw = next(_flaws(tree, row, since), "")
    missing = "nothing of the tree is signed yet" if has_to_be_signed and not row.note else ""
    if keys and row.note and not flaw:
        try:
            if verified_checkpoint(row.note, keys, verify) != signed_of(row):
                flaw = "the signature is of another tree than the one that is said to be signed"
        except NoteError as error:
            flaw = str(error)
    signed = row.signed_size if row.note else 0
    return TreeJudgement(row.origin, row.size, row.root.hex(), signed, bool(keys), flaw, missing)


def signed_of(row: TreeRow) -> Checkpoint:
    """What was signed last."""
    return Checkpoint(row.origin, row.signed_size, row.signed_root)


def _flaws(tree: Tree, row: TreeRow, since: Sequence[Checkpoint]) -> Iterator[str]:
    """All that is wrong with the tree itself, the first of it first."""
    for checkpoint in since:
        if checkpoint.origin != row.origin:
            yield f"the checkpoint is of another tree, {checkpoint.origin}"
        elif checkpoint.size > row.size:
            yield f"the tree once had {checkpoint.size} leaves, and has {row.size}: it was put back, or cut"
    frontier, kept = Frontier(), _KeptNodes(tree)
    roots = {0: frontier.root()}
    sizes = {row.size, row.signed_size, *(checkpoint.size for checkpoint in since)}
    for leaf in _leaves_up_to(tree, row.size):
        nodes = frontier.append(leaf_hash(leaf.content()))
        if nodes and not kept.hold(nodes):
            yield f"a node over leaf {frontier.size - 1} is not what its leaves give"
        if frontier.size in sizes:
            roots[frontier.size] = frontier.root()
    if frontier.size != row.size:
        yield f"the tree has {row.size} leaves, and only {frontier.size} of them are there"
    elif roots[row.size] != row.root:
        yield "the leaves do not give the root of the tree: one of them was changed"
    if row.signed_size and roots.get(row.signed_size) != row.signed_root:
        yield f"the first {row.signed_size} leaves are not what was signed"
    for checkpoint in since:
        if roots.get(checkpoint.size) != checkpoint.root:
            yield f"the first {checkpoint.size} leaves are not those of the checkpoint: they were written anew"
    if run_id := tree.leaf_without_run():
        yield f"the run {run_id} is in the tree, and is gone from the store"


def _leaves_up_to(tree: Tree, size: int) -> Iterator[Leaf]:
    at = 0
    while at < size:
        leaves = tree.leaves(at, min(LEAVES_A_READ, size - at))
        if not leaves:
            return
        yield from leaves
        at += len(leaves)


class _KeptNodes:
    """Compares the nodes that are kept, as they come, some hundred at a time."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._read: dict[int, tuple[int, list[bytes]]] = {}

    def hold(self, nodes: Sequence[Node]) -> bool:
        return all(self._at(node.level, node.index) == node.hash for node in nodes)

    def _at(self, level: int, index: int) -> bytes:
        first, hashes = self._read.get(level, (0, []))
        if not first <= index < first + len(hashes):
            first, hashes = self._read[level] = index, self._tree.nodes(level, index, LEAVES_A_READ)
        return hashes[index - first] if index - first < len(hashes) else b""
