"""The store on PostgreSQL 14 or later: the same behaviour as on SQLite, for many orchestrators.

What stands here is this database's alone: its batches as columns of arrays, its errors sorted into kinds, its one round
trip a flush. A commit of which nobody knows whether it took place is made again: its runs' rows say whether it
had, since each record names how long the journal was before, and its head after.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec

from clew.ports import Diagnosis, Holder, Renewals, RunExists, RunRecord, StoreBusy, StoreError, WatchSocket
from clew.stores.postgres_batches import statements_of
from clew.stores.postgres_check import diagnose_server
from clew.stores.postgres_connection import UNIQUE_VIOLATION, PostgresConnection, Refused
from clew.stores.postgres_flush import Flush
from clew.stores.queries import load_migrations, load_queries
from clew.stores.store import Bound, DatabaseStore

TURNS = 64
"""How many orchestrators never make the same generation for requests of one millisecond; of more, some try again."""

LOOK_SECONDS = 1.0
"""How often whoever asks is told that something may have changed, though nobody has said so."""

RUNS_APART_MIN = 32
"""The records of fewer runs are waited for: the server is done with them within a millisecond."""

DIVISION_BY_ZERO = "22012"

_MIGRATING, _JOINING = 0x636C6577, 0x636C6578
"""The locks that whoever migrates holds for each migration's transaction, and whoever joins for the joining."""


class PostgresStore(DatabaseStore):
    """A `Store` in one PostgreSQL database. Used from one thread at a time."""

    runs_apart_min = RUNS_APART_MIN

    def __init__(self, url: str, *, read_only: bool = False, may_be_empty: bool = False) -> None:
        """Connects, and unless `read_only` creates or migrates the tables; `may_be_empty`: they need not be there.
        Raises StoreError."""
        queries = load_queries("postgres")
        for part in ("transactions", "orchestrators"):
            queries |= load_queries("postgres", part)
        super().__init__(queries)
        self._url = url
        self.name = without_password(url)
        self._read_only = read_only
        self._connection = PostgresConnection(url, self.name, queries)
        self._begun: tuple[Sequence[RunRecord], Flush] | None = None
        """What `begin_record` has begun."""
        self._looked_at = 0.0
        self._looks = 0
        self._listens = False
        try:
            if not read_only:
                self._migrate()
            self._refuse_newer(may_be_empty)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        self._connection.close()

    # ---- who drives ----

    def join(self, holder: Holder, unsafe: Mapping[str, str], *, lease_milliseconds: int) -> None:
        """Drive runs from here on, as long as the lease is renewed. `unsafe`: what was found so, and is put up with.
        Raises StoreError."""
        assert not self.leases.me, "joined already"
        me = secrets.token_hex(8)
        said = msgspec.json.encode(dict(unsafe), order="sorted").decode()
        with self._transaction():
            self._rows("forget_orchestrators")
            self._connection.execute(f"SELECT pg_advisory_xact_lock({_JOINING})")
            [(turn,)] = self._rows("insert_orchestrator", (me, *holder, said, lease_milliseconds, TURNS))
        self.leases.me, self.leases.turn, self.leases.turns = me, turn, TURNS

    def renew(self, lease_milliseconds: int) -> bool:
        """Stay for so long from now; False where the store has forgotten this orchestrator. Raises StoreError."""
        return bool(self._rows("renew_lease", (self.leases.me, lease_milliseconds)))

    def renewals(self, lease_milliseconds: int) -> Renewals:
        return _Renewals(
            PostgresConnection(self._url, self.name, self._sql), self.leases.me, lease_milliseconds
        )

    def diagnose(self, me: Holder) -> list[Diagnosis]:
        return diagnose_server(self._connection.execute, me.started_at)

    def last_orchestrator(self) -> Holder | None:
        rows = self._rows("select_last_orchestrator")
        return Holder(*rows[0]) if rows else None

    def size(self) -> int:
        """Bytes of the database."""
        [(size,)] = self._connection.execute("SELECT pg_database_size(current_database())")
        return int(size)

    def damages(self) -> list[str]:
        """Reads every table whole: what can't be read, the server says."""
        damages = []
        for (table,) in self._connection.execute(_TABLES):
            try:
                self._connection.execute(f'SELECT count(one::text) FROM "{table}" AS one')
            except StoreError as error:
                damages.append(f"{table}: {error}")
        return damages

    def orchestrators(self) -> list[Holder]:
        """Those that are there."""
        return [Holder(*row) for row in self._rows("select_orchestrators")]

    def leave(self) -> None:
        """Drive no more: everything is anybody's."""
        self.leases.release()
        with self._transaction():
            self._rows("delete_orchestrator", (self.leases.me,))
        self.leases.me = ""

    # ---- writing ----

    def record(self, records: Sequence[RunRecord]) -> list[str]:
        """See `ports.Store`. All that passes the fence is flushed by one commit."""
        return self._finished(records, self._connection.begin_flush(statements_of(records, self.leases.me)))

    def begin_record(self, records: Sequence[RunRecord], watch: WatchSocket) -> None:
        """See `ports.Store`."""
        flush = self._connection.begin_flush(statements_of(records, self.leases.me), watch)
        self._begun = (records, flush)

    def finish_record(self) -> list[str]:
        """See `ports.Store`."""
        assert self._begun is not None, "nothing was begun"
        begun, self._begun = self._begun, None
        return self._finished(*begun)

    def _finished(self, records: Sequence[RunRecord], flush: Flush) -> list[str]:
        """What came of the flush of these records; those that are refused drop out, and the others are written."""
        fenced: list[str] = []
        while True:
            try:
                self._connection.finish_flush(flush)
            except Refused as refused:
                out = self._refused(refused, records)
                fenced += out
                records = [record for record in records if record.run_id not in out]
                if not records:
                    break
                flush = self._connection.begin_flush(statements_of(records, self.leases.me))
            else:
                break
        self.flush_count += 1
        return fenced

    def _refused(self, refused: Refused, records: Sequence[RunRecord]) -> list[str]:
        """Which of these do not pass the fence. Raises RunExists, StoreError."""
        if refused.state == UNIQUE_VIOLATION:
            fresh = [record for record in records if record.created is not None]
            existing = self._existing(fresh)
            if existing:
                raise RunExists(existing) from refused
        if refused.state == DIVISION_BY_ZERO:
            known = {
                row[0]: row[1:3]
                for row in self._rows("select_advanced", ([each.run_id for each in records],))
            }
            out = [
                record.run_id
                for record in records
                if record.created is None and known.get(record.run_id) != (record.epoch, record.entry_count)
            ]
            if out:
                return out
            raise StoreBusy(f"{self.name}: a run was being written by somebody else; try again") from refused
        raise StoreError(f"{self.name}: {refused}") from refused

    def _insert(self, records: Sequence[RunRecord], owner: str = "") -> list[str]:
        """Within a transaction of several queries, where nothing has to be fenced: fresh runs."""
        for name, given in statements_of(records, owner):
            self._connection.execute_binary(name, given)
        return []

    def change_count(self) -> int:
        if not self._listens:
            self._listens = True
            self._connection.listen()
        now = time.monotonic()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._looks += 1
        return self._looks + self._connection.heard()

    # ---- this database's own ----

    def _rows(self, name: str, bound: Bound = ()) -> list[Any]:
        return self._connection.rows(name, bound)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._read_only:
            raise StoreError(f"{self.name}: opened to be read")
        with self._connection.transaction():
            yield
            self._rows("tell_others")

    @property
    def schema(self) -> int:
        """The last migration that has made the store what it is."""
        return max(self._migrations_done(), default=0)

    def _migrate(self) -> None:
        """Bring the database to this version's schema: each migration in a transaction of its own."""
        connection, done = self._connection, self._migrations_done()
        for number, name, text in load_migrations("postgres"):
            digest = hashlib.sha256(text.encode()).hexdigest()
            if number in done:
                if done[number] != digest:
                    raise StoreError(f"{self.name}: migration {name} is not the one that made this store")
                continue
            with connection.transaction():
                connection.execute(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
                if number not in self._migrations_done():  # another process may have been first
                    connection.execute(_MIGRATIONS)
                    connection.execute_script(text)
                    connection.execute("INSERT INTO migrations VALUES ($1, $2, $3)", (number, name, digest))

    def _migrations_done(self) -> dict[int, str]:
        # Of the catalogue itself: what a session remembers of it may be older than the lock it has waited for.
        found = self._connection.execute(
            "SELECT 1 FROM pg_catalog.pg_tables "
            "WHERE tablename = 'migrations' AND schemaname = ANY(current_schemas(false))"
        )
        return dict(self._connection.execute("SELECT number, digest FROM migrations")) if found else {}

    def _refuse_newer(self, may_be_empty: bool) -> None:
        done = self._migrations_done()
        if not done and not may_be_empty:
            raise StoreError(f"{self.name}: there is no store here; `clew run` makes one")
        newer = done.keys() - {number for number, _, _ in load_migrations("postgres")}
        if newer:
            raise StoreError(f"{self.name}: made by a newer clew (schema {max(newer)}); use that version")


_TABLES = (
    "SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = ANY(current_schemas(false)) ORDER BY 1"
)


class _Renewals:
    """See `ports.Renewals`."""

    def __init__(self, connection: PostgresConnection, me: str, lease_milliseconds: int) -> None:
        self._connection = connection
        self._bound = (me, lease_milliseconds)

    def renew(self) -> bool:
        return bool(self._connection.rows("renew_lease", self._bound))

    def close(self) -> None:
        self._connection.close()


_MIGRATIONS = """CREATE TABLE IF NOT EXISTS migrations (
  number bigint NOT NULL PRIMARY KEY, name text NOT NULL, digest text NOT NULL)"""


def without_password(url: str) -> str:
    """A URL that may be shown: where a store is, and not how to get in."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    where = f"{parts.username}@{host}" if parts.username else host
    return f"{parts.scheme}://{where}{f':{parts.port}' if parts.port else ''}{parts.path}"
