"""What a person tells a run while another process drives it is obeyed once or refused, whoever is killed when."""

from __future__ import annotations

import pytest
from tests.crash.conftest import PassedBy, Tellers
from tests.crash.faults import Fault
from tests.crash.sweeping import swept_by
from tests.crash.tellings import ROLES, TELLINGS, Telling


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("telling", TELLINGS, ids=str)
def test_whoever_is_killed_it_is_obeyed_once(
    telling: Telling, role: str, tell: Tellers, passed_by: PassedBy
) -> None:
    """Who drives or who tells is killed at a commit: the words are obeyed by one entry, and their effect is there."""
    for point in swept_by(telling, role, passed_by):
        told = tell(telling, **{role: Fault(point)})
        assert told.judge() == [], f"{telling}: {role} killed at {point}"
        struck = told.struck(role)
        assert struck is not None and point.transaction in struck["kinds"], f"{point} was not hit"
