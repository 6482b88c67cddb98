"""What a journal's entry says, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clew.cli.output import clock_text, counted, escaped, first_line
from clew.core.running import entries as kinds
from clew.core.running.entries import Entry
from clew.core.running.sealed_program import SealedProgram

Json = Any
Said = Callable[[], Mapping[str, Json]]

_HELD = {
    "code_changed": "the code that it runs is not what its first attempt ran",
    "code_gone": "the code that it runs is gone",
    "rollback_failed": "its rollback failed for good",
}


def sentence(entry: Entry, program: SealedProgram, said: Said) -> tuple[str, str]:
    """The stage that the entry is about (or ``), and what happened."""
    body: Any = entry.body
    stage = "" if isinstance(body, kinds.RollbackPlanned) else getattr(body, "stage", "")
    return escaped(stage), escaped(_SENTENCES[type(body)](body, program, said))


def _created(body: kinds.RunCreated, program: SealedProgram, said: Said) -> str:
    stages = counted(len(program.stages), "stage")
    return f"created: {stages} in {counted(len(program.blocks), 'block')}"


def _attempt_started(body: kinds.AttemptStarted, program: SealedProgram, said: Said) -> str:
    return f"attempt {body.attempt} started{', between two tests' if body.reexecution else ''}"


def _attempt_ended(body: kinds.AttemptEnded, program: SealedProgram, said: Said) -> str:
    text = f"attempt {body.attempt} {body.outcome}"
    if body.outcome != "completed":
        text += _because(body.error_kind, said)
    if body.becomes == "started":
        return f"{text}; the next at {clock_text(body.retry_at)}"
    if body.becomes == body.outcome:
        return text
    return f"{text}: {body.becomes}"


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
    return f" ({kind}): {message}" if message else f" ({kind})" if kind else ""


def _waiting(body: kinds.StageWaiting, program: SealedProgram, said: Said) -> str:
    return f"waiting for data, next look at {clock_text(body.look_again_at)}: {wanted(said)}"


def wanted(said: Said) -> str:
    """What a waiting stage waits for, and how near the search came; or why the bucket could not say."""
    payload = said()
    return first_line(str(payload.get("missing") or payload.get("error") or ""))


def _skipped(body: kinds.StageSkipped, program: SealedProgram, said: Said) -> str:
    why = f"what it needs of {', '.join(body.needs)} was skipped" if body.needs else "its `when` is false"
    return f"skipped: {why}"


def _failed(body: kinds.StageFailed, program: SealedProgram, said: Said) -> str:
    return f"failed before it began{_because(body.error_kind, said)}"


def _rollback_planned(body: kinds.RollbackPlanned, program: SealedProgram, said: Said) -> str:
    names = [", ".join(item.stage for item in block.stages) for block in body.blocks]
    where = body.stage or f"block {body.index}"
    return f"going back from {where}: {', then '.join(names) or 'there is nothing to undo'}"


def _rollback_started(body: kinds.RollbackStarted, program: SealedProgram, said: Said) -> str:
    number = f", try {body.attempt}" if body.attempt > 1 else ""
    return f"rollback started{number} (the stage had {_ended(body.outcome)})"


def _ended(outcome: str) -> str:
    said = {
        "unknown": "ended, nobody knows how",
        "not_begun": "not begun",
        "cancelled": "been cancelled",
        "timed_out": "run out of time",
        "": "begun",
    }
    return said.get(outcome, outcome)


def _rollback_ended(body: kinds.RollbackEnded, program: SealedProgram, said: Said) -> str:
    if body.becomes == "rolled_back":
        return "rolled back"
    text = f"rollback {body.outcome}{_because(body.error_kind, said)}"
    again = f"the next try at {clock_text(body.retry_at)}"
    return f"{text}; {again if body.becomes == 'rolling_back' else 'it is not tried again'}"


def _run_held(body: kinds.RunHeld, program: SealedProgram, said: Said) -> str:
    return f"the run is held: {_HELD.get(body.reason, body.reason)}"


def _settled(body: kinds.RunSettled, program: SealedProgram, said: Said) -> str:
    residue = ", ".join(item.stage for item in body.residue)
    return f"the run is {body.status}{f', leaving behind what {residue} did' if residue else ''}"


_SENTENCES: dict[type, Callable[[Any, SealedProgram, Said], str]] = {
    kinds.RunCreated: _created,
    kinds.RunTaken: lambda body, program, said: "taken up again",
    kinds.WhenTested: lambda body, program, said: f"its `when` is {'true' if body.verdict else 'false'}",
    kinds.StageSkipped: _skipped,
    kinds.StageFailed: _failed,
    kinds.StageWaiting: _waiting,
    kinds.DependenciesFound: lambda body, program, said: "its data is there",
    kinds.AttemptStarted: _attempt_started,
    kinds.AttemptEnded: _attempt_ended,
    kinds.ValidationEnded: _validation_ended,
    kinds.BlockValidated: _block_validated,
    kinds.StageCancelled: lambda body, program, said: "cancelled: the run goes back",
    kinds.RollbackPlanned: _rollback_planned,
    kinds.RollbackStarted: _rollback_started,
    kinds.RollbackEnded: _rollback_ended,
    kinds.RunHeld: _run_held,
    kinds.RunReleased: lambda body, program, said: f"{body.by} says that it goes on",
    kinds.RunSettled: _settled,
}
