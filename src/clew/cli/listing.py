"""`clew runs`: the runs of a store."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from clew.cli.documents import run_row_document
from clew.cli.next_steps import short
from clew.cli.options import format_option, output_options, settings_of, store_options
from clew.cli.output import Output, escaped, moment_text, took_text
from clew.core.running.statuses import MISSED, NEEDS_PERSON, QUEUED, RUN_STATUSES, SKIPPED

LIMIT = 50
"""More than fit on a screen, and quick however many there are."""


@click.command()
@click.option("--program", metavar="NAME", help="Runs of this program only.")
@click.option("--status", type=click.Choice(RUN_STATUSES), metavar="STATUS", help="Runs in this status only.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=LIMIT, show_default=True,
              help="How many, the newest first.")  # fmt: skip
@store_options
@format_option("text", "json")
@output_options
def runs(
    program: str | None,
    status: str | None,
    limit: int,
    store: str | None,
    settings_file: str | None,
    format_: str,
    output: Output,
) -> int:
    """List runs, newest first."""
    from clew.wiring import open_records

    with open_records(settings_of(store, settings_file)) as records:
        rows = records.store.runs(program=program, status=status, limit=limit + 1)
    shown, is_cut = rows[:limit], len(rows) > limit
    if format_ == "json":
        output.document([run_row_document(row) for row in shown])
    elif shown:
        _print_table(shown, output)
    else:
        output.talk("no runs")
    if is_cut:
        output.talk(f"only the newest {limit}; --limit shows more")
    elif shown:
        output.talk(_next(shown))
    return 0


def _print_table(rows: Sequence[Mapping[str, Any]], output: Output) -> None:
    """A column says for which time a run is, where any of them is for one."""
    now = time.time_ns() // 1_000_000
    has_due = any(row["is_due"] for row in rows)
    lines = []
    for row in rows:
        has_begun = row["status"] not in (QUEUED, MISSED, SKIPPED)
        launched = (moment_text(row["launched_at"]), took_text((row["ended_at"] or now) - row["launched_at"]))
        due = (moment_text(row["run_time"]) if row["is_due"] else "",) if has_due else ()
        removed = output.styled("  removed", "dim") if row["removed_at"] else ""
        names = (short(row["run_id"]), escaped(row["program"]), output.status(row["status"]) + removed)
        lines.append((*names, *due, *(launched if has_begun else ("", ""))))
    columns = ("RUN", "PROGRAM", "STATUS", *(("FOR",) if has_due else ()), "LAUNCHED", "TOOK")
    output.table(columns, lines, cut=1)


def _next(rows: Sequence[Mapping[str, Any]]) -> str:
    """A run that waits for a person comes first."""
    waiting = [row for row in rows if row["status"] in NEEDS_PERSON]
    if waiting:
        waits = "1 run waits" if len(waiting) == 1 else f"{len(waiting)} runs wait"
        return f"next: {waits} for a person; `clew why {short(waiting[0]['run_id'])}` says what for"
    if rows[0]["removed_at"]:
        return f"next: `clew verify {short(rows[0]['run_id'])}` says where the export of one of them is"
    return f"next: `clew show {short(rows[0]['run_id'])}` shows one of them"
