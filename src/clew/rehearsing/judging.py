"""From what was played to what is to be said: which rollbacks did not bring the world back. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from clew.core.program.model import Program
from clew.ports import AttemptError
from clew.rehearsing.playing import Played
from clew.rehearsing.scenarios import Scenario
from clew.rehearsing.worlds import Change, doers

BACK = "back"
LEFT = "left"
FAILED = "failed"
UNREACHED = ""


class Fault(NamedTuple):
    """A rollback that did not do what it should, in one scenario. `stage` is empty where nobody knows whose."""

    stage: str
    scenario: Scenario
    left: tuple[Change, ...]
    error: AttemptError | None


class Residue(NamedTuple):
    """What a stage leaves that is not undone, as it declares itself (`undeclared`, `none` or `impossible`)."""

    stage: str
    declared: str
    left: tuple[Change, ...]


class Unrehearsed(NamedTuple):
    """What could not be rehearsed, and why. A stage that the run passes over is no fault; a scenario that did not come
    about proves nothing, which is wrong."""

    what: str
    why: str
    is_wrong: bool = True


class Verdict(NamedTuple):
    """Of a whole rehearsal. `marks`: by stage, then scenario, `back`, `left` or `failed`; empty where the stage has no
    rollback, or had not begun."""

    faults: tuple[Fault, ...]
    residue: tuple[Residue, ...]
    unrehearsed: tuple[Unrehearsed, ...]
    marks: Mapping[str, Mapping[Scenario, str]]


def judge(program: Program, played: Sequence[Played]) -> Verdict:
    """What the scenarios amount to; the undisturbed one comes first."""
    kinds = {stage.name: stage.rollback.kind for stage in program.stages}
    faults: list[Fault] = []
    residue: dict[str, Residue] = {}
    for one in played:
        for stage, left in _by_stage(one, kinds).items():
            if kinds.get(stage, "commands") == "commands":
                faults.append(Fault(stage, one.scenario, left, one.errors.get(stage)))
            elif stage not in residue:
                residue[stage] = Residue(stage, kinds[stage], left)
        blamed = {fault.stage for fault in faults if fault.scenario == one.scenario}
        faults += [
            Fault(stage, one.scenario, (), error)
            for stage, error in one.errors.items()
            if stage not in blamed
        ]
    marks = {
        stage.name: {
            one.scenario: _mark(stage.name, one, faults, is_undone=stage.rollback.kind == "commands")
            for one in played
        }
        for stage in program.stages
    }
    return Verdict(tuple(faults), tuple(residue.values()), tuple(_unrehearsed(program, played)), marks)


def _by_stage(played: Played, kinds: Mapping[str, str]) -> dict[str, tuple[Change, ...]]:
    """What has remained, by the stage whose rollback should have seen to it; by `` what is nobody's.

    Where several may have left it, those that declare a rollback are asked.
    """
    found: dict[str, list[Change]] = {}
    for change in played.left:
        stages = doers(change, played.acts)
        undone = [stage for stage in stages if kinds.get(stage) == "commands"]
        for stage in undone or stages or [""]:
            found.setdefault(stage, []).append(change)
    return {stage: tuple(changes) for stage, changes in found.items()}


def _mark(stage: str, played: Played, faults: Iterable[Fault], *, is_undone: bool) -> str:
    if stage not in played.begun or not is_undone:
        return UNREACHED
    for fault in faults:
        if fault.stage == stage and fault.scenario == played.scenario:
            return LEFT if fault.left else FAILED
    return BACK


def _unrehearsed(program: Program, played: Sequence[Played]) -> Iterable[Unrehearsed]:
    begun = played[0].begun if played else frozenset()
    for stage in program.stages:
        if stage.name not in begun:
            yield Unrehearsed(
                f"stage '{stage.name}'", "it was skipped: other variables may lead to it", False
            )
    for one in played:
        if not one.is_over:
            yield Unrehearsed(
                f"scenario '{one.scenario.name}'", "it was not over in time; --time gives it more"
            )
        elif one.scenario.stage and not one.has_struck:
            other = next(iter(one.failures.items()), None)
            why = (
                f"'{other[0]}' failed before: {other[1].kind}: {other[1].message}"
                if other
                else "it was not reached"
            )
            yield Unrehearsed(f"scenario '{one.scenario.name}'", why)
        elif one.held:
            yield Unrehearsed(f"scenario '{one.scenario.name}'", f"the run was held: {one.held}")
