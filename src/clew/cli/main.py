"""`clew`: finds the verb and loads only that one, and turns how it ended into an exit code."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, NamedTuple

import click

from clew.cli import exits


class Verb(NamedTuple):
    """Where a verb is found, and its line in the list of verbs, so that listing loads none."""

    module: str
    about: str


VERBS = {
    "run": Verb("running", "Run a program, and stay until it rests."),
    "up": Verb("serving", "Run programs when they are due, until told to end."),
    "backfill": Verb("backfilling", "Run past times of a program."),
    "resume": Verb("resuming", "Go on with unfinished runs, or with one that is held."),
    "cancel": Verb("telling", "End a run and undo what it did."),
    "stop": Verb("telling", "End a run and undo nothing."),
    "pause": Verb("telling", "Begin no further stage of a run, or run a program no more."),
    "unpause": Verb("telling", "Go on with a run, or a program, that is paused."),
    "retry": Verb("telling", "Try a failed stage, or its failed rollback, again."),
    "skip": Verb("telling", "Go on without a stage, or without its rollback."),
    "supply": Verb("telling", "Give a run an input that it waits for."),
    "rollback": Verb("telling", "Undo what a run did, also a completed one."),
    "rewind": Verb("telling", "Undo back to a stage, and go forward again from there."),
    "erase": Verb("erasing", "Erase what a settled run and its stages have said, for good."),
    "runs": Verb("listing", "List runs, newest first."),
    "show": Verb("showing", "Show a run: its stages, their times, values and journal."),
    "logs": Verb("logs", "Print what a run's attempts wrote."),
    "why": Verb("explaining", "Say why a run stands where it stands."),
    "programs": Verb("programs", "List the programs that are live, and when each is due next."),
    "plan": Verb("programs", "Show what a program would do, without running anything."),
    "next": Verb("timing", "Show when a program is due next, and why."),
    "prev": Verb("timing", "Show when a program was due before."),
    "find": Verb("finding", "Look for what a program's dependencies match now."),
    "rehearse": Verb("rehearsing", "Prove a program's rollbacks in a scratch copy of its world."),
    "check": Verb("programs", "Find every mistake in program files."),
    "schema": Verb("programs", "Print the JSON Schema of program files."),
    "doctor": Verb("diagnosing", "Say whether the store is sound, and who drives its runs."),
    "replay": Verb("proving", "Derive runs from their journals again, and compare."),
    "verify": Verb("proving", "Recompute every hash, link and signature of runs."),
    "export": Verb("exporting", "Write a run as one file that anybody can verify."),
    "token": Verb("tokens", "Say who may ask a server of this store, and for what."),
    "checkpoint": Verb("checkpoints", "Print what the tree of all runs is now, signed."),
}
"""In the order of the list of verbs."""


class Verbs(click.Group):
    """The verbs by name, each loaded when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = VERBS.get(cmd_name)
        if verb is None:
            return None
        command: click.Command = getattr(import_module(f"clew.cli.{verb.module}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in VERBS and not args[0].startswith("-"):
            from clew.core.program.problems import nearest

            hint = nearest(args[0], VERBS) or "`clew --help` lists them"
            raise click.UsageError(f"there is no verb '{args[0]}'; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, verb.about) for name, verb in VERBS.items()])


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"clew {version('clew')}")
        ctx.exit()


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="VERB ...",
    epilog="A RUN is a run's id, the beginning of one, or a run's name. `clew VERB --help` says what a verb takes. "
    "Exit codes: 0 done; 1 failed, something is left standing (verify: tampered); 2 wrong call, nothing was done; "
    "3 ended without result, nothing is left standing; 4 a person is needed; 5 not finished; 130 interrupted.",
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
              help="Print the version.")  # fmt: skip
def clew() -> None:
    """Durable programs made of stages, which know their order by their data and how to undo what they did."""


def main() -> None:
    """The command line of this process."""
    code = call(sys.argv[1:])
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        # What blocks yet, since a bucket does not answer, is wanted by nobody any more, and Python would wait for it.
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def call(words: Sequence[str]) -> int:
    """Do what the words say. Returns the exit code."""
    try:
        code: Any = clew.main(list(words), prog_name="clew", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else exits.DONE
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help(), err=True)
        return exits.WRONG_CALL
    except click.ClickException as error:
        error.show()
        return exits.WRONG_CALL
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return exits.INTERRUPTED
    except BrokenPipeError:
        # Whoever read has read enough. Python would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.DONE
    except Exception as error:
        told = _told(error)
        if told is None:
            raise
        click.echo(told, err=True)
        from clew.ports import CommitUnknown, FlushFailed, StoreTaken

        may_hold = isinstance(error, (CommitUnknown, FlushFailed, StoreTaken))
        return exits.NOT_FINISHED if may_hold else exits.WRONG_CALL


def _told(error: Exception) -> str | None:
    """What to say of an error that is no mistake of clew's own; None for any other."""
    from clew.core.program.problems import ProgramError
    from clew.operations.requests import RequestError
    from clew.ports import BucketError, SigningKeyError, StoreError
    from clew.settings import SettingsError

    if isinstance(error, ProgramError):
        from clew.cli.output import listed_problems

        return listed_problems(error.problems)
    if isinstance(error, (RequestError, StoreError, SettingsError, BucketError, SigningKeyError)):
        from clew.cli.output import escaped

        return "\n".join(f"clew: {escaped(line)}" for line in str(error).splitlines())
    return None
