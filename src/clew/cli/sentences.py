"""What a journal's entry says, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from clew.cli.output import clock_text, counted, escaped, first_line, moment_text
from clew.core.running import entries as kinds
from clew.core.running.entries import Entry
from clew.core.running.sealed_program import SealedProgram

NAMES_SHOWN_MAX = 12
"""Enough for the stages of most blocks, and few enough of a stage's thousand items."""

Json = Any
Said = Callable[[], Mapping[str, Json]]

_HELD = {
    "code_changed": "the code that it runs is not what its first attempt ran",
    "code_gone": "the code that it runs is gone",
    "rollback_failed": "its rollback failed for good",
    "point_of_no_return": "the way back is barred by what can't be undone",
    "not_undone": "it would begin again on top of what is not undone",
    "changed_since": "somebody else has changed what its rollback would put back",
}


def sentence(entry: Entry, program: SealedProgram, said: Said) -> tuple[str, str]:
    """The stage that the entry is about (or ``), and what happened."""
    body: Any = entry.body
    stage = "" if isinstance(body, kinds.RollbackPlanned) else getattr(body, "stage", "")
    return escaped(stage), escaped(_SENTENCES[type(body)](body, program, said))


def _created(body: kinds.RunCreated, program: SealedProgram, said: Said) -> str:
    stages = counted(len(program.stages), "stage")
    queued = ", queued until there is a place for it" if body.queued else ""
    return f"created: {stages} in {counted(len(program.blocks), 'block')}{queued}{_unsafe(body)}"


def _taken(body: kinds.RunTaken, program: SealedProgram, said: Said) -> str:
    return f"taken up again{_unsafe(body)}"


def _unsafe(body: kinds.RunCreated | kinds.RunTaken) -> str:
    return f", in a store whose {' and '.join(body.unsafe)} is unsafe" if body.unsafe else ""


def _attempt_started(body: kinds.AttemptStarted, program: SealedProgram, said: Said) -> str:
    return f"attempt {body.attempt} started{', between two tests' if body.reexecution else ''}"


def _attempt_ended(body: kinds.AttemptEnded, program: SealedProgram, said: Said) -> str:
    text = f"attempt {body.attempt} {_how(body, said)}"
    if body.becomes == "started":
        return f"{text}; the next at {clock_text(body.retry_at)}"
    if body.becomes == "validating":
        return f"{text}; its conditions are tested"
    if body.becomes == "cancelled" and body.outcome != "cancelled":
        return f"{text}; the run goes no further"
    return text if body.becomes == body.outcome else f"{text}: {body.becomes}"


def _how(body: kinds.AttemptEnded | kinds.RollbackEnded, said: Said) -> str:
    """How a try ended, and why if it did not work."""
    outcome = body.outcome.replace("_", " ")
    if body.outcome == "completed":
        return outcome
    return outcome + _because("" if body.error_kind == body.outcome else body.error_kind, said)


def _validation_ended(body: kinds.ValidationEnded, program: SealedProgram, said: Said) -> str:
    if body.verdict == "held":
        return "valid: completed"
    again = (
        f"; the next attempt at {clock_text(body.retry_at)}"
        if body.becomes == "started"
        else f": {body.becomes}"
    )
    return f"{_verdict(body.verdict)}{_findings(said)}{again}"


def _block_validated(body: kinds.BlockValidated, program: SealedProgram, said: Said) -> str:
    if body.verdict == "held":
        return f"block {body.index} is valid"
    return f"block {body.index} {_verdict(body.verdict)}{_findings(said)}"


def _verdict(verdict: str) -> str:
    return "not valid" if verdict == "not_held" else "validity can't be told"


def _findings(said: Said) -> str:
    bad = [one for one in said().get("findings", ()) if one.get("verdict") != "held"]
    return "".join(f"; {one['condition']}: {first_line(one.get('message', ''))}" for one in bad)


def _because(kind: str, said: Said) -> str:
    error = said().get("error", {})
    message = first_line(error.get("message", ""))
    why = f" ({kind})" if kind else ""
    return f"{why}: {message}" if message else why


def _waiting(body: kinds.StageWaiting, program: SealedProgram, said: Said) -> str:
    inputs = said().get("inputs")
    if not inputs:
        return f"waiting for data, next look at {clock_text(body.look_again_at)}: {wanted(said)}"
    declared = program.stages[body.stage].stage.input_dependencies
    has_deadline = any(one.deadline_milliseconds for one in declared if one.name in inputs)
    until = f" until {moment_text(body.look_again_at)}" if has_deadline else ""
    return f"waiting{until}: {wanted(said)}"


def wanted(said: Said) -> str:
    """What a waiting stage waits for, and how near the search came; or why the bucket could not say."""
    payload = said()
    return first_line(str(payload.get("missing") or payload.get("error") or ""))


def _by(body: Any, what: str, said: Said) -> str:
    """What a person said, and why."""
    reason = first_line(str(said().get("reason", "")))
    return f"{body.by} says: {what}{f' ({reason})' if reason else ''}"


def _skipped(body: kinds.StageSkipped, program: SealedProgram, said: Said) -> str:
    if body.by:
        return _by(body, "go on without it", said)
    why = f"what it needs of {', '.join(body.needs)} was skipped" if body.needs else "its `when` is false"
    return f"skipped: {why}"


def _failed(body: kinds.StageFailed, program: SealedProgram, said: Said) -> str:
    return f"failed before it began{_because(body.error_kind, said)}"


def _rollback_planned(body: kinds.RollbackPlanned, program: SealedProgram, said: Said) -> str:
    names = [_listed(item.stage for item in block.stages) for block in body.blocks]
    where = body.stage or (f"block {body.index}" if body.index else "where it stands")
    how_far = f" to block {body.to}" if body.to > 1 else ""
    then = "; then forward again" if body.forward else ""
    return f"going back from {where}{how_far}: {', then '.join(names) or 'there is nothing to undo'}{then}"


def _listed(names: Iterable[str]) -> str:
    """Names of stages, and of items as far as a line has room for them."""
    found = list(names)
    left = len(found) - NAMES_SHOWN_MAX
    return ", ".join(found[:NAMES_SHOWN_MAX]) + (f" and {left} more" if left > 0 else "")


def _rollback_started(body: kinds.RollbackStarted, program: SealedProgram, said: Said) -> str:
    number = f", try {body.attempt}" if body.attempt > 1 else ""
    return f"rollback started{number} (the stage had {_ended(body.outcome)})"


def _ended(outcome: str) -> str:
    said = {
        "unknown": "ended, nobody knows how",
        "not_begun": "not begun",
        "cancelled": "been ended",
        "timed_out": "run out of time",
        "": "begun",
    }
    return said.get(outcome, outcome)


def _rollback_ended(body: kinds.RollbackEnded, program: SealedProgram, said: Said) -> str:
    if body.becomes == "rolled_back":
        return "rolled back"
    text = f"rollback {_how(body, said)}"
    again = f"the next try at {clock_text(body.retry_at)}"
    return f"{text}; {again if body.becomes == 'rolling_back' else 'it is not tried again'}"


def _run_held(body: kinds.RunHeld, program: SealedProgram, said: Said) -> str:
    return f"the run is held for a person: {_HELD.get(body.reason, body.reason)}"


def _expired(body: kinds.RunExpired, program: SealedProgram, said: Said) -> str:
    whose = {"execution": "to execute", "validation": "to be valid"}.get(body.limit, "")
    return f"its time {whose} is up: the run goes no further" if whose else "its time is up"


REST_REASONS = {
    "window_left": "its time is further back than the backfill window",
    "program_paused": "the program was paused",
    "overlap": "another run of the program was under way",
    "overtaken": "a later one was due before it could begin",
}
"""Why a run was never begun, for people."""


def _settled(body: kinds.RunSettled, program: SealedProgram, said: Said) -> str:
    residue = _listed(dict.fromkeys(item.stage for item in body.residue))
    why = f": {REST_REASONS[body.reason]}" if body.reason else ""
    return f"the run is {body.status}{f', leaving behind what {residue} did' if residue else ''}{why}"


_SENTENCES: dict[type, Callable[[Any, SealedProgram, Said], str]] = {
    kinds.RunCreated: _created,
    kinds.RunTaken: _taken,
    kinds.WhenTested: lambda body, program, said: f"its `when` is {'true' if body.verdict else 'false'}",
    kinds.StageSkipped: _skipped,
    kinds.StageFailed: _failed,
    kinds.StageWaiting: _waiting,
    kinds.DependenciesFound: lambda body, program, said: "its data is there",
    kinds.AttemptStarted: _attempt_started,
    kinds.AttemptEnded: _attempt_ended,
    kinds.ValidationEnded: _validation_ended,
    kinds.BlockValidated: _block_validated,
    kinds.StageCancelled: lambda body, program, said: "cancelled: the run goes no further",
    kinds.RollbackPlanned: _rollback_planned,
    kinds.RollbackStarted: _rollback_started,
    kinds.RollbackEnded: _rollback_ended,
    kinds.RunHeld: _run_held,
    kinds.RunReleased: lambda body, program, said: _by(body, "go on", said),
    kinds.RunPaused: lambda body, program, said: _by(body, "begin nothing further", said),
    kinds.RunUnpaused: lambda body, program, said: _by(body, "begin again", said),
    kinds.RunCancelled: lambda body, program, said: _by(body, "end it and undo it", said),
    kinds.RunStopped: lambda body, program, said: _by(body, "end it and undo nothing", said),
    kinds.RunExpired: _expired,
    kinds.PlaceGiven: lambda body, program, said: "it has a place among its program's runs, and goes on",
    kinds.WindowClosed: lambda body, program, said: "its program's window is closed: nothing further begins",
    kinds.WindowOpened: lambda body, program, said: "its program's window is open again",
    kinds.RollbackRequested: lambda body, program, said: _by(body, "undo what it did", said),
    kinds.RewindRequested: lambda body, program, said: _by(body, "go back to here", said),
    kinds.RollbackSkipped: lambda body, program, said: _by(body, "go on without its rollback", said),
    kinds.StageRetried: lambda body, program, said: _by(body, "try again", said),
    kinds.InputSupplied: lambda body, program, said: f"{body.by} supplied '{body.name}'",
    kinds.PassBegun: lambda body, program, said: f"forward again from block {body.index}",
    kinds.ItemsMade: lambda body, program, said: f"to be done for {counted(body.count, 'value')}",
    kinds.ItemsGathered: lambda body, program, said: "all its items are completed",
    kinds.ObjectsKept: lambda body, program, said: f"{counted(body.count, 'object')} kept for its rollback",
    kinds.ReportRefused: lambda body, program, said: (
        f"attempt {body.attempt} was heard of too late ({body.outcome}): nothing changes by it"
    ),
    kinds.RunSettled: _settled,
    kinds.PayloadsErased: lambda body, program, said: _by(
        body, "erase what it and its stages have said", said
    ),
}
