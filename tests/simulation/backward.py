"""What entries do to the plain model on the way back and at its end, and what must hold before each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.simulation.forward import INTERRUPTIONS_FREE, outcome_is_true
from tests.simulation.model import DONE, OPEN, Run
from tests.simulation.telling import Told
from tests.simulation.units import Left, Unit

from clew.core.running.fold_back import INTERRUPTED

CAUSES = {
    "failure": "failure", "cancelled": "cancelled", "expired": "expired", "rollback": "requested",
    "rewind": "requested",
}  # fmt: skip
"""What is said beside the status, by what ended the way forward."""


def _run_taken(told: Told) -> None:
    """The epoch changes, and nothing else. Of a settled run only when somebody has told it something."""
    waiting = told.witness.sayings.waiting_of(told.run.run_id)
    told.check(not told.run.settled or waiting, "it was settled, and nobody had said anything")


def _stage_cancelled(told: Told) -> None:
    run, stage = told.run, told.unit
    told.check(run.is_going_back, "nothing ends its way forward")
    told.check(not any(unit.in_flight for unit in stage.units), "it has something in flight")
    told.check(any(unit.status in OPEN for unit in (stage, *stage.units)), f"it is {stage.status}")
    run.end_items(stage)
    if stage.status != "failed":
        run.move(stage, "cancelled")


# ---- what is to be undone --------------------------------------------------------------------------------


def _rollback_planned(told: Told) -> None:
    run, body = told.run, told.body
    told.check(run.ending, "nothing ends its way forward")
    told.check(not run.held, f"the run is held ({run.held})")
    in_flight = [unit.name for unit in run.units.values() if unit.in_flight or unit.rollback_in_flight]
    told.check(not in_flight, f"{in_flight} are in flight")
    told.check(not any(stage.status in OPEN for stage in run.of_level(run.level)), "its block is not ended")
    way = run.way
    told.check(not way.is_barred, f"block {run.barrier} can't be undone, and lies before {way.to}")
    said = (body.get("to", 1), body.get("forward", False))
    told.check(said == (way.to, way.forward), f"it goes back to {said}, and should to {way}")
    declared_by = body.get("declared_by", "")
    told.check(
        declared_by in (way.declared_by or {""}), f"{declared_by} says so, it should be {way.declared_by}"
    )
    told.check(body["cause"] == CAUSES[run.ending], f"{body['cause']} for {run.ending}")
    if run.planned is not None:
        told.check(run.goes_on and not run.not_undone_in_turn, "the way back before this one is not done")
        told.note("ended on a partial way back")
    _plan(told)
    run.goes_back_to, run.goes_on, run.cause = way.to, way.forward, body["cause"]
    failed = [stage for stage in run.of_level(run.level) if stage.status == "failed"]
    if declared_by:
        run.returns[declared_by] += 1
        told.note("returned by rollback.to")
    elif any(stage.pretend.stage.rollback.to for stage in failed):
        told.note("rollback.to not followed")
    if len(failed) > 1:
        told.note("several failed at once")


def _plan(told: Told) -> None:
    """The list is all that acted and stands, from the last block back; what can't be undone is residue."""
    run, to = told.run, told.body.get("to", 1)
    indices = [block["index"] for block in told.body["blocks"]]
    told.check(indices == sorted(indices, reverse=True), f"blocks are undone in order {indices}")
    planned = {
        item["stage"]: (block["index"], item["outcome"])
        for block in told.body["blocks"]
        for item in block["stages"]
    }
    standing = [unit for unit in run.acting_units if unit.stands]
    undone = [unit for unit in standing if unit.pretend.undo == "commands" and unit.level >= to]
    expected = {unit.name: (unit.level, unit.told) for unit in undone}
    told.check(planned == expected, f"to be undone are {planned}, not {expected}")
    left = {
        unit.left: unit.is_certain
        for unit in standing
        if unit not in undone and (unit.level >= to or not told.body.get("forward", False))
    }
    residue = residue_said(told.body)
    told.check(residue == left, f"residue is {residue}, not {left}")
    run.left = {**run.residue, **left}
    run.planned = planned
    run.was_settled = run.is_crossing_accepted = False


def residue_said(body: Mapping[str, Any]) -> dict[Left, bool]:
    """The residue that an entry names."""
    return {
        Left(item["stage"], item.get("pass_number", 1)): item["certain"] for item in body.get("residue", ())
    }


# ---- undoing ---------------------------------------------------------------------------------------------


def _rollback_started(told: Told) -> None:
    run, unit, number = told.run, told.unit, told.body["attempt"]
    retry = unit.pretend.stage.rollback.retry
    level, outcome = (run.planned or {}).get(unit.name, (0, ""))
    told.check(level, f"{unit.name} is not to be undone")
    told.check(told.body["outcome"] == outcome, f"it is told {told.body['outcome']}, planned was {outcome}")
    told.check(not unit.rollback_in_flight, f"try {unit.rollback_in_flight} is in flight")
    told.check(not unit.is_undone and not unit.is_given_up, "it is undone, or was given up")
    told.check(number == unit.rollbacks + 1, f"{unit.rollbacks} was the last")
    told.check(
        unit.rollback_counted < retry.attempts, f"{unit.rollback_counted} of {retry.attempts} have failed"
    )
    told.check(run.at >= unit.rollback_at, f"it is not due before {unit.rollback_at}")
    told.check(not run.held, f"the run is held ({run.held})")
    told.check(not run.settled, f"the run is {run.settled}")
    told.check(run.ending != "stopped", "nothing is to be undone")
    told.check(level > run.barrier, f"something acted in block {run.barrier} that can't be undone")
    for name in run.not_undone_in_turn:
        told.check(run.units[name].level <= level, f"{name}, of a later block, is not undone")
    before = [other.name for other in run.undoes_before(unit)]
    told.check(not before, f"{before} need what it gave, and are not undone")
    unit.rollback_in_flight = unit.rollbacks = number
    unit.ordered_by = told.life
    run.tried_to_undo.add(unit.left)
    run.move(unit, "rolling_back")
    run.follow_items(unit)


def _rollback_ended(told: Told) -> None:
    run, unit, outcome = told.run, told.unit, told.body["outcome"]
    kind, number = told.body.get("error_kind", ""), told.body["attempt"]
    told.check(unit.rollback_in_flight == number, f"{unit.rollback_in_flight or 'nothing'} is in flight")
    outcome_is_true(told, f"{run.run_id}/{unit.name}.{unit.attempts}.rollback.{number}", unit.ordered_by)
    unit.rollback_in_flight = 0
    unit.rollback_at = told.body.get("retry_at", 0)
    unit.rollback_outcome = run.outcomes[unit.name, number, True] = outcome
    becomes = "rolling_back"
    if outcome == "completed":
        becomes = "rolled_back"
    elif kind == INTERRUPTED and unit.rollback_interruptions < INTERRUPTIONS_FREE:
        unit.rollback_interruptions += 1
    elif kind == "changed_since":
        unit.rollback_counted += 1
        becomes = "rollback_failed"
    elif outcome != "not_begun":
        becomes = _count(unit, kind)
    told.check(told.body["becomes"] == becomes, f"{unit.name} becomes {told.body['becomes']}, not {becomes}")
    unit.is_undone = becomes == "rolled_back"
    if unit.is_undone:
        run.left.pop(unit.left, None)
    if becomes != "rolling_back":
        unit.rollback_error_kind = kind
    goes_on = unit.pretend.stage.rollback.on_failure == "continue" and kind != "changed_since"
    if becomes == "rollback_failed" and goes_on:
        unit.is_given_up = True
        told.note("rollback given up")
    run.move(unit, becomes)
    run.follow_items(unit)


def _count(unit: Unit, kind: str) -> str:
    unit.rollback_counted += 1
    retry = unit.pretend.stage.rollback.retry
    is_worth = "any" in retry.on or kind in retry.on
    return "rolling_back" if unit.rollback_counted < retry.attempts and is_worth else "rollback_failed"


def _pass_begun(told: Told) -> None:
    run, level = told.run, told.body["index"]
    told.check(run.planned is not None and run.goes_on, "it was not to go forward again")
    told.check(run.ending in ("failure", "rewind"), f"{run.ending} goes to the start, and never forward")
    told.check(not run.held, f"the run is held ({run.held})")
    told.check(level == run.goes_back_to, f"it came back to {run.goes_back_to}")
    told.check(not run.not_undone_in_turn, f"{run.not_undone_in_turn} are not undone")
    told.check(not run.crossed or run.is_crossing_accepted, f"{run.crossed} are not undone")
    if run.crossed:
        told.note("forward over residue")
    if run.ending == "rewind":
        told.note("rewound")
    run.begin_pass(level)


# ---- rest ------------------------------------------------------------------------------------------------


def _run_held(told: Told) -> None:
    run, reason = told.run, told.body["reason"]
    told.check(not run.held and not run.settled, f"the run is {run.held or run.settled} already")
    failed = [unit for unit in run.acting_units if unit.has_failed_to_roll_back]
    is_turning = run.planned is None or _is_ended_midway(run)
    why = {
        "code_changed": True,
        "code_gone": True,
        "rollback_failed": any(unit.rollback_error_kind != "changed_since" for unit in failed),
        "changed_since": failed and all(unit.rollback_error_kind == "changed_since" for unit in failed),
        "point_of_no_return": run.ending and run.way.is_barred and is_turning,
        "not_undone": run.goes_on and run.crossed and not run.not_undone_in_turn,
    }
    told.check(why.get(reason), f"{reason} is no reason as things are")
    run.held, run.held_stage = reason, told.body.get("stage", "")
    told.note("held: " + reason.replace("_", " "))


def _is_ended_midway(run: Run) -> bool:
    """It has come back to where it was to go forward from, and is not to go forward any more."""
    return run.goes_on and not run.not_undone_in_turn and run.ending not in ("failure", "rewind")


def _report_refused(told: Told) -> None:
    run, body = told.run, told.body
    number, is_rollback = body["attempt"], body.get("rollback", False)
    key = (body["stage"], number, is_rollback)
    told.check(key in run.outcomes, f"attempt {number} has not ended")
    told.check(key not in run.refused, "a late report of it was refused before")
    unit = run.units.get(body["stage"])
    is_of_this_pass = unit is not None and number > unit.attempts_before
    if is_of_this_pass and not is_rollback:
        told.check(run.outcomes[key] != body["outcome"], "it was recorded so")
    told.note("late report refused" if is_of_this_pass else "late report of a pass before refused")
    run.refused.add(key)


def _run_settled(told: Told) -> None:
    run, status = told.run, told.body["status"]
    residue = residue_said(told.body)
    in_flight = [unit.name for unit in run.units.values() if unit.in_flight or unit.rollback_in_flight]
    told.check(not in_flight, f"{in_flight} are in flight")
    told.check(not run.held, f"the run is held ({run.held})")
    expected = run.residue
    if run.ending == "stopped":
        expected |= {unit.left: unit.is_certain for unit in run.acting_units if unit.stands}
    told.check(residue == expected, f"its residue is {residue}, not {expected}")
    should = _settled_status(run, residue)
    told.check(status == should, f"it is called {status}, and is {should}")
    run.left, run.settled, run.planned = residue, status, None
    run.rests.append(status)
    run.rewind_to, run.is_paused = "", False
    if status == "missed":
        told.note("missed")
    told.witness.log.check_settled(run)


def _settled_status(run: Run, residue: Mapping[Left, bool]) -> str:
    if run.ending == "stopped":
        return "failed"
    if not run.ending and all(stage.status in DONE for stage in run.stages.values()):
        return "completed" if run.validated >= set(run.pretend.condition_levels) else "not validated"
    if run.planned is None or run.goes_on or run.not_undone_in_turn:
        return "not done"
    if residue:
        return "failed"
    is_late = any(stage.error_kind in ("deadline", "missing") for stage in run.stages.values())
    is_late = is_late or run.ending == "expired"
    return "missed" if is_late and not run.has_started else "rolled_back"


BACKWARD: Mapping[str, Callable[[Told], None]] = {
    "run_taken": _run_taken,
    "stage_cancelled": _stage_cancelled,
    "rollback_planned": _rollback_planned,
    "rollback_started": _rollback_started,
    "rollback_ended": _rollback_ended,
    "pass_begun": _pass_begun,
    "run_held": _run_held,
    "report_refused": _report_refused,
    "run_settled": _run_settled,
}
