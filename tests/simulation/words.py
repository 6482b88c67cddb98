"""What people have told runs, by the plain model: what each verb may be said of, and what it changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.simulation.forward import FORWARD
from tests.simulation.model import DONE, OPEN, Run
from tests.simulation.telling import Told
from tests.simulation.units import Unit

from clew.core.running.instructions import Instruction

ON_THE_SPOT = "somebody on the spot"
"""Whoever releases a run in the orchestrator's own process: of that no instruction stands in the store."""

CODE = ("code_changed", "code_gone")
"""Why a run is held whose code is not what it was."""

KINDS = {
    "cancel": "run_cancelled", "stop": "run_stopped", "pause": "run_paused", "unpause": "run_unpaused",
    "resume": "run_released", "retry": "stage_retried", "supply": "input_supplied", "rollback": "rollback_requested",
    "rewind": "rewind_requested", "erase": "payloads_erased",
}  # fmt: skip
"""The entry that says each verb; `skip` has two."""


# ---- what may be said ------------------------------------------------------------------------------------


def can(run: Run, said: Instruction) -> bool:
    """Whether the run can do so, as things are."""
    return _CAN[said.verb](run, said)


def _can_cancel(run: Run, said: Instruction) -> bool:
    is_held_back = run.planned is not None and run.held in ("rollback_failed", "changed_since", *CODE)
    goes_to_the_start = run.planned is not None and not run.goes_on
    is_told = run.ending == "stopped" or (run.ending in ("cancelled", "expired", "rollback") and not run.held)
    is_beyond = run.held == "point_of_no_return" and run.barrier
    return not (run.settled or is_held_back or goes_to_the_start or is_told or is_beyond)


def _can_stop(run: Run, said: Instruction) -> bool:
    return not run.settled and run.status != "rolling_back" and run.ending != "stopped"


def _can_pause(run: Run, said: Instruction) -> bool:
    return not (run.settled or run.held or run.planned is not None or run.ending or run.is_paused)


def _can_unpause(run: Run, said: Instruction) -> bool:
    return run.is_paused and not run.settled


def _can_resume(run: Run, said: Instruction) -> bool:
    return bool(run.held)


def _can_retry(run: Run, said: Instruction) -> bool:
    unit = run.units.get(said.stage)
    if not run.held or unit is None:
        return False
    if run.planned is not None:
        return bool(_failed_rollbacks(unit))
    return unit.status == unit.whole.status == "failed"


def _failed_rollbacks(unit: Unit) -> list[Unit]:
    return [each for each in (unit.units or (unit,)) if each.has_failed_to_roll_back]


def _rollbacks_to_skip(run: Run, unit: Unit) -> list[Unit]:
    """Those that failed; or all that wait for code that is not what it was."""
    if run.held in CODE and unit in (lacking := run.units[run.held_stage], lacking.whole):
        each_of = unit.units or (unit,)
        return [
            each for each in each_of
            if each.may_have_acted and not (each.is_undone or each.is_given_up or each.rollback_in_flight)
        ]  # fmt: skip
    return _failed_rollbacks(unit)


def _can_skip(run: Run, said: Instruction) -> bool:
    unit = run.units.get(said.stage)
    if not run.held or unit is None:
        return False
    if run.planned is not None:
        return not said.values and bool(_rollbacks_to_skip(run, unit))
    is_awaited = unit.level == run.level and unit.status in (*OPEN, "failed", "cancelled")
    if unit.parent is not None or not is_awaited or any(each.in_flight for each in unit.units):
        return False
    outputs = {one.name: one.has_default for one in unit.pretend.stage.outputs}
    read = {
        label for stage in run.stages.values() for label, by in stage.pretend.needs.items() if by == unit.name
    }
    missing = {label for label in read if label not in said.values and not outputs[label]}
    return said.values.keys() <= unit.pretend.writes and not missing


def _can_supply(run: Run, said: Instruction) -> bool:
    (name,) = said.values
    waiting = [
        stage for stage in run.stages.values() if any(one.name == name for one in stage.pretend.inputs)
    ]
    is_open = not (run.settled or run.planned is not None or run.is_going_back)
    return is_open and any(not stage.is_found for stage in waiting)


def _can_roll_back(run: Run, said: Instruction) -> bool:
    if run.settled in ("completed", "failed"):
        units = [
            unit for unit in run.acting_units if unit.pretend.undo == "commands" and unit.level > run.barrier
        ]
        to_undo = [unit for unit in units if unit.stands or unit.is_given_up]
        return bool(to_undo) and not any(_is_gone(run, unit) for unit in to_undo)
    return bool(run.held) or run.status == "paused"


def _is_gone(run: Run, unit: Unit) -> bool:
    """Whether its rollback may need what was erased. Nothing is written any more once anything was."""
    if run.erased is None:
        return False
    if unit.kept_seq >= 0:
        return True
    stage = unit.pretend.stage
    if not stage.rollback.commands:
        return False
    each = unit.pretend.each
    labels = {*stage.inputs, *unit.pretend.writes, *([each] if isinstance(each, str) else [])}
    own = {one.name for one in stage.outputs} if unit.parent is not None else set()
    made = {label for other in run.stages.values() for label in other.pretend.writes}
    known = {*(run.written.keys() - own), *(unit.outputs.keys() & own)}
    return any(label in known or label not in made for label in labels)


def _can_erase(run: Run, said: Instruction) -> bool:
    return bool(run.settled) and run.erased != run.entry_count - 1


def _can_rewind(run: Run, said: Instruction) -> bool:
    stage = run.stages.get(said.stage)
    is_going_back = run.planned is not None or (run.ending and not run.held)
    if stage is None or run.erased is not None or (is_going_back and not run.settled):
        return False
    if stage.level > run.level:
        return False
    before = [other.status for other in run.stages.values() if other.level < stage.level]
    return set(before) <= DONE and run.barrier < stage.level


_CAN: Mapping[str, Callable[[Run, Instruction], bool]] = {
    "cancel": _can_cancel, "stop": _can_stop, "pause": _can_pause, "unpause": _can_unpause, "resume": _can_resume,
    "retry": _can_retry, "skip": _can_skip, "supply": _can_supply, "rollback": _can_roll_back, "rewind": _can_rewind,
    "erase": _can_erase,
}  # fmt: skip


# ---- what it changes -------------------------------------------------------------------------------------


def _ended(ending: str) -> Callable[[Told], None]:
    return lambda told: told.run.end(ending)


def _run_stopped(told: Told) -> None:
    told.run.end("stopped")
    told.run.cause = "cancelled"


def _run_expired(told: Told) -> None:
    run = told.run
    told.check(not (run.settled or run.held or run.is_paused), f"the run is {run.status}")
    told.check(run.planned is None or run.goes_on, "it goes back to the start already")
    told.check(run.ending in ("", "failure", "rewind"), f"its way forward has ended by {run.ending}")
    told.note("expired")
    run.end("expired")


def _rollback_requested(told: Told) -> None:
    told.run.end("rollback")
    told.run.roll_back_again(list(told.run.acting_units))


def _rewind_requested(told: Told) -> None:
    told.run.end("rewind")
    told.run.rewind_to = told.body["stage"]


def _payloads_erased(told: Told) -> None:
    told.run.erased = told.seq
    told.run.names.clear()


def _run_paused(told: Told) -> None:
    told.run.is_paused = told.run.has_moved = True


def _run_unpaused(told: Told) -> None:
    told.run.is_paused = False


def _run_released(told: Told) -> None:
    run = told.run
    told.check(run.held, "no person was needed")
    if run.held == "not_undone":
        run.is_crossing_accepted = True
    elif run.held == "point_of_no_return":
        for stage in list(run.of_level(run.level)):
            run.try_again(stage)
        run.block_failed = 0
    run.roll_back_again(list(run.acting_units))
    run.go_on()


def _stage_retried(told: Told) -> None:
    run, unit = told.run, told.unit
    if run.planned is not None:
        run.roll_back_again(_failed_rollbacks(unit))
    else:
        run.try_again(unit)
        stage = unit.whole
        if stage.status == "failed" and not any(item.status == "failed" for item in stage.units):
            run.move(stage, "started")
    run.go_on()


def _rollback_skipped(told: Told) -> None:
    run = told.run
    for unit in _rollbacks_to_skip(run, told.unit):
        unit.is_given_up = True
        told.note("rollback skipped")
        run.move(unit, "rollback_failed")
        run.follow_items(unit)
    run.go_on()


def _input_supplied(told: Told) -> None:
    run, name = told.run, told.body["name"]
    stage = told.unit
    told.check(any(one.name == name for one in stage.pretend.inputs), f"{stage.name} has no input {name}")
    if stage.status == "pending":
        told.note("input supplied early")
    if name in run.supplied:
        told.note("input supplied twice")
    run.supplied[name] = (told.payload["supplied"], told.seq)
    stage.look_again_at = 0


WORDS: Mapping[str, Callable[[Told], None]] = {
    "run_cancelled": _ended("cancelled"),
    "run_stopped": _run_stopped,
    "run_expired": _run_expired,
    "run_paused": _run_paused,
    "run_unpaused": _run_unpaused,
    "run_released": _run_released,
    "stage_retried": _stage_retried,
    "stage_skipped": FORWARD["stage_skipped"],
    "rollback_skipped": _rollback_skipped,
    "input_supplied": _input_supplied,
    "rollback_requested": _rollback_requested,
    "rewind_requested": _rewind_requested,
    "payloads_erased": _payloads_erased,
}
