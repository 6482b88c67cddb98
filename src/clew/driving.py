"""Runs driven from this process until they rest: asked for, followed while another process drives, taken up again.

On one SQLite file one process drives at a time. A run that is asked for meanwhile is made durable first; then whoever
gets the lock drives it. On PostgreSQL each drives what it has asked for, beside others; but for programs whose places
another one gives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress

from clew.core.program.model import Json
from clew.core.running.instructions import Instruction
from clew.core.running.sealed_program import SealedProgram
from clew.core.running.statuses import SETTLED
from clew.following import (
    AGAIN,
    FOLLOW_INTERVAL_SECONDS,
    NotFinished,
    Outcome,
    TakenOver,
    Watcher,
    answered,
    follow,
    observer_of,
    outcome_of,
    rest,
)
from clew.operations.records import REST, Records, Tracker
from clew.operations.requests import RequestError
from clew.orchestrator.creating import CREATE_TRIES_MAX
from clew.orchestrator.driven_run import DrivenRun
from clew.orchestrator.driven_run import Origin as Origin
from clew.orchestrator.orchestrator import Orchestrator
from clew.ports import (
    DrivenElsewhere,
    RunExists,
    Store,
    StoreBusy,
    StoreError,
    UnsafeStore,
)
from clew.settings import Settings
from clew.wiring import instruct, open_orchestrator, open_records, queue_run, shown

OBEYED_INTERVAL_SECONDS = 0.005
"""How often this process looks whether it has obeyed: that takes a turn, and a person waits."""

TAKEN_UP_SECONDS_MAX = 30
"""How long a process that drives the store's runs may take to answer what is said. It looks several times a second;
one that has not looked in so long hangs, and a person must not wait for it without knowing."""


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
            return await follow(settings, run_id, watcher)
        if orchestrator.store.unsettled():
            _tell_of_others(settings, watcher)
        for _ in range(CREATE_TRIES_MAX):
            try:
                run = orchestrator.create(
                    sealed,
                    variables,
                    requested_by=requested_by,
                    origin=origin,
                    observer=observer_of(orchestrator, watcher),
                )
            except DrivenElsewhere as elsewhere:
                run_id = queue_run(settings, sealed, variables, requested_by=requested_by, origin=origin)
                watcher.is_beside(str(elsewhere))
                return await follow(settings, run_id, watcher, orchestrator=orchestrator)
            if sealed.has_places and not run.state.has_place:
                _see_to_its_way(orchestrator, run, watcher)
            try:
                return await rest(orchestrator, run)
            except RunExists:
                continue
            except TakenOver as taken:
                watcher.is_beside(str(taken))
                return await follow(
                    settings, run.state.run_id, watcher, after=taken.seq, orchestrator=orchestrator
                )
        raise StoreError(
            f"{shown(settings.store)}: too many runs of {sealed.program.name} at once; try again"
        )


def _tell_of_others(settings: Settings, watcher: Watcher) -> None:
    with open_records(settings) as records:
        count = len(records.unfinished())
    if count:
        watcher.others(count)


def _see_to_its_way(orchestrator: Orchestrator, run: DrivenRun, watcher: Watcher) -> None:
    """The run may be queued behind others of its program that nobody drives: nobody else can, as long as this process
    does."""
    with suppress(*AGAIN):
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
                except DrivenElsewhere as elsewhere:
                    if run_id is not None:
                        watcher.is_beside(str(elsewhere))
                        return await _resume_beside(settings, run_id, watcher, orchestrator)
                except StoreError as error:
                    failures.append(NotFinished(row["run_id"], str(error)))
        if run_id is None:
            with suppress(*AGAIN):  # it is tried again by and by
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
    found = await asyncio.gather(*(rest(orchestrator, run) for run in runs), return_exceptions=True)
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
    settings: Settings, run_id: str, watcher: Watcher, orchestrator: Orchestrator | None = None
) -> tuple[list[Outcome], list[NotFinished]]:
    """See that the run goes on while another process drives it, or all of the store's."""
    try:
        return [await follow(settings, run_id, watcher, orchestrator=orchestrator)], []
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
        state = (await answered(lambda: _now(settings, run_id))).state
        if state.status in REST or state.is_paused:
            raise
    return await follow(settings, run_id, watcher)


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
                seq = None
                with suppress(*AGAIN), open_records(settings) as records:
                    seq = _obeyed_by(records.store, instruction_id)
                if seq is not None:
                    if stays:
                        return await follow(settings, run_id, watcher, after=seq - 1)
                    return await answered(lambda: _now(settings, run_id))
                if clock() - said_at > TAKEN_UP_SECONDS_MAX:
                    raise NotFinished(run_id, f"{busy}, and {_NOT_TAKEN_UP}") from busy
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
    clock = asyncio.get_running_loop().time
    said_at = clock()
    with suppress(*AGAIN):  # it is tried again by and by
        orchestrator.attend()
    run = orchestrator.driver.runs.get(run_id)
    if run is not None:
        run.observer = observer_of(orchestrator, watcher)
    store = orchestrator.store
    try:
        while (seq := await answered(lambda: _obeyed_by(store, instruction_id))) is None:
            try:
                orchestrator.check()
            except Exception as error:
                raise NotFinished(run_id, str(error)) from error
            run = run or orchestrator.driver.runs.get(run_id)
            if run is None and clock() - said_at > TAKEN_UP_SECONDS_MAX:
                raise NotFinished(run_id, f"another orchestrator drives the run, and {_NOT_TAKEN_UP}")
            await asyncio.sleep(FOLLOW_INTERVAL_SECONDS if run is None else OBEYED_INTERVAL_SECONDS)
    except Refused as refused:
        run = run or orchestrator.driver.runs.get(run_id)
        if run is not None and stays:
            refused.outcome = await rest(orchestrator, run)
        raise
    run = run or orchestrator.driver.runs.get(run_id)
    if not stays:
        return await answered(lambda: _now(settings, run_id))
    if run is None or run.error is not None:
        return await follow(settings, run_id, watcher, after=seq - 1, orchestrator=orchestrator)
    return await rest(orchestrator, run)


_NOT_TAKEN_UP = "has not taken up what was said; it stands, and is obeyed by whoever looks next"


def _obeyed_by(store: Store | Tracker, instruction_id: str) -> int | None:
    """The entry by which the instruction was obeyed; None as long as it waits. Raises Refused, StoreError."""
    row = store.instruction(instruction_id)
    if row is None:
        raise StoreError("the instruction is gone; verify the store")
    if row.answer == "refused":
        raise Refused(row.why)
    return row.seq


def _now(settings: Settings, run_id: str) -> Outcome:
    with open_records(settings) as records:
        return outcome_of(records.history(records.find(run_id)))


def _to_resume(records: Records, run_id: str | None) -> list[dict[str, Json]]:
    if run_id is None:
        rows = [records.store.run(found) for found, _ in records.unfinished()]
        return [row for row in rows if row is not None]
    row = records.store.run(run_id)
    if row is None or row["status"] in SETTLED:
        raise RequestError(f"run {run_id} is {row['status'] if row else 'gone'}: there is nothing to resume")
    return [row]
