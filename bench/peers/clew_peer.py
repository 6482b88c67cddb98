"""clew, as a user's program would use it. `python clew_peer.py sqlite|postgres W1`."""

from __future__ import annotations

import asyncio
import os
import sys

from measuring import (
    LONG_STEP_SECONDS,
    LONG_STEPS,
    STEPS,
    WORKLOADS,
    fresh_store,
    measure,
    note_step,
)

from clew import Program, open_session, stage


async def work():
    return {"value": 1}


def chain(length):
    stages = []
    for number in range(length):
        before = [f"step-{number - 1}"] if number else []
        made = stage(name=f"step-{number}", outputs=[f"value_{number}"], after=before, rollback="none")
        stages.append(made(work))
    return Program("chain", stages=stages)


async def slow(idempotency_key):
    await asyncio.sleep(LONG_STEP_SECONDS)
    note_step(idempotency_key)  # the same in each attempt of a stage


def long_run():
    stages = []
    for number in range(LONG_STEPS):
        before = [f"long-{number - 1}"] if number else []
        stages.append(stage(name=f"long-{number}", after=before, rollback="none")(slow))
    return Program("long", stages=stages)


async def first():
    return {"value": "first", "inputs": 0}


async def second(a, b):
    return {"value": "second", "inputs": 2}


async def third(c):
    return {"value": "third", "inputs": 1}


async def last(d, e, f):
    return {"value": "last", "inputs": 3}


# --- what a user writes for rollback ---
async def undo():
    return {"undone": True}


async def broken(c):
    raise ValueError("on purpose")


def graph(name, third):
    levels = [(first, ["a", "b"]), (second, ["c"]), (third, ["d", "e", "f"]), (last, ["g"])]
    stages = []
    for function, outputs in levels:
        for output in outputs:
            made = stage(name=f"make-{output}", outputs=[output])(function)
            made.rollback(undo)
            stages.append(made)
    return Program(name, stages=stages)


# --- end ---


MAKE = {
    "chain": lambda: chain(STEPS),
    "graph": lambda: graph("graph", third),
    "failing": lambda: graph("failing", broken),
    "first": lambda: chain(1),
    "long": long_run,
}


class ClewPeer:
    in_flight = 200

    def __init__(self, store):
        place = fresh_store(store)
        self.url = place if store == "postgres" else f"sqlite:///{place}/clew.db"
        self.program = MAKE[WORKLOADS.get(sys.argv[2], sys.argv[2] if sys.argv[2] in MAKE else "chain")]()
        self.runner = asyncio.Runner()
        self.opened = open_session(self.program, store=self.url)
        self.session = self.runner.run(self.opened.__aenter__())

    def batch(self, workload, runs, in_flight):
        self.runner.run(self._batch(workload, runs, in_flight))

    async def _batch(self, workload, runs, in_flight):
        left = runs
        expected = "rolled_back" if workload == "failing" else "completed"

        async def worker():
            nonlocal left
            while left > 0:
                left -= 1
                result = await self.session.run(self.program)
                assert result.status == expected and not result.residue, result

        await asyncio.gather(*(worker() for _ in range(in_flight)))

    def first(self):
        self.batch("first", 1, 1)

    def long(self):
        if not self.runner.run(self.session.resume()):  # what was left unfinished goes on; else it begins
            self.batch("long", 1, 1)

    def processes(self):
        return [os.getpid()]


if __name__ == "__main__":
    measure(ClewPeer, sys.argv[1], sys.argv[2], __file__)
