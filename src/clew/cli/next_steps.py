"""What a person may want to do next: the last line of what many verbs say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHORT_ID_LENGTH = 16
"""Letters of a run's id that are shown where it is to be typed: enough that no two runs of a store share them."""

_WISHED = frozenset({"cancelled", "requested"})
"""Causes that are somebody's wish: nothing went wrong."""


def short(run_id: str) -> str:
    """The beginning of a run's id, which every verb takes for the whole."""
    return run_id[:SHORT_ID_LENGTH]


def next_step(
    run_id: str, status: str, cause: str = "", *, is_driven: bool = False, is_paused: bool = True
) -> str:
    """What to do about a run in that status. `is_driven`: another process drives it. `is_paused`: if it is paused,
    then by somebody, and not by its program's window."""
    run = short(run_id)
    if status == "completed":
        return f"next: `clew show {run}` shows what was done"
    if status in ("held", "rollback_failed"):
        return f"next: `clew why {run}` says what a person must settle"
    if status == "paused" and is_paused:
        return f"next: `clew unpause {run}` goes on"
    if status in ("paused", "queued", "running", "waiting", "rolling_back"):
        if is_driven:
            return f"next: `clew show {run}` shows how far it is"
        return f"next: `clew resume {run}` drives it"
    if cause in _WISHED:
        return f"next: `clew show {run}` shows what was done, and what was undone"
    return f"next: `clew why {run}` says what went wrong"


def next_step_of(document: Mapping[str, Any], *, is_driven: bool = False) -> str:
    """The same for a run's document (see `operations.requests.run_document`)."""
    return next_step(
        document["run_id"],
        document["status"],
        document["cause"],
        is_driven=is_driven,
        is_paused=document["is_paused"],
    )
