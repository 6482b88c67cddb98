"""`clew replay` and `clew verify`: what the sealed record proves, shown to a person or a program."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click
import msgspec

from clew.cli import exits
from clew.cli.documents import erasure_document, erasure_text
from clew.cli.options import format_option, output_options, settings_of, store_options
from clew.cli.output import Output, counted, escaped, moment_json, moment_text

if TYPE_CHECKING:
    from clew.operations.proving import Judgement
    from clew.operations.tree import TreeJudgement

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
    "not proved: that the world did what a stage said it did; {more}where a run's code and buckets were, which is not "
    "hashed"
)
_ONE_ONLY = "that this is the tree which was signed, and that no other run was dropped (--all says more); "
_EXPORT_ONLY = "that this is all that became of the run since the checkpoint in the file was signed; "
_NO_KEY = "that nobody has written the whole store anew, since no key was given (--key); "
_NOT_KEPT = (
    "that nobody who has the signing key has written it anew, as long as no checkpoint was kept elsewhere "
    "(`clew checkpoint`, --since); "
)
_NEXT = {
    "tampered": "next: keep this store as it is, and compare it with a backup; `clew verify {run} --format json` has "
    "all that was found",
    "incomplete": "next: bring back what could not be read, then `clew verify {run}` again",
    "sound": "next: keep a checkpoint elsewhere (`clew checkpoint`): `clew verify --since FILE` then finds what was "
    "dropped or written anew since",
    "differs": "next: `clew verify {run}` says whether what is on record was changed",
    "agrees": "next: `clew verify` recomputes the hashes too, which replaying takes for granted",
}
_NEXT_OF_EXPORT = {
    "tampered": "next: keep this file as it is, and ask whoever made it for another, and to `clew verify` the store",
    "incomplete": "next: ask whoever made the file for what is missing: the key (`clew checkpoint --public-key`), or "
    "an export that has it",
    "sound": "next: keep the file with the key; with `--since` it is compared with a checkpoint that was kept",
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
    from clew.operations.proving import Prover
    from clew.wiring import open_records

    with open_records(settings_of(store, settings_file)) as records:
        prover = Prover(records)
        run_ids = records.store.run_ids() if run is None else [records.find(run)["run_id"]]
        return _said(_told(map(prover.replay, run_ids), format_, output, every=run is None), output)


@click.command()
@_which_runs
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="KEY",
    help="Public key of who signs, or a file with it; usually this installation's own. Repeatable.",
)
@click.option(
    "--since",
    "since",
    multiple=True,
    metavar="FILE",
    help="A checkpoint that was kept elsewhere: all of it has to be there still. Repeatable.",
)
@store_options
@format_option("text", "json")
@output_options
def verify(
    run: str | None,
    every: bool,
    keys: tuple[str, ...],
    since: tuple[str, ...],
    store: str | None,
    settings_file: str | None,
    format_: str,
    output: Output,
) -> int:
    """Recompute every hash and link of a run: program, plan, journal, payloads, its leaves in the tree of all runs; and
    compare the tracker.

    Without RUN: of every run, and that the tree is the one that was signed, and has no run that is gone. RUN may be a
    file that `clew export` has written: then no store is needed, but a key is (--key).

    Exit code: 0 sound, 1 tampered, 2 there is no such run, 3 evidence is incomplete.
    """
    _refuse_both(run, every)
    is_file = run is not None and os.path.isfile(run)
    if run is not None and not is_file and (keys or since):
        raise click.UsageError("--key and --since are about an export, or all runs together: leave out RUN")
    from clew.operations.proving import Prover
    from clew.wiring import open_records
    from clew.wiring.exporting import given_checkpoint, judge_export, judge_whole, keys_of

    settings = settings_of(store, settings_file)
    kept = [given_checkpoint(path) for path in since]
    if run is not None and is_file:
        judged = judge_export(run, keys_of(settings, keys, own=False), kept)
        _told([judged], format_, output, whole={"tree": None})
        output.talk(_UNPROVED.format(more=_EXPORT_ONLY))
        output.talk(_NEXT_OF_EXPORT[judged.verdict])
        return _EXITS[judged.verdict]
    known = keys_of(settings, keys)
    with open_records(settings) as records:
        prover = Prover(records)
        if run is not None:
            found = records.find(run)["run_id"]
            judgements = _told([prover.verify_in_tree(found)], format_, output, whole={"tree": None})
            return _said(judgements, output, beside=_UNPROVED.format(more=_ONE_ONLY))
        tree = judge_whole(settings, records, known, kept, has_to_be_signed=bool(keys))
        runs = (prover.verify(run_id) for run_id in records.store.run_ids())
        judgements = _told(runs, format_, output, whole={"tree": _tree_document(tree)}, every=True)
        if format_ == "text" and (judgements or tree.size):
            output.data(_tree_line(tree, output))
        more = "" if kept and known else _NOT_KEPT if known else _NO_KEY
        verdict = _verdict(tree)
        code = _said(judgements, output, beside=_UNPROVED.format(more=more), besides=verdict)
        return exits.worst([code, _EXITS[verdict]])


def _refuse_both(run: str | None, every: bool) -> None:
    if run is not None and every:
        raise click.UsageError("either a run or --all")


def _said(judgements: list[Judgement], output: Output, *, beside: str = "", besides: str = "sound") -> int:
    """Say what came of it all, `besides` of what is no run. Returns the exit code for the runs."""
    if not judgements and besides == "sound":
        output.talk("there are no runs in this store")
        output.talk("next: `clew run FILE` makes one")
        return exits.DONE
    verdicts = [(one.verdict, one.run_id) for one in judgements]
    verdict, run_id = min([*verdicts, (besides, "--all")], key=lambda one: _WORST_FIRST.index(one[0]))
    if len(judgements) > 1:
        output.talk(_summary(judgements))
    if beside:
        output.talk(beside)
    output.talk(_NEXT[verdict].format(run=run_id))
    return exits.worst(_EXITS[each] for each, _ in verdicts)


def _told(
    judgements: Iterable[Judgement],
    format_: str,
    output: Output,
    *,
    whole: dict[str, Any] | None = None,
    every: bool = False,
) -> list[Judgement]:
    """All of them, a person being told of each as it comes, since a large store takes a while. `whole`: what a
    document has beside the runs; `every`: they are all runs of a store, of which those that were removed are counted
    only."""
    if format_ == "json":
        listed = list(judgements)
        runs = [_document(one) for one in listed]
        output.document(runs if whole is None else {"runs": runs, **whole})
        return listed
    listed = []
    removed = 0
    for one in judgements:
        listed.append(one)
        if every and one.removed_at is not None and one.flaw is None:
            removed += 1
            continue
        output.data(_line(one, output))
        if one.flaw is not None:
            place = one.flaw.where if one.flaw.seq is None else f"{one.flaw.where}, entry {one.flaw.seq}"
            output.data(f"  {place}: {escaped(one.flaw.what)}")
    if removed:
        output.data(
            f"{counted(removed, 'run')} removed, as retention says: the rows that are left agree with the tree"
        )
    return listed


def _tree_line(tree: TreeJudgement, output: Output) -> str:
    root = f"root {tree.root[:HEAD_SIZE_SHOWN]}"
    signed = f"signed up to {tree.signed}" if tree.signed else "not signed"
    how = "" if tree.is_key_given or not tree.signed else ", which no key was given to verify"
    line = f"{output.status(_verdict(tree))}  tree {escaped(tree.origin)}  {_leaves(tree.size)}  {root}  {signed}{how}"
    why = tree.flaw or tree.missing
    return f"{line}\n  tree: {escaped(why)}" if why else line


def _verdict(tree: TreeJudgement) -> str:
    return "tampered" if tree.flaw else "incomplete" if tree.missing else "sound"


def _tree_document(tree: TreeJudgement) -> dict[str, Any]:
    return {"verdict": _verdict(tree), **msgspec.to_builtins(tree)}


def _leaves(count: int) -> str:
    return "1 leaf" if count == 1 else f"{count} leaves"


def _line(one: Judgement, output: Output) -> str:
    entries = "1 entry" if one.entry_count == 1 else f"{one.entry_count} entries"
    head = f"head {escaped(one.head[:HEAD_SIZE_SHOWN])}"
    said = (output.status(one.verdict), escaped(one.run_id), one.status, entries, head)
    line = "  ".join(filter(None, said))  # an export that was changed has no status
    if one.removed_at is not None:
        line += f"\n  {_removed_text(one)}"
    return line if one.erasure is None else f"{line}\n  erased: {erasure_text(one.erasure)}"


def _removed_text(one: Judgement) -> str:
    where = f"its export is {escaped(one.archive)}" if one.archive else "it left no export"
    return (
        f"removed: at {moment_text(one.removed_at)}, as retention says; only its row was held against the tree, and "
        f"{where}"
    )


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
        "erased": erasure_document(one.erasure),
        "removed_at": moment_json(one.removed_at),
        "archive": one.archive,
        "problem": None if flaw is None else {"where": flaw.where, "seq": flaw.seq, "what": flaw.what},
    }
