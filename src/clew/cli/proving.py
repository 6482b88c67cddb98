"""`clew replay` and `clew verify`: what the sealed record proves, shown to a person or a program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from clew.cli import exits
from clew.cli.options import format_option, output_options, settings_of, store_options
from clew.cli.output import Output, counted, escaped

if TYPE_CHECKING:
    from clew.operations.proving import Judgement, Prover
    from clew.operations.records import Records

HEAD_SIZE_SHOWN = 16
"""Of a hash's 64 digits: no two of a person's runs share them."""

_EXITS = {
    "sound": exits.DONE,
    "agrees": exits.DONE,
    "tampered": exits.FAILED,
    "differs": exits.FAILED,
    "incomplete": exits.NO_RESULT,
}
_WORST_FIRST = ("tampered", "differs", "incomplete", "sound", "agrees")

_UNPROVED = (
    "not proved: that the world did what a stage said it did; that no whole run was dropped or written anew, hashes "
    "and all, since nothing is signed yet; where a run's code and buckets were, which is not hashed"
)
_NEXT = {
    "tampered": "next: keep this store as it is, and compare it with a backup; `clew show {run}` shows what it tells",
    "incomplete": "next: bring back what could not be read, then `clew verify {run}` again",
    "sound": "next: keep the head of a run elsewhere (`--format json` has it whole): a later one that does not go on "
    "from it shows a run written anew",
    "differs": "next: `clew verify {run}` says whether what is on record was changed",
    "agrees": "next: `clew verify` recomputes the hashes too, which replaying takes for granted",
}


def _which_runs(function: Any) -> Any:
    """RUN or `--all`."""
    function = click.option("--all", "every", is_flag=True, help="Every run of the store.")(function)
    return click.argument("run", required=False)(function)


@click.command()
@_which_runs
@store_options
@format_option("text", "json")
@output_options
def replay(
    run: str | None,
    every: bool,
    store: str | None,
    settings_file: str | None,
    format_: str,
    output: Output,
) -> int:
    """Derive a run's state from its journal again, and say whether the tracker agrees.

    Exit code: 0 agrees, 1 differs, 2 there is no such run.
    """
    if run is None and not every:
        raise click.UsageError("name a run, or say --all")
    _refuse_both(run, every)
    from clew.wiring import open_records

    with open_records(settings_of(store, settings_file)) as records:
        return _judge(records, run, lambda prover: prover.replay, format_, output)


@click.command()
@_which_runs
@store_options
@format_option("text", "json")
@output_options
def verify(
    run: str | None,
    every: bool,
    store: str | None,
    settings_file: str | None,
    format_: str,
    output: Output,
) -> int:
    """Recompute every hash and link of a run: program, plan, journal, payloads; and compare the tracker.

    Without RUN: of every run.

    Exit code: 0 sound, 1 tampered, 2 there is no such run, 3 evidence is incomplete.
    """
    _refuse_both(run, every)
    from clew.wiring import open_records

    with open_records(settings_of(store, settings_file)) as records:
        return _judge(records, run, lambda prover: prover.verify, format_, output, beside=_UNPROVED)


def _refuse_both(run: str | None, every: bool) -> None:
    if run is not None and every:
        raise click.UsageError("either a run or --all")


def _judge(
    records: Records,
    run: str | None,
    how: Callable[[Prover], Callable[[str], Judgement]],
    format_: str,
    output: Output,
    *,
    beside: str = "",
) -> int:
    """Judge the run, or all there are, and say what came of it. Returns the exit code."""
    from clew.operations.proving import Prover

    judge = how(Prover(records))
    run_ids = records.store.run_ids() if run is None else [records.find(run)["run_id"]]
    judgements = _told((judge(run_id) for run_id in run_ids), format_, output)
    if not judgements:
        output.talk("there are no runs in this store")
        output.talk("next: `clew run FILE` makes one")
        return exits.DONE
    worst = min(judgements, key=lambda one: _WORST_FIRST.index(one.verdict))
    if len(judgements) > 1:
        output.talk(_summary(judgements))
    if beside:
        output.talk(beside)
    output.talk(_NEXT[worst.verdict].format(run=worst.run_id))
    return _EXITS[worst.verdict]


def _told(judgements: Iterator[Judgement], format_: str, output: Output) -> list[Judgement]:
    """All of them, a person being told of each as it comes, since a large store takes a while."""
    if format_ == "json":
        listed = list(judgements)
        output.document([_document(one) for one in listed])
        return listed
    listed = []
    for one in judgements:
        listed.append(one)
        output.data(_line(one, output))
        if one.flaw is not None:
            place = one.flaw.where if one.flaw.seq is None else f"{one.flaw.where}, entry {one.flaw.seq}"
            output.data(f"  {place}: {escaped(one.flaw.what)}")
    return listed


def _line(one: Judgement, output: Output) -> str:
    entries = "1 entry" if one.entry_count == 1 else f"{one.entry_count} entries"
    head = f"head {escaped(one.head[:HEAD_SIZE_SHOWN])}"
    return f"{output.status(one.verdict)}  {escaped(one.run_id)}  {one.status}  {entries}  {head}"


def _summary(judgements: list[Judgement]) -> str:
    counts = {
        verdict: sum(1 for one in judgements if one.verdict == verdict) for verdict in reversed(_WORST_FIRST)
    }
    said = ", ".join(f"{verdict} {count}" for verdict, count in counts.items() if count)
    return f"{counted(len(judgements), 'run')}: {said}"


def _document(one: Judgement) -> dict[str, Any]:
    flaw = one.flaw
    return {
        "run_id": one.run_id,
        "verdict": one.verdict,
        "status": one.status,
        "entries": one.entry_count,
        "head": one.head,
        "problem": None if flaw is None else {"where": flaw.where, "seq": flaw.seq, "what": flaw.what},
    }
