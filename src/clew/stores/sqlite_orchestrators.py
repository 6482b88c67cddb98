"""Who may record what becomes of runs in a SQLite file: one orchestrator, as long as the file's last epoch is its own,
and the file is the one that it opened.

The lock beside the file keeps others away. This holds where the lock does not: it was deleted, or another machine, or
another container, does not see it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from clew.ports import Holder, StoreTaken
from clew.stores.lock import told_holder

ORCHESTRATORS_KEPT = 1_000
"""How many starts are remembered: months of a service, an hour of somebody's loop over `clew run`."""

Rows = Callable[[str, Any], list[Any]]


class SqliteOrchestrators:
    """The orchestrators of a file, the last of which drives. Handed the store's own queries and transactions."""

    def __init__(
        self, path: str, rows: Rows, transaction: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._path = path
        self._rows = rows
        self._transaction = transaction
        self._epoch: int | None = None
        self._files: dict[str, tuple[int, int]] = {}

    def take(self, holder: Holder, unsafe: Mapping[str, str]) -> int:
        """Be the one who drives: whoever did so before can record nothing more. `unsafe`: what was found so, and is put
        up with. Returns the epoch. Raises StoreError."""
        assert self._epoch is None, "taken already"
        with self._transaction():
            said = msgspec.json.encode(dict(unsafe), order="sorted").decode()
            epoch = int(self._rows("insert_orchestrator", (*holder, said))[0][0])
            self._rows("forget_orchestrators", (epoch - ORCHESTRATORS_KEPT,))
        if self._path != ":memory:":
            names = (self._path, os.path.realpath(self._path) + "-wal")
            self._files = {name: _file_at(name) for name in names}
        self._epoch = epoch
        return epoch

    def last(self) -> Holder | None:
        """Who drives, or did last."""
        rows = self._rows("select_orchestrator", ())
        return Holder(*rows[0]) if rows else None

    def see_that_it_drives(self) -> None:
        """Whoever has taken the store makes sure that it has it still, inside each of its transactions. Raises
        StoreTaken."""
        if self._epoch is None:
            return
        for name, file in self._files.items():
            if _file_at(name) != file:
                raise StoreTaken(
                    f"{name}: it was moved, deleted or replaced while it was open; nothing is recorded any more. Put "
                    f"back what belongs there, and go on with `clew resume`"
                )
        if self._rows("select_epoch", ())[0][0] != self._epoch:
            last = self.last()
            who = "another process" if last is None else told_holder(last)
            raise StoreTaken(
                f"{self._path}: {who} drives the runs of this store now; nothing is recorded any more by this one. Is "
                f"its lock file left alone, and seen by both?"
            )


def _file_at(path: str) -> tuple[int, int]:
    """Which file stands there; none has the number 0."""
    try:
        facts = os.stat(path)
    except OSError:
        return 0, 0
    return facts.st_dev, facts.st_ino
