"""`clew plan`, `clew check`, `clew programs`, `clew schema`: programs, looked at without running them."""

from __future__ import annotations

import os
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
from clew.cli.output import Output, counted, escaped, moment_text
from clew.core.program.problems import Problem, ProgramError, written
from clew.operations.requests import refuse_unknown


@click.command()
@click.argument("program")
@variable_options
@bucket_option
@store_options
@format_option("text", "json", "mermaid")
@output_options
def plan(
    program: str,
    variables: tuple[str, ...],
    variables_file: str | None,
    buckets: tuple[str, ...],
    store: str | None,
    settings_file: str | None,
    format_: str,
    output: Output,
) -> int:
    """Show what a program would do, without running anything.

    Its blocks, who feeds whom, commands with what is known filled in, what is undone and in which order, the
    secrets it needs, and what changed since the version that ran last.
    """
    settings = settings_of(store, settings_file, buckets)
    given = variables_of(variables, variables_file)
    from clew.wiring import describe_plan, load_program

    found = load_program(program, folder=os.getcwd()).program
    refuse_unknown(found, given)
    document = describe_plan(found, given, settings)
    if format_ == "json":
        output.document(document)
    elif format_ == "mermaid":
        from clew.cli.plans import mermaid

        output.data(mermaid(document))
    else:
        from clew.cli.plans import print_plan

        print_plan(document, output)
        output.talk(f"next: `clew run {program}` runs it")
    return exits.DONE


@click.command()
@click.argument("programs", nargs=-1, required=True, metavar="PROGRAM...")
@format_option("text", "json")
@output_options
def check(programs: tuple[str, ...], format_: str, output: Output) -> int:
    """Find every mistake in program files.

    Each on a line: where it is, what is wrong, and what would be right.
    """
    from clew.wiring import load_program

    problems: list[Problem] = []
    names: dict[str, str] = {}
    for source in programs:
        try:
            found = load_program(source, folder=os.getcwd()).program
        except ProgramError as error:
            problems += error.problems
            continue
        first = names.setdefault(found.name, source)
        if first != source:
            what = f"the program '{found.name}' is in {first} already"
            problems.append(Problem(("name",), what, "give one of them another name"))
    if format_ == "json":
        output.document([_problem_document(problem) for problem in problems])
    else:
        for problem in problems:
            output.data(escaped(str(problem)))
        checked = counted(len(programs), "program")
        output.talk(
            f"{checked}: {counted(len(problems), 'problem')}" if problems else f"{checked}: no problems"
        )
    return exits.WRONG_CALL if problems else exits.DONE


def _problem_document(problem: Problem) -> dict[str, Any]:
    place = problem.place
    return {
        "file": place.file if place else None,
        "line": place.line if place else None,
        "column": place.column if place else None,
        "path": written(problem.path),
        "what": problem.what,
        "hint": problem.hint,
    }


@click.command()
@store_options
@format_option("text", "json")
@output_options
def programs(store: str | None, settings_file: str | None, format_: str, output: Output) -> int:
    """List the programs that are live in the store: when each is due next, and whether it is paused."""
    from clew.cli.documents import program_json
    from clew.wiring import list_programs

    found = list_programs(settings_of(store, settings_file))
    if format_ == "json":
        output.document([program_json(one) for one in found])
        return exits.DONE
    if not found:
        output.talk("no program is live; `clew up` makes programs live")
        return exits.DONE
    rows = [
        (
            escaped(one["program"]),
            one["version"][:12],
            "paused" if one["paused"] else "on request" if one["cadence"] is None else
            "never again" if one["next"] is None else moment_text(one["next"]),
            escaped("; or ".join(one["cadence"] or ())),
            escaped(one["source"]),
        )
        for one in found
    ]  # fmt: skip
    output.table(("PROGRAM", "VERSION", "NEXT", "CADENCE", "SOURCE"), rows, cut=4)
    output.talk(f"next: `clew why {escaped(found[0]['program'])}` says more of one of them")
    return exits.DONE


@click.command()
@output_options
def schema(output: Output) -> int:
    """Print the JSON Schema of program files, by which editors complete and check them."""
    from clew.wiring import program_schema

    output.document(program_schema())
    return exits.DONE
