"""`backfill`, `monitor`, `max_active_runs`, `retention` and the like: from what was read to what the model keeps.

How far back, how long, how many: what a program says of its runs beside when they are due.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clew.core.program.model import NO_LIMITS, SETTLED_STATUSES, Limits
from clew.core.program.shapes import Found

ACTIVE_RUNS_WITH_CADENCE = 1
"""How many runs of a program with a cadence are under way at the same time, if it does not say."""


def read_pace(parts: Mapping[str, Any], found: Found) -> dict[str, Any]:
    """The fields of a program that say how its runs follow each other, each with its default."""
    order = parts.get("run_order", "any")
    most = parts.get("max_active_runs", default_active_runs(order, "cadence" in parts))
    if order == "scheduled" and isinstance(most, int) and most > 1:
        what = "runs in the order of their times go one at a time"
        found.problem(("max_active_runs",), what, "leave it out, or run_order: scheduled")
    return {
        **read_limits(parts),
        "on_missed": parts.get("on_missed", "record"),
        "max_active_runs": most,
        "run_order": order,
        "overlap": parts.get("overlap", "queue"),
        "retention": read_retention(parts.get("retention")),
    }


def default_active_runs(order: str, has_cadence: bool) -> int | None:
    """How many runs of a program may be under way that does not say it."""
    return ACTIVE_RUNS_WITH_CADENCE if order == "scheduled" or has_cadence else None


def read_limits(parts: Mapping[str, Any]) -> dict[str, Any]:
    """`backfill` and `monitor`, of a program or of a stage."""
    return {"backfill_milliseconds": parts.get("backfill"), "limits": _limits_of(parts.get("monitor"))}


def read_retention(read: Any) -> dict[str, int]:
    """By status, from one duration for all, or one for each of some."""
    if read is None:
        return {}
    if isinstance(read, Mapping):
        return {status: read[status] for status in SETTLED_STATUSES if status in read}
    return dict.fromkeys(SETTLED_STATUSES, read)


def _limits_of(read: Any) -> Limits:
    if isinstance(read, Mapping):
        return Limits(read.get("run"), read.get("execution"), read.get("validation"))
    return NO_LIMITS if read is None else Limits(read)
