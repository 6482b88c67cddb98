"""Who gives a program's places, and who has given them before: neither ends the other, and no run lies for it."""

from __future__ import annotations

import asyncio

from tests.core.running.story import sealed, stage
from tests.databases.postgres import PostgresServer
from tests.orchestrator.test_recording import Instant, assembled, maker

from clew.orchestrator.driven_run import Origin
from clew.ports import Holder, StoreBusy
from clew.stores.postgres import PostgresStore

PROGRAM = sealed(stage("a"), max_active_runs=1)


def joined(url: str) -> PostgresStore:
    store = PostgresStore(url)
    store.join(Holder("host", 1, "boot", 1, 1, "0"), {}, lease_milliseconds=600_000)
    return store


def queued(store: PostgresStore) -> str:
    return maker(store).queue(PROGRAM, {}, requested_by="test", origin=Origin())


def test_a_run_that_is_still_anothers_waits_for_its_place(postgres: PostgresServer) -> None:
    """Whoever gave the places before has it until he notices that he does not any more: then it has its turn."""
    url = postgres.url(postgres.new_database())

    async def story() -> list[str]:
        before, now, executor = joined(url), joined(url), Instant()
        queued(before)
        orchestrator = assembled(now, executor)
        orchestrator.programs.register(PROGRAM)
        orchestrator.places.look(PROGRAM.program.name)
        for _ in range(20):
            await asyncio.sleep(0)
            orchestrator.check()
        assert executor.begun == []
        before.leases.release()
        async with asyncio.timeout(20):
            while now.unsettled():
                orchestrator.check()
                await asyncio.sleep(0)
        await orchestrator.close()
        before.close()
        return executor.begun

    assert len(asyncio.run(story())) == 1


def test_what_is_to_be_handed_back_is_not_forgotten(postgres: PostgresServer) -> None:
    """Though the store was busy when it should have been: it is nobody's in the end, and not driven here."""
    url = postgres.url(postgres.new_database())

    async def story() -> tuple[int, dict[str, int]]:
        mine, other = joined(url), joined(url)
        orchestrator = assembled(mine, Instant())
        orchestrator.create(PROGRAM, {}, requested_by="test", origin=Origin())
        orchestrator.driver.drain()
        while not mine.leases.owned():
            orchestrator.check()
            await asyncio.sleep(0)
        mine._rows("release_gate", {"me": mine.leases.me, "program": "story"})
        assert other.leases.take_gate("story")
        release_some = mine.leases.release_some

        def busy(run_ids: list[str]) -> None:
            mine.leases.release_some = release_some  # type: ignore[method-assign]
            raise StoreBusy("pretended")

        mine.leases.release_some = busy  # type: ignore[method-assign, assignment]
        orchestrator.claims._doubt()
        for _ in range(2):
            try:
                orchestrator.claims.be_sure()
            except StoreBusy:
                continue
        driven, owned = len(orchestrator.driver.runs), mine.leases.owned()
        await orchestrator.close()
        other.close()
        return driven, owned

    assert asyncio.run(story()) == (0, {})


def test_what_began_elsewhere_and_was_handed_back_later_is_driven(postgres: PostgresServer) -> None:
    """Whoever gave the places before may hand a run back that he has begun, when all others have long been claimed."""
    url = postgres.url(postgres.new_database())

    async def story() -> list[str]:
        before, now, executor = joined(url), joined(url), Instant()
        run_id = queued(before)
        orchestrator = assembled(now, executor)
        orchestrator.programs.register(PROGRAM)
        orchestrator.claims.adopts = True
        orchestrator.claims.adopt()
        assert PROGRAM.program.name in orchestrator.claims.gates
        with before._transaction():  # as the record would have it that was under way when he lost the places
            before._connection.execute("UPDATE runs SET status = 'running' WHERE run_id = $1", (run_id,))
        before.leases.release_some([run_id])
        orchestrator.claims._doubt()  # as it comes each minute
        orchestrator.claims.be_sure()
        for _ in range(200):
            orchestrator.claims.adopt()
            orchestrator.check()
            await asyncio.sleep(0)
        owned = sorted(now.leases.owned())
        await orchestrator.close()
        before.close()
        return owned if not executor.begun else [run_id]

    assert asyncio.run(story()) != []
