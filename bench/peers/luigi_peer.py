"""Luigi: a task is a class, and done when its output file exists. `python luigi_peer.py files W1`."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from uuid import uuid4

import luigi
from measuring import LEVELS, LONG_STEP_SECONDS, LONG_STEPS, STEPS, fresh_store, measure, note_step

FOLDER = fresh_store("files")


class Step(luigi.Task):
    run_id = luigi.Parameter()
    number = luigi.IntParameter()

    def requires(self):
        return [type(self)(self.run_id, self.number - 1)] if self.number else []

    def output(self):
        return luigi.LocalTarget(f"{FOLDER}/{self.run_id}/{self.number}.json")

    def run(self):
        with self.output().open("w") as file:
            json.dump({"value": self.number}, file)


class Long(Step):
    def run(self):
        time.sleep(LONG_STEP_SECONDS)
        note_step(self.number)
        super().run()


class Node(luigi.Task):
    run_id = luigi.Parameter()
    level = luigi.IntParameter()
    place = luigi.IntParameter()
    fails = luigi.BoolParameter(default=False)

    def requires(self):
        width = LEVELS[self.level - 1] if self.level else 0
        return [Node(self.run_id, self.level - 1, place, self.fails) for place in range(width)]

    def output(self):
        return luigi.LocalTarget(f"{FOLDER}/{self.run_id}/{self.level}-{self.place}.json")

    def run(self):
        if self.fails and self.level == 2:
            raise ValueError(self.task_id)
        inputs = [json.loads(Path(target.path).read_text()) for target in self.input()]
        with self.output().open("w") as file:
            json.dump({"value": self.task_id, "inputs": len(inputs)}, file)


# --- what a user writes for rollback ---
failed = []


def undo(task):
    path = Path(task.output().path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    path.with_suffix(".undone").write_text(json.dumps({"undone": task.task_id}))


@Node.event_handler(luigi.Event.FAILURE)
def remember(task, error):
    failed.append(task)


def run_or_undo(last):
    failed.clear()
    if build([last]):
        return
    for level in range(max(task.level for task in failed), -1, -1):
        for place in reversed(range(LEVELS[level])):
            undo(Node(last.run_id, level, place, last.fails))


def build(tasks):
    return luigi.build(tasks, local_scheduler=True, workers=1, log_level="CRITICAL")


class LuigiPeer:
    in_flight = 50  # more in one scheduler slow it down

    def __init__(self, store):
        pass

    def batch(self, workload, runs, in_flight):
        for start in range(0, runs, in_flight):
            names = [uuid4().hex for _ in range(min(in_flight, runs - start))]
            if workload == "failing":
                for name in names:
                    run_or_undo(Node(name, len(LEVELS) - 1, 0, True))
            elif workload == "graph":
                assert build([Node(name, len(LEVELS) - 1, 0) for name in names])
            else:
                assert build([Step(name, STEPS - 1) for name in names])

    def first(self):
        build([Step("first", 0)])

    def long(self):
        build([Long("long", LONG_STEPS - 1)])

    def processes(self):
        return [os.getpid()]


if __name__ == "__main__":
    measure(LuigiPeer, sys.argv[1], sys.argv[2], __file__)
