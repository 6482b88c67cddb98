"""Reads a file of named queries: `-- name: NAME`, a sentence, the statement."""

from __future__ import annotations

import os
from functools import cache

_SQL = os.path.join(os.path.dirname(__file__), "sql")  # importlib.resources costs 20 ms of every start


def load_queries(database: str, part: str = "queries") -> dict[str, str]:
    """The queries of a database (`sqlite`), by name; or those of another part of it than what all databases have."""
    with open(os.path.join(_SQL, database, f"{part}.sql"), encoding="utf-8") as file:
        text = file.read()
    queries: dict[str, str] = {}
    for part in text.split("-- name: ")[1:]:
        name, _, rest = part.partition("\n")
        lines = [line for line in rest.splitlines() if not line.startswith("--")]
        queries[name.strip()] = "\n".join(lines).strip().rstrip(";")
    return queries


def load_schema(database: str) -> str:
    """What all migrations of a database together make of an empty one, by a fraction of their work."""
    with open(os.path.join(_SQL, database, "schema.sql"), encoding="utf-8") as file:
        return file.read()


@cache
def load_migrations(database: str) -> tuple[tuple[int, str, str], ...]:
    """The migrations of a database in order: number, file name, text."""
    folder = os.path.join(_SQL, database, "migrations")
    migrations: list[tuple[int, str, str]] = []
    for name in sorted(os.listdir(folder)):
        if name.endswith(".sql"):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                migrations.append((int(name.split("_")[0]), name, file.read()))
    return tuple(migrations)
