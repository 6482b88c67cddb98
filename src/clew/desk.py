"""What is asked of this process over a network, taken: runs that are asked for, and what people tell runs.

All of it is done by the orchestrator of this process, on its event loop, so that what many ask for together is made
durable together. What comes of it is read from the record, like everything that is read.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from secrets import token_bytes, token_hex
from typing import NamedTuple, TypeVar

import msgspec

from clew.core.program.model import Json
from clew.core.running.entries import Entry
from clew.core.running.instructions import Instruction
from clew.core.running.sealed_program import SealedProgram
from clew.core.running.state import RunState
from clew.operations.requests import RequestError, check_request, unknown_buckets
from clew.orchestrator.creating import CREATE_TRIES_MAX
from clew.orchestrator.driven_run import DrivenRun, Origin, more, origin_of
from clew.orchestrator.orchestrator import Orchestrator
from clew.ports import (
    CommitUnknown,
    DrivenElsewhere,
    InstructionRow,
    NewRequestKey,
    RequestKeyRow,
    RunExists,
    StoreBusy,
)
from clew.settings import Settings
from clew.wiring import queue_run, unknown_secrets

SALT_SIZE = 16
"""Bytes, so that what was asked for can't be guessed from its digest."""

LOOK_SECONDS = 1
"""How often it is looked whether a run is on record of which no news came."""

ANSWER_INTERVAL_SECONDS = 0.01
"""How often it is looked whether a run has answered what it was told."""


Answer = TypeVar("Answer")


class Gone(RequestError):
    """There is no such program, or run."""


class Conflict(RequestError):
    """It can't be done as things are now."""


class Requested(NamedTuple):
    """The run that was asked for; not `is_new` where it was asked for before, under the same key."""

    run_id: str
    is_new: bool


class News:
    """Tells who waits for it that something of a run has come to be on record."""

    def __init__(self) -> None:
        self._expected: dict[str, set[Expected]] = {}

    def tell(self, run_id: str) -> None:
        """Something of that run is on record."""
        for one in self._expected.get(run_id, ()):
            one.has_come.set()

    def tell_all(self) -> None:
        """Whoever waits is to look."""
        for run_id in self._expected:
            self.tell(run_id)

    def expect(self, run_id: str) -> Expected:
        """What comes of that run from now on, within a `with` block: to be begun before looking, so that nothing is
        overlooked."""
        return Expected(self._expected, run_id)


class Expected:
    """News of a run that somebody waits for."""

    def __init__(self, all_expected: dict[str, set[Expected]], run_id: str) -> None:
        self._all = all_expected
        self._run_id = run_id
        self.has_come = asyncio.Event()

    def __enter__(self) -> Expected:
        self._all.setdefault(self._run_id, set()).add(self)
        return self

    def __exit__(self, *raised: object) -> None:
        ours = self._all[self._run_id]
        ours.discard(self)
        if not ours:
            del self._all[self._run_id]

    async def come(self, seconds: float) -> bool:
        """Wait for the next news, so long at most; whether they came."""
        try:
            async with asyncio.timeout(seconds):
                await self.has_come.wait()
        except TimeoutError:
            return False
        self.has_come.clear()
        return True


class Desk:
    """Takes what is asked of one orchestrator."""

    def __init__(self, settings: Settings, orchestrator: Orchestrator) -> None:
        self._settings = settings
        self._orchestrator = orchestrator
        self.news = News()
        self._being_made: dict[tuple[str, str], asyncio.Future[None]] = {}

    def recorded(self, entry: Entry, state: RunState) -> None:
        """An entry of a run is on record."""
        self.news.tell(state.run_id)

    # ---- asking for a run ----

    async def request_run(
        self, program: str, variables: Mapping[str, Json], *, by: str, key: str = ""
    ) -> Requested:
        """A run of the program that is live under that name, durable when this returns. Asked for again under the same
        `key`, it is the same run. Raises Gone, Conflict where something else was asked for under the key; RequestError,
        StoreError."""
        while key and (other := self._being_made.get((program, key))) is not None:
            await other  # it is on record then, or nothing is
        known = self._orchestrator.store.access.request(program, key) if key else None
        if known is not None:
            return _same(known, variables, key)
        sealed, origin = self._live(program)
        values = self._checked(sealed, variables)
        if not key:
            return Requested(await self._made(sealed, values, by, origin, None), True)
        salt = token_bytes(SALT_SIZE)
        wanted = NewRequestKey(key, salt, _digest(salt, variables))
        made = self._being_made[program, key] = asyncio.get_running_loop().create_future()
        try:
            return Requested(await self._made(sealed, values, by, origin, wanted), True)
        except RunExists:
            known = self._orchestrator.store.access.request(program, key)
            if known is None:
                raise
            return _same(known, variables, key)
        finally:
            del self._being_made[program, key]
            made.set_result(None)

    async def outside(self, function: Callable[[], Answer]) -> Answer:
        """What blocks, in a thread of its own. Raises what it raises."""
        answer: Answer = await self._orchestrator.outside(function)
        return answer

    def _live(self, program: str) -> tuple[SealedProgram, Origin]:
        """The version of that name that is live. Raises Gone, StoreError."""
        row = self._orchestrator.store.schedules.of(program)
        if row is None or row.retired_at is not None:
            raise Gone(f"no program '{program}' is live here")
        return self._orchestrator.programs.of_version(row.version), origin_of(row.origin)

    def _checked(self, sealed: SealedProgram, variables: Mapping[str, Json]) -> dict[str, Json]:
        program, settings = sealed.program, self._settings
        return check_request(
            program,
            variables,
            unknown_buckets=unknown_buckets(program, settings.buckets),
            unknown_secrets=unknown_secrets(program, settings.secrets),
        )

    async def _made(
        self,
        sealed: SealedProgram,
        values: Mapping[str, Json],
        by: str,
        origin: Origin,
        key: NewRequestKey | None,
    ) -> str:
        """The id of a run that is on record. Raises RunExists where its key was used meanwhile, StoreError."""
        for attempt in range(CREATE_TRIES_MAX):
            try:
                run = self._orchestrator.create(
                    sealed, values, requested_by=by, origin=origin, observer=self._orchestrator.observer,
                    request_key=key,
                )  # fmt: skip
            except DrivenElsewhere:
                return await self.outside(
                    lambda: queue_run(
                        self._settings, sealed, values, requested_by=by, origin=origin, request_key=key
                    )
                )
            try:
                await self._on_record(run)
                return run.state.run_id
            except RunExists:
                is_taken = (
                    key is not None
                    and self._orchestrator.store.access.request(sealed.program.name, key.key) is not None
                )
                if is_taken or attempt == CREATE_TRIES_MAX - 1:
                    raise
        raise AssertionError("the last try has returned, or raised")

    async def _on_record(self, run: DrivenRun) -> None:
        """Wait until the run is on record. Raises what keeps it from being."""
        with self.news.expect(run.state.run_id) as news:
            run.awaited_by = more(run.awaited_by, news.has_come.set)  # also where it is refused
            while run.created is not None and run.error is None:
                self._orchestrator.check()
                await news.come(LOOK_SECONDS)
        if run.error is not None:
            raise run.error

    # ---- telling runs ----

    async def instruct(self, run_id: str, instruction: Instruction, *, key: str = "") -> str:
        """Keep what somebody tells a run, durably; whoever drives it takes it up. Said again under the same `key`, it
        is said once. Returns the instruction's id. Raises Conflict, StoreError."""
        store = self._orchestrator.store
        instruction_id = _instruction_id(run_id, key) if key else token_hex(12)
        content = msgspec.json.encode(instruction).decode()
        known = store.instruction_content(instruction_id) if key else None
        if known is not None and not _says_the_same(known, instruction):
            raise Conflict(f"under the key '{key}' the run was told something else before")
        store.instruct(instruction_id, run_id, content, self._now())
        with suppress(StoreBusy, CommitUnknown):
            self._orchestrator.attend()  # else it is attended to by and by
        return instruction_id

    def was_told(self, run_id: str, key: str) -> bool:
        """Whether the run was told something under that key. Raises StoreError."""
        return self._orchestrator.store.instruction(_instruction_id(run_id, key)) is not None

    async def note_token_used(self, token_id: str, at: int) -> None:
        """Keep when the token was used; another time, where the store is busy. Raises StoreError."""
        with suppress(StoreBusy, CommitUnknown):
            self._orchestrator.store.access.token_is_used(token_id, at)

    async def answer(self, run_id: str, instruction_id: str, seconds: float) -> InstructionRow | None:
        """What became of what the run was told, waited for so long at most. None where there is no such instruction."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        with self.news.expect(run_id) as news:
            while True:
                row = self._orchestrator.store.instruction(instruction_id)
                if row is None or row.answer is not None or loop.time() >= end:
                    return row
                await news.come(ANSWER_INTERVAL_SECONDS)

    def _now(self) -> int:
        return self._orchestrator.now()


def _same(known: RequestKeyRow, variables: Mapping[str, Json], key: str) -> Requested:
    """The run that was asked for before. Raises Conflict where that was another request."""
    if known.digest and _digest(known.salt, variables) != known.digest:
        raise Conflict(f"under the key '{key}' a run with other variables was asked for: {known.run_id}")
    return Requested(known.run_id, False)


def _digest(salt: bytes, variables: Mapping[str, Json]) -> str:
    said = json.dumps(variables, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sha256(b"clew request\0" + salt + said.encode()).hexdigest()


def _instruction_id(run_id: str, key: str) -> str:
    return sha256(f"clew instruction\0{run_id}\0{key}".encode()).hexdigest()[:24]


def _says_the_same(known: str, instruction: Instruction) -> bool:
    before = msgspec.json.decode(known, type=Instruction)
    return msgspec.structs.replace(before, by=instruction.by) == instruction
