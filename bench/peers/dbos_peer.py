"""DBOS: workflows in this process, state in SQLite or PostgreSQL. `python dbos_peer.py sqlite|postgres W1`."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pysqlite3

sys.modules["sqlite3"] = pysqlite3  # DBOS needs a newer SQLite than many a Python has

from dbos import DBOS, SetWorkflowID  # noqa: E402
from measuring import (  # noqa: E402
    LEVELS,
    LONG_STEP_SECONDS,
    LONG_STEPS,
    STEPS,
    fresh_store,
    measure,
    note_step,
)


@DBOS.step()
def step(number):
    return {"value": number}


@DBOS.workflow()
def chain(length):
    for number in range(length):
        step(number)


@DBOS.step()
async def node(name, inputs):
    return {"value": name, "inputs": len(inputs)}


@DBOS.workflow()
async def graph():
    data = {}
    for level, width in enumerate(LEVELS):
        names = [f"task-{level}-{place}" for place in range(width)]
        outputs = await asyncio.gather(*(node(name, data) for name in names))
        data = {**data, **dict(zip(names, outputs, strict=True))}
    return data


# --- what a user writes for rollback ---
@DBOS.step()
async def undo(name):
    return {"undone": name}


@DBOS.step()
async def broken(name, inputs):
    raise ValueError(name)


@DBOS.workflow()
async def failing():
    data, undos = {}, []
    try:
        for level, width in enumerate(LEVELS):
            names = [f"task-{level}-{place}" for place in range(width)]
            undos.extend(names)
            function = broken if level == 2 else node
            calls = (function(name, data) for name in names)
            outputs = await asyncio.gather(*calls, return_exceptions=True)
            if errors := [output for output in outputs if isinstance(output, BaseException)]:
                raise errors[0]
            data = {**data, **dict(zip(names, outputs, strict=True))}
    except ValueError as error:
        for name in reversed(undos):
            await undo(name)
        return {"rolled_back": len(undos), "error": str(error)}
    return data


# --- end ---


@DBOS.step()
def slow(number):
    time.sleep(LONG_STEP_SECONDS)
    note_step(number)


@DBOS.workflow()
def long():
    for number in range(LONG_STEPS):
        slow(number)


class DbosPeer:
    in_flight = 10  # threads; more make it slower

    def __init__(self, store):
        place = fresh_store(store)
        url = place if store == "postgres" else f"sqlite:///{place}/dbos.sqlite"
        settings = {
            "name": "peer",
            "system_database_url": url,
            "log_level": "ERROR",
            "application_version": "1",
        }
        DBOS(config=settings)
        DBOS.launch()  # takes up what was unfinished

    def batch(self, workload, runs, in_flight):
        if workload == "chain":
            with ThreadPoolExecutor(in_flight) as threads:
                list(threads.map(lambda _: chain(STEPS), range(runs)))
            return
        asyncio.run(self._batch(graph if workload == "graph" else failing, runs, in_flight))

    async def _batch(self, workflow, runs, in_flight):
        free = asyncio.Semaphore(in_flight)

        async def one():
            async with free:
                return await (await DBOS.start_workflow_async(workflow)).get_result()

        await asyncio.gather(*(one() for _ in range(runs)))

    def first(self):
        chain(1)

    def long(self):
        with SetWorkflowID("long"):
            long()

    def processes(self):
        return [os.getpid()]


if __name__ == "__main__":
    measure(DbosPeer, sys.argv[1], sys.argv[2], __file__)
