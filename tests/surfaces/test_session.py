"""What the Python interface can tell a run that rests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from tests.databases.postgres import PostgresServer

import clew
from clew.settings import Settings, read_settings

is_monday = False
did: list[str] = []


@clew.stage(outputs=["letter"])
def write() -> str:
    did.append("write")
    return "a letter"


@write.rollback
def burn() -> None:
    if not is_monday:
        raise OSError("the stove is cold")
    did.append("burn")


@clew.stage(rollback="none")
def send(letter: str) -> None:
    if not is_monday:
        raise OSError("the post office is closed")
    did.append("send")


PROGRAM = clew.Program("post", stages=[write, send])


def told(folder: Path, tell: Callable[[clew.Session, str], Awaitable[None]]) -> None:
    """Run the program until its rollback has failed, and tell it something."""
    did.clear()
    settings = read_settings(folder=str(folder), environment={}, store=f"sqlite:///{folder}/clew.db")

    async def run() -> None:
        async with clew.open_session(PROGRAM, settings=settings) as session:
            held = await session.run(PROGRAM)
            assert held.status == "rollback_failed"
            await tell(session, held.run_id)

    asyncio.run(run())


def test_a_run_that_waits_for_a_person_is_told_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What failed is retried at somebody's word; a run that was rolled back can go forward again, in a new pass."""

    async def tell(session: clew.Session, run_id: str) -> None:
        monkeypatch.setitem(globals(), "is_monday", True)
        undone = await session.instruct(run_id, "retry", stage="write", reason="it is Monday")
        assert (undone.status, list(undone.residue), did) == ("rolled_back", [], ["write", "burn"])
        again = await session.instruct(run_id, "rewind", stage="write")
        assert again.is_completed
        assert [stage["pass"] for stage in again.stages] == [2, 2]
        assert did == ["write", "burn", "write", "send"]

    told(tmp_path, tell)


def test_what_a_run_cannot_obey_is_refused(tmp_path: Path) -> None:
    """The reason is told, and nothing is done; what it can obey is done."""

    async def tell(session: clew.Session, run_id: str) -> None:
        for verb, stage, why in (
            ("skip", "send", "the rollback of 'send' has not failed"),
            ("retry", "sent", "has no stage 'sent'; it has write, send"),
            ("pause", "", "it is rollback_failed"),
        ):
            with pytest.raises(clew.RequestError, match=why):
                await session.instruct(run_id, verb, stage=stage)  # type: ignore[arg-type]
        with pytest.raises(clew.RequestError, match="there is no run 'nothing'"):
            await session.instruct("nothing", "cancel")
        done = await session.instruct(run_id, "skip", stage="write")
        assert done.status == "failed"
        assert done.residue == [{"stage": "write", "certain": True, "pass": 1}]
        assert did == ["write"]

    told(tmp_path, tell)


def test_two_may_ask_for_runs_of_the_same_program_at_once(postgres: PostgresServer, tmp_path: Path) -> None:
    """On PostgreSQL, in the same millisecond too: every request is a run of its own, and nobody hears of the other."""
    url = postgres.url(postgres.new_database())
    program = clew.Program("errand", stages=[clew.stage(rollback="none", name="go")(nothing)])
    settings = read_settings(folder=str(tmp_path), environment={}, store=url)

    async def run() -> list[clew.RunResult]:
        async with (
            clew.open_session(program, settings=settings) as one,
            clew.open_session(program, settings=settings) as other,
        ):
            asked = [session.run(program) for _ in range(30) for session in (one, other)]
            return list(await asyncio.gather(*asked))

    results = asyncio.run(run())
    assert all(result.is_completed for result in results)
    assert len({result.run_id for result in results}) == 60


def test_a_run_that_another_session_drives_is_told_all_the_same(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """What has been obeyed was done, whoever has obeyed; and the run is waited for where it is driven."""
    global is_monday, begun, let_go
    begun, let_go = asyncio.Event(), asyncio.Event()
    did.clear()
    url = postgres.url(postgres.new_database())
    settings = read_settings(folder=str(tmp_path), environment={}, store=url)

    async def run() -> list[str]:
        global is_monday
        async with (
            clew.open_session(PROGRAM, LEFT, settings=settings) as one,
            clew.open_session(settings=settings) as other,
        ):
            held = await one.run(PROGRAM)
            is_monday = True
            resumed = await other.instruct(held.run_id, "resume")
            asked = asyncio.create_task(one.run(LEFT))
            await begun.wait()
            [(run_id, *_)] = other._orchestrator.store.unsettled()
            paused = await other.instruct(run_id, "pause")
            asked.cancel()
            return [held.status, resumed.status, paused.status]

    is_monday = False
    try:
        assert asyncio.run(run()) == ["rollback_failed", "rolled_back", "paused"]
    finally:
        is_monday = False
    assert did == ["write", "burn", "hang"]


async def nothing() -> None:
    pass


@clew.stage(rollback="none")
async def hang() -> None:
    did.append("hang")
    begun.set()
    await let_go.wait()


begun, let_go = asyncio.Event(), asyncio.Event()
LEFT = clew.Program("left", stages=[hang])


CHANGED = clew.Program("left", stages=[hang, clew.stage(rollback="none", name="go")(nothing)])


def left_behind(folder: Path) -> Settings:
    """The settings of a store in which a run of `LEFT` was left unfinished."""
    global begun, let_go
    settings = read_settings(folder=str(folder), environment={}, store=f"sqlite:///{folder}/clew.db")

    async def leave() -> None:
        async with clew.open_session(LEFT, settings=settings) as session:
            running = asyncio.create_task(session.run(LEFT))
            await begun.wait()
            running.cancel()

    did.clear()
    begun, let_go = asyncio.Event(), asyncio.Event()
    asyncio.run(leave())
    begun, let_go = asyncio.Event(), asyncio.Event()
    let_go.set()
    return settings


def resumed(settings: Settings, program: clew.Program) -> list[clew.RunResult]:
    async def go_on() -> list[clew.RunResult]:
        async with clew.open_session(program, settings=settings) as session:
            return await session.resume()

    return asyncio.run(go_on())


def test_a_session_goes_on_with_what_was_left_unfinished(tmp_path: Path) -> None:
    """What its programs had under way when their process was lost; other programs' runs stay as they are."""
    settings = left_behind(tmp_path)
    assert resumed(settings, PROGRAM) == []
    [result] = resumed(settings, LEFT)
    assert result.is_completed and did == ["hang", "hang"]
    assert resumed(settings, LEFT) == []


def test_a_run_goes_on_by_the_version_that_it_began_with(tmp_path: Path) -> None:
    """Whatever the program of that name is by now."""
    [result] = resumed(left_behind(tmp_path), CHANGED)
    assert result.is_completed and did == ["hang", "hang"]
    assert [stage["name"] for stage in result.stages] == ["hang"]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE programs SET content = replace(content, 'PT1H', 'PT2H')",
        "UPDATE plan_blocks SET hash = replace(hash, '0', '1')",
        "DELETE FROM plan_blocks",
    ],
)
def test_a_run_does_not_go_on_by_a_program_that_was_changed_in_the_store(tmp_path: Path, change: str) -> None:
    """Also where the session has the program that it was."""
    settings = left_behind(tmp_path)
    with closing(apsw.Connection(settings.store)) as database:
        database.execute(change)
    with pytest.raises(clew.StoreError, match=r"is not what was sealed; verify the store"):
        resumed(settings, LEFT)
    assert did == ["hang"]
