"""The store on SQLite: one file, WAL, full synchronisation, by the current library that apsw carries.

What stands here is this database's alone: its pragmas, its errors sorted into kinds, its one writer. A commit
that cannot be flushed is never tried again on the same connection: after a failed flush nobody knows what the
disk holds, so the error ends the orchestrator, and recovery reads again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import apsw

from clew.ports import (
    Diagnosis,
    Erased,
    FlushFailed,
    Holder,
    RunExists,
    RunRecord,
    StoreBusy,
    StoreError,
)
from clew.stores.queries import load_migrations, load_queries, load_schema
from clew.stores.sqlite_check import diagnose_clock, diagnose_settings
from clew.stores.sqlite_orchestrators import SqliteOrchestrators
from clew.stores.store import DatabaseStore

BUSY_MILLISECONDS = 10_000
"""How long a write waits for another process' transaction: many times the longest one clew makes."""

STATEMENTS_CACHED = 200
"""More than the queries there are: none is ever prepared twice."""

PAGE_SIZE = 8_192
"""Twice the default: a flush of many runs then writes 15 % faster, one of a single run no slower (measured)."""

DAMAGES_MAX = 10
"""One is reason enough to restore a copy; ten show where it is."""

WAL_PAGES_CHECKPOINT = 2_000
"""16 MiB of WAL between two checkpoints: their cost is shared by some ten thousand entries."""


class SqliteStore(DatabaseStore):
    """A `Store` on one SQLite file (or `:memory:`). Used from one thread at a time."""

    def __init__(self, path: str, *, read_only: bool = False, vfs: str | None = None) -> None:
        """Opens the file, and unless `read_only` creates or migrates it. Raises StoreError."""
        super().__init__(load_queries("sqlite") | load_queries("sqlite", "orchestrators"))
        self.path = path
        try:
            if not read_only and path != ":memory:":
                _make_private_file(path)
            flags = (
                apsw.SQLITE_OPEN_READONLY
                if read_only
                else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
            )
            self._connection = apsw.Connection(
                path, flags=flags, vfs=vfs, statementcachesize=STATEMENTS_CACHED
            )
            self._configure(read_only)
            if not read_only:
                self._migrate()
                self._refuse_other_logs()
            self._refuse_newer()
        except apsw.Error as error:
            raise _sorted_error(error, path) from error
        except OSError as error:
            raise StoreError(f"{path}: can't be opened as a store: {error.strerror}") from error
        self._execute = self._connection.cursor().execute
        self._executemany = self._connection.cursor().executemany
        self.orchestrators = SqliteOrchestrators(
            path, self._rows, self._transaction, self._connection.data_version
        )

    def close(self) -> None:
        self._connection.close()

    def leave(self) -> None:
        """Whoever comes next fences this one."""

    def join(self, holder: Holder, unsafe: Mapping[str, str], *, lease_milliseconds: int = 0) -> None:
        """Be the one who drives runs here: whoever did so before can record nothing more. There is no lease."""
        self.leases.me = str(self.orchestrators.take(holder, unsafe))

    # ---- writing ----

    def record(self, records: Sequence[RunRecord]) -> list[str]:
        """See `ports.Store`. All that passes the fence is flushed by one commit."""
        erases = any(record.erased for record in records)
        with self._forgetting() if erases else self._transaction():
            fenced = self._insert(records, self.leases.me)
        self.flush_count += 1
        return fenced

    def _insert(self, records: Sequence[RunRecord], owner: str = "") -> list[str]:
        sql, executemany = self._sql, self._executemany
        fresh = [record for record in records if record.created is not None]
        if fresh:
            self._create(fresh, owner)
        fenced: list[str] = []
        before = self._connection.total_changes()
        advanced = [(*each.advanced, each.run_id, each.epoch, each.entry_count) for each in records]
        executemany(sql["advance_run"], advanced)
        if self._connection.total_changes() - before != len(records):
            fenced = self._fenced(records)
            records = [record for record in records if record.run_id not in fenced]
        changed = [(*each.run, each.run_id) for each in records if each.run is not None]
        if changed:
            executemany(sql["update_run"], changed)
        executemany(
            sql["insert_entry"], [(each.run_id, *entry) for each in records for entry in each.entries]
        )
        stages = [(*row[2:], each.run_id, row[0]) for each in records for row in each.stages]
        if stages:
            executemany(sql["update_stage"], stages)
        for each in records:
            if each.dropped or each.items or each.obeyed or each.launched_at or each.erased:
                self._insert_rare(each)
        payloads = [(each.run_id, *payload) for each in records for payload in each.payloads]
        if payloads:
            executemany(sql["insert_payload"], payloads)
        leaves = [(each.run_id, kind, *each.advanced) for each in records for kind in each.leaves]
        if leaves:
            executemany(sql["insert_leaf_due"], leaves)
        return fenced

    def _insert_rare(self, record: RunRecord) -> None:
        """What most turns of most runs have none of."""
        sql, run_id = self._sql, record.run_id
        if record.erased is not None:
            self._erase(run_id, record.erased)
        self._executemany(sql["delete_items"], [(run_id, position) for position in record.dropped])
        self._executemany(sql["put_item"], [(run_id, *row) for row in record.items])
        self._executemany(sql["obey_instruction"], record.obeyed)
        if record.launched_at:
            self._execute(sql["launch_run"], (record.launched_at, run_id))

    def _erase(self, run_id: str, erased: Erased) -> None:
        sql = self._sql
        self._execute(sql["erase_payloads"], (run_id, erased.seq))
        self._execute(sql["erase_instructions"], (run_id,))
        self._execute(sql["erase_request_keys"], (run_id,))
        self._execute(sql["note_erased"], (erased.at, run_id))
        self._execute(sql["insert_object_due"], (run_id, erased.seq))

    def _create(self, records: Sequence[RunRecord], owner: str) -> None:
        runs: list[Any] = []
        stages: list[Any] = []
        keys: list[Any] = []
        for record in records:
            created = record.created
            assert created is not None
            runs.append((record.run_id, *created[:8], *created[9:13], record.epoch, owner))
            if created.request_key is not None:
                key, salt, digest = created.request_key
                keys.append((created.program, key, record.run_id, salt, digest, created.launched_at))
            stages.extend((record.run_id, *stage) for stage in created.stages)
        try:
            self._executemany(self._sql["insert_run"], runs)
            if keys:
                self._executemany(self._sql["insert_request_key"], keys)
        except apsw.ConstraintError as error:
            existing = self._existing(records)
            if not existing:
                raise
            raise RunExists(existing) from error
        self._executemany(self._sql["insert_stage"], stages)

    def _fenced(self, records: Sequence[RunRecord]) -> list[str]:
        """Which of the records did not pass: their run's row was not moved on."""
        query = "SELECT 1 FROM runs WHERE run_id = ? AND epoch = ? AND entry_count = ?"
        return [
            record.run_id
            for record in records
            if not list(self._execute(query, (record.run_id, record.epoch, record.advanced.entry_count)))
        ]

    def change_count(self) -> int:
        self.orchestrators.look_around()
        return int(self._rows("change_count")[0][0])

    # ---- this database's own ----

    def diagnose(self, me: Holder) -> list[Diagnosis]:
        """What is in force here, and whether the clock by which this process would begin to drive can be right."""
        newest, last = self._rows("select_newest")[0][0], self.last_orchestrator()
        clock = diagnose_clock(me.started_at, me.uptime, me.boot_id, newest=newest, last=last)
        try:
            return [*diagnose_settings(self._connection.pragma), clock]
        except apsw.Error as error:
            raise _sorted_error(error, self.path) from error

    def last_orchestrator(self) -> Holder | None:
        """Who drives the runs of this store, or did last."""
        is_known = self._connection.table_exists(None, "orchestrators")
        return self.orchestrators.last() if is_known else None

    @property
    def schema(self) -> int:
        """The last migration that has made the store what it is."""
        return max(self._migrations_done(), default=0)

    def damages(self) -> list[str]:
        """What is wrong with the file's pages, the first of it; nothing where all are sound. Reads the whole file."""
        try:
            found = [row[0] for row in self._connection.execute(f"PRAGMA quick_check({DAMAGES_MAX})")]
        except apsw.Error as error:
            return [str(error)]
        return [] if found == ["ok"] else found

    def _rows(self, name: str, bound: Any = ()) -> list[Any]:
        try:
            return list(self._execute(self._sql[name], bound))
        except apsw.Error as error:
            raise _sorted_error(error, self.path) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """A transaction that holds the write lock from its start; abandoned when anything goes wrong."""
        try:
            self._execute("BEGIN IMMEDIATE")
            self.orchestrators.see_that_it_drives()
            yield
            self._commit()
            self.orchestrators.has_written()
        except BaseException as error:
            self._abandon()
            if isinstance(error, apsw.Error):
                raise _sorted_error(error, self.path) from error
            raise

    @contextmanager
    def _forgetting(self) -> Iterator[None]:
        """What it deletes is overwritten in the file, and stands in no log either."""
        self._execute("PRAGMA secure_delete = ON")
        try:
            with self._transaction():
                yield
        finally:
            self._execute("PRAGMA secure_delete = OFF")
        self._empty_log()

    def _empty_log(self) -> None:
        """Where somebody reads it just now, it is emptied later, as always."""
        self._connection.set_busy_timeout(0)
        try:
            with suppress(apsw.Error):
                list(self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
        finally:
            self._connection.set_busy_timeout(BUSY_MILLISECONDS)

    def _commit(self) -> None:
        try:
            self._execute("COMMIT")
        except apsw.IOError as error:
            # It may be in the WAL whole, where the next process to open the file will find it.
            message = f"{self.path}: could not be flushed ({error}); what was to be recorded is there or not"
            raise FlushFailed(message) from error

    def _abandon(self) -> None:
        if self._connection.in_transaction:
            self._execute("ROLLBACK")

    def _configure(self, read_only: bool) -> None:
        self._connection.set_busy_timeout(BUSY_MILLISECONDS)
        # Of macOS alone: there a flush reaches the disk, and not only the drive's memory, by its own word.
        flushing = ["synchronous = FULL", "fullfsync = ON", "checkpoint_fullfsync = ON"]
        guards = ["foreign_keys = OFF", "trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"]
        pragmas = [*flushing, *guards]
        if not read_only:
            log = ["journal_mode = WAL", f"wal_autocheckpoint = {WAL_PAGES_CHECKPOINT}"]
            pragmas = [f"page_size = {PAGE_SIZE}", *log, *pragmas]
        for pragma in pragmas:
            list(self._connection.execute(f"PRAGMA {pragma}"))  # to its end, where errors are told
        if not read_only and self._connection.pragma("synchronous") != 2:
            raise StoreError(f"{self.path}: full synchronisation could not be switched on")

    def _migrate(self) -> None:
        """Bring the file to this version's schema, by one transaction: a new file costs one flush."""
        if not self._migrations_left():
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            is_empty = not list(self._connection.execute("SELECT 1 FROM sqlite_schema"))
            left = self._migrations_left()  # another process may have been first
            self._connection.execute(_MIGRATIONS)
            if is_empty:
                self._connection.execute(load_schema("sqlite"))
            for number, name, digest, text in left:
                if not is_empty:
                    self._connection.execute(text)
                self._connection.execute("INSERT INTO migrations VALUES (?, ?, ?)", (number, name, digest))
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise

    def _migrations_left(self) -> list[tuple[int, str, str, str]]:
        """Number, name, digest and text of those that the file has not had. Raises StoreError."""
        done, left = self._migrations_done(), []
        for number, name, text in load_migrations("sqlite"):
            digest = hashlib.sha256(text.encode()).hexdigest()
            if number not in done:
                left.append((number, name, digest, text))
            elif done[number] != digest:
                raise StoreError(f"{self.path}: migration {name} is not the one that made this store")
        return left

    def _migrations_done(self) -> Mapping[int, str]:
        if not self._connection.table_exists(None, "migrations"):
            return {}
        return dict(self._connection.execute("SELECT number, digest FROM migrations"))

    def _refuse_other_logs(self) -> None:
        # Where the switch to the WAL failed, the library says so at the next write at the earliest, and goes on.
        if self._connection.pragma("journal_mode") not in ("wal", "memory"):
            raise StoreError(f"{self.path}: its write-ahead log can't be used; is its disk sound, and local?")

    def _refuse_newer(self) -> None:
        known = {number for number, _, _ in load_migrations("sqlite")}
        newer = self._migrations_done().keys() - known
        if newer:
            raise StoreError(f"{self.path}: made by a newer clew (schema {max(newer)}); use that version")


_MIGRATIONS = """CREATE TABLE IF NOT EXISTS migrations (
  number INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL) STRICT"""


def _make_private_file(path: str) -> None:
    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    if not os.path.exists(path):
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _sorted_error(error: apsw.Error, path: str) -> StoreError:
    """This database's errors as clew's kinds, with a remedy."""
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return StoreBusy(f"{path}: another process holds the store; try again")
    if isinstance(error, apsw.FullError):
        return StoreError(f"{path}: the disk is full; make room and resume")
    if isinstance(error, apsw.NotADBError | apsw.CorruptError):
        return StoreError(f"{path}: not a clew store, or a damaged one ({error}); restore a copy")
    if isinstance(error, apsw.CantOpenError):
        return StoreError(f"{path}: there is no store here, or it can't be opened; `clew run` makes one")
    return StoreError(f"{path}: {error}")
