"""What leaves a store again, on every database: what it was told to forget, and runs whose time there is over."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from clew.ports import ObjectsDue
from clew.stores.parts import StorePart


class StoredRemovals(StorePart):
    """The `Removals` of a store."""

    def objects_due(self, limit: int) -> list[ObjectsDue]:
        return [ObjectsDue(*row) for row in self._rows("select_objects_due", (limit,))]

    def objects_are_gone(self, position: int) -> None:
        with self._transaction():
            self._rows("delete_object_due", (position,))

    def gone(self, run_ids: Sequence[str]) -> dict[str, int]:
        return dict(self._rows("select_gone", (msgspec.json.encode(run_ids).decode(),)))
