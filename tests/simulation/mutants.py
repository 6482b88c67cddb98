"""Bugs planted on purpose, each breaking one promise, so that the lane can show that it would notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace as replace_of
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from clew.commands import restoring
from clew.core.running import consequences, decide, entries, instructions, rollback, state, statuses
from clew.core.running.rollback import plan_rollback
from clew.core.running.stage_state import StageState
from clew.orchestrator import driver, facts, gathering, performing, requests
from clew.orchestrator.driven_run import DrivenRun
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
        before = run.units[body.stage].may_have_acted
        started(run, entry, body)
        run.units[body.stage].may_have_acted = before

    def end(run: Any, entry: Any, body: Any) -> None:
        ended(run, entry, body)
        if body.outcome == statuses.COMPLETED:
            run.units[body.stage].may_have_acted = True

    with patch.dict(state._APPLY, {entries.AttemptStarted: start, entries.AttemptEnded: end}):
        yield


def ignoring_the_epoch() -> AbstractContextManager[Any]:
    """The store takes entries from whoever brings them, as long as they go on where the journal ends."""
    load = sqlite.load_queries

    def load_without_fence(database: str, part: str = "queries") -> dict[str, str]:
        queries = load(database, part)
        if part != "queries":
            return queries
        fenced = queries["advance_run"]
        queries["advance_run"] = fenced.replace("epoch = ?", "? > 0")
        assert queries["advance_run"] != fenced
        return queries

    return patch.object(sqlite, "load_queries", load_without_fence)


def taking_an_unknown_commit_for_done() -> AbstractContextManager[Any]:
    """When nobody knows whether it is recorded, it is acted upon."""

    class Trusts(Recorder):
        def again(self) -> int:
            if self._is_in_doubt:
                batch, self._batch, self._is_in_doubt = self._batch, [], False
                for run, _ in batch:
                    self._told(run, None)
            return super().again()

    return _with_recorder(Trusts)


def undoing_the_first_block_first() -> AbstractContextManager[Any]:
    """The way back is planned in the order of the way forward."""

    def plan_forward(run: Any) -> Any:
        planned = plan_rollback(run)
        return replace(planned, blocks=planned.blocks[::-1])

    return patch.object(decide, "plan_rollback", plan_forward)


def telling_a_rollback_of_what_never_began() -> AbstractContextManager[Any]:
    """A rollback is told how the last attempt ended, even if that one never began and one before it may have
    acted."""
    return patch.object(rollback, "_told", lambda stage: stage.outcome)


# ---- passes, items, and what people say ------------------------------------------------------------------


def keeping_the_old_pass_in_mind() -> AbstractContextManager[Any]:
    """A new pass goes on with what stages gave in the pass before."""
    return patch.object(DrivenRun, "forget", lambda run, stages: None)


def counting_no_returns() -> AbstractContextManager[Any]:
    """A run goes back to the same stage as often as that fails."""
    planned = state._APPLY[entries.RollbackPlanned]

    def plan(run: Any, entry: Any, body: Any) -> None:
        planned(run, entry, body)
        run.returns.clear()

    return patch.dict(state._APPLY, {entries.RollbackPlanned: plan})


@contextmanager
def going_back_over_a_point_of_no_return() -> Iterator[None]:
    """What can't be undone bars no way."""
    with (
        patch.object(rollback, "point_of_no_return", lambda run: None),
        patch.object(instructions, "point_of_no_return", lambda run: None),
    ):
        yield


def answering_after_the_commit() -> AbstractContextManager[Any]:
    """That an instruction is obeyed is written once its entry is durable, so that a crash in between has it obeyed
    again."""

    class AnswersAfter(Recorder):
        def record(self, runs: Any) -> int:
            obeyed = [pair for run in runs for pair in run.obeyed]
            for run in runs:
                run.obeyed = []
            again = super().record(runs)
            for pair in obeyed:
                store = self._store._store  # type: ignore[attr-defined]
                store._execute(store._sql["obey_instruction"], pair)
            return again

    return _with_recorder(AnswersAfter)


def undoing_a_part_without_its_items() -> AbstractContextManager[Any]:
    """A way back that ends before the start leaves out what is done once for each of several values."""
    units = rollback._units

    def units_of(run: Any, index: int) -> Any:
        is_partial = rollback.way_back(run).to > 1
        return (unit for unit in units(run, index) if unit.parent is None or not is_partial)

    return patch.object(rollback, "_units", units_of)


def forgetting_a_cancel_on_a_partial_way_back() -> AbstractContextManager[Any]:
    """Who cancels a run that is going back to go forward again is heard, and not obeyed."""
    cancelled = state._APPLY[entries.RunCancelled]

    def cancel(run: Any, entry: Any, body: Any) -> None:
        if run.undo is None or not run.undo_forward:
            cancelled(run, entry, body)

    return patch.dict(state._APPLY, {entries.RunCancelled: cancel})


def beginning_stages_of_a_paused_run() -> AbstractContextManager[Any]:
    """A pause keeps nothing from beginning."""
    return patch.object(decide, "_NOT_BEGUN", frozenset())


def beginning_all_items_at_once() -> AbstractContextManager[Any]:
    """Nobody counts how many items are under way."""
    return patch.object(StageState, "open_count", 0)


def using_a_key_for_all_passes() -> AbstractContextManager[Any]:
    """What was done and undone in one pass has the same key in the next."""
    keyed = requests.idempotency_key

    def key(run_id: str, stage: Any, tag: bytes) -> str:
        number, stage.pass_number = stage.pass_number, 1
        try:
            return keyed(run_id, stage, tag)
        finally:
            stage.pass_number = number

    return patch.object(requests, "idempotency_key", key)


def taking_a_late_report_for_the_next_one() -> AbstractContextManager[Any]:
    """What an attempt says too late is taken for what the attempt under way says."""
    reported = gathering._TAKE[facts.AttemptReported]

    def take(gatherer: Any, run: Any, fact: Any, at: int) -> None:
        unit = run.state.units.get(fact.stage)
        if unit is not None and unit.in_flight:
            fact = fact._replace(attempt=unit.attempts)
        reported(gatherer, run, fact, at)

    return patch.dict(gathering._TAKE, {facts.AttemptReported: take})


def going_forward_over_residue() -> AbstractContextManager[Any]:
    """A stage begins again on top of what it has left, and nobody is asked."""
    return patch.object(rollback, "_is_crossed", lambda run, item: False)


def refusing_by_what_is_not_recorded() -> AbstractContextManager[Any]:
    """A person is refused by what a crash can still undo."""
    gather = driver.Driver._gather

    def gather_and_answer(driving: Any, run: Any, at: int) -> None:
        gather(driving, run, at)
        driving._answer(run)

    return patch.object(driver.Driver, "_gather", gather_and_answer)


def letting_go_of_a_run_that_is_told_something() -> AbstractContextManager[Any]:
    """A run that has settled is nobody's, also while it has something to do yet."""

    def let_go(driving: Any, run: Any) -> None:
        if run.state.is_settled:
            driving.runs.pop(run.state.run_id, None)

    return patch.object(driver.Driver, "_let_go", let_go)


def trying_again_what_must_not_be_overwritten() -> AbstractContextManager[Any]:
    """A rollback that found what somebody else had put in the place is retried like one that failed."""
    return patch.object(consequences, "CHANGED_SINCE", "")


def putting_back_whatever_is_there_now() -> AbstractContextManager[Any]:
    """Nobody looks whether an object is as the stage left it."""
    digest = restoring._digest

    def restore(kept: Any, context: Any, copies: Any) -> str:
        left = {kept.place: digest(context.bucket("data"), kept.place.partition("/")[2])}
        return put_back(kept, replace_of(context, left=left), copies)

    put_back = restoring._restore
    return patch.object(restoring, "_restore", restore)


def running_what_lies_there_now() -> AbstractContextManager[Any]:
    """A rollback is not told which code its stage has run."""
    rollback_request = requests.rollback_request

    def told(*given: Any) -> Any:
        request = rollback_request(*given)
        return (
            request if request.source is None else replace(request, source=replace(request.source, digest=""))
        )

    return patch.object(performing, "rollback_request", told)


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
        keeping_the_old_pass_in_mind,
        counting_no_returns,
        going_back_over_a_point_of_no_return,
        answering_after_the_commit,
        undoing_a_part_without_its_items,
        forgetting_a_cancel_on_a_partial_way_back,
        beginning_stages_of_a_paused_run,
        beginning_all_items_at_once,
        using_a_key_for_all_passes,
        taking_a_late_report_for_the_next_one,
        going_forward_over_residue,
        refusing_by_what_is_not_recorded,
        letting_go_of_a_run_that_is_told_something,
        trying_again_what_must_not_be_overwritten,
        putting_back_whatever_is_there_now,
        running_what_lies_there_now,
    )
}
