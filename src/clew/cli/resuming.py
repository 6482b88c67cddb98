"""`clew resume`: unfinished runs are taken up and driven from here; one that is held is told to go on."""

from __future__ import annotations

import click

from clew.cli import exits
from clew.cli.next_steps import short
from clew.cli.options import format_option, output_options, settings_of, store_options, unsafe_option
from clew.cli.output import Output, counted
from clew.cli.progress import interrupted_hint, new_progress
from clew.cli.running import print_outcome, stay, tell_unfinished
from clew.cli.telling import no_wait_option, tell
from clew.core.running.statuses import NEEDS_PERSON, PAUSED, SETTLED
from clew.operations.requests import RequestError, run_document
from clew.settings import Settings


@click.command()
@click.argument("run", required=False)
@click.option(
    "--reason", default="", metavar="TEXT", help="Why a held run goes on; it stands in the journal."
)
@no_wait_option
@store_options
@unsafe_option
@format_option("text", "json")
@output_options
def resume(
    run: str | None,
    reason: str,
    no_wait: bool,
    store: str | None,
    settings_file: str | None,
    unsafe_store: bool,
    format_: str,
    output: Output,
) -> int:
    """Go on with unfinished runs, or with one that is held.

    Without a RUN all that are unfinished are taken up and driven until they rest; those that wait for a person
    are not, unless somebody has told them something: they are listed with what goes on with them. With a RUN, that
    one is taken up. One that is held, or whose rollback failed, goes on: what failed is tried again.
    """
    settings = settings_of(store, settings_file, unsafe_store=unsafe_store)
    if run is None:
        if reason or no_wait:
            raise click.UsageError("--reason and --no-wait are for a RUN that is held; name it")
        if not _has_unfinished(settings, output):
            if format_ == "json":
                output.document([])
            return exits.DONE
    elif _is_held(settings, run, is_told=bool(reason or no_wait)):
        return tell(
            "resume",
            run,
            store,
            settings_file,
            format_,
            output,
            reason,
            no_wait=no_wait,
            unsafe_store=unsafe_store,
        )
    return _drive(settings, run, format_, output)


def _drive(settings: Settings, run: str | None, format_: str, output: Output) -> int:
    from clew.driving import resume_to_rest
    from clew.wiring import open_records

    run_id = None
    if run is not None:
        with open_records(settings) as records:
            run_id = records.find(run)["run_id"]
    progress = new_progress(output)
    try:
        outcomes, failures = stay(resume_to_rest(settings, run_id, watcher=progress), progress)
    except KeyboardInterrupt:
        output.talk(interrupted_hint(progress.run_ids))
        return exits.INTERRUPTED
    documents = [run_document(outcome.state, outcome.values) for outcome in outcomes]
    if format_ == "json":
        output.document(documents[0] if run is not None and documents else documents)
    else:
        for document in documents:
            print_outcome(document, output)
    codes = [exits.of_status(document["status"]) for document in documents]
    codes += [tell_unfinished(error, output) for error in failures]
    return exits.worst(codes)


def _has_unfinished(settings: Settings, output: Output) -> bool:
    """Whether there are runs to take up, or to be told what somebody has said before. Says how many, and which are left
    to people."""
    from clew.wiring import open_records

    with open_records(settings) as records:
        left, unfinished, told = records.left_to_people(), records.unfinished(), records.told()
    for run_id, status in left:
        if run_id in told:
            continue
        verb = "unpause" if status == PAUSED else "resume"
        output.talk(
            f"run {run_id} is {status}: `clew why {short(run_id)}` says why, `clew {verb} {short(run_id)}` goes on"
        )
    if unfinished or not told:
        output.talk(f"{counted(len(unfinished), 'unfinished run')}" if unfinished else "no run is unfinished")
    if told:
        output.talk(f"what was said to {counted(len(told), 'run')} has not been taken up yet")
    return bool(unfinished or told)


def _is_held(settings: Settings, run: str, *, is_told: bool) -> bool:
    """Whether a person's word is needed. Raises RequestError where it is another one, or there is nothing to do."""
    from clew.wiring import open_records

    with open_records(settings) as records:
        row = records.find(run)
        is_paused = row["status"] == PAUSED and records.is_paused_by_person(row["run_id"])
    run_id, status = row["run_id"], row["status"]
    if status in SETTLED:
        raise RequestError(f"run {run_id} is {status}: there is nothing to resume")
    if is_paused:
        raise RequestError(f"run {run_id} is paused: `clew unpause {short(run_id)}` goes on")
    if status in NEEDS_PERSON:
        return True
    if is_told:
        raise RequestError(f"run {run_id} is {status}, not held: --reason and --no-wait are for one that is")
    return False
