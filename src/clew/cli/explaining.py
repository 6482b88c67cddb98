"""`clew why`: why a run stands where it stands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from clew.cli.options import format_option, output_options, settings_of, store_options
from clew.cli.output import Output, escaped, escaped_text, moment_json, moment_text, shortened, value_text
from clew.cli.running import next_step
from clew.cli.tables import print_residue

Json = Any

DETAIL_SIZE_MAX = 8_000
"""Characters of an error's detail (a traceback, say) that a person is shown; `--format json` has the whole."""

_HELD = {
    "code_changed": "the code that it runs is not what its first attempt ran: put that back",
    "code_gone": "the code that it runs is gone: put it back",
    "rollback_failed": "its rollback failed for good: what it did may still be standing",
}


@click.command()
@click.argument("run")
@click.option("--probe", is_flag=True, help="Look for what it waits for now.")
@store_options
@format_option("text", "json")
@output_options
def why(
    run: str, probe: bool, store: str | None, settings_file: str | None, format_: str, output: Output
) -> int:
    """Say why a run stands where it stands.

    What it waits for, what failed first and what was compared, how undoing went, what is left standing.
    """
    from clew.operations.explaining import explanation
    from clew.wiring import open_records
    from clew.wiring import probe as look

    settings = settings_of(store, settings_file)
    with open_records(settings) as records:
        row = records.find(run)
        told = explanation(records.history(row))
        if probe:
            answers = look(records, row, settings)
            for waiting in told["waiting"]:
                answer = answers[waiting["stage"]]
                waiting["now"] = {"verdict": answer.verdict, "message": answer.message}
    if format_ == "json":
        output.document(_with_moments(told))
    else:
        _print(told, output)
    return 0


_MOMENTS = frozenset({"at", "look_again_at", "since", "retry_at"})


def _with_moments(value: Json) -> Json:
    """Moments as ISO 8601; what stages gave is left alone."""
    if isinstance(value, list):
        return [_with_moments(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: moment_json(item)
        if key in _MOMENTS
        else item
        if key in ("error", "findings")
        else _with_moments(item)
        for key, item in value.items()
    }


def _print(told: Mapping[str, Json], output: Output) -> None:
    output.data(f"{output.status(told['status'])}  {escaped(told['program'])}  run {told['run_id']}")
    for waiting in told["waiting"]:
        output.data()
        output.data(
            f"{output.styled(escaped(waiting['stage']), 'bold')} waits since {moment_text(waiting['since'])}"
        )
        output.data(f"  look {waiting['look']}: {escaped(waiting['message'])}")
        if "now" in waiting:
            output.data(f"  now: {waiting['now']['verdict']}  {escaped(waiting['now']['message'])}".rstrip())
        output.data(f"  looks again at {moment_text(waiting['look_again_at'])}")
    for one in told["under_way"]:
        again = f", tried again at {moment_text(one['retry_at'])}" if one["retry_at"] else ""
        output.data(f"{escaped(one['stage'])} is {one['status']} (attempt {one['attempts']}{again})")
    _print_error(told["first_error"], output)
    if told["held"]:
        reason = _HELD.get(told["held"]["reason"], told["held"]["reason"])
        output.data()
        output.data(f"held for a person at '{escaped(told['held']['stage'])}': {reason}")
    _print_rollbacks(told, output)
    print_residue(told["residue"], output)
    if told["status"] == "completed":
        output.data("nothing is wrong: it is completed")
    output.talk(_next(told))


def _next(told: Mapping[str, Json]) -> str:
    short = told["run_id"][:16]
    if told["status"] == "completed":
        return next_step(told["run_id"], told["status"])
    if told["status"] in ("held", "rollback_failed"):
        return f"next: once that is settled, `clew resume {short}` goes on"
    if told["status"] in ("failed", "rolled_back"):
        return f"next: `clew logs {short}` prints what the attempts wrote"
    if told["waiting"]:
        return f"next: `clew why {short} --probe` looks now"
    return f"next: `clew resume {short}` drives it, if nobody does"


def _print_error(error: Mapping[str, Json] | None, output: Output) -> None:
    if error is None:
        return
    where = f"'{error['stage']}'" if error["stage"] else f"block {error['block']}"
    number = f", attempt {error['attempt']}" if error["attempt"] else ""
    first = "failed first" if error["is_final"] else "failed last, and is tried again"
    output.data()
    output.data(f"{first}: {escaped(where)}{number}, at {moment_text(error['at'])}")
    if error["error"]:
        output.data(f"  {escaped(error['error']['kind'])}: {escaped(error['error']['message'])}")
        detail = error["error"].get("detail", "")
        for line in escaped_text(shortened(detail, DETAIL_SIZE_MAX)).splitlines():
            output.data(f"    {line}")
    for finding in error["findings"]:
        output.data(f"  {finding_text(finding)}")


def finding_text(finding: Mapping[str, Json]) -> str:
    """A condition, its verdict, what it says and what was compared."""
    said = {"held": "held", "not_held": "did not hold", "error": "could not be told"}[finding["verdict"]]
    message = f": {escaped(finding['message'])}" if finding.get("message") else ""
    compared = finding.get("compared")
    return f"{escaped(finding['condition'])} {said}{message}" + (
        f"  (compared {value_text(compared)})" if compared is not None else ""
    )


def _print_rollbacks(told: Mapping[str, Json], output: Output) -> None:
    if not told["rollbacks"]:
        return
    output.data()
    rows = []
    for one in told["rollbacks"]:
        error = one["error"]
        message = f"{error['kind']}: {error['message']}" if error else ""
        rows.append(
            (
                str(one["block"]),
                escaped(one["stage"]),
                output.status(one["status"]),
                str(one["attempts"]),
                escaped(shortened(json.dumps(message)[1:-1] if "\n" in message else message, 200)),
            )
        )
    output.table(("BLOCK", "UNDONE", "STATUS", "TRIES", "ERROR"), rows, cut=4)
