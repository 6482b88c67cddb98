"""`Program.run`: one process, the embedded store. The shortest way from a function to a durable run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import msgspec

from clew.authoring.python_programs import FunctionProgram
from clew.core.program.model import Json
from clew.core.running.entries import Entry
from clew.core.running.instructions import Instruction, Verb
from clew.core.running.sealed_program import SealedProgram
from clew.core.running.state import RunState
from clew.core.running.statuses import NEEDS_PERSON
from clew.operations import RequestError, check_request, run_document, unknown_buckets
from clew.orchestrator.creating import CREATE_TRIES_MAX
from clew.orchestrator.driven_run import Observer, Origin
from clew.orchestrator.orchestrator import Orchestrator
from clew.ports import DrivenElsewhere, Fenced, RunExists, StoreError
from clew.settings import Settings, read_settings
from clew.wiring import instruct, open_orchestrator, open_records, queue_run, read_document, unknown_secrets

OBEYED_INTERVAL_SECONDS = 0.005
"""How often it is looked whether a run has obeyed: that takes a turn of the driver."""


REQUESTED_BY = "python"


class Rested(Protocol):
    """A run that has come to rest."""

    @property
    def state(self) -> RunState: ...

    @property
    def values(self) -> Mapping[str, Json]: ...


class RunResult(msgspec.Struct, frozen=True):
    """What came of a run. `variables` is the map at its end, `residue` what is or may be still standing."""

    run_id: str
    status: str
    variables: Mapping[str, Json]
    stages: Sequence[Mapping[str, Json]]
    residue: Sequence[Mapping[str, Json]]

    @property
    def is_completed(self) -> bool:
        return self.status == "completed"


class Program(FunctionProgram):
    """A program whose stages are functions; see `FunctionProgram` for what it takes."""

    def run(self, **variables: Json) -> RunResult:
        """Run the program to its rest, in this process, with the settings of the current folder.

        Raises RequestError for variables that the program does not take, ProgramError for mistakes in it,
        StoreError when the store can't be used. A run that fails is a result, not an exception.

        Raises RuntimeError on a thread whose event loop runs: there, `open_session` is what to use.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self._run_alone(variables))
        raise RuntimeError(
            "Program.run waits for the run, and would stop the event loop that runs on this thread; write "
            "`async with clew.open_session(program) as session: await session.run(program, variables)`"
        )

    async def _run_alone(self, variables: Mapping[str, Json]) -> RunResult:
        async with open_session(self, wait=True) as session:
            return await session.run(self, variables)


class _Known(msgspec.Struct, frozen=True):
    """A program that the session has run, and the names in it that the settings do not know."""

    sealed: SealedProgram
    unknown_buckets: Sequence[str]
    unknown_secrets: Sequence[str]


class Session:
    """Runs programs of this process, many at a time, on one store."""

    def __init__(
        self, orchestrator: Orchestrator, settings: Settings, programs: Sequence[FunctionProgram] = ()
    ) -> None:
        self._orchestrator = orchestrator
        self._programs = programs
        self._settings = settings
        self._known: dict[int, _Known] = {}

    @property
    def flush_count(self) -> int:
        """How many transactions the store has flushed."""
        return self._orchestrator.store.flush_count

    async def run(
        self,
        program: FunctionProgram,
        variables: Mapping[str, Json] | None = None,
        *,
        observer: Observer | None = None,
    ) -> RunResult:
        """Run the program to its rest. Raises as `Program.run` does."""
        known = self._known.get(id(program))
        if known is None:
            known = self._known[id(program)] = self._get_to_know(program)
        values = check_request(
            known.sealed.program,
            variables or {},
            unknown_buckets=known.unknown_buckets,
            unknown_secrets=known.unknown_secrets,
        )
        sealed, origin = known.sealed, Origin(program.folder)
        for _ in range(CREATE_TRIES_MAX):
            try:
                run = self._orchestrator.create(
                    sealed, values, requested_by=REQUESTED_BY, origin=origin, observer=observer
                )
            except DrivenElsewhere:
                run_id = queue_run(self._settings, sealed, values, requested_by=REQUESTED_BY, origin=origin)
                return await self._followed(run_id, observer, after=-1)
            try:
                await self._orchestrator.rested(run)
            except RunExists:
                continue
            except (Fenced, DrivenElsewhere):
                return await self._followed(run.state.run_id, observer, after=run.recorded_seq)
            return result_of(run)
        raise StoreError(f"too many runs of {sealed.program.name} at once; try again")

    async def _followed(self, run_id: str, observer: Observer | None, *, after: int) -> RunResult:
        """The result of a run that another orchestrator drives, as long as one does."""
        from clew.following import follow

        watcher = _Follower(observer)
        outcome = await follow(self._settings, run_id, watcher, after=after, orchestrator=self._orchestrator)
        return result_of(outcome)

    async def resume(self, *, observer: Observer | None = None) -> list[RunResult]:
        """Take up the unfinished runs of this session's programs that nobody drives, as `clew resume` does, and drive
        them until they rest. Those that wait for a person's word are left as they are. Raises StoreError."""
        programs = {program.model.name: program.model for program in self._programs}
        store, runs = self._orchestrator.store, []
        for run_id, version, _, status in store.unsettled():
            row = store.run(run_id)
            if row is None or row["program"] not in programs or status in NEEDS_PERSON:
                continue
            self._orchestrator.programs.be_reminded(version, programs[row["program"]])
            with suppress(DrivenElsewhere):
                runs.append(self._orchestrator.take_up(run_id, version, row["origin"], observer))
        await asyncio.gather(*(self._orchestrator.rested(run) for run in runs))
        return [result_of(run) for run in runs]

    def _get_to_know(self, program: FunctionProgram) -> _Known:
        sealed = seal(program, self._orchestrator)
        return _Known(
            sealed,
            unknown_buckets(sealed.program, self._settings.buckets),
            unknown_secrets(sealed.program, self._settings.secrets),
        )

    async def instruct(
        self,
        run_id: str,
        verb: Verb,
        *,
        stage: str = "",
        values: Mapping[str, Json] | None = None,
        reason: str = "",
    ) -> RunResult:
        """Tell a run what the verb of that name tells it on the command line, and wait until it rests again; after
        `pause` and `supply` until it has obeyed. `stage`: which is retried, skipped, or rewound to. `values`: the
        outputs of a stage that is skipped, or the input that is supplied, by its name.

        Nobody is asked whether it is meant. Raises RequestError when the run can't obey: nothing was done then.
        """
        from clew.operations.instructing import APPLIED_AT_ONCE, checked_instruction

        instruction = Instruction(verb, REQUESTED_BY, reason, stage, values or {})
        with open_records(self._settings) as records:
            found = records.find(run_id)
            history = records.course(found) if verb == "erase" else records.history(found)
            instruction = checked_instruction(history, instruction)
        run_id = history.state.run_id
        instruction_id = instruct(self._settings, run_id, instruction)
        from clew.following import AGAIN, answered, outcome_of

        orchestrator, store = self._orchestrator, self._orchestrator.store
        with suppress(*AGAIN):  # it is tried again by and by
            orchestrator.attend()
        run = orchestrator.driver.runs.get(run_id)
        while (row := await answered(lambda: store.instruction(instruction_id))) and not row.answer:
            orchestrator.check()
            await asyncio.sleep(OBEYED_INTERVAL_SECONDS)
            run = run or orchestrator.driver.runs.get(run_id)
        if row is None or row.answer == "refused":
            raise RequestError(f"run {run_id}: {row.why if row else 'it is gone'}")
        after = -1 if row.seq is None else row.seq - 1
        if run is not None and run.error is None:
            if verb in APPLIED_AT_ONCE:
                return result_of(run)
            try:
                await orchestrator.rested(run)
            except (Fenced, DrivenElsewhere):
                after = run.recorded_seq
            else:
                return result_of(run)
        elif verb in APPLIED_AT_ONCE:
            with open_records(self._settings) as records:
                return result_of(outcome_of(records.history(records.find(run_id))))
        return await self._followed(run_id, None, after=after)


class _Follower(msgspec.Struct, frozen=True):
    """Hands on what happens to a run that another orchestrator drives."""

    observer: Observer | None

    def recorded(self, entry: Entry, state: RunState, said: object) -> None:
        if self.observer is not None:
            self.observer(entry, state)

    def is_beside(self, why: str) -> None:
        """Nobody need know who drives."""

    def is_told(self, why: str) -> None:
        """Nor who obeys."""

    def others(self, count: int) -> None:
        """Nor whom else."""


def seal(program: FunctionProgram, orchestrator: Orchestrator) -> SealedProgram:
    """The program, checked as a file is: by the same reader."""
    from clew.core.program.content import content

    return orchestrator.programs.seal(read_document(content(program.model)))


def result_of(run: Rested) -> RunResult:
    """The result of a run that has come to rest."""
    document = run_document(run.state, run.values)
    return RunResult(
        document["run_id"], document["status"], document["variables"], document["stages"], document["residue"]
    )


@asynccontextmanager
async def open_session(
    *programs: FunctionProgram, settings: Settings | None = None, store: str | None = None, wait: bool = False
) -> AsyncIterator[Session]:
    """A session for these programs, stopped at the end of the block. `store`: URL, instead of the settings'."""
    if settings is None:
        settings = read_settings(folder=os.getcwd(), environment=os.environ, store=store)
    functions = {
        reference: function for program in programs for reference, function in program.functions.items()
    }
    async with open_orchestrator(settings, functions=functions, wait=wait) as orchestrator:
        yield Session(orchestrator, settings, programs)
