"""What a person comes to say to a run: what is sensible as things are, what helps it on, or whatever."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from tests.simulation.model import DONE, Run
from tests.simulation.units import Unit

from clew.core.running.instructions import Instruction

VERBS = (
    "cancel",
    "stop",
    "pause",
    "unpause",
    "resume",
    "retry",
    "skip",
    "supply",
    "rollback",
    "rewind",
    "erase",
)
NOBODY = "nobody"
"""No stage has this name, and no input."""

Word = Callable[[Random, Run, str], Instruction]


def any_word(chance: Random, run: Run, by: str) -> Instruction:
    """Any verb of anything, whether the run can or not."""
    verb = chance.choice(VERBS)
    names = [*run.units, *run.stages, NOBODY]
    if verb == "supply":
        return supply(chance, run, chance.choice([*_inputs(run), NOBODY]), by)
    if verb == "skip":
        return _skip(chance, run, chance.choice(names), by)
    if verb in ("retry", "rewind"):
        return Instruction(verb, by, "because", chance.choice(names))
    return Instruction(verb, by, chance.choice(("", "because")))


def sensible_word(chance: Random, run: Run, by: str) -> Instruction:
    """What somebody says who has looked at the run before."""
    if run.settled:
        verb = chance.choice(("rollback", "rollback", "rewind", "rewind", "erase"))
    elif run.held:
        return helping_word(chance, run, by)
    elif run.status == "paused":
        verb = chance.choice(("unpause", "unpause", "rollback", "cancel", "stop", "supply"))
    elif run.planned is not None or run.ending:
        verb = chance.choice(("cancel", "cancel", "cancel", "stop", "rewind"))
    else:
        verb = chance.choice(("cancel", "stop", "pause", "pause", "rewind", "rewind", "supply", "supply"))
    return _said(chance, run, verb, by)


def helping_word(chance: Random, run: Run, by: str) -> Instruction:
    """What moves a held run on."""
    verbs = (
        "resume",
        "resume",
        "resume",
        "retry",
        "retry",
        "skip",
        "skip",
        "stop",
        "rollback",
        "cancel",
        "rewind",
    )
    return _said(chance, run, chance.choice(verbs), by)


def _said(chance: Random, run: Run, verb: str, by: str) -> Instruction:
    """That verb, of something that fits if there is anything."""
    if verb == "supply":
        names = [*missing_inputs(run), *_inputs(run)]
        return supply(chance, run, chance.choice(names), by) if names else Instruction("pause", by)
    if verb in ("retry", "skip"):
        failed = _failed(run) or [chance.choice(sorted(run.stages))]
        name = chance.choice(failed)
        return _skip(chance, run, name, by) if verb == "skip" else Instruction(verb, by, "try again", name)
    if verb == "rewind":
        come_to = [stage.name for stage in run.stages.values() if stage.level <= run.level]
        return Instruction(verb, by, "once more", chance.choice(come_to))
    return Instruction(verb, by)


def _failed(run: Run) -> list[str]:
    """What the run is held by, stages and items."""
    if run.planned is not None:
        return [unit.name for unit in run.acting_units if unit.has_failed_to_roll_back]
    stages = [stage for stage in run.of_level(run.level) if stage.status not in DONE]
    failed = [unit for stage in stages for unit in (stage, *stage.units) if unit.status == "failed"]
    return list(dict.fromkeys(unit.name for unit in (failed or stages)))


def _skip(chance: Random, run: Run, name: str, by: str) -> Instruction:
    unit = run.units.get(name)
    values: dict[str, Any] = {}
    if unit is not None and run.planned is None and chance.random() < 0.9:
        values = {one.name: _output(chance, unit, one.name) for one in unit.pretend.stage.outputs}
    if chance.random() < 0.05:
        values[NOBODY] = 0
    return Instruction("skip", by, "never mind", name, values)


def _output(chance: Random, unit: Unit, name: str) -> Any:
    """What the stage might have given."""
    single = chance.randrange(100) if name[0] == "o" else [chance.randrange(100)]
    return single if unit.pretend.each is None else [single] * chance.choice((0, 1, 2))


# ---- inputs ----------------------------------------------------------------------------------------------


def _inputs(run: Run) -> list[str]:
    return [one.name for stage in run.stages.values() for one in stage.pretend.inputs]


def missing_inputs(run: Run) -> list[str]:
    """What stages of the run wait for somebody to supply."""
    waiting = [stage for stage in run.stages.values() if stage.status == "waiting" and not stage.is_found]
    return [one.name for stage in waiting for one in stage.pretend.inputs if one.name not in run.supplied]


def supply(chance: Random, run: Run, name: str, by: str) -> Instruction:
    return Instruction("supply", by, values={name: chance.randrange(100)})
