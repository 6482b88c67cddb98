"""Rows of the tracker as JSON: moments as ISO 8601, residue as a list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from clew.cli.output import escaped, moment_json, moment_text

if TYPE_CHECKING:
    from clew.operations.records import Erasure

Json = Any


def run_row_document(row: Mapping[str, Json]) -> dict[str, Json]:
    """A run's row."""
    return {
        "run_id": row["run_id"],
        "program": row["program"],
        "version": row["version"],
        "run_name": row["run_name"],
        "status": row["status"],
        "cause": row["cause"],
        "scheduled_at": moment_json(row["run_time"]),
        "launched_at": moment_json(row["launched_at"]),
        "ended_at": moment_json(row["ended_at"]),
        "requested_by": row["requested_by"],
        "generation": row["generation"],
        "is_due": bool(row["is_due"]),
        "backfill": row["backfill"],
        "follows": row["follows"],
        "removed_at": moment_json(row["removed_at"]),
        "archive": row["archive"],
        "residue": [_residue_document(item) for item in json.loads(row["residue"])],
    }


def erasure_document(erasure: Erasure | None) -> dict[str, Json] | None:
    """What was erased of a run."""
    if erasure is None:
        return None
    return {"entry": erasure.seq, "at": moment_json(erasure.at), "by": erasure.by}


def erasure_text(erasure: Erasure) -> str:
    """The same as words."""
    return (
        f"what it and its stages had said, by {escaped(erasure.by)}, at {moment_text(erasure.at)} "
        f"(entry {erasure.seq})"
    )


def program_json(document: Mapping[str, Json]) -> dict[str, Json]:
    """What is known of a program that is live, with moments as ISO 8601."""
    found = {
        key: moment_json(value) if key in _MOMENTS and isinstance(value, int) else value
        for key, value in document.items()
    }
    for key, value in found.items():
        if isinstance(value, dict):
            found[key] = program_json(value)
        elif isinstance(value, list):
            found[key] = [program_json(one) if isinstance(one, dict) else one for one in value]
    return found


_MOMENTS = frozenset({
    "live_since", "retired_at", "settled_until", "next", "at", "since", "until", "scheduled_at", "ended_at",
    "changes_at", "look_again_at", "retry_at",
})  # fmt: skip


def _residue_document(item: Mapping[str, Json]) -> dict[str, Json]:
    return {"stage": item["stage"], "certain": item.get("certain", False), "pass": item.get("pass_number", 1)}


def stage_row_document(row: Mapping[str, Json]) -> dict[str, Json]:
    """The row of a stage, or of an item."""
    return {
        **({"name": row["name"]} if row["item"] < 0 else {"item": row["item"]}),
        "block": row["block"],
        "pass": row["pass"],
        "status": row["status"],
        "attempts": row["attempts"],
        "outcome": row["outcome"],
        "error_kind": row["error_kind"],
        "rollback_attempts": row["rollback_attempts"],
        "started_at": moment_json(row["started_at"]),
        "ended_at": moment_json(row["ended_at"]),
    }
