"""`clew up`: programs run when they are due, and all runs of the store are driven, until this is told to end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from clew.cli import exits
from clew.cli.options import bucket_option, output_options, settings_of, store_options, unsafe_option
from clew.cli.output import Output, clock_text, counted, escaped, first_line, moment_text
from clew.cli.sentences import Said, sentence
from clew.core.program.model import Program
from clew.core.program.problems import ProgramError
from clew.core.running import entries as kinds
from clew.core.running.entries import Entry
from clew.core.running.state import RunState

if TYPE_CHECKING:
    from clew.core.program.program_places import ProgramPlace
    from clew.core.timing.schedule import DueTime
    from clew.serving import OpenFace
    from clew.settings import Settings

GRACE = "30 seconds"
"""How long what runs may take to end once this process is told to: as long as supervisors wait before they kill."""

_TOLD = (
    kinds.RunCreated, kinds.RunTaken, kinds.StageFailed, kinds.RollbackPlanned, kinds.RunHeld, kinds.RunPaused,
    kinds.RunUnpaused, kinds.RunCancelled, kinds.RunStopped, kinds.RunExpired, kinds.RunSettled, kinds.WindowClosed,
    kinds.WindowOpened, kinds.PlaceGiven,
)  # fmt: skip
"""What is said of a run without --verbose: how it begins, what goes wrong, how it ends."""


_NOT_RUN = {
    "missed": "further back than the backfill window",
    "skipped": "the program was paused",
}
"""Why due times are put on record without being run."""


class Talk:
    """Says on standard error what happens (see `serving.ServiceWatcher`)."""

    def __init__(self, output: Output, *, is_verbose: bool) -> None:
        self._output = output
        self._is_verbose = is_verbose
        self._is_ready = False

    def recorded(self, entry: Entry, state: RunState, said: Said) -> None:
        if not (self._is_verbose or isinstance(entry.body, _TOLD)):
            return
        if isinstance(entry.body, kinds.RunTaken) and not state.launched_at and not self._is_verbose:
            return  # it was queued, and begins only now
        stage, happened = sentence(entry, state.program, said)
        if isinstance(entry.body, kinds.PlaceGiven) and entry.at == state.launched_at:
            happened = f"begins, for {moment_text(state.run_time)}"
        about = f"{stage}: " if stage else ""
        name = escaped(state.program.program.name)
        self._say(f"{name}  {entry.run[:16]}  {about}{happened}", at=clock_text(entry.at))

    def went_live(self, program: Program, version: str, source: str, next_due: int | None) -> None:
        if not self._is_ready and not self._is_verbose:
            return  # a line each for what has not changed helps nobody
        when = "on request only" if program.cadence is None else "never due again"
        if next_due is not None:
            when = f"next {moment_text(next_due)}"
        self._say(f"{escaped(program.name)}  live as version {version[:12]}, {when}")

    def retired(self, program: str) -> None:
        self._say(f"{escaped(program)}  not live any more; its runs stay")

    def is_wrong(self, source: str, error: Exception, live: str) -> None:
        from clew.cli.output import listed_problems

        if isinstance(error, ProgramError):
            text = listed_problems(error.problems)
        else:
            text = "\n".join(escaped(line) for line in str(error).splitlines())
        self._output.talk(text)
        if source:
            goes_on = f"{escaped(live)} goes on as it was" if live else "nothing of it is used"
            self._say(f"{escaped(source)}  has mistakes: {goes_on}")

    def removed(self, count: int) -> None:
        self._say(f"{counted(count, 'run')} removed, as retention says")

    def is_doubtful(self, what: str) -> None:
        self._say(escaped(what))

    def settled(self, program: str, times: Sequence[DueTime]) -> None:
        for verdict, why in _NOT_RUN.items():
            its = [each.at for each in times if each.verdict == verdict]
            if its:
                span = moment_text(its[0]) + (f" to {moment_text(its[-1])}" if len(its) > 1 else "")
                self._say(f"{escaped(program)}  {counted(len(its), 'due time')} {verdict}: {why} ({span})")

    def leaves_alone(self, what: str, why: Exception) -> None:
        self._say(f"{escaped(what)}  is left alone: {first_line(str(why))}")

    def is_taken_over(self, run_id: str, why: Exception) -> None:
        self._say(f"run {run_id[:16]}  is taken over: {first_line(str(why))}")

    def is_ready(self, count: int) -> None:
        self._is_ready = True
        self._say(f"{counted(count, 'program')} live; Ctrl-C ends this")

    def is_reached_at(self, address: str) -> None:
        self._say(f"API at {address}/api/v1")

    def drains(self, count: int) -> None:
        waits = f"waiting for {counted(count, 'attempt')}" if count else "nothing is under way"
        self._say(f"ending: nothing further begins, {waits}; once more ends at once")

    def _say(self, text: str, at: str | None = None) -> None:
        self._output.talk(f"{at or clock_text(time.time_ns() // 1_000_000)}  {text}")


@click.command()
@click.argument("places", nargs=-1, metavar="[PLACE]...")
@click.option("--grace", default=GRACE, metavar="TIME", show_default=True,
              help="How long what runs may take when this is told to end.")  # fmt: skip
@click.option("-v", "--verbose", is_flag=True, help="Say everything that happens to runs.")
@bucket_option
@store_options
@unsafe_option
@output_options
def up(
    places: tuple[str, ...],
    grace: str,
    verbose: bool,
    buckets: tuple[str, ...],
    store: str | None,
    settings_file: str | None,
    unsafe_store: bool,
    output: Output,
) -> int:
    """Run programs when they are due, and drive all runs of the store, until told to end.

    A PLACE is a program file, a folder of them, module:name, or the URL of a bucket's folder; without any, the setting
    `programs` names them, and git repositories too. What changes there is live at once, or when the place is read
    again; what has mistakes is told, and leaves what was live as it was. SIGTERM or Ctrl-C ends it: nothing further
    begins, and what runs may finish; a second one ends it at once. Nothing is lost either way.
    """
    from clew.core.program.durations import read_duration
    from clew.core.program.program_places import unknown_bucket
    from clew.serving import Ends, serve

    settings = settings_of(store, settings_file, buckets, unsafe_store=unsafe_store)
    try:
        grace_seconds = max(read_duration(grace), 0) / 1000
    except ValueError as error:
        raise click.UsageError(f"--grace {grace}: {error}") from error
    found = [_place(place) for place in places] or settings.programs
    if not found:
        hint = 'name a PLACE, such as a folder of program files, or set programs = ["programs"] in clew.toml'
        raise click.UsageError(f"there are no programs to run: {hint}")
    problem = unknown_bucket(found, settings.buckets)
    if problem is not None:
        raise click.UsageError(problem)
    talk = Talk(output, is_verbose=verbose)

    async def served() -> None:
        ends = Ends()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ends.tell)
        await serve(
            settings,
            found,
            grace_seconds=grace_seconds,
            watcher=talk,
            ends=ends,
            open_face=_open_face(settings),
        )

    # A supervisor that reads what is said reads it when it is said.
    sys.stderr.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    asyncio.run(served())
    return exits.DONE


def _open_face(settings: Settings) -> OpenFace | None:
    from clew.settings import OFF

    if settings.api.listen == OFF:
        return None
    from clew.api.opening import open_api
    from clew.cli.log_lines import log_lines

    log_lines()
    return open_api


def _place(text: str) -> ProgramPlace:
    from clew.core.program.program_places import LocalPlace, PlaceMistake, read_place

    if os.path.exists(text):
        return LocalPlace(os.path.abspath(text))
    try:
        return read_place(text, os.getcwd())
    except PlaceMistake as mistake:
        raise click.UsageError(f"PLACE: {mistake}") from None  # the text might hold a password
