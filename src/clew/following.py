"""A run that is waited for, whoever drives it: this process, or another one that is watched until nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from clew.core.program.model import Json
from clew.core.running.decide import stands_still
from clew.core.running.entries import Entry
from clew.core.running.state import RunState
from clew.core.sealing.journal import read_entry
from clew.operations.records import REST, History, Records
from clew.orchestrator.driven_run import DrivenRun, Observer
from clew.orchestrator.orchestrator import Orchestrator
from clew.ports import (
    CommitUnknown,
    DrivenElsewhere,
    Fenced,
    FlushFailed,
    PayloadRow,
    RunExists,
    StoreBusy,
)
from clew.settings import Settings
from clew.wiring import open_orchestrator, open_records

AGAIN = (StoreBusy, CommitUnknown)
"""What a store says that may be asked again."""

FOLLOW_INTERVAL_SECONDS = 0.1
"""How often a run that another process drives is looked at, and its lock asked for."""

Answer = TypeVar("Answer")

Said = Callable[[], Mapping[str, Json]]
"""Fetches what the entry's payload says."""


class Recording(Protocol):
    """Is told what happens to runs, each thing once it is durable."""

    def recorded(self, entry: Entry, state: RunState, said: Said) -> None:
        """An entry of a run's journal, and what the run amounts to with it."""


class Watcher(Recording, Protocol):
    """Is told what happens to the runs that are stayed with."""

    def is_beside(self, why: str) -> None:
        """Another process drives the store's runs; what was asked for here waits for it."""

    def is_told(self, why: str) -> None:
        """Another process drives the store's runs, and obeys."""

    def others(self, count: int) -> None:
        """So many runs are unfinished, and nobody drives them."""


class Outcome(NamedTuple):
    """A run that has come to rest, and its variables map."""

    state: RunState
    values: Mapping[str, Json]


class NotFinished(Exception):
    """Driving ended before the run did. What was recorded stands, and the run can be resumed."""

    def __init__(self, run_id: str, why: str) -> None:
        super().__init__(why)
        self.run_id = run_id


class TakenOver(NotFinished):
    """Another orchestrator drives the run by now. `seq`: the last entry that was told of here."""

    def __init__(self, run_id: str, why: str, seq: int) -> None:
        super().__init__(run_id, why)
        self.seq = seq


async def follow(
    settings: Settings,
    run_id: str,
    watcher: Watcher,
    *,
    after: int = -1,
    orchestrator: Orchestrator | None = None,
) -> Outcome:
    """Watch the run while another process drives it, and tell what comes after that entry, to its rest as
    `Orchestrator.rested` has it; drive it when nobody does any more, by this orchestrator if there is one."""
    async with AsyncExitStack() as stack:
        records = await answered(lambda: stack.enter_context(open_records(settings)))
        row = await answered(lambda: records.find(run_id))
        state = await answered(lambda: RunState(records.sealed_of(row["version"])))
        await answered(lambda: _catch_up(records, run_id, state, after))
        await answered(lambda: _tell_news(records, run_id, state, watcher))
        was_paused = state.is_paused
        while True:
            try:
                _tell_news(records, run_id, state, watcher)
                row = records.find(run_id)
                if row["status"] in REST or (was_paused and stands_still(state)):
                    _tell_news(records, run_id, state, watcher)
                    return outcome_of(records.history(row))
                if orchestrator is None:
                    opening = open_orchestrator(settings, forks=True)
                    orchestrator = await stack.enter_async_context(opening)
                    continue  # what came meanwhile is told first
                run = orchestrator.take_up(run_id, row["version"], row["origin"])
                _tell_news(records, run_id, state, watcher)
            except (*AGAIN, DrivenElsewhere):
                await asyncio.sleep(FOLLOW_INTERVAL_SECONDS)
                continue
            run.observer = observer_of(orchestrator, watcher)
            try:
                return await rest(orchestrator, run)
            except TakenOver as taken:
                watcher.is_beside(str(taken))
                await answered(partial(_catch_up, records, run_id, state, taken.seq))


async def answered(ask: Callable[[], Answer]) -> Answer:
    """What the store says; asked again as long as it is busy, or not there: what has been asked for is on record."""
    while True:
        try:
            return ask()
        except AGAIN:
            await asyncio.sleep(FOLLOW_INTERVAL_SECONDS)


async def rest(orchestrator: Orchestrator, run: DrivenRun) -> Outcome:
    """Wait for the run's rest. Raises RunExists as long as nothing was done, else NotFinished."""
    try:
        await orchestrator.rested(run)
    except RunExists:
        raise
    except (Fenced, DrivenElsewhere) as error:
        raise TakenOver(run.state.run_id, str(error), run.recorded_seq) from error
    except Exception as error:
        if run.created is not None and not isinstance(error, FlushFailed):
            raise  # nothing of it is on record
        raise NotFinished(run.state.run_id, str(error)) from error
    return Outcome(run.state, run.values)


def _catch_up(records: Records, run_id: str, state: RunState, seq: int) -> None:
    """Let the state be as of that entry: what came until then has been told."""
    for content, _ in records.store.journal(run_id, state.seq)[: seq - state.seq]:
        state.apply(read_entry(content.encode()))


def _tell_news(records: Records, run_id: str, state: RunState, watcher: Watcher) -> None:
    for content, _ in records.store.journal(run_id, state.seq):
        entry = read_entry(content.encode())
        state.apply(entry)
        watcher.recorded(entry, state, _said(records.store.payload, run_id, entry))


def outcome_of(history: History) -> Outcome:
    return Outcome(history.state, history.variables)


def observer_of(orchestrator: Orchestrator, watcher: Recording) -> Observer:
    """Tells the watcher what happens to runs that the orchestrator drives."""

    def recorded(entry: Entry, state: RunState) -> None:
        watcher.recorded(entry, state, _said(orchestrator.store.payload, state.run_id, entry))

    return recorded


def _said(payload: Callable[[str, int], PayloadRow | None], run_id: str, entry: Entry) -> Said:
    """What the entry's payload says; a large one, which stands elsewhere, is not fetched for a line of talk, nor is a
    store waited for that is not there."""

    def said() -> Mapping[str, Json]:
        if not entry.payload:
            return {}
        try:
            row = payload(run_id, entry.seq)
        except AGAIN:
            return {}
        if row is None or row.content is None:
            return {}
        found: Mapping[str, Json] = msgspec.json.decode(row.content)
        return found

    return said
