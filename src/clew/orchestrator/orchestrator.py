"""One orchestrator: creates runs, takes up unfinished ones, and drives them until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from clew.core.running import statuses
from clew.core.running.instructions import Instruction, refusal
from clew.core.running.sealed_program import SealedProgram
from clew.orchestrator.backfilling import Backfiller
from clew.orchestrator.claims import Claims
from clew.orchestrator.creating import RunMaker
from clew.orchestrator.driven_run import DrivenRun, Observer, Origin, more, origin_of
from clew.orchestrator.driver import Driver
from clew.orchestrator.facts import Instructed
from clew.orchestrator.lease_keeper import LeaseKeeper
from clew.orchestrator.payloads import PayloadKeeper
from clew.orchestrator.places import Places
from clew.orchestrator.programs import ProgramBook
from clew.orchestrator.tree_keeper import Publish, SignCheckpoint, TreeKeeper
from clew.ports import (
    Alarm,
    Bucket,
    BucketError,
    Chance,
    ClaimedRun,
    Clock,
    CommitUnknown,
    Diagnosis,
    DrivenElsewhere,
    Executor,
    FlushFailed,
    NewRequestKey,
    PayloadUnreadable,
    Store,
    StoreBusy,
    StoreError,
    StoreTaken,
    Tasks,
    Unreadable,
)

if TYPE_CHECKING:
    from clew.orchestrator.eraser import Eraser
    from clew.orchestrator.remover import Remover, Shelf
    from clew.orchestrator.scheduler import Scheduler

Json = Any

PAYLOAD_SIZE_MAX = 64 * 1024 * 1024
"""The largest payload that is read back: four times what an attempt may give out."""


ATTEND_MILLISECONDS = 200
"""How often the store is asked whether somebody has said something: a person notices no such delay, and asking
costs some ten microseconds."""


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
        tasks: Tasks,
        alarm: Alarm,
        failed: asyncio.Future[None],
        release: Callable[[], None],
        diagnoses: Sequence[Diagnosis] = (),
        lease: LeaseKeeper | None = None,
        sign: SignCheckpoint | None = None,
        publish: Sequence[Publish] = (),
        make_eraser: Callable[[], Eraser] | None = None,
    ) -> None:
        """`diagnoses`: what was found of what the records of the store rest on; `lease`: where others may drive runs of
        it too; `sign`, `publish`: what becomes of the checkpoints of the store's tree; `make_eraser`: of
        what deletes what runs have beside the store, where that is erased."""
        self.store = store
        self.driver = driver
        self.diagnoses = diagnoses
        self.programs = programs
        self._payload_bucket = payload_bucket
        self._executors = tuple(executors)
        self._tasks = tasks
        self._clock = clock
        self._alarm = alarm
        self.observer: Observer | None = None
        """Is told of each run that is taken up with nobody else to tell."""
        self.leaves_alone: Callable[[str, Unreadable], None] | None = None
        """Is told what can't be driven here, once each, and why."""
        self._left_alone: set[str] = set()
        self._changes_seen = -1
        self._pauses_seen = (-1, -1)
        self.maker = RunMaker(
            store=store,
            programs=programs,
            payloads=payloads,
            clock=clock,
            chance=chance,
            unsafe=driver.unsafe,
        )
        self.claims = Claims(
            leases=store.leases, driver=driver, tasks=tasks, lease=lease, take_up=self._take_up_claimed,
            leave_alone=self._leave_alone, look=lambda program: self.places.look(program),
        )  # fmt: skip
        self.places = Places(
            store=store, clock=clock, alarm=alarm, tasks=tasks, program_of=programs.of_version,
            take_up=lambda row: self.take_up(row.run_id, row.version, row.origin), notice=driver.notice,
            leave_alone=self._leave_alone, gives=self.claims.gives,
        )  # fmt: skip
        self.backfiller = Backfiller(
            store=store, maker=self.maker, clock=clock, tasks=tasks, program_of=programs.of_version,
            look_for_places=self.places.look,
        )  # fmt: skip
        self.tree = TreeKeeper(
            tree=store.tree, tasks=tasks, flush_count=lambda: store.flush_count, sign=sign, publish=publish
        )
        self._make_eraser = make_eraser
        self._eraser: Eraser | None = None
        self._erased: set[str] = set()
        """The runs of which something was to be erased by this orchestrator."""
        self._remover: Remover | None = None
        driver.tell(came=self.places.came, changed=self._changed, make_up_for=self.maker.make_up_for)
        self._failed = failed
        self._release = release
        self._in_hand: set[str] = set()
        """The instructions that were given to their runs and are not on record as answered yet."""
        self._is_closed = False
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
        request_key: NewRequestKey | None = None,
    ) -> DrivenRun:
        """A fresh run, driven from here on. It is durable with its first stages' start, by one flush.

        `variables` are the program's with the request's, checked already. Raises DrivenElsewhere, with nothing done,
        when it needs a place and another orchestrator gives the program's: then it is to be queued.
        """
        self.claims.see_whose_it_is(sealed)
        run = self.maker.make(
            sealed, variables, requested_by=requested_by, origin=origin, request_key=request_key
        )
        run.observer = observer
        if sealed.has_places:
            self._find_place(run)
        self.driver.add(run)
        return run

    def _find_place(self, run: DrivenRun) -> None:
        """Give the fresh run a place at once, if there is one: then it is created and launched by one flush."""
        program = run.state.program.program.name
        self.places.came(run)
        try:
            self.places.see_to(program)
        except (StoreBusy, CommitUnknown, Unreadable):
            self.places.look(program)

    # ---- taking up again ----

    def take_up(
        self,
        run_id: str,
        version: str,
        origin_text: str,
        observer: Observer | None = None,
        *,
        with_values: bool = True,
    ) -> DrivenRun:
        """Drive an unfinished run from its last recorded state on, fencing whoever drove it. Without its values it can
        do nothing that needs any. Raises StoreError; of its kinds DrivenElsewhere when another orchestrator does, or is
        the one to."""
        driven = self.driver.runs.get(run_id)
        if driven is not None:
            driven.observer = observer or driven.observer
            return driven
        sealed = self.programs.of_version(version)  # before anybody is fenced
        self.claims.see_whose_it_is(sealed)
        claimed = self.store.leases.claim_run(run_id)
        if claimed is None:
            raise DrivenElsewhere(f"run {run_id} is driven by another orchestrator")
        return self._take_up_claimed(claimed, observer, with_values=with_values)

    def _take_up_claimed(
        self, claimed: ClaimedRun, observer: Observer | None = None, *, with_values: bool = True
    ) -> DrivenRun:
        """Drive a run that is this orchestrator's by now. Raises StoreError."""
        run = self._restored(
            claimed.version, claimed.origin, claimed.run_id, claimed.epoch, with_values=with_values
        )
        run.observer = observer or self.observer
        self.driver.take_up(run)
        return run

    def _leave_alone(self, what: str, why: Unreadable) -> None:
        """That can't be driven here. It is told once; all else goes on."""
        if what not in self._left_alone:
            self._left_alone.add(what)
            if self.leaves_alone is not None:
                self.leaves_alone(what, why)

    def _changed(self, run: DrivenRun) -> None:
        """Something that happened to a run of a program with places is on record."""
        self.places.changed(run)
        self.backfiller.changed(run)

    def take_up_others(self, run: DrivenRun) -> list[str]:
        """Take up the unfinished runs of the same program that nobody drives, for the sake of one that is queued behind
        them; which ones. Raises StoreError."""
        return self.take_up_left(run.state.program.program.name)

    def take_up_left(self, program: str) -> list[str]:
        """Take up the runs of the program that have begun and that nobody drives; which ones. Raises StoreError."""
        taken = []
        for run_id in self.places.left(program):
            row = self.store.run(run_id)
            if row is not None and row["status"] not in statuses.NEEDS_PERSON:
                with suppress(DrivenElsewhere):
                    self.take_up(run_id, row["version"], row["origin"])
                    taken.append(run_id)
        return taken

    def schedule(self, *, zones: str, jitter_milliseconds: int) -> Scheduler:
        """A scheduler that makes runs for this orchestrator to drive."""
        from clew.orchestrator.scheduler import Scheduler  # whoever runs one run has no schedule

        return Scheduler(
            store=self.store, maker=self.maker, programs=self.programs, clock=self._clock, alarm=self._alarm,
            tasks=self._tasks, look=self.places.look, zones=zones, jitter_milliseconds=jitter_milliseconds,
        )  # fmt: skip

    def _restored(
        self, version: str, origin_text: str, run_id: str, epoch: int, *, with_values: bool = True
    ) -> DrivenRun:
        """The run as its journal has it. Raises StoreError."""
        program = self.programs.of_version(version)
        run = DrivenRun(program, run_id, epoch=epoch, origin=origin_of(origin_text))
        journal = self.store.journal(run_id)
        if not journal:
            raise StoreError(f"run {run_id} has no journal; verify the store")
        run.restore(journal, self._payload_values(run_id) if with_values else {})
        return run

    def release(self, run: DrivenRun, by: str) -> None:
        """A person says that a held run goes on."""
        self.driver.notice(run, Instructed("", Instruction("resume", by)))

    # ---- what people say ----

    def attend(self) -> None:
        """Have every instruction that waits in the store obeyed or refused, each by its run, in the order in which
        they were said. Raises StoreError."""
        waiting = self.store.instructions()
        self._in_hand &= {instruction_id for instruction_id, _, _ in waiting}
        for instruction_id, run_id, content in waiting:
            if instruction_id in self._in_hand:
                continue
            try:
                instruction = msgspec.json.decode(content, type=Instruction)
                run = self.driver.runs.get(run_id) or self._called_up(instruction_id, run_id, instruction)
            except DrivenElsewhere:
                continue  # it is for whoever drives it
            except (StoreBusy, CommitUnknown, FlushFailed, StoreTaken):
                raise
            except (StoreError, msgspec.ValidationError) as error:
                # The run, or the instruction, can't be read. That is no reason to drive no other run.
                row = self.store.run(run_id)
                self._refuse(instruction_id, str(error), None if row is None else row["epoch"])
                continue
            if run is not None:
                if instruction.verb == "erase":
                    self._erased.add(run_id)
                self._in_hand.add(instruction_id)
                self.driver.notice(run, Instructed(instruction_id, instruction))

    def attend_regularly(self) -> None:
        """Attend from here on, several times a second, until this orchestrator is closed."""

        def attend() -> None:
            if self._is_closed:
                return
            with suppress(StoreBusy, CommitUnknown):
                self._attend_to_changes()
            self._tasks.later(ATTEND_MILLISECONDS, attend)

        self._tasks.soon(attend)
        self.claims.doubt_regularly()

    def _attend_to_changes(self) -> None:
        """Attend if anybody else has changed anything: asking that costs next to nothing."""
        self.claims.be_sure()
        self.tree.look()
        changes = self.store.change_count()
        if changes == self._changes_seen and not self._in_hand:
            return
        self.attend()
        self._erase()
        if self.claims.adopts:
            self._adopt_news()
        else:
            for program in self.claims.gates:  # nobody else looks for them
                self.places.look(program)
        self.backfiller.look()
        self._changes_seen = changes

    @property
    def eraser(self) -> Eraser | None:
        """What deletes what was erased: made when there is something to delete, which is seldom."""
        if self._eraser is None and self._make_eraser is not None:
            self._eraser = self._make_eraser()
        return self._eraser

    def remover(self, shelf: Shelf, *, requests_kept_milliseconds: int = 0) -> Remover:
        """What has runs leave whose time is over, and keys that were used so long ago."""
        from clew.orchestrator.remover import Remover  # whoever runs one run removes none

        self._remover = Remover(
            removals=self.store.removals,
            tasks=self._tasks,
            clock=self._clock,
            shelf=shelf,
            removed=self._erase,
            forget_requests=self.store.access.forget_requests,
            requests_kept_milliseconds=requests_kept_milliseconds,
        )
        return self._remover

    def _erase(self) -> None:
        """Delete what was erased, if anything was."""
        if self.store.removals.objects_due(0, 1) and self.eraser is not None:
            self.eraser.look()

    async def _finish_erasing(self) -> None:
        if not self._failed.done() and self.store.removals.objects_due(0, 1) and self.eraser is not None:
            await self.eraser.finish(self._erased)

    def _adopt_news(self) -> None:
        """Take up what others have asked for, and see to the programs that somebody has paused, or let go on."""
        self.claims.adopt()
        self.backfiller.only = None
        pauses = self.store.schedules.pause_count()
        if pauses != self._pauses_seen:
            self._pauses_seen = pauses
            for row in self.store.schedules.all():
                self.places.look(row.program)

    def _called_up(self, instruction_id: str, run_id: str, instruction: Instruction) -> DrivenRun | None:
        """A run that nobody drives, if it can obey: then it is driven from here on."""
        row = self.store.run(run_id)
        if row is None:
            self._refuse(instruction_id, f"there is no run {run_id}", None)
            return None
        if row["removed_at"] is not None:
            self._refuse(instruction_id, "it was removed from the store", row["epoch"])
            return None
        self.claims.see_whose_it_is(self.programs.of_version(row["version"]))
        origin, with_values = row["origin"], instruction.verb != "erase"
        restored = self._restored(row["version"], origin, run_id, row["epoch"], with_values=with_values)
        why = refusal(restored.state, instruction)
        if why:
            self._refuse(instruction_id, why, row["epoch"])
            return None
        return self.take_up(run_id, row["version"], origin, with_values=with_values)

    def _refuse(self, instruction_id: str, why: str, epoch: int | None) -> None:
        self._in_hand.add(instruction_id)
        self.driver.refuse(instruction_id, why, epoch=epoch)

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
            raise PayloadUnreadable(
                f"{location}: the run has payloads in a bucket, and the settings name none"
            )
        try:
            return bucket.read(location, PAYLOAD_SIZE_MAX).decode()
        except (BucketError, FileNotFoundError) as error:
            raise PayloadUnreadable(f"{bucket.url}: the payload {location} can't be read: {error}") from error

    # ---- waiting and ending ----

    async def rested(self, run: DrivenRun) -> None:
        """Wait until the run is settled or a person is needed, and that is durable. One that is paused already is
        waited for until it stands still; one that is paused meanwhile is waited for all the same. Raises Fenced when
        another orchestrator has taken the run over, RunExists when it could not be created, NoPlace when it is queued
        behind one that does not go on by itself, and what ended this orchestrator, if anything."""
        was_paused = run.state.is_paused

        def rests() -> bool:
            return run.is_at_rest or (was_paused and run.stands_still)

        while run.error is None and not rests() and not self._failed.done():
            self.places.check(run)
            await self._told_of(run)
        if run.error is not None:
            raise run.error
        if not rests():
            self._failed.result()

    async def _told_of(self, run: DrivenRun) -> None:
        """Wait until there is news of the run that those want to know who wait for its rest."""
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def tell() -> None:
            if not news.done():
                news.set_result(None)

        self._waiting.add(news)
        run.awaited_by = more(run.awaited_by, tell)
        try:
            await news
        finally:
            run.awaited_by = [each for each in run.awaited_by if each is not tell] or ()
            self._waiting.discard(news)

    @property
    def failed(self) -> asyncio.Future[None]:
        """Done, with an exception, when something has ended this orchestrator."""
        return self._failed

    @property
    def in_flight_count(self) -> int:
        """How many attempts, and tries at rollbacks, are under way."""
        units = [unit for run in self.driver.runs.values() for unit in run.state.units.values()]
        return sum(unit.in_flight + unit.rollback_in_flight for unit in units)

    async def outside(self, function: Callable[[], Any]) -> Any:
        """What blocks, in a thread of its own. Raises what it raises."""
        return await self._tasks.outside(function)

    def now(self) -> int:
        """What the clock shows, in milliseconds since 1970."""
        return self._clock.now()

    def check(self) -> None:
        """Raises what has ended this orchestrator, if anything has."""
        if self._failed.done():
            self._failed.result()

    def _tell_waiting(self, failed: asyncio.Future[None]) -> None:
        """This orchestrator ends by an error: whoever waits for a run need not wait any longer."""
        for rest in self._waiting:
            if not rest.done():
                rest.set_result(None)

    async def close(self) -> None:
        """Stop now. What was in flight is ended and left to whoever takes the runs up."""
        self._is_closed = True
        self.claims.adopts = False
        if self._remover is not None:
            self._remover.stop()
        self.backfiller.stop()
        self.places.stop()
        self.driver.stop()
        for executor in self._executors:
            await executor.close()
        if self._failed.done():
            self._failed.exception()  # whoever waited has been told
            self.tree.stop()
            if self._eraser is not None:
                self._eraser.stop()
        self.tree.finish()
        with suppress(StoreError):
            await self._finish_erasing()
        with suppress(StoreError):
            self.store.leave()  # else others wait until the lease is over
        self.store.close()
        await self.tree.publish_last()
        self._release()
