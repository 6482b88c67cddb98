"""For how long runs are kept: what the program says of a status counts, else the settings do; else they are kept."""

from __future__ import annotations

import pytest

from clew.core.program.model import FOREVER, SETTLED_STATUSES
from clew.core.running.retention import kept_until
from clew.core.running.statuses import SETTLED


@pytest.mark.parametrize(
    ("status", "until"),
    [("completed", 1_005), ("failed", 1_007), ("rolled_back", None), ("missed", None), ("skipped", None)],
)
def test_the_program_says_it_then_the_settings(status: str, until: int | None) -> None:
    of_program = {"completed": 5, "rolled_back": FOREVER}
    of_settings = {"completed": 6, "failed": 7, "rolled_back": 8}
    assert kept_until(status, 1_000, of_program, of_settings) == until


def test_every_status_in_which_a_run_rests_can_be_named() -> None:
    assert set(SETTLED_STATUSES) == SETTLED
