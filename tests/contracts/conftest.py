"""The stores on which what every store promises is tested: a file, the memory, and a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.databases.postgres import PostgresServer

from clew.stores.sqlite import SqliteStore
from clew.stores.store import DatabaseStore

VERSION = "v" * 64


@pytest.fixture(params=["file", "memory", "postgres"])
def store(request: Any, tmp_path: Path) -> Iterator[DatabaseStore]:
    """A store with one program."""
    opened = open_store(_place(request, tmp_path))
    opened.register_program(VERSION, "trip", '{"name":"trip"}', [(1, "{}", "1" * 64), (2, "[]", "2" * 64)], 5)
    yield opened
    opened.close()


@pytest.fixture(params=["file", "postgres"])
def place(request: Any, tmp_path: Path) -> str:
    """Where a store can be opened by several: a path, or a URL."""
    return _place(request, tmp_path)


@pytest.fixture
def open_again(place: str) -> Iterator[Callable[..., DatabaseStore]]:
    """Opens the same store as often as one likes, each as another process would."""
    with reopened(place) as open_again:
        yield open_again


@contextmanager
def reopened(place: str) -> Iterator[Callable[..., Any]]:
    """Opens the store in that place, and closes in the end what was opened."""
    opened: list[DatabaseStore] = []

    def open_again(**given: Any) -> DatabaseStore:
        opened.append(open_store(place, **given))
        return opened[-1]

    yield open_again
    for one in opened:
        one.close()


def open_store(place: str, **given: Any) -> DatabaseStore:
    if "://" in place:
        from clew.stores.postgres import PostgresStore

        return PostgresStore(place, **given)
    return SqliteStore(place, **given)


def _place(request: Any, tmp_path: Path) -> str:
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        return server.url(server.new_database())
    return ":memory:" if request.param == "memory" else str(tmp_path / "clew.db")
