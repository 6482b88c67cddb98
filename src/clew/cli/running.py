"""`clew run`: a run that is driven from here, and stayed with until it rests."""

from __future__ import annotations

import asyncio
import os
import signal
import traceback
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clew.cli import exits
from clew.cli.next_steps import next_step_of, short
from clew.cli.options import (
    bucket_option,
    format_option,
    given_buckets,
    output_options,
    settings_of,
    store_options,
    unsafe_option,
    user_name,
    variable_options,
    variables_of,
)
from clew.cli.output import Output, escaped
from clew.cli.progress import Progress, interrupted_hint, new_progress
from clew.cli.tables import are_of_passes, print_residue, print_stages, print_variables
from clew.operations.requests import check_request, run_document, unknown_buckets

if TYPE_CHECKING:
    from clew.following import NotFinished

Result = TypeVar("Result")


@click.command()
@click.argument("program")
@variable_options
@bucket_option
@store_options
@unsafe_option
@format_option("text", "json")
@output_options
def run(
    program: str,
    variables: tuple[str, ...],
    variables_file: str | None,
    buckets: tuple[str, ...],
    store: str | None,
    settings_file: str | None,
    unsafe_store: bool,
    format_: str,
    output: Output,
) -> int:
    """Run a program, and stay until it rests.

    PROGRAM is a file (YAML, JSON or TOML), or module:name for a program in Python. Once the run's id is said,
    the run is on disk: whatever happens then, `clew resume` goes on with it.
    """
    settings = settings_of(store, settings_file, buckets, unsafe_store=unsafe_store)
    given = variables_of(variables, variables_file)
    from clew.driving import Origin, run_to_rest
    from clew.following import NotFinished
    from clew.wiring import load_program, seal, unknown_secrets

    loaded = load_program(program, folder=os.getcwd())
    unknown = unknown_secrets(loaded.program, settings.secrets)
    values = check_request(
        loaded.program,
        given,
        unknown_buckets=unknown_buckets(loaded.program, settings.buckets),
        unknown_secrets=unknown,
    )
    origin = Origin(loaded.folder, given_buckets(settings, buckets))
    progress = new_progress(output)
    try:
        outcome = stay(
            run_to_rest(
                settings,
                seal(loaded.program),
                values,
                requested_by=f"cli:{user_name()}",
                origin=origin,
                watcher=progress,
            ),
            progress,
        )
    except KeyboardInterrupt:
        output.talk(interrupted_hint(progress.run_ids))
        return exits.INTERRUPTED
    except NotFinished as error:
        return tell_unfinished(error, output)
    document = run_document(outcome.state, outcome.values)
    if format_ == "json":
        output.document(document)
    else:
        print_outcome(document, output)
    return exits.of_status(outcome.state.status)


def stay(work: Awaitable[Result], progress: Progress) -> Result:
    """Do the work on an event loop of its own. SIGTERM ends it as Ctrl-C does: raises KeyboardInterrupt."""

    async def stayed() -> Result:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await progress.during(work)

    try:
        return asyncio.run(stayed())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def tell_unfinished(error: NotFinished, output: Output) -> int:
    """An orchestrator that ended before its run did."""
    from clew.ports import BucketError, Fenced, StoreError

    cause = error.__cause__
    if cause is not None and not isinstance(cause, (BucketError, Fenced, StoreError, OSError)):
        click.echo("".join(traceback.format_exception(cause)), err=True)  # a mistake of clew's own
    click.echo(f"clew: run {error.run_id} is not finished: {escaped(str(error))}", err=True)
    output.talk(f"next: `clew resume {short(error.run_id)}` goes on, once the trouble is over")
    return exits.NOT_FINISHED


def print_outcome(document: Mapping[str, Any], output: Output, *, with_next_step: bool = True) -> None:
    """How a run ended, or where it rests (see `run_document`)."""
    name = escaped(document["program"])
    output.data(
        f"{output.status(document['status'])}  {output.styled(name, 'bold')}  run {document['run_id']}"
    )
    print_stages(document["stages"], output)
    print_variables(document["variables"], output)
    print_residue(document["residue"], output, has_passes=are_of_passes(document["stages"]))
    if with_next_step:
        output.talk(next_step_of(document))
