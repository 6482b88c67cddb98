"""What leaves a store again, on every database: what it was told to forget, and runs whose time there is over."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from clew.ports import KeptRun, ObjectsDue, RemovedRun
from clew.stores.parts import StorePart

_LEAVES_WITH_IT = (
    "remove_entries",
    "remove_payloads",
    "remove_stages",
    "remove_instructions",
    "remove_objects",
)


class StoredRemovals(StorePart):
    """The `Removals` of a store."""

    def objects_due(self, limit: int) -> list[ObjectsDue]:
        return [ObjectsDue(*row) for row in self._rows("select_objects_due", (limit,))]

    def objects_are_gone(self, position: int) -> None:
        with self._transaction():
            self._rows("delete_object_due", (position,))

    def gone(self, run_ids: Sequence[str]) -> dict[str, int]:
        return dict(self._rows("select_gone", (msgspec.json.encode(run_ids).decode(),)))

    def runs_after(self, launched_at: int, run_id: str, limit: int) -> list[KeptRun]:
        bound = {"launched_at": launched_at, "run_id": run_id, "limit": limit}
        return [KeptRun(*row) for row in self._rows("select_settled_after", bound)]

    def remove(self, runs: Sequence[RemovedRun], at: int) -> list[str]:
        removed = []
        with self._transaction():
            for run in runs:
                bound = {**run._asdict(), "at": at}
                if not self._rows("remove_run", bound):
                    continue
                for query in _LEAVES_WITH_IT:
                    self._rows(query, (run.run_id,))
                removed.append(run.run_id)
        return removed
