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
from clew.ports import CommitUnknown, Fenced, RunExists, RunRecord, Store, StoreBusy, StoreError

AGAIN_MILLISECONDS = 50
"""How long a store that could not take a batch is left alone at first: it has waited a good while itself."""

AGAIN_MILLISECONDS_MAX = 2_000
"""Each time it is left alone twice as long as the time before, up to so long: an outage is noticed to be over
within seconds."""

Told = Callable[[DrivenRun, Exception | None], None]
"""Told of a run whose record is durable; or, with Fenced or RunExists, that nothing of it is or will be."""


class Recorder:
    """Records one batch after another. While one `is_waiting`, there must be no further turn."""

    def __init__(self, store: Store, told: Told) -> None:
        self._store = store
        self._told = told
        self._batch: list[tuple[DrivenRun, RunRecord]] = []
        self._is_in_doubt = False
        self._tries = 0

    @property
    def is_waiting(self) -> bool:
        """A batch could not be written yet."""
        return bool(self._batch)

    def record(self, runs: Sequence[DrivenRun]) -> int:
        """Write what these runs' turns wrote. Returns 0 when that is done with, else the milliseconds after which
        `again` is to be called. Raises StoreError when nothing may be recorded any more."""
        assert not self._batch, "a batch is under way"
        self._batch = [(run, run.record()) for run in runs]
        self._is_in_doubt = False
        self._tries = 0
        return self.again()

    def again(self) -> int:
        """Go on with the batch that is waiting; as `record`."""
        try:
            while self._batch and not self._write():
                pass
        except CommitUnknown:
            self._is_in_doubt = True
        except StoreBusy:
            pass
        else:
            return 0
        self._tries += 1
        return min(AGAIN_MILLISECONDS << min(self._tries - 1, 16), AGAIN_MILLISECONDS_MAX)

    def _write(self) -> bool:
        """One transaction; false when some creations were refused, and the rest is to be written without them."""
        batch = self._batch
        try:
            fenced = self._store.record([record for _, record in batch])
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
            return False
        outcomes = [
            (run, self._outcome(record, _fenced(record)) if record.run_id in fenced else None)
            for run, record in batch
        ]
        self._batch = []
        self._tell(outcomes)
        return True

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
        return None if is_there else error

    def _tell(self, outcomes: Sequence[tuple[DrivenRun, Exception | None]]) -> None:
        for run, error in outcomes:
            self._told(run, error)


def _fenced(record: RunRecord) -> Fenced:
    return Fenced(
        f"another orchestrator drives run {record.run_id} now; what was not recorded is its to decide"
    )
