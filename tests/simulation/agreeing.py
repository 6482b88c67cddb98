"""The fold of the journal equals the plain model: whatever both know of a run is compared after each commit."""

from __future__ import annotations

from typing import Any

from tests.simulation.model import Run
from tests.simulation.units import Left, Unit

from clew.core.running.rollback import residue_of
from clew.core.running.stage_state import StageState
from clew.core.running.state import RunState


def disagreements(run: Run) -> list[str]:
    """Where clew's fold of the run's entries and the plain model differ."""
    model, fold = run_facts(run), fold_facts(run.shadow)
    found = [
        f"{name} is {model[name]!r} by the model, {fold[name]!r} by the fold"
        for name in model
        if model[name] != fold[name]
    ]
    if run.units.keys() != run.shadow.units.keys():
        return [*found, f"units are {[*run.units]} by the model, {[*run.shadow.units]} by the fold"]
    for name, unit in run.units.items():
        one, two = _unit_facts(unit), _stage_facts(run.shadow.units[name])
        if unit not in unit.whole.units:
            del one["over"]  # what its items are
        if any(one[fact] != two[fact] for fact in one):
            differing = {fact: (one[fact], two[fact]) for fact in one if one[fact] != two[fact]}
            found.append(f"{name}: {differing} by the model and by the fold")
    return found


def run_facts(run: Run) -> dict[str, Any]:
    """What the model knows of a run, in words that the fold has too."""
    return {
        "status": run.status,
        "cause": run.cause,
        "pass": run.pass_number,
        "block": run.level,
        "ending": run.ending,
        "held": run.held,
        "paused": run.is_paused,
        "started": run.has_started,
        "returns": {name: count for name, count in run.returns.items() if count},
        "written": run.written,
        "supplied": {name: seq for name, (_, seq) in run.supplied.items()},
        "residue": run.residue if run.planned is not None or run.settled else None,
        "refused": run.refused,
    }


def fold_facts(state: RunState) -> dict[str, Any]:
    residue = state.residue if state.is_settled else residue_of(state)
    is_told = state.is_settled or state.undo is not None
    return {
        "status": state.status,
        "cause": state.cause,
        "pass": state.pass_number,
        "block": state.block,
        "ending": state.ending,
        "held": state.held,
        "paused": state.is_paused,
        "started": state.has_started,
        "returns": state.returns,
        "written": state.written,
        "supplied": state.supplied,
        "residue": {Left(one.stage, one.pass_number): one.certain for one in residue} if is_told else None,
        "refused": state.refused,
    }


def _unit_facts(unit: Unit) -> dict[str, Any]:
    return {
        "status": unit.status,
        "pass": unit.pass_number,
        "now": unit.now,
        "found": unit.is_found,
        "look": (unit.looks, unit.look_again_at),
        "attempts": (unit.attempts_before, unit.attempts, bool(unit.in_flight)),
        "outcomes": unit.outcomes,
        "retry": (unit.counted, unit.interruptions, unit.retry_at),
        "acted": unit.may_have_acted,
        "outputs": unit.outputs_seq,
        "kept": (unit.kept_seq, unit.left_seq),
        "rollbacks": (unit.rollbacks, bool(unit.rollback_in_flight), unit.rollback_outcome),
        "rollback retry": (unit.rollback_counted, unit.rollback_interruptions, unit.rollback_at),
        "over": unit.is_undone or unit.is_given_up,
        "items": None if unit.items is None else len(unit.items),
    }


def _stage_facts(stage: StageState) -> dict[str, Any]:
    return {
        "status": stage.status,
        "pass": stage.pass_number,
        "now": stage.now_at,
        "found": stage.found,
        "look": (stage.looks, stage.look_again_at),
        "attempts": (stage.attempts_before, stage.attempts, stage.in_flight),
        "outcomes": list(stage.outcomes),
        "retry": (stage.tried, stage.interruptions, stage.retry_at),
        "acted": stage.may_have_acted,
        "outputs": stage.written_seq,
        "kept": (stage.kept_seq, stage.left_seq),
        "rollbacks": (stage.rollback_attempts, stage.rollback_in_flight, stage.rollback_outcome),
        "rollback retry": (stage.rollback_tried, stage.rollback_interruptions, stage.rollback_retry_at),
        "over": stage.rollback_is_over,
        "items": None if stage.items is None else len(stage.items),
    }
