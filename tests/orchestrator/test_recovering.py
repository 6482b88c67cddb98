"""Work that outlives its orchestrator is found by the next one, and not begun again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests.core.running.story import sealed, stage
from tests.orchestrator.test_recording import Instant, TroubledStore, assembled

from clew.core.running.statuses import FAILED, NOT_BEGUN
from clew.orchestrator.driven_run import Origin
from clew.orchestrator.orchestrator import Orchestrator
from clew.ports import AttemptError, AttemptReport, AttemptRequest

PROGRAM = sealed(stage("a", writes=["x"]), stage("b", reads=["x"]))

Ended = Callable[[AttemptReport], None]


class Cluster(Instant):
    """Work that goes on elsewhere, whoever has submitted it, until the test says how it has ended."""

    recovers = True

    def __init__(self) -> None:
        super().__init__()
        self.awaited: dict[str, Ended] = {}
        self.recovered: list[AttemptRequest] = []
        self.moved = asyncio.Event()

    def submit(self, request: AttemptRequest, ended: Ended) -> None:
        self.begun.append(request.attempt_id.partition("/")[2])
        self._await(request, ended)

    def recover(self, request: AttemptRequest, ended: Ended) -> None:
        self.recovered.append(request)
        self._await(request, ended)

    def _await(self, request: AttemptRequest, ended: Ended) -> None:
        self.awaited[request.attempt_id.partition("/")[2]] = ended
        self.moved.set()

    async def until_awaits(self, name: str) -> Ended:
        async with asyncio.timeout(20):
            while name not in self.awaited:
                self.moved.clear()
                await self.moved.wait()
        return self.awaited.pop(name)


def completed(**outputs: int) -> AttemptReport:
    return AttemptReport(outcome="completed", outputs=outputs)


async def lost_and_taken(cluster: Cluster, until: str) -> tuple[Orchestrator, str]:
    """A run whose orchestrator is lost while the cluster works on that, and the next orchestrator, which has it."""
    store = TroubledStore()
    first = assembled(store, cluster)
    first.programs.register(PROGRAM)
    run = first.create(PROGRAM, {}, requested_by="test", origin=Origin())
    for name in ("a.1", "b.1", "b.1.rollback.1"):
        ended = await cluster.until_awaits(name)
        if name == until:
            cluster.moved.clear()
            break
        ended(
            completed(x=1)
            if name == "a.1"
            else AttemptReport(outcome=FAILED, error=AttemptError("wrong", ""))
        )
    first.driver.stop()
    store.leases.me = "next"
    following = assembled(store, cluster)
    following.programs.register(PROGRAM)
    following.claims.adopt()
    return following, run.state.run_id


@pytest.mark.parametrize("until", ["a.1", "b.1.rollback.1"])
def test_an_attempt_and_a_try_at_a_rollback_are_waited_for_by_the_next(until: str) -> None:
    """What they give is recorded, and neither is begun a second time."""

    async def story() -> tuple[str, list[str]]:
        cluster = Cluster()
        orchestrator, run_id = await lost_and_taken(cluster, until)
        run = orchestrator.driver.runs[run_id]
        (await cluster.until_awaits(until))(completed(x=1) if until == "a.1" else completed())
        (await cluster.until_awaits("b.1" if until == "a.1" else "a.1.rollback.1"))(completed())
        await orchestrator.rested(run)
        [request] = cluster.recovered
        assert request.attempt_id == f"{run_id}/{until}"
        return run.state.status, cluster.begun

    status, begun = asyncio.run(story())
    assert status == ("completed" if until == "a.1" else "rolled_back")
    assert begun == (["a.1", "b.1"] if until == "a.1" else ["a.1", "b.1", "b.1.rollback.1", "a.1.rollback.1"])


def test_what_never_came_there_is_begun_by_the_next() -> None:
    """As an attempt that has not begun is: it may have done nothing."""

    async def story() -> list[str]:
        cluster = Cluster()
        orchestrator, run_id = await lost_and_taken(cluster, "a.1")
        run = orchestrator.driver.runs[run_id]
        never = AttemptReport(outcome=NOT_BEGUN, error=AttemptError("interrupted", "nobody has submitted it"))
        (await cluster.until_awaits("a.1"))(never)
        (await cluster.until_awaits("a.2"))(completed(x=1))
        (await cluster.until_awaits("b.1"))(completed())
        await orchestrator.rested(run)
        return cluster.begun

    assert asyncio.run(story()) == ["a.1", "a.2", "b.1"]
