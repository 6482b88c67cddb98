"""What a store has that is a file in SQLite: its place, its journal mode, its migrations, its errors."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.contracts.conftest import VERSION, reopened
from tests.contracts.test_store import created, entry

from clew.ports import (
    RunHead,
    StageRow,
    StoreBusy,
    StoreError,
)
from clew.stores import sqlite
from clew.stores.queries import load_migrations
from clew.stores.sqlite import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "deep" / "clew.db")


@pytest.fixture
def open_file(path: str) -> Iterator[Callable[..., SqliteStore]]:
    """Opens the same file as often as one likes, each as another process would."""
    with reopened(path) as open_file:
        yield open_file


def test_it_is_durable_and_private(open_file: Callable[..., SqliteStore], path: str) -> None:
    """Write-ahead log with full synchronisation; what was recorded is there when the file is opened again; only
    its owner can read it."""
    store = open_file()
    assert store._connection.pragma("journal_mode") == "wal"
    assert store._connection.pragma("synchronous") == 2
    store.register_program(VERSION, "trip", "{}", [], 5)
    store.record([created("r1", 1)])
    for name in (path, path + "-wal", path + "-shm"):
        assert stat.S_IMODE(os.stat(name).st_mode) == 0o600, name
    store.close()
    again = open_file()
    assert again.head("r1") == RunHead(1, 2, entry(1)[2])
    assert again._connection.pragma("synchronous") == 2, "it belongs to the connection, not to the file"


def test_the_library_is_one_without_the_wal_reset_bug() -> None:
    """Several connections on a write-ahead log are safe from 3.51.3 on."""
    assert tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) >= (3, 51, 3)


def test_a_store_that_is_held_is_busy_and_nothing_is_done(
    open_file: Callable[..., SqliteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for a while, then says so; afterwards the same record is taken."""
    monkeypatch.setattr(sqlite, "BUSY_MILLISECONDS", 10)
    store, other = open_file(), open_file()
    store.register_program(VERSION, "trip", "{}", [], 5)
    with other._transaction():
        with pytest.raises(StoreBusy):
            store.record([created("r1", 1)])
        assert store.head("r1") is None, "reading goes on"
    assert store.record([created("r1", 1)]) == []


def test_readers_change_nothing_and_make_nothing(open_file: Callable[..., SqliteStore], path: str) -> None:
    """A store that is opened to be read must be there, and can't be written."""
    with pytest.raises(StoreError, match="no store here"):
        open_file(read_only=True)
    assert not os.path.exists(path)
    open_file()
    with pytest.raises(StoreError):
        open_file(read_only=True).register_program(VERSION, "trip", "{}", [], 5)


def test_migrations_run_once(open_file: Callable[..., SqliteStore], path: str) -> None:
    """Opening again leaves the schema as it is; each migration is on record with its digest."""
    tables = open_file()._connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()
    again = open_file()._connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()
    assert again == tables
    with sqlite3.connect(path) as connection:
        found = connection.execute("SELECT number, name FROM migrations").fetchall()
    connection.close()
    assert found == [(number, name) for number, name, _ in load_migrations("sqlite")]


def test_a_new_file_is_what_the_migrations_would_have_made_of_it(
    open_file: Callable[..., SqliteStore], tmp_path: Path
) -> None:
    """By one script, which is to be written anew with each migration: `python3 tools/write_schema.py`."""
    older = SqliteStore(str(tmp_path / "older.db"))
    for name, kind in list(
        older._connection.execute("SELECT name, type FROM sqlite_schema WHERE sql IS NOT NULL")
    ):
        if kind in ("table", "view"):
            older._connection.execute(f"DROP {kind} {name}")
    for _, _, text in load_migrations("sqlite"):
        older._connection.execute(text)
    new = open_file()

    def made(store: SqliteStore) -> list[Any]:
        query = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name <> 'migrations' ORDER BY type, name"
        found = [row for row in store._connection.execute(query) if "migrations" not in row[1]]
        tables = [row[1] for row in found if row[0] in ("table", "view")]
        return [
            found,
            [(name, list(store._connection.execute(f"PRAGMA table_xinfo({name})"))) for name in tables],
        ]

    assert made(new) == made(older)
    assert new.tree.row().origin != older.tree.row().origin
    assert new.tree.row().size == older.tree.row().size == 0


def test_a_newer_or_a_changed_schema_is_refused(open_file: Callable[..., SqliteStore], path: str) -> None:
    """A store of a version to come is left alone, by writers and by readers; so is one whose migrations differ."""
    open_file().close()
    connection = apsw.Connection(path)
    connection.execute("INSERT INTO migrations VALUES (9999, '9999_future.sql', 'x')")
    for read_only in (False, True):
        with pytest.raises(StoreError, match="newer clew"):
            open_file(read_only=read_only)
    connection.execute("DELETE FROM migrations WHERE number = 9999")
    connection.execute("UPDATE migrations SET digest = 'x'")
    with pytest.raises(StoreError, match="not the one that made"):
        open_file()
    connection.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    open_file: Callable[..., SqliteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a transaction of its own, and the next opening goes on after the last that was done."""
    open_file().close()
    whole = load_migrations("sqlite")
    broken = [*whole, (len(whole) + 1, "broken.sql", "CREATE TABLE more (x) STRICT; CREATE TABLE runs (x);")]
    monkeypatch.setattr(sqlite, "load_migrations", lambda database: broken)
    with pytest.raises(StoreError):
        open_file()
    monkeypatch.undo()
    names = {row[0] for row in open_file()._connection.execute("SELECT name FROM sqlite_schema")}
    assert "runs" in names and "more" not in names


@pytest.mark.parametrize(
    "content", [b"this is no database, whatever its name says" * 30, b"SQLite format 3\0" * 99]
)
def test_a_file_that_is_no_store_is_refused(
    open_file: Callable[..., SqliteStore], path: str, content: bytes
) -> None:
    """The message says so, and the file stays as it was."""
    os.makedirs(os.path.dirname(path))
    Path(path).write_bytes(content)
    with pytest.raises(StoreError, match="clew store"):
        open_file()
    assert Path(path).read_bytes() == content


def test_a_folder_is_no_store(open_file: Callable[..., SqliteStore], path: str) -> None:
    """Nor is a path below a file."""
    os.makedirs(path)
    with pytest.raises(StoreError):
        open_file()
    with pytest.raises(StoreError):
        SqliteStore(__file__ + "/clew.db")


def test_anybody_reads_the_tracker_with_sql(open_file: Callable[..., SqliteStore], path: str) -> None:
    """The documented views answer any client, with moments people can read."""
    store = open_file()
    store.register_program(VERSION, "trip", "{}", [], 5)
    body = {"at": 1_767_225_600_123, "body": {"kind": "attempt_ended", "stage": "one"}, "epoch": 1}
    record = created("r1", 1)._replace(entries=[entry(0, json.dumps(body)), entry(1, json.dumps(body))])
    done = StageRow(0, -1, 1, "completed", 1, "completed", "", 0, 1_767_225_600_000, 1_767_225_600_123, 0)
    store.record([record._replace(stages=[done])])
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        tracker = connection.execute(
            "SELECT program, run_status, stage, stage_status, ended_at, result FROM run_status_tracker ORDER BY block"
        ).fetchall()
        variables = connection.execute("SELECT run_id, seq, stage, name, value FROM variables").fetchall()
        entries = connection.execute(
            "SELECT seq, kind, stage, at FROM journal_entries ORDER BY seq"
        ).fetchall()
    connection.close()
    assert tracker == [
        ("trip", "running", "one", "completed", "2026-01-01T00:00:00.123Z", '{"variables":{"x":1}}'),
        ("trip", "running", "two", "pending", None, None),
    ]
    assert variables == [("r1", 0, "one", "x", 1)]
    assert entries[0] == (0, "attempt_ended", "one", "2026-01-01T00:00:00.123Z")
