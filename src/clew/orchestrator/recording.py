"""Makes durable what a turn wrote, whatever the store says to it, and tells of each run what came of it.

A store that is busy gets the same batch again, later; so does one of which nobody knows whether it has committed the
batch. A record fits once at most, since it names how long its run's journal was before: if it does not fit the second
time, the journal's head says whether it did the first time. A commit that was still under way then is seen, or comes
too late. Any other error of the store is for the caller: after a failed flush nobody knows what the disk holds, so
nothing is written again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clew.orchestrator.driven_run import DrivenRun
from clew.ports import CommitUnknown, Fenced, RunExists, RunRecord, Store, StoreBusy, StoreError, WatchSocket

AGAIN_MILLISECONDS = 50
"""How long a store that could not take a batch is left alone at first: it has waited a good while itself."""

AGAIN_MILLISECONDS_MAX = 2_000
"""Each time it is left alone twice as long as the time before, up to so long: an outage is noticed to be over
within seconds."""

Batch = list[tuple[DrivenRun, RunRecord]]

Told = Callable[[DrivenRun, Exception | None], None]
"""Told of a run whose record is durable; or, with Fenced or RunExists, that nothing of it is or will be."""


class Recorder:
    """Records one batch after another.

    A database that works apart is left to a large batch, while the turns of other runs are taken: those of the batch
    have none until its fate is known, and the next batch is not sent before. While one `is_waiting`, there must be no
    further turn.
    """

    def __init__(self, store: Store, told: Told, watch: WatchSocket | None = None) -> None:
        """`watch`: sees to it that `finish` is called when a store that works apart has answered; without it every
        batch is waited for."""
        self._store = store
        self._told = told
        self._watch = watch
        self._apart_min = None if watch is None else store.runs_apart_min
        self._batch: Batch = []
        self._next: Batch = []
        """What is recorded after it."""
        self._is_begun = False
        """The store works on the batch."""
        self._is_in_doubt = False
        self._tries = 0

    @property
    def is_waiting(self) -> bool:
        """A batch could not be written yet."""
        return bool(self._batch) and not self._is_begun

    @property
    def is_recording(self) -> bool:
        """What has been given to be recorded is not all durable."""
        return bool(self._batch)

    def room(self, ready: int) -> int:
        """How many of so many runs that are ready may have their turn now. Where the database works apart, half of
        many: it has something to do then while the others have theirs, and so on, the one half after the other. Few
        are not worth that everybody waits for what is under way."""
        least = self._apart_min
        if self._is_begun:
            return ready if least is not None and ready >= least else 0
        if self._batch:
            return 0
        return ready if least is None or ready < 2 * least else (ready + 1) // 2

    def record(self, runs: Sequence[DrivenRun]) -> int:
        """Write what these runs' turns wrote, after what is under way. Returns 0 when that is done with, or under way;
        else the milliseconds after which `again` is to be called. Raises StoreError when nothing may be recorded any
        more."""
        assert not self.is_waiting, "a batch is waiting"
        for run in runs:
            run.is_being_recorded = True
        self._next = [(run, run.record()) for run in runs]
        return self.again()

    def finish(self) -> int:
        """The store has answered: go on, unless it has been heard already. As `record`."""
        return self.again() if self._is_begun else 0

    def again(self) -> int:
        """Go on with the batch that is under way, or waiting, and then with what follows it; as `record`."""
        try:
            while self._batch or self._next:
                if not self._batch and self._begin():
                    return 0
                self._write()
        except CommitUnknown:
            self._is_in_doubt = True
        except StoreBusy:
            pass
        else:
            return 0
        self._tries += 1
        return min(AGAIN_MILLISECONDS << min(self._tries - 1, 16), AGAIN_MILLISECONDS_MAX)

    def _begin(self) -> bool:
        """Go on to what is next; whether the store works on it now."""
        self._batch, self._next = self._next, []
        self._is_in_doubt = False
        self._tries = 0
        least, watch = self._apart_min, self._watch
        if watch is not None and least is not None and len(self._batch) >= least:
            self._store.begin_record([record for _, record in self._batch], watch)
            self._is_begun = True
        return self._is_begun

    def _write(self) -> None:
        """One transaction of the batch, which is empty then; or that without which it is to be written again."""
        batch = self._batch
        is_begun, self._is_begun = self._is_begun, False
        try:
            records = [record for _, record in batch]
            fenced = self._store.finish_record() if is_begun else self._store.record(records)
        except RunExists as error:
            refused = [
                each for each in batch if each[1].created is not None and each[1].run_id in error.run_ids
            ]
            if not refused:
                raise StoreError(
                    f"the store refused a creation that it was not asked for: {error}"
                ) from error
            outcomes = [(run, self._outcome(record, error)) for run, record in refused]
            self._batch = [each for each in batch if each not in refused]
            self._tell(outcomes)
            return
        outcomes = [
            (run, self._outcome(record, _fenced(record)) if record.run_id in fenced else None)
            for run, record in batch
        ]
        self._batch = []
        self._tell(outcomes)

    def _outcome(self, record: RunRecord, error: Exception) -> Exception | None:
        """Why the record did not fit; nothing where it did, at a time of which nobody knew."""
        if not self._is_in_doubt:
            return error
        found = self._store.head(record.run_id)
        if found is None:
            if record.created is None:
                raise StoreError(f"run {record.run_id} is gone from the store; verify the store")
            return error
        is_there = found.epoch == record.epoch and (found.entry_count, found.head) == record.advanced
        if not is_there and record.created is not None:
            # Nobody else makes a run of its id: it came to be, and was taken over since.
            return _fenced(record)
        return None if is_there else error

    def _tell(self, outcomes: Sequence[tuple[DrivenRun, Exception | None]]) -> None:
        for run, error in outcomes:
            self._told(run, error)


def _fenced(record: RunRecord) -> Fenced:
    return Fenced(
        f"another orchestrator drives run {record.run_id} now; what was not recorded is its to decide"
    )
