"""The tables of a run that several verbs show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from clew.cli.output import Output, escaped, value_text

Json = Any


def print_stages(stages: Iterable[Mapping[str, Json]], output: Output) -> None:
    """Name, block, status, attempts, outcome of each."""
    rows = [
        (
            str(stage["block"]),
            escaped(stage["name"]),
            output.status(stage["status"]),
            str(stage["attempts"]),
            escaped(stage["outcome"]),
        )
        for stage in stages
    ]
    output.table(("BLOCK", "STAGE", "STATUS", "ATTEMPTS", "OUTCOME"), rows, cut=1)


def print_variables(variables: Mapping[str, Json], output: Output) -> None:
    if variables:
        output.data()
        output.table(
            ("VARIABLE", "VALUE"), [(escaped(n), value_text(v)) for n, v in variables.items()], cut=1
        )


def print_residue(residue: Iterable[Mapping[str, Json]], output: Output) -> None:
    """What is left standing, or may be."""
    rows = [(escaped(item["stage"]), "yes" if item.get("certain") else "perhaps") for item in residue]
    if rows:
        output.data()
        output.table(("LEFT STANDING BY", "CERTAIN"), rows)
