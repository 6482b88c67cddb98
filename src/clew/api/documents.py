"""What is answered: each is a type, so that what is promised and what is given are the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from clew.operations.records import History
from clew.operations.requests import residue_documents
from clew.operations.showing import outputs_of

Json = Any
Moment = Annotated[
    str, Meta(description="ISO 8601 in UTC, to the millisecond", extra_json_schema={"format": "date-time"})
]

RunStatus = Literal[
    "queued", "running", "waiting", "paused", "held", "rolling_back", "rollback_failed", "completed", "failed",
    "rolled_back", "missed", "skipped",
]  # fmt: skip
StageStatus = Literal[
    "pending", "waiting", "started", "validating", "completed", "failed", "rolling_back", "rolled_back",
    "rollback_failed", "skipped", "cancelled",
]  # fmt: skip


Role = Literal["viewer", "operator", "admin"]


def moment(at: int) -> str:
    """Of milliseconds since 1970."""
    written = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)).isoformat(
        timespec="milliseconds"
    )
    return written.replace("+00:00", "Z")


def moment_or_none(at: int | None) -> str | None:
    return None if at is None else moment(at)


class Residue(Struct):
    """What a run has left standing, or may have."""

    stage: str
    certain: bool
    pass_number: int


class RunSummary(Struct, kw_only=True):
    """A run, as lists have it."""

    run_id: str
    program: str
    version: str
    run_name: str
    status: RunStatus
    cause: str
    scheduled_at: Moment
    launched_at: Moment
    ended_at: Moment | None
    requested_by: str
    generation: int
    is_due: bool
    backfill: str
    follows: str
    removed_at: Moment | None
    archive: str
    residue: list[Residue]


def run_summary(row: Mapping[str, Json]) -> RunSummary:
    """Of its row in the tracker."""
    return RunSummary(**_summary(row))


def _summary(row: Mapping[str, Json]) -> dict[str, Json]:
    kept = (
        "run_id",
        "program",
        "version",
        "run_name",
        "status",
        "cause",
        "requested_by",
        "generation",
        "backfill",
        "follows",
    )
    residue = [
        Residue(item["stage"], item.get("certain", False), item.get("pass_number", 1))
        for item in json.loads(row["residue"])
    ]
    return {
        **{name: row[name] for name in kept},
        "scheduled_at": moment(row["run_time"]),
        "launched_at": moment(row["launched_at"]),
        "ended_at": moment_or_none(row["ended_at"]),
        "is_due": bool(row["is_due"]),
        "removed_at": moment_or_none(row["removed_at"]),
        "archive": row["archive"] if row["removed_at"] is not None else "",
        "residue": residue,
    }


class RunPage(Struct):
    """Some runs, the newest first. `next`: the cursor of those after them; null where there are none."""

    runs: list[RunSummary]
    next: str | None


class UnitOfRun(Struct, kw_only=True):
    """What a stage of a run has come to, or one of its items."""

    pass_number: int
    status: StageStatus
    attempts: int
    outcome: str
    error_kind: str
    rollback_attempts: int
    started_at: Moment | None
    ended_at: Moment | None
    outputs: dict[str, Json]


class ItemOfRun(UnitOfRun, kw_only=True):
    """One of the values for each of which a stage is done."""

    item: int


class StageOfRun(UnitOfRun, kw_only=True):
    """A stage of a run, as it stands. `items`: null where it is done once."""

    name: str
    block: int
    items: list[ItemOfRun] | None


class ErasureDocument(Struct):
    """That what the run and its stages had said was erased."""

    entry: int
    at: Moment
    by: str


class Run(RunSummary, kw_only=True):
    """A run, with its stages and all that they gave."""

    is_paused: bool
    held: str
    held_stage: str
    entry_count: int
    head: str
    erased: ErasureDocument | None
    stages: list[StageOfRun]
    variables: dict[str, Json]


def run_document(history: History, rows: list[dict[str, Json]]) -> Run:
    """A run from its record, and its stages' rows in the tracker."""
    state, row = history.state, history.row
    stages: list[StageOfRun] = []
    for each in rows:
        if each["item"] < 0:
            is_for_each = state.stages[each["name"]].is_for_each
            stages.append(
                StageOfRun(
                    name=each["name"], block=each["block"], items=[] if is_for_each else None,
                    **_stage(each, outputs_of(history, each["name"])),
                )
            )  # fmt: skip
        else:
            outputs = outputs_of(history, f"{each['name']}[{each['item']}]")
            items = stages[-1].items
            assert items is not None, "only stages that are done for each of several values have items"
            items.append(ItemOfRun(item=each["item"], **_stage(each, outputs)))
    erasure = history.erasure
    summary = _summary(row)
    summary["residue"] = (
        [Residue(each["stage"], each["certain"], each["pass"]) for each in residue_documents(state)]
        if state.is_settled
        else summary["residue"]
    )
    return Run(
        **summary,
        is_paused=state.is_paused,
        held=state.held,
        held_stage=state.held_stage,
        entry_count=row["entry_count"],
        head=row["head"],
        erased=None if erasure is None else ErasureDocument(erasure.seq, moment(erasure.at), erasure.by),
        stages=stages,
        variables=history.variables,
    )


def _stage(row: Mapping[str, Json], outputs: dict[str, Json]) -> dict[str, Json]:
    kept = ("status", "attempts", "outcome", "error_kind", "rollback_attempts")
    return {
        **{name: row[name] for name in kept},
        "pass_number": row["pass"],
        "started_at": moment_or_none(row["started_at"]),
        "ended_at": moment_or_none(row["ended_at"]),
        "outputs": outputs,
    }


class EntryDocument(Struct, kw_only=True):
    """An entry of a run's journal. `payload`: what stands apart from it; null where there is nothing, or it was
    erased."""

    seq: int
    at: Moment
    kind: str
    body: dict[str, Json]
    hash: str
    payload: dict[str, Json] | None


class EntryPage(Struct):
    """Some entries, in order. `next`: after which entry there are more; null where there are none."""

    entries: list[EntryDocument]
    next: int | None


class Pause(Struct):
    """That somebody has paused a program."""

    at: Moment
    by: str
    why: str


class ProgramDocument(Struct, kw_only=True):
    """A program that is live. `cadence`: in words, null where it runs on request only; `next`: when it is due next."""

    program: str
    version: str
    source: str
    live_since: Moment
    cadence: list[str] | None
    timezone: str
    next: Moment | None
    paused: Pause | None


class ProgramPage(Struct):
    """All that are live, by name."""

    programs: list[ProgramDocument]


class DueTimes(Struct):
    """When a program is due, in order."""

    times: list[str]


class PausedProgram(Struct):
    """That a program was paused, or goes on."""

    program: str
    paused: bool
    at: Moment
    by: str
    why: str


class LogOfRun(Struct):
    """What an attempt wrote, or a try at a rollback. `size`: in bytes; 0 also where it stands on another machine."""

    stage: str
    work: Literal["attempt", "rollback"]
    attempt: int
    size: int


class LogPage(Struct):
    """All of a run, in the order in which they began."""

    logs: list[LogOfRun]


class CheckpointDocument(Struct):
    """What the tree of all runs is now, as a signed note, and the key that verifies it."""

    checkpoint: str
    public_key: str


class RequestedRun(Struct, kw_only=True):
    """The run that was asked for. Not `is_new` where it was asked for before, under the same key. `run`: as it was when
    it rested, or the time to wait was over; null where nobody waited."""

    run_id: str
    is_new: bool
    run: Run | None


class Told(Struct, kw_only=True):
    """What became of what a run was told: `obeyed`, by that `entry` of its journal; `refused`, and `why`; or
    `waiting`."""

    instruction_id: str
    answer: Literal["obeyed", "refused", "waiting"]
    entry: int | None
    why: str


class Token(Struct, kw_only=True):
    """By what somebody may ask. The secret is known to whoever was given it, and to nobody else."""

    token_id: str
    name: str
    role: Role
    made_at: Moment
    made_by: str
    expires_at: Moment | None
    used_at: Moment | None
    revoked_at: Moment | None
    revoked_by: str


class Status(Struct):
    """Whether this process can do what it is for."""

    status: Literal["ready", "not ready"]
