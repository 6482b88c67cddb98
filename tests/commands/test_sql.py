"""`sql`: statements in one transaction, with bound values."""

from __future__ import annotations

import apsw
import pytest
from tests.commands.surroundings import Surroundings

from clew.commands.interface import CommandError
from clew.commands.performing import perform


@pytest.fixture
def around(tmp_path):
    around = Surroundings(tmp_path)
    do(around, statement="CREATE TABLE readings (day TEXT PRIMARY KEY, x)")
    return around


def do(around, scope=None, database="sqlite:///data.db", **params):
    with around.context() as context:
        return perform("sql", {"database": database, **params}, context, scope or {}).value


def failure(around, *args, **params):
    with pytest.raises(CommandError) as raised:
        do(around, *args, **params)
    return raised.value.kind, raised.value.message


def test_values_are_bound_and_never_inserted(around):
    """Whatever a variable holds, it is a value; lists and mappings are JSON texts."""
    evil = "'); DROP TABLE readings; --"
    do(around, {"evil": evil, "list": [1]}, statement="INSERT INTO readings VALUES ({evil}, {list})")
    result = do(around, {"evil": evil}, statement="SELECT day, x FROM readings WHERE day = {evil}")
    assert result == {"rows": [{"day": evil, "x": "[1]"}], "count": 1}


def test_many_rows_fill_one_statement(around):
    """Rows fill `?` in order or `:name` by name, beside the variables."""
    assert (
        do(around, statement="INSERT INTO readings VALUES (?, ?)", many=[["a", 1], ["b", {"c": 2}]])["count"]
        == 2
    )
    scope = {"rows": [{"day": "c"}, {"day": "d"}], "x": 9}
    result = do(
        around, scope, statement="INSERT INTO readings VALUES (:day, {x}) RETURNING day", many="{rows}"
    )
    assert result == {"rows": [{"day": "c"}, {"day": "d"}], "count": 2}
    rows = do(around, statement="SELECT * FROM readings ORDER BY day")["rows"]
    assert [row["x"] for row in rows] == [1, '{"c": 2}', 9, 9]


def test_the_result_is_that_of_the_last_statement_with_rows(around):
    """Statements run in order; the last one that can have rows gives them."""
    statements = [
        "INSERT INTO readings VALUES ('a', {x})",
        "SELECT 1 AS one",
        "SELECT x FROM readings; UPDATE readings SET x = 0",
    ]
    assert do(around, {"x": 5}, statements=statements) == {"rows": [{"x": 5}], "count": 1}
    assert do(around, statement="SELECT x FROM readings WHERE day = 'z'") == {"rows": [], "count": 0}
    assert do(around, statement="UPDATE readings SET x = 7") == {"rows": [], "count": 1}


def test_nothing_is_changed_when_a_statement_fails(around):
    """All statements of a command are one transaction."""
    kind, message = failure(
        around, statements=["INSERT INTO readings VALUES ('a', 1)", "INSERT INTO nowhere VALUES (1)"]
    )
    assert (kind, "no such table: nowhere" in message) == ("sql", True)
    failure(around, statement="INSERT INTO readings VALUES (?, 1)", many=[["a"], ["a"]])
    assert do(around, statement="SELECT * FROM readings")["rows"] == []


def test_a_read_only_command_can_not_write(around):
    """`read_only` opens the database without the right to write, and makes none."""
    kind, message = failure(around, statement="DELETE FROM readings", read_only=True)
    assert (kind, "readonly" in message) == ("sql", True)
    kind, message = failure(around, database="sqlite:///new.db", statement="SELECT 1", read_only=True)
    assert (kind, "unable to open" in message) == ("sql", True)
    assert not (around.folder / "new.db").exists()
    assert do(around, statement="SELECT 1 AS one", read_only=True)["rows"] == [{"one": 1}]


def test_an_absolute_path_has_four_slashes(around, tmp_path):
    """Three slashes lead into the program's folder, four to the root."""
    assert (around.folder / "data.db").exists()
    do(around, database=f"sqlite:///{tmp_path}/there.db", statement="CREATE TABLE a (b)")
    assert (tmp_path / "there.db").exists()


def test_bytes_are_told_in_base64(around):
    """JSON has no bytes."""
    assert do(around, statement="SELECT x'00ff' AS b")["rows"] == [{"b": "AP8="}]


def test_a_busy_database_is_told(around, monkeypatch):
    """Another transaction is waited for, and then told as `busy`."""
    monkeypatch.setattr("clew.commands.sql.BUSY_MILLISECONDS_MAX", 1)
    other = apsw.Connection(str(around.folder / "data.db"))
    other.execute("BEGIN IMMEDIATE")
    kind, message = failure(around, statement="DELETE FROM readings")
    assert (kind, "another transaction holds" in message) == ("busy", True)
    other.close()


@pytest.mark.parametrize(
    ("params", "kind", "text"),
    [
        ({}, "params", "one statement, or a list"),
        ({"statement": "SELECT 1", "statements": ["SELECT 1"]}, "params", "one statement, or a list"),
        ({"statements": []}, "params", "one statement, or a list"),
        ({"statements": ["SELECT 1", "SELECT 2"], "many": []}, "params", "`many` goes with one statement"),
        ({"statement": "SELECT 1", "many": "x"}, "params", "list of rows"),
        ({"statement": "SELECT 1", "many": [1]}, "params", "list of rows"),
        ({"statement": "SELECT {run_id}", "many": [[1]]}, "params", "the rows of `many` are mappings"),
        ({"statement": 1}, "params", "a statement is a text"),
        ({"statement": "COMMIT"}, "params", "a statement ended the transaction"),
        ({"statement": "SELECT 1 AS a, 2 AS a"}, "output", "two columns are called 'a'"),
        ({"statement": "SELECT"}, "sql", "incomplete input"),
        ({"statement": "SELECT ?"}, "sql", "has no name"),
        ({"statement": "SELECT {big}"}, "sql", "data.db"),
        (
            {"statement": "SELECT 1", "database": "postgresql://u:secret@h/db"},
            "unavailable",
            "clew[postgres]",
        ),
        (
            {"statement": "SELECT 1", "database": "mysql://u:secret@h/db"},
            "params",
            "'mysql:…' is no database",
        ),
        ({"statement": "SELECT 1", "database": "data.db"}, "params", "'data.db' is no database"),
        ({"statement": "SELECT 1", "database": 7}, "params", "'7' is no database"),
    ],
)
def test_mistakes_are_told(around, params, kind, text):
    """Each mistake has its kind, says what would be right, and shows no password."""
    its_kind, message = failure(around, {"run_id": "r", "big": 2**70}, **params)
    assert (its_kind, text in message) == (kind, True), message
    assert "secret" not in message


def test_what_comes_back_is_bounded(around, monkeypatch):
    """Too many rows, or too large ones, fail rather than fill the memory."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    monkeypatch.setattr("clew.commands.sql.ROWS_MAX", 100)
    assert "more than 100 rows" in failure(around, statement=numbers)[1]
    with around.context(output_size_max=100) as context, pytest.raises(CommandError, match="100 bytes"):
        perform(
            "sql", {"database": "sqlite:///data.db", "statement": "SELECT zeroblob(200) AS b"}, context, {}
        )
