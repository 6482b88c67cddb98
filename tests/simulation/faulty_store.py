"""The real store, as a bad day shows it: busy, cut off before, inside and after a commit, silent about its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from tests.simulation.odds import Odds
from tests.simulation.timeline import Crash, Life

from clew.core.running.instructions import Instruction
from clew.ports import (
    Backfills,
    ClaimedRun,
    CommitUnknown,
    InstructionRow,
    PayloadRow,
    Removals,
    RunRecord,
    Schedules,
    StandingRow,
    StoreBusy,
    StoreError,
    Tree,
    WatchSocket,
)
from clew.stores.sqlite import SqliteStore

PRETEND_SOCKET = 1


class Truth(Protocol):
    """Is told what really is in the store, whatever its callers hear of it."""

    def committed(self, life: Life, record: RunRecord) -> None: ...

    def taken(self, run_id: str, epoch: int) -> None: ...

    def said(self, instruction_id: str, run_id: str, instruction: Instruction) -> None: ...

    def read(self, life: Life, instruction_ids: list[str]) -> None: ...

    def refused(self, life: Life, instruction_id: str, why: str) -> None: ...


class FaultyLeases:
    """Who drives which runs, as one life hears of it: whoever takes a run has it."""

    def __init__(self, store: SqliteStore, odds: Odds, truth: Truth) -> None:
        self._leases, self._odds, self._truth = store.leases, odds, truth

    turn, turns = 0, 1

    def take_gate(self, program: str) -> bool:
        if self._odds.strike("store busy when read", 0.03):
            raise StoreBusy("pretended")
        return self._leases.take_gate(program)

    def claim_run(self, run_id: str) -> ClaimedRun | None:
        if self._odds.strike("store busy when read", 0.03):
            raise StoreBusy("pretended")
        claimed = self._leases.claim_run(run_id)
        if claimed is not None:
            self._truth.taken(run_id, claimed.epoch)
        if self._odds.strike("crash while taking up", 0.03):
            raise Crash
        return claimed


class FaultyStore:
    """One life's handle of the store that outlives it."""

    def __init__(
        self, store: SqliteStore, odds: Odds, life: Life, truth: Truth, runs_apart_min: int | None = None
    ) -> None:
        self._store, self._odds, self._life, self._truth = store, odds, life, truth
        self.runs_apart_min = runs_apart_min
        self._came_of_it: list[str] | StoreError = []

    @property
    def flush_count(self) -> int:
        return self._store.flush_count

    @property
    def tree(self) -> Tree:
        return self._store.tree

    @property
    def removals(self) -> Removals:
        return self._store.removals

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
                self._truth.committed(self._life, record)
        if strike("crash after a record", 0.004):
            raise Crash
        if strike("store commit unknown, written", 0.01):
            raise CommitUnknown("pretended")
        if strike("store flush failed, written", 0.002):
            raise StoreError("pretended: disk I/O error")
        return fenced

    def begin_record(self, records: Sequence[RunRecord], watch: WatchSocket) -> None:
        """As a database that has done it before anybody asks; what came of it is said later, or never."""
        try:
            self._came_of_it = self.record(records)
        except StoreError as error:
            self._came_of_it = error
        watch(PRETEND_SOCKET, 30_000)

    def finish_record(self) -> list[str]:
        if isinstance(self._came_of_it, StoreError):
            raise self._came_of_it
        return self._came_of_it

    def _be_second(self, records: Sequence[RunRecord]) -> None:
        """Somebody else made a run of one of these due times a moment before. It came to nothing."""
        record = next(record for record in records if record.created is not None)
        assert record.created is not None
        self._store._execute(
            "INSERT OR IGNORE INTO runs (run_id, program, version, run_name, run_time, launched_at, status, "
            "requested_by, generation, epoch, entry_count, head, origin) "
            "SELECT ?, ?, ?, ?, ?, ?, 'skipped', 'other', ?, 1, 0, '', '{}' "
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

    @property
    def leases(self) -> FaultyLeases:
        return FaultyLeases(self._store, self._odds, self._truth)

    # ---- what people say ----

    def instruct(self, instruction_id: str, run_id: str, content: str, said_at: int) -> None:
        strike = self._odds.strike
        if strike("store busy when told", 0.05):
            raise StoreBusy("pretended")
        if strike("crash before telling", 0.02):
            raise Crash
        if strike("crash inside telling", 0.02):
            with self._store._transaction():
                bound = (instruction_id, run_id, content, said_at)
                self._store._execute(self._store._sql["insert_instruction"], bound)
                raise Crash
        if strike("told or not, not told", 0.03):
            raise CommitUnknown("pretended")
        self._store.instruct(instruction_id, run_id, content, said_at)
        self._truth.said(instruction_id, run_id, msgspec.json.decode(content, type=Instruction))
        if strike("crash after telling", 0.02):
            raise Crash
        if strike("told or not, told", 0.03):
            raise CommitUnknown("pretended")

    def instructions(self) -> list[tuple[str, str, str]]:
        self._be_busy()
        waiting = self._store.instructions()
        self._truth.read(self._life, [instruction_id for instruction_id, _, _ in waiting])
        if waiting and self._odds.strike("crash when told", 0.03):
            raise Crash
        return waiting

    def instruction(self, instruction_id: str) -> InstructionRow | None:
        self._be_busy()
        return self._store.instruction(instruction_id)

    def refuse(self, instruction_id: str, why: str, **given: Any) -> None:
        strike = self._odds.strike
        if strike("store busy when refusing", 0.1):
            raise StoreBusy("pretended")
        if strike("crash before refusing", 0.03):
            raise Crash
        if strike("refused or not, not refused", 0.05):
            raise CommitUnknown("pretended")
        before = self._store.instruction(instruction_id)
        self._store.refuse(instruction_id, why, **given)
        if self._store.instruction(instruction_id) != before:
            self._truth.refused(self._life, instruction_id, why)
        if strike("crash after refusing", 0.03):
            raise Crash
        if strike("refused or not, refused", 0.05):
            raise CommitUnknown("pretended")

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

    def last_run(self, program: str, **given: Any) -> Any:
        return self._store.last_run(program, **given)

    def last_generation(self, program: str, run_time: int) -> int:
        return self._store.last_generation(program, run_time)

    def queued(self, program: str, limit: int) -> list[StandingRow]:
        self._be_busy()
        return self._store.queued(program, limit)

    def under_way(self, program: str) -> list[StandingRow]:
        self._be_busy()
        return self._store.under_way(program)

    def change_count(self) -> int:
        return -self._store._connection.total_changes()

    @property
    def schedules(self) -> Schedules:
        return self._store.schedules

    @property
    def backfills(self) -> Backfills:
        return self._store.backfills

    def journal(self, run_id: str, after: int = -1) -> list[tuple[str, str]]:
        self._be_busy()
        return self._store.journal(run_id, after)

    def payloads(self, run_id: str) -> list[PayloadRow]:
        self._be_busy()
        return self._store.payloads(run_id)

    def leave(self) -> None:
        """Whoever comes next takes the runs."""

    def close(self) -> None:
        """The process lets go of it; the store itself stays."""
