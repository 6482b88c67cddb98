"""A PostgreSQL server loses power under load, again and again: runs go on when it is back; nothing is done twice."""

from __future__ import annotations

import asyncio
import signal

import pytest
from tests.core.running.story import sealed, stage
from tests.databases.postgres import PostgresServer, postgres_server
from tests.orchestrator.test_recording import Instant, assembled

from clew.orchestrator.driven_run import DrivenRun, Origin
from clew.stores.postgres import RUNS_APART_MIN, PostgresStore

CHAIN = sealed(
    stage("s0", writes=["x0"]), *[stage(f"s{n}", reads=[f"x{n - 1}"], writes=[f"x{n}"]) for n in range(1, 10)]
)

RESTARTS = 5


@pytest.mark.parametrize("runs_between", [20, 3 * RUNS_APART_MIN])
def test_a_server_that_is_restarted_under_load_loses_nothing(runs_between: int) -> None:
    """Each time some twenty runs are under way, or so many that turns are taken while the server works; of which none
    has to be taken up again."""
    with postgres_server() as server:
        runs, begun = asyncio.run(_under_way(server, runs_between))
    assert {run.state.status for run in runs} == {"completed"}
    assert len(begun) == len(set(begun)) == 10 * len(runs)


async def _under_way(server: PostgresServer, runs_between: int) -> tuple[list[DrivenRun], list[str]]:
    store, executor = PostgresStore(server.url(server.new_database())), Instant()
    orchestrator = assembled(store, executor)
    runs: list[DrivenRun] = []
    for _ in range(RESTARTS):
        fresh = [
            orchestrator.create(CHAIN, {}, requested_by="test", origin=Origin()) for _ in range(runs_between)
        ]
        runs += fresh
        half = asyncio.Event()
        fresh[0].observer = lambda entry, state, half=half: half.set() if entry.seq == 10 else None
        await half.wait()
        await asyncio.to_thread(server.stop, mode=signal.SIGQUIT)
        await asyncio.to_thread(server.start)
        await asyncio.gather(*(orchestrator.rested(run) for run in fresh))
    flushed = [len(store.journal(run.state.run_id)) for run in runs]
    assert flushed == [run.head.seq for run in runs]
    await orchestrator.close()
    return runs, executor.begun
