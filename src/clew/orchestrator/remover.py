"""Has runs leave the store that have been kept for as long as they are to be, to an archive where there is one.

An archive has a run before the store forgets it: written, read back, and verified. Where, its row says before it is
written, so that nothing stands there that nobody knows of. All of it goes in small steps, so that nothing else waits;
and what can't leave now is looked at again an hour later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from clew.ports import (
    ArchiveNamed,
    BucketError,
    Clock,
    CommitUnknown,
    FlushFailed,
    Removals,
    RemovedRun,
    SigningKeyError,
    StoreBusy,
    StoreError,
    StoreTaken,
    Tasks,
)

SWEEP_MILLISECONDS = 3_600_000
"""How often all runs are looked through."""

RUNS_TOGETHER = 20
ENTRIES_TOGETHER = 2_000
"""Of runs that leave by one transaction; one that has more leaves by itself. It takes a few milliseconds, in which
nothing else is done."""

KEYS_TOGETHER = 500

BEHIND_MILLISECONDS = 86_400_000
"""Whoever should have left a day ago is late."""


WITHDRAWN = "withdrawn "
"""Before the place of an export, in the row of a run that has not left: it is to be deleted."""


class Page(NamedTuple):
    """Some runs that were looked at. `over`: those whose time is over, each with where its export is to be put, and
    since when; `after`: where the next page begins, None where this was the last."""

    over: Sequence[tuple[RemovedRun, int]]
    after: tuple[int, str] | None
    troubles: Sequence[str] = ()
    """Why nobody can tell of some of them."""
    left_behind: Sequence[tuple[str, str]] = ()
    """Runs that have not left, and of which an export may stand in the archive all the same: where."""


class NotArchived(Exception):
    """A run's export does not stand in the archive whole."""


class Shelf(Protocol):
    """What finds runs whose time is over, and puts them into the archive. Blocking, called in a thread; may raise
    StoreError."""

    def over(self, after: tuple[int, str], now: int) -> Page:
        """The next page of runs."""

    def archive(self, run_id: str, archive: str) -> bool:
        """Put the run's export there, and see that it stands there and is sound; False where somebody else has had the
        run leave meanwhile. Raises NotArchived, BucketError, SigningKeyError."""

    def delete(self, archive: str) -> None:
        """Delete what was put there, if anything was. Raises BucketError."""


def _forget_nothing(before: int, limit: int) -> int:
    return 0


class Remover:
    """Of one store."""

    def __init__(
        self,
        *,
        removals: Removals,
        tasks: Tasks,
        clock: Clock,
        shelf: Shelf,
        removed: Callable[[], None],
        forget_requests: Callable[[int, int], int] = _forget_nothing,
        requests_kept_milliseconds: int = 0,
    ) -> None:
        """`removed`: called when something has left, which has left objects and logs behind. `forget_requests`: forgets
        so many of the keys under which runs were asked for that were used before a moment, and says how many; those
        that were used so long ago are forgotten, none where it is 0."""
        self._removals = removals
        self._tasks = tasks
        self._clock = clock
        self._shelf = shelf
        self._removed = removed
        self._forget_requests = forget_requests
        self._requests_kept_milliseconds = requests_kept_milliseconds
        self._is_stopped = False
        self.has_removed: Callable[[int], None] = _tell_nobody
        """Is told, after each sweep by which any have left, how many."""
        self.is_behind: Callable[[str], None] = _tell_nobody
        """Is told, after each sweep, what should have left a day ago and could not, and why."""

    def sweep_regularly(self) -> None:
        """Sweep now, and every hour."""

        def sweep() -> None:
            if not self._is_stopped:
                self._tasks.start(self._sweep_and_go_on(sweep), name="remove runs whose time is over")

        self._tasks.soon(sweep)

    def stop(self) -> None:
        """Nothing more leaves."""
        self._is_stopped = True

    async def _sweep_and_go_on(self, sweep: Callable[[], None]) -> None:
        await self.sweep()
        self._tasks.later(SWEEP_MILLISECONDS, sweep)

    async def sweep(self) -> None:
        """Have all leave whose time is over."""
        now, after, count = self._clock.now(), (-1, ""), 0
        late: list[int] = []
        troubles: dict[str, None] = {}
        while not self._is_stopped:
            try:
                page: Page = await self._tasks.outside(lambda: self._shelf.over(after, now))  # noqa: B023
            except StoreError as error:
                troubles[str(error)] = None
                break
            troubles.update(dict.fromkeys(page.troubles))
            for run_id, archive in page.left_behind:
                await self._withdraw(run_id, archive, troubles)
            for some in _together(page.over):
                left, stay = await self._leave([run for run, _ in some], troubles)
                count += left
                late += [until for run, until in some if run.run_id in stay]
            if page.after is None:
                break
            after = page.after
        await self._forget(now, troubles)
        if count:
            self.has_removed(count)
        self._tell(late, troubles, now)

    async def _forget(self, now: int, troubles: dict[str, None]) -> None:
        """Forget the keys that nobody asks by any more."""
        before = now - self._requests_kept_milliseconds
        try:
            while self._requests_kept_milliseconds and not self._is_stopped:
                if self._forget_requests(before, KEYS_TOGETHER) < KEYS_TOGETHER:
                    return
                await self._tasks.outside(_nothing)  # others have their turn
        except (FlushFailed, StoreTaken):
            raise
        except StoreError as error:
            troubles[str(error)] = None

    async def _leave(self, runs: Sequence[RemovedRun], troubles: dict[str, None]) -> tuple[int, set[str]]:
        """How many of these runs have left, and which stay."""
        ready, stay = [], {run.run_id for run in runs}
        try:
            named = self._named(runs)
            for run in runs:
                if run.run_id in named and not self._is_stopped and await self._archive(run, stay, troubles):
                    ready.append(run)
            if not self._is_stopped and ready:
                stay.difference_update(self._removals.remove(ready, self._clock.now()))
        except (FlushFailed, StoreTaken):
            raise
        except StoreError as error:
            # They may have left, or be named: what is in the archive stays there for now.
            troubles[str(error)] = None
            return 0, stay
        if self._is_stopped:
            return 0, stay
        for run in runs:
            if run.run_id in stay and run.run_id in named and run.archive:
                await self._withdraw(run.run_id, run.archive, troubles)
        left = sum(run.run_id not in stay for run in ready)
        if left:
            with suppress(StoreBusy, CommitUnknown):  # what it leaves behind is deleted later
                self._removed()
        return left, stay

    def _named(self, runs: Sequence[RemovedRun]) -> set[str]:
        """Those of these runs whose rows say where their exports are about to be put. Raises StoreError."""
        names = [ArchiveNamed(run.run_id, "", run.archive) for run in runs if run.archive]
        named = set(self._removals.name_archives(names)) if names else set()
        return named | {run.run_id for run in runs if not run.archive}

    async def _archive(self, run: RemovedRun, stay: set[str], troubles: dict[str, None]) -> bool:
        """Whether the run's export stands where it is to. One that somebody else has had leave does not stay."""
        if not run.archive:
            return True
        try:
            if await self._tasks.outside(lambda: self._shelf.archive(run.run_id, run.archive)):
                return True
            stay.discard(run.run_id)
        except (NotArchived, BucketError, StoreError, SigningKeyError, OSError, ValueError) as error:
            troubles[str(error)] = None
        return False

    async def _withdraw(self, run_id: str, archive: str, troubles: dict[str, None]) -> None:
        """Delete the export of a run that has not left: it is to be archived as it is when it does. What of that can't
        be done now the next sweep does."""
        place = archive.removeprefix(WITHDRAWN)
        marked = f"{WITHDRAWN}{place}"
        if self._is_stopped:
            return
        try:
            # From here on nobody has the run leave who has put it there.
            marks = [ArchiveNamed(run_id, archive, marked)]
            if archive == marked or self._removals.name_archives(marks):
                await self._tasks.outside(lambda: self._shelf.delete(place))
                if not self._is_stopped:
                    self._removals.name_archives([ArchiveNamed(run_id, marked, "")])
        except (FlushFailed, StoreTaken):
            raise
        except (BucketError, OSError, StoreError) as error:
            troubles[str(error)] = None

    def _tell(self, late: Sequence[int], troubles: dict[str, None], now: int) -> None:
        behind = [until for until in late if now - until > BEHIND_MILLISECONDS]
        why = next(iter(troubles), "")
        if behind:
            days = (now - min(behind)) // BEHIND_MILLISECONDS
            said = "1 run" if len(behind) == 1 else f"{len(behind)} runs"
            self.is_behind(
                f"{said} should have left, the first {days} days ago: {why or 'they were told something'}"
            )
        elif why:
            self.is_behind(why)


def _together(runs: Iterable[tuple[RemovedRun, int]]) -> Iterator[list[tuple[RemovedRun, int]]]:
    """Some at a time, in order: so many that they leave by a short transaction."""
    some: list[tuple[RemovedRun, int]] = []
    entries = 0
    for run, until in runs:
        entries += run.entry_count
        if some and (entries > ENTRIES_TOGETHER or len(some) == RUNS_TOGETHER):
            yield some
            some, entries = [], run.entry_count
        some.append((run, until))
    if some:
        yield some


def _nothing() -> None: ...


def _tell_nobody(what: object) -> None: ...
