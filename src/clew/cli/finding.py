"""`clew find`: what the file dependencies of a program match now."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click

from clew.cli import exits
from clew.cli.options import (
    bucket_option,
    format_option,
    output_options,
    settings_of,
    store_options,
    variable_options,
    variables_of,
)
from clew.cli.output import Output, counted, escaped
from clew.operations.requests import refuse_unknown

Json = Any


@click.command()
@click.argument("program")
@variable_options
@bucket_option
@store_options
@format_option("text", "json")
@output_options
def find(
    program: str,
    variables: tuple[str, ...],
    variables_file: str | None,
    buckets: tuple[str, ...],
    store: str | None,
    settings_file: str | None,
    format_: str,
    output: Output,
) -> int:
    """Look for what a program's dependencies match now.

    Of each: what matches, what its groups captured, what was listed, and why this one is chosen, or how near it
    comes. Nothing is run, and nothing is recorded. Ends with 2 when a bucket can't answer.
    """
    settings = settings_of(store, settings_file, buckets)
    given = variables_of(variables, variables_file)
    from clew.wiring import find_files, load_program

    found = load_program(program, folder=os.getcwd()).program
    refuse_unknown(found, given)
    document = find_files(found, given, settings)
    if format_ == "json":
        output.document(document)
    else:
        _print(document["dependencies"], output)
    return exits.WRONG_CALL if any("error" in one for one in document["dependencies"]) else exits.DONE


def _print(dependencies: list[Mapping[str, Json]], output: Output) -> None:
    for one in dependencies:
        output.data(f"{output.styled(escaped(one['name']), 'cyan')}  of {escaped(one['stage'])}")
        for line in match_lines(one):
            output.data(f"  {line}")
    missing = sum(one["match"] is None for one in dependencies)
    unknown = sum("error" in one for one in dependencies)
    looked = f"{counted(len(dependencies), 'file pattern')}, {missing - unknown} of them without a match"
    if unknown:
        looked += f", {unknown} of which nobody knows"
    output.talk(looked if dependencies else "it waits for no files")


MATCHES_SHOWN_MAX = 10
"""Of a list of matches; `--format json` has them all."""


def match_lines(found: Mapping[str, Json]) -> list[str]:
    """What a dependency matches now, for people: the URLs, what was captured, and why."""
    match, captures = found["match"], found["captures"]
    if match is None:
        # That a bucket did not answer says nothing about what is in it.
        what = "not known" if "error" in found else "nothing"
        return [escaped(f"{what}: {found['why']}"), *(escaped(f"  {url}") for url in found["candidates"])]
    urls, each = (match, captures) if isinstance(match, list) else ([match], [captures])
    lines = [
        escaped(url + "".join(f"  {name}={text}" for name, text in captured.items()))
        for url, captured in zip(urls[:MATCHES_SHOWN_MAX], each, strict=False)
    ]
    if len(urls) > MATCHES_SHOWN_MAX:
        lines.append(f"and {len(urls) - MATCHES_SHOWN_MAX} more")
    return [*lines, f"({escaped(found['why'])})"]
