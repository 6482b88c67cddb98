"""The real store, as a bad day shows it: busy, cut off before, inside and after a commit, silent about its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.simulation.odds import Odds
from tests.simulation.timeline import Crash, Life

from clew.ports import CommitUnknown, PayloadRow, RunRecord, StoreBusy, StoreError
from clew.stores.sqlite import SqliteStore

Committed = Callable[[Life, RunRecord], None]


class FaultyStore:
    """One life's handle of the store that outlives it. `committed` is told what really is in the store."""

    def __init__(self, store: SqliteStore, odds: Odds, life: Life, committed: Committed) -> None:
        self._store, self._odds, self._life, self._committed = store, odds, life, committed
        self.taken: Callable[[str, int], None] = lambda run_id, epoch: None

    @property
    def flush_count(self) -> int:
        return self._store.flush_count

    # ---- writing ----

    def record(self, records: Sequence[RunRecord]) -> list[str]:
        strike = self._odds.strike
        if strike("store busy", 0.02):
            raise StoreBusy("pretended")
        if strike("crash before a record", 0.004):
            raise Crash
        if strike("crash inside a record", 0.004):
            with self._store._transaction():
                self._store._insert(records)
                raise Crash
        if strike("store commit unknown, not written", 0.01):
            raise CommitUnknown("pretended")
        if strike("store flush failed, not written", 0.002):
            raise StoreError("pretended: disk I/O error")
        if any(record.created is not None for record in records) and strike(
            "store has such a run already", 0.05
        ):
            self._be_second(records)
        fenced = self._store.record(records)
        for record in records:
            if record.run_id not in fenced:
                self._committed(self._life, record)
        if strike("crash after a record", 0.004):
            raise Crash
        if strike("store commit unknown, written", 0.01):
            raise CommitUnknown("pretended")
        if strike("store flush failed, written", 0.002):
            raise StoreError("pretended: disk I/O error")
        return fenced

    def _be_second(self, records: Sequence[RunRecord]) -> None:
        """Somebody else made a run of one of these due times a moment before. It came to nothing."""
        record = next(record for record in records if record.created is not None)
        assert record.created is not None
        self._store._execute(
            "INSERT OR IGNORE INTO runs SELECT ?, ?, ?, ?, ?, ?, NULL, 'skipped', '', 'other', ?, '[]', 1, 0, '', '{}' "
            "WHERE NOT EXISTS (SELECT 1 FROM runs WHERE run_id = ?)",
            (
                f"other-{record.run_id}",
                *record.created[:5],
                record.created.generation,
                f"other-{record.run_id}",
            ),
        )

    def register_program(
        self, version: str, name: str, content: str, chain: Sequence[tuple[int, str, str]], registered_at: int
    ) -> None:
        self._store.register_program(version, name, content, chain, registered_at)

    def take_over(self, run_id: str) -> int:
        self._be_busy()
        epoch = self._store.take_over(run_id)
        self.taken(run_id, epoch)
        if self._odds.strike("crash while taking up", 0.03):
            raise Crash
        return epoch

    # ---- reading ----

    def _be_busy(self) -> None:
        if self._odds.strike("store busy when read", 0.03):
            raise StoreBusy("pretended")

    def program(self, version: str) -> str | None:
        self._be_busy()
        return self._store.program(version)

    def chain(self, version: str) -> list[tuple[int, str, str]]:
        return self._store.chain(version)

    def head(self, run_id: str) -> Any:
        self._be_busy()
        return self._store.head(run_id)

    def run(self, run_id: str) -> dict[str, Any] | None:
        return self._store.run(run_id)

    def unsettled(self) -> list[tuple[str, str, int, str]]:
        self._be_busy()
        return self._store.unsettled()

    def last_generation(self, program: str, run_time: int) -> int:
        return self._store.last_generation(program, run_time)

    def journal(self, run_id: str, after: int = -1) -> list[tuple[str, str]]:
        self._be_busy()
        return self._store.journal(run_id, after)

    def payloads(self, run_id: str) -> list[PayloadRow]:
        self._be_busy()
        return self._store.payloads(run_id)

    def close(self) -> None:
        """The process lets go of it; the store itself stays."""
