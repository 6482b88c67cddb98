"""`sql`: statements against a database, all of a command in one transaction."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from clew.commands.interface import CommandContext, CommandError
from clew.core.program.preparing import Bound
from clew.ports import Json

if TYPE_CHECKING:
    import apsw

ROWS_MAX = 100_000
"""Rows given back: more belong into a table or a file than into a variable."""
BUSY_MILLISECONDS_MAX = 30_000
"""How long somebody else's transaction is waited for: longer than a sound one takes."""

_FOLDERS = "sqlite:///"


def sql(context: CommandContext, params: Mapping[str, Json]) -> Json:
    """Gives back `{rows, count}`: the rows of the last statement that has any, as mappings, and how many were
    given back or, if none, changed.

    Fails with `sql` as the database says, with `busy` when another transaction did not end, with `params`
    and `output`. Nothing is changed when it fails.
    """
    statements = _statements(params)
    path = sqlite_path(params["database"], context.folder)
    # Its library takes 20 ms to load.
    import apsw

    try:
        return _run(apsw, path, statements, params, context.output_size_max)
    except apsw.BusyError as error:
        raise CommandError("busy", f"another transaction holds {path}: {error}") from error
    except (apsw.Error, UnicodeError, OverflowError, TypeError) as error:
        raise CommandError("sql", f"{path}: {error}") from error


def sqlite_path(database: Json, folder: str) -> str:
    """The path in a `sqlite:///path` URL: with a fourth slash absolute, otherwise below `folder`.

    Raises CommandError for other databases, which this version has not.
    """
    if isinstance(database, str) and database.startswith(_FOLDERS) and len(database) > len(_FOLDERS):
        return os.path.join(folder, database.removeprefix(_FOLDERS))
    if isinstance(database, str) and database.partition(":")[0] in ("postgresql", "postgres"):
        what = (
            "postgresql databases come with the extra `clew[postgres]`, which this version does not have yet"
        )
        raise CommandError("unavailable", what)
    raise CommandError("params", f"'{_shown(database)}' is no database; write sqlite:///path/to/file.db")


def _shown(database: Json) -> str:
    # What is behind the scheme may hold a password.
    return (
        f"{database.partition(':')[0]}:…" if isinstance(database, str) and ":" in database else str(database)
    )


def _statements(params: Mapping[str, Json]) -> list[Bound]:
    given = params["statements"] if "statements" in params else [params.get("statement")]
    statements = given if isinstance(given, list) else [given]
    if ("statement" in params) == ("statements" in params) or not statements:
        raise CommandError("params", "sql takes one statement, or a list of statements")
    if "many" in params and len(statements) != 1:
        raise CommandError("params", "`many` goes with one statement")
    return statements


def _run(library: Any, path: str, statements: list[Bound], params: Mapping[str, Json], size_max: int) -> Json:
    is_read_only = bool(params.get("read_only"))
    access = library.SQLITE_OPEN_READONLY if is_read_only else _writing(library)
    connection: apsw.Connection = library.Connection(path, flags=access)
    try:
        connection.set_busy_timeout(BUSY_MILLISECONDS_MAX)
        connection.execute("BEGIN" if is_read_only else "BEGIN IMMEDIATE")
        before = connection.total_changes()
        rows = _Rows(size_max)
        for statement in statements:
            for values in _values(statement, params):
                rows.collect(connection, statement.statement, values)
        count = connection.total_changes() - before if rows.names is None else len(rows.rows)
        connection.execute("COMMIT")
        return {"rows": rows.rows, "count": count}
    finally:
        # Closing abandons what was not committed.
        connection.close(True)


def _writing(library: Any) -> int:
    return int(library.SQLITE_OPEN_READWRITE | library.SQLITE_OPEN_CREATE)


def _values(statement: Bound, params: Mapping[str, Json]) -> list[Any]:
    """What each execution of the statement binds: the values of its references, and those of a row."""
    if "many" not in params:
        return [dict(statement.values)]
    rows = params["many"]
    if not isinstance(rows, list) or not all(isinstance(row, (list, dict)) for row in rows):
        raise CommandError("params", "`many` is a list of rows, each a list or a mapping")
    if statement.values and not all(isinstance(row, dict) for row in rows):
        raise CommandError(
            "params", "with {name}s in the statement the rows of `many` are mappings, for :name"
        )
    return [_row(row) if isinstance(row, list) else {**statement.values, **_row(row)} for row in rows]


def _row(row: Json) -> Any:
    import json

    def bindable(value: Json) -> Json:
        return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value

    if isinstance(row, dict):
        return {name: bindable(value) for name, value in row.items()}
    return [bindable(value) for value in row]


class _Rows:
    """The rows of the last statement that can have any; `names` are its columns, None if there was none."""

    def __init__(self, size_max: int) -> None:
        self.rows: list[Json] = []
        self.names: tuple[str, ...] | None = None
        self._statement = ""
        self._size = 0
        self._size_max = size_max

    def collect(self, connection: apsw.Connection, text: str, values: Any) -> None:
        cursor = connection.cursor()
        cursor.exec_trace = self._begin
        for row in cursor.execute(text, values):
            self._add(row)
        if not connection.in_transaction:
            raise CommandError("params", "a statement ended the transaction; leave that to clew")

    def _begin(self, cursor: apsw.Cursor, statement: str, values: Any) -> bool:
        names = tuple(column[0] for column in cursor.get_description())
        if names and (statement, names) != (self._statement, self.names):
            # A statement run for each of many rows goes on adding; another one begins anew.
            self._statement, self.names, self.rows, self._size = statement, names, [], 0
            _refuse_twins(names)
        return True

    def _add(self, row: Any) -> None:
        names = self.names or ()
        self.rows.append({name: _as_json(value) for name, value in zip(names, row, strict=True)})
        self._size += sum(len(str(value)) for value in row) + sum(map(len, names))
        if len(self.rows) > ROWS_MAX or self._size > self._size_max:
            most = f"{ROWS_MAX} rows or {self._size_max} bytes"
            raise CommandError("output", f"more than {most} came back; write them to a table instead")


def _refuse_twins(names: tuple[str, ...]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CommandError("output", f"two columns are called '{twice[0]}'; rename one with AS")


def _as_json(value: Any) -> Json:
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else value
