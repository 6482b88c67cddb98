"""The tree over all runs of a store, on every database: leaves get their places one after the other, whoever adds them.

What a record says of it is written with the record, and costs a row; all else is done apart from it, for many at once.
"""

from __future__ import annotations

from itertools import takewhile

import msgspec
from msgspec.structs import replace

from clew.core.sealing.leaves import Leaf
from clew.core.sealing.merkle import HASH_SIZE, Frontier, leaf_hash
from clew.ports import StoreError, TreeRow
from clew.stores.parts import StorePart


class StoredTree(StorePart):
    """The `Tree` of a store."""

    def grow(self, limit: int) -> int:
        if not self._rows("select_leaves_due", (1,)):
            return 0
        with self._transaction():
            tree, frontier = self._taken()
            due = self._rows("select_leaves_due", (limit,))
            for _, run_id, kind, entry_count, head in due:
                for node in frontier.append(leaf_hash(Leaf(entry_count, head, kind, run_id).content())):
                    self._rows("insert_tree_node", (node.level, node.index, node.hash))
            positions = msgspec.json.encode([row[0] for row in due]).decode()
            self._rows("insert_leaves", {"size": tree.size, "positions": positions})
            self._rows("delete_leaves_due", {"positions": positions})
            self._rows("grow_tree", (frontier.size, b"".join(frontier.peaks)))
        return len(due)

    def row(self) -> TreeRow:
        return _read(self._rows("select_tree", ()))[0]

    def begin_signing(self) -> TreeRow:
        with self._transaction():
            tree, _ = self._taken()
            is_same = (tree.size, tree.root) == (tree.signed_size, tree.signed_root)
            if tree.signed_root and tree.size <= tree.signed_size and not is_same:
                raise StoreError(
                    f"a checkpoint of {tree.signed_size} leaves was signed already, and the tree of {tree.size} does "
                    "not go on from it; was the store put back to what it was? `clew verify --all` says more"
                )
            if not is_same:
                self._rows("sign_tree", (tree.size, tree.root))
                tree = replace(tree, signed_size=tree.size, signed_root=tree.root, note="")
        return tree

    def keep_note(self, note: str, size: int) -> None:
        with self._transaction():
            self._rows("keep_note", (note, size))

    def leaves(self, first: int, limit: int) -> list[Leaf]:
        rows = enumerate(self._rows("select_leaves", (first, limit)), start=first)
        return [_leaf(*row[1:]) for at, row in takewhile(lambda found: found[0] == found[1][0], rows)]

    def leaves_of(self, run_id: str) -> list[tuple[int, Leaf]]:
        return [(index, _leaf(*row)) for index, *row in self._rows("select_leaves_of", (run_id,))]

    def leaves_due(self, run_id: str) -> list[Leaf]:
        return [_leaf(*row) for row in self._rows("select_leaves_due_of", (run_id,))]

    def leaf_without_run(self) -> str:
        rows = self._rows("select_leaf_without_run", ())
        return rows[0][0] if rows else ""

    def nodes(self, level: int, first: int, limit: int) -> list[bytes]:
        return [bytes(row[0]) for row in self._rows("select_tree_nodes", (level, first, limit))]

    def _taken(self) -> tuple[TreeRow, Frontier]:
        """The tree, for as long as the transaction lasts nobody else's to change."""
        return _read(self._rows("take_tree", ()))


def _read(rows: list[tuple[str, int, bytes, int, bytes, str]]) -> tuple[TreeRow, Frontier]:
    """The tree, and its right edge. Raises StoreError when what is stored can't be of one."""
    if len(rows) != 1:
        raise StoreError("the store's tree is missing; verify the store")
    origin, size, stored, signed_size, signed_root, note = rows[0]
    peaks = [bytes(stored[at : at + HASH_SIZE]) for at in range(0, len(stored), HASH_SIZE)]
    try:
        frontier = Frontier(size, peaks)
    except ValueError as error:
        raise StoreError(f"the store's tree was changed: {error}; verify the store") from error
    return TreeRow(origin, size, frontier.root(), signed_size, bytes(signed_root), note), frontier


def _leaf(run_id: str, kind: str, entry_count: int, head: str) -> Leaf:
    return Leaf(entry_count, head, kind, run_id)  # type: ignore[arg-type]  # whatever stands there is verified
