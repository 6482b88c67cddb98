"""One orchestrator: creates runs, takes up unfinished ones, and drives them until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from clew.core.running.sealed_program import SealedProgram
from clew.orchestrator.creating import RunMaker
from clew.orchestrator.driven_run import DrivenRun, Observer, Origin
from clew.orchestrator.driver import Driver
from clew.orchestrator.facts import Released
from clew.orchestrator.payloads import PayloadKeeper
from clew.orchestrator.programs import ProgramBook
from clew.ports import Bucket, BucketError, Chance, Clock, Executor, Store, StoreError

Json = Any

PAYLOAD_SIZE_MAX = 64 * 1024 * 1024
"""The largest payload that is read back: four times what an attempt may give out."""


class Orchestrator:
    """Handed everything it needs; `wiring` knows from where."""

    def __init__(
        self,
        *,
        store: Store,
        driver: Driver,
        programs: ProgramBook,
        payloads: PayloadKeeper,
        payload_bucket: Bucket | None,
        executors: Iterable[Executor],
        clock: Clock,
        chance: Chance,
        failed: asyncio.Future[None],
        release: Callable[[], None],
    ) -> None:
        self.store = store
        self.driver = driver
        self.programs = programs
        self._payload_bucket = payload_bucket
        self._executors = tuple(executors)
        self._maker = RunMaker(store=store, programs=programs, payloads=payloads, clock=clock, chance=chance)
        self._failed = failed
        self._release = release
        self._waiting: set[asyncio.Future[None]] = set()
        failed.add_done_callback(self._tell_waiting)

    # ---- asking for a run ----

    def create(
        self,
        sealed: SealedProgram,
        variables: Mapping[str, Json],
        *,
        requested_by: str,
        origin: Origin,
        observer: Observer | None = None,
    ) -> DrivenRun:
        """A fresh run, driven from here on. It is durable with its first stages' start, by one flush.

        `variables` are the program's with the request's, checked already.
        """
        run = self._maker.make(sealed, variables, requested_by=requested_by, origin=origin)
        run.observer = observer
        self.driver.add(run)
        return run

    # ---- taking up again ----

    def take_up(
        self, run_id: str, version: str, origin_text: str, observer: Observer | None = None
    ) -> DrivenRun:
        """Drive an unfinished run from its last recorded state on, fencing whoever drove it. Raises StoreError."""
        program = self.programs.of_version(version)
        epoch = self.store.take_over(run_id)
        run = DrivenRun(program, run_id, epoch=epoch, origin=msgspec.json.decode(origin_text, type=Origin))
        run.observer = observer
        journal = self.store.journal(run_id)
        if not journal:
            raise StoreError(f"run {run_id} has no journal; verify the store")
        run.restore(journal, self._payload_values(run_id))
        self.driver.take_up(run)
        return run

    def release(self, run: DrivenRun, by: str) -> None:
        """A person says that a held run goes on."""
        self.driver.notice(run, Released(by))

    def _payload_values(self, run_id: str) -> dict[int, dict[str, Json]]:
        values: dict[int, dict[str, Json]] = {}
        for row in self.store.payloads(run_id):
            content = row.content
            if content is None:
                content = self._spilled(row.location or "")
            values[row.seq] = msgspec.json.decode(content)
        return values

    def _spilled(self, location: str) -> str:
        """A payload that stands in the bucket for large ones. Raises StoreError: without it the run can't go on."""
        bucket = self._payload_bucket
        if bucket is None:
            raise StoreError(f"{location}: the run has payloads in a bucket, and the settings name none")
        try:
            return bucket.read(location, PAYLOAD_SIZE_MAX).decode()
        except (BucketError, FileNotFoundError) as error:
            raise StoreError(f"{bucket.url}: the payload {location} can't be read: {error}") from error

    # ---- waiting and ending ----

    async def rested(self, run: DrivenRun) -> None:
        """Wait until the run is settled or a person is needed, and that is durable. Raises Fenced when another
        orchestrator has taken the run over, RunExists when it could not be created, and what ended this
        orchestrator, if anything."""
        if run.error is None and not run.is_at_rest and not self._failed.done():
            rest: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(rest)
            run.settled = lambda: None if rest.done() else rest.set_result(None)
            try:
                await rest
            finally:
                run.settled = None
                self._waiting.discard(rest)
        if run.error is not None:
            raise run.error
        if not run.is_at_rest:
            self._failed.result()

    def _tell_waiting(self, failed: asyncio.Future[None]) -> None:
        """This orchestrator ends by an error: whoever waits for a run need not wait any longer."""
        for rest in self._waiting:
            if not rest.done():
                rest.set_result(None)

    async def close(self) -> None:
        """Stop now. What was in flight is ended and left to whoever takes the runs up."""
        self.driver.stop()
        for executor in self._executors:
            await executor.close()
        if self._failed.done():
            self._failed.exception()  # whoever waited has been told
        self.store.close()
        self._release()
