"""`clew run`, `clew resume`: runs that are driven from here, and stayed with until they rest."""

from __future__ import annotations

import asyncio
import os
import signal
import traceback
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clew.cli import exits
from clew.cli.options import (
    bucket_option,
    format_option,
    given_buckets,
    output_options,
    settings_of,
    store_options,
    user_name,
    variable_options,
    variables_of,
)
from clew.cli.output import Output, counted, escaped
from clew.cli.progress import Progress, interrupted_hint, new_progress
from clew.cli.tables import print_residue, print_stages, print_variables
from clew.operations.requests import check_request, run_document
from clew.settings import Settings

if TYPE_CHECKING:
    from clew.driving import NotFinished, Outcome

Result = TypeVar("Result")


@click.command()
@click.argument("program")
@variable_options
@bucket_option
@store_options
@format_option("text", "json")
@output_options
def run(
    program: str,
    variables: tuple[str, ...],
    variables_file: str | None,
    buckets: tuple[str, ...],
    store: str | None,
    settings_file: str | None,
    format_: str,
    output: Output,
) -> int:
    """Run a program, and stay until it rests.

    PROGRAM is a file (YAML, JSON or TOML), or module:name for a program in Python. Once the run's id is said,
    the run is on disk: whatever happens then, `clew resume` goes on with it.
    """
    settings = settings_of(store, settings_file, buckets)
    given = variables_of(variables, variables_file)
    from clew.driving import NotFinished, Origin, run_to_rest
    from clew.wiring import load_program, seal, unknown_secrets

    loaded = load_program(program, folder=os.getcwd())
    unknown = unknown_secrets(loaded.program, settings.secrets)
    values = check_request(loaded.program, given, settings.buckets, unknown)
    origin = Origin(loaded.folder, given_buckets(settings, buckets))
    progress = new_progress(output)
    try:
        outcome = _stay(
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
        return _tell_unfinished(error, output)
    document = _document(outcome)
    if format_ == "json":
        output.document(document)
    else:
        _print_outcome(document, output)
    return exits.of_status(outcome.state.status)


@click.command()
@click.argument("run", required=False)
@store_options
@format_option("text", "json")
@output_options
def resume(
    run: str | None, store: str | None, settings_file: str | None, format_: str, output: Output
) -> int:
    """Go on with unfinished runs, or with one that is held.

    Without a RUN all that are unfinished are taken up and driven until they rest; those that wait for a person
    are not. With one, it goes on also where it was held, or its rollback failed.
    """
    settings = settings_of(store, settings_file)
    run_id = _what_to_resume(settings, run, output)
    if run_id is None and run is None:
        if format_ == "json":
            output.document([])
        return exits.DONE
    from clew.driving import resume_to_rest

    progress = new_progress(output)
    work = resume_to_rest(
        settings, run_id if run is not None else None, by=f"cli:{user_name()}", watcher=progress
    )
    try:
        outcomes, failures = _stay(work, progress)
    except KeyboardInterrupt:
        output.talk(interrupted_hint(progress.run_ids))
        return exits.INTERRUPTED
    documents = [_document(outcome) for outcome in outcomes]
    if format_ == "json":
        output.document(documents[0] if run is not None and documents else documents)
    else:
        for document in documents:
            _print_outcome(document, output)
    codes = [exits.of_status(document["status"]) for document in documents]
    codes += [_tell_unfinished(error, output) for error in failures]
    return exits.worst(codes)


def _what_to_resume(settings: Settings, run: str | None, output: Output) -> str | None:
    """The id of the run that is named, or any id if there are unfinished ones. Says so when there are none."""
    from clew.wiring import open_records

    with open_records(settings) as records:
        held = records.held()
        if run is not None:
            return str(records.find(run)["run_id"])
        unfinished = records.unfinished()
    for run_id, status in held:
        output.talk(
            f"run {run_id} is {status}: `clew why {run_id[:16]}` says why, `clew resume {run_id[:16]}` goes on"
        )
    output.talk(f"{counted(len(unfinished), 'unfinished run')}" if unfinished else "no run is unfinished")
    return unfinished[0][0] if unfinished else None


def _stay(work: Awaitable[Result], progress: Progress) -> Result:
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


def _tell_unfinished(error: NotFinished, output: Output) -> int:
    """An orchestrator that ended before its run did."""
    from clew.ports import BucketError, Fenced, StoreError

    cause = error.__cause__
    if cause is not None and not isinstance(cause, (BucketError, Fenced, StoreError, OSError)):
        click.echo("".join(traceback.format_exception(cause)), err=True)  # a mistake of clew's own
    click.echo(f"clew: run {error.run_id} is not finished: {escaped(str(error))}", err=True)
    output.talk(f"next: `clew resume {error.run_id[:16]}` goes on, once the trouble is over")
    return exits.NOT_FINISHED


def _document(outcome: Outcome) -> dict[str, Any]:
    return run_document(outcome.state, outcome.values)


def _print_outcome(document: Mapping[str, Any], output: Output) -> None:
    name = escaped(document["program"])
    output.data(
        f"{output.status(document['status'])}  {output.styled(name, 'bold')}  run {document['run_id']}"
    )
    print_stages(document["stages"], output)
    print_variables(document["variables"], output)
    print_residue(document["residue"], output)
    output.talk(next_step(document["run_id"], document["status"]))


def next_step(run_id: str, status: str) -> str:
    """What a person may want to do next."""
    short = run_id[:16]
    if status == "completed":
        return f"next: `clew show {short}` shows what was done"
    if status in ("held", "rollback_failed"):
        return f"next: `clew why {short}` says what a person must settle"
    return f"next: `clew why {short}` says what went wrong"
