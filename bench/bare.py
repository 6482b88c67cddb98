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


# ---- clew's rows without clew ----------------------------------------------------------------------------

CODE = {"execute": "0" * 64, "rollback": "1" * 64}
"""As long as the digests that clew pins for a stage of the workloads."""


async def rows(place: str, workload: str, runs: int, in_flight: int, timed: Timed) -> dict[str, float]:
    """The entries and tracker rows that clew writes for such a run, hashed and written in the same batches."""
    from workloads import WORKLOADS

    from clew.commands import SIGNATURES
    from clew.conditions import SIGNATURES as CONDITIONS
    from clew.core.program.content import content
    from clew.core.running.entries import AttemptEnded, AttemptStarted, RunCreated, RunSettled
    from clew.core.running.sealed_program import seal_program
    from clew.core.sealing.journal import Head
    from clew.embedded import read_document

    sealed = seal_program(read_document(content(WORKLOADS[workload].model)), SIGNATURES, CONDITIONS)
    stages = [(each.position, each.stage.name, each.block) for each in sealed.stages.values()]
    chain = [(block.index, block.content.decode(), block.hash) for block in sealed.chain]
    is_on_postgres = "://" in place
    write_tables = _tables_on_postgres(place) if is_on_postgres else _tables_on_sqlite(place)
    item = (-1,) if is_on_postgres else ()  # where it is no constant of the query

    def new_run(run: str) -> tuple[Any, ...]:
        return (run, workload, sealed.version, run, int(run, 16), 0, "bench", 1, "{}", "", "", 0, 0, 1, "")

    def write(batch: list[tuple[Any, ...]]) -> None:
        tables: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _TABLES}
        for run, seq, hash, before, journal, moved, status in batch:
            if not before:
                tables["insert_run"].append(new_run(run))
                tables["insert_stage"].extend((run, *stage) for stage in stages)
            tables["advance_run"].append((seq, hash, run, 1, before))
            if status:
                tables["update_run"].append((status, "", None, "[]", run))
            tables["insert_entry"].extend((run, *entry) for entry in journal)
            tables["update_stage"].extend(moved)
        write_tables(tables)

    store_of(place).register_program(sealed.version, workload, "{}", chain, 0)
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
                moved.append((1, "started", 1, "", "", 0, 1, None, None, run, each.position, *item))
            status = "" if before else "running"
            await commit.durable((run, head.seq, head.hash, before, journal, moved, status))
            before, journal, moved = head.seq, [], []
            for each in block:
                await nothing()
                journal += linked(AttemptEnded(each.stage.name, 1, "completed", "completed"), block=hash)
                moved.append((1, "completed", 1, "completed", "", 0, 1, 1, 2, run, each.position, *item))
        journal += linked(RunSettled("completed"), block="")
        await commit.durable((run, head.seq, head.hash, before, journal, moved, "completed"))

    seconds = await timed(one, runs, in_flight)
    return {"seconds": seconds, "flushes": commit.flushes}


_TABLES = {
    "insert_run": "ttttiititttiiit", "insert_stage": "titi", "advance_run": "ittii", "update_run": "ttitt",
    "insert_entry": "titt", "update_stage": "itittiiiitii",
}  # fmt: skip
"""The queries of a flush, in their order, and of which kind their columns are: texts and integers."""

WriteTables = Callable[[dict[str, list[tuple[Any, ...]]]], None]


def store_of(place: str) -> Any:
    """clew's own store there, which makes the tables."""
    if "://" in place:
        from clew.stores.postgres import PostgresStore

        return PostgresStore(place)
    from clew.stores.sqlite import SqliteStore

    return SqliteStore(place)


def _tables_on_sqlite(path: str) -> WriteTables:
    """By clew's own library and settings, since Python's are slower."""
    store = store_of(path)
    database, sql = store._connection, store._sql

    def write(tables: dict[str, list[tuple[Any, ...]]]) -> None:
        database.execute("BEGIN IMMEDIATE")
        for name, given in tables.items():
            if given:
                database.executemany(sql[name], given)
        database.execute("COMMIT")

    return write


def _tables_on_postgres(url: str) -> WriteTables:
    """What one can do by hand with one connection: every column of a table as one array in binary format, every
    statement prepared, all of a transaction sent at once. Once for the session, the planner is told to go by keys."""
    import select

    import psycopg
    from psycopg import pq

    from clew.stores.postgres_arrays import integers, texts

    queries = store_of(url)._connection._queries
    connection = psycopg.connect(url, autocommit=True)
    for setting in ("enable_seqscan", "enable_hashjoin", "enable_mergejoin"):
        connection.execute(f"SET {setting} = off")
    connection.execute("SET plan_cache_mode = force_generic_plan")
    raw = connection.pgconn
    for name in _TABLES:
        raw.prepare(name.encode(), queries[name][0].encode())
    raw.prepare(b"begin", b"BEGIN")
    raw.prepare(b"commit", b"COMMIT")
    ready = select.poll()
    ready.register(raw.socket, select.POLLIN)
    encode = {"t": texts, "i": integers}

    def write(tables: dict[str, list[tuple[Any, ...]]]) -> None:
        raw.enter_pipeline_mode()
        raw.send_query_prepared(b"begin", None)
        for name, given in tables.items():
            if given:
                kinds, columns = _TABLES[name], zip(*given, strict=True)
                values = [encode[kind](column) for kind, column in zip(kinds, columns, strict=True)]
                raw.send_query_prepared(name.encode(), values, param_formats=[1] * len(values))
        raw.send_query_prepared(b"commit", None)
        raw.pipeline_sync()
        while raw.flush():
            raw.consume_input()
        is_over = False
        while not is_over:
            while raw.is_busy():
                ready.poll()
                raw.consume_input()
            result = raw.get_result()
            if result is not None:
                assert result.status != pq.ExecStatus.FATAL_ERROR, result.error_message
                is_over = result.status == pq.ExecStatus.PIPELINE_SYNC
        raw.exit_pipeline_mode()

    return write


BARE_ENGINES = {"engine": engine, "rows": rows}
