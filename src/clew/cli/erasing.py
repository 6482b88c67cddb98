"""`clew erase`: what a run and its stages have said is gone for good, and on record as gone."""

from __future__ import annotations

from typing import Any

import click

from clew.cli.next_steps import short
from clew.cli.options import format_option, output_options, settings_of, store_options
from clew.cli.output import Output, escaped
from clew.cli.telling import tell

WHAT_GOES = (
    "what was asked for, every result, output, error and finding, with their salts",
    "what people have told the run, but that they did; its logs on this machine",
    "its large payloads, and the objects that were kept for its rollbacks",
)
DUE_SHOWN_MAX = 1_000
"""Of what is to be deleted: more is not looked through for one run."""

WHAT_STAYS = "the journal, which says that it was erased, by whom, when, and why; and all proofs of it"


@click.command()
@click.argument("run")
@click.option("--payloads", is_flag=True, help="What the run and its stages have said, with its logs.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@click.option("--reason", default="", metavar="TEXT", help="Why; it stands in the journal.")
@store_options
@format_option("text", "json")
@output_options
def erase(
    run: str,
    payloads: bool,
    yes: bool,
    reason: str,
    store: str | None,
    settings_file: str | None,
    format_: str,
    output: Output,
) -> int:
    """Erase what a settled RUN and its stages have said, for good.

    The journal and all proofs stay, and say by whom it was erased, when and why. A rollback that needs what is gone is
    refused from then on, and so is a rewind. Exit code 2 where the run has not settled: nothing was done then.
    """
    if not payloads:
        raise click.UsageError("say what is to be erased: --payloads")
    if not yes:
        _ask(_run_of(run, store, settings_file), output)
    told: dict[str, Any] = {"store": store, "settings_file": settings_file, "format_": format_}
    code = tell("erase", run, output=output, reason=reason, **told)
    if _has_objects_left(run, store, settings_file):
        output.talk(
            "its objects and logs are not deleted yet: whoever drives the runs of this store next does it"
        )
    return code


def _has_objects_left(run: str, store: str | None, settings_file: str | None) -> bool:
    from clew.wiring import open_records

    with open_records(settings_of(store, settings_file)) as records:
        run_id = records.find(run)["run_id"]
        return any(due.run_id == run_id for due in records.store.removals.objects_due(0, DUE_SHOWN_MAX))


def _run_of(run: str, store: str | None, settings_file: str | None) -> str:
    """The run's id. Raises RequestError when what it said can't be erased."""
    from clew.core.running.instructions import Instruction
    from clew.operations.instructing import checked_instruction
    from clew.wiring import open_records

    with open_records(settings_of(store, settings_file)) as records:
        history = records.course(records.find(run))
        checked_instruction(history, Instruction("erase", ""))
        return history.state.run_id


def _ask(run_id: str, output: Output) -> None:
    from clew.cli.foretelling import confirm

    output.talk(f"of run {run_id} this goes for good:")
    for each in WHAT_GOES:
        output.talk(f"  {each}")
    output.talk(f"this stays: {WHAT_STAYS}")
    nobody = "`clew erase` asks first, and nobody can be asked here: nothing was done; --yes does it"
    confirm(f"erase this of run {escaped(short(run_id))}? [y/N]: ", output, nobody=nobody)
