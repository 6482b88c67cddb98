"""Stages that wait for their data hold no worker, cost one listing per distinct prefix and round, and miss nothing."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from clew.buckets.memory import MemoryBucket, memory_bucket
from clew.core.program.model import Retry
from clew.core.running.entries import StageWaiting
from clew.orchestrator import gathering
from clew.orchestrator.driven_run import DrivenRun, Origin
from clew.orchestrator.orchestrator import Orchestrator
from clew.ports import BucketError, ObjectFacts
from clew.settings import read_settings
from clew.wiring import open_orchestrator, read_document
from clew.wiring.programs import seal


@pytest.fixture
def listings(monkeypatch) -> Counter[tuple[str, str]]:
    """How often each folder was listed in any memory bucket."""
    counted: Counter[tuple[str, str]] = Counter()
    listed = MemoryBucket.list_folder

    def list_folder(self: MemoryBucket, folder: str, start: str = "") -> Iterator[ObjectFacts | str]:
        counted[folder, start] += 1
        return listed(self, folder, start)

    monkeypatch.setattr(MemoryBucket, "list_folder", list_folder)
    return counted


def program(stages: int, prefixes: int, bucket: str, delay: str) -> Any:
    """So many stages beside each other, each of which waits for one file below one of so many prefixes."""
    numbered = {"match": r"f(\d+)$", "type": "regex", "multiple": "max"}
    return seal(
        read_document(
            {
                "name": "waiting",
                "delay": delay,
                "stages": [
                    {
                        "name": f"s{number}",
                        "dependencies": {
                            f"d{number}": {
                                "bucket": bucket,
                                "prefix": [{"match": f"p{number % prefixes}"}, numbered],
                            }
                        },
                        "execute": {"command": "python", "params": ["os:getpid"]},
                        "rollback": "none",
                    }
                    for number in range(stages)
                ],
            }
        )
    )


@asynccontextmanager
async def orchestrator(tmp_path):
    settings = read_settings(folder=str(tmp_path), environment={})
    async with open_orchestrator(settings, functions={"os:getpid": os.getpid}) as opened:
        yield opened


class Looks:
    """Sees the looks of runs as they are recorded."""

    def __init__(self) -> None:
        self.count: Counter[tuple[str, str]] = Counter()
        self._seen = asyncio.Event()

    def __call__(self, entry: Any, state: Any) -> None:
        if isinstance(entry.body, StageWaiting):
            self.count[state.run_id, entry.body.stage] += 1
            self._seen.set()

    async def until(self, each: int, stages: int) -> None:
        """Until each of so many stages has looked so often."""
        while len(self.count) < stages or min(self.count.values()) < each:
            self._seen.clear()
            await self._seen.wait()


def begin(opened: Orchestrator, sealed: Any, looks: Looks) -> DrivenRun:
    return opened.create(sealed, {}, requested_by="test", origin=Origin(), observer=looks)


def test_stages_of_a_run_that_wait_for_the_same_prefix_look_together(tmp_path, listings):
    """However many they are, a round costs one listing per distinct prefix; and then all of them are served."""

    async def story() -> tuple[str, int, int]:
        async with orchestrator(tmp_path) as opened:
            looks = Looks()
            run = begin(opened, program(400, 20, "memory:one-run", "300 milliseconds"), looks)
            await looks.until(3, 400)
            rounds, listed = max(looks.count.values()), listings.total()
            for number in range(20):
                memory_bucket("memory:one-run").write(f"p{number}/f1", b"")
            await opened.rested(run)
            return run.state.status, rounds, listed

    status, rounds, listed = asyncio.run(story())
    assert status == "completed"
    # A round may have been listed whose looks are not on record yet.
    assert listed <= 20 * (rounds + 1)


def test_runs_that_began_at_different_times_come_to_look_together(tmp_path, listings):
    """Their first looks are their own; from then on they share their rounds."""

    async def story() -> tuple[int, int, int, int]:
        async with orchestrator(tmp_path) as opened:
            looks = Looks()
            sealed = program(2, 2, "memory:many-runs", "600 milliseconds")
            runs = []
            for number in range(1, 13):
                runs.append(begin(opened, sealed, looks))
                await looks.until(1, 2 * number)
            await looks.until(2, 24)
            rounds, listed = max(looks.count.values()), listings.total()
            await looks.until(5, 24)
            more_rounds, more_listed = max(looks.count.values()), listings.total()
            for number in range(2):
                memory_bucket("memory:many-runs").write(f"p{number}/f1", b"")
            for run in runs:
                await opened.rested(run)
            return rounds, listed, more_rounds, more_listed

    rounds, listed, more_rounds, more_listed = asyncio.run(story())
    # Two listings a round; each stage for itself would make it 24.
    assert more_listed - listed <= 6 * (more_rounds - rounds)


def test_a_bucket_that_cannot_answer_is_never_something_missing(tmp_path, monkeypatch):
    """The stage waits, says what the bucket said, asks again by itself, and goes on when there is an answer."""
    listed = MemoryBucket.list_folder
    troubles = [BucketError("503 Slow Down"), BucketError("timed out")]

    def list_folder(self: MemoryBucket, folder: str, start: str = "") -> Iterator[ObjectFacts | str]:
        if troubles:
            raise troubles.pop(0)
        return listed(self, folder, start)

    monkeypatch.setattr(MemoryBucket, "list_folder", list_folder)
    monkeypatch.setattr(gathering, "BUCKET_ERRORS", Retry(delay_milliseconds=20))
    memory_bucket("memory:troubled").write("p0/f1", b"")

    async def story() -> tuple[str, int]:
        async with orchestrator(tmp_path) as opened:
            looks = Looks()
            run = begin(opened, program(1, 1, "memory:troubled", "1 hour"), looks)
            await opened.rested(run)
            return run.state.status, looks.count.total()

    assert asyncio.run(story()) == ("completed", 2)


@pytest.mark.soak
def test_ten_thousand_stages_wait_on_a_hundred_prefixes(tmp_path, listings):
    """A hundred listings a round."""

    async def story() -> tuple[str, int, int]:
        async with orchestrator(tmp_path) as opened:
            looks = Looks()
            run = begin(opened, program(10_000, 100, "memory:very-many", "10 seconds"), looks)
            await looks.until(3, 10_000)
            rounds, listed = max(looks.count.values()), listings.total()
            for number in range(100):
                memory_bucket("memory:very-many").write(f"p{number}/f1", b"")
            await opened.rested(run)
            return run.state.status, rounds, listed

    status, rounds, listed = asyncio.run(story())
    assert status == "completed"
    assert listed <= 100 * (rounds + 1)
