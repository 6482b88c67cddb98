"""The places of programs that are no files of this machine: each is read at its own interval, and what was read well
last counts until something else is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial

from clew.authoring.program_places import PlaceProblem, Source, find_fetched
from clew.core.program.program_places import FetchedPlace, next_reading
from clew.orchestrator.real_world import LoopTasks
from clew.ports import BucketError, Clock
from clew.sources.deadlines import Deadline
from clew.sources.program_trees import ProgramTrees, Tree
from clew.sources.trees import SourceError
from clew.wiring.fetching import Fetch

FETCH_SECONDS_MAX = 120
"""How long it may take to read a place: what takes longer hangs, or is no place of programs."""

SLEEP_MILLISECONDS_MAX = 60_000
"""After so long the clock is looked at again."""

TOLD_MAX = 3
"""Reasons that are told why a place can't be read, until it can be: some differ each time."""

FIRST_SECONDS_MAX = 5
"""How long the start waits for places: programs of one that does not answer go on as they are on record."""


class _Read:
    """What is known of a place."""

    def __init__(self, place: FetchedPlace) -> None:
        self.place = place
        self.tree: Tree | None = None
        self.sources: Sequence[Source] = ()
        self.problem: PlaceProblem | None = None
        self.reasons: set[str] = set()
        """Why it could not be read since it could."""
        self.begun, self.last = 0, 0
        """The number of the latest reading that has begun, and of the latest that went well."""
        self.again = asyncio.Event()
        self.tried = asyncio.Event()
        self.deadline: Deadline | None = None


class FetchedPlaces:
    """Reads places by tasks of its own, off the event loop; `has_news` is called when one holds something else, or
    can't be read, or can be again."""

    def __init__(
        self,
        places: Sequence[FetchedPlace],
        *,
        fetch: Fetch,
        trees: ProgramTrees,
        clock: Clock,
        has_news: Callable[[], None],
    ) -> None:
        self._reads = {place: _Read(place) for place in places}
        self._has_news = has_news
        # Of its own: a place that does not answer keeps no search from its thread.
        self._tasks = LoopTasks(asyncio.get_running_loop())
        self._running: list[asyncio.Task[None]] = []
        self._trees = trees
        self._clock = clock
        self._fetch = fetch
        self._has_switched = False

    @property
    def failed(self) -> asyncio.Future[None]:
        """Is told of an error of clew's own."""
        return self._tasks.failed

    def check(self) -> None:
        """Raises what its tasks have failed by."""
        if self.failed.done():
            self.failed.result()

    def start(self) -> None:
        """Read each place, and again and again."""
        for read in self._reads.values():
            self._running.append(self._tasks.start(self._keep_reading(read), name=f"read {read.place.name}"))

    async def first(self) -> None:
        """Each place has been read, or can't be, or does not say for so long."""
        tried = asyncio.gather(*(read.tried.wait() for read in self._reads.values()))
        with suppress(TimeoutError):
            await asyncio.wait_for(tried, FIRST_SECONDS_MAX)

    def stop(self) -> None:
        """Nothing is read any more."""
        for task in self._running:
            task.cancel()
        for read in self._reads.values():
            if read.deadline is not None:
                read.deadline.call_off()

    def sources_of(self, place: FetchedPlace) -> Sequence[Source]:
        """What programs are read from there, as it was when it was read well last."""
        return self._reads[place].sources

    def problem_of(self, place: FetchedPlace) -> PlaceProblem | None:
        """Why it can't be read, if it can't."""
        return self._reads[place].problem

    def is_known(self, place: FetchedPlace) -> bool:
        """Whether what it holds is what it held when it was looked at last."""
        read = self._reads[place]
        return read.tree is not None and read.problem is None

    def last_of(self, place: FetchedPlace) -> int:
        """The number of the latest reading that went well."""
        return self._reads[place].last

    def ask(self, place: FetchedPlace) -> int:
        """Have it read again at once, with news then in any case. A reading with a number beyond the one that is
        returned begins after this."""
        read = self._reads[place]
        read.again.set()
        return read.begun

    async def tidy(self, needed: Callable[[], Collection[str]]) -> None:
        """Remove what was fetched before and holds none of the folders that are needed, if there is something new. What
        `needed` raises comes through. Raises OSError."""
        if not self._has_switched:
            return
        folders = [*needed(), *(read.tree.folder for read in self._reads.values() if read.tree is not None)]
        self._has_switched = False
        await self._tasks.outside(partial(self._trees.remove, folders))

    async def _keep_reading(self, read: _Read) -> None:
        while True:
            before, is_asked = (read.tree, read.problem), read.again.is_set()
            read.again.clear()
            read.begun += 1
            await self._read(read)
            read.tried.set()
            if is_asked or (read.tree, read.problem) != before:
                self._has_news()
            await self._pause(read)

    async def _pause(self, read: _Read) -> None:
        """Until it is time to read it again, or somebody asks for that."""
        place = read.place
        if not place.cadence:
            await _is_set(read.again, place.every)
            return
        due = next_reading(place, self._clock.now())
        while (left := due - self._clock.now()) > 0:
            if await _is_set(read.again, min(left, SLEEP_MILLISECONDS_MAX)):
                return

    async def _read(self, read: _Read) -> None:
        read.deadline = Deadline(FETCH_SECONDS_MAX)
        try:
            tree, sources = await self._tasks.outside(
                partial(self._look, read.place, read.tree, read.deadline)
            )
        except PlaceProblem as problem:
            if str(problem) not in read.reasons and len(read.reasons) < TOLD_MAX:
                read.reasons.add(str(problem))
                read.problem = problem
            return
        finally:
            read.deadline = None
        read.problem, read.last = None, read.begun
        read.reasons.clear()
        if tree != read.tree:
            read.tree, read.sources, self._has_switched = tree, sources, True

    def _look(
        self, place: FetchedPlace, last: Tree | None, deadline: Deadline
    ) -> tuple[Tree, Sequence[Source]]:
        """In a thread. Raises PlaceProblem."""
        try:
            tree = self._fetch(place, last, deadline)
            if tree == last:
                return tree, ()
            if last is not None:
                self._trees.touch(last.folder)
            return tree, find_fetched(tree.folder, place.prefix, tree.folder)
        except (SourceError, BucketError, PlaceProblem) as error:
            raise PlaceProblem(place.name, str(error)) from error
        except OSError as error:
            raise PlaceProblem(place.name, f"it can't be fetched: {error.strerror or error}") from error


async def _is_set(event: asyncio.Event, milliseconds: int) -> bool:
    """Wait for the event, so long at most."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), milliseconds / 1000)
    return event.is_set()
