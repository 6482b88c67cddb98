"""`clew why`: why a run stands where it stands."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Mapping
from typing import Any

import click

from clew.cli.next_steps import next_step, short
from clew.cli.options import format_option, output_options, settings_of, store_options
from clew.cli.output import (
    Output,
    counted,
    escaped,
    escaped_text,
    first_line,
    moment_json,
    moment_text,
    shortened,
    took_text,
    value_text,
)
from clew.cli.sentences import REST_REASONS
from clew.cli.tables import print_residue
from clew.operations.records import stage_of

Json = Any

DETAIL_SIZE_MAX = 8_000
"""Characters of an error's detail (a traceback, say) that a person is shown; `--format json` has the whole."""

_HELD = {
    "code_changed": "the code that it runs is not what its first attempt ran; put that back",
    "code_gone": "the code that it runs is gone; put it back",
    "rollback_failed": "its rollback failed for good; what it did may still be standing",
    "not_undone": "the run would go forward again on top of what it did, which is not undone",
    "changed_since": "somebody else has changed what its rollback would put back; it was left as it is",
}
"""Why a run is held, and what can be done beside telling it something."""

ROLLBACKS_SHOWN_MAX = 40
"""Rollbacks that are listed: most runs have fewer stages, and the items of some would fill screens."""

UNDER_WAY_SHOWN_MAX = 20
"""Lines of what is under way; a stage's thousand items would fill screens."""


@click.command()
@click.argument("run")
@click.option("--probe", is_flag=True, help="Look for what it waits for now.")
@store_options
@format_option("text", "json")
@output_options
def why(
    run: str, probe: bool, store: str | None, settings_file: str | None, format_: str, output: Output
) -> int:
    """Say why a run stands where it stands, or why a program runs or does not.

    Of a RUN: what it waits for, who is in its way, what failed first and what was compared, how undoing went, what is
    left standing. Of a PROGRAM that is live: when it is due next, its window, who paused it, its last runs.
    """
    from clew.operations.circles import circle_of
    from clew.operations.explaining import explanation
    from clew.operations.instructing import unanswered
    from clew.operations.standing import standing_of
    from clew.wiring import open_records
    from clew.wiring import probe as look

    settings = settings_of(store, settings_file)
    now = time.time_ns() // 1_000_000
    with open_records(settings) as records:
        schedule = records.store.schedules.of(run)
        if schedule is not None:
            from clew.cli.explaining_programs import print_program

            return print_program(records, schedule, now, format_, output)
        row = records.find(run)
        history = records.history(row)
        told = {
            **explanation(history),
            **standing_of(records.store, history, records.program_of, now),
            "circle": list(circle_of(records, row["run_id"])),
            "unanswered": unanswered(records, row["run_id"]),
        }
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


_MOMENTS = frozenset({"at", "look_again_at", "since", "retry_at", "until", "scheduled_at", "changes_at"})


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
        if key in ("error", "findings", "schema", "unanswered")
        else _with_moments(item)
        for key, item in value.items()
    }


def _print(told: Mapping[str, Json], output: Output) -> None:
    number = f"  pass {told['pass']}" if told["pass"] > 1 else ""
    output.data(f"{output.status(told['status'])}  {escaped(told['program'])}  run {told['run_id']}{number}")
    _print_standing(told, output)
    if told["circle"]:
        runs = " waits for ".join(short(one) for one in (*told["circle"], told["circle"][0]))
        output.data(f"runs wait for each other: {runs}; cancel or skip one of them, and mend their programs")
    _print_waiting(told, output)
    for one in told["under_way"][:UNDER_WAY_SHOWN_MAX]:
        again = f", tried again at {moment_text(one['retry_at'])}" if one["retry_at"] else ""
        output.data(f"{escaped(one['stage'])} is {one['status']} (attempt {one['attempts']}{again})")
    left = len(told["under_way"]) - UNDER_WAY_SHOWN_MAX
    if left > 0:
        output.data(f"and {left} more")
    for one in told["earlier"]:
        _print_pass(one, output)
        output.data(f"then forward again from block {one['back_to']}")
    _print_pass(told, output)
    if told["held"]:
        _print_held(told, output)
    if told["paused"]:
        output.data()
        output.data(_said("paused", told["paused"]))
    for said in told["unanswered"]:
        output.data()
        reason = f" ({first_line(said['reason'])})" if said.get("reason") else ""
        output.data(f"{escaped(said['by'])} said {said['verb']}{reason}; nobody has taken that up yet")
    print_residue(told["residue"], output, has_passes=told["pass"] > 1)
    _print_what_can_be_told(told, output)
    if told["status"] == "completed":
        before = told["first_error"] or told["earlier"]
        output.data(f"{'' if before else 'nothing is wrong: '}it is completed")
    output.talk(_next(told))


def _print_held(told: Mapping[str, Json], output: Output) -> None:
    held = told["held"]
    at = f" at '{escaped(held['stage'])}'" if held["stage"] else ""
    why = _HELD.get(held["reason"], held["reason"])
    if held["barred_by"]:
        why = f"'{escaped(held['barred_by'])}' has begun and can't be undone, and lies on the way back"
    output.data()
    output.data(f"held for a person{at}: {why}")
    for one in told["rollbacks"]:
        if one["stage"] == held["stage"] and one["error"]:
            _print_detail(one["error"], output)


def _print_detail(error: Mapping[str, Json], output: Output) -> None:
    detail = error.get("detail", "")
    for line in escaped_text(shortened(detail, DETAIL_SIZE_MAX)).splitlines():
        output.data(f"    {line}")


def _print_standing(told: Mapping[str, Json], output: Output) -> None:
    """What keeps it from going on that is no matter of its stages."""
    queued, window, limit = told["queued"], told["window"], told["limit"]
    if told["never_begun"]:
        output.data(f"it was never begun: {REST_REASONS[told['never_begun']]}")
    if queued is not None:
        print_queued(queued, output)
    if window is not None:
        opens = f"opens at {moment_text(window['changes_at'])}" if window["changes_at"] else "never opens"
        output.data(f"its program's window ({window['opens']} to {window['closes']}) is closed; it {opens}")
    if limit is not None:
        whose = f" for '{escaped(limit['stage'])}'" if limit["stage"] else ""
        what = "" if limit["kind"] == "run" else f" of {limit['kind']}"
        output.data(f"its time{what}{whose} is up at {moment_text(limit['at'])}")


def print_queued(queued: Mapping[str, Json], output: Output) -> None:
    """Why a run has no place."""
    places = counted(queued["max_active_runs"], "run")
    rule = "each waits for the one before" if queued["run_order"] == "scheduled" else f"{places} at a time"
    since = f" since {moment_text(queued['since'])}" if queued["since"] else ""
    until = f"; at {moment_text(queued['until'])} it is missed" if queued["until"] else ""
    output.data(f"it waits for a place{since} ({rule}){until}")
    if queued["paused"]:
        output.data(
            "  " + _said("its program is paused", {"reason": queued["paused"]["why"], **queued["paused"]})
        )
    for one in queued["in_the_way"]:
        scheduled = moment_text(one["scheduled_at"])
        output.data(
            f"  in its way: run {short(one['run_id'])} for {scheduled}, {output.status(one['status'])}"
        )
    left = queued["in_the_way_count"] - len(queued["in_the_way"])
    if left > 0:
        output.data(f"  and {left} more")
    if not (queued["in_the_way"] or queued["paused"]):
        output.data("  nobody is in its way: `clew up`, or `clew resume`, gives it its turn")


def _print_waiting(told: Mapping[str, Json], output: Output) -> None:
    for waiting in told["waiting"]:
        output.data()
        name = output.styled(escaped(waiting["stage"]), "bold")
        output.data(f"{name} waits since {moment_text(waiting['since'])}")
        if waiting["inputs"]:
            for one in waiting["inputs"]:
                _print_input(told["run_id"], one, output)
            continue
        look = f"look {waiting['look']}: " if waiting["look"] else ""
        output.data(f"  {look}{escaped(waiting['message'])}")
        if "now" in waiting:
            output.data(f"  now: {waiting['now']['verdict']}  {escaped(waiting['now']['message'])}".rstrip())
        until = f", until {moment_text(waiting['until'])}" if waiting["until"] else ""
        every, at = waiting["every_milliseconds"], waiting["look_again_at"]
        output.data(
            f"  looks again {f'every {took_text(every)}' if every else f'at {moment_text(at)}'}{until}"
        )


def _print_input(run_id: str, one: Mapping[str, Json], output: Output) -> None:
    until = f", until {moment_text(one['until'])}" if one["until"] else ""
    output.data(f"  somebody has to supply '{escaped(one['name'])}'{until}")
    if one["schema"] is not None:
        output.data(f"  as {value_text(one['schema'])} allows")
    output.data(f"  clew supply {short(run_id)} {escaped(one['name'])} VALUE")


def _print_pass(one: Mapping[str, Json], output: Output) -> None:
    """What failed first in a pass, who ended it, and how each rollback went."""
    error, ended_by = one["first_error"], one["ended_by"]
    if not (error or ended_by or one["rollbacks"]):
        return
    output.data()
    if "earlier" not in one or one["earlier"]:
        output.data(output.styled(f"pass {one['pass']}", "bold"))
    if error:
        _print_error(error, output)
    if ended_by:
        if error:
            output.data()
        output.data(_said(_ENDED_BY[ended_by["kind"]], ended_by))
    _print_rollbacks(one, output)


_ENDED_BY = {
    "run_cancelled": "cancelled",
    "run_stopped": "stopped",
    "run_expired": "its time was up",
    "rollback_requested": "rolled back",
    "rewind_requested": "rewound",
}


def _said(what: str, told: Mapping[str, Json]) -> str:
    """What was said, by whom, when, and why."""
    by = f" by {escaped(told['by'])}" if told["by"] else ""
    reason = f": {first_line(told['reason'])}" if told["reason"] else ""
    return f"{what}{by}, at {moment_text(told['at'])}{reason}"


def _print_what_can_be_told(told: Mapping[str, Json], output: Output) -> None:
    if not told["can_be_told"]:
        return
    output.data()
    output.data("what it can be told:")
    commands = []
    for one in told["can_be_told"][:UNDER_WAY_SHOWN_MAX]:
        words = ["clew", one["verb"], short(told["run_id"]), *([one["stage"]] if one["stage"] else [])]
        outputs = "".join(f" --output {escaped(name)}=VALUE" for name in one["outputs"])
        commands.append((shlex.join(words) + outputs, _effect(one["verb"], told)))
    width = max(len(command) for command, _ in commands)
    for command, effect in commands:
        output.data(f"  {command.ljust(width)}  {effect}")


def _effect(verb: str, told: Mapping[str, Json]) -> str:
    is_going_back = told["status"] == "rollback_failed" or (bool(told["held"]) and bool(told["rollbacks"]))
    reason = told["held"]["reason"] if told["held"] else ""
    if verb == "resume":
        if reason == "point_of_no_return" and told["held"]["cause"] != "failure":
            return "goes forward"
        return _RESUMED.get(reason, "goes on")
    if verb == "retry":
        return "tries its rollback again" if is_going_back else "tries it again, with fresh retries"
    if verb == "skip":
        return "goes on without its rollback: what it did stays" if is_going_back else "goes on without it"
    return _EFFECTS[verb]


_RESUMED = {
    "code_changed": "goes on, once the code is what it was",
    "code_gone": "goes on, once the code is there",
    "rollback_failed": "tries the rollback again, and goes on",
    "point_of_no_return": "goes forward: what failed is tried again",
    "not_undone": "goes forward all the same",
    "changed_since": "looks again, and goes on once it is as it was, or as the stage left it",
}
_EFFECTS = {
    "unpause": "goes on",
    "rollback": "undoes what can be undone",
    "cancel": "ends it and undoes what it did",
    "stop": "ends it and undoes nothing",
}


def _next(told: Mapping[str, Json]) -> str:
    run = short(told["run_id"])
    status = told["status"]
    if told["can_be_told"] and status in ("held", "rollback_failed"):
        return "next: tell it one of these"
    if status in ("failed", "rolled_back", "missed") and told["first_error"]:
        return f"next: `clew logs {run}` prints what the attempts wrote"
    if any(not waiting["inputs"] for waiting in told["waiting"]):
        return f"next: `clew why {run} --probe` looks now"
    if any(waiting["inputs"] for waiting in told["waiting"]):
        return f"next: `clew supply {run} NAME VALUE` gives it what it waits for"
    if status in ("queued", "running", "waiting", "rolling_back") or (
        status == "paused" and not told["paused"]
    ):
        return f"next: `clew resume {run}` drives it, if nobody does"
    return next_step(told["run_id"], status, told["cause"])


def _print_error(error: Mapping[str, Json], output: Output) -> None:
    where = f"'{error['stage']}'" if error["stage"] else f"block {error['block']}"
    number = f", attempt {error['attempt']}" if error["attempt"] else ""
    first = "failed first" if error["is_final"] else "failed last, and is tried again"
    output.data(f"{first}: {escaped(where)}{number}, at {moment_text(error['at'])}")
    if error["error"]:
        output.data(f"  {escaped(error['error']['kind'])}: {escaped(error['error']['message'])}")
        _print_detail(error["error"], output)
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
    """In the order of undoing; items that were just rolled back are counted."""
    rollbacks = list(_without_dull_items(told["rollbacks"]))
    if not rollbacks:
        return
    output.data()
    rows = []
    for one in rollbacks[:ROLLBACKS_SHOWN_MAX]:
        error = one["error"]
        message = f"{error['kind']}: {error['message']}" if error else ""
        rows.append(
            (
                str(one["block"]),
                escaped(one["stage"]),
                output.status(one["status"]) + (", given up" if one["given_up"] else ""),
                str(one["attempts"]),
                escaped(shortened(json.dumps(message)[1:-1] if "\n" in message else message, 200)),
            )
        )
    output.table(("BLOCK", "UNDONE", "STATUS", "TRIES", "ERROR"), rows, cut=4)
    if len(rollbacks) > ROLLBACKS_SHOWN_MAX:
        output.data(f"and {len(rollbacks) - ROLLBACKS_SHOWN_MAX} more")


def _without_dull_items(rollbacks: list[Mapping[str, Json]]) -> Iterator[Mapping[str, Json]]:
    """The rollbacks, with one line for all the items of a stage whose rollback worked at once."""
    dull: dict[str, int] = {}
    for one in rollbacks:
        if _is_dull(one):
            dull[stage_of(one["stage"])] = dull.get(stage_of(one["stage"]), 0) + 1
    for one in rollbacks:
        if not _is_dull(one):
            yield one
            continue
        count = dull.pop(stage_of(one["stage"]), 0)
        if count:
            yield {**one, "stage": f"{stage_of(one['stage'])}, {counted(count, 'item')}"}


def _is_dull(one: Mapping[str, Json]) -> bool:
    is_item = stage_of(one["stage"]) != one["stage"]
    return is_item and bool(one["status"] == "rolled_back") and bool(one["attempts"] == 1)
