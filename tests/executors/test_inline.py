"""In the caller's own process nothing can be killed: an attempt has ended when its function has, or is unknown."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.executors.attempts import request

from clew.executors.inline import INLINE_END_SECONDS_MAX, THREADS_MAX, InlineExecutor
from clew.ports import AttemptReport, AttemptRequest, WorkItem

TIMEOUT = 30
"""Seconds that pass only when a test says so."""


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time can be put forward."""

    passed = 0.0

    def time(self) -> float:
        return super().time() + self.passed


def let_pass(seconds: float) -> None:
    """What is due within that time is due now."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    loop.passed += seconds


class Functions:
    """Plain and async functions that end when the test says so; each takes what it is to return, or to raise."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.begins: asyncio.Queue[str] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self.may_end = threading.Event()
        self.async_may_end = asyncio.Event()

    def _begin(self, name: str) -> None:
        self.began.append(name)
        self._loop.call_soon_threadsafe(self.begins.put_nowait, name)

    def plain(self) -> int:
        self._begin("plain")
        self.may_end.wait()
        return 1

    def failing(self) -> None:
        self._begin("failing")
        self.may_end.wait()
        raise LookupError("sold out")

    def following(self) -> None:
        self._begin("following")

    async def polite(self) -> None:
        self._begin("polite")
        await asyncio.Event().wait()

    async def stubborn(self) -> int:
        """Goes on when it is cancelled."""
        self._begin("stubborn")
        while not self.async_may_end.is_set():
            try:
                await self.async_may_end.wait()
            except asyncio.CancelledError:
                self._begin("cancelled")
        return 1


class Reports:
    """What an attempt's `ended` was told, in order."""

    def __init__(self) -> None:
        self.all: list[AttemptReport] = []
        self._came: asyncio.Queue[AttemptReport] = asyncio.Queue()

    def __call__(self, report: AttemptReport) -> None:
        self.all.append(report)
        self._came.put_nowait(report)

    async def next(self) -> tuple[str, str]:
        """The outcome and the error's kind of the next report, waited for."""
        report = await self._came.get()
        return report.outcome, report.error.kind if report.error is not None else ""


def of(folder: Path, *names: str, **more: Any) -> AttemptRequest:
    items = [WorkItem("python", {"function": name, "with": {}}) for name in names]
    return request(folder, items, timeout=TIMEOUT, **more)


@asynccontextmanager
async def inline() -> AsyncIterator[tuple[InlineExecutor, Functions]]:
    functions = Functions()
    executor = InlineExecutor(lambda reference, folder: getattr(functions, reference))
    try:
        yield executor, functions
    finally:
        functions.may_end.set()
        functions.async_may_end.set()
        await executor.close()


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())


async def closed(executor: InlineExecutor) -> None:
    """Close it, and let as much time pass as it waits for what does not end."""
    closing = asyncio.ensure_future(executor.close())
    await asyncio.sleep(0)  # lets it begin to wait
    let_pass(INLINE_END_SECONDS_MAX)
    await closing


# ---- what ends when it is asked to ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "told"), [("plain", ("completed", "")), ("failing", ("failed", "LookupError"))]
)
def test_a_plain_function_that_is_cancelled_ends_as_it_ends(tmp_path: Path, name: str, told: Any) -> None:
    """Nothing is told while the function runs; then its own outcome is."""

    async def main() -> None:
        ended = Reports()
        async with inline() as (executor, functions):
            one = of(tmp_path, name, outputs=["one"])
            executor.submit(one, ended)
            await functions.begins.get()
            executor.cancel(one.attempt_id)
            executor.submit(of(tmp_path, "following"), other := Reports())
            await other.next()
            assert ended.all == []
            functions.may_end.set()
            assert await ended.next() == told
            assert name == "failing" or ended.all[0].outputs == {"one": 1}

    run(main)


@pytest.mark.parametrize("name", ["plain", "failing"])
def test_a_plain_function_whose_time_is_up_has_timed_out_when_it_ends(tmp_path: Path, name: str) -> None:
    """Nothing is told while the function runs; what came of it then came too late."""

    async def main() -> None:
        ended = Reports()
        async with inline() as (executor, functions):
            executor.submit(of(tmp_path, name), ended)
            executor.submit(of(tmp_path, "polite"), other := Reports())
            assert {await functions.begins.get(), await functions.begins.get()} == {name, "polite"}
            let_pass(TIMEOUT)
            assert await other.next() == ("timed_out", "timed_out")
            assert ended.all == []
            functions.may_end.set()
            assert await ended.next() == ("timed_out", "timed_out")

    run(main)


def test_nothing_begins_in_an_attempt_that_is_to_end(tmp_path: Path) -> None:
    """When the function that was waited for has ended, the attempt's next one does not begin."""

    async def main() -> None:
        ended = Reports()
        async with inline() as (executor, functions):
            one = of(tmp_path, "plain", "following")
            executor.submit(one, ended)
            await functions.begins.get()
            executor.cancel(one.attempt_id)
            functions.may_end.set()
            assert await ended.next() == ("cancelled", "cancelled")
            assert functions.began == ["plain"]

    run(main)


def test_a_function_that_waits_for_a_thread_never_begins(tmp_path: Path) -> None:
    """Cancelled while all threads are taken, it has ended at once."""

    async def main() -> None:
        ended = Reports()
        async with inline() as (executor, functions):
            executor.submit_all([(of(tmp_path, "plain"), Reports()) for _ in range(THREADS_MAX)])
            for _ in range(THREADS_MAX):
                await functions.begins.get()
            one = of(tmp_path, "failing")
            executor.submit(one, ended)
            executor.submit(of(tmp_path, "polite"), Reports())
            await functions.begins.get()
            executor.cancel(one.attempt_id)
            assert await ended.next() == ("cancelled", "cancelled")
            assert "failing" not in functions.began

    run(main)


def test_an_async_function_is_cancelled_once(tmp_path: Path) -> None:
    """Who cancels again, or comes with another reason, does not disturb its tidying up."""

    async def main() -> None:
        ended = Reports()
        async with inline() as (executor, functions):
            one, other = of(tmp_path, "stubborn"), of(tmp_path, "polite")
            executor.submit(one, ended)
            executor.submit(other, others := Reports())
            assert {await functions.begins.get(), await functions.begins.get()} == {"stubborn", "polite"}
            executor.cancel(one.attempt_id)
            assert await functions.begins.get() == "cancelled"
            executor.cancel(one.attempt_id)
            executor.cancel(other.attempt_id)
            await others.next()
            assert functions.began.count("cancelled") == 1 and ended.all == []
            functions.async_may_end.set()
            assert await ended.next() == ("completed", "")

    run(main)


# ---- what does not ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "stubborn"])
def test_what_does_not_end_is_unknown_and_told_once_more_when_it_has(tmp_path: Path, name: str) -> None:
    """After the limit nobody can say more; when the function ends after all, that is told."""

    async def main() -> None:
        cancelled, late = Reports(), Reports()
        async with inline() as (executor, functions):
            one = of(tmp_path, name)
            executor.submit(one, cancelled)
            executor.submit(of(tmp_path, name), late)
            assert [await functions.begins.get() for _ in range(2)] == [name, name]
            executor.cancel(one.attempt_id)
            let_pass(INLINE_END_SECONDS_MAX)
            assert await cancelled.next() == ("unknown", "cancelled")
            let_pass(TIMEOUT)
            executor.submit(of(tmp_path, "following"), other := Reports())
            await other.next()
            let_pass(INLINE_END_SECONDS_MAX)
            assert await late.next() == ("unknown", "timed_out")
            executor.cancel(one.attempt_id)
            functions.may_end.set()
            functions.async_may_end.set()
            assert await cancelled.next() == ("completed", "")
            assert await late.next() == ("timed_out", "timed_out")
        assert (len(cancelled.all), len(late.all)) == (2, 2)

    run(main)


def test_a_test_that_was_given_up_is_never_told_again(tmp_path: Path) -> None:
    """A later round of tests may be out by then, and would take the answer for its own."""

    async def main() -> None:
        tested, other = Reports(), Reports()
        async with inline() as (executor, functions):
            tests, executes = of(tmp_path, "plain", work="test"), of(tmp_path, "plain")
            executor.submit_all([(tests, tested), (executes, other)])
            assert [await functions.begins.get() for _ in range(2)] == ["plain", "plain"]
            executor.cancel(tests.attempt_id)
            executor.cancel(executes.attempt_id)
            let_pass(INLINE_END_SECONDS_MAX)
            assert await tested.next() == await other.next() == ("unknown", "cancelled")
            functions.may_end.set()
            await other.next()
        assert len(tested.all) == 1

    run(main)


def test_closing_waits_no_longer_than_the_limit(tmp_path: Path) -> None:
    """What does not end is given up; what has not begun has ended; what was given up before is not waited for."""

    async def main() -> None:
        reports = {name: Reports() for name in ("plain", "stubborn", "polite", "following")}
        async with inline() as (executor, functions):
            for name in ("plain", "stubborn", "polite"):
                executor.submit(of(tmp_path, name), reports[name])
                await functions.begins.get()
            executor.submit(of(tmp_path, "following"), reports["following"])
            await closed(executor)
            assert {name: [each.outcome for each in came.all] for name, came in reports.items()} == {
                "plain": ["unknown"],
                "stubborn": ["unknown"],
                "polite": ["cancelled"],
                "following": ["cancelled"],
            }
            assert "following" not in functions.began
            await executor.close()  # which waits for nobody any more

    run(main)


@pytest.mark.parametrize("is_given_up", [True, False])
def test_an_event_loop_that_ends_makes_nothing_up(tmp_path: Path, is_given_up: bool) -> None:
    """Who waits for a thread and is cut off says `unknown`, or nothing where that has been said."""
    ended: list[str] = []
    may_end: list[threading.Event] = []

    async def main() -> None:
        functions = Functions()
        may_end.append(functions.may_end)
        executor = InlineExecutor(lambda reference, folder: functions.plain)
        executor.submit(of(tmp_path, "plain"), lambda report: ended.append(report.outcome))
        await functions.begins.get()
        if is_given_up:
            await closed(executor)

    try:
        run(main)
    finally:
        may_end[0].set()
    assert ended == ["unknown"]
