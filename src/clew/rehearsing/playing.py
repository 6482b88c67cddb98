"""Plays one scenario: a run in a scratch world, forward and back, with what goes wrong on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from clew.core.program.model import Json, Program, Retry, Stage
from clew.core.running import statuses
from clew.core.running.entries import Entry, StageWaiting
from clew.core.running.instructions import Instruction
from clew.core.running.sealed_program import SealedProgram
from clew.core.running.state import RunState
from clew.operations.requests import RequestError
from clew.orchestrator.driven_run import DrivenRun, Origin
from clew.orchestrator.facts import Instructed
from clew.orchestrator.orchestrator import Orchestrator
from clew.orchestrator.real_world import LoopTasks
from clew.ports import AttemptError, Executor
from clew.rehearsing.asking import searcher_in
from clew.rehearsing.failing import FailingExecutor
from clew.rehearsing.scenarios import Scenario
from clew.rehearsing.scratch import Groundwork, ScratchWorld, open_scratch
from clew.rehearsing.worlds import Act, Change, difference
from clew.wiring import instruct, open_orchestrator

SCENARIO_SECONDS = 120
"""For a run and its way back in a scratch world, where nothing is waited for, unless somebody says otherwise."""

BY = "rehearsal"

_AT_ONCE = Retry(attempts=1, delay_milliseconds=0, growth=1, jitter=False)
_ONCE_MORE = Retry(attempts=2, delay_milliseconds=0, growth=1, jitter=False)
"""A rollback that has failed on purpose is tried again."""


class Played(NamedTuple):
    """What came of a scenario. `left`: how the world differs from what it was before the run. `errors`: how rollbacks
    went wrong of themselves, `failures` how attempts did, by stage."""

    scenario: Scenario
    status: str
    left: tuple[Change, ...]
    acts: tuple[Act, ...]
    errors: Mapping[str, AttemptError]
    failures: Mapping[str, AttemptError]
    held: str
    begun: frozenset[str]
    """The stages of which an attempt was ordered."""
    has_struck: bool
    is_completed: bool
    """It was, before it was rolled back."""
    is_over: bool = True
    """It came to its end within its time."""


class Stuck(RequestError):
    """A run can't get through in the scratch world; the message says why."""


def quickened(program: Program) -> Program:
    """The program as it is rehearsed: nothing is tried twice but a rollback, nothing waited for, and all is undone: the
    way back leads to the start, past a rollback that does not work and past what can't be undone."""
    return msgspec.structs.replace(program, stages=tuple(_quickened(stage) for stage in program.stages))


def _quickened(stage: Stage) -> Stage:
    # Before a point of no return a run would be held, and the rollbacks before it not be tried.
    kind = "undeclared" if stage.rollback.kind == "impossible" else stage.rollback.kind
    rollback = msgspec.structs.replace(
        stage.rollback, kind=kind, to=None, attempts=1, on_failure="continue", retry=_ONCE_MORE
    )
    return msgspec.structs.replace(stage, retry=_AT_ONCE, rollback=rollback)


async def play(
    ground: Groundwork, sealed: SealedProgram, executor: Executor, scenario: Scenario, folder: str
) -> Played:
    """Play the scenario in that folder, which must not be there yet. Raises Stuck, RequestError."""
    async with open_scratch(ground, executor, folder) as world:
        try:
            async with asyncio.timeout(ground.scenario_seconds):
                return await _play(world, sealed, executor, scenario)
        except TimeoutError:
            return Played(
                scenario, "", (), (), {}, {}, "", frozenset(), True, is_completed=False, is_over=False
            )


async def _play(world: ScratchWorld, sealed: SealedProgram, executor: Executor, scenario: Scenario) -> Played:
    before = await asyncio.to_thread(world.looking.look)
    again = await asyncio.to_thread(world.looking.look)
    restless = difference(before, again)
    if restless:
        raise Stuck(
            f"the world changes by itself, so that nothing can be compared: {restless[0]}; "
            f'if that may differ, say so in the rehearsal file: ignore = ["{restless[0].place}"]'
        )
    tasks = LoopTasks(asyncio.get_running_loop())
    failing = FailingExecutor(executor, tasks, scenario, doubled=world.doubled, look=world.looking.look)
    searcher = searcher_in(world)
    async with open_orchestrator(world.settings, executor=failing, searcher=searcher) as orchestrator:
        forward, state = await _driven(world, sealed, scenario, orchestrator, tasks)
    for stage, message in failing.missing.items():
        raise Stuck(f"stage '{stage}': {message}")
    after = await asyncio.to_thread(world.looking.look)
    return Played(
        scenario,
        state.status,
        tuple(difference(before, after)),
        tuple(failing.acts),
        {stage: error for (stage, _), error in failing.errors.items()},
        failing.failures,
        state.held,
        frozenset(name for name, stage in state.stages.items() if stage.attempts),
        failing.has_struck,
        forward == statuses.COMPLETED,
    )


async def _driven(
    world: ScratchWorld,
    sealed: SealedProgram,
    scenario: Scenario,
    orchestrator: Orchestrator,
    tasks: LoopTasks,
) -> tuple[str, RunState]:
    """The run, driven until it rests: a completed one is rolled back then, if the scenario is about rollbacks. Gives
    its status before that."""
    watched = _Watched()
    origin = Origin(world.ground.folder)
    run = orchestrator.create(sealed, world.values, requested_by=BY, origin=origin, observer=watched.recorded)
    for name, value in world.ground.declared.inputs.items():
        instruction = Instruction("supply", BY, values={name: value})
        orchestrator.driver.notice(run, Instructed("", instruction))
    await _rested(orchestrator, run, watched, tasks)
    status = run.state.status
    if scenario.stage or status != statuses.COMPLETED:
        return status, run.state
    instruct(world.settings, run.state.run_id, Instruction("rollback", BY))
    orchestrator.attend()
    taken_up = orchestrator.driver.runs.get(run.state.run_id)
    if taken_up is None:
        return status, run.state  # there is nothing that could be undone
    await _rested(orchestrator, taken_up, watched, tasks)
    return status, taken_up.state


class _Watched:
    """Told of a run's entries: notices when it waits for what nobody will bring."""

    def __init__(self) -> None:
        self.stuck: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def recorded(self, entry: Entry, state: RunState) -> None:
        if isinstance(entry.body, StageWaiting) and not self.stuck.done():
            self.stuck.set_result(entry.body.stage)


async def _rested(orchestrator: Orchestrator, run: DrivenRun, watched: _Watched, tasks: LoopTasks) -> None:
    """Wait for the run's rest. Raises Stuck when it would wait for ever, and what the executor's work raised."""
    rest = asyncio.ensure_future(orchestrator.rested(run))
    ends: set[asyncio.Future[Any]] = {rest, watched.stuck, tasks.failed}
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if tasks.failed.done() or (watched.stuck.done() and not rest.done()):
        rest.cancel()
        await asyncio.gather(rest, return_exceptions=True)
        if tasks.failed.done():
            tasks.failed.result()
        raise Stuck(_why_stuck(orchestrator, run, watched.stuck.result()))
    await rest


def _why_stuck(orchestrator: Orchestrator, run: DrivenRun, stage: str) -> str:
    """What the last entry about the stage says."""
    state = run.state
    said: Mapping[str, Json] = {}
    for content, _ in orchestrator.store.journal(state.run_id):
        entry = msgspec.json.decode(content)
        if entry["body"].get("stage") == stage and entry["body"].get("kind") == "stage_waiting":
            row = orchestrator.store.payload(state.run_id, entry["seq"])
            said = msgspec.json.decode(row.content) if row is not None and row.content else {}
    names = [one.name for one in state.stages[stage].sealed.stage.input_dependencies]
    why = str(said.get("missing") or said.get("error") or "it waits for data")
    hint = (
        f"; give {' and '.join(names)} under [inputs] in the rehearsal file"
        if names and "supply" in why
        else ""
    )
    return f"stage '{stage}': {why}, and in the copy of the buckets that does not change{hint}"
