"""`clew export`: a run as one file, for whoever has no store to look into."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import click

from clew.cli import exits
from clew.cli.options import output_options, settings_of, store_options
from clew.cli.output import Output


@click.command()
@click.argument("run")
@click.option(
    "--output", "path", metavar="FILE", required=True, help="Where to write it; - for the standard output."
)
@click.option(
    "--since",
    "since",
    multiple=True,
    metavar="FILE",
    help="A checkpoint that was kept: the file proves that the tree goes on from it. Repeatable.",
)
@store_options
@output_options
def export(
    run: str, path: str, since: tuple[str, ...], store: str | None, settings_file: str | None, output: Output
) -> int:
    """Write all that is on record of a run into one file: program, plan, journal, payloads, and the proof that it is in
    the signed tree of all runs.

    `clew verify FILE --key KEY` checks it, and so does `tools/verify_export.py`, without a store or a network.
    """
    from clew.wiring.exporting import export_run, given_checkpoint

    settings = settings_of(store, settings_file)
    lines = export_run(settings, run, [given_checkpoint(each) for each in since])
    if path == "-":
        for line in lines:
            sys.stdout.buffer.write(line)
        sys.stdout.flush()
        return exits.DONE
    making = f"{path}.part"
    try:
        with open(making, "wb") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        os.replace(making, path)
    except OSError as error:
        raise click.UsageError(f"--output {path}: can't be written: {error.strerror}") from error
    finally:
        with suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(making)
    output.talk(
        f"next: `clew verify {path} --key KEY` checks it; `clew checkpoint --public-key` prints the key"
    )
    return exits.DONE
