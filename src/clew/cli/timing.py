"""`clew next`, `clew prev`: when a program is due, and why."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import click

from clew.cli import exits
from clew.cli.options import format_option, output_options
from clew.cli.output import Output, counted, escaped

Json = Any

_COUNT_MAX = 10_000


@click.command()
@click.argument("program")
@click.option("--after", "moment", metavar="TIME", help="After that time, in UTC with Z, else on the program's clocks; "
                                                        "now if not given.")  # fmt: skip
@click.option(
    "--count", type=click.IntRange(1, _COUNT_MAX), default=5, help="How many times.", show_default=True
)
@click.option("--explain", metavar="TIME", help="Say which row and column make that time due, or not.")
@click.option("--month", metavar="YYYY-MM", help="Show that month as a calendar.")
@format_option("text", "json")
@output_options
def next(
    program: str,
    moment: str | None,
    count: int,
    explain: str | None,
    month: str | None,
    format_: str,
    output: Output,
) -> int:
    """Show when a program is due next.

    TIME is a date and a time, such as 2026-01-01T13:00Z. A wrong cadence is told with its place, and ends with 2.
    """
    if sum(one is not None for one in (explain, month, moment)) > 1:
        raise click.UsageError("--after, --explain and --month ask for different things: give one of them")
    from clew.wiring import describe_month, explain_time, load_program

    found = load_program(program, folder=os.getcwd()).program
    if explain is not None:
        document = explain_time(found, explain)
        if format_ == "json":
            output.document(document)
        else:
            _print_explained(document, output)
    elif month is not None:
        document = describe_month(found, month)
        if format_ == "json":
            output.document(document)
        else:
            _print_month(document, output)
    else:
        _print_times(found, moment, count, format_, output, back=False)
    return exits.DONE


@click.command()
@click.argument("program")
@click.option("--before", "--after", "moment", metavar="TIME", help="Before that time, in UTC with Z, else on the "
              "program's clocks; now if not given.")  # fmt: skip
@click.option(
    "--count", type=click.IntRange(1, _COUNT_MAX), default=5, help="How many times.", show_default=True
)
@format_option("text", "json")
@output_options
def prev(program: str, moment: str | None, count: int, format_: str, output: Output) -> int:
    """Show when a program was due before, the latest time first.

    They are the times of its cadence, whether it ran at them or not.
    """
    from clew.wiring import load_program

    found = load_program(program, folder=os.getcwd()).program
    _print_times(found, moment, count, format_, output, back=True)
    return exits.DONE


def _print_times(
    program: Any, moment: str | None, count: int, format_: str, output: Output, *, back: bool
) -> None:
    from clew.wiring import due_times

    document = due_times(program, moment, count, back=back)
    if format_ == "json":
        output.document(document)
        return
    for text in document["times"]:
        output.data(text)
    if program.cadence is None:
        output.talk(f"{escaped(program.name)} has no cadence: it runs on request only")
    elif program.cadence == "once" and program.initial is None:
        output.talk(f"{escaped(program.name)} is due once, when it is first live")
    elif len(document["times"]) < count:
        output.talk("there are no more" if document["times"] else "there are none")


# ---- why -------------------------------------------------------------------------------------------------


def _print_explained(document: Mapping[str, Json], output: Output) -> None:
    if document["skipped_by_clocks"]:
        output.talk("clocks skip that time: this is the first instant after the gap")
    for one in document["explained"]:
        verdict = output.styled("due", "bold", "green") if one["due"] else output.styled("not due", "bold")
        why = f": {one['why']}" if one["why"] else ""
        output.data(f"{one['time']}  {_local_text(one['local'])} in {document['timezone']}  {verdict}{why}")
        for row in one["rows"]:
            because = f": {row['why']}" if row["why"] else ""
            output.data(f"  row {row['row'] + 1}  {'yes' if row['due'] else 'no'}{because}")
            width = max(len(column["expression"]) for column in row["columns"])
            for column in row["columns"]:
                verdict = "yes" if column["matches"] else "no "
                wrong = [part for part in ("minute", "hour", "day", "month") if not column[part]]
                told = f"  not its {' nor its '.join(wrong)}" if wrong else ""
                output.data(f"    {verdict}  {column['expression'].ljust(width)}{told}".rstrip())
    output.talk(f"time zone data {document['timezone_data']}")


def _local_text(text: str) -> str:
    at = datetime.fromisoformat(text)
    return f"{at:%a %Y-%m-%d %H:%M}" + (f":{at:%S}" if at.second else "")


# ---- a month ---------------------------------------------------------------------------------------------

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_CELL = 10
"""Columns of a day: its number and one time, or how many there are."""


def _print_month(document: Mapping[str, Json], output: Output) -> None:
    first = date.fromisoformat(document["days"][0]["date"])
    output.data(output.styled(f"{first:%B %Y}, {document['timezone']}", "bold"))
    output.data(
        "".join(
            name.rjust(3).ljust(_CELL) for name in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
        ).rstrip()
    )
    cells = [" " * _CELL] * first.weekday() + [_cell(day, output) for day in document["days"]]
    for at in range(0, len(cells), 7):
        output.data("".join(cells[at : at + 7]).rstrip())
    total = sum(len(day["times"]) for day in document["days"])
    output.talk(f"due {counted(total, 'time')}")
    for change in document["clock_changes"]:
        output.talk(f"clocks change at {change['time']}: from {change['from']} to {change['to']}")


def _cell(day: Mapping[str, Json], output: Output) -> str:
    number = str(int(day["date"][-2:])).rjust(3)
    if not day["times"]:
        return number.ljust(_CELL)
    told = day["local"][0][11:16] if len(day["times"]) == 1 else f"x{len(day['times'])}"
    return output.styled(f"{number} {told}", "bold") + " " * max(_CELL - len(number) - 1 - len(told), 1)
