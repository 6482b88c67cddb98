"""`clew why PROGRAM`: why it runs, or does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from clew.cli import exits
from clew.cli.documents import program_json
from clew.cli.next_steps import short
from clew.cli.output import Output, escaped, first_line, moment_text
from clew.operations.records import Records
from clew.operations.standing import program_explanation
from clew.ports import ScheduleRow

Json = Any

LAST_RUNS = 5
"""How many of its last runs are told."""


def print_program(records: Records, schedule: ScheduleRow, now: int, format_: str, output: Output) -> int:
    """Say it, as text or as JSON."""
    runs = records.store.runs(program=schedule.program, limit=LAST_RUNS)
    told = program_explanation(records.store, schedule, records.program_of, runs, now)
    if format_ == "json":
        output.document(program_json(told))
        return exits.DONE
    name = output.styled(escaped(told["program"]), "bold")
    output.data(f"{name}  version {told['version'][:12]}, from {escaped(told['source'])}")
    for line in _lines(told, output):
        output.data(line)
    last = told["last"]
    hint = (
        f"`clew why {short(last[0]['run_id'])}` says it of its last run" if last else "`clew run` runs it now"
    )
    output.talk(f"next: {hint}")
    return exits.DONE


def _lines(told: Mapping[str, Json], output: Output) -> Iterator[str]:
    if told["retired_at"] is not None:
        yield f"not live since {moment_text(told['retired_at'])}: what it was read from is gone"
    elif told["cadence"] is None:
        yield "it has no cadence: it runs on request only"
    elif told["next"] is None:
        yield "it is never due again"
    else:
        words = escaped("; or ".join(told["cadence"]))
        yield f"due next at {moment_text(told['next'])} ({words}, {told['timezone']})"
    if told["paused"]:
        why = f": {first_line(told['paused']['why'])}" if told["paused"]["why"] else ""
        yield (
            f"paused by {escaped(told['paused']['by'])}, at {moment_text(told['paused']['at'])}{why}; "
            "due times are skipped meanwhile"
        )
    window = told["window"]
    if window is not None:
        state = "open" if window["is_open"] else "closed: no stage begins"
        until = f" until {moment_text(window['changes_at'])}" if window["changes_at"] else ""
        yield f"its window ({window['opens']} to {window['closes']}) is {state}{until}"
    for one in told["under_way"]:
        scheduled = moment_text(one["scheduled_at"])
        yield f"under way: run {short(one['run_id'])} for {scheduled}, {output.status(one['status'])}"
    if told["queued"]:
        places = told["max_active_runs"]
        rule = "each waits for the one before" if told["run_order"] == "scheduled" else f"{places} at a time"
        first = told["queued"][0]
        yield (
            f"{len(told['queued'])} queued ({rule}), the next for {moment_text(first['scheduled_at'])}: "
            f"run {short(first['run_id'])}"
        )
    for one in told["last"]:
        if one["ended_at"]:
            yield (
                f"run {short(one['run_id'])} for {moment_text(one['scheduled_at'])}: {output.status(one['status'])}"
            )
