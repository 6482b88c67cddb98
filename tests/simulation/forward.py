"""What entries do to the plain model on the way forward, and what must hold before each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.simulation.model import DONE, OPEN, Run
from tests.simulation.stages import FALSE_WHENS, TRUE_WHENS, WHEN_LIMIT, WRONG_WHENS
from tests.simulation.telling import Told
from tests.simulation.timeline import Life
from tests.simulation.units import Unit

from clew.core.running.fold_back import INTERRUPTED

INTERRUPTIONS_FREE = 5
"""So many lost orchestrators do not count against a stage's `retry`."""

BY_ITSELF = ("failed", "timed_out")
"""How an attempt ends that nobody ended."""


def goes_forward(told: Told) -> None:
    """Nothing new begins once its way forward has ended, nor while a person is needed."""
    run = told.run
    told.check(not run.settled, f"the run is {run.settled}")
    told.check(not run.ending, f"the way forward has ended ({run.ending})")
    told.check(not run.held, f"the run is held ({run.held})")
    told.check(run.planned is None, "the run is going back")


# ---- before a stage begins -------------------------------------------------------------------------------


def _run_created(told: Told) -> None:
    told.run.write(told.payload["variables"], told.seq)
    told.run.written.clear()  # what the program and the request say has no stage that wrote it


def _when_tested(told: Told) -> None:
    goes_forward(told)
    unit, verdict = told.unit, told.body["verdict"]
    told.check(not told.run.is_paused, "the run is paused")
    told.check(unit.status == "pending" and unit.when is None, "it had been tested, or had begun")
    told.check(_truth(told.run, unit) is verdict, f"{unit.pretend.stage.when} is not {verdict}")
    unit.when = verdict
    _fix_now(told, unit)


def _truth(run: Run, unit: Unit) -> bool | None:
    """What the stage's `when` amounts to; None if that can't be told."""
    text = unit.pretend.stage.when or ""
    if text in TRUE_WHENS:
        return text != "size > 1" or run.names["size"] > 1
    if text in FALSE_WHENS:
        return False
    if text in WRONG_WHENS:
        return None
    label = text.partition(" ")[0]
    value = run.names.get(label)
    return value < WHEN_LIMIT if isinstance(value, int) else None


def _fix_now(told: Told, unit: Unit) -> None:
    """The stage's `now` is the same in all its entries of a pass."""
    now = told.body.get("now", 0)
    told.check(not unit.now or unit.now == now, f"its now was {unit.now}, and is {now}")
    unit.now = unit.now or now


def _stage_skipped(told: Told) -> None:
    run, unit = told.run, told.unit
    if not told.body.get("by"):
        goes_forward(told)
        told.check(not run.is_paused, "the run is paused")
        needs = told.body.get("needs", ())
        told.check(
            needs or unit.when is False, "its when is not false, and it needs nothing that was skipped"
        )
        told.check(all(run.stages[need].status == "skipped" for need in needs), f"{needs} were not skipped")
    defaults = {one.name: one.default for one in unit.pretend.stage.outputs if one.has_default}
    run.write({**defaults, **told.payload.get("variables", {})}, told.seq)
    run.end_items(unit)
    run.move(unit, "skipped")
    if told.body.get("by"):
        run.go_on()


def _stage_failed(told: Told) -> None:
    run, unit, kind = told.run, told.unit, told.body["error_kind"]
    told.check(not run.is_going_back, "the run is going back")
    has_begun = unit.status not in ("pending", "waiting") and not (
        kind == "source" and unit.items is not None
    )
    told.check(not has_begun and not unit.may_have_acted, f"it is {unit.status}")
    if kind == "source":
        told.check(unit.pretend.stage.source is not None and not unit.pinned, "its code was found before")
    elif kind == "deadline":
        missing = [one for one in unit.pretend.inputs if one.name not in run.supplied]
        ends = [unit.now + one.deadline_milliseconds for one in missing if one.deadline_milliseconds]
        told.check(ends and run.at >= min(ends, default=0), "its inputs are there, or not due yet")
        told.note("input too late")
    elif kind == "for_each":
        told.check(not isinstance(run.values_of(unit), list), "it has a list to be done for")
        told.note("items of no list")
    elif kind == "restore":
        told.check(unit.pretend.stage.rollback.restore and unit.kept is None, "there was nothing to keep")
        told.note("failed for want of what to put back")
    elif kind == "expression":
        told.check(_truth(run, unit) is None, f"{unit.pretend.stage.when} can be worked out")
    else:
        told.check(kind == "ambiguous", f"nobody knows of {kind}")
    fail(run, unit, kind)


def fail(run: Run, unit: Unit, kind: str) -> None:
    """It has failed for good; with an item its stage."""
    unit.error_kind = kind
    run.move(unit, "failed")
    if unit.parent is not None and unit.parent.status != "failed":
        unit.parent.error_kind = kind
        run.move(unit.parent, "failed")
    run.fail()


def _stage_waiting(told: Told) -> None:
    unit = told.unit
    told.check(not told.run.is_going_back, "the run is going back")
    told.check(unit.status in ("pending", "waiting"), f"it is {unit.status}")
    looks = unit.looks + ("missing" in told.payload)
    told.check(told.body["look"] == looks, f"{looks} looks found it missing")
    unit.looks, unit.look_again_at = told.body["look"], told.body["look_again_at"]
    _fix_now(told, unit)
    told.run.move(unit, "waiting")


def _dependencies_found(told: Told) -> None:
    run, unit, found = told.run, told.unit, told.payload["variables"]
    told.check(not run.is_going_back, "the run is going back")
    told.check(unit.status in ("pending", "waiting") and not unit.is_found, f"it is {unit.status}")
    for one in unit.pretend.stage.file_dependencies:
        answers = told.witness.outside.answers.get((run.run_id, one.name), [])
        told.check(found[one.name] in answers, f"no search found {one.name} to be {found[one.name]}")
    for one in unit.pretend.inputs:
        supplied = run.supplied.get(one.name, (None, 0))[0]
        told.check(found[one.name] == supplied, f"{one.name} is {found[one.name]}, supplied was {supplied}")
    told.check(found.keys() == {one.name for one in unit.pretend.stage.dependencies}, f"it found {found}")
    _fix_now(told, unit)
    unit.is_found = True
    run.write(found, told.seq)


def _objects_kept(told: Told) -> None:
    unit = told.unit
    told.check(not told.run.is_going_back, "the run is going back")
    told.check(unit.status in OPEN and not unit.may_have_acted, f"it is {unit.status}")
    told.check(unit.kept is None, "that was kept before")
    unit.kept, unit.kept_seq = told.payload["kept"], told.seq
    told.check(len(unit.kept) == told.body["count"] == 1, f"it has one object, {unit.kept} were kept")
    _fix_now(told, unit)


def _items_made(told: Told) -> None:
    goes_forward(told)
    run, stage, count = told.run, told.unit, told.body["count"]
    told.check(not run.is_paused, "the run is paused")
    told.check(stage.items is None, "its items were made before")
    is_ready(told, stage)
    values = run.values_of(stage)
    told.check(isinstance(values, list) and len(values) == count, f"it is to be done for {values}")
    _fix_now(told, stage)
    stage.values = list(values or ())
    stage.items = [
        Unit(
            stage.pretend, stage, index,
            pass_number=stage.pass_number, attempts=stage.attempts_before, rollbacks=stage.rollbacks,
        )
        for index in range(count)
    ]  # fmt: skip
    for item in stage.items:
        item.now = stage.now
        run.units[item.name] = item
    run.move(stage, "started")


def is_ready(told: Told, stage: Unit) -> None:
    """All that comes before the stage is done, and all that it reads is there."""
    run, pretend = told.run, stage.pretend
    for other in run.stages.values():
        is_before = other.level < stage.level
        told.check(
            not is_before or other.status in DONE, f"{other.pretend.name}, of an earlier block, is not done"
        )
    for label, producer in pretend.needs.items():
        told.check(producer is None or label in run.names, f"{label} is not recorded yet")
    told.check(all(run.stages[name].status in DONE for name in pretend.after), "what it is after is not done")
    told.check(not pretend.stage.dependencies or stage.is_found, "its dependencies are not found")
    told.check(pretend.stage.when is None or stage.when, "its when is not known to be true")
    for level in run.pretend.condition_levels:
        told.check(level >= stage.level or level in run.validated, f"block {level} is not valid yet")


# ---- attempts --------------------------------------------------------------------------------------------


def _attempt_started(told: Told) -> None:
    goes_forward(told)
    run, unit, number = told.run, told.unit, told.body["attempt"]
    stage = unit.pretend.stage
    told.check(not unit.in_flight, f"attempt {unit.in_flight} is in flight")
    told.check(not stage.rollback.restore or unit.kept is not None, "nothing is kept of what it overwrites")
    told.check(unit.status in OPEN, f"it is {unit.status}")
    told.check(number == unit.attempts + 1, f"{unit.attempts} was the last")
    told.check(unit.counted < stage.retry.attempts, f"{unit.counted} of {stage.retry.attempts} have failed")
    told.check(run.at >= unit.retry_at, f"it is not due before {unit.retry_at}")
    told.check(
        not run.is_paused or unit.status != "pending", "the run is paused, and the stage has not begun"
    )
    is_reexecution = told.body.get("reexecution", False)
    told.check(is_reexecution == (unit.status == "validating"), f"reexecution of what is {unit.status}")
    is_ready(told, unit.whole)
    _has_room(told, unit)
    _pins(told, unit.whole)
    reads = {name: run.written[name] for name in told.body.get("inputs", {}) if name in run.written}
    told.check(told.body.get("inputs", {}) == reads, f"its inputs were written by {reads}")
    unit.in_flight = unit.attempts = number
    unit.whole.attempts = max(unit.whole.attempts, number)
    unit.ordered_by = told.life
    unit.now = unit.now or run.at
    run.has_started = True
    run.move(unit, "started")


def _pins(told: Told, stage: Unit) -> None:
    """The first attempt says which code it fetches: what a look of this pass has found."""
    digest = told.body.get("code", {}).get("source", "")
    if stage.pretend.stage.source is None or stage.pinned:
        told.check(not digest, f"it pins {digest}")
        return
    found = told.witness.outside.fetched.get(f"{told.run.run_id}/{stage.name}.{stage.pass_number}", [])
    told.check(digest in found, f"no look found its code to be {digest}")
    stage.pinned = digest


def _has_room(told: Told, unit: Unit) -> None:
    """At most `max_parallel` items have begun and are not done."""
    stage = unit.parent
    if stage is None:
        return
    assert stage.items is not None
    most = unit.pretend.stage.max_parallel or len(stage.items)
    begun = [
        item.name for item in stage.items if item.status in ("started", "validating") and item is not unit
    ]
    told.check(len(begun) < most, f"{begun} have begun, and {most} may at once")
    if most < len(stage.items) and len(begun) + 1 == most:
        told.note("items as many as may")


def _attempt_ended(told: Told) -> None:
    run, unit, outcome = told.run, told.unit, told.body["outcome"]
    kind, number = told.body.get("error_kind", ""), told.body["attempt"]
    told.check(unit.in_flight == number, f"{unit.in_flight or 'nothing'} is in flight")
    outcome_is_true(told, f"{run.run_id}/{unit.name}.{number}", unit.ordered_by)
    is_going_back = run.is_going_back  # before it is known that what can't be undone has not begun
    unit.in_flight = 0
    unit.outcomes.append(outcome)
    run.outcomes[unit.name, number, False] = outcome
    if unit.kept is not None and outcome != "not_begun":
        unit.left_so, unit.left_seq = told.payload["left"], told.seq
    becomes = "started"
    if outcome == "completed":
        becomes = "validating" if unit.pretend.stage.validate else "completed"
        _keep_outputs(told, unit)
    elif kind == INTERRUPTED and unit.interruptions < INTERRUPTIONS_FREE:
        unit.interruptions += 1
    elif outcome != "not_begun":
        becomes = _count(unit, kind)
    if is_going_back and not (run.ending == "failure" and becomes == "failed" and outcome in BY_ITSELF):
        becomes = "cancelled"
    _becomes(told, unit, becomes, kind)


def _keep_outputs(told: Told, unit: Unit) -> None:
    unit.outputs = told.payload.get("variables" if unit.parent is None else "outputs", {})
    unit.outputs_seq = told.seq
    attempt_id = f"{told.run.run_id}/{unit.name}.{told.body['attempt']}"
    gave = dict(told.witness.outside.reports[attempt_id]["completed"].outputs)
    told.check(unit.outputs == gave, f"its outputs are {unit.outputs}, and it gave {gave}")


def _count(unit: Unit, kind: str) -> str:
    """One more try has failed; what the unit becomes by it."""
    unit.counted += 1
    retry = unit.pretend.stage.retry
    is_worth = "any" in retry.on or kind in retry.on
    return "started" if unit.counted < retry.attempts and is_worth else "failed"


def outcome_is_true(told: Told, attempt_id: str, ordered_by: Life | None) -> None:
    """What is recorded of its end is what happened, or that nobody could know."""
    reported, outcome = told.witness.outside.reports.get(attempt_id), told.body["outcome"]
    if ordered_by is not told.life:
        said = (outcome, told.body.get("error_kind"))
        told.check(
            said == ("unknown", INTERRUPTED), f"{told.life} says {said} of {ordered_by}'s {attempt_id}"
        )
    elif reported is None:
        told.check(False, f"{attempt_id} is recorded as {outcome}, and has not ended")
    else:
        told.check(outcome in reported, f"{attempt_id}: {[*reported]} became {outcome}")


def _becomes(told: Told, unit: Unit, becomes: str, kind: str) -> None:
    run = told.run
    told.check(told.body["becomes"] == becomes, f"{unit.name} becomes {told.body['becomes']}, not {becomes}")
    unit.retry_at = told.body.get("retry_at", 0)
    if becomes == "failed":
        if unit.parent is not None:
            told.note("item failed")
        fail(run, unit, kind)
        return
    if becomes == "completed" and unit.parent is None:
        run.write(unit.outputs, unit.outputs_seq)
    run.move(unit, becomes)


def _validation_ended(told: Told) -> None:
    unit = told.unit
    told.check(unit.status == "validating", f"it is {unit.status}")
    told.check(not told.run.is_going_back, "the run is going back")
    becomes = "completed" if told.body["verdict"] == "held" else _count(unit, "validation")
    _becomes(told, unit, becomes, "validation")


def _items_gathered(told: Told) -> None:
    goes_forward(told)
    run, stage = told.run, told.unit
    items = stage.items or []
    told.check(stage.status == "started", f"it is {stage.status}")
    told.check(all(item.status == "completed" for item in items), "not all its items are completed")
    outputs = {
        one.name: [item.outputs.get(one.name) for item in items] for one in stage.pretend.stage.outputs
    }
    said = told.payload.get("variables", {})
    told.check(said == outputs, f"its outputs are {said}, its items' {outputs}")
    stage.outputs, stage.outputs_seq = outputs, told.seq
    run.write(outputs, told.seq)
    run.move(stage, "completed")


def _block_validated(told: Told) -> None:
    run, level = told.run, told.body["index"]
    told.check(not run.is_going_back, "the run is going back")
    told.check(level in run.pretend.condition_levels, f"block {level} has no conditions")
    done = all(stage.status in DONE for stage in run.stages.values() if stage.level <= level)
    told.check(done, f"block {level} is not done")
    if told.body["verdict"] == "held":
        run.validated.add(level)
        run.close_levels()
    else:
        run.block_failed = level
        run.fail()


FORWARD: Mapping[str, Callable[[Told], None]] = {
    "run_created": _run_created,
    "when_tested": _when_tested,
    "stage_skipped": _stage_skipped,
    "stage_failed": _stage_failed,
    "stage_waiting": _stage_waiting,
    "dependencies_found": _dependencies_found,
    "objects_kept": _objects_kept,
    "items_made": _items_made,
    "items_gathered": _items_gathered,
    "attempt_started": _attempt_started,
    "attempt_ended": _attempt_ended,
    "validation_ended": _validation_ended,
    "block_validated": _block_validated,
}
