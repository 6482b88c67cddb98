"""What a store has that is in PostgreSQL: its migrations, its errors, its views, and that it needs no session."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from tests.contracts.conftest import VERSION, reopened
from tests.contracts.test_store import created, entry, following
from tests.databases.postgres import PostgresServer

from clew.ports import RunHead, RunRow, StageRow, StoreBusy, StoreError
from clew.stores import postgres as module
from clew.stores.postgres import PostgresStore, without_password
from clew.stores.queries import load_migrations

Open = Callable[..., PostgresStore]


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.url(postgres.new_database())


@pytest.fixture
def open_again(url: str) -> Iterator[Open]:
    """Opens the same database as often as one likes."""
    with reopened(url) as open_again:
        yield open_again


def asked(url: str, text: str) -> list[tuple[Any, ...]]:
    """What anybody else sees with SQL."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(text).fetchall()  # type: ignore[call-overload]


TABLES = (
    "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' "
    "ORDER BY 1, 2"
)


# ---- migrations --------------------------------------------------------------------------------------------


def test_migrations_run_once(open_again: Open, url: str) -> None:
    """Opening again leaves the tables as they are; each migration is on record with its digest."""
    open_again()
    tables = asked(url, TABLES)
    assert open_again().schema == max(number for number, _, _ in load_migrations("postgres"))
    assert asked(url, TABLES) == tables
    found = asked(url, "SELECT number, name FROM migrations ORDER BY number")
    assert found == [(number, name) for number, name, _ in load_migrations("postgres")]


def test_both_databases_have_the_same_tables_and_columns(open_again: Open, url: str, tmp_path: Any) -> None:
    """But for what orders instructions in the one, and what only one of them needs."""
    from clew.stores.sqlite import SqliteStore

    open_again()
    file = SqliteStore(str(tmp_path / "clew.db"))
    names = [
        name
        for (name,) in file._connection.execute(
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')"
        )
    ]
    columns = {
        (name, row[1]) for name in names for row in file._connection.execute(f"PRAGMA table_info({name})")
    }
    file.close()
    columns = {(table, column) for table, column in columns if table != "orchestrators"}
    found = {(table, column) for table, column, _ in asked(url, TABLES) if table != "orchestrators"}
    found.remove(("instructions", "position"))
    assert found == columns


def test_those_who_come_together_migrate_once(url: str) -> None:
    """Each finds the store whole."""
    schemas: list[int] = []

    def open_it() -> None:
        store = PostgresStore(url)
        schemas.append(store.schema)
        store.close()

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(schemas) == 6 and len(set(schemas)) == 1


def test_a_newer_or_a_changed_schema_is_refused(open_again: Open, url: str) -> None:
    """A store of a version to come is left alone, by writers and by readers; so is one whose migrations differ."""
    open_again()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO migrations VALUES (9999, '9999_future.sql', 'x')")
        for read_only in (False, True):
            with pytest.raises(StoreError, match="newer clew"):
                open_again(read_only=read_only)
        connection.execute("DELETE FROM migrations WHERE number = 9999")
        connection.execute("UPDATE migrations SET digest = 'x'")
        with pytest.raises(StoreError, match="not the one that made"):
            open_again()


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    open_again: Open, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a transaction of its own, and the next opening goes on after the last that was done."""
    whole = load_migrations("postgres")
    broken = [
        *whole,
        (len(whole) + 1, "broken.sql", "CREATE TABLE more (x text); CREATE TABLE runs (x text);"),
    ]
    monkeypatch.setattr(module, "load_migrations", lambda database: broken)
    with pytest.raises(StoreError):
        open_again()
    names = {name for (name,) in asked(url, "SELECT table_name FROM information_schema.tables")}
    assert "runs" in names and "more" not in names
    mended = [*whole, (len(whole) + 1, "broken.sql", "CREATE TABLE more (x text)")]
    monkeypatch.setattr(module, "load_migrations", lambda database: mended)
    assert open_again().schema == len(whole) + 1


def test_readers_change_nothing_and_make_nothing(open_again: Open, url: str) -> None:
    """A store that is opened to be read must be there, and can't be written."""
    with pytest.raises(StoreError, match="no store here"):
        open_again(read_only=True)
    assert asked(url, TABLES) == []
    open_again()
    with pytest.raises(StoreError, match="opened to be read"):
        open_again(read_only=True).register_program(VERSION, "trip", "{}", [], 5)


# ---- errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (lambda url: url.rsplit("/", 1)[0] + "/nowhere", StoreError, 'database "nowhere" does not exist'),
        (lambda url: url.replace("clew@", "nobody-known:secret@"), StoreError, "does not exist"),
        (lambda url: "postgresql://clew:secret@127.0.0.1:1/clew", StoreBusy, "can't be reached"),
    ],
)
def test_a_store_that_can_not_be_had_says_why(
    url: str, change: Callable[[str], str], kind: type[StoreError], text: str
) -> None:
    """What will last is told apart from what may pass; passwords are told to nobody."""
    with pytest.raises(StoreError, match=text) as error:
        PostgresStore(change(url))
    assert isinstance(error.value, StoreBusy) == (kind is StoreBusy)
    assert "secret" not in str(error.value)


def test_a_url_is_shown_without_its_password() -> None:
    """Where the store is, and as whom one comes."""
    assert (
        without_password("postgresql://me:secret@db:5433/clew?sslmode=require")
        == "postgresql://me@db:5433/clew"
    )
    assert without_password("postgresql:///clew") == "postgresql:///clew"


# ---- no state in the session -------------------------------------------------------------------------------


def test_prepared_statements_that_are_gone_are_done_without(open_again: Open) -> None:
    """As behind a pooler, which gives each transaction whichever session is free."""
    store = open_again()
    store.register_program(VERSION, "trip", "{}", [], 5)
    store.record([created("r1", 1)])
    store._connection.open().execute("DEALLOCATE ALL")
    with pytest.raises(StoreBusy):
        store.record([following("r1", 2)])
    assert store.record([following("r1", 2)]) == []
    store._connection.open().execute("DEALLOCATE ALL")
    assert store.record([following("r1", 3)]) == [], "nothing is prepared any more"
    assert store.head("r1") == RunHead(1, 4, entry(3)[2])


def test_a_flush_leaves_the_session_as_it_was(open_again: Open) -> None:
    """What it sets is in force for its own transaction alone."""
    store = open_again()
    names = (
        "enable_seqscan",
        "enable_hashjoin",
        "plan_cache_mode",
        "idle_in_transaction_session_timeout",
        "lock_timeout",
    )
    ask = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)
    before = store._connection.execute(ask)
    store.register_program(VERSION, "trip", "{}", [], 5)
    store.record([created("r1", 1)])
    assert store._connection.execute(ask) == before


def test_a_flush_finds_all_by_keys_however_empty_the_tables_were(open_again: Open, url: str) -> None:
    """The server counts how often it has read a table from end to end; while plans are made and afterwards."""
    store = open_again()
    store.register_program(VERSION, "trip", "{}", [], 5)
    ids = [f"r{number:03}" for number in range(200)]
    store.record([created(run_id, number + 1) for number, run_id in enumerate(ids)])
    done = StageRow(1, -1, 1, "completed", 2, "completed", "", 0, 10, 20, 0)
    row = RunRow("waiting", "", None, "[]")
    before = scans(store, url)
    for count in range(2, 22):
        store.record([following(run_id, count, stages=[done], run=row) for run_id in ids])
    assert scans(store, url) == before


def scans(store: PostgresStore, url: str) -> list[tuple[Any, ...]]:
    store._connection.execute("SELECT pg_stat_force_next_flush()")
    store.run_ids_like("nobody")
    tables = "('journal', 'payloads', 'stages')"
    return asked(
        url, f"SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname IN {tables} ORDER BY 1"
    )


def test_others_are_heard_and_oneself_is_not(open_again: Open) -> None:
    """And whoever is heard by nobody is looked for once a second."""
    mine, other = open_again(), open_again()
    mine.register_program(VERSION, "trip", "{}", [], 5)
    mine.record([created("r1", 1)])
    mine.change_count()
    heard = mine._connection.heard()
    mine.instruct("i1", "r1", "{}", 1)
    assert mine._connection.heard() == heard
    other.instruct("i2", "r1", "{}", 1)
    mine.run_ids()  # whatever is asked, what others told comes with the answer
    assert mine._connection.heard() == heard + 1
    assert other.leases.claim_run("nobody's") is None
    mine.run_ids()
    assert mine._connection.heard() == heard + 1, "what changes nothing is told to nobody"


# ---- for everybody -----------------------------------------------------------------------------------------


def test_anybody_reads_the_tracker_with_sql(open_again: Open, url: str) -> None:
    """The documented views answer any client, with moments people can read."""
    store = open_again()
    store.register_program(VERSION, "trip", "{}", [], 5)
    body = {"at": 1_767_225_600_123, "body": {"kind": "attempt_ended", "stage": "one"}, "epoch": 1}
    record = created("r1", 1)._replace(entries=[entry(0, json.dumps(body)), entry(1, json.dumps(body))])
    done = StageRow(0, -1, 1, "completed", 1, "completed", "", 0, 1_767_225_600_000, 1_767_225_600_123, 0)
    store.record([record._replace(stages=[done])])
    columns = "program, run_status, stage, item, stage_status, ended_at, result"
    tracker = f"SELECT {columns} FROM run_status_tracker ORDER BY block"
    assert asked(url, tracker) == [
        ("trip", "running", "one", None, "completed", "2026-01-01T00:00:00.123Z", '{"variables":{"x":1}}'),
        ("trip", "running", "two", None, "pending", None, None),
    ]
    assert asked(url, "SELECT run_id, seq, stage, name, kind, value FROM variables") == [
        ("r1", 0, "one", "x", "number", 1)
    ]
    entries = asked(url, "SELECT seq, kind, stage, at, epoch FROM journal_entries ORDER BY seq")
    assert entries[0] == (0, "attempt_ended", "one", "2026-01-01T00:00:00.123Z", 1)
