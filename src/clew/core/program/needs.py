"""Who produces each name of the variables map, who reads it, and so who needs whom.

What a stage reads is what it declares plus every reference in its strings; what it makes is what it declares
plus the names of its dependencies. This is where the rules about names are checked, for programs of either
form. Paths are those of a program whose parts are all lists, as `content.py` writes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from clew.core.program import expressions
from clew.core.program.model import AnyDependency, InputDependency, Json, Program, Stage
from clew.core.program.params import name_reference, possible_names
from clew.core.program.problems import Path, Problem, nearest
from clew.core.program.signatures import EXPRESSION, TEXT, Signatures
from clew.core.program.stage_templates import condition_templates, dependency_templates, stage_templates
from clew.core.program.templates import NAME, Reference, pieces_of
from clew.core.program.variables import (
    BUILT_IN_NAMES,
    ITEM_NAMES,
    ROLLBACK_NAMES,
    TemplateError,
    references,
)

# A suggestion compares a name with every known one. Beyond this many comparisons (a second's worth) a file
# has so many mistakes of one sort that suggestions would not help.
_COMPARISONS_MAX = 50_000

STAGE_ONLY_NAMES = frozenset({"stage_name", "attempt", "idempotency_key"})
"""Built-in names that only a stage has, and a condition over several stages has not."""

BEFORE_ITEMS = frozenset({"when", "dependencies", "for_each", "source"})
"""The parts of a stage that are read before there are items, and read no `item` or `index`."""

CHANGING_NAMES = ROLLBACK_NAMES | {"attempt"}
"""What is not known, or not for good, when the places of `restore` are kept, and the `source` is pinned: before the
first attempt."""

_BEFORE_ATTEMPTS = {
    "restore": ("the places of restore", "they are kept once, before the first attempt"),
    "source": ("source", "what its first attempt runs, all attempts and the rollback run"),
}
"""The parts that are read once, before the first attempt, and what is said where one reads what comes later."""

AFTER = "after"
"""The label of a need that is order without data."""


class Need(Struct, frozen=True):
    """One reason to come later: the stage that is needed, and the name it makes (or `after`)."""

    stage: str
    label: str


class Use(Struct, frozen=True):
    """One reference: which part of a stage holds it, the name, where."""

    part: str
    name: str
    path: Path


class StageReads(Struct, frozen=True):
    """The names that a stage reads and does not make itself, by when it reads them.

    `forward`: its inputs, `when`, dependencies, `for_each`, source, environment, `execute`, and the places that
    its rollback restores; source and environment are read by all three. A rollback's `outcome` and `attempts` and an
    item's `item` and `index` are left out, names that clew gives every stage (`run_name`, ...) are not.
    `rollback_own`: of what the stage makes itself, or its item is for, what its rollback reads.
    """

    forward: frozenset[str]
    validate: frozenset[str]
    rollback: frozenset[str]
    rollback_own: frozenset[str]

    @property
    def names(self) -> frozenset[str]:
        return self.forward | self.validate | self.rollback


class Producer(Struct, frozen=True):
    """Who makes a name: a stage by its position, or None for the program itself; as what; where."""

    stage: int | None
    sort: str
    path: Path


class Survey(Struct):
    """What came of looking through a program; `needs` and `condition_stages` go by position."""

    producers: dict[str, Producer] = {}
    needs: list[tuple[Need, ...]] = []
    condition_stages: list[frozenset[int]] = []
    problems: list[Problem] = []
    comparisons_left: int = _COMPARISONS_MAX


def stage_reads(
    stage: Stage, signatures: Signatures, conditions: Signatures, *, program: Program | None = None
) -> StageReads:
    """The names that the stage reads from others. Raises TemplateError where a template can't be read.

    With the program it is also known what a command whose name is a reference may stand for.
    """
    given = {output.name for output in stage.outputs} | {one.name for one in stage.dependencies}
    given |= ITEM_NAMES if stage.for_each is not None else set()
    names: dict[str, set[str]] = {}
    around = program or Program("", (stage,))
    for part, _, text, kind in stage_templates(stage, around, signatures, conditions, ()):
        names.setdefault(part, set()).update(one.name for one in references(text, kind))
    by_all = names.get("source", set()) | names.get("environment", set())
    rollback = names.pop("rollback", set()) - ROLLBACK_NAMES | by_all
    validate = names.pop("validate", set()) | by_all
    forward = set(stage.inputs).union(*names.values())
    return StageReads(
        frozenset(forward - given),
        frozenset(validate - given),
        frozenset(rollback - given),
        frozenset(rollback & given),
    )


def survey(
    program: Program, signatures: Signatures, conditions: Signatures, *, names_are_complete: bool = True
) -> Survey:
    """Who needs whom in the program, with every mistake in its templates, names and `after`s.

    `names_are_complete` is false where parts could not be read that may declare names: a name that nothing
    declares is then no mistake that one could be sure of.
    """
    found = Survey()
    _register_producers(program, found)
    positions = {stage.name: at for at, stage in enumerate(program.stages)}
    for at, stage in enumerate(program.stages):
        uses = _stage_uses(at, stage, program, signatures, conditions, found)
        _check_dependency_order(stage, uses, ("stages", at), found)
        _check_for_each(stage.for_each, ("stages", at, "for_each"), found)
        if names_are_complete:
            _check_target(stage, positions, ("stages", at, "rollback", "to"), found)
        data = [need for use in uses for need in _needed(use, at, program, found, names_are_complete)]
        order = list(_after(at, stage, positions, found, names_are_complete))
        unique = dict.fromkeys(data + order)
        found.needs.append(tuple(sorted(unique, key=lambda need: positions[need.stage])))
    _survey_conditions(program, conditions, found, names_are_complete)
    return found


def ordered_dependencies(stage: Stage) -> tuple[AnyDependency, ...]:
    """The stage's dependencies so that each comes after those it refers to; circles are left out."""
    names = {one.name for one in stage.dependencies}
    waiting = {
        one.name: {name for _, text, kind in dependency_templates(one, ()) for name in _names(text, kind)}
        & names
        for one in stage.dependencies
    }
    ordered: list[AnyDependency] = []
    while True:
        ready = [
            one
            for one in stage.dependencies
            if one.name in waiting and not waiting[one.name] & waiting.keys()
        ]
        if not ready:
            return tuple(ordered)
        ordered.extend(ready)
        for one in ready:
            del waiting[one.name]


# ---- producers -------------------------------------------------------------------------------------------


def _register_producers(program: Program, found: Survey) -> None:
    """Who makes which name. What can't be made under a name is told once, here, and not at each use."""
    _register_all(program, found)
    each = next((stage.name for stage in program.stages if stage.for_each is not None), None)
    for name in sorted(ITEM_NAMES & found.producers.keys()) if each is not None else ():
        what = f"'{name}' is a name that clew gives the items of the stage '{each}'"
        found.problems.append(Problem(found.producers[name].path, what, "rename it"))


def _register_all(program: Program, found: Survey) -> None:
    for name in program.variables:
        _register(name, Producer(None, "a variable of the program", ("variables", name)), program, found)
    for name in program.requests:
        if name not in program.variables:
            _register(name, Producer(None, "a variable of the request", ("requests", name)), program, found)
    for time in program.custom_times:
        _register(time.name, Producer(None, "a custom time", ("custom_times", time.name)), program, found)
    for at, stage in enumerate(program.stages):
        for dependency in stage.dependencies:
            path = ("stages", at, "dependencies", dependency.name)
            sort = "an input" if isinstance(dependency, InputDependency) else "a dependency"
            _register(dependency.name, Producer(at, sort, path), program, found)
        for output in stage.outputs:
            path = ("stages", at, "outputs", output.name)
            _register(output.name, Producer(at, "an output", path), program, found)


def _register(name: str, producer: Producer, program: Program, found: Survey) -> None:
    if name in BUILT_IN_NAMES or name in ROLLBACK_NAMES:
        found.problems.append(
            Problem(producer.path, f"'{name}' is a name that clew gives itself", "rename it")
        )
        return
    first = found.producers.setdefault(name, producer)
    if first is not producer:
        what = f"'{name}' has two producers: it is {_told(first, program)} and {_told(producer, program)}"
        found.problems.append(Problem(producer.path, what, "rename one of them"))


def _told(producer: Producer, program: Program) -> str:
    if producer.stage is None:
        return producer.sort
    return f"{producer.sort} of the stage '{program.stages[producer.stage].name}'"


# ---- uses ------------------------------------------------------------------------------------------------


def _stage_uses(
    at: int, stage: Stage, program: Program, signatures: Signatures, conditions: Signatures, found: Survey
) -> list[Use]:
    path: Path = ("stages", at)
    uses = [Use("inputs", name, (*path, "inputs", place)) for place, name in enumerate(stage.inputs)]
    for part, its_path, text, kind in stage_templates(stage, program, signatures, conditions, path):
        uses += (Use(part, name, its_path) for name in _checked_names(its_path, text, kind, found))
        if its_path[-1] == "command":
            _check_name_reference(its_path, text, program, found)
    return uses


def _checked_names(path: Path, text: str, kind: str, found: Survey) -> list[str]:
    """The names that a template refers to; a mistake in it becomes a problem."""
    try:
        names = [one.name for one in references(text, kind)]
        if kind == EXPRESSION:
            expressions.check(text)
    except (TemplateError, expressions.ExpressionError) as error:
        found.problems.append(Problem(path, error.what, error.hint))
        return []
    return list(dict.fromkeys(names))


def _check_name_reference(path: Path, text: str, program: Program, found: Survey) -> None:
    if "{" not in text:
        return
    try:
        reference = name_reference(text)
    except TemplateError as error:
        found.problems.append(Problem(path, error.what, error.hint))
        return
    if possible_names(reference, program) is None:
        hint = "put it into the program's variables, or give its schema in requests an enum"
        found.problems.append(Problem(path, f"{text} may not name a command", hint))


def _check_dependency_order(stage: Stage, uses: list[Use], path: Path, found: Survey) -> None:
    if not any(use.part == "dependencies" for use in uses):
        return
    circle = [one for one in stage.dependencies if one not in ordered_dependencies(stage)]
    if circle:
        names = ", ".join(f"'{one.name}'" for one in circle)
        what = f"the dependencies {names} of the stage '{stage.name}' wait for each other"
        found.problems.append(
            Problem((*path, "dependencies", circle[0].name), what, "let one refer to none of them")
        )


def _check_for_each(values: Json, path: Path, found: Survey) -> None:
    """A text that is no single reference stays a text, and has no items."""
    if not isinstance(values, str):
        return
    try:
        pieces = pieces_of(values, TEXT)
    except TemplateError:
        # It is told with the other mistakes in templates.
        return
    if len(pieces) == 1 and isinstance(pieces[0], Reference) and pieces[0].format is None:
        return
    meant = f"{{{values}}}" if re.fullmatch(NAME, values) else "a single {reference}"
    found.problems.append(Problem(path, f"'{values}' is no list", f"write {meant}, or a list"))


def _check_target(stage: Stage, positions: Mapping[str, int], path: Path, found: Survey) -> None:
    target = stage.rollback.to
    if target is not None and target not in positions:
        found.problems.append(Problem(path, f"there is no stage '{target}'", nearest(target, positions)))


def _names(text: str, kind: str) -> frozenset[str]:
    try:
        return frozenset(one.name for one in references(text, kind))
    except TemplateError:
        return frozenset()


# ---- from uses to needs ----------------------------------------------------------------------------------


def _needed(use: Use, at: int, program: Program, found: Survey, names_are_complete: bool) -> Iterator[Need]:
    """The need behind a use, if it is one; a use that can't be is a problem."""
    told = _told_to(use.part, program.stages[at])
    producer = found.producers.get(use.name)
    if use.name in told:
        return
    if producer is None:
        if names_are_complete:
            found.problems.append(_unknown(use, told, found))
    elif producer.stage is None:
        return
    elif producer.stage != at and program.stages[producer.stage].name != program.stages[at].name:
        yield Need(program.stages[producer.stage].name, use.name)
    elif producer.stage == at and (problem := _own_problem(use, producer, program.stages[at])):
        found.problems.append(problem)


def _told_to(part: str, stage: Stage) -> frozenset[str]:
    """The names that clew gives that part of the stage."""
    told = BUILT_IN_NAMES
    if part == "rollback":
        told = BUILT_IN_NAMES | ROLLBACK_NAMES
    elif part in _BEFORE_ATTEMPTS:
        told = BUILT_IN_NAMES - CHANGING_NAMES
    return told | ITEM_NAMES if stage.for_each is not None and part not in BEFORE_ITEMS else told


def _own_problem(use: Use, producer: Producer, stage: Stage) -> Problem | None:
    if use.part in ("validate", "rollback"):
        return None
    what = f"'{use.name}' is {producer.sort} of the stage '{stage.name}' itself"
    if use.part == "restore" and producer.sort == "an output":
        return Problem(use.path, what, "the places of restore are kept before its first attempt")
    if producer.sort == "an output":
        return Problem(use.path, what, "a stage can read its outputs in validate and rollback only")
    if use.part == "when":
        return Problem(use.path, what, "when is tested before the dependencies are searched")
    return None


def _unknown(use: Use, told: frozenset[str], found: Survey) -> Problem:
    if use.part in _BEFORE_ATTEMPTS and use.name in CHANGING_NAMES:
        whom, hint = _BEFORE_ATTEMPTS[use.part]
        return Problem(use.path, f"'{use.name}' is not told to {whom}", hint)
    if use.name in ROLLBACK_NAMES:
        return Problem(use.path, f"'{use.name}' is told to rollbacks only")
    if use.name in ITEM_NAMES and use.part in BEFORE_ITEMS:
        what = f"'{use.name}' is not told to {use.part}, which is read before there are items"
        return Problem(use.path, what, "it can be used in environment, execute, validate and rollback")
    if use.name in ITEM_NAMES:
        what = f"'{use.name}' is told to the items of a stage with for_each only"
        return Problem(use.path, what, "say in the stage's for_each what it is done for")
    known = [*found.producers, *sorted(told)]
    found.comparisons_left -= len(known)
    suggestion = nearest(use.name, known) if found.comparisons_left > 0 else ""
    hint = suggestion or "declare it in variables or requests, or as the output of a stage"
    return Problem(use.path, f"nothing produces '{use.name}'", hint)


def _after(
    at: int, stage: Stage, positions: Mapping[str, int], found: Survey, names_are_complete: bool
) -> Iterator[Need]:
    for place, name in enumerate(stage.after):
        path = ("stages", at, "after", place)
        if name == stage.name:
            found.problems.append(Problem(path, f"the stage '{name}' can't come after itself"))
        elif name in positions:
            yield Need(name, AFTER)
        elif names_are_complete:
            found.problems.append(Problem(path, f"there is no stage '{name}'", nearest(name, positions)))


def _survey_conditions(
    program: Program, conditions: Signatures, found: Survey, names_are_complete: bool
) -> None:
    """The stages whose names each of the program's own conditions reads."""
    told = BUILT_IN_NAMES - STAGE_ONLY_NAMES
    for at, condition in enumerate(program.validate):
        stages = set()
        for path, text, kind in condition_templates(condition, conditions, ("validate", at)):
            for name in _checked_names(path, text, kind, found):
                producer = found.producers.get(name)
                if producer is not None and producer.stage is not None:
                    stages.add(producer.stage)
                elif name in STAGE_ONLY_NAMES:
                    what = f"'{name}' is a stage's, and this condition belongs to several"
                    found.problems.append(Problem(path, what))
                elif producer is None and name not in told and names_are_complete:
                    found.problems.append(_unknown(Use("validate", name, path), told, found))
        found.condition_stages.append(frozenset(stages))
