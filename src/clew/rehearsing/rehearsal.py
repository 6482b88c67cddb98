"""A rehearsal from its request to its verdict."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from clew.core.program.model import Json, Program
from clew.core.program.problems import nearest
from clew.core.running.sealed_program import SealedProgram
from clew.operations.requests import RequestError, named_buckets
from clew.orchestrator.real_world import LoopTasks
from clew.ports import Executor
from clew.rehearsing.copying import COPY_SIZE_MAX, copy_all, planned
from clew.rehearsing.declared import Declared, Double, program_in, read_rehearsal, rehearsal_file
from clew.rehearsing.judging import Verdict, judge
from clew.rehearsing.outside import Reach, databases_of, folders_of
from clew.rehearsing.playing import SCENARIO_SECONDS, Played, Stuck, play, quickened
from clew.rehearsing.recorded import recorded_doubles
from clew.rehearsing.scenarios import SCENARIOS_MAX, UNDISTURBED, Scenario, scenarios_of
from clew.rehearsing.scratch import Groundwork, doubled_values, doubles_in, request_values, told_names
from clew.settings import Settings
from clew.wiring import load_program, open_local_executor, open_records, seal, unknown_secrets

WORKERS_MAX = 64
"""Attempts and servers at a time: a few of each for every scenario that is played side by side."""

SCENARIOS_PER_CORE = 2
"""Side by side: for half of its time a scenario waits for a process to start or to end."""

NOT_DECLARED = """\
Nothing was run. Say in {file} what stands in for the outside:
  as_is = ["python", "shell"]    commands that reach nothing but what variables, environment and buckets lead to
  [servers.NAME]                 a server that answers instead: start = ["{{python}}", "server.py", "{{port}}"]
  [[doubles]]                    a declared answer: command = "shell", stage = "...", gives = ...
docs/guides/rehearsal.md says more."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked for. `source` is a program file, a folder with one, or `module:name` seen from `folder`.
    `stages`: only these; all if empty. `size_max`: bytes of what is copied."""

    source: str
    folder: str
    variables: Mapping[str, Json]
    stages: Sequence[str] = ()
    size_max: int = COPY_SIZE_MAX
    scenario_seconds: float = SCENARIO_SECONDS
    keep: bool = False
    recorded: str = ""
    """An earlier run, whose results commands without a double give."""


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """What came of a rehearsal. `kept` is the folder that was kept, if it was to be."""

    program: Program
    scenarios: Sequence[Scenario]
    verdict: Verdict
    seconds: float
    kept: str


async def rehearse(settings: Settings, asked: Asked, told: Callable[[str], None]) -> Rehearsed:
    """Rehearse the program; `told` is told what goes on. Raises ProgramError, RequestError, BucketError."""
    began = time.monotonic()
    root = tempfile.mkdtemp(prefix="clew-rehearsal-")
    if asked.keep:
        told(f"everything is kept in {root}")
    try:
        sealed, ground, buckets = _groundwork(settings, asked, root)
        copy_all(buckets, ground.copies, ground.copies_folder, size_max=asked.size_max)
        played = await _play_all(sealed, ground, asked, root, told)
    finally:
        if not asked.keep:
            shutil.rmtree(root, ignore_errors=True)
    return Rehearsed(
        program=ground.program,
        scenarios=[one.scenario for one in played],
        verdict=judge(ground.program, played),
        seconds=time.monotonic() - began,
        kept=root if asked.keep else "",
    )


# ---- playing ---------------------------------------------------------------------------------------------


async def _play_all(
    sealed: SealedProgram, ground: Groundwork, asked: Asked, root: str, told: Callable[[str], None]
) -> list[Played]:
    tasks = LoopTasks(asyncio.get_running_loop())
    executor = open_local_executor(tasks, work_folders=os.path.join(root, "work"), workers_max=WORKERS_MAX)
    playing = asyncio.ensure_future(_play_each(sealed, ground, executor, asked, root, told))
    try:
        ends: set[asyncio.Future[Any]] = {playing, tasks.failed}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not playing.done():
            tasks.failed.result()
        return await playing
    finally:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        await executor.close()


async def _play_each(
    sealed: SealedProgram,
    ground: Groundwork,
    executor: Executor,
    asked: Asked,
    root: str,
    told: Callable[[str], None],
) -> list[Played]:
    """The undisturbed scenario, and all others if the program gets through that."""
    numbers = count(1)

    async def play_one(scenario: Scenario) -> Played:
        folder = os.path.join(root, f"{next(numbers):03}-{scenario.kind}")
        async with turns:
            return await play(ground, sealed, executor, scenario, folder)

    turns = asyncio.Semaphore(SCENARIOS_PER_CORE * (os.cpu_count() or 1))
    undisturbed = await play_one(UNDISTURBED)
    if not undisturbed.is_over:
        raise Stuck(
            f"{ground.program.name} is not through after {asked.scenario_seconds:g} seconds, with nothing failed on "
            "purpose; --time gives it more"
        )
    if not undisturbed.is_completed:
        raise Stuck(
            f"{ground.program.name} does not get through, with nothing failed on purpose: {_why(undisturbed)}"
        )
    in_order = [stage.name for block in sealed.blocks for stage in block if stage.name in undisturbed.begun]
    scenarios = scenarios_of(
        ground.program, [name for name in in_order if name in (asked.stages or in_order)]
    )
    if len(scenarios) > SCENARIOS_MAX:
        raise RequestError(
            f"there are {len(scenarios)} scenarios; {SCENARIOS_MAX} is the most: choose some stages by --stage"
        )
    told(f"{ground.program.name} gets through undisturbed; {len(scenarios)} scenarios follow")
    others = [asyncio.ensure_future(play_one(scenario)) for scenario in scenarios]
    try:
        return [undisturbed, *await asyncio.gather(*others)]
    finally:
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def _why(played: Played) -> str:
    failed = next(iter(played.failures.items()), None)
    if failed is None:
        return f"the run is {played.status}"
    stage, error = failed
    return f"stage '{stage}': {error.kind}: {error.message}" if stage else f"{error.kind}: {error.message}"


# ---- before anything is run ------------------------------------------------------------------------------


def _given(variables: Mapping[str, Json], declared: Declared, file: str) -> Mapping[str, Json]:
    """The variables of the request: what the rehearsal file says of one leads to a double, and stands."""
    twice = [name for name in variables if name in declared.variables]
    if twice:
        raise RequestError(f"{file} says what '{twice[0]}' is in a rehearsal; change it there")
    return variables


def _check_stages(wanted: Sequence[str], models: Mapping[str, object]) -> None:
    for name in wanted:
        if name not in models:
            hint = nearest(name, models) or f"there are {', '.join(models)}"
            raise RequestError(f"there is no stage '{name}'; {hint}")


def _groundwork(
    settings: Settings, asked: Asked, root: str
) -> tuple[SealedProgram, Groundwork, Mapping[str, str]]:
    """What the scenarios share, and the buckets that are to be copied: once it is known that all that the program
    reaches outside has a double."""
    source = program_in(asked.source)
    program, folder = load_program(source, folder=asked.folder)
    models = {stage.name: stage for stage in program.stages}
    file = rehearsal_file(source, folder)
    declared = read_rehearsal(file, models)
    _check_stages(asked.stages, models)
    sealed = seal(quickened(program))
    copies_folder = os.path.join(root, "copies")
    addresses = {name: f"http://{name}.invalid" for name in declared.servers}
    names = told_names(folder, copies_folder, addresses)
    given = _given(asked.variables, declared, file)
    values = request_values(program, declared, given, names)
    buckets = _buckets(program, values, settings, declared, folder)
    ground = Groundwork(
        program=program,
        settings=settings,
        folder=folder,
        declared=declared,
        given=given,
        copies=planned(buckets, databases_of(program, values, folder)),
        copies_folder=copies_folder,
        recorded=(),
        secrets=unknown_secrets(program, ()),
        scenario_seconds=asked.scenario_seconds,
        keeps=asked.keep,
    )
    doubles = doubles_in(ground, copies_folder, addresses)
    reach = Reach(
        values=values, doubles=doubles, declared=declared, answering=declared.doubles, folder=folder
    )
    if asked.recorded:
        recorded = _recorded(settings, asked.recorded, program, reach)
        ground, reach = (
            replace(ground, recorded=recorded),
            replace(reach, answering=(*declared.doubles, *recorded)),
        )
    problems = reach.problems(program)
    if problems:
        listed = "\n".join(f"{program.name}: {problem}" for problem in problems)
        raise RequestError(f"{listed}\n{NOT_DECLARED.format(file=file)}")
    doubled_values(ground, doubles, names)  # what is wrong with the request is said before anything is copied
    return sealed, ground, buckets


def _recorded(settings: Settings, run: str, program: Program, reach: Reach) -> tuple[Double, ...]:
    with open_records(settings) as records:
        history = records.history(records.find(run))
        return recorded_doubles(history, program.name, reach.without_double(program))


def _buckets(
    program: Program, values: Mapping[str, Json], settings: Settings, declared: Declared, folder: str
) -> dict[str, str]:
    """The URLs of the buckets that are to be copied, by name or, where the program states those, by URL."""
    instead = {name: _absolute(url, folder) for name, url in declared.buckets.items()}
    known = {**settings.buckets, **instead}
    named = {name: known[name] for name in named_buckets(program) if name in known}
    return {**{url: url for url in folders_of(program, values)}, **named, **instead}


def _absolute(url: str, folder: str) -> str:
    """A relative `file:` URL of the rehearsal file is one beside it."""
    path = url.removeprefix("file:")
    return f"file:{os.path.join(folder, path)}" if path != url and not path.startswith("/") else url
