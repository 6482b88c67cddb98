"""What people say is obeyed or refused once, by what is on record, whatever the store says and whenever they say it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from tests.orchestrator.test_recording import PROGRAM, Instant, TroubledStore, assembled

from clew.core.running.entries import RunSettled
from clew.core.running.instructions import Instruction
from clew.orchestrator.driven_run import Origin
from clew.orchestrator.orchestrator import Orchestrator
from clew.ports import AttemptReport, AttemptRequest, InstructionRow, RunRecord, StoreBusy


class Watched(TroubledStore):
    """Knows what had become of the instruction `said` whenever something was to be recorded; and is busy at the first
    refusal, if it is told to be."""

    def __init__(self, *troubles: str, is_busy: bool = False) -> None:
        super().__init__(*troubles)
        self.answers: list[str | None] = []
        self.is_busy = is_busy
        self._asked = asyncio.Event()

    def record(self, records: Sequence[RunRecord]) -> list[str]:
        self._asked.set()
        row = self.instruction("said")
        self.answers.append(None if row is None else row.answer)
        return super().record(records)

    def refuse(self, instruction_id: str, why: str, **given: Any) -> None:
        self._asked.set()
        if self.is_busy:
            self.is_busy = False
            raise StoreBusy("held")
        super().refuse(instruction_id, why, **given)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for what comes about when the store is asked something."""
        while not condition():
            self._asked.clear()
            await self._asked.wait()

    @property
    def answer(self) -> InstructionRow:
        row = self.instruction("said")
        assert row is not None
        return row


class Interrupted(Instant):
    """As its attempt tells of its end, two people say the same to its run: to the second it is no news."""

    orchestrator: Orchestrator

    def submit(self, request: AttemptRequest, ended: Callable[[AttemptReport], None]) -> None:
        def end(report: AttemptReport) -> None:
            ended(report)
            say(self.orchestrator, request.run_id, "pause", "said before")
            say(self.orchestrator, request.run_id, "pause")

        super().submit(request, end)


def say(
    orchestrator: Orchestrator, run_id: str, verb: Any, instruction_id: str = "said", *, stage: str = ""
) -> None:
    content = msgspec.json.encode(Instruction(verb, "somebody", stage=stage)).decode()
    orchestrator.store.instruct(instruction_id, run_id, content, 1)
    orchestrator.attend()


def test_a_run_refuses_by_what_is_on_record() -> None:
    """That it was paused keeps it from being paused; a person is told so once that is durable."""

    async def story() -> tuple[list[str | None], InstructionRow]:
        store, executor = Watched("", "busy", "busy"), Interrupted()
        executor.orchestrator = orchestrator = assembled(store, executor)
        run = orchestrator.create(PROGRAM, {}, requested_by="test", origin=Origin())
        await orchestrator.rested(run)
        return store.answers, store.answer

    answers, answer = asyncio.run(story())
    assert answers == [None] * 4
    assert answer == ("refused", "it is paused already", None)


def test_a_store_that_is_busy_is_given_the_refusal_again() -> None:
    """Nobody has to read the instruction again for that, which is in hand."""

    async def story() -> list[str | None]:
        store, executor = Watched(is_busy=True), Interrupted()
        executor.orchestrator = orchestrator = assembled(store, executor)
        run = orchestrator.create(PROGRAM, {}, requested_by="test", origin=Origin())
        await orchestrator.rested(run)
        before = store.answer.answer
        await store.until(lambda: store.answer.answer)
        return [before, store.answer.answer]

    assert asyncio.run(story()) == [None, "refused"]


def test_a_run_that_is_told_something_while_its_end_is_recorded_does_it() -> None:
    """It has settled, and goes back; nobody takes it up a second time for that, and it settles again."""

    async def story() -> tuple[list[str], str | None, int, list[str]]:
        store, executor = Watched("", "busy"), Instant()
        orchestrator = assembled(store, executor)
        run = orchestrator.create(PROGRAM, {}, requested_by="test", origin=Origin())
        await store.until(lambda: not store.troubles)
        say(orchestrator, run.state.run_id, "rollback")
        await store.until(lambda: run.state.status == "rolled_back" and run.is_at_rest)
        begun, driven = list(executor.begun), list(orchestrator.driver.runs)
        another = orchestrator.create(PROGRAM, {}, requested_by="test", origin=Origin())
        await orchestrator.rested(another)  # so the orchestrator goes on
        return begun, store.answer.answer, run.state.epoch, driven

    begun, answer, epoch, driven = asyncio.run(story())
    assert [attempt_id.partition("/")[2] for attempt_id in begun] == ["a.1", "a.1.rollback.1"]
    assert (answer, epoch, driven) == ("obeyed", 1, [])


def test_a_run_that_has_something_to_do_yet_is_not_taken_up_anew() -> None:
    """A second word, right after its end is on record, comes to the run that is about to obey the first."""

    async def story() -> tuple[str | None, int, list[str]]:
        store, executor = Watched("", "busy"), Instant()
        orchestrator = assembled(store, executor)

        def observer(entry: Any, state: Any) -> None:
            if isinstance(entry.body, RunSettled) and entry.body.status == "completed":
                again = partial(say, orchestrator, state.run_id, "rollback", "said again")
                asyncio.get_running_loop().call_soon(again)

        run = orchestrator.create(PROGRAM, {}, requested_by="test", origin=Origin(), observer=observer)
        await store.until(lambda: not store.troubles)
        say(orchestrator, run.state.run_id, "rollback")
        await store.until(lambda: store.answer.answer and run.is_at_rest)
        row = store.run(run.state.run_id)
        assert row is not None
        return store.answer.answer, row["epoch"], list(executor.begun)

    answer, epoch, begun = asyncio.run(story())
    assert (answer, epoch) == ("obeyed", 1)
    assert [attempt_id.partition("/")[2] for attempt_id in begun] == ["a.1", "a.1.rollback.1"]


def test_all_who_wait_for_a_run_are_told_when_it_rests() -> None:
    """Who asked for a run waits for it, and so does who has told it something: neither misses its rest, nor does the
    one when the other waits no longer."""

    async def story() -> list[Any]:
        orchestrator = assembled(Watched(), Instant())
        run = orchestrator.create(PROGRAM, {}, requested_by="test", origin=Origin())
        first, impatient, last = (asyncio.ensure_future(orchestrator.rested(run)) for _ in range(3))
        asyncio.get_running_loop().call_soon(impatient.cancel)
        return await asyncio.wait_for(asyncio.gather(first, impatient, last, return_exceptions=True), 10)

    first, impatient, last = asyncio.run(story())
    assert (first, last) == (None, None)
    assert isinstance(impatient, asyncio.CancelledError)
