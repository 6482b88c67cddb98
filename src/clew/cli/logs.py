"""`clew logs`: what attempts wrote to standard output and error."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

import click

from clew.cli.options import format_option, output_options, settings_of, store_options
from clew.cli.output import Output, escaped, escaped_text
from clew.operations.logs import Log, logs_of
from clew.operations.records import stage_of

READ_SIZE = 1024 * 1024
"""Logs are printed in pieces of a megabyte, so that a large one needs no large memory."""


class LogFile(NamedTuple):
    """A log, and the file in which it is."""

    log: Log
    path: str


@click.command()
@click.argument("run")
@click.option("--stage", metavar="NAME", help="The logs of this stage only, or of this item of one.")
@click.option("--attempt", type=click.IntRange(1), help="The log of this attempt only.")
@store_options
@format_option("text", "json")
@output_options
def logs(
    run: str,
    stage: str | None,
    attempt: int | None,
    store: str | None,
    settings_file: str | None,
    format_: str,
    output: Output,
) -> int:
    """Print what a run's attempts wrote, in the order in which they began."""
    from clew.operations.showing import find_stage
    from clew.wiring import log_path, open_records

    settings = settings_of(store, settings_file)
    with open_records(settings) as records:
        history = records.history(records.find(run))
    name = None if stage is None else find_stage(history, stage)
    found = [
        LogFile(log, log_path(settings.logs, history.row["run_id"], log.stage, log.number))
        for log in logs_of(history)
        if (name is None or name in (log.stage, stage_of(log.stage)))
        and (attempt is None or log.attempt == attempt)
    ]
    if format_ == "json":
        output.document([_document(log) for log in found])
        return 0
    shown = [each for each in found if _size(each)]
    for each in shown:
        log = each.log
        if len(shown) > 1:
            output.talk(
                output.styled(f"== {escaped(log.stage)}, {log.work} {log.attempt}", "bold", stream=sys.stderr)
            )
        _print(each)
    if not shown:
        output.talk("nothing was written" if found else "nothing has begun yet")
    return 0


def _document(file: LogFile) -> dict[str, object]:
    size, log = _size(file), file.log
    path = file.path if size else None
    return {"stage": log.stage, "work": log.work, "attempt": log.attempt, "path": path, "size": size}


def _size(file: LogFile) -> int:
    """Bytes of the log; an attempt that wrote nothing need not have one, and logs may be deleted."""
    try:
        return os.stat(file.path).st_size
    except FileNotFoundError:
        return 0


def _print(log: LogFile) -> None:
    """As it stands for a file or a pipe; with control characters escaped for a terminal."""
    with open(log.path, "rb") as file:
        while content := file.read(READ_SIZE):
            if sys.stdout.isatty():
                sys.stdout.write(escaped_text(content.decode("utf-8", "replace")))
            else:
                sys.stdout.buffer.write(content)
    sys.stdout.flush()
