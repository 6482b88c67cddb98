"""An orchestrator takes up what nobody drives: some at a time, all in the end, whatever its store says meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests.orchestrator.test_recording import PROGRAM, Instant, TroubledStore, assembled, maker

from clew.orchestrator import claims as module
from clew.orchestrator.driven_run import Origin
from clew.orchestrator.orchestrator import Orchestrator
from clew.ports import AttemptReport, AttemptRequest, Fenced, StoreBusy, StoreError


class BusyWhenRead(TroubledStore):
    """Can not be read each so-many-th time that a journal is asked for."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every, self.reads = every, 0

    def journal(self, run_id: str, after: int = -1) -> list[tuple[str, str]]:
        self.reads += 1
        if not self.reads % self.every:
            raise StoreBusy("pretended")
        return super().journal(run_id, after)


def left_behind(store: TroubledStore, count: int) -> None:
    """So many runs that nobody drives."""
    makes = maker(store)
    for _ in range(count):
        makes.queue(PROGRAM, {}, requested_by="test", origin=Origin())


async def adopted(store: TroubledStore, until: Callable[[Orchestrator], bool]) -> Instant:
    """Have an orchestrator adopt, as it does by itself, until that holds."""
    executor = Instant()
    store.leases.me = "me"
    orchestrator = assembled(store, executor)
    orchestrator.programs.register(PROGRAM)
    orchestrator.claims.adopts = True
    orchestrator.attend_regularly()
    async with asyncio.timeout(20):
        while not until(orchestrator):
            orchestrator.check()
            await asyncio.sleep(0)
    await orchestrator.close()
    return executor


def all_settled(orchestrator: Orchestrator) -> bool:
    return not orchestrator.store.unsettled()


def test_many_are_taken_up_between_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first have their turn before the last are claimed."""
    monkeypatch.setattr(module, "CLAIMED_TOGETHER_MAX", 4)
    store = TroubledStore()
    left_behind(store, 30)
    seen: list[int] = []

    def until(orchestrator: Orchestrator) -> bool:
        seen.append(len(store.leases.owned()))
        return all_settled(orchestrator)

    executor = asyncio.run(adopted(store, until))
    assert len(executor.begun) == 30
    assert max(seen) < 30, "some had settled before all were claimed"


def test_a_store_that_is_busy_meanwhile_keeps_nobody_from_being_taken_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was claimed and could not be read is read again; each is begun once."""
    monkeypatch.setattr(module, "CLAIMED_TOGETHER_MAX", 7)
    store = BusyWhenRead(every=5)
    left_behind(store, 30)
    executor = asyncio.run(adopted(store, all_settled))
    assert len(executor.begun) == len(set(executor.begun)) == 30


def test_a_run_that_can_not_be_read_at_all_ends_the_orchestrator() -> None:
    """A store without a journal that it should have is not driven on."""
    store = TroubledStore()
    left_behind(store, 1)
    store._execute("DELETE FROM journal")
    with pytest.raises(StoreError, match="no journal"):
        asyncio.run(adopted(store, all_settled))


def test_a_run_whose_payload_can_not_be_read_is_left_alone_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It stands beside the store, where it may be out of reach from here, or for a while; all other runs go on."""
    monkeypatch.setattr(module, "DOUBT_MILLISECONDS", 1)
    store = TroubledStore()
    makes = maker(store)
    queued = [makes.queue(PROGRAM, {"n": n}, requested_by="test", origin=Origin()) for n in range(2)]
    [(content,)] = store._execute("SELECT content FROM payloads WHERE run_id = ?", (queued[0],))
    store._execute("UPDATE payloads SET content = NULL, location = 'there' WHERE run_id = ?", (queued[0],))
    told: list[str] = []

    def until(orchestrator: Orchestrator) -> bool:
        orchestrator.leaves_alone = lambda what, why: told.append(what)
        if told and len(store.unsettled()) == 1:
            put_back = "UPDATE payloads SET content = ?, location = NULL WHERE run_id = ?"
            store._execute(put_back, (content, queued[0]))
        return all_settled(orchestrator)

    executor = asyncio.run(adopted(store, until))
    assert len(executor.begun) == 2 and told == [f"run {queued[0]}"]


class Endless(Instant):
    """What it has begun does not end."""

    def submit(self, request: AttemptRequest, ended: Callable[[AttemptReport], None]) -> None:
        self.begun.append(request.attempt_id)


def test_a_run_that_came_back_is_driven_from_where_it_stands_now() -> None:
    """Another orchestrator had it meanwhile and is gone: what is known here of before is known no more."""
    store = TroubledStore()
    left_behind(store, 1)

    async def come_back() -> list[int]:
        executor = Endless()
        store.leases.me = "me"
        orchestrator = assembled(store, executor)
        orchestrator.programs.register(PROGRAM)
        orchestrator.claims.adopt()
        async with asyncio.timeout(20):
            while not executor.begun:
                orchestrator.check()
                await asyncio.sleep(0)
        [before] = orchestrator.driver.runs.values()
        store._execute("UPDATE runs SET owner = 'gone', epoch = epoch + 1")
        orchestrator.claims.adopt()
        [after] = orchestrator.driver.runs.values()
        assert isinstance(before.error, Fenced) and after.error is None
        async with asyncio.timeout(20):
            while len(executor.begun) < 2:
                orchestrator.check()
                await asyncio.sleep(0)
        await orchestrator.close()
        return [before.epoch, after.epoch]

    assert asyncio.run(come_back()) == [2, 4]
