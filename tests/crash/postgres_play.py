"""Stories and tellings whose store is in PostgreSQL: the same processes, the same kills, the same judges."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from tests.crash.faults import Fault
from tests.crash.judging import Kept
from tests.crash.stories import KILLED, ForkServer, Play, Story
from tests.crash.tellings import Telling, TellingPlay
from tests.crash.trips import Service, TripPlay
from tests.databases.postgres import PostgresServer

from clew.stores.postgres import PostgresStore
from clew.stores.store import DatabaseStore

MODULES = ("psycopg", "clew.stores.postgres", "tests.crash.postgres_faults")
"""What the fork server is to have imported besides: by the last of them it knows what to watch."""

TICK_SECONDS = 0.02
"""How soon somebody who was killed is taken for gone."""


class Database:
    """One database for one story after another."""

    def __init__(self, server: PostgresServer) -> None:
        self.url = server.url(server.new_database())
        PostgresStore(self.url).close()
        self._connection = psycopg.connect(self.url, autocommit=True, row_factory=dict_row)
        tables = self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        self._tables = ", ".join(row["tablename"] for row in tables if row["tablename"] != "migrations")

    def close(self) -> None:
        self._connection.close()

    def empty(self) -> None:
        """As when it was made."""
        self._connection.execute(f"TRUNCATE {self._tables}")
        self._connection.execute("INSERT INTO tree VALUES (1, 'clew/0123456789abcdef', 0, '', 0, '', '')")

    def be_alone(self) -> None:
        """Wait until all others are gone: what their connections were at is over."""
        while self.rows(_OTHERS):
            pass  # the server notices, by itself, that nobody is there

    def let_leases_end(self) -> None:
        """As time would: those who were killed are gone. What their connections were at is over."""
        while self.rows(f"{_OTHERS} AND state <> 'idle'"):
            pass  # the server brings to its end what it had begun
        for row in self.rows("SELECT orchestrator_id, pid FROM orchestrators WHERE lease_until > now()"):
            if not _is_there(row["pid"]):
                self._connection.execute(
                    "UPDATE orchestrators SET lease_until = clock_timestamp() - interval '1 second' "
                    "WHERE orchestrator_id = %s",
                    (row["orchestrator_id"],),
                )

    @contextmanager
    def time_passes(self) -> Iterator[None]:
        """Meanwhile whoever is killed is gone, by and by; nobody else is."""
        ends = threading.Event()
        other = Database.__new__(Database)
        other._connection = psycopg.connect(self.url, autocommit=True, row_factory=dict_row)

        def pass_on() -> None:
            while not ends.wait(TICK_SECONDS):
                other.let_leases_end()

        thread = threading.Thread(target=pass_on)
        thread.start()
        try:
            yield
        finally:
            ends.set()
            thread.join()
            other.close()

    def read(self) -> Kept:
        """What is in the store, all of one moment, whoever writes meanwhile."""
        with self._connection.transaction():
            self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            return self._read()

    def _read(self) -> Kept:
        runs = {row["run_id"]: row for row in self.rows("SELECT * FROM runs")}

        def by_run(query: str) -> dict[str, list[Any]]:
            return {run_id: self.rows(query, run_id) for run_id in runs}

        journals = by_run("SELECT * FROM journal WHERE run_id = %s ORDER BY seq")
        return Kept(
            runs,
            by_run(
                "SELECT *, CASE WHEN item < 0 THEN name ELSE name || '[' || item || ']' END AS unit "
                "FROM stages WHERE run_id = %s ORDER BY position, item"
            ),
            {run_id: [(row["content"], row["hash"]) for row in found] for run_id, found in journals.items()},
            {
                run_id: {row["seq"]: row for row in found}
                for run_id, found in by_run("SELECT * FROM payloads WHERE run_id = %s").items()
            },
            {row["version"]: row["content"] for row in self.rows("SELECT * FROM programs")},
            self.rows("SELECT * FROM instructions ORDER BY said_at, position"),
            "ok",
        )

    def rows(self, query: str, *given: Any) -> list[Any]:
        return self._connection.execute(query, given).fetchall()


_OTHERS = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND backend_type = 'client backend'"
)


def _is_there(process: int) -> bool:
    """Whether a process of this machine lives; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class OnPostgres(Play):
    """Something that is played on a database, which is emptied for it."""

    _database: Database

    def _set_out(self) -> None:
        super()._set_out()
        self._database.empty()
        settings = Path(self.folder, "clew.toml")
        settings.write_text(f'store = "{self._database.url}"\n{settings.read_text()}')

    def end(self) -> Kept:
        return self._database.read()

    def due(self) -> list[str]:
        return [row["run_id"] for row in self._database.rows("SELECT run_id FROM objects_due")]

    def _opened(self) -> DatabaseStore:
        return PostgresStore(self._database.url, read_only=True)

    def _begin(self) -> None:
        fault, verb = self._story.begin, self._story.verb
        self._run([fault] if fault and not verb else [], rests=fault is None or bool(verb))
        if fault and verb:
            self._until_rest(self._verb(), [fault], rests=False)
        self.passed.clear()


class _ByOne(OnPostgres):
    """By one process after the other."""

    def _copied(self) -> Kept:
        if self.statuses[-1] == KILLED:
            self.broken += [f"it is left behind: {process}" for process in self._server.remains()]
            self._database.be_alone()
            self._database.let_leases_end()
        return self.end()


class PostgresPlay(_ByOne):
    """A story, played once."""

    def __init__(self, story: Story, server: ForkServer, database: Database, *, bug: str = "") -> None:
        super().__init__(story, server, bug=bug)
        self._database = database


class PostgresTrip(_ByOne, TripPlay):
    """A trip, played once."""

    def __init__(self, story: Story, server: ForkServer, database: Database, service: Service) -> None:
        super().__init__(story, server, service)
        self._database = database


class PostgresTelling(OnPostgres, TellingPlay):
    """A telling, played once: whoever is killed is gone, as if his lease were over, while the other goes on."""

    def __init__(self, telling: Telling, server: ForkServer, database: Database) -> None:
        super().__init__(telling, server)
        self._database = database

    def perform_with(self, **faults: Fault) -> TellingPlay:
        with self._database.time_passes():
            return super().perform_with(**faults)

    def _copied(self) -> Kept:
        self._database.let_leases_end()
        return self.end()
