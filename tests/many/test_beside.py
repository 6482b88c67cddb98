"""On one PostgreSQL everybody drives what he has asked for, beside others; but one alone gives a program's places."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.databases.postgres import PostgresServer, postgres_server
from tests.databases.proxy import CuttingProxy
from tests.many.fleet import Fleet, fleet, until
from tests.surfaces.calling import Person, line_from, line_into, until_said

import clew

GATED = """name: {name}
{keys}stages:
  wait:
    execute: {{command: shell, params: [sh, -c, "echo begun > begun-{name}; read line < gate-{name}"]}}
    rollback: none
"""


CUTS = 10
"""How often somebody's connection is cut, whatever he asks."""


class Beside(Person):
    """Somebody whose verbs are about one database."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder)
        self.store = ("--store", url)
        (folder / "clew.toml").write_text('lease = "1 second"\nprograms = []\n')

    def gated(self, name: str, keys: str = "") -> str:
        """A program whose stage waits at a gate."""
        self.fifo(f"begun-{name}")
        self.fifo(f"gate-{name}")
        text = GATED.format(name=name, keys=keys).replace("begun-", f"{self.folder}/begun-")
        return self.write(f"{name}.yaml", text.replace("gate-", f"{self.folder}/gate-"))


@pytest.fixture
def beside(tmp_path: Path, postgres: Any) -> Beside:
    return Beside(tmp_path, postgres.url(postgres.new_database()))


@pytest.fixture
def many(tmp_path: Path, postgres: Any) -> Iterator[Fleet]:
    with fleet(tmp_path, postgres.url(postgres.new_database())) as orchestrators:
        yield orchestrators


def test_two_runs_of_different_processes_go_on_beside_each_other(beside: Beside) -> None:
    """Neither waits for the other, and neither takes the other's for left behind."""
    first = beside.begin("run", beside.gated("one"), *beside.store)
    line_from(beside.folder / "begun-one")
    second = beside.begin("run", beside.gated("two"), *beside.store)
    line_from(beside.folder / "begun-two")
    for process, name in ((second, "two"), (first, "one")):
        line_into(beside.folder / f"gate-{name}")
        done = beside.end(process)
        assert done.code == 0 and "unfinished" not in done.err, done
    beside.clew("verify", "--all", *beside.store)


def test_what_a_person_says_is_obeyed_by_who_drives_the_run(beside: Beside) -> None:
    """And by nobody else: the verb waits for the answer."""
    process = beside.begin("run", beside.gated("one"), *beside.store)
    line_from(beside.folder / "begun-one")
    [row] = beside.clew("runs", "--format", "json", *beside.store).document
    beside.clew("cancel", row["run_id"], "--yes", *beside.store, code=None)
    assert beside.end(process).code == 3
    [row] = beside.clew("runs", "--format", "json", *beside.store).document
    assert row["status"] == "rolled_back"


def test_a_run_that_needs_a_place_waits_for_who_gives_them(beside: Beside) -> None:
    """It is queued, goes on as soon as it may, and its process stays with it to its end."""
    program = beside.gated("one", "max_active_runs: 1\n")
    first = beside.begin("run", program, *beside.store)
    line_from(beside.folder / "begun-one")
    second = beside.begin("run", program, *beside.store)
    assert second.stderr is not None
    while "another orchestrator gives the places of program one" not in (line := second.stderr.readline()):
        assert line
    line_into(beside.folder / "gate-one")
    line_from(beside.folder / "begun-one")
    line_into(beside.folder / "gate-one")
    assert beside.end(first).code == beside.end(second).code == 0
    rows = beside.clew("runs", "--format", "json", *beside.store).document
    assert [row["status"] for row in rows] == ["completed", "completed"]


began, go_on = asyncio.Event(), asyncio.Event()


async def wait() -> None:
    began.set()
    await go_on.wait()


async def _after_it_began(result: Awaitable[clew.RunResult]) -> clew.RunResult:
    await began.wait()
    return await result


def test_a_run_of_python_that_needs_a_place_waits_for_who_gives_them_too(beside: Beside) -> None:
    """`session.run` gives its result, whoever has driven it."""
    program = clew.Program("one", stages=[clew.stage(rollback="none")(wait)], max_active_runs=1)

    async def run() -> list[clew.RunResult]:
        global began, go_on
        began, go_on = asyncio.Event(), asyncio.Event()
        async with (
            clew.open_session(program, store=beside.store[1]) as one,
            clew.open_session(program, store=beside.store[1]) as other,
        ):
            both = asyncio.gather(one.run(program), _after_it_began(other.run(program)))
            await began.wait()
            with closing(Fleet.open(beside.store[1])) as store:
                queued = "SELECT 1 FROM runs WHERE status = 'queued'"
                await asyncio.to_thread(until, lambda: bool(store.execute(queued).fetchall()))
            go_on.set()
            return list(await both)

    assert [result.status for result in asyncio.run(run())] == ["completed", "completed"]


def test_resume_follows_a_run_that_somebody_else_drives_and_takes_it_up_when_he_is_gone(
    beside: Beside,
) -> None:
    """After a kill, as soon as the lease is over."""
    process = beside.begin("run", beside.gated("one"), *beside.store)
    line_from(beside.folder / "begun-one")
    [row] = beside.clew("runs", "--format", "json", *beside.store).document
    follower = beside.begin("resume", row["run_id"], *beside.store)
    assert follower.stderr is not None
    while "driven by another orchestrator" not in (line := follower.stderr.readline()):
        assert line
    process.kill()
    process.communicate()
    line_from(beside.folder / "begun-one")  # the second attempt
    line_into(beside.folder / "gate-one")
    assert beside.end(follower).code == 0


def test_who_follows_a_run_outlives_a_server_that_is_away(beside: Beside, postgres: PostgresServer) -> None:
    """What is asked meanwhile is asked again: the run is on record, and goes on."""
    database = urlsplit(beside.store[1]).path.strip("/")
    driver = beside.begin("run", beside.gated("one"), *beside.store)
    line_from(beside.folder / "begun-one")
    [row] = beside.clew("runs", "--format", "json", *beside.store).document
    with CuttingProxy(postgres.port) as proxy:
        follower = beside.begin("resume", row["run_id"], "--store", postgres.url(database, port=proxy.port))
        until_said(follower, "driven by another orchestrator")

        def is_cut_off() -> bool:
            proxy.cut_after(0)
            return proxy.cuts > CUTS or follower.poll() is not None

        until(is_cut_off)
        proxy.forward()
        line_into(beside.folder / "gate-one")
        followed = beside.end(follower)
    assert followed.code == 0, followed
    assert beside.end(driver).code == 0


def test_doctor_names_all_who_drive(many: Fleet) -> None:
    """Each by its process, as long as it is there."""
    members = [many.start(), many.start()]
    found = many.person.clew("doctor", "--format", "json", "--store", many.url).document
    assert {each["pid"] for each in found["driven_by"]} == {member.process.pid for member in members}
    assert found["is_driven"] and found["verdict"] == "sound" and found["store"]["exists"]
    for member in members:
        member.signal(signal.SIGTERM)
        assert member.process.wait(60) == 0
    assert "nobody now" in many.person.clew("doctor", "--thorough", "--store", many.url).out


@pytest.mark.parametrize(
    "words", [("run", "one.yaml"), ("up", "one.yaml"), ("runs",), ("resume",), ("doctor",)]
)
def test_a_server_that_is_not_there_is_told(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Where it was looked for, and without the password; nothing hangs, and nothing is made."""
    person = Person(tmp_path)
    person.write(
        "one.yaml",
        'name: one\nstages:\n  - {name: a, execute: {command: shell, params: ["true"]}, rollback: none}\n',
    )
    done = person.clew(*words, "--store", "postgresql://clew:hunter2@127.0.0.1:1/db", code=None)
    assert done.code in (1, 2), done
    assert "postgresql://clew@127.0.0.1:1/db: can't be reached" in done.out + done.err
    assert "hunter2" not in done.out + done.err and "`clew up` make it" not in done.out
    assert not (tmp_path / ".clew").exists()


def test_a_server_that_goes_away_and_comes_back_loses_no_orchestrator(tmp_path: Path) -> None:
    """`clew up` waits for it, and goes on by itself; also while programs are read."""
    with postgres_server() as server, fleet(tmp_path, server.url(server.new_database())) as many:
        members = [many.start(), many.start()]
        for _ in range(3):
            many.ask(6)
            until(lambda: any(many.driven_by(member) for member in members))
            many.database.close()
            server.stop(mode=signal.SIGQUIT)
            (tmp_path / "walk.yaml").touch()
            server.start()
            many.database = Fleet.open(many.url)
            until(lambda: not many.unsettled())
        assert all(member.process.poll() is None for member in members)
        many.judge()
