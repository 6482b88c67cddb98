"""Commands whose outside has doubles reach the doubles, and nothing else."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from tests.commands.surroundings import Surroundings

from clew.commands.doubles import DoubledCommands, address_of_double, doubled_address, doubled_database
from clew.commands.interface import CommandError
from clew.ports import Answer, Doubles


@pytest.fixture
def around(tmp_path):
    return Surroundings(tmp_path)


@pytest.fixture
def doubles(tmp_path):
    (tmp_path / "scratch").mkdir()
    return Doubles(folder=str(tmp_path / "scratch"), marks=str(tmp_path / "scratch" / "marks"))


def perform(name, params, context, scope, doubles):
    """Perform the command where the folder `/data` was copied."""

    def copied(url):
        path = url.removeprefix("file:")
        return f"/copy{path}" if path.startswith("/data") else None

    return DoubledCommands(context, scope, doubles, copied).perform(name, params)


def with_more(doubles, **more):
    given = {name: getattr(doubles, name) for name in doubles.__struct_fields__}
    return Doubles(**{**given, **more})


def marks(doubles, tmp_path):
    return sorted(path.read_text() for path in (tmp_path / "scratch" / "marks").iterdir())


def rows(path):
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT * FROM things").fetchall()


def test_a_statement_goes_to_the_copy(around, doubles, tmp_path):
    """A statement for a database that was copied changes the copy, and leaves the real one alone."""
    real, copy = tmp_path / "real.db", tmp_path / "scratch" / "real.db"
    for path in (real, copy):
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE things (name)")
    known = with_more(doubles, databases={str(real.resolve()): str(copy)})
    params = {"database": "sqlite:///real.db", "statement": "INSERT INTO things VALUES ({what})"}
    with around.context() as context:
        perform("sql", params, context, {"what": "thread"}, known)
    assert (rows(real), rows(copy)) == ([], [("thread",)])


def test_a_database_without_a_copy_is_refused(around, doubles, tmp_path):
    """A database that is no copy is not even made, by whichever way its path leads there."""
    for database in ("sqlite:///other.db", "sqlite:///scratch/../other.db"):
        with around.context() as context, pytest.raises(CommandError) as error:
            perform("sql", {"database": database, "statement": "SELECT 1"}, context, {}, doubles)
        assert error.value.kind == "no_double"
    assert not (tmp_path / "other.db").exists()
    inside = f"sqlite:///{tmp_path}/scratch/new.db"
    assert doubled_database(inside, "", doubles) == inside


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://shop.example", "http://127.0.0.1:1"),
        ("https://shop.example/orders?day=1", "http://127.0.0.1:1/orders?day=1"),
        ("HTTPS://Shop.Example/orders", "http://127.0.0.1:1/orders"),
        ("https://user:word@shop.example/orders", "http://127.0.0.1:1/orders"),
        ("https://shop.example/mail/send", "http://127.0.0.1:2/send"),
        ("https://shop.example.elsewhere/orders", None),
        ("https://shop.example@elsewhere/", None),
        ("https://elsewhere/?to=https://shop.example", None),
        ("http://shop.example/orders", None),
        ("http://127.0.0.1:1/orders", "http://127.0.0.1:1/orders"),
        ("http://127.0.0.1:11/orders", None),
        ("http://[::1", None),
    ],
)
def test_an_address_leads_to_its_double(url, found):
    """An address below one that a server stands in for leads to that server, and one that only looks alike does not."""
    servers = {
        "https://shop.example": "http://127.0.0.1:1",
        "https://shop.example/mail": "http://127.0.0.1:2/",
        "http://127.0.0.1:1": "http://127.0.0.1:1",
    }
    assert address_of_double(url, servers) == found


def test_an_address_without_a_double_is_refused(around, doubles):
    """A request to an address that no server stands in for is not made."""
    with pytest.raises(CommandError) as error:
        doubled_address("http://127.0.0.1:9/books", doubles)
    assert error.value.kind == "no_double"
    with around.context() as context, pytest.raises(CommandError, match="stands in"):
        perform("http", ["GET", "http://127.0.0.1:9/books"], context, {}, doubles)


def test_what_may_reach_anything_is_refused(around, doubles, tmp_path):
    """A program is run, and a function called, only where it is said that they reach nothing."""
    params = {"command": ["touch", str(tmp_path / "touched")]}
    with around.context() as context:
        with pytest.raises(CommandError, match="has no double") as error:
            perform("shell", params, context, {}, doubles)
        assert error.value.kind == "no_double"
        assert not (tmp_path / "touched").exists()
        perform("shell", params, context, {}, with_more(doubles, as_is=("shell",)))
    assert (tmp_path / "touched").exists()


def test_what_is_run_as_it_is_is_led_to_the_doubles(around, doubles, tmp_path):
    """Addresses in the params of a command that is run as it is lead to what stands in for them; others stay."""
    known = with_more(
        doubles,
        as_is=("shell",),
        servers={"https://shop.example": "http://127.0.0.1:1"},
        databases={str((tmp_path / "real.db").resolve()): "/copy/real.db"},
    )
    given = [
        "https://shop.example/orders",
        "sqlite:///real.db",
        "file:/data/in",
        "/data/in",
        "/bin",
        "ftp://else",
        "x",
    ]
    with around.context(captures_stdout=True) as context:
        result = perform("shell", ["printf", "%s\n", *given], context, {}, known)
    assert result.stdout.splitlines() == [
        "http://127.0.0.1:1/orders", "sqlite:////copy/real.db", "file:/copy/data/in", "/copy/data/in", "/bin",
        "ftp://else", "x",
    ]  # fmt: skip


def test_nothing_is_waited_for(around, doubles):
    """Waiting takes no time where nothing real goes on."""
    with around.context() as context:
        assert perform("wait", ["1 day"], context, {}, doubles).value is None


def test_an_answer_leaves_a_mark_and_takes_it_away(around, doubles, tmp_path):
    """An answer gives what was declared, and its marks, which may name what the command was given, are there once."""
    sends = Answer("shell", gives={"id": 7}, leaves="letter to {params.command[1]} of {run_name}")
    takes = Answer("shell", takes="letter to {who} of {run_name}")
    scope = {"who": "Theseus", "run_name": "r-1"}
    with around.context() as context:
        for _ in range(2):
            given = {"command": ["send", "{who}"]}
            result = perform("shell", given, context, scope, with_more(doubles, answers=(sends,)))
            assert result.value == {"id": 7}
        assert marks(doubles, tmp_path) == ["letter to Theseus of r-1"]
        for _ in range(2):
            given = {"command": ["recall"]}
            perform("shell", given, context, scope, with_more(doubles, answers=(takes,)))
    assert marks(doubles, tmp_path) == []


def test_an_answer_stands_for_a_command_that_is_not_there(around, doubles):
    """A plug-in that is not installed needs none where an answer stands for it; without one it is unknown."""
    with around.context() as context:
        given = with_more(doubles, answers=(Answer("notify", gives="told"),))
        assert perform("notify", {"who": "{who}"}, context, {"who": "Minos"}, given).value == "told"
        with pytest.raises(CommandError, match="notify"):
            perform("notify", {}, context, {}, doubles)
