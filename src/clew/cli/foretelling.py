"""What `cancel`, `rollback` and `rewind` would undo, shown before it is done, and asked about."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from clew.cli.next_steps import short
from clew.cli.output import Output, counted, escaped
from clew.operations.records import stage_of
from clew.operations.requests import RequestError

Json = Any

NAMES_SHOWN_MAX = 12
"""Stages on a line: more than most blocks have."""

_ENDED = {
    "failed": "failed",
    "timed_out": "ran out of time",
    "cancelled": "was ended",
    "unknown": "may have acted",
}
"""What is said of a stage that has not just completed, beside its name."""

_LEFT = {
    "undeclared": "it declares no rollback",
    "impossible": "it can't be undone",
    "beyond": "what came after it can't be undone",
    "given_up": "its rollback was given up",
    "earlier": "left by an earlier pass",
}
"""Why something is not undone."""


def lines_of(foreseen: Mapping[str, Json], output: Output) -> Iterator[str]:
    """What would be done (see `operations.instructing.foreseen`), as a person reads it."""
    stream = sys.stdout
    run = f"run {foreseen['run_id']} of {escaped(foreseen['program'])}"
    yield f"{output.styled(foreseen['verb'], 'bold')}  {run}, {output.status(foreseen['status'], stream=stream)}"
    for heading, texts in _parts(foreseen):
        for at, text in enumerate(texts):
            label = heading if at == 0 else ""
            yield f"  {output.styled(label.ljust(9), 'dim')}{escaped(text)}"


def _parts(foreseen: Mapping[str, Json]) -> Iterator[tuple[str, Sequence[str]]]:
    under_way = {one["stage"] for one in foreseen["ends"]}
    yield "ends", [_listed(foreseen["ends"], under_way)] if under_way else []
    undoes = [f"block {block['index']}  {_listed(block['stages'], under_way)}" for block in foreseen["undo"]]
    if foreseen["barred_by"]:
        undoes = [f"nothing: '{foreseen['barred_by']}' has begun and can't be undone"]
    yield "undoes", undoes or ["nothing: as things are now there is nothing to undo"]
    yield "leaves", list(_left(foreseen["residue"]))
    yield "then", list(_then(foreseen))


def _listed(stages: Sequence[Mapping[str, Json]], under_way: set[str]) -> str:
    """Names with how each ended; the items of a stage are counted."""
    told: dict[str, str] = {}
    items: dict[str, int] = {}
    for one in stages:
        whole = stage_of(one["stage"])
        if whole != one["stage"]:
            items[whole] = items.get(whole, 0) + 1
        how = "under way" if one["stage"] in under_way else _ENDED.get(one.get("outcome", ""), "")
        told.setdefault(whole, f" ({how})" if how and "outcome" in one else "")
    names = [
        f"{name}, {counted(items[name], 'item')}" if name in items else f"{name}{told[name]}" for name in told
    ]
    left = len(names) - NAMES_SHOWN_MAX
    return "; ".join(names[:NAMES_SHOWN_MAX]) + (f" and {left} more" if left > 0 else "")


def _left(residue: Sequence[Mapping[str, Json]]) -> Iterator[str]:
    by_stage: dict[tuple[str, str], int] = {}
    for item in residue:
        key = (stage_of(item["stage"]), item["why"])
        by_stage[key] = by_stage.get(key, 0) + (stage_of(item["stage"]) != item["stage"])
    for (name, why), count in by_stage.items():
        items = f", {counted(count, 'item')}" if count else ""
        yield f"{name}{items}: {_LEFT[why]}"


def _then(foreseen: Mapping[str, Json]) -> Iterator[str]:
    run = short(foreseen["run_id"])
    if foreseen["barred_by"]:
        yield f"the run is held for a person; `clew why {run}` says what can be done then"
    elif foreseen["again"]:
        if foreseen["becomes"] == "held":
            yield f"the run is held, for what is left; when it is settled, `clew resume {run}` goes on"
        names = foreseen["again"]
        left = len(names) - NAMES_SHOWN_MAX
        more = f" and {left} more" if left > 0 else ""
        yield f"forward again from block {foreseen['to']}: {'; '.join(names[:NAMES_SHOWN_MAX])}{more}"
        if foreseen["becomes"] == "paused":
            yield f"the run is still paused then; `clew unpause {run}` goes on"
    elif foreseen["becomes"] == "failed":
        yield "the run is failed, since something is left standing"
    else:
        yield "the run is rolled_back, with nothing left standing"


def ask(foreseen: Mapping[str, Json], output: Output) -> None:
    """Show what would be done, and have it confirmed. Raises RequestError where it is not, or nobody can be asked."""
    verb, run = foreseen["verb"], short(foreseen["run_id"])
    for line in lines_of(foreseen, output):
        output.talk(line)
    nobody = (
        f"`clew {verb}` undoes what was done, and nobody can be asked here: nothing was done; "
        "--yes does it, --dry-run shows it only"
    )
    confirm(f"{verb} run {run}? [y/N]: ", output, nobody=nobody)


def confirm(question: str, output: Output, *, nobody: str) -> None:
    """Have it confirmed that something is meant. Raises RequestError where it is not, or `nobody` can be asked."""
    if not sys.stdin.isatty():
        raise RequestError(nobody)
    try:
        is_meant = _confirmed(question)
    except (click.Abort, KeyboardInterrupt):
        output.talk("\nnothing was done")
        raise
    if not is_meant:
        raise RequestError("nothing was done")


def _confirmed(question: str) -> bool:
    """Whether a person at the terminal says yes; the end of what they type is no. Not by click, whose question goes
    through `input`: that clears a Ctrl-C which comes while it flushes, and takes the next line for an answer."""
    while True:
        click.echo(question, nl=False, err=True)
        answer = sys.stdin.readline().strip().lower()
        if answer in ("y", "yes"):
            return True
        if answer in ("", "n", "no"):
            return False
        click.echo("Answer y or n.", err=True)
