"""Has runs leave the store that have been kept for as long as they are to be, to an archive where there is one.

An archive has a run before the store forgets it: written, read back, and verified. All of it goes in small steps, so
that nothing else waits; and what can't leave now is looked at again an hour later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from clew.ports import (
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
"""That leave by one transaction: a few milliseconds, in which nothing else is done."""

BEHIND_MILLISECONDS = 86_400_000
"""Whoever should have left a day ago is late."""


class Page(NamedTuple):
    """Some runs that were looked at. `over`: those whose time is over, and since when; `after`: where the next page
    begins, None where this was the last."""

    over: Sequence[tuple[RemovedRun, int]]
    after: tuple[int, str] | None
    troubles: Sequence[str] = ()
    """Why nobody can tell of some of them."""


class NotArchived(Exception):
    """A run's export does not stand in the archive whole."""


class Shelf(Protocol):
    """What finds runs whose time is over, and puts them into the archive. Blocking, called in a thread; may raise
    StoreError."""

    def over(self, after: tuple[int, str], now: int) -> Page:
        """The next page of runs."""

    def archive(self, run_id: str) -> str | None:
        """Put the run's export into the archive, and see that it stands there and is sound; where. Empty where there is
        no archive; None where somebody else has had the run leave meanwhile. Raises NotArchived, BucketError,
        SigningKeyError."""

    def withdraw(self, run_id: str) -> None:
        """Take out of the archive what was put there for that run, if anything was: it has not left. Raises
        BucketError."""


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
    ) -> None:
        """`removed`: called when something has left, which has left objects and logs behind."""
        self._removals = removals
        self._tasks = tasks
        self._clock = clock
        self._shelf = shelf
        self._removed = removed
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
            for first in range(0, len(page.over), RUNS_TOGETHER):
                some = page.over[first : first + RUNS_TOGETHER]
                left, stay = await self._leave([run for run, _ in some], troubles)
                count += left
                late += [until for run, until in some if run.run_id in stay]
            if page.after is None:
                break
            after = page.after
        if count:
            self.has_removed(count)
        self._tell(late, troubles, now)

    async def _leave(self, runs: Sequence[RemovedRun], troubles: dict[str, None]) -> tuple[int, set[str]]:
        """How many of these runs have left, and which stay."""
        ready, stay = [], {run.run_id for run in runs}
        for run in runs:
            if self._is_stopped:
                return 0, stay
            try:
                archive = await self._tasks.outside(lambda: self._shelf.archive(run.run_id))  # noqa: B023
            except (NotArchived, BucketError, StoreError, SigningKeyError, OSError, ValueError) as error:
                troubles[str(error)] = None
            else:
                if archive is None:
                    stay.discard(run.run_id)
                else:
                    ready.append(run._replace(archive=archive))
        if self._is_stopped or not ready:
            await self._withdraw(stay)
            return 0, stay
        try:
            left = self._removals.remove(ready, self._clock.now())
        except (FlushFailed, StoreTaken):
            raise
        except StoreError as error:  # they may have left: what is in the archive stays there
            troubles[str(error)] = None
            return 0, stay
        stay.difference_update(left)
        await self._withdraw(stay)
        with suppress(StoreBusy, CommitUnknown):  # what it leaves behind is deleted later
            self._removed()
        return len(left), stay

    async def _withdraw(self, runs: Collection[str]) -> None:
        """What has not left is to be archived as it is when it does, and nowhere else."""
        for run_id in runs:
            with suppress(BucketError, OSError):
                await self._tasks.outside(lambda: self._shelf.withdraw(run_id))  # noqa: B023

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


def _tell_nobody(what: object) -> None: ...
