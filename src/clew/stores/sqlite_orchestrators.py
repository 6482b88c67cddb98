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
    """The orchestrators of a file, the last of which drives. Handed the store's own queries and transactions, and what
    counts the changes that its connection has seen, its own among them."""

    def __init__(
        self,
        path: str,
        rows: Rows,
        transaction: Callable[[], AbstractContextManager[None]],
        change_count: Callable[[], int],
    ) -> None:
        self._path = path
        self._rows = rows
        self._transaction = transaction
        self._change_count = change_count
        self._changes_seen = -1
        self._epoch: int | None = None
        self._log = os.path.realpath(path) + "-wal"
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
            self._files = {name: _file_at(name) for name in (self._path, self._log)}
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
        if self._files:
            if _file_at(self._path) != self._files[self._path]:
                raise _is_elsewhere(self._path)
            # Not which log is there, only that one is: a file whose facts were read has its next write stamped anew,
            # by which each flush would take 45 microseconds longer (measured, Linux 6.18).
            if not os.access(self._log, os.F_OK):
                raise _is_elsewhere(self._log)
        if self._change_count() != self._changes_seen:  # else only this process has written since
            self._see_epoch()

    def has_written(self) -> None:
        """A transaction of this process has been committed."""
        self._changes_seen = self._change_count()

    def look_around(self) -> None:
        """The same, now and then, when nothing is written; and that the log is the one that was opened. Raises
        StoreTaken."""
        if self._epoch is None:
            return
        for name, file in self._files.items():
            if _file_at(name) != file:
                raise _is_elsewhere(name)
        self._see_epoch()

    def _see_epoch(self) -> None:
        if self._rows("select_epoch", ())[0][0] != self._epoch:
            last = self.last()
            who = "another process" if last is None else told_holder(last)
            raise StoreTaken(
                f"{self._path}: {who} drives the runs of this store now; nothing is recorded any more by this one. Is "
                f"its lock file left alone, and seen by both?"
            )


def _is_elsewhere(path: str) -> StoreTaken:
    return StoreTaken(
        f"{path}: it was moved, deleted or replaced while it was open; nothing is recorded any more. Put back what "
        f"belongs there, and go on with `clew resume`"
    )


def _file_at(path: str) -> tuple[int, int]:
    """Which file stands there; none has the number 0."""
    try:
        facts = os.stat(path)
    except OSError:
        return 0, 0
    return facts.st_dev, facts.st_ino
