"""The pretend world does not lie: whoever tells how something ended tells what became of it."""

from __future__ import annotations

from random import Random

import pytest
from tests.simulation.odds import Odds
from tests.simulation.outside import Outside
from tests.simulation.timeline import Life, Timeline

from clew.ports import AttemptReport, AttemptRequest


class Only(Odds):
    """These faults strike always, and no others."""

    def __init__(self, *faults: str) -> None:
        super().__init__(Random(0))
        self._faults = faults

    def strike(self, fault: str, probability: float) -> bool:
        return fault in self._faults


@pytest.mark.parametrize(
    ("work", "fault"), [("execute", "attempt unknown"), ("rollback", "rollback unknown")]
)
def test_what_is_heard_of_after_all_completed_if_it_acted(work: str, fault: str) -> None:
    """Nobody could tell at first; then it has done what it was to do, or has failed."""
    told = [heard_of(seed, work, fault) for seed in range(20)]
    assert {outcomes for _, outcomes in told} == {("unknown", "completed"), ("unknown", "failed")}
    assert all(has_acted == ("completed" in outcomes) for has_acted, outcomes in told)


def heard_of(seed: int, work: str, fault: str) -> tuple[bool, tuple[str, ...]]:
    """Whether it acted, and the outcomes that were told of it, one after another."""
    timeline = Timeline(Random(seed))
    outside = Outside(timeline, Only(fault, "heard of after all"), seed)
    outside.run_numbers["run"] = 1
    request = AttemptRequest(
        attempt_id="run/s1.1",
        work=work,
        program="program",
        run_id="run",
        stage="s1",
        attempt=1,
        idempotency_key="key",
        items=(),
        scope={},
    )
    told: list[AttemptReport] = []
    outside.begin(request, told.append, Life(timeline, "life"))
    while timeline.step():
        pass
    return bool(outside.log), tuple(report.outcome for report in told)
