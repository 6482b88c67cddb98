"""Bugs that the sweep must find: each is planted in a victim's process, in place of its store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace
from tests.crash.faults import kinds_of

from clew.core.running.stage_state import StageState
from clew.core.running.statuses import UNKNOWN
from clew.orchestrator import requests
from clew.orchestrator.driven_run import DrivenRun
from clew.ports import AttemptRequest, RunRecord
from clew.stores.store import DatabaseStore

Records = list[RunRecord]


def plant(bug: str, store: type[DatabaseStore]) -> None:
    """Have this process' stores make that mistake."""
    if bug == ANSWERS_LATER:
        _answer_later(store)
    elif bug == PINS_LATER:
        _pin_later()
    else:
        _commit_later(store, BUGS[bug])


def _commit_later(store: type[DatabaseStore], is_held_back: Callable[[Sequence[RunRecord]], bool]) -> None:
    """They say that records are durable, and commit them when the next ones come."""
    record = store.record
    held: Records = []

    def buggy_record(self: DatabaseStore, records: Sequence[RunRecord]) -> list[str]:
        late = list(held)
        held.clear()
        if not is_held_back(records) or _rests(records):
            return record(self, _merged(late, records))
        held.extend(map(_kept, records))
        return record(self, late) if late else []

    store.record = buggy_record  # type: ignore[method-assign]


def _answer_later(store: type[DatabaseStore]) -> None:
    """They commit that an instruction was obeyed when the next records come, and not with the entry that says it."""
    record = store.record
    late: list[tuple[int, str]] = []

    def buggy_record(self: DatabaseStore, records: Sequence[RunRecord]) -> list[str]:
        said = [answer for each in records for answer in each.obeyed]
        fenced = record(self, [each._replace(obeyed=list(late)) for each in records])
        late[:] = said
        return fenced

    store.record = buggy_record  # type: ignore[method-assign]


def _pin_later() -> None:
    """What code a stage runs is known when an attempt has told how it ended, and not before."""
    filled = requests._filled

    def buggy_filled(run: DrivenRun, stage: StageState, *more: Any, **named: Any) -> AttemptRequest:
        request = filled(run, stage, *more, **named)
        if request.source is None or any(outcome != UNKNOWN for outcome in stage.outcomes):
            return request
        return replace(request, source=replace(request.source, digest=""))

    requests._filled = buggy_filled


def _all(records: Sequence[RunRecord]) -> bool:
    """Acknowledging, and acting, before the commit."""
    return True


def _starts(records: Sequence[RunRecord]) -> bool:
    """Registering what may have to be undone when its effect is there, and not before."""
    return "attempt_started" in kinds_of(records) and all(record.created is None for record in records)


def _rests(records: Sequence[RunRecord]) -> bool:
    return bool({"run_settled", "run_held"} & set(kinds_of(records)))


def _merged(first: Sequence[RunRecord], second: Sequence[RunRecord]) -> Records:
    """Both, as one record a run."""
    merged = {record.run_id: record for record in first}
    for record in second:
        before = merged.get(record.run_id)
        merged[record.run_id] = record if before is None else _joined(before, record)
    return list(merged.values())


def _kept(record: RunRecord) -> RunRecord:
    """The record as it is now; its lists are the driver's, who goes on with them."""
    return record._replace(
        entries=list(record.entries), payloads=list(record.payloads), stages=list(record.stages)
    )


def _joined(first: RunRecord, second: RunRecord) -> RunRecord:
    stages = {row.position: row for row in (*first.stages, *second.stages)}
    return second._replace(
        entry_count=first.entry_count,
        entries=[*first.entries, *second.entries],
        payloads=[*first.payloads, *second.payloads],
        run=second.run or first.run,
        stages=list(stages.values()),
        created=first.created,
    )


ANSWERS_LATER = "answers_later"
PINS_LATER = "pins_later"
BUGS = {"acts_before_the_commit": _all, "starts_recorded_with_ends": _starts}
