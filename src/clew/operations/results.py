"""What other runs have come to: what a stage that depends on them is told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from clew.core.planning.awaiting import is_due_at
from clew.core.planning.questions import Reply
from clew.core.program.model import Json, Program
from clew.core.running import statuses
from clew.operations.records import Records, Row
from clew.ports import StoreError


def last_output(records: Records, program: str, output: str) -> Reply:
    """That output in the result of the program's completed run that is latest by scheduled time, then by launch.

    Raises StoreError.
    """
    row = records.store.last_run(program, status=statuses.COMPLETED)
    if row is None:
        return Reply(False, None, f"no run of '{program}' has completed yet")
    facts = _facts(row)
    declared = {
        one.name
        for sealed in records.sealed_of(row["version"]).stages.values()
        for one in sealed.stage.outputs
    }
    if output in declared and (row["erased_at"] or row["removed_at"]) is not None:
        # Nobody can tell it any more; and a default is for the first time, when there is nothing to go on from.
        raise StoreError(f"what {_named(row)}, the last one that completed, gave was erased: run it again")
    written = records.written(row, output) if output in declared else None
    if written is None:
        what = f"skipped the stage that has '{output}'" if output in declared else f"had no output '{output}'"
        return Reply(False, None, f"{_named(row)}, the last one that completed, {what}", facts)
    facts |= {"stage": written.stage, "entry": written.seq}
    return Reply(True, written.value, f"of {_named(row)}, the last one that completed", facts)


def awaited_time(
    records: Records, program: str, offset: int | None, *, run_time: int, is_due: bool
) -> int | None:
    """For which scheduled time the run of another program is awaited by a run for `run_time`; None for its latest one.

    That which is `offset` away, where one is given. Else the same one, if the run stands for a due time and the other
    program has a cadence; a request's moment is no time at which anything is due. Raises StoreError.
    """
    if offset is not None:
        return run_time + offset
    return run_time if is_due and _has_cadence(records, program) else None


def _has_cadence(records: Records, program: str) -> bool:
    known = _known(records, program)
    return known is not None and known.cadence is not None


def _known(records: Records, program: str) -> Program | None:
    """The version that is live, or was; else the one that ran last."""
    row = records.store.schedules.of(program)
    version = records.store.last_version(program) if row is None else row.version
    return None if version is None else records.program_of(version)


def never_due(records: Records, program: str, at: int, *, is_due: bool) -> str:
    """Why there will be no run of the program for that time, with a remedy; empty where there may be one. `is_due`: the
    run that asks stands for a due time. Raises StoreError."""
    known = _known(records, program)
    if known is None or is_due_at(known, at):
        return ""
    if known.cadence is None:
        return f"'{program}' has no cadence; leave out the offset, and its latest run is awaited"
    if not is_due:
        return "this run was asked for, and its moment is none at which others are due; leave out the offset"
    return f"'{program}' is not due then; give an offset that leads to a time at which it is"


def completed_run(
    records: Records, program: str, *, run_time: int | None = None, besides: str = "", never: str = ""
) -> Reply:
    """The program's run for that scheduled time, or without one its latest, once it has completed: of several for one
    time the last that was made, whatever those before came to. The run `besides`, which asks, never counts. `never`:
    why there will be none. Raises StoreError."""
    row = records.store.last_run(program, run_time=run_time, besides=besides)
    if row is None:
        when = "" if run_time is None else f" for {_moment(run_time)}"
        coming = f", and there will be none: {never}" if never else " yet"
        return Reply(False, None, f"there is no run of '{program}'{when}{coming}")
    which = "the latest run" if run_time is None else "the run for that time"
    if row["status"] != statuses.COMPLETED:
        return Reply(False, None, f"{_named(row)}, {which}, is {row['status']}", _facts(row))
    value = {
        **{name: row[name] for name in ("program", "run_id", "run_name", "generation", "status", "version")},
        "run_time": _moment(row["run_time"]),
        "launch_time": _moment(row["launched_at"]),
        "ended_at": _moment(row["ended_at"]),
    }
    return Reply(True, value, f"{_named(row)}, {which}, has completed", _facts(row))


def _facts(row: Row) -> dict[str, Json]:
    """Which run it is, as the journal of who asked keeps it."""
    return {
        "program": row["program"],
        "run_id": row["run_id"],
        "run_name": row["run_name"],
        "run_time": _moment(row["run_time"]),
        "launch_time": _moment(row["launched_at"]),
        "status": row["status"],
        "head": row["head"],
    }


def _named(row: Row) -> str:
    return f"run {row['run_name']} of '{row['program']}'"


def _moment(at: Any) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")
