"""What leaves a store again, on every database: what it was told to forget, and runs whose time there is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from clew.ports import ArchiveNamed, KeptRun, ObjectsDue, RemovedRun
from clew.stores.parts import Rows

_LEAVES_WITH_THEM = (
    "remove_entries",
    "remove_payloads",
    "remove_stages",
    "remove_instructions",
    "remove_request_keys",
    "remove_objects",
)


class StoredRemovals:
    """The `Removals` of a store."""

    def __init__(
        self,
        rows: Rows,
        transaction: Callable[[], AbstractContextManager[None]],
        forgetting: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """`forgetting`: a transaction after which nothing is left of what it deletes."""
        self._rows = rows
        self._transaction = transaction
        self._forgetting = forgetting

    def objects_due(self, after: int, limit: int) -> list[ObjectsDue]:
        return [ObjectsDue(*row) for row in self._rows("select_objects_due", (after, limit))]

    def objects_are_gone(self, position: int) -> None:
        with self._transaction():
            self._rows("delete_object_due", (position,))

    def gone(self, run_ids: Sequence[str]) -> dict[str, int]:
        return dict(self._rows("select_gone", (_json(run_ids),)))

    def runs_after(self, launched_at: int, run_id: str, limit: int) -> list[KeptRun]:
        bound = {"launched_at": launched_at, "run_id": run_id, "limit": limit}
        return [KeptRun(*row) for row in self._rows("select_settled_after", bound)]

    def name_archives(self, runs: Sequence[ArchiveNamed]) -> list[str]:
        with self._transaction():
            return [run_id for (run_id,) in self._rows("name_archives", (_json(runs),))]

    def remove(self, runs: Sequence[RemovedRun], at: int) -> list[str]:
        with self._forgetting():
            removed = [run_id for (run_id,) in self._rows("remove_runs", {"runs": _json(runs), "at": at})]
            if removed:
                for query in _LEAVES_WITH_THEM:
                    self._rows(query, (_json(removed),))
        return removed


def _json(given: Sequence[Any]) -> str:
    return msgspec.json.encode(given).decode()
