"""What the description promises of closed lists is what there is."""

from __future__ import annotations

from typing import get_args

from clew.api.documents import Role, RunStatus, StageStatus
from clew.core.running.statuses import RUN_STATUSES, STAGE_STATUSES
from clew.ports import ROLES


def test_closed_lists_have_one_definition() -> None:
    assert get_args(RunStatus) == RUN_STATUSES
    assert get_args(StageStatus) == STAGE_STATUSES
    assert get_args(Role) == ROLES
