"""What a person tells a run: `clew cancel`, `stop`, `pause`, `unpause`, `retry`, `skip`, `supply`, `rollback`,
`rewind`.

What is told is looked at first: what the run can't obey is refused at once. Those that undo show what they will
undo, and ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from clew.cli import exits
from clew.cli.documents import erasure_document
from clew.cli.foretelling import ask, lines_of
from clew.cli.next_steps import next_step_of, short
from clew.cli.options import (
    format_option,
    output_options,
    settings_of,
    store_options,
    user_name,
    value_of,
    variables_of,
)
from clew.cli.output import Output, escaped
from clew.cli.progress import new_progress
from clew.cli.running import print_outcome, stay, tell_unfinished
from clew.core.program.model import Json
from clew.core.running.instructions import Instruction, Verb
from clew.operations.instructing import APPLIED_AT_ONCE, UNDOING, checked_instruction, ends_of, foreseen
from clew.operations.records import erasure_by
from clew.operations.requests import RequestError, run_document
from clew.settings import Settings

Function = TypeVar("Function", bound=Callable[..., Any])

ENDING: frozenset[Verb] = frozenset({"cancel", "stop"})
"""These say in the end whether all that ran was seen to end."""

REACHED: Mapping[Verb, frozenset[str]] = {
    "cancel": frozenset({"rolled_back"}),
    "rollback": frozenset({"rolled_back"}),
    "stop": frozenset({"failed"}),
}
"""The statuses in which the run is as it was told to be."""


def _options(function: Function) -> Function:
    function = output_options(format_option("text", "json")(store_options(function)))  # type: ignore[assignment]
    return click.option("--reason", default="", metavar="TEXT", help="Why; it stands in the journal.")(
        function
    )


def no_wait_option(function: Function) -> Function:
    """Whether the run is stayed with: `--no-wait`."""
    return click.option("--no-wait", is_flag=True,
                        help="Return once the run has obeyed (5 if it does not rest yet).")(function)  # fmt: skip


def _undoing(function: Function) -> Function:
    function = click.option("--yes", is_flag=True, help="Do it without asking.")(no_wait_option(function))
    return click.option("--dry-run", is_flag=True, help="Show what would be undone, and do nothing.")(
        function
    )


@click.command()
@click.argument("run")
@_undoing
@_options
def cancel(**given: Any) -> int:
    """End a RUN and undo what it did.

    No further stage begins, what runs is ended, and all is rolled back to the start. The verb ends when that has
    been done, or can't be, and says whether all that ran was seen to end. Exit code 0 when all is undone, 1 when
    something is left standing, 4 when a person is needed.
    """
    return tell("cancel", **given)


@click.command()
@click.argument("run")
@no_wait_option
@_options
def stop(**given: Any) -> int:
    """End a RUN and undo nothing: what it did stays, and is its residue.

    No further stage begins, and what runs is ended. The verb says whether it was seen to end. `clew rollback` may
    undo it later.
    """
    return tell("stop", **given)


@click.command()
@click.argument("run")
@_options
def pause(run: str, **given: Any) -> int:
    """Begin no further stage of a RUN, and let those finish that run; or run a PROGRAM no more when it is due.

    A RUN stays paused, also while nobody drives it, until `clew unpause`. Times at which a PROGRAM is due while it is
    paused are skipped, and on record as such; runs of it that are under way go on.
    """
    return _pause_program(run, "pause", **given) if _is_program(run, **given) else tell("pause", run, **given)


@click.command()
@click.argument("run")
@no_wait_option
@_options
def unpause(run: str, **given: Any) -> int:
    """Go on with a RUN that is paused, or run a PROGRAM again when it is due.

    Nothing is caught up of what was skipped meanwhile; `clew backfill` does, if that is wanted.
    """
    if _is_program(run, **given):
        del given["no_wait"]
        return _pause_program(run, "unpause", **given)
    return tell("unpause", run, **given)


@click.command()
@click.argument("run")
@click.argument("stage")
@no_wait_option
@_options
def retry(**given: Any) -> int:
    """Try a failed STAGE of a held RUN, or its failed rollback, again, with fresh retries.

    The RUN comes first, then the STAGE, or one item of it: `clew retry RUN STAGE[3]`.
    """
    return tell("retry", **given)


@click.command()
@click.argument("run")
@click.argument("stage")
@click.option("--output", "outputs", multiple=True, metavar="NAME=VALUE",
              help="What the stage would have given: JSON, or else text. Repeatable.")  # fmt: skip
@no_wait_option
@_options
def skip(outputs: tuple[str, ...], **given: Any) -> int:
    """Go on with a held RUN without the STAGE that it waits for, or without its rollback.

    The RUN comes first, then the STAGE. Outputs that other stages need are given in its place. What a rollback
    would have undone is left standing.
    """
    return tell("skip", values=variables_of(outputs, None, option="--output"), **given)


@click.command()
@click.argument("run")
@click.argument("name")
@click.argument("value", required=False)
@click.option("--file", "file", metavar="FILE", help="The value is what the file holds: JSON, or else text.")
@_options
def supply(name: str, value: str | None, file: str | None, **given: Any) -> int:
    """Give a RUN the input NAME that it waits for, or will: VALUE is JSON, or else text."""
    return tell("supply", values={name: value_of(value, file)}, **given)


@click.command()
@click.argument("run")
@_undoing
@_options
def rollback(**given: Any) -> int:
    """Undo what a RUN did that is completed, failed, held or paused.

    It goes back to the start, or down to a point of no return if there is one. Exit code 0 when all is undone, 1
    when something is left standing, 4 when a person is needed.
    """
    return tell("rollback", **given)


@click.command()
@click.argument("run")
@click.option(
    "--to", "stage", required=True, metavar="STAGE", help="Back to and including the block of this stage."
)
@_undoing
@_options
def rewind(**given: Any) -> int:
    """Undo what a RUN did back to a stage, and go forward again from there, with fresh retries."""
    return tell("rewind", **given)


def _is_program(name: str, store: str | None, settings_file: str | None, **given: Any) -> bool:
    """Whether it names a program that is, or was, live in the store."""
    from clew.wiring import open_records

    with open_records(settings_of(store, settings_file)) as records:
        return records.store.schedules.of(name) is not None


def _pause_program(
    program: str,
    verb: str,
    store: str | None,
    settings_file: str | None,
    format_: str,
    output: Output,
    reason: str,
) -> int:
    from clew.wiring import pause_program

    settings = settings_of(store, settings_file)
    document = pause_program(
        settings, program, is_paused=verb == "pause", by=f"cli:{user_name()}", why=reason
    )
    if format_ == "json":
        output.document(document)
    elif verb == "pause":
        output.data(f"{output.status('paused')}  {output.styled(escaped(program), 'bold')}")
        output.talk("due times are skipped from now on; runs that are under way go on")
        output.talk(f"next: `clew unpause {escaped(program)}` goes on, without catching anything up")
    else:
        output.data(f"{output.styled(escaped(program), 'bold')} runs again when it is due")
        output.talk(f"next: `clew why {escaped(program)}` shows when, and what was skipped")
    return exits.DONE


def tell(
    verb: Verb,
    run: str,
    store: str | None,
    settings_file: str | None,
    format_: str,
    output: Output,
    reason: str,
    stage: str = "",
    values: Mapping[str, Json] | None = None,
    yes: bool = False,
    dry_run: bool = False,
    no_wait: bool = False,
    unsafe_store: bool = False,
) -> int:
    """Tell the run so, once it is known that it can obey and, where something is undone, that it is meant."""
    settings = settings_of(store, settings_file, unsafe_store=unsafe_store)
    instruction = Instruction(verb, f"cli:{user_name()}", reason, stage, values or {})
    run_id, instruction, undoes = _look_ahead(settings, run, instruction)
    if undoes is not None:
        if dry_run:
            return _print_foreseen(undoes, format_, output)
        if not yes:
            ask(undoes, output)
    from clew.driving import Refused, instruct_run
    from clew.following import NotFinished

    progress = new_progress(output)
    stays = verb not in APPLIED_AT_ONCE and not no_wait
    try:
        outcome = stay(instruct_run(settings, run_id, instruction, stays=stays, watcher=progress), progress)
    except Refused as error:
        raise RequestError(f"run {run_id}: {error}") from error
    except KeyboardInterrupt:
        output.talk(
            f"interrupted; what was said stands: `clew show {short(run_id)}` shows whether it was obeyed"
        )
        return exits.INTERRUPTED
    except NotFinished as error:
        return tell_unfinished(error, output)
    document = run_document(outcome.state, outcome.values)
    ends = _ends(settings, run_id) if verb in ENDING else None
    if verb == "erase":
        document["erased"] = erasure_document(erasure_by(outcome.state.erased))
    if format_ == "json":
        output.document(document if ends is None else {**document, "ends": ends})
    else:
        _print_told(document, ends, stays, progress.is_driven_elsewhere, output)
    if verb in APPLIED_AT_ONCE or document["status"] in REACHED.get(verb, ()):
        return exits.DONE
    return exits.of_status(document["status"])


def _look_ahead(
    settings: Settings, run: str, instruction: Instruction
) -> tuple[str, Instruction, Mapping[str, Any] | None]:
    """The run's id, the instruction as the run is told it, and what it would undo as things are now. Raises
    RequestError when the run can't obey."""
    from clew.wiring import open_records

    with open_records(settings) as records:
        row = records.find(run)
        history = records.course(row) if instruction.verb == "erase" else records.history(row)
        instruction = checked_instruction(history, instruction)
        undoes = None
        if instruction.verb in UNDOING:
            undoes = foreseen(history, instruction.verb, instruction.stage)
        return history.state.run_id, instruction, undoes


def _ends(settings: Settings, run_id: str) -> list[dict[str, Any]] | None:
    from clew.wiring import open_records

    with open_records(settings) as records:
        return ends_of(records.history(records.find(run_id)))


def _print_foreseen(undoes: Mapping[str, Any], format_: str, output: Output) -> int:
    if format_ == "json":
        output.document(undoes)
        return exits.DONE
    for line in lines_of(undoes, output):
        output.data(line)
    output.talk("nothing was done; without --dry-run it is, once you have said yes")
    return exits.DONE


def _print_told(
    document: Mapping[str, Any],
    ends: Sequence[Mapping[str, Any]] | None,
    stays: bool,
    is_driven: bool,
    output: Output,
) -> None:
    if stays:
        print_outcome(document, output, with_next_step=False)
    else:
        status, name = output.status(document["status"]), output.styled(escaped(document["program"]), "bold")
        erased = "; what it and its stages have said is erased" if document.get("erased") else ""
        output.data(f"{status}  {name}  run {document['run_id']}{erased}")
    if ends is not None:
        print_ends(ends, output)
    output.talk(next_step_of(document, is_driven=is_driven))


def print_ends(ends: Sequence[Mapping[str, Any]], output: Output) -> None:
    """Whether all that ran was seen to end: a run is not called ended on trust."""
    output.data()
    unseen = [one for one in ends if not one["is_seen"]]
    if not ends:
        output.data("nothing was under way")
    elif not unseen:
        output.data("all that was under way was seen to end")
    for one in unseen:
        attempt = f"{escaped(one['stage'])}, attempt {one['attempt']}"
        if not one["outcome"]:
            output.data(f"not waited for: {attempt}, which was told to end")
            continue
        why = f" ({escaped(one['error']['message'])})" if one["error"] else ""
        output.data(f"not confirmed: {attempt}, was not seen to end{why}, and may act still")
