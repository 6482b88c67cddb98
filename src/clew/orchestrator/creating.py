"""Makes runs: the row of the tracker, the name, the first entry. Driving them is another matter."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from clew.core.running import statuses
from clew.core.running.entries import MISSED_TIME, RunCreated
from clew.core.running.sealed_program import SealedProgram
from clew.orchestrator.driven_run import DrivenRun, Origin
from clew.orchestrator.payloads import PayloadKeeper
from clew.orchestrator.programs import ProgramBook
from clew.ports import Chance, Clock, CommitUnknown, NewRequestKey, NewRun, RunExists, Store, StoreBusy

Json = Any

FIRST_EPOCH = 1
CREATE_TRIES_MAX = 5
"""How often a run is made anew when another process has just made the same (program, moment, generation): each
try is a later millisecond, so a second collision is already unlikely."""


class Due(NamedTuple):
    """For which time a run is made, if not for the moment at which it is requested. `generation`: 0 for the next one;
    `zones`: the release of the time zone data by which the time was found; `backfill` and `follows`: see
    `RunCreated`."""

    run_time: int
    generation: int = 0
    zones: str = ""
    backfill: str = ""
    follows: str = ""


class RunMaker:
    """Makes fresh runs of sealed programs."""

    def __init__(
        self,
        *,
        store: Store,
        programs: ProgramBook,
        payloads: PayloadKeeper,
        clock: Clock,
        chance: Chance,
        unsafe: tuple[str, ...] = (),
    ) -> None:
        """`unsafe`: what was found so of the store in which the runs are, and is put up with."""
        self._unsafe = unsafe
        self._store = store
        self._programs = programs
        self._payloads = payloads
        self._clock = clock
        self._chance = chance
        self._generations: dict[tuple[str, int], int] = {}

    def make(
        self,
        sealed: SealedProgram,
        variables: Mapping[str, Json],
        *,
        requested_by: str,
        origin: Origin,
        due: Due | None = None,
        request_key: NewRequestKey | None = None,
    ) -> DrivenRun:
        """A fresh run with its first entry written, durable with the next record of it: for a due time, or for this
        moment. Where the program's runs need places, it is queued until one is given to it. `request_key`: under which
        it is asked for, if under any.

        `variables` are the program's with the request's, checked already.
        """
        program = self._programs.register(sealed)
        at = self._clock.now()
        wanted = due or Due(_moment_of_request(at))
        run_time, name = wanted.run_time, program.program.name
        generation = wanted.generation or self._next_generation(name, run_time)
        run = DrivenRun(program, self._run_id(at), epoch=FIRST_EPOCH, origin=origin)
        run_name = _run_name(run_time, generation)
        run.created = NewRun(
            name, program.version, run_name, run_time, at, requested_by, generation,
            msgspec.json.encode(origin).decode(), program.places, wanted.backfill, wanted.follows,
            due is not None, program.has_places, request_key,
        )  # fmt: skip
        run.values = dict(variables)
        body = RunCreated(
            name, program.version, program.plan_hash, run_name, run_time, generation, requested_by,
            queued=program.has_places, due=due is not None, zones=wanted.zones, backfill=wanted.backfill,
            follows=wanted.follows, unsafe=self._unsafe,
        )  # fmt: skip
        said = {"variables": run.values} if run.values else None
        run.write(body, at=at, payload=self._payloads.keep(run, said))
        return run

    def make_up_for(self, run: DrivenRun) -> DrivenRun | None:
        """The run that makes up for a due time that this one has missed, durable with the next record of it; None where
        nothing does."""
        state, program = run.state, run.state.program.program
        is_missed = state.status == statuses.MISSED and state.is_due and not state.backfill
        if not is_missed or program.on_missed != "backfill":
            return None
        due = Due(
            state.run_time,
            state.generation + 1,
            zones=state.zones,
            backfill=MISSED_TIME,
            follows=state.run_id,
        )
        return self.make(
            state.program, program.variables, requested_by=state.requested_by, origin=run.origin, due=due
        )

    def queue(
        self,
        sealed: SealedProgram,
        variables: Mapping[str, Json],
        *,
        requested_by: str,
        origin: Origin,
        request_key: NewRequestKey | None = None,
    ) -> str:
        """A fresh run that is durable and that nobody drives yet. Returns its id; raises StoreError, CommitUnknown
        where nobody can tell whether it is."""
        for attempt in range(CREATE_TRIES_MAX):
            run = self.make(
                sealed, variables, requested_by=requested_by, origin=origin, request_key=request_key
            )
            try:
                self._record(run)
                break
            except RunExists:
                self._generations.clear()
                if attempt == CREATE_TRIES_MAX - 1:
                    raise
        return run.state.run_id

    def _record(self, run: DrivenRun) -> None:
        """Make a fresh run durable. Raises StoreError."""
        record = run.record()
        try:
            self._store.record([record])
        except CommitUnknown as unknown:
            try:
                self._store.record([record])
            except RunExists:
                if self._store.head(record.run_id) is None:
                    raise
            except StoreBusy:
                raise unknown from None

    def _next_generation(self, program: str, run_time: int) -> int:
        key = (program, run_time)
        known = self._generations.get(key)
        if known is None:
            self._generations.clear()  # only the present moment can come again
            known = self._store.last_generation(program, run_time)
        leases = self._store.leases
        # Each orchestrator has its own, so that what is asked for in one millisecond does not collide.
        known += 1 + (leases.turn - known) % leases.turns
        self._generations[key] = known
        return known

    def _run_id(self, at: int) -> str:
        """28 hex digits that sort by time: 48 bits of milliseconds, 64 of chance."""
        return (at.to_bytes(6, "big") + self._chance.token(8)).hex()


def _moment_of_request(at: int) -> int:
    """The scheduled time of a request: never a whole second, which is a cadence's."""
    return at if at % 1000 else at + 1


def _run_name(at: int, generation: int) -> str:
    return f"{_written_second(at // 1000)}.{at % 1000:03}Z-{generation}"


@lru_cache(maxsize=16)
def _written_second(second: int) -> str:
    """Written once for the runs of a second."""
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second):%Y%m%dT%H%M%S}"
