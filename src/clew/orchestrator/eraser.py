"""Deletes what the store was told to forget and what does not stand in it: objects in a bucket, logs on this machine.

That it is to be deleted is on record first; so it is done however often this process ends in the midst of it. Nothing
else waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import suppress
from typing import Protocol

from clew.ports import BucketError, CommitUnknown, ObjectsDue, Removals, StoreBusy, StoreError, Tasks

AGAIN_MILLISECONDS = 60_000
"""How long what could not be deleted is left alone."""

CLOSING_SECONDS = 1
"""How long this process stays for what others have had erased."""

DUE_TOGETHER = 100

TROUBLES_TOGETHER = 10
"""So often one after the other a bucket may not delete, before it is left alone. Then those behind have their turn."""

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
        self._after = 0
        """The position up to which all that is due has had its turn; from the beginning again after the last."""
        self.is_troubled: Callable[[str], None] = _tell_nobody
        """Is told, once for each reason, why something can't be deleted."""
        self._told: set[str] = set()

    def look(self) -> None:
        """Something may have been erased."""
        if not (self._is_busy or self._is_stopped) and self._removals.objects_due(0, 1):
            self._is_busy = True
            self._tasks.start(self._delete_beside(), name="delete what was erased")

    def sweep_regularly(self) -> None:
        """Go through the files of this machine, now and every hour."""

        def sweep() -> None:
            if not self._is_stopped:
                self._tasks.start(self._sweep(), name="delete files of what was erased")
                self._tasks.later(SWEEP_MILLISECONDS, sweep)

        self._tasks.soon(sweep)

    async def finish(self, runs: Set[str]) -> None:
        """Delete what is left to delete before the store is closed, then no more: of these runs however long that
        takes, of all others as much as can be done at once."""
        if self._is_stopped:
            return
        self._is_stopped = True
        if runs:
            await self._delete_last(lambda run_id: run_id in runs)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_SECONDS):
                await self._delete_last(lambda run_id: run_id not in runs)

    async def _delete_last(self, is_meant: Callable[[str], bool]) -> None:
        after = 0
        while due := self._removals.objects_due(after, DUE_TOGETHER):
            for one in due:
                if is_meant(one.run_id):
                    await self._delete(one, is_last=True)
            after = due[-1].position

    def stop(self) -> None:
        """Nothing more is done: the store can't be written any more, or nobody is to wait for it."""
        self._is_stopped = True

    async def _delete_beside(self) -> None:
        is_done = await self._delete_some()
        self._tasks.later(0 if is_done else AGAIN_MILLISECONDS, self._look_again)

    def _look_again(self) -> None:
        self._is_busy = False
        with suppress(StoreBusy, CommitUnknown):
            self.look()

    async def _delete_some(self) -> bool:
        """Go on with what is due; whether nothing of it has to wait."""
        troubles = 0
        try:
            while due := self._removals.objects_due(self._after, DUE_TOGETHER):
                for one in due:
                    troubles += not await self._delete(one, is_last=False)
                    self._after = one.position
                    if self._is_stopped or troubles == TROUBLES_TOGETHER:
                        return False
            self._after = 0
        except (StoreBusy, CommitUnknown):
            return False
        return not troubles

    async def _delete(self, due: ObjectsDue, *, is_last: bool) -> bool:
        """Whether all of that run is deleted now, and on record as such. Unless it `is_last`, nothing is recorded any
        more once this is stopped: the store may be closed."""
        run_id = due.run_id
        try:
            until = self._removals.gone([run_id]).get(run_id, 0)
            # What stands on this machine need not wait for a bucket.
            await self._tasks.outside(lambda: self._files.erase_files(run_id, until))
            await self._tasks.outside(lambda: self._files.erase_objects(run_id, due.before_seq))
            if self._is_stopped and not is_last:
                return True
            self._removals.objects_are_gone(due.position)
        except (BucketError, OSError, StoreBusy, CommitUnknown) as error:
            self._tell(run_id, error)
            return False
        return True

    async def _sweep(self) -> None:
        runs = self._files.runs_with_files()
        try:
            while some := await self._tasks.outside(lambda: next(runs, ())):
                if self._is_stopped:
                    return
                for run_id, until in self._removals.gone(some).items():
                    await self._erase_files(run_id, until)
        except (StoreError, OSError) as error:
            self._tell("the files of this machine", error)

    async def _erase_files(self, run_id: str, until: int) -> None:
        try:
            await self._tasks.outside(lambda: self._files.erase_files(run_id, until))
        except OSError as error:
            self._tell(run_id, error)

    def _tell(self, of: str, error: Exception) -> None:
        if str(error) not in self._told:
            self._told.add(str(error))
            self.is_troubled(f"{of}: what was erased can't be deleted yet: {error}")


def _tell_nobody(why: str) -> None: ...
