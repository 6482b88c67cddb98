"""`clew backfill`: past times of a program, run on demand, as an object of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from clew.cli import exits
from clew.cli.documents import program_json
from clew.cli.next_steps import short
from clew.cli.options import (
    format_option,
    output_options,
    settings_of,
    store_options,
    user_name,
    variable_options,
    variables_of,
)
from clew.cli.output import Output, counted, escaped, first_line, moment_text
from clew.cli.progress import Progress, new_progress
from clew.cli.running import stay
from clew.core.timing.backfilling import ORDERS, WHICH
from clew.ports import BackfillRow
from clew.settings import Settings

Json = Any
Function = TypeVar("Function", bound=Callable[..., Any])

AT_ONCE_MAX = 1_000
"""Runs of one backfill at the same time: more than any program may have under way as a rule."""

TIMES_SHOWN = 20
"""Times that are shown one by one; `--format json` has more."""


class _Backfill(click.Group):
    """`clew backfill PROGRAM` makes one; `clew backfill list` and the like are about those that there are."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands:
            return "of", self.commands["of"], args
        return super().resolve_command(ctx, args)


@click.command(
    cls=_Backfill, subcommand_metavar="PROGRAM --from TIME --to TIME | list | show | pause | resume | cancel"
)
def backfill() -> None:
    """Run past times of a program, or say something to a backfill.

    `clew backfill PROGRAM --from TIME --to TIME` makes one (`clew backfill of --help` says what it takes), and stays
    until all its runs have settled. `list`, `show ID`, `pause ID`, `resume ID` and `cancel ID` are about those that
    there are.
    """


@backfill.command("of")
@click.argument("program")
@click.option(
    "--from", "start", required=True, metavar="TIME", help="The first time: 2026-03-01, or 2026-03-01T06:00Z."
)
@click.option(
    "--to", "end", required=True, metavar="TIME", help="The last time; a day without a time is meant whole."
)
@click.option("--which", type=click.Choice(WHICH), default="missing", show_default=True,
              help="Times without a run or with a missed one; those whose last run failed; or all.")  # fmt: skip
@click.option(
    "--order", type=click.Choice(ORDERS), default="oldest", show_default=True, help="Which comes first."
)
@click.option("--at-once", type=click.IntRange(1, AT_ONCE_MAX), default=1, show_default=True,
              help="How many of its runs at the same time.")  # fmt: skip
@click.option("--stop-on-failure", is_flag=True, help="Make no more runs once one has not completed.")
@click.option("--live-version", is_flag=True,
              help="Run each by the version that is live then, instead of the one that is live now.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show which times would be run, and do nothing.")
@click.option("--detach", is_flag=True, help="Return once it is on record; `clew up` makes its runs.")
@click.option("--reason", default="", metavar="TEXT", help="Why; it is on record.")
@variable_options
@store_options
@format_option("text", "json")
@output_options
def of(
    program: str,
    start: str,
    end: str,
    which: Any,
    order: Any,
    at_once: int,
    stop_on_failure: bool,
    live_version: bool,
    dry_run: bool,
    detach: bool,
    reason: str,
    variables: tuple[str, ...],
    variables_file: str | None,
    store: str | None,
    settings_file: str | None,
    format_: str,
    output: Output,
) -> int:
    """Run past times of a PROGRAM, each as the next generation of its time.

    PROGRAM is the name of one that the store knows, a file, or module:name. Times are in the program's time zone, or
    with an offset. Nothing of the live schedule is moved by it. Exit code 0 when all its runs have completed.
    """
    from clew.operations.backfills import Wanted, foreseen_document
    from clew.wiring import backfill_store, foresee_backfill, known_program, make_backfill

    settings = settings_of(store, settings_file)
    given = variables_of(variables, variables_file)
    wanted = Wanted(start, end, which, order)
    with backfill_store(settings) as opened:
        known = known_program(opened, program)
        foreseen = foresee_backfill(opened, known, wanted)
        if dry_run:
            return _print_foreseen(
                foreseen_document(known.program, foreseen, wanted, at_once), format_, output
            )
        if not foreseen.plan.times:
            output.talk("there is nothing to run: " + _left(foreseen.plan.left))
            return exits.DONE
        made = make_backfill(
            settings, opened, known, wanted, foreseen, variables=given, at_once=at_once,
            stops_on_failure=stop_on_failure, follows_live=live_version, by=f"cli:{user_name()}", why=reason,
        )  # fmt: skip
    output.talk(
        f"backfill {made.backfill_id} of {escaped(made.program)}: {counted(len(foreseen.plan.times), 'time')}, "
        f"{counted(at_once, 'run')} at a time"
    )
    return _printed(settings, made, format_, output) if detach else _stay(settings, made, format_, output)


def _stay(settings: Settings, made: BackfillRow, format_: str, output: Output) -> int:
    from clew.making_up import backfill_to_rest

    progress = _Progress(new_progress(output), output)
    try:
        row = stay(backfill_to_rest(settings, made.backfill_id, watcher=progress), progress)
    except KeyboardInterrupt:
        its = made.backfill_id
        goes_on = f"`clew backfill resume {its}` goes on"
        if progress.is_driven_elsewhere:
            goes_on = "that process goes on with it"
        output.talk(f"interrupted; {goes_on}, `clew backfill cancel {its}` ends it")
        return exits.INTERRUPTED
    return _printed(settings, row, format_, output)


class _Progress(Progress):
    """Shows the runs as they go on."""

    def __init__(self, shown: Progress, output: Output) -> None:
        super().__init__(output)
        self._shown = shown
        self.recorded = shown.recorded  # type: ignore[method-assign]
        self.during = shown.during  # type: ignore[method-assign]

    def is_beside(self, why: str) -> None:
        self.is_driven_elsewhere = True
        self._output.talk(
            escaped(
                f"{why}: if it is `clew up`, that makes the runs, else this does as soon as nobody drives"
            )
        )

    def is_driven_here(self) -> None:
        self.is_driven_elsewhere = False


@backfill.command("list")
@store_options
@format_option("text", "json")
@output_options
def list_backfills(store: str | None, settings_file: str | None, format_: str, output: Output) -> int:
    """List backfills, the newest first."""
    from clew.operations.backfills import listed
    from clew.wiring import backfill_store

    with backfill_store(settings_of(store, settings_file)) as opened:
        documents = list(listed(opened.backfills.all(), opened))
    if format_ == "json":
        output.document([program_json(one) for one in documents])
    elif documents:
        output.table(
            ("BACKFILL", "PROGRAM", "FROM", "TO", "STATUS", "DONE"),
            [
                (
                    one["backfill_id"], escaped(one["program"]), moment_text(one["from"]), moment_text(one["to"]),
                    output.status(one["status"]), f"{one['count'] - one['to_do']} of {one['count']}",
                )
                for one in documents
            ],
            cut=1,
        )  # fmt: skip
        output.talk(f"next: `clew backfill show {documents[0]['backfill_id']}` shows one of them")
    else:
        output.talk("no backfills")
    return exits.DONE


@backfill.command("show")
@click.argument("backfill_id", metavar="ID")
@store_options
@format_option("text", "json")
@output_options
def show(backfill_id: str, store: str | None, settings_file: str | None, format_: str, output: Output) -> int:
    """Show a backfill: its times, and what came of each."""
    from clew.operations.backfills import find_backfill
    from clew.wiring import backfill_store

    settings = settings_of(store, settings_file)
    with backfill_store(settings) as opened:
        row = find_backfill(opened, backfill_id)
    _printed(settings, row, format_, output, with_times=True)
    return exits.DONE


def _telling(verb: str, about: str) -> None:
    @backfill.command(verb, help=about)
    @click.argument("backfill_id", metavar="ID")
    @click.option("--reason", default="", metavar="TEXT", help="Why; it is on record.")
    @store_options
    @format_option("text", "json")
    @output_options
    def tell(
        backfill_id: str,
        reason: str,
        store: str | None,
        settings_file: str | None,
        format_: str,
        output: Output,
    ) -> int:
        from clew.operations.backfills import change_backfill, find_backfill
        from clew.wiring import backfill_store, now

        settings = settings_of(store, settings_file)
        with backfill_store(settings) as opened:
            row = find_backfill(opened, backfill_id)
            by = f"cli:{user_name()}"
            if (verb, row.status) != ("resume", "running"):  # else somebody has to go on with it, and no more
                change_backfill(opened, row, verb, at=now(), by=by, why=reason)
            row = find_backfill(opened, row.backfill_id)
        if verb == "resume":
            return _stay(settings, row, format_, output)
        _printed(settings, row, format_, output)
        return exits.DONE


_telling("pause", "Make no further run of a backfill until it is resumed; those that are made go on.")
_telling("resume", "Go on with a backfill that is paused, that a failure has stopped, or that nobody drives.")
_telling(
    "cancel", "Make no further run of a backfill, and cancel those that are queued; those that run go on."
)


# ---- printing --------------------------------------------------------------------------------------------


def _print_foreseen(document: Mapping[str, Json], format_: str, output: Output) -> int:
    if format_ == "json":
        times = [program_json({"at": one["time"], "follows": one["follows"]}) for one in document["times"]]
        output.document({**program_json(_range(document)), "times": times})
        return exits.DONE
    output.data(
        f"{escaped(document['program'])}: {counted(document['count'], 'time')} would be run, {document['order']} first"
    )
    for one in document["times"][:TIMES_SHOWN]:
        again = f"  after run {one['follows'][:16]}" if one["follows"] else ""
        output.data(f"  {moment_text(one['time'])}{again}")
    if document["count"] > TIMES_SHOWN:
        output.data(f"  and {document['count'] - TIMES_SHOWN} more")
    if document["left"]:
        output.data(_left(document["left"]))
    output.talk("nothing was done; without --dry-run it is")
    return exits.DONE


def _range(document: Mapping[str, Json]) -> dict[str, Json]:
    """With the ends of the range named as moments are."""
    from clew.cli.output import moment_json

    return {**document, "from": moment_json(document["from"]), "to": moment_json(document["to"])}


def _left(left: Mapping[str, int]) -> str:
    if not left:
        return "no time of it is due in that range"
    return "left as they are: " + ", ".join(f"{count} {status}" for status, count in sorted(left.items()))


def _printed(
    settings: Settings, row: BackfillRow, format_: str, output: Output, *, with_times: bool = False
) -> int:
    """Print how far it has come. Returns the exit code by that."""
    from clew.operations.backfills import backfill_document, ends_with, times_documents
    from clew.wiring import backfill_store

    with backfill_store(settings) as opened:
        document = backfill_document(opened, row)
        times = times_documents(opened, row) if with_times else []
    if format_ == "json":
        more = (
            {"times": [program_json({**one, "at": one.pop("time")}) for one in times]} if with_times else {}
        )
        output.document({**program_json(_range(document)), **more})
    else:
        _print_document(document, times, output)
        output.talk(_next_step(document))
    return exits.worst(map(exits.of_status, ends_with(document["status"], document["runs"])))


def _next_step(document: Mapping[str, Json]) -> str:
    its = document["backfill_id"]
    if document["unsettled"]:
        run, status = document["unsettled"][0]["run_id"], document["unsettled"][0]["status"]
        return f"next: `clew why {short(run)}` says why a run of it is {status}; `clew backfill resume {its}` goes on"
    if document["status"] in ("running", "paused", "stopped"):
        return f"next: `clew backfill resume {its}` goes on, `clew backfill cancel {its}` ends it"
    return f"next: `clew backfill show {its}` shows its times, and what came of each"


def _print_document(document: Mapping[str, Json], times: list[Json], output: Output) -> None:
    name = output.styled(escaped(document["program"]), "bold")
    output.data(f"{output.status(document['status'])}  {name}  backfill {document['backfill_id']}")
    version = document["version"][:12] if document["version"] else "that is live when each is made"
    output.data(
        f"{moment_text(document['from'])} to {moment_text(document['to'])}, {document['which']}, {document['order']} "
        f"first, {document['at_once']} at a time, by the version {version}"
    )
    done = ", ".join(f"{count} {status}" for status, count in document["runs"].items()) or "none yet"
    output.data(f"{counted(document['count'], 'time')}: {done}; {document['to_do']} to do")
    for what in ("made", "changed"):
        said = document[what]
        if what == "made" or said["at"] != document["made"]["at"]:
            why = f": {first_line(said['why'])}" if said["why"] else ""
            output.data(f"{what} by {escaped(said['by'])}, at {moment_text(said['at'])}{why}")
    for one in times[:TIMES_SHOWN]:
        run = f"run {one['run_id'][:16]}  {output.status(one['status'])}" if one["run_id"] else "to do"
        output.data(f"  {moment_text(one['time'])}  {run}")
    if len(times) > TIMES_SHOWN:
        output.data(f"  and {document['count'] - TIMES_SHOWN} more")
