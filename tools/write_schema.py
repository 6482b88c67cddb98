#!/usr/bin/env python3
"""Writes what the migrations of SQLite together make of an empty file: `python3 tools/write_schema.py`.

A new store is made by it, in a quarter of the time that its migrations take. Whenever there is another migration it is
to be written anew; a test compares the two.
"""

import sys
from pathlib import Path

import apsw

SQL = Path(__file__).parents[1] / "src" / "clew" / "stores" / "sql" / "sqlite"
ROWS = ("tree",)
"""The tables into which migrations put rows: the last statement does of each that puts any."""


def main() -> None:
    texts = [path.read_text(encoding="utf-8") for path in sorted((SQL / "migrations").glob("*.sql"))]
    connection = apsw.Connection(":memory:")
    for text in texts:
        connection.execute(text)
    made = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")
    statements = [f"{sql};" for (sql,) in made]
    for table in ROWS:
        (row,) = [
            line for text in texts for line in text.splitlines() if line.startswith(f"INSERT INTO {table} ")
        ]
        statements.append(row)
    head = "-- Made of the migrations by tools/write_schema.py, for a new file.\n\n"
    (SQL / "schema.sql").write_text(head + "\n\n".join(statements) + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(statements)} statements\n")


if __name__ == "__main__":
    main()
