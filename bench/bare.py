"""The engines that clew is measured beside. They keep no promise but durability."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

from workloads import GRAPH

Timed = Callable[[Callable[[], Awaitable[None]], int, int], Awaitable[float]]


class GroupCommit:
    """All that is given in one turn of the event loop shares a flush; `write` is called with all of it."""

    def __init__(self, write: Callable[[list[Any]], None]) -> None:
        self.flushes = 0
        self._write = write
        self._given: list[Any] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._is_due = False

    def durable(self, *given: Any) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        self._given.extend(given)
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append(future)
        if not self._is_due:
            self._is_due = True
            loop.call_soon(loop.call_soon, self._flush)
        return future

    def _flush(self) -> None:
        given, waiting = self._given, self._waiting
        self._given, self._waiting, self._is_due = [], [], False
        try:
            self._write(given)
        except Exception as error:
            # Whoever waits is told, so that a benchmark that no longer fits clew's tables ends at once.
            for future in waiting:
                future.set_exception(error)
            return
        self.flushes += 1
        for future in waiting:
            future.set_result(None)


def open_database(path: str) -> sqlite3.Connection:
    """By Python's own library, as whoever writes such an engine in an afternoon would."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    return database


def blocks_of(workload: str) -> tuple[int, ...]:
    return (1,) * 10 if workload == "chain" else GRAPH


async def nothing() -> dict[str, int]:
    return {"value": 1}


# ---- the least an engine can do --------------------------------------------------------------------------


async def engine(path: str, workload: str, runs: int, in_flight: int, timed: Timed) -> dict[str, float]:
    """A row for the start, each step and the end of a run, in one table."""
    database = open_database(path)
    database.execute(
        "CREATE TABLE steps (run TEXT, step TEXT, result TEXT, PRIMARY KEY (run, step)) WITHOUT ROWID"
    )

    def write(rows: list[tuple[str, str, Any]]) -> None:
        database.execute("BEGIN")
        database.executemany(
            "INSERT INTO steps VALUES (?, ?, ?)",
            [(run, step, json.dumps(result)) for run, step, result in rows],
        )
        database.execute("COMMIT")

    commit = GroupCommit(write)
    count = 0

    async def one() -> None:
        nonlocal count
        count += 1
        run = f"run-{count}"
        await commit.durable((run, "start", {}))
        for block, width in enumerate(blocks_of(workload)):
            if width == 1:
                await commit.durable((run, f"{block}", await nothing()))
            else:
                await asyncio.gather(*(_step(commit, run, f"{block}-{number}") for number in range(width)))
        await commit.durable((run, "end", {}))

    seconds = await timed(one, runs, in_flight)
    return {"seconds": seconds, "flushes": commit.flushes}


async def _step(commit: GroupCommit, run: str, step: str) -> None:
    await commit.durable((run, step, await nothing()))


CODE = {"execute": "0" * 64, "rollback": "1" * 64}
"""As long as the digests that clew pins for a stage of the workloads."""

# ---- clew's rows without clew ----------------------------------------------------------------------------


async def rows(path: str, workload: str, runs: int, in_flight: int, timed: Timed) -> dict[str, float]:
    """The entries and tracker rows that clew writes for such a run, hashed and written in the same batches."""
    from workloads import WORKLOADS

    from clew.commands import SIGNATURES
    from clew.conditions import SIGNATURES as CONDITIONS
    from clew.core.program.content import content
    from clew.core.running.entries import AttemptEnded, AttemptStarted, RunCreated, RunSettled
    from clew.core.running.sealed_program import seal_program
    from clew.core.sealing.journal import Head
    from clew.embedded import read_document
    from clew.stores.sqlite import SqliteStore

    sealed = seal_program(read_document(content(WORKLOADS[workload].model)), SIGNATURES, CONDITIONS)
    store = SqliteStore(path)
    chain = [(block.index, block.content.decode(), block.hash) for block in sealed.chain]
    store.register_program(sealed.version, workload, "{}", chain, 0)
    database, sql = store._connection, store._sql

    def write(batch: list[tuple[Any, ...]]) -> None:
        created, advanced, changed, entries, stages = [], [], [], [], []
        for run, seq, hash, before, journal, moved, status in batch:
            if not before:
                created.append(run)
            advanced.append((seq, hash, run, 1, before))
            if status:
                changed.append((status, "", None, "[]", run))
            entries.extend((run, seq, content, hash) for seq, content, hash in journal)
            stages.extend(moved)
        database.execute("BEGIN IMMEDIATE")
        if created:
            database.executemany(
                sql["insert_run"],
                [
                    (
                        run,
                        workload,
                        sealed.version,
                        run,
                        int(run, 16),
                        0,
                        "bench",
                        1,
                        "{}",
                        "",
                        "",
                        0,
                        0,
                        1,
                        "",
                    )
                    for run in created
                ],
            )
            database.executemany(
                sql["insert_stage"],
                [
                    (run, each.position, each.stage.name, each.block)
                    for run in created
                    for each in sealed.stages.values()
                ],
            )
        database.executemany(sql["advance_run"], advanced)
        database.executemany(sql["update_run"], changed)
        database.executemany(sql["insert_entry"], entries)
        database.executemany(sql["update_stage"], stages)
        database.execute("COMMIT")

    commit = GroupCommit(write)
    count = 0

    async def one() -> None:
        nonlocal count
        count += 1
        run = f"{count:028x}"
        head = Head(run, 0, sealed.plan_hash)

        def linked(*bodies: Any, block: str) -> list[tuple[int, str, str]]:
            found = []
            for body in bodies:
                entry, stored = head.link(body, at=1_700_000_000_000, epoch=1, block=block)
                found.append((entry.seq, stored.content.decode(), stored.hash))
            return found

        journal = linked(RunCreated(workload, sealed.version, sealed.plan_hash, run, 0, 1, "bench"), block="")
        before, moved = 0, []
        for block in sealed.blocks:
            hash = sealed.block_hash(block[0].block)
            for each in block:
                journal += linked(AttemptStarted(each.stage.name, 1, code=CODE), block=hash)
                moved.append((1, "started", 1, "", "", 0, 1, None, None, run, each.position))
            status = "" if before else "running"
            await commit.durable((run, head.seq, head.hash, before, journal, moved, status))
            before, journal, moved = head.seq, [], []
            for each in block:
                await nothing()
                journal += linked(AttemptEnded(each.stage.name, 1, "completed", "completed"), block=hash)
                moved.append((1, "completed", 1, "completed", "", 0, 1, 1, 2, run, each.position))
        journal += linked(RunSettled("completed"), block="")
        await commit.durable((run, head.seq, head.hash, before, journal, moved, "completed"))

    seconds = await timed(one, runs, in_flight)
    return {"seconds": seconds, "flushes": commit.flushes}


BARE_ENGINES = {"engine": engine, "rows": rows}
