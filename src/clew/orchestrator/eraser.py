"""Deletes what the store was told to forget and what does not stand in it: objects in a bucket, logs on this machine.

That it is to be deleted is on record first; so it is done however often this process ends in the midst of it. Nothing
else waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from clew.ports import BucketError, CommitUnknown, ObjectsDue, Removals, StoreBusy, StoreError, Tasks

AGAIN_MILLISECONDS = 60_000
"""How long a bucket that would not delete is left alone."""

DUE_TOGETHER = 100

SWEEP_MILLISECONDS = 3_600_000
"""How often the files of this machine are gone through, for what was erased by orchestrators of others."""


class RunFiles(Protocol):
    """What runs have beside their store. Blocking; raises BucketError, OSError."""

    def erase_objects(self, run_id: str, before_seq: int) -> None:
        """Delete what entries before that `seq` have put into the bucket, or all where it is 0."""

    def erase_files(self, run_id: str, until: int) -> None:
        """Delete its files on this machine, logs and others, that were written until then, in milliseconds since
        1970."""

    def runs_with_files(self) -> Iterator[Sequence[str]]:
        """The runs that have files on this machine, some at a time."""


class Eraser:
    """Of one store."""

    def __init__(self, *, removals: Removals, tasks: Tasks, files: RunFiles) -> None:
        self._removals = removals
        self._tasks = tasks
        self._files = files
        self._is_busy = False
        self._is_stopped = False
        self.is_troubled: Callable[[str], None] = _tell_nobody
        """Is told, once for each reason, why something can't be deleted."""
        self._told: set[str] = set()

    def look(self) -> None:
        """Something may have been erased."""
        if not (self._is_busy or self._is_stopped):
            due = self._removals.objects_due(DUE_TOGETHER)
            if due:
                self._is_busy = True
                self._tasks.start(self._delete_beside(due), name="delete what was erased")

    def sweep_regularly(self) -> None:
        """Go through the files of this machine, now and every hour."""

        def sweep() -> None:
            if not self._is_stopped:
                self._tasks.start(self._sweep(), name="delete files of what was erased")
                self._tasks.later(SWEEP_MILLISECONDS, sweep)

        self._tasks.soon(sweep)

    async def finish(self) -> None:
        """Delete what is left to delete, before the store is closed; then no more."""
        if self._is_stopped:
            return
        self._is_stopped = True
        await self._delete(self._removals.objects_due(DUE_TOGETHER), is_last=True)

    def stop(self) -> None:
        """Nothing more is done: the store can't be written any more."""
        self._is_stopped = True

    async def _delete_beside(self, due: Sequence[ObjectsDue]) -> None:
        is_done = await self._delete(due, is_last=False)
        self._tasks.later(0 if is_done else AGAIN_MILLISECONDS, self._look_again)

    def _look_again(self) -> None:
        self._is_busy = False
        with suppress(StoreBusy, CommitUnknown):
            self.look()

    async def _delete(self, due: Sequence[ObjectsDue], *, is_last: bool) -> bool:
        """Whether all of it is deleted now, and on record as such. Unless it `is_last`, nothing is recorded any more
        once this is stopped: the store may be closed."""
        for one in due:
            try:
                await self._delete_of(one)
                if self._is_stopped and not is_last:
                    return True
                self._removals.objects_are_gone(one.position)
            except (BucketError, OSError, StoreBusy, CommitUnknown) as error:
                self._tell(one.run_id, error)
                return False
        return True

    async def _delete_of(self, due: ObjectsDue) -> None:
        run_id = due.run_id
        until = self._removals.gone([run_id]).get(run_id, 0)

        def delete() -> None:
            self._files.erase_objects(run_id, due.before_seq)
            self._files.erase_files(run_id, until)

        await self._tasks.outside(delete)

    async def _sweep(self) -> None:
        runs = self._files.runs_with_files()
        try:
            while some := await self._tasks.outside(lambda: next(runs, ())):
                if self._is_stopped:
                    return
                for run_id, until in self._removals.gone(some).items():
                    await self._tasks.outside(lambda: self._files.erase_files(run_id, until))  # noqa: B023
        except (StoreError, OSError) as error:
            self._tell("the files of this machine", error)

    def _tell(self, of: str, error: Exception) -> None:
        if str(error) not in self._told:
            self._told.add(str(error))
            self.is_troubled(f"{of}: what was erased can't be deleted yet: {error}")


def _tell_nobody(why: str) -> None: ...
