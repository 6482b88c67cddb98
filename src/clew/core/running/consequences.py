"""From a fact (an attempt ended, conditions were tested, a search came back) to the entry that says what the
stage becomes by it. Pure: the moment and the jitter are given.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from clew.core.program.model import Condition, Delay, InputDependency, Retry
from clew.core.running import statuses
from clew.core.running.entries import AttemptEnded, RollbackEnded, ValidationEnded
from clew.core.running.fold_back import CHANGED_SINCE, INTERRUPTED, INTERRUPTIONS_MAX
from clew.core.running.retry import DELAY_MILLISECONDS_MAX, is_worth_retrying, retry_delay_milliseconds
from clew.core.running.rollback import is_going_back
from clew.core.running.stage_state import StageState
from clew.core.running.state import FAILURE, REWIND, RunState

NOT_BEGUN_MILLISECONDS = 250
"""How soon what could not begin (no process to be had, say) is ordered again at first; each time in a row it
takes twice as long..."""
NOT_BEGUN_MILLISECONDS_MAX = 60_000
"""... up to a minute: it costs two entries a time, and machines recover within minutes."""

INTERVAL_GROWTH = 1.5
"""Each retest of conditions waits so much longer than the one before..."""
INTERVAL_MILLISECONDS_MAX = 60_000
"""... but never longer than a minute, so that what holds at last is noticed soon."""

ERROR_BUDGET_MILLISECONDS = 30_000
"""How long clew goes on asking when a condition without `maximum_time` can't be told (a server's error)."""


def attempt_ended(
    state: RunState, stage: StageState, outcome: str, error_kind: str, *, at: int, jitter_permille: int
) -> AttemptEnded:
    """What the end of the stage's attempt in flight makes of the stage."""
    name = stage.name
    if is_going_back(state):
        becomes = (
            statuses.FAILED if _has_failed_too(state, stage, outcome, error_kind) else statuses.CANCELLED
        )
        return AttemptEnded(name, stage.attempts, outcome, becomes, error_kind)
    if outcome == statuses.COMPLETED:
        becomes = statuses.VALIDATING if stage.sealed.stage.validate else statuses.COMPLETED
        return AttemptEnded(name, stage.attempts, outcome, becomes)
    if outcome == statuses.NOT_BEGUN:
        due = at + _not_begun_delay(_last_not_begun(stage.outcomes))
        return AttemptEnded(name, stage.attempts, outcome, statuses.STARTED, error_kind, due)
    if error_kind == INTERRUPTED and stage.interruptions < INTERRUPTIONS_MAX:
        return AttemptEnded(name, stage.attempts, outcome, statuses.STARTED, error_kind, at)
    becomes, retry_at = _retry_or_fail(stage, error_kind, at, jitter_permille)
    return AttemptEnded(name, stage.attempts, outcome, becomes, error_kind, retry_at)


def _has_failed_too(state: RunState, stage: StageState, outcome: str, error_kind: str) -> bool:
    """Whether a stage failed for good by itself before it was ended for the sake of another that had: then it has a say
    in how far the run goes back."""
    is_its_own = outcome in (statuses.FAILED, statuses.TIMED_OUT)
    return state.ending == FAILURE and is_its_own and _is_spent(stage, error_kind)


def validation_ended(
    stage: StageState, verdict: str, tests: int, *, at: int, jitter_permille: int
) -> ValidationEnded:
    """What the end of the stage's validation makes of the stage."""
    name = stage.name
    if verdict == "held":
        return ValidationEnded(name, stage.attempts, verdict, tests, statuses.COMPLETED)
    becomes, retry_at = _retry_or_fail(stage, "validation", at, jitter_permille)
    return ValidationEnded(name, stage.attempts, verdict, tests, becomes, retry_at)


def _retry_or_fail(stage: StageState, error_kind: str, at: int, jitter_permille: int) -> tuple[str, int]:
    if _is_spent(stage, error_kind):
        return statuses.FAILED, 0
    retry = stage.sealed.stage.retry
    return statuses.STARTED, at + retry_delay_milliseconds(retry, stage.tried + 1, jitter_permille)


def _is_spent(stage: StageState, error_kind: str) -> bool:
    """With another failure of that kind the stage has failed for good."""
    retry = stage.sealed.stage.retry
    return stage.tried + 1 >= retry.attempts or not is_worth_retrying(retry, error_kind)


def _last_not_begun(outcomes: Sequence[str]) -> int:
    """How many of the last attempts, in a row, did not begin."""
    begun = (count for count, outcome in enumerate(reversed(outcomes)) if outcome != statuses.NOT_BEGUN)
    return next(begun, len(outcomes))


def _not_begun_delay(before: int) -> int:
    """How long to wait when another `before` in a row had not begun either."""
    return min(NOT_BEGUN_MILLISECONDS << min(before, 16), NOT_BEGUN_MILLISECONDS_MAX)


def rollback_ended(
    stage: StageState, outcome: str, error_kind: str, *, at: int, jitter_permille: int
) -> RollbackEnded:
    """What the end of a try at the stage's rollback makes of the stage."""
    name, number = stage.name, stage.rollback_attempts
    if outcome == statuses.COMPLETED:
        return RollbackEnded(name, number, outcome, statuses.ROLLED_BACK)
    if outcome == statuses.NOT_BEGUN:
        due = at + _not_begun_delay(stage.rollback_not_begun)
        return RollbackEnded(name, number, outcome, statuses.ROLLING_BACK, error_kind, due)
    if error_kind == INTERRUPTED and stage.rollback_interruptions < INTERRUPTIONS_MAX:
        return RollbackEnded(name, number, outcome, statuses.ROLLING_BACK, error_kind, at)
    retry: Retry = stage.sealed.stage.rollback.retry
    tried = stage.rollback_tried + 1
    if error_kind == CHANGED_SINCE or tried >= retry.attempts or not is_worth_retrying(retry, error_kind):
        return RollbackEnded(name, number, outcome, statuses.ROLLBACK_FAILED, error_kind)
    due = at + retry_delay_milliseconds(retry, tried, jitter_permille)
    return RollbackEnded(name, number, outcome, statuses.ROLLING_BACK, error_kind, due)


def expires(state: RunState) -> bool:
    """Whether it changes anything that the run's time is up: not while it stands still, and not when it goes back for
    good anyway."""
    is_driven = not (state.is_settled or state.held or state.is_paused or state.is_window_closed)
    goes_forward_again = state.undo is None or state.undo_forward
    return is_driven and goes_forward_again and state.ending in ("", FAILURE, REWIND)


def look_again_at(delay: Delay, look: int, *, at: int) -> int:
    """When the `look`-th look (from 1) for missing dependencies is followed by the next."""
    try:
        grown = delay.first_milliseconds * delay.growth ** (look - 1)
    except OverflowError:
        grown = DELAY_MILLISECONDS_MAX
    ceiling = DELAY_MILLISECONDS_MAX if delay.maximum_milliseconds is None else delay.maximum_milliseconds
    return at + int(min(grown, ceiling))


def looks_evenly(delay: Delay, look: int) -> bool:
    """Whether all looks after the `look`-th come at the same distance from each other."""
    return look_again_at(delay, look, at=0) == look_again_at(delay, look + 1, at=0)


def inputs_missing(state: RunState, stage: StageState) -> list[InputDependency]:
    """The stage's inputs that nobody has supplied yet."""
    return [one for one in stage.sealed.stage.input_dependencies if one.name not in state.supplied]


def inputs_due_at(missing: Sequence[InputDependency], *, now: int) -> int:
    """Until when the first of these inputs is to be supplied; `now` is the stage's."""
    ends = [now + one.deadline_milliseconds for one in missing if one.deadline_milliseconds is not None]
    return min(ends, default=now + DELAY_MILLISECONDS_MAX)


class Tested(Struct, frozen=True):
    """A condition and what its test said. `is_lasting`: testing it again can't give another answer."""

    condition: Condition
    verdict: str
    is_lasting: bool


class Verdict(Struct, frozen=True):
    """What a round of tests amounts to: `held`, `not_held` or `error`; or `again`, at a moment, perhaps with
    the stage executed again before."""

    verdict: str
    again_at: int = 0
    reexecute: bool = False


def verdict_of(tested: Sequence[Tested], rounds: int, *, clock_start: int, at: int) -> Verdict:
    """The verdict after that many rounds of tests.

    Each condition has its own time, all from the same start; the first one whose time is up ends the
    validation. What looks only at recorded outputs is tested once, unless the stage is executed again.
    """
    failing = [each for each in tested if each.verdict != "held"]
    if not failing:
        return Verdict("held")
    reexecute = any(each.condition.reexecute for each in failing if each.verdict == "not_held")
    # Where the clock was put back, it may take days until it says again that anything has begun.
    reached = at if at >= clock_start else clock_start + _waited_milliseconds(tested, rounds)
    ends = []
    for each in failing:
        end = clock_start + _allowed_milliseconds(each, reexecute)
        if reached >= end:
            return Verdict(each.verdict)
        ends.append(end)
    interval = min(each.condition.interval_milliseconds for each in failing)
    return Verdict("again", min(at + _interval_milliseconds(interval, rounds), *ends), reexecute)


def _waited_milliseconds(tested: Sequence[Tested], rounds: int) -> int:
    """How long was waited at least before that round."""
    interval = min(each.condition.interval_milliseconds for each in tested)
    return sum(_interval_milliseconds(interval, before) for before in range(1, rounds))


def _interval_milliseconds(first: int, rounds: int) -> int:
    """How long to wait after that many rounds."""
    grown = min(first * INTERVAL_GROWTH ** min(rounds - 1, 64), INTERVAL_MILLISECONDS_MAX)
    return max(int(grown), 1)


def _allowed_milliseconds(tested: Tested, reexecute: bool) -> int:
    if tested.is_lasting and not reexecute:
        return 0
    if tested.condition.maximum_time_milliseconds is not None:
        return tested.condition.maximum_time_milliseconds
    return ERROR_BUDGET_MILLISECONDS if tested.verdict == "error" else 0
