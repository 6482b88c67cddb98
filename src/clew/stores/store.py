"""The state store as it is on every database: which queries answer which question, and what is one transaction.

What differs from database to database is how a query is put, how many runs' records are written with one flush, and
how errors are told: that is for those who make a `DatabaseStore` of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from clew.ports import (
    Diagnosis,
    Holder,
    InstructionRow,
    PayloadRow,
    Renewals,
    RunHead,
    RunRecord,
    StandingRow,
    WatchSocket,
)
from clew.stores.access import StoredAccess
from clew.stores.backfills import StoredBackfills
from clew.stores.leases import StoredLeases
from clew.stores.removals import StoredRemovals
from clew.stores.schedules import StoredSchedules
from clew.stores.tree import StoredTree

Bound = Sequence[Any] | Mapping[str, Any]
"""What is put into a query: by position, or by name."""


class DatabaseStore(ABC):
    """A `Store` on some database. Used from one thread at a time."""

    def __init__(self, queries: Mapping[str, str]) -> None:
        """`queries`: this database's, by name."""
        self.flush_count = 0
        self._sql = queries
        own = (self._rows, self._transaction, self._insert_fresh)
        self.schedules = StoredSchedules(*own)
        self.backfills = StoredBackfills(*own)
        self.leases = StoredLeases(*own)
        self.tree = StoredTree(*own)
        self.access = StoredAccess(*own)
        self.removals = StoredRemovals(self._rows, self._transaction, self._forgetting)

    # ---- what each database does in its own way ----

    @abstractmethod
    def _rows(self, name: str, bound: Bound = ()) -> list[Any]:
        """What the query of that name finds. Raises StoreError."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[None]:
        """A transaction; abandoned when anything goes wrong. Raises StoreError."""

    def _forgetting(self) -> AbstractContextManager[None]:
        """A transaction by which something leaves for good: nothing of it is left where it stood, as far as this
        database can see to that. Raises StoreError."""
        return self._transaction()

    @abstractmethod
    def _insert(self, records: Sequence[RunRecord], owner: str = "") -> list[str]:
        """Write the records, within a transaction; the ids of the runs that were fenced. `owner`: who drives those that
        come to be. Raises RunExists."""

    @abstractmethod
    def record(self, records: Sequence[RunRecord]) -> list[str]:
        """See `ports.Store`."""

    runs_apart_min: int | None = None
    """See `ports.Store`."""

    def begin_record(self, records: Sequence[RunRecord], watch: WatchSocket) -> None:
        """See `ports.Store`."""
        raise NotImplementedError

    def finish_record(self) -> list[str]:
        """See `ports.Store`."""
        raise NotImplementedError

    @abstractmethod
    def change_count(self) -> int:
        """See `ports.Store`."""

    @abstractmethod
    def join(self, holder: Holder, unsafe: Mapping[str, str], *, lease_milliseconds: int) -> None:
        """Drive runs here from now on; where there may be others, as long as the lease is renewed. `unsafe`: what was
        found so, and is put up with. Raises StoreError."""

    def renewals(self, lease_milliseconds: int) -> Renewals:
        """How the lease is renewed, where there is one."""
        raise NotImplementedError

    @abstractmethod
    def leave(self) -> None:
        """Drive no more. Where there may be others, everything is anybody's. Raises StoreError."""

    @abstractmethod
    def diagnose(self, me: Holder) -> list[Diagnosis]:
        """What is found of what the records rest on, from the inside. Raises StoreError."""

    @property
    @abstractmethod
    def schema(self) -> int:
        """The last migration that has made the store what it is."""

    @abstractmethod
    def last_orchestrator(self) -> Holder | None:
        """Who drives the runs of this store, or did last. Raises StoreError."""

    @abstractmethod
    def damages(self) -> list[str]:
        """What is wrong with what is stored, the first of it; nothing where all is sound. Reads all of it."""

    @abstractmethod
    def close(self) -> None:
        """Release everything; doing so twice is fine."""

    # ---- writing ----

    def register_program(
        self, version: str, name: str, content: str, chain: Sequence[tuple[int, str, str]], registered_at: int
    ) -> None:
        with self._transaction():
            self._rows("insert_program", (version, name, content, registered_at))
            for block in chain:
                self._rows("insert_plan_block", (version, *block))

    def instruct(self, instruction_id: str, run_id: str, content: str, said_at: int) -> None:
        with self._transaction():
            self._rows("insert_instruction", (instruction_id, run_id, content, said_at))

    def refuse(self, instruction_id: str, why: str, *, epoch: int | None) -> None:
        with self._transaction():
            self._rows("refuse_instruction", (why, instruction_id, epoch))

    def _insert_fresh(self, records: Sequence[RunRecord]) -> None:
        """Fresh runs, without those that are there already."""
        existing = self._existing(records)
        fresh = [record for record in records if record.run_id not in existing]
        if fresh:
            self._insert(fresh)
            self.flush_count += 1

    def _existing(self, records: Sequence[RunRecord]) -> list[str]:
        """Which of the creations can't be: the store, or an earlier one of them, has such a run."""
        existing: list[str] = []
        made: set[tuple[Any, ...]] = set()
        for record in records:
            created = record.created
            assert created is not None
            wanted = {"run_id": record.run_id, "program": created.program, "run_name": created.run_name,
                      "run_time": created.run_time, "generation": created.generation}  # fmt: skip
            keys: set[tuple[Any, ...]] = {
                (created.program, created.run_name),
                (created.program, created.run_time, created.generation),
            }
            is_taken = False
            if created.request_key is not None:
                key = created.request_key.key
                keys.add((created.program, "under the key", key))
                known = self.access.request(created.program, key)
                is_taken = known is not None and known.run_id != record.run_id
            if keys & made or is_taken or self._rows("select_existing", wanted):
                existing.append(record.run_id)
            made |= keys
        return existing

    # ---- reading ----

    def instructions(self) -> list[tuple[str, str, str]]:
        return self._rows("select_instructions", {"me": self.leases.me})

    def instruction(self, instruction_id: str) -> InstructionRow | None:
        rows = self._rows("select_instruction", (instruction_id,))
        return InstructionRow(*rows[0]) if rows else None

    def instruction_content(self, instruction_id: str) -> str | None:
        rows = self._rows("select_instruction_content", (instruction_id,))
        return rows[0][0] if rows else None

    def program(self, version: str) -> str | None:
        rows = self._rows("select_program", (version,))
        return rows[0][1] if rows else None

    def chain(self, version: str) -> list[tuple[int, str, str]]:
        return self._rows("select_plan_blocks", (version,))

    def head(self, run_id: str) -> RunHead | None:
        rows = self._rows("select_head", (run_id,))
        return RunHead(*rows[0]) if rows else None

    def last_version(self, program: str) -> str | None:
        """The version of that program that ran last."""
        rows = self._rows("select_last_version", (program,))
        return rows[0][0] if rows else None

    def unsettled(self) -> list[tuple[str, str, int, str]]:
        return self._rows("select_unsettled")

    def queued(self, program: str, limit: int) -> list[StandingRow]:
        return [StandingRow(*row) for row in self._rows("select_queued", (program, limit))]

    def under_way(self, program: str) -> list[StandingRow]:
        return [StandingRow(*row) for row in self._rows("select_under_way", (program,))]

    def last_generation(self, program: str, run_time: int) -> int:
        return self._rows("select_generation", (program, run_time))[0][0] or 0

    def journal(self, run_id: str, after: int = -1) -> list[tuple[str, str]]:
        return self._rows("select_journal", (run_id, after))

    def payloads(self, run_id: str) -> list[PayloadRow]:
        return [PayloadRow(*row) for row in self._rows("select_payloads", (run_id,))]

    def payload(self, run_id: str, seq: int) -> PayloadRow | None:
        """One payload."""
        rows = self._rows("select_payload", (run_id, seq))
        return PayloadRow(seq, *rows[0]) if rows else None

    def run(self, run_id: str) -> dict[str, Any] | None:
        """One run's row of the tracker, by column."""
        rows = self._named("select_run", (run_id,))
        return rows[0] if rows else None

    def last_run(
        self, program: str, *, run_time: int | None = None, status: str | None = None, besides: str = ""
    ) -> dict[str, Any] | None:
        bound = {"program": program, "run_time": run_time, "status": status, "besides": besides}
        rows = self._named("select_last_run", bound)
        return rows[0] if rows else None

    def run_ids_like(self, text: str) -> list[str]:
        """Up to three ids of runs whose id begins with the text, or whose name it is."""
        escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return [row[0] for row in self._rows("select_run_ids", (escaped + "%", text))]

    def runs(
        self,
        *,
        program: str | None = None,
        status: str | None = None,
        before: tuple[int, str] | None = None,
        limit: int,
    ) -> list[dict[str, Any]]:
        """Rows of the tracker, by launch and id, newest first; those before that launch and id."""
        launched_at, run_id = before or (2**63 - 1, "")
        bound = {
            "program": program,
            "status": status,
            "before": launched_at,
            "before_run": run_id,
            "limit": limit,
        }
        return self._named("select_runs", bound)

    def run_ids(self) -> list[str]:
        """Every run, oldest first."""
        return [row[0] for row in self._rows("select_all_run_ids")]

    def stages(self, run_id: str) -> list[dict[str, Any]]:
        """A run's stages in the plan's order, by column."""
        return self._named("select_stages", (run_id,))

    def _named(self, name: str, bound: Bound) -> list[dict[str, Any]]:
        columns = _columns_of(self._sql[name])
        return [dict(zip(columns, row, strict=True)) for row in self._rows(name, bound)]


def _columns_of(query: str) -> list[str]:
    """The columns that a query of one table names."""
    listed = query[query.index("SELECT") + 6 : query.index("FROM")]
    return [name.strip() for name in listed.split(",")]
