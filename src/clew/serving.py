"""`clew up`: programs are live, their runs are made when they are due, and all runs of the store are driven, until this
process is told to end.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Protocol

import msgspec

from clew.authoring.program_places import PlaceEvents, PlaceProblem, Source, find_sources
from clew.core.planning.awaiting import CIRCLE_HINT, told_circle
from clew.core.planning.cycles import awaits_of, waiting_circle
from clew.core.program.model import Program
from clew.core.program.problems import ProgramError
from clew.core.program.program_places import EVERY_MILLISECONDS, LocalPlace, ProgramPlace, next_reading
from clew.core.running.entries import Entry
from clew.core.running.sealed_program import SealedProgram
from clew.core.running.state import RunState
from clew.core.timing.schedule import DueTime
from clew.desk import Desk
from clew.fetched_places import FetchedPlaces
from clew.following import Said, observer_of
from clew.measuring import Measures
from clew.operations.requests import RequestError, check_request, unknown_buckets
from clew.orchestrator.driven_run import Origin, origin_of
from clew.orchestrator.orchestrator import Orchestrator
from clew.orchestrator.real_world import RealClock
from clew.orchestrator.scheduler import Scheduler, variables_wanting
from clew.ports import CommitUnknown, Fenced, ScheduleRow, StoreBusy, Unreadable
from clew.settings import Settings
from clew.wiring import load_program, new_shelf, open_orchestrator, seal, unknown_secrets, zone_data_release
from clew.wiring.fetching import program_fetcher, program_trees

SETTLING_SECONDS = 0.1
"""Who writes one file often writes the next at once: they are read together."""

DRAIN_INTERVAL_SECONDS = 0.02
"""How often a process that is to end looks whether all has ended."""


BUSY_SECONDS = 0.2
"""How long a store is left alone that could not say, or not take, what is live."""


class ServiceWatcher(Protocol):
    """Is told what happens."""

    def recorded(self, entry: Entry, state: RunState, said: Said) -> None:
        """An entry of a run's journal, and what the run amounts to with it."""

    def went_live(self, program: Program, version: str, source: str, next_due: int | None) -> None:
        """That version of the program is live, and due next at that moment (milliseconds since 1970), or never."""

    def retired(self, program: str) -> None:
        """The program is not live any more."""

    def is_wrong(self, source: str, error: Exception, live: str) -> None:
        """Nothing of what stands there is used: why, and which program goes on as it was; empty for none."""

    def removed(self, count: int) -> None:
        """So many runs have left the store, whose time was over."""

    def is_doubtful(self, what: str) -> None:
        """Something that is live can't go well, or the store might not keep what is recorded."""

    def settled(self, program: str, times: Sequence[DueTime]) -> None:
        """Due times of the program are on record from now on, as runs, or as missed or skipped."""

    def leaves_alone(self, what: str, why: Exception) -> None:
        """That run or program can't be used or driven by this process; all else goes on."""

    def is_taken_over(self, run_id: str, why: Exception) -> None:
        """What was to be recorded of that run was refused: another orchestrator drives it by now."""

    def is_ready(self, count: int) -> None:
        """All places have been read; so many programs are live."""

    def is_reached_at(self, address: str) -> None:
        """Others reach this process at that address."""

    def drains(self, count: int) -> None:
        """This process is to end: no further stage begins, and so many attempts are waited for."""


class OpenFace(Protocol):
    """Opens what others reach this process by, within a block; gives the address."""

    def __call__(
        self,
        settings: Settings,
        desk: Desk,
        measures: Measures,
        *,
        is_ready: Callable[[], bool],
        ends: Callable[[], bool],
    ) -> AbstractAsyncContextManager[str]: ...


class Ends:
    """How this process is told to end: at first with grace, then at once."""

    def __init__(self) -> None:
        self.drain = asyncio.Event()
        self.stop = asyncio.Event()

    def tell(self) -> None:
        """It is to end; told again, without waiting for anything."""
        (self.stop if self.drain.is_set() else self.drain).set()


class _NameTaken(RequestError):
    """A program of that name is live already, from another source."""

    def __init__(self, program: str, source: str) -> None:
        super().__init__(f"there is a program '{program}' already, from {source}; rename one of them")
        self.program = program


class _Known(msgspec.Struct):
    """A source that was read: as it was then, and the program that is live by it; empty for none. `wants`: the name
    that it could not have, since another source has it. `version`: what was read, if there were no mistakes in it."""

    mark: str
    program: str = ""
    wants: str = ""
    version: str = ""


class Service:
    """The programs of some places, live in one store."""

    def __init__(
        self,
        settings: Settings,
        places: Sequence[ProgramPlace],
        fetched: FetchedPlaces,
        orchestrator: Orchestrator,
        scheduler: Scheduler,
        watcher: ServiceWatcher,
    ) -> None:
        self._settings = settings
        self._places = places
        self._fetched = fetched
        self._orchestrator = orchestrator
        self._scheduler = scheduler
        self._watcher = watcher
        self._known: dict[str, _Known] = {}
        self._circle: tuple[str, ...] = ()
        self._told: set[str] = set()
        """What was told of the places themselves."""
        self._gone: tuple[str, ...] = ()
        """Places of this machine that are not there, or can't be read."""
        self._doubted: dict[str, int] = {}
        """Sources that the store has and no place: by the number of the reading that is not enough to be sure."""
        self._unknown: tuple[str, ...] = ()
        """What the names of those sources begin with of which nobody knows what they are now."""

    # ---- reading programs ----

    async def read(self) -> None:
        """Make live what the places hold now, and retire what they hold no more. Raises StoreError."""
        sources = self._find()
        present = {source.name for source in sources}
        for name in [one for one in self._known if one not in present]:
            if not self._is_unreachable(name):
                self._retire(self._known.pop(name).program)
        for source in sources:
            self._doubted.pop(source.name, None)
            known = self._known.get(source.name)
            if known is None or known.mark != source.mark:
                self._read_source(source, known)
                await asyncio.sleep(0)  # runs go on meanwhile
        for source in sources:
            known = self._known[source.name]
            if known.wants and not self._source_of(known.wants, besides=source.name):
                self._read_source(source, known)
        self._retire_what_is_gone()
        self._look_for_circles()

    def _look_for_circles(self) -> None:
        """Tell, once, of programs that wait for each other for ever."""
        programs = {program.name: program for program in self._scheduler.live_programs()}
        circle = waiting_circle(awaits_of(programs))
        if circle and circle != self._circle:
            self._watcher.is_doubtful(f"{told_circle(circle)}; {CIRCLE_HINT}")
        self._circle = circle

    def _find(self) -> list[Source]:
        """What the places hold. What is wrong with them is told once."""
        found: dict[str, Source] = {}
        problems: list[PlaceProblem] = []
        gone: list[str] = []
        unknown: list[str] = []
        for place in self._places:
            if isinstance(place, LocalPlace):
                sources, wrong = find_sources([place.path])
                problems += wrong
                gone += [os.path.abspath(problem.place) for problem in wrong]
            else:
                sources = list(self._fetched.sources_of(place))
                problem = self._fetched.problem_of(place)
                problems += [] if problem is None else [problem]
                unknown += [] if self._fetched.is_known(place) else [place.prefix]
            for source in sources:
                found.setdefault(source.name, source)
        for problem in problems:
            if str(problem) not in self._told:
                self._watcher.is_wrong("", problem, "")
        self._told = {str(problem) for problem in problems}
        self._gone, self._unknown = tuple(gone), (*unknown, *(root + os.sep for root in gone))
        return list(found.values())

    def _is_unreachable(self, source: str) -> bool:
        """It lies in a place that is not there, or can't be read, as a whole: that is an accident, until it is named no
        more."""
        return source in self._gone or source.startswith(self._unknown)

    def _read_source(self, source: Source, known: _Known | None) -> None:
        """Make live what stands there. If it is wrong, what was live goes on as it was."""
        try:
            sealed, folder = self._load(source)
        except (ProgramError, RequestError, OSError) as error:
            live = known.program if known is not None else self._revived(source.name)
            wants = error.program if isinstance(error, _NameTaken) else ""
            self._known[source.name] = _Known(source.mark, live, wants)
            self._watcher.is_wrong(source.name, error, live)
            return
        name = sealed.program.name
        if known is not None and known.program != name:
            self._retire(known.program)
        self._scheduler.go_live(sealed, Origin(folder), source.name)
        self._known[source.name] = _Known(source.mark, name, version=sealed.version)
        if source.copy and known is not None and known.version == sealed.version:
            return  # what lies beside it has changed, which may be any file of the place
        self._watcher.went_live(sealed.program, sealed.version, source.name, self._scheduler.next_due(name))

    def _load(self, source: Source) -> tuple[SealedProgram, str]:
        """Raises ProgramError, RequestError, OSError."""
        if source.copy:
            loaded = load_program(source.copy, folder=os.getcwd(), name=source.name)
        else:
            loaded = load_program(source.name, folder=os.getcwd())
        program, settings = loaded.program, self._settings
        other = self._source_of(program.name, besides=source.name)
        if other:
            raise _NameTaken(program.name, other)
        if program.cadence is not None:
            wanting = variables_wanting(program)
            if wanting:
                names = ", ".join(f"'{name}'" for name in wanting)
                raise RequestError(
                    f"{program.name} has a cadence, and nobody to give it {names}; give defaults, under variables"
                )
            check_request(
                program,
                {},
                unknown_buckets=unknown_buckets(program, settings.buckets),
                unknown_secrets=unknown_secrets(program, settings.secrets),
            )
        return seal(program), loaded.folder

    def _source_of(self, program: str, besides: str) -> str:
        """From where a program of that name is live already; the first that was read keeps it."""
        return next(
            (
                source
                for source, known in self._known.items()
                if known.program == program and source != besides
            ),
            "",
        )

    def _revived(self, source: str) -> str:
        """What was live from there when this store was last used goes on by the version that is on record."""
        for row in self._orchestrator.store.schedules.all():
            if row.source == source and row.retired_at is None:
                return row.program if self._goes_on(row) else ""
        return ""

    def _goes_on(self, row: ScheduleRow) -> bool:
        """Have a program live as it is on record, if that can be read. Raises StoreError."""
        try:
            sealed = self._orchestrator.programs.of_version(row.version)
        except Unreadable as error:
            self._watcher.leaves_alone(f"program {row.program}", error)
            return False
        self._scheduler.go_live(sealed, _origin_of(row), row.source)
        return True

    def _retire_what_is_gone(self) -> None:
        """Retire what was live when this store was last used, and is nowhere any more."""
        live = {known.program for known in self._known.values()}
        for row in self._orchestrator.store.schedules.all():
            if row.retired_at is None and row.program not in live:
                if self._is_unreachable(row.source):
                    if self._goes_on(row):
                        self._known[row.source] = _Known("", row.program, version=row.version)
                elif self._is_gone(row.source):
                    self._retire(row.program)

    def _is_gone(self, source: str) -> bool:
        """Whether it is nowhere, by what was read after the store was seen to have it: another orchestrator may have
        read a newer state of its place than this one has."""
        for place in self._places:
            if not isinstance(place, LocalPlace) and source.startswith(place.prefix):
                if source not in self._doubted:
                    self._doubted[source] = self._fetched.ask(place)
                if self._fetched.last_of(place) <= self._doubted[source]:
                    return False
        self._doubted.pop(source, None)
        return True

    def _retire(self, program: str) -> None:
        if program:
            self._scheduler.retire(program)
            self._watcher.retired(program)

    async def tidy(self) -> None:
        """Have the code go that was fetched for what does not run any more. Raises StoreError."""
        schedules = self._orchestrator.store.schedules
        try:
            await self._fetched.tidy(lambda: [origin_of(each).folder for each in schedules.origins()])
        except OSError as error:
            self._watcher.is_doubtful(f"what was fetched before can't be removed: {error}")

    @property
    def live_count(self) -> int:
        """How many programs are live."""
        return sum(bool(known.program) for known in self._known.values())


def _have_old_things_leave(orchestrator: Orchestrator, settings: Settings, watcher: ServiceWatcher) -> None:
    """What was erased, and runs whose time is over."""
    if orchestrator.eraser is not None:
        orchestrator.eraser.is_troubled = watcher.is_doubtful
        orchestrator.eraser.sweep_regularly()
    remover = orchestrator.remover(
        new_shelf(settings), requests_kept_milliseconds=settings.requests_kept_milliseconds
    )
    remover.has_removed = watcher.removed
    remover.is_behind = lambda why: watcher.is_doubtful(f"retention: {why}")
    remover.sweep_regularly()


async def serve(
    settings: Settings,
    places: Sequence[ProgramPlace],
    *,
    grace_seconds: float,
    watcher: ServiceWatcher,
    ends: Ends,
    open_face: OpenFace | None = None,
) -> None:
    """Have the programs of these places live, and drive all runs of the store, until told to end. `open_face`: what
    others reach this process by meanwhile.

    Raises StoreBusy when another process drives the store's runs, StoreError when the store can't be used any more.
    """
    async with open_orchestrator(settings, forks=True) as orchestrator:
        desk, measures = Desk(settings, orchestrator), _measures(orchestrator)
        tell_watcher = observer_of(orchestrator, watcher)

        def recorded(entry: Entry, state: RunState) -> None:
            desk.recorded(entry, state)
            measures.recorded(entry, state)
            tell_watcher(entry, state)

        orchestrator.observer = recorded
        orchestrator.tree.is_troubled = lambda why: watcher.is_doubtful(f"checkpoints: {why}")
        _have_old_things_leave(orchestrator, settings, watcher)
        for each in orchestrator.diagnoses:
            if each.verdict != "sound":
                watcher.is_doubtful(f"the store's {each.name} is {each.verdict}: {each.found}; {each.remedy}")
        scheduler = orchestrator.schedule(
            zones=zone_data_release(), jitter_milliseconds=settings.jitter_milliseconds
        )
        news = asyncio.Event()
        trees = program_trees(settings)
        fetched = FetchedPlaces(
            [one for one in places if not isinstance(one, LocalPlace)],
            fetch=program_fetcher(settings, trees),
            trees=trees,
            clock=RealClock(),
            has_news=news.set,
        )
        measures.now["clew_programs_live"] = ("Programs that are live.", lambda: service.live_count)
        measures.watch(asyncio.get_running_loop())
        service = Service(settings, places, fetched, orchestrator, scheduler, watcher)
        scheduler.settled = watcher.settled
        orchestrator.leaves_alone = watcher.leaves_alone
        orchestrator.driver.gave_up = lambda run, why: _tell_taken_over(watcher, run.state.run_id, why)
        orchestrator.claims.adopts = True
        loop = asyncio.get_running_loop()
        local = [one.path for one in places if isinstance(one, LocalPlace)]
        events = _open_events(local, news)
        face = AsyncExitStack()
        is_first = True
        try:
            if open_face is not None:
                opened = open_face(
                    settings, desk, measures, is_ready=lambda: not is_first, ends=ends.drain.is_set
                )
                watcher.is_reached_at(await face.enter_async_context(opened))
            fetched.start()
            await _first_of(orchestrator, [fetched.failed, ends.drain.wait(), fetched.first()])
            news.set()
            while not ends.drain.is_set():
                if news.is_set():
                    news.clear()
                    if events is not None:
                        events.watch(local)  # before it is read, so that nothing is overlooked
                    try:
                        await service.read()
                        await service.tidy()
                    except (StoreBusy, CommitUnknown):
                        await asyncio.sleep(BUSY_SECONDS)
                        news.set()
                        orchestrator.check()
                        continue
                    if is_first:
                        watcher.is_ready(service.live_count)
                        is_first = False
                waits = [fetched.failed, ends.drain.wait(), news.wait()]
                if not await _first_of(orchestrator, waits, _look_again_seconds(places)):
                    news.set()
                orchestrator.check()
                fetched.check()
                if news.is_set():
                    await asyncio.sleep(SETTLING_SECONDS)
        except BaseException:
            await face.aclose()
            raise
        finally:
            fetched.stop()
            if events is not None:
                loop.remove_reader(events.fileno())
                events.close()
        scheduler.stop()
        closing = asyncio.ensure_future(face.aclose())  # who is being answered is answered, and streams end
        await _drain(orchestrator, grace_seconds, watcher, ends)
        await closing
        measures.stop()


def _measures(orchestrator: Orchestrator) -> Measures:
    """With what is looked at when somebody asks."""
    measures, driver, store = Measures(), orchestrator.driver, orchestrator.store
    measures.now["clew_runs_driven"] = ("Runs that this process drives.", lambda: len(driver.runs))
    measures.now["clew_attempts_in_flight"] = (
        "Attempts, and tries at rollbacks, that are under way.",
        lambda: orchestrator.in_flight_count,
    )
    measures.now["clew_store_flushes"] = (
        "Transactions of runs that were flushed.",
        lambda: store.flush_count,
    )
    return measures


def _look_again_seconds(places: Sequence[ProgramPlace]) -> float:
    """After how long the places of this machine are looked at though nothing was told: file systems of other machines
    tell nothing. All of them together: that costs little."""
    now = RealClock().now()
    local = [one for one in places if isinstance(one, LocalPlace)]
    return min((next_reading(one, now) - now for one in local), default=EVERY_MILLISECONDS) / 1000


def _tell_taken_over(watcher: ServiceWatcher, run_id: str, why: Exception) -> None:
    if isinstance(why, Fenced):
        watcher.is_taken_over(run_id, why)


def _open_events(places: Sequence[str], news: asyncio.Event) -> PlaceEvents | None:
    """What changes in the places is told by `news`; None where the system gives no events."""
    try:
        events = PlaceEvents()
    except OSError:
        return None

    def read() -> None:
        if events.read():
            news.set()

    asyncio.get_running_loop().add_reader(events.fileno(), read)
    return events


async def _first_of(
    orchestrator: Orchestrator, waits: Sequence[Awaitable[Any]], seconds: float | None = None
) -> bool:
    """Wait for the first of these, or until the orchestrator has failed; False where that takes longer."""
    begun = [asyncio.ensure_future(one) for one in waits]
    try:
        done, _ = await asyncio.wait(
            [*begun, orchestrator.failed], timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        for wait, one in zip(begun, waits, strict=True):
            if wait is not one:
                wait.cancel()
    return bool(done)


async def _drain(
    orchestrator: Orchestrator, grace_seconds: float, watcher: ServiceWatcher, ends: Ends
) -> None:
    """Begin nothing more, and wait for what runs, so long at most. What is left is ended, and tried again by whoever
    takes the runs up."""
    orchestrator.claims.adopts = False
    orchestrator.backfiller.stop()
    orchestrator.places.stop()
    orchestrator.driver.drain()
    if orchestrator.eraser is not None:
        orchestrator.eraser.stop()  # a bucket that does not answer would be waited for
    loop = asyncio.get_running_loop()
    end = loop.time() + grace_seconds
    watcher.drains(orchestrator.in_flight_count)
    orchestrator.claims.hand_back()
    while _is_at_work(orchestrator) and loop.time() < end and not ends.stop.is_set():
        orchestrator.check()
        await asyncio.sleep(DRAIN_INTERVAL_SECONDS)
        orchestrator.claims.hand_back()


def _is_at_work(orchestrator: Orchestrator) -> bool:
    """Whether anything runs, or how it ended is not on record yet."""
    return orchestrator.in_flight_count > 0 or orchestrator.driver.is_recording


def _origin_of(row: ScheduleRow) -> Origin:
    return msgspec.json.decode(row.origin, type=Origin)
