"""Puts an orchestrator together: its store, executors, buckets, the real clock. Costly parts when first needed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from clew.conditions import SIGNATURES as CONDITIONS
from clew.core.program.model import Condition, Json, Stage
from clew.core.running.instructions import Instruction
from clew.core.running.sealed_program import SealedProgram
from clew.orchestrator.alarm import WallClockAlarm
from clew.orchestrator.creating import RunMaker
from clew.orchestrator.driven_run import Origin
from clew.orchestrator.driver import Driver
from clew.orchestrator.orchestrator import Orchestrator
from clew.orchestrator.payloads import PayloadKeeper
from clew.orchestrator.performing import Performer
from clew.orchestrator.real_world import LoopTasks, RealChance, RealClock
from clew.orchestrator.requests import Surroundings
from clew.ports import (
    AttemptReport,
    AttemptRequest,
    CommitUnknown,
    Executor,
    Finding,
    NewRequestKey,
    Searcher,
    StoreBusy,
    Tasks,
)
from clew.settings import Settings, is_url
from clew.wiring.events import LoopEvents
from clew.wiring.plug_ins import PlugIns
from clew.wiring.programs import new_book
from clew.wiring.records import LazyBucket, log_path, open_store, search_dependencies
from clew.wiring.signing import new_signer, publishers
from clew.wiring.taking import TakenStore, take_store, unsafe_of

if TYPE_CHECKING:
    from clew.executors.attempts_lease import AttemptsLease
    from clew.orchestrator.eraser import Eraser
    from clew.stores.store import DatabaseStore

ATTEMPTS_END_SECONDS_MAX = 60
"""How long a new orchestrator waits for the attempts of a dead one to end. They are killed at once when it is
gone; what has not ended after so long hangs in the kernel, and whoever looks must decide."""

WORKERS_PER_CORE = 4
"""Attempts mostly wait for others: a few a core keep the machine busy without choking it."""

INSTRUCTION_ID_SIZE = 12
"""Bytes of chance in an instruction's id: no two ever meet."""

NO_SOURCE = "no-source"
"""Stands for the digest of a function that has no source file: one built in, or typed at a prompt."""

EXECUTORS = ("local", "inline")
"""The names under which programs know where their work runs."""

Function = Callable[..., Any]


@asynccontextmanager
async def open_orchestrator(
    settings: Settings,
    *,
    functions: Mapping[str, Function] | None = None,
    wait: bool = False,
    forks: bool = False,
    executor: Executor | None = None,
    searcher: Searcher | None = None,
) -> AsyncIterator[Orchestrator]:
    """An orchestrator on this event loop, stopped at the end of the block.

    `functions`: those of this process, by reference; stages made of them run here, all others in processes of
    their own. `forks`: this process is clew's own, so those may be begun by a fork of it, which spares them
    most of their start. `executor`: all work goes to this one instead. Raises as `take_store` does.
    """
    taken = await take_store(settings, wait=wait)
    try:
        _see_attempts_end(settings)
    except BaseException:
        taken.store.close()
        taken.release()
        raise
    orchestrator = _assemble(
        settings, taken, functions or {}, forks=forks, executor=executor, searcher=searcher
    )
    orchestrator.attend_regularly()
    try:
        yield orchestrator
    finally:
        await orchestrator.close()


def queue_run(
    settings: Settings,
    sealed: SealedProgram,
    variables: Mapping[str, Json],
    *,
    requested_by: str,
    origin: Origin,
    request_key: NewRequestKey | None = None,
) -> str:
    """A fresh run, durable, that nobody drives yet: for a store whose runs another process drives. Returns its
    id. Raises StoreError."""
    store = open_store(settings)
    try:
        clock, chance = RealClock(), RealChance()
        payloads = PayloadKeeper(chance=chance, bucket=LazyBucket(settings.payloads))
        programs = new_book(store, clock)
        maker = RunMaker(store=store, programs=programs, payloads=payloads, clock=clock, chance=chance)
        return maker.queue(
            sealed, variables, requested_by=requested_by, origin=origin, request_key=request_key
        )
    finally:
        store.close()


def instruct(settings: Settings, run_id: str, instruction: Instruction) -> str:
    """Keep what a person tells a run, durably, until whoever drives it takes it up. Returns the instruction's id.
    Raises StoreError, CommitUnknown where nobody can tell whether it is kept."""
    store = open_store(settings)
    try:
        instruction_id = RealChance().token(INSTRUCTION_ID_SIZE).hex()
        content = msgspec.json.encode(instruction).decode()
        said_at = RealClock().now()
        try:
            store.instruct(instruction_id, run_id, content, said_at)
        except CommitUnknown as unknown:
            try:
                store.instruct(instruction_id, run_id, content, said_at)  # the same, which is there once
            except StoreBusy:
                raise unknown from None
        return instruction_id
    finally:
        store.close()


def _see_attempts_end(settings: Settings) -> None:
    """The attempts of an orchestrator that died end themselves; nothing is driven before they have."""
    path = _attempts_lock(settings)
    if not os.path.exists(path):
        return
    from clew.executors.attempts_lock import wait_until_attempts_ended

    if not wait_until_attempts_ended(path, ATTEMPTS_END_SECONDS_MAX):
        raise StoreBusy(f"{path}: attempts of an orchestrator that is gone are still running; end them first")


def _attempts_lock(settings: Settings) -> str:
    # Beside a database there may be several orchestrators on this machine, each with attempts of its own.
    own = f".{os.getpid()}" if is_url(settings.store) else ""
    return f"{settings.beside or settings.store}{own}.attempts"


def _assemble(
    settings: Settings,
    taken: TakenStore,
    functions: Mapping[str, Function],
    *,
    forks: bool,
    executor: Executor | None,
    searcher: Searcher | None,
) -> Orchestrator:
    store, unsafe = taken.store, tuple(each.name for each in unsafe_of(taken.diagnoses))
    clock, chance, tasks = RealClock(), RealChance(), LoopTasks(asyncio.get_running_loop())
    events = LoopEvents(asyncio.get_running_loop())
    if executor is None:
        executors = _executors(settings, tasks, functions, forks=forks, lease=taken.attempts)
    else:
        executors = dict.fromkeys(EXECUTORS, executor)
    bucket, plug_ins = LazyBucket(settings.payloads), PlugIns()
    payloads = PayloadKeeper(chance=chance, bucket=bucket)

    performer = Performer(
        executors=executors,
        searcher=searcher or partial(search_dependencies, settings=settings, plug_ins=plug_ins),
        keeper=BucketKeeper(settings.payloads),
        tasks=tasks,
        around=Surroundings(
            buckets=settings.buckets,
            secrets=settings.secrets,
            kept_bucket=settings.payloads,
            source_cache=settings.sources,
            log_path=lambda run_id, stage, number: log_path(settings.logs, run_id, stage, number),
        ),
        code_of=_code_of(functions),
        test_pure=test_pure,
        is_pure=lambda name: name in CONDITIONS and CONDITIONS[name].is_pure,
    )
    alarm = WallClockAlarm(asyncio.get_running_loop(), clock, guarded=tasks.guarded)
    driver = Driver(
        store=store, clock=clock, chance=chance, tasks=tasks, alarm=alarm, performer=performer, payloads=payloads,
        name=f"{os.uname().nodename}:{os.getpid()}", unsafe=unsafe, events=events,
    )  # fmt: skip
    programs = new_book(store, clock)

    def release() -> None:
        alarm.close()
        events.close()
        plug_ins.end()
        taken.release()

    return Orchestrator(
        store=store, driver=driver, programs=programs, payloads=payloads, payload_bucket=bucket, tasks=tasks,
        executors=set(executors.values()), clock=clock, chance=chance, alarm=alarm, failed=tasks.failed,
        release=release, diagnoses=taken.diagnoses, lease=taken.lease, sign=new_signer(settings),
        publish=publishers(settings),
        make_eraser=lambda: _new_eraser(settings, store, tasks),
    )  # fmt: skip


def _new_eraser(settings: Settings, store: DatabaseStore, tasks: Tasks) -> Eraser:
    from clew.orchestrator.eraser import Eraser
    from clew.wiring.removing import FilesBeside

    return Eraser(removals=store.removals, tasks=tasks, files=FilesBeside(settings))


class BucketKeeper:
    """A `ports.Keeper` that keeps its copies in one bucket, opened when there is something to keep."""

    def __init__(self, url: str) -> None:
        self.url = url

    def keep(
        self, places: Sequence[str], folder: str, buckets: Mapping[str, str]
    ) -> Sequence[Mapping[str, Json]]:
        from clew.buckets import open_bucket
        from clew.buckets.keeping import keep

        found = keep(places, lambda name: open_bucket(name, buckets), LazyBucket(self.url), folder)
        return [msgspec.to_builtins(each) for each in found]

    def look(self, places: Sequence[str], buckets: Mapping[str, str]) -> Mapping[str, str | None]:
        from clew.buckets import open_bucket
        from clew.buckets.keeping import look

        return look(places, lambda name: open_bucket(name, buckets))


# ---- executors -------------------------------------------------------------------------------------------


def _executors(
    settings: Settings,
    tasks: LoopTasks,
    functions: Mapping[str, Function],
    *,
    forks: bool,
    lease: AttemptsLease | None = None,
) -> dict[str, Executor]:
    local = _LazyLocal(settings, tasks, forks=forks, lease=lease)
    if not functions:
        return {"local": local, "inline": local}
    from clew.executors.inline import InlineExecutor

    def function_of(reference: str, folder: str) -> Function:
        return functions[reference]

    def check(request: AttemptRequest) -> AttemptReport | None:
        from clew.buckets import open_bucket
        from clew.buckets.checking import check_found

        return check_found(request.found, lambda name: open_bucket(name, request.buckets))

    split = _BySort(InlineExecutor(function_of, check), local, functions)
    return {"local": split, "inline": split}


def open_local_executor(tasks: Tasks, *, work_folders: str, workers_max: int) -> Executor:
    """A local executor by itself, started: for a process of clew's own, which then may have threads. Raises OSError."""
    from clew.executors.local import LocalExecutor

    executor = LocalExecutor(
        tasks, lock_path=None, workers_max=workers_max, work_folders=work_folders, forks=True
    )
    executor.start()
    return executor


class _LazyLocal:
    """The local executor, made when it is first needed: most of its cost is a process of its own."""

    def __init__(
        self, settings: Settings, tasks: LoopTasks, *, forks: bool, lease: AttemptsLease | None
    ) -> None:
        self._settings = settings
        self._tasks = tasks
        self._forks = forks
        self._lease = lease
        self._made: Executor | None = None

    def _executor(self) -> Executor:
        if self._made is None:
            from clew.executors.local import LocalExecutor

            workers = self._settings.workers_max or WORKERS_PER_CORE * (os.cpu_count() or 1)
            self._made = LocalExecutor(
                self._tasks,
                lock_path=_attempts_lock(self._settings),
                workers_max=workers,
                forks=self._forks,
                lease=self._lease,
            )
        return self._made

    def submit(self, request: AttemptRequest, ended: Callable[[AttemptReport], None]) -> None:
        self._executor().submit(request, ended)

    recovers = False

    def recover(self, request: AttemptRequest, ended: Callable[[AttemptReport], None]) -> None:
        raise NotImplementedError("what runs here ends with its orchestrator")

    def submit_all(self, requests: Sequence[tuple[AttemptRequest, Callable[[AttemptReport], None]]]) -> None:
        self._executor().submit_all(requests)

    def cancel(self, attempt_id: str) -> None:
        self._executor().cancel(attempt_id)

    async def close(self) -> None:
        if self._made is not None:
            await self._made.close()


class _BySort:
    """Work that is functions of this process runs inline; all other work in processes of its own."""

    def __init__(self, inline: Executor, local: Executor, functions: Mapping[str, Function]) -> None:
        self._inline = inline
        self._local = local
        self._functions = functions
        self._sorted: dict[int, tuple[Any, Executor]] = {}
        """By the identity of a request's items, which are the same object for all runs of a program."""

    def _executor_of(self, request: AttemptRequest) -> Executor:
        if request.source is not None:
            return self._local
        items = request.items
        known = self._sorted.get(id(items))
        if known is None or known[0] is not items:
            functions = self._functions
            is_inline = all(
                item.name == "python" and item.params.get("function") in functions for item in items
            )
            known = self._sorted[id(items)] = (items, self._inline if is_inline else self._local)
        return known[1]

    def submit(self, request: AttemptRequest, ended: Callable[[AttemptReport], None]) -> None:
        self._executor_of(request).submit(request, ended)

    recovers = False

    def recover(self, request: AttemptRequest, ended: Callable[[AttemptReport], None]) -> None:
        raise NotImplementedError("what runs here ends with its orchestrator")

    def submit_all(self, requests: Sequence[tuple[AttemptRequest, Callable[[AttemptReport], None]]]) -> None:
        for request, ended in requests:
            self.submit(request, ended)

    def cancel(self, attempt_id: str) -> None:
        self._inline.cancel(attempt_id)
        self._local.cancel(attempt_id)

    async def close(self) -> None:
        await self._inline.close()
        await self._local.close()


# ---- what the performer is handed ------------------------------------------------------------------------


def _code_of(functions: Mapping[str, Function]) -> Callable[[Stage, str], dict[str, str]]:
    """See `performing.CodeOf`. What this process has loaded is looked up once: it stays what it is, whatever
    happens to the file."""
    loaded: dict[int, tuple[Stage, dict[str, str]]] = {}

    def code_of(stage: Stage, folder: str) -> dict[str, str]:
        if stage.source is not None:
            return {}  # its functions are in what it fetches, whose digest is pinned
        known = loaded.get(id(stage))
        if known is not None:
            return known[1]
        parts = {"execute": stage.execute, "validate": stage.validate, "rollback": stage.rollback.commands}
        references = {part: _functions_of(items) for part, items in parts.items()}
        found: dict[str, str] = {}
        for part, names in references.items():
            digests = [_digest_of(name, folder, functions.get(name)) for name in names]
            if digests and all(digests):
                found[part] = ",".join(digests)
        if all(name in functions for names in references.values() for name in names):
            loaded[id(stage)] = (stage, found)
        return found

    return code_of


def _functions_of(items: Sequence[Any]) -> list[str]:
    """The references of those commands or conditions that are functions of the program's own."""
    return [
        item.params["function"]
        for item in items
        if item.name == "python" and isinstance(item.params, Mapping) and "function" in item.params
    ]


def _digest_of(reference: str, folder: str, function: Function | None) -> str:
    from clew.executors.code_digest import code_digest

    try:
        return code_digest(reference, folder) or NO_SOURCE
    except LookupError:
        return NO_SOURCE if function is not None else ""


def test_pure(condition: Condition, scope: Mapping[str, Json]) -> Finding:
    """Test a condition that looks only at recorded values."""
    from clew.conditions.pure import test_pure as test

    return test(condition.name, condition.params, scope)
