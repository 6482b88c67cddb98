"""The tables of a run that several verbs show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clew.cli.output import Output, escaped, value_text

Json = Any

ITEMS_SHOWN_MAX = 20
"""Items of a stage that `clew show` lists, and lines of what is left standing: as many as one reads through.
`--format json` has all."""

ITEMS_SHOWN_BESIDE_MAX = 5
"""Items that are listed where they are not what was asked for."""

_DULL = frozenset({"completed", "pending", "rolled_back", "cancelled"})
"""The statuses of items that need not be looked at one by one."""


def print_stages(stages: Sequence[Mapping[str, Json]], output: Output) -> None:
    """Name, block, status, attempts, outcome of each, and of its items; the pass where there was more than one."""
    has_passes = are_of_passes(stages)
    rows: list[tuple[str, ...]] = []
    for stage in stages:
        number = (str(stage["pass"]),) if has_passes else ()
        rows.append((str(stage["block"]), *number, escaped(stage["name"]), *_how_it_stands(stage, output)))
        items, others = chosen_items(stage.get("items") or (), ITEMS_SHOWN_BESIDE_MAX)
        blank = ("", *("" for _ in number))
        rows += [(*blank, f"  [{item['item']}]", *_how_it_stands(item, output)) for item in items]
        if others:
            rows.append((*blank, *others, "", ""))
    headings = ("BLOCK", *(("PASS",) if has_passes else ()), "STAGE", "STATUS", "ATTEMPTS", "OUTCOME")
    output.table(headings, rows, cut=2 if has_passes else 1)


def _how_it_stands(one: Mapping[str, Json], output: Output) -> tuple[str, str, str]:
    return output.status(one["status"]), str(one["attempts"]), escaped(one["outcome"])


def are_of_passes(stages: Iterable[Mapping[str, Json]]) -> bool:
    """Whether there was more than one pass, so that it has to be said which one is meant."""
    return any(stage["pass"] > 1 for stage in stages)


def chosen_items(
    items: Sequence[Mapping[str, Json]], count_max: int
) -> tuple[list[Mapping[str, Json]], tuple[str, ...]]:
    """So many of the items, in order: those that say something rather than those that just came to a good end or
    are still to come. And how many others there are, counted by status, in words."""
    if len(items) <= count_max:
        return list(items), ()
    by_weight = sorted(range(len(items)), key=lambda at: items[at]["status"] in _DULL)
    shown = sorted(by_weight[:count_max])
    left = Counter(items[at]["status"] for at in by_weight[count_max:])
    listed = ", ".join(f"{count} {status}" for status, count in left.items())
    return [items[at] for at in shown], (f"  and {sum(left.values())} more", listed)


def print_variables(variables: Mapping[str, Json], output: Output) -> None:
    if variables:
        output.data()
        output.table(
            ("VARIABLE", "VALUE"), [(escaped(n), value_text(v)) for n, v in variables.items()], cut=1
        )


def print_residue(residue: Sequence[Mapping[str, Json]], output: Output, *, has_passes: bool) -> None:
    """What is left standing, or may be; and the pass that left it, where there was more than one."""
    if not residue:
        return
    rows = [
        (
            escaped(item["stage"]),
            "yes" if item["certain"] else "perhaps",
            *((str(item["pass"]),) if has_passes else ()),
        )
        for item in residue[:ITEMS_SHOWN_MAX]
    ]
    output.data()
    output.table(("LEFT STANDING BY", "CERTAIN", *(("PASS",) if has_passes else ())), rows)
    if len(residue) > ITEMS_SHOWN_MAX:
        output.data(f"and {len(residue) - ITEMS_SHOWN_MAX} more")
