"""Absurd: tasks inside PostgreSQL, workers as threads of this process. `python absurd_peer.py postgres W1`.

Needs the schema of the project's repository, which no package holds: its path is in ABSURD_SQL.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from functools import partial
from pathlib import Path

import psycopg
from absurd_sdk import Absurd
from measuring import LEVELS, LONG_STEP_SECONDS, LONG_STEPS, STEPS, fresh_store, measure, note_step

POLL_SECONDS = 0.25
"""The SDK's default; the alone figure of W1 is mostly this."""


def tasks(url):
    app = Absurd(url)

    def node(name, inputs):
        return {"value": name, "inputs": len(inputs)}

    @app.register_task(name="first")
    def first(params, ctx):
        return ctx.step("step", lambda: {"value": 1})

    @app.register_task(name="chain")
    def chain(params, ctx):
        for number in range(STEPS):
            ctx.step(f"step-{number}", lambda number=number: {"value": number})
        return {"done": True}

    @app.register_task(name="graph")
    def graph(params, ctx):  # the steps of a task share its connection, and so take turns
        data = {}
        for level, width in enumerate(LEVELS):
            names = [f"task-{level}-{place}" for place in range(width)]
            data = {**data, **{name: ctx.step(name, partial(node, name, data)) for name in names}}
        return data

    # --- what a user writes for rollback ---
    def undo(name):
        return {"undone": name}

    def broken(name, inputs):
        raise ValueError(name)

    @app.register_task(name="failing", default_max_attempts=1)
    def failing(params, ctx):
        data, undos = {}, []
        try:
            for level, width in enumerate(LEVELS):
                names = [f"task-{level}-{place}" for place in range(width)]
                function = broken if level == 2 else node
                outputs = {}
                for name in names:
                    undos.append(name)
                    outputs[name] = ctx.step(name, partial(function, name, data))
                data = {**data, **outputs}
        except ValueError as error:
            for name in reversed(undos):
                ctx.step(f"undo-{name}", partial(undo, name))
            return {"rolled_back": len(undos), "error": str(error)}
        return data

    # --- end ---

    @app.register_task(name="long")
    def long(params, ctx):
        def slow(number):
            time.sleep(LONG_STEP_SECONDS)
            note_step(number)
            return {"value": number}

        for number in range(LONG_STEPS):
            ctx.step(f"step-{number}", lambda number=number: slow(number))

    return app


class AbsurdPeer:
    in_flight = 8  # workers

    def __init__(self, store):
        self.url = fresh_store(store)
        self.connection = psycopg.connect(self.url, autocommit=True)
        if self.connection.execute("SELECT to_regnamespace('absurd')").fetchone() == (None,):
            self.connection.execute(Path(os.environ["ABSURD_SQL"]).read_text())
        self.app = tasks(self.url)
        if not self.app.list_queues():
            self.app.create_queue("default")
        self.workers = 0

    def _work(self, count):
        while self.workers < count:
            given = {
                "worker_id": f"worker-{self.workers}",
                "batch_size": 4,
                "poll_interval": POLL_SECONDS,
            }
            threading.Thread(target=tasks(self.url).start_worker, kwargs=given, daemon=True).start()
            self.workers += 1

    def _finished(self):
        query = "SELECT count(*) FROM absurd.t_default WHERE state IN ('completed', 'failed')"
        return self.connection.execute(query).fetchone()[0]

    def batch(self, workload, runs, in_flight):
        self._work(self.in_flight)
        wanted = self._finished() + runs
        for number in range(runs):
            self.app.spawn(workload, {"number": number})
        while self._finished() < wanted:
            time.sleep(0.002)

    def first(self):
        self.batch("first", 1, 1)

    def long(self):
        raise RuntimeError("a task is claimed for 120 seconds: its resumption is that")

    def processes(self):
        return [os.getpid()]


if __name__ == "__main__":
    measure(AbsurdPeer, sys.argv[1], sys.argv[2], __file__)
