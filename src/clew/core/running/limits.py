"""How long a run goes on: until when it is driven (`monitor`), and until when it waits for data (`backfill`).

Pure: which moment it is comes in. Moments and lengths are in milliseconds. While a run stands still, since it is
paused, held, or its program's window is closed, no time passes for its monitor.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from clew.core.program.model import Limits, Program
from clew.core.running import statuses
from clew.core.running.consequences import expires
from clew.core.running.stage_state import StageState
from clew.core.running.state import RunState


class Limit(Struct, frozen=True, order=True):
    """When a time is up: the run's, or, of a stage or an item, that of its attempts or of its validation."""

    at: int
    kind: str
    stage: str = ""


def next_limit(state: RunState) -> Limit | None:
    """The first time that will be up if nothing more happens; None while none runs, when all is done, or for a run
    without limits."""
    program = state.program
    if not program.has_limits or not state.launched_at or not expires(state):
        return None
    if state.block > len(program.blocks):
        return None
    return min(_limits(state), default=None)


def waits_until(state: RunState, stage: StageState) -> int | None:
    """Until when the stage waits for its data: its own `backfill`, or the program's, from the scheduled time of a run
    that stands for a due time, from the launch of any other; else as long as the run is driven. None: without end."""
    program = state.program.program
    window = stage.sealed.stage.backfill_milliseconds
    if window is None:
        window = program.backfill_milliseconds
    if window is not None:
        is_current = state.is_due and not state.backfill
        return (state.run_time if is_current else state.launched_at) + window
    ends = [_run_end(state, limits) for limits in (program.limits, stage.sealed.stage.limits)]
    return min((end for end in ends if end is not None), default=None)


def next_wait_end(state: RunState, at: int) -> int | None:
    """The first moment after `at` at which a stage has waited long enough for its data; None if there is none."""
    if not state.program.has_waits:
        return None
    waiting = (stage for stage in state.block_stages() if stage.status == statuses.WAITING)
    ends = (waits_until(state, stage) for stage in waiting if not stage.found)
    return min((end for end in ends if end is not None and end > at), default=None)


def _run_end(state: RunState, limits: Limits) -> int | None:
    """Until when the run, or a stage of it, is to be done, by what these limits say."""
    if limits.run_milliseconds is None:
        return None
    begun = max(state.run_time, state.launched_at)
    return begun + limits.run_milliseconds + state.stood_still


def _limits(state: RunState) -> Iterator[Limit]:
    program = state.program.program
    end = _run_end(state, program.limits)
    if end is not None:
        yield Limit(end, "run")
    for name in state.program.limited:
        stage = state.stages[name]
        end = _run_end(state, stage.sealed.stage.limits)
        if stage.status not in _DONE and end is not None:
            yield Limit(end, "run", name)
    for stage in state.block_stages():
        execution, validation = _of_stage(program, stage)
        if execution is None and validation is None:
            continue
        for unit in (stage,) if stage.items is None else stage.open_items:
            if execution is not None and unit.status == statuses.STARTED and unit.started_at:
                yield Limit(
                    _since(state, unit.started_at, unit.started_still, execution), "execution", unit.name
                )
            if validation is not None and unit.status == statuses.VALIDATING and unit.executed_at:
                at = _since(state, unit.executed_at, unit.executed_still, validation)
                yield Limit(at, "validation", unit.name)


def _of_stage(program: Program, stage: StageState) -> tuple[int | None, int | None]:
    """How long its attempts, and its validation, may take: what it says itself, else what the program says."""
    own, usual = stage.sealed.stage.limits, program.limits
    execution = own.execution_milliseconds
    validation = own.validation_milliseconds
    return (
        usual.execution_milliseconds if execution is None else execution,
        usual.validation_milliseconds if validation is None else validation,
    )


def _since(state: RunState, begun: int, still_then: int, length: int) -> int:
    """That long after it began, without what the run has stood still since."""
    return begun + length + state.stood_still - still_then


_DONE = frozenset({statuses.COMPLETED, statuses.SKIPPED})
