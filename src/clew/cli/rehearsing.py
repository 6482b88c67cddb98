"""`clew rehearse`: a program's rollbacks, proved in a scratch world."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

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
from clew.cli.output import Output, counted, escaped, shortened
from clew.cli.progress import Progress
from clew.cli.running import stay
from clew.operations.requests import RequestError

if TYPE_CHECKING:
    from clew.rehearsing.judging import Fault, Verdict
    from clew.rehearsing.rehearsal import Rehearsed
    from clew.rehearsing.scenarios import Scenario
    from clew.rehearsing.worlds import Change

Json = Any

CHANGES_SHOWN_MAX = 20
"""Of what one rollback left; `--format json` has all."""

ALSO_SHOWN_MAX = 3
"""Scenarios beside the first in which a rollback left the same."""

_SIZE = re.compile(r"(\d+) ?(k|m|g)?(?:i?b)?", re.ASCII | re.IGNORECASE)


@click.command()
@click.argument("program")
@variable_options
@bucket_option
@click.option("--stage", "stages", multiple=True, metavar="NAME", help="Fail this stage only. Repeatable.")
@click.option("--recorded", metavar="RUN", help="Commands without a double give what they gave in that run.")
@click.option("--limit", metavar="SIZE", help="How much may be copied, such as 500 MB.")
@click.option(
    "--time", "time_", metavar="DURATION", help="How long one scenario may take, such as 5 minutes."
)
@click.option("--keep", is_flag=True, help="Leave the scratch folder, with every scenario's files and logs.")
@store_options
@format_option("text", "json")
@output_options
def rehearse(
    program: str,
    variables: tuple[str, ...],
    variables_file: str | None,
    buckets: tuple[str, ...],
    stages: tuple[str, ...],
    recorded: str | None,
    limit: str | None,
    time_: str | None,
    keep: bool,
    store: str | None,
    settings_file: str | None,
    format_: str,
    output: Output,
) -> int:
    """Prove a program's rollbacks in a scratch copy of its world.

    PROGRAM is a file, a folder with one, or module:name. Each stage is failed on purpose, before and after it acts and
    as if it had been lost; so is each rollback, and each is run twice. Whatever does not come back to what it was is
    named, with the stage that left it. Buckets and databases are copied; PROGRAM.rehearsal.toml beside the program says
    what stands in for the rest. Nothing outside the scratch folder is touched.

    Exit codes: 0 all is as before, 1 something is not, 2 something has no double, or can't be rehearsed.
    """
    settings = settings_of(store, settings_file, buckets)
    given = variables_of(variables, variables_file)
    sys.dont_write_bytecode = True  # not even that beside the program
    from clew.rehearsing.copying import COPY_SIZE_MAX
    from clew.rehearsing.playing import SCENARIO_SECONDS
    from clew.rehearsing.rehearsal import Asked, rehearse

    asked = Asked(
        source=program,
        folder=os.getcwd(),
        variables=given,
        stages=stages,
        size_max=COPY_SIZE_MAX if limit is None else _size(limit),
        scenario_seconds=SCENARIO_SECONDS if time_ is None else _seconds(time_),
        keep=keep,
        recorded=recorded or "",
    )
    try:
        found = stay(rehearse(settings, asked, output.talk), Progress(output))
    except KeyboardInterrupt:
        output.talk("interrupted; nothing outside the scratch folder was touched")
        return exits.INTERRUPTED
    if format_ == "json":
        output.document(_document(found))
    else:
        _print(found, output)
    return exits.FAILED if _is_wrong(found.verdict) else exits.DONE


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise RequestError(f"--limit {text}: must be a size, such as 500 MB")
    return int(match[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[(match[2] or "").lower()]


def _seconds(text: str) -> float:
    from clew.core.program.durations import read_duration

    try:
        milliseconds = read_duration(text)
    except ValueError as error:
        raise RequestError(f"--time {text}: {error}") from error
    if milliseconds <= 0:
        raise RequestError(f"--time {text}: must be some time, such as 5 minutes")
    return milliseconds / 1000


def _is_wrong(verdict: Verdict) -> bool:
    """A rollback did not work, or one that should have been tried could not be."""
    return bool(verdict.faults) or any(one.is_wrong for one in verdict.unrehearsed)


# ---- as text ---------------------------------------------------------------------------------------------


def _print(found: Rehearsed, output: Output) -> None:
    for title, kinds, is_of_stage in (
        ("the stage fails", ("before", "after", "crash", "halfway"), True),
        ("all is done, then rolled back", ("once", "before", "after", "crash", "halfway", "twice"), False),
    ):
        shown = [one for one in found.scenarios if bool(one.stage) is is_of_stage]
        headings = [kind for kind in kinds if any(one.kind == kind for one in shown)]
        output.data(output.styled(title, "bold"))
        rows = [
            (escaped(stage), *(_cell(marks, stage, kind, shown, output) for kind in headings))
            for stage, marks in found.verdict.marks.items()
            if any(marks.values()) and (not is_of_stage or any(one.stage == stage for one in shown))
        ]
        output.table(("STAGE", *(_HEADINGS[is_of_stage, kind] for kind in headings)), rows, cut=0)
        output.data()
    for faults in _grouped(found.verdict.faults):
        _print_faults(faults, output)
    _print_rest(found.verdict, output)
    scenarios = counted(len(found.scenarios), "scenario")
    output.talk(f"{scenarios} in {found.seconds:.0f} s; nothing outside the scratch folder was touched")
    if found.kept:
        output.talk(f"kept: {found.kept}")
    elif found.verdict.faults:
        output.talk(
            "next: mend the rollback; --keep leaves the scratch folder, with the logs of every attempt"
        )


_HEADINGS = {
    (True, "before"): "BEFORE IT ACTS",
    (True, "after"): "AFTER IT ACTED",
    (True, "crash"): "LOST",
    (True, "halfway"): "LOST HALFWAY",
    (False, "once"): "ONCE",
    (False, "before"): "FAILS BEFORE",
    (False, "after"): "FAILS AFTER",
    (False, "crash"): "LOST",
    (False, "halfway"): "LOST HALFWAY",
    (False, "twice"): "TWICE",
}

_WORST_FIRST = ("left", "failed", "back")


def _cell(
    marks: Mapping[Scenario, str], stage: str, kind: str, shown: Iterable[Scenario], output: Output
) -> str:
    """The worst mark of the stage's rollback in the scenarios of that column."""
    found = {marks[one] for one in shown if one.kind == kind and one.stage in ("", stage)}
    worst = next((mark for mark in _WORST_FIRST if mark in found), "")
    return output.status(worst) if worst else "–"


def _grouped(faults: Iterable[Fault]) -> Iterator[list[Fault]]:
    """Those of one stage that left the same, or failed alike, together."""
    groups: dict[Any, list[Fault]] = {}
    for fault in faults:
        kinds = tuple(sorted({(change.sign, change.kind, change.place) for change in fault.left}))
        groups.setdefault((fault.stage, kinds, fault.error.kind if fault.error else ""), []).append(fault)
    yield from groups.values()


def _print_faults(faults: list[Fault], output: Output) -> None:
    first = faults[0]
    whose = f"the rollback of '{first.stage}'" if first.stage else "nobody knows whose rollback"
    what = "does not bring the world back" if first.left else "fails"
    output.data(output.styled(escaped(f"{whose} {what}, when {_when(first.scenario)}:"), "red"))
    _print_changes(first.left, output)
    if first.error is not None:
        output.data(f"    it failed: {escaped(shortened(f'{first.error.kind}: {first.error.message}', 400))}")
    others = faults[1 : 1 + ALSO_SHOWN_MAX]
    for fault in others:
        output.data(f"    also when {escaped(_when(fault.scenario))}")
    if len(faults) - 1 > len(others):
        output.data(f"    and in {counted(len(faults) - 1 - len(others), 'more scenario')}")
    output.data()


def _print_changes(changes: tuple[Change, ...], output: Output) -> None:
    for change in changes[:CHANGES_SHOWN_MAX]:
        output.data(f"    {escaped(str(change))}")
    if len(changes) > CHANGES_SHOWN_MAX:
        output.data(f"    and {counted(len(changes) - CHANGES_SHOWN_MAX, 'more change')}")


_DECLARED = {
    "undeclared": "declares no rollback",
    "none": "says that it leaves nothing to undo",
    "impossible": "says that it can't be undone",
}


def _print_rest(verdict: Verdict, output: Output) -> None:
    for residue in verdict.residue:
        output.data(escaped(f"'{residue.stage}' {_DECLARED[residue.declared]}, and leaves:"))
        _print_changes(residue.left, output)
        output.data()
    for one in verdict.unrehearsed:
        output.data(escaped(f"not rehearsed: {one.what}: {one.why}"))
    if not verdict.faults:
        output.data("every rollback that was rehearsed brings the world back")


def _when(scenario: Scenario) -> str:
    """What went wrong, as part of a sentence."""
    stage, kind, commands = scenario.stage, scenario.kind, scenario.commands
    who = f"'{stage}'" if stage else "each rollback"
    again = "" if stage else " and is tried again"
    match kind:
        case "before":
            return f"{who} fails before it acts{again}"
        case "after":
            return f"{who} fails after it acted{again}"
        case "crash":
            return f"{who} is lost after it acted{again or ', and its outcome unknown'}"
        case "halfway":
            return f"{who} is lost after {counted(commands, 'command')}{again or ', and its outcome unknown'}"
        case "twice":
            return "each rollback is run twice"
        case _:
            return "all is done and then rolled back"


# ---- as JSON ---------------------------------------------------------------------------------------------


def _document(found: Rehearsed) -> dict[str, Json]:
    verdict = found.verdict
    return {
        "program": found.program.name,
        "is_proved": not _is_wrong(verdict),
        "scenarios": [_scenario(one) for one in found.scenarios],
        "stages": [
            {
                "name": stage.name,
                "rollback": stage.rollback.kind,
                "marks": [
                    {**_scenario(scenario), "mark": mark}
                    for scenario, mark in verdict.marks[stage.name].items()
                    if mark
                ],
            }
            for stage in found.program.stages
        ],
        "faults": [
            {
                "stage": fault.stage,
                **{f"scenario_{name}": value for name, value in _scenario(fault.scenario).items()},
                "when": _when(fault.scenario),
                "left": [_change(change) for change in fault.left],
                "error": None
                if fault.error is None
                else {"kind": fault.error.kind, "message": fault.error.message},
            }
            for fault in verdict.faults
        ],
        "residue": [
            {"stage": one.stage, "declared": one.declared, "left": [_change(change) for change in one.left]}
            for one in verdict.residue
        ],
        "not_rehearsed": [{"what": one.what, "why": one.why} for one in verdict.unrehearsed],
        "kept": found.kept or None,
    }


def _scenario(scenario: Scenario) -> dict[str, Json]:
    return {"kind": scenario.kind, "stage": scenario.stage, "commands": scenario.commands}


def _change(change: Change) -> dict[str, Json]:
    return {
        "sign": change.sign,
        "kind": change.kind,
        "place": change.place,
        "was": change.was,
        "now": change.now,
        "times": change.times,
        "text": str(change),
    }
