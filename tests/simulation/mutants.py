"""Bugs planted on purpose, each breaking one promise, so that the lane can show that it would notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

from clew.core.running import decide, entries, rollback, state, statuses
from clew.core.running.rollback import plan_rollback
from clew.orchestrator import driver
from clew.orchestrator.recording import Recorder
from clew.stores import sqlite


def _with_recorder(recorder: type[Recorder]) -> AbstractContextManager[Any]:
    return patch.object(driver, "Recorder", recorder)


def acting_before_recording() -> AbstractContextManager[Any]:
    """Attempts are begun first, and recorded as ordered after."""

    class ActsFirst(Recorder):
        def record(self, runs: Any) -> int:
            mutated = self._told.__self__  # type: ignore[attr-defined]
            for run in runs:
                outbox, run.outbox = run.outbox, []
                mutated._performer.begin(run, outbox, mutated.notice)
            return super().record(runs)

    return _with_recorder(ActsFirst)


def acknowledging_before_the_commit() -> AbstractContextManager[Any]:
    """Whoever waits is told first, and the entries are committed after."""

    class TellsFirst(Recorder):
        def record(self, runs: Any) -> int:
            for run in runs:
                for entry in run.entries:
                    run.observer(entry, run.state)
            return super().record(runs)

    return _with_recorder(TellsFirst)


@contextmanager
def registering_the_rollback_after_the_effect() -> Iterator[None]:
    """A stage counts as one that may have acted only when an attempt of it has completed."""
    started, ended = state._APPLY[entries.AttemptStarted], state._APPLY[entries.AttemptEnded]

    def start(run: Any, entry: Any, body: Any) -> None:
        before = run.stages[body.stage].may_have_acted
        started(run, entry, body)
        run.stages[body.stage].may_have_acted = before

    def end(run: Any, entry: Any, body: Any) -> None:
        ended(run, entry, body)
        if body.outcome == statuses.COMPLETED:
            run.stages[body.stage].may_have_acted = True

    with patch.dict(state._APPLY, {entries.AttemptStarted: start, entries.AttemptEnded: end}):
        yield


def ignoring_the_epoch() -> AbstractContextManager[Any]:
    """The store takes entries from whoever brings them, as long as they go on where the journal ends."""
    load = sqlite.load_queries

    def load_without_fence(database: str) -> dict[str, str]:
        queries = load(database)
        fenced = queries["advance_run"]
        queries["advance_run"] = fenced.replace("epoch = ?", "? > 0")
        assert queries["advance_run"] != fenced
        return queries

    return patch.object(sqlite, "load_queries", load_without_fence)


def taking_an_unknown_commit_for_done() -> AbstractContextManager[Any]:
    """When nobody knows whether it is recorded, it is acted upon."""

    class Trusts(Recorder):
        def _resolve(self) -> None:
            batch, self._batch, self._is_in_doubt = self._batch, [], False
            for run, _ in batch:
                self._told(run, None)

    return _with_recorder(Trusts)


def undoing_the_first_block_first() -> AbstractContextManager[Any]:
    """The way back is planned in the order of the way forward."""

    def plan_forward(run: Any) -> Any:
        planned = plan_rollback(run)
        return entries.RollbackPlanned(
            planned.cause,
            planned.blocks[::-1],
            planned.residue,
            planned.stage,
            planned.index,
            planned.error_kind,
        )

    return patch.object(decide, "plan_rollback", plan_forward)


def telling_a_rollback_of_what_never_began() -> AbstractContextManager[Any]:
    """A rollback is told how the last attempt ended, even if that one never began and one before it may have
    acted."""
    return patch.object(rollback, "_told", lambda stage: stage.outcome)


MUTANTS: Mapping[str, Callable[[], AbstractContextManager[Any]]] = {
    mutant.__name__: mutant
    for mutant in (
        acting_before_recording,
        acknowledging_before_the_commit,
        registering_the_rollback_after_the_effect,
        ignoring_the_epoch,
        taking_an_unknown_commit_for_done,
        undoing_the_first_block_first,
        telling_a_rollback_of_what_never_began,
    )
}
