"""Which past times a backfill runs."""

from __future__ import annotations

import pytest

from clew.core.running.statuses import RUN_STATUSES, SETTLED
from clew.core.timing.backfilling import PastRun, PastTime, Which, plan_backfill

RUNS = {at: PastRun(f"run-{status}", status) for at, status in enumerate(RUN_STATUSES)}
DUE = [*RUNS, 100]
"""A time for each status that its last run may have, and one without a run."""


@pytest.mark.parametrize(
    ("which", "taken"),
    [
        ("missing", {"missed", ""}),
        ("failed", {"failed", "rolled_back"}),
        ("all", {*SETTLED, ""}),
    ],
)
def test_which_times_are_taken(which: Which, taken: set[str]) -> None:
    """Never one whose last run has not settled; the others are counted by what they came to."""
    plan = plan_backfill(DUE, RUNS, which=which, order="oldest")
    assert {RUNS[one.at].status if one.at in RUNS else "" for one in plan.times} == taken
    assert all(one.follows == (RUNS[one.at].run_id if one.at in RUNS else "") for one in plan.times)
    left = set(RUN_STATUSES) - taken
    assert plan.left == dict.fromkeys(left, 1)


def test_they_are_run_in_the_order_that_is_asked_for() -> None:
    """The oldest first, or the newest."""
    oldest = plan_backfill([1, 2, 3], {}, which="missing", order="oldest").times
    assert oldest == (PastTime(1), PastTime(2), PastTime(3))
    assert plan_backfill([1, 2, 3], {}, which="missing", order="newest").times == oldest[::-1]


def test_a_time_without_a_run_has_not_failed() -> None:
    """It is left as it is, and there is nothing to count."""
    plan = plan_backfill([1], {}, which="failed", order="oldest")
    assert (plan.times, plan.left) == ((), {})
