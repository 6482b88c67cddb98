"""A PostgreSQL server for a benchmark, as it comes: nothing tuned, every commit flushed to the disk."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

ROOT = Path(__file__).resolve().parent.parent

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@contextmanager
def server() -> Iterator[str]:
    """The URL of a server that ends with the block."""
    sys.path.insert(0, str(ROOT))
    from tests.databases.postgres import postgres_server

    with postgres_server() as started:
        yield started.url()


@contextmanager
def database(server_url: str) -> Iterator[str]:
    """The URL of a new database on that server; it is gone after the block."""
    import psycopg

    name = f"bench_{uuid4().hex[:20]}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{server_url.rpartition('/')[0]}/{name}"
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def processor_seconds(process_id: int) -> float:
    """What a process has used of the processors, with all its children, those that are gone among them."""
    process = Path(f"/proc/{process_id}")
    try:
        children = (process / "task" / str(process_id) / "children").read_text().split()
        used = sum(processor_seconds(int(child)) for child in children)
        own = (process / "stat").read_text().rpartition(")")[2].split()  # after them: whoever ends is in here
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return used + sum(map(int, own[11:15])) / TICKS_A_SECOND


def process_id_of(server_url: str) -> int:
    """Of the server's first process, where it runs on this machine."""
    import psycopg

    with psycopg.connect(server_url) as connection:
        row = connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
    assert row is not None
    return int(str(row[0]).split()[0])


def size(url: str) -> int:
    """The bytes of a database, with its indexes."""
    import psycopg

    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    return int(row[0])
