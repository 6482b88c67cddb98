"""Runs driven from this process until they rest: asked for, followed while another process drives, taken up again.

On one store one process drives at a time. A run that is asked for meanwhile is made durable first; then whoever
gets the lock drives it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import NamedTuple, Protocol

import msgspec

from clew.core.program.model import Json
from clew.core.running.decide import stands_still
from clew.core.running.entries import Entry
from clew.core.running.instructions import Instruction
from clew.core.running.sealed_program import SealedProgram
from clew.core.running.state import RunState
from clew.core.running.statuses import SETTLED
from clew.core.sealing.journal import read_entry
from clew.operations.records import REST, History, Records
from clew.operations.requests import RequestError
from clew.orchestrator.driven_run import DrivenRun, Observer
from clew.orchestrator.driven_run import Origin as Origin
from clew.orchestrator.orchestrator import Orchestrator
from clew.ports import Fenced, FlushFailed, PayloadRow, RunExists, StoreBusy, StoreError, UnsafeStore
from clew.settings import Settings
from clew.wiring import instruct, open_orchestrator, open_records, queue_run

FOLLOW_INTERVAL_SECONDS = 0.1
"""How often a run that another process drives is looked at, and its lock asked for."""

OBEYED_INTERVAL_SECONDS = 0.005
"""How often this process looks whether it has obeyed: that takes a turn, and a person waits."""

TAKEN_UP_SECONDS_MAX = 30
"""How long a process that drives the store's runs may take to answer what is said. It looks several times a second;
one that has not looked in so long hangs, and a person must not wait for it without knowing."""

CREATE_TRIES_MAX = 5
"""How often a run is asked for again when another process has just made the same: each try is a later millisecond."""

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


async def run_to_rest(
    settings: Settings,
    sealed: SealedProgram,
    variables: Mapping[str, Json],
    *,
    requested_by: str,
    origin: Origin,
    watcher: Watcher,
) -> Outcome:
    """Ask for a run and drive it, or follow it, until it rests. `variables` are checked already.

    Raises StoreError when nothing was done, NotFinished when something was.
    """
    async with AsyncExitStack() as stack:
        try:
            orchestrator = await stack.enter_async_context(open_orchestrator(settings, forks=True))
        except StoreBusy as busy:
            run_id = queue_run(settings, sealed, variables, requested_by=requested_by, origin=origin)
            watcher.is_beside(str(busy))
            return await _follow(settings, run_id, watcher)
        if orchestrator.store.unsettled():
            _tell_of_others(settings, watcher)
        for _ in range(CREATE_TRIES_MAX):
            run = orchestrator.create(
                sealed,
                variables,
                requested_by=requested_by,
                origin=origin,
                observer=observer_of(orchestrator, watcher),
            )
            if sealed.has_places and not run.state.has_place:
                _see_to_its_way(orchestrator, run, watcher)
            try:
                return await _rest(orchestrator, run)
            except RunExists:
                continue
        raise StoreError(f"{settings.store}: too many runs of {sealed.program.name} at once; try again")


def _tell_of_others(settings: Settings, watcher: Watcher) -> None:
    with open_records(settings) as records:
        count = len(records.unfinished())
    if count:
        watcher.others(count)


def _see_to_its_way(orchestrator: Orchestrator, run: DrivenRun, watcher: Watcher) -> None:
    """The run may be queued behind others of its program that nobody drives: nobody else can, as long as this process
    does."""
    with suppress(StoreBusy):
        taken = orchestrator.take_up_others(run)
        for run_id in taken:
            orchestrator.driver.runs[run_id].observer = observer_of(orchestrator, watcher)


async def resume_to_rest(
    settings: Settings, run_id: str | None, *, watcher: Watcher
) -> tuple[list[Outcome], list[NotFinished]]:
    """Take up the run, or without one all that are unfinished or have been told something, and drive them until they
    rest.

    A run that is named is followed while another process drives the store's runs. Raises StoreError or RequestError
    when nothing was done. Runs that could not be taken up, or not driven to their rest, are told apart.
    """
    async with AsyncExitStack() as stack:
        try:
            orchestrator = await stack.enter_async_context(open_orchestrator(settings, forks=True))
        except StoreBusy as busy:
            watcher.is_beside(str(busy))
            if run_id is not None:
                return await _resume_beside(settings, run_id, watcher)
            orchestrator = await stack.enter_async_context(open_orchestrator(settings, wait=True, forks=True))
        observer = observer_of(orchestrator, watcher)
        runs: list[DrivenRun] = []
        failures: list[NotFinished] = []
        with open_records(settings) as records:
            for row in _to_resume(records, run_id):
                try:
                    runs.append(orchestrator.take_up(row["run_id"], row["version"], row["origin"], observer))
                except StoreError as error:
                    failures.append(NotFinished(row["run_id"], str(error)))
        if run_id is None:
            with suppress(StoreBusy):  # it is tried again by and by
                orchestrator.attend()
            runs = list(orchestrator.driver.runs.values())
        ended: dict[str, Outcome | NotFinished] = {}
        while runs:
            for run in runs:
                run.observer = observer
            ended.update(await _rests(orchestrator, runs))
            runs = _told_meanwhile(orchestrator, ended) if run_id is None else []
        failures += [each for each in ended.values() if isinstance(each, NotFinished)]
        return [each for each in ended.values() if isinstance(each, Outcome)], failures


async def _rests(orchestrator: Orchestrator, runs: Sequence[DrivenRun]) -> dict[str, Outcome | NotFinished]:
    """Wait for the rest of all of these: how each came to it, or did not, by its id."""
    found = await asyncio.gather(*(_rest(orchestrator, run) for run in runs), return_exceptions=True)
    ended: dict[str, Outcome | NotFinished] = {}
    for run, each in zip(runs, found, strict=True):
        if isinstance(each, BaseException) and not isinstance(each, NotFinished):
            raise each
        ended[run.state.run_id] = each
    return ended


def _told_meanwhile(
    orchestrator: Orchestrator, ended: Mapping[str, Outcome | NotFinished]
) -> list[DrivenRun]:
    """The runs that go on here since somebody has told them something: nobody else can drive them before this process
    ends, and what they have under way would end with it. One that stands still may do so for ever."""
    return [
        run
        for run in orchestrator.driver.runs.values()
        if not (run.is_at_rest or run.stands_still or isinstance(ended.get(run.state.run_id), NotFinished))
    ]


async def _resume_beside(
    settings: Settings, run_id: str, watcher: Watcher
) -> tuple[list[Outcome], list[NotFinished]]:
    """See that the run goes on while another process drives the store's runs."""
    try:
        return [await _follow(settings, run_id, watcher)], []
    except NotFinished as error:
        return [], [error]


class Refused(Exception):
    """The run can't do what a person tells it; the message says why. Nothing was done; but `outcome` says to which rest
    the run was driven, where somebody else had told it something before."""

    outcome: Outcome | None = None


async def instruct_run(
    settings: Settings, run_id: str, instruction: Instruction, *, stays: bool, watcher: Watcher
) -> Outcome:
    """Tell the run something, and wait until it has been obeyed; with `stays` until the run rests, and drive it if
    nobody else does. What is said is durable before anything else, and obeyed once, whoever is lost meanwhile.

    Raises Refused, StoreError when nothing was done, NotFinished when something was.
    """
    try:
        return await _instructed(settings, run_id, instruction, stays, watcher)
    except Refused as refused:
        if not stays or instruction.verb != "resume" or instruction.reason:
            raise
        # All that was wanted is that it goes on, whoever has said so first.
        if refused.outcome is not None:
            return refused.outcome
        state = _now(settings, run_id).state
        if state.status in REST or state.is_paused:
            raise
    return await _follow(settings, run_id, watcher)


async def _instructed(
    settings: Settings, run_id: str, instruction: Instruction, stays: bool, watcher: Watcher
) -> Outcome:
    """See `instruct_run`."""
    instruction_id = instruct(settings, run_id, instruction)
    clock = asyncio.get_running_loop().time
    said_at, is_told = clock(), False
    while True:
        async with AsyncExitStack() as stack:
            try:
                orchestrator = await stack.enter_async_context(open_orchestrator(settings, forks=True))
            except UnsafeStore as error:
                why = "what was said stands, and is obeyed by whoever drives the store's runs next"
                raise NotFinished(run_id, f"{error}\n{why}") from error
            except StoreBusy as busy:
                if not is_told:
                    watcher.is_told(str(busy))
                    is_told = True
                seq = _obeyed_by(settings, instruction_id)
                if seq is not None:
                    if stays:
                        return await _follow(settings, run_id, watcher, after=seq - 1)
                    return _now(settings, run_id)
                if clock() - said_at > TAKEN_UP_SECONDS_MAX:
                    why = "has not taken up what was said; it stands, and is obeyed by whoever looks next"
                    raise NotFinished(run_id, f"{busy}, and {why}") from busy
                await asyncio.sleep(FOLLOW_INTERVAL_SECONDS)
            else:
                if not stays:
                    orchestrator.driver.drain()
                return await _obey(orchestrator, settings, run_id, instruction_id, stays, watcher)


async def _obey(
    orchestrator: Orchestrator,
    settings: Settings,
    run_id: str,
    instruction_id: str,
    stays: bool,
    watcher: Watcher,
) -> Outcome:
    """Have this process' own orchestrator obey, and with `stays` drive the run to its rest; also when it refuses, but
    has obeyed what somebody else had said before."""
    with suppress(StoreBusy):  # it is tried again by and by
        orchestrator.attend()
    run = orchestrator.driver.runs.get(run_id)
    if run is not None:
        run.observer = observer_of(orchestrator, watcher)
    try:
        while _obeyed_by(settings, instruction_id) is None:
            try:
                orchestrator.check()
            except Exception as error:
                raise NotFinished(run_id, str(error)) from error
            await asyncio.sleep(OBEYED_INTERVAL_SECONDS)
    except Refused as refused:
        run = run or orchestrator.driver.runs.get(run_id)
        if run is not None and stays:
            refused.outcome = await _rest(orchestrator, run)
        raise
    run = run or orchestrator.driver.runs.get(run_id)
    if run is None or not stays:
        return _now(settings, run_id)
    return await _rest(orchestrator, run)


def _obeyed_by(settings: Settings, instruction_id: str) -> int | None:
    """The entry by which the instruction was obeyed; None as long as it waits. Raises Refused."""
    with open_records(settings) as records:
        row = records.store.instruction(instruction_id)
    if row is None:
        raise StoreError(f"{settings.store}: the instruction is gone; verify the store")
    if row.answer == "refused":
        raise Refused(row.why)
    return row.seq


def _now(settings: Settings, run_id: str) -> Outcome:
    with open_records(settings) as records:
        return _outcome(records.history(records.find(run_id)))


def _to_resume(records: Records, run_id: str | None) -> list[dict[str, Json]]:
    if run_id is None:
        rows = [records.store.run(found) for found, _ in records.unfinished()]
        return [row for row in rows if row is not None]
    row = records.store.run(run_id)
    if row is None or row["status"] in SETTLED:
        raise RequestError(f"run {run_id} is {row['status'] if row else 'gone'}: there is nothing to resume")
    return [row]


async def _rest(orchestrator: Orchestrator, run: DrivenRun) -> Outcome:
    """Wait for the run's rest. Raises RunExists as long as nothing was done, else NotFinished."""
    try:
        await orchestrator.rested(run)
    except RunExists:
        raise
    except Fenced as error:
        raise NotFinished(run.state.run_id, str(error)) from error
    except Exception as error:
        if run.created is not None and not isinstance(error, FlushFailed):
            raise  # nothing of it is on record
        raise NotFinished(run.state.run_id, str(error)) from error
    return Outcome(run.state, run.values)


async def _follow(settings: Settings, run_id: str, watcher: Watcher, *, after: int = -1) -> Outcome:
    """Watch the run while another process drives the store's runs, and tell what comes after that entry, to its rest as
    `Orchestrator.rested` has it; drive it when nobody does any more."""
    with open_records(settings) as records:
        row = records.find(run_id)
        state = RunState(records.sealed_of(row["version"]))
        for content, _ in records.store.journal(run_id)[: after + 1]:
            state.apply(read_entry(content.encode()))
        _tell_news(records, run_id, state, watcher)
        was_paused = state.is_paused
        while True:
            _tell_news(records, run_id, state, watcher)
            row = records.find(run_id)
            if row["status"] in REST or (was_paused and stands_still(state)):
                _tell_news(records, run_id, state, watcher)
                return _outcome(records.history(row))
            async with AsyncExitStack() as stack:
                try:
                    orchestrator = await stack.enter_async_context(open_orchestrator(settings, forks=True))
                except StoreBusy:
                    await asyncio.sleep(FOLLOW_INTERVAL_SECONDS)
                    continue
                _tell_news(records, run_id, state, watcher)
                row = records.find(run_id)
                if row["status"] in REST:
                    continue
                observer = observer_of(orchestrator, watcher)
                run = orchestrator.take_up(run_id, row["version"], row["origin"], observer)
                return await _rest(orchestrator, run)


def _tell_news(records: Records, run_id: str, state: RunState, watcher: Watcher) -> None:
    for content, _ in records.store.journal(run_id, state.seq):
        entry = read_entry(content.encode())
        state.apply(entry)
        watcher.recorded(entry, state, _said(records.store.payload, run_id, entry))


def _outcome(history: History) -> Outcome:
    return Outcome(history.state, history.variables)


def observer_of(orchestrator: Orchestrator, watcher: Recording) -> Observer:
    """Tells the watcher what happens to runs that the orchestrator drives."""

    def recorded(entry: Entry, state: RunState) -> None:
        watcher.recorded(entry, state, _said(orchestrator.store.payload, state.run_id, entry))

    return recorded


def _said(payload: Callable[[str, int], PayloadRow | None], run_id: str, entry: Entry) -> Said:
    """What the entry's payload says; a large one, which stands elsewhere, is not fetched for a line of talk."""

    def said() -> Mapping[str, Json]:
        if not entry.payload:
            return {}
        row = payload(run_id, entry.seq)
        if row is None or row.content is None:
            return {}
        found: Mapping[str, Json] = msgspec.json.decode(row.content)
        return found

    return said
