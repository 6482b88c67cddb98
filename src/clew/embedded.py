"""`Program.run`: one process, the embedded store. The shortest way from a function to a durable run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from clew.authoring.python_programs import FunctionProgram
from clew.core.program.model import Json
from clew.core.running.instructions import Instruction, Verb
from clew.core.running.sealed_program import SealedProgram
from clew.operations import RequestError, check_request, run_document, unknown_buckets
from clew.operations.instructing import APPLIED_AT_ONCE, checked_instruction
from clew.orchestrator.driven_run import DrivenRun, Observer, Origin
from clew.orchestrator.orchestrator import Orchestrator
from clew.settings import Settings, read_settings
from clew.wiring import instruct, open_orchestrator, open_records, read_document, unknown_secrets

OBEYED_INTERVAL_SECONDS = 0.005
"""How often it is looked whether a run has obeyed: that takes a turn of the driver."""


@dataclass(frozen=True, slots=True)
class RunResult:
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


@dataclass(frozen=True, slots=True)
class _Known:
    """A program that the session has run, and the names in it that the settings do not know."""

    sealed: SealedProgram
    unknown_buckets: Sequence[str]
    unknown_secrets: Sequence[str]


class Session:
    """Runs programs of this process, many at a time, on one store."""

    def __init__(self, orchestrator: Orchestrator, settings: Settings) -> None:
        self._orchestrator = orchestrator
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
        run = self._orchestrator.create(
            known.sealed, values, requested_by="python", origin=Origin(program.folder), observer=observer
        )
        await self._orchestrator.rested(run)
        return result_of(run)

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
        instruction = Instruction(verb, "python", reason, stage, values or {})
        with open_records(self._settings) as records:
            history = records.history(records.find(run_id))
            instruction = checked_instruction(history, instruction)
        run_id = history.state.run_id
        instruction_id = instruct(self._settings, run_id, instruction)
        self._orchestrator.attend()
        run = self._orchestrator.driver.runs.get(run_id)
        while (answered := self._orchestrator.store.instruction(instruction_id)) and not answered.answer:
            self._orchestrator.check()
            await asyncio.sleep(OBEYED_INTERVAL_SECONDS)
        if run is None or answered is None or answered.answer == "refused":
            raise RequestError(f"run {run_id}: {answered.why if answered else 'it is gone'}")
        if verb not in APPLIED_AT_ONCE:
            await self._orchestrator.rested(run)
        return result_of(run)


def seal(program: FunctionProgram, orchestrator: Orchestrator) -> SealedProgram:
    """The program, checked as a file is: by the same reader."""
    from clew.core.program.content import content

    return orchestrator.programs.seal(read_document(content(program.model)))


def result_of(run: DrivenRun) -> RunResult:
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
        yield Session(orchestrator, settings)
