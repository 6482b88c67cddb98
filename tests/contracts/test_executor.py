"""Every executor keeps the port's promises: each attempt ends in one report, which says what came of it."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.executors.attempts import Signal, calls, local, request, stages, submit

from clew.executors.inline import InlineExecutor
from clew.ports import AttemptReport, Executor, WorkItem

STAGES = """
import asyncio

def add(one, other):
    return {"sum": one + other, "difference": one - other}

async def later(one):
    await asyncio.sleep(0)
    return one

def refuse():
    raise LookupError("sold out")

async def hold(began):
    with open(began, "w") as signal:
        signal.write("b")
    await asyncio.Event().wait()

def held(one):
    return one == 1

def is_one(one):
    return None if one == 1 else f"{one} is not one"
"""

Open = Callable[[Path], AbstractAsyncContextManager[Executor]]


@asynccontextmanager
async def inline(folder: Path) -> AsyncIterator[Executor]:
    def function_of(reference: str, where: str) -> Callable[..., Any]:
        module, _, name = reference.partition(":")
        sys.path.insert(0, where)
        try:
            return getattr(importlib.import_module(module), name)
        finally:
            sys.path.remove(where)

    sys.modules.pop("stages", None)
    importlib.invalidate_caches()
    executor = InlineExecutor(function_of)
    try:
        yield executor
    finally:
        await executor.close()
        sys.modules.pop("stages", None)


def forked(folder: Path) -> AbstractAsyncContextManager[Executor]:
    return local(folder, forks=True)


@pytest.fixture(params=[local, forked, inline])
def open_executor(request: pytest.FixtureRequest) -> Open:
    return request.param


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    stages(tmp_path, STAGES)
    return tmp_path


def test_outputs_are_what_the_function_returned(open_executor: Open, folder: Path) -> None:
    """Plain and async functions get their inputs, and their outputs are taken from what they return."""

    async def run() -> None:
        async with open_executor(folder) as executor:
            added = calls(folder, "add", scope={"one": 3, "other": 1}, outputs=["sum", "difference"])
            waited = calls(folder, "later", scope={"one": [1, {"a": None}]}, outputs=["same"])
            reports = await asyncio.gather(submit(executor, added), submit(executor, waited))
            assert [report.outcome for report in reports] == ["completed", "completed"], reports
            assert reports[0].outputs == {"sum": 4, "difference": 2}
            assert reports[1].outputs == {"same": [1, {"a": None}]}

    asyncio.run(run())


def test_an_error_is_reported_with_its_kind(open_executor: Open, folder: Path) -> None:
    """An exception's class is the error's kind; a missing output is of the kind `output`."""

    async def run() -> None:
        async with open_executor(folder) as executor:
            refused, missing = await asyncio.gather(
                submit(executor, calls(folder, "refuse")),
                submit(
                    executor, calls(folder, "add", scope={"one": 1, "other": 1}, outputs=["sum", "total"])
                ),
            )
            assert (refused.outcome, missing.outcome) == ("failed", "failed")
            assert refused.error is not None and missing.error is not None
            assert (refused.error.kind, refused.error.message) == ("LookupError", "sold out")
            assert "stages.py" in refused.error.detail
            assert missing.error.kind == "output" and "'total'" in missing.error.message

    asyncio.run(run())


def test_conditions_are_told_apart(open_executor: Open, folder: Path) -> None:
    """A test completes with one finding a condition, in order."""

    async def run() -> None:
        items = [WorkItem("python", {"function": f"stages:{name}"}) for name in ("held", "is_one")]
        async with open_executor(folder) as executor:
            for one, verdict in ((1, "held"), (2, "not_held")):
                report = await submit(executor, request(folder, items, work="test", scope={"one": one}))
                assert report.outcome == "completed"
                assert [finding.verdict for finding in report.findings] == [verdict, verdict]

    asyncio.run(run())


def test_the_end_comes_later_and_once(open_executor: Open, folder: Path) -> None:
    """`ended` is not called from within `submit`, and is called once for each of a turn's attempts."""

    async def run() -> None:
        ends: list[AttemptReport] = []
        all_ended = asyncio.Event()

        def ended(report: AttemptReport) -> None:
            ends.append(report)
            if len(ends) == 5:
                all_ended.set()

        async with open_executor(folder) as executor:
            executor.submit_all([(calls(folder, "later", scope={"one": 1}), ended) for _ in range(5)])
            assert ends == []
            await all_ended.wait()
        assert [report.outcome for report in ends] == ["completed"] * 5

    asyncio.run(run())


@pytest.mark.parametrize("way", ["deadline", "cancel", "close"])
def test_whoever_ends_it_is_told(open_executor: Open, folder: Path, way: str) -> None:
    """What runs when its deadline comes, when it is cancelled, or the executor closed, ends and says why."""

    async def run() -> None:
        began = Signal(folder, "began")
        async with open_executor(folder) as executor:
            timeout = 0.3 if way == "deadline" else 30
            one = calls(folder, "hold", scope={"began": str(began.path)}, timeout=timeout)
            ended = submit(executor, one)
            if way != "deadline":
                await asyncio.to_thread(began.wait_for)
            if way == "cancel":
                executor.cancel(one.attempt_id)
                executor.cancel(one.attempt_id)
            if way == "close":
                await executor.close()
            assert (await ended).outcome == ("timed_out" if way == "deadline" else "cancelled")
            executor.cancel(one.attempt_id)

    asyncio.run(run())
