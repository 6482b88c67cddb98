"""What a person may want to do next: the last line of what many verbs say."""

from __future__ import annotations

SHORT_ID_LENGTH = 16
"""Letters of a run's id that are shown where it is to be typed: enough that no two runs of a store share them."""

_WISHED = frozenset({"cancelled", "requested"})
"""Causes that are somebody's wish: nothing went wrong."""


def short(run_id: str) -> str:
    """The beginning of a run's id, which every verb takes for the whole."""
    return run_id[:SHORT_ID_LENGTH]


def next_step(run_id: str, status: str, cause: str = "", *, is_driven: bool = False) -> str:
    """What to do about a run in that status. `is_driven`: another process drives it."""
    run = short(run_id)
    if status == "completed":
        return f"next: `clew show {run}` shows what was done"
    if status in ("held", "rollback_failed"):
        return f"next: `clew why {run}` says what a person must settle"
    if status == "paused":
        return f"next: `clew unpause {run}` goes on"
    if status in ("queued", "running", "waiting", "rolling_back"):
        if is_driven:
            return f"next: `clew show {run}` shows how far it is"
        return f"next: `clew resume {run}` drives it"
    if cause in _WISHED:
        return f"next: `clew show {run}` shows what was done, and what was undone"
    return f"next: `clew why {run}` says what went wrong"
