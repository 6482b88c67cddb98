"""Questions: what a search wants to know besides listings, for dependencies that are no files, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from clew.core.planning.patterns import PatternError
from clew.core.program.model import (
    AskedDependency,
    Json,
    ProgramDependency,
    VariableDependency,
)
from clew.core.program.variables import render

SECRET = "secret:"
"""How a text begins that stands for a secret; only one that the program itself states does."""


@dataclass(frozen=True, slots=True)
class Question:
    """Wanted: what a dependency comes to, by its kind and its params; references are filled in.

    `variable`: program, output. `program`: program, offset_milliseconds (None: its latest run). `resource` and
    `infrastructure`: the params of the conditions. Any other is a plug-in, which has so long to answer.
    """

    kind: str
    params: Mapping[str, Json]
    timeout_milliseconds: int | None = None

    @property
    def rests_on(self) -> tuple[str, ...]:
        """What of the request the reply depends on, by the names of its fields."""
        return _RESTS_ON.get(self.kind, ("run_time", "folder"))


_RESTS_ON = {
    "variable": (),
    "program": ("run_id", "run_time", "is_due"),
    "resource": (),
    "infrastructure": (),
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a question was answered with: a value, or that it is missing; why, for people; and on what that rests."""

    is_found: bool
    value: Json
    why: str
    facts: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Told:
    """On what the value of a dependency that is no file rests, or why it is missing."""

    kind: str
    facts: Mapping[str, Json]
    why: str

    def document(self) -> dict[str, Json]:
        """As the journal's payload has it."""
        return {"kind": self.kind, **self.facts, "why": self.why}


NamedDependency = VariableDependency | ProgramDependency | AskedDependency


def question_of(dependency: NamedDependency, scope: Mapping[str, Json]) -> Question:
    """The question that the dependency asks. Raises PatternError, and TemplateError for what can't be filled in."""
    if isinstance(dependency, AskedDependency):
        params = {name: _filled(value, scope, dependency) for name, value in dependency.params.items()}
        return Question(dependency.kind, params, dependency.timeout_milliseconds)
    program = _name(dependency, "program", dependency.program, scope)
    if isinstance(dependency, ProgramDependency):
        offset = dependency.offset_milliseconds
        return Question("program", {"program": program, "offset_milliseconds": offset})
    return Question(
        "variable", {"program": program, "output": _name(dependency, "output", dependency.output, scope)}
    )


def settled(dependency: NamedDependency, reply: Reply, scope: Mapping[str, Json]) -> Reply:
    """The reply; where what was wanted is missing and the dependency has a default, that it is the default."""
    if reply.is_found or not isinstance(dependency, VariableDependency) or not dependency.has_default:
        return reply
    return Reply(True, render(dependency.default, scope), f"{reply.why}, so it is the default", reply.facts)


def _name(dependency: NamedDependency, part: str, text: str, scope: Mapping[str, Json]) -> str:
    name = render(text, scope)
    if not isinstance(name, str):
        raise PatternError(f"the {part} of '{dependency.name}' is {type(name).__name__}, not a name")
    return name


def _filled(value: Json, scope: Mapping[str, Json], dependency: AskedDependency) -> Json:
    """The value filled in. One that a variable brings may name no secret: whoever sets it could read that."""
    if isinstance(value, dict):
        return {name: _filled(item, scope, dependency) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, scope, dependency) for item in value]
    found = render(value, scope)
    if found != value and _names_secret(found):
        raise PatternError(f"the params of '{dependency.name}': only the program itself may name a secret")
    return found


def _names_secret(value: Json) -> bool:
    if isinstance(value, dict):
        return any(_names_secret(item) for item in value.values())
    if isinstance(value, list):
        return any(_names_secret(item) for item in value)
    return isinstance(value, str) and value.startswith(SECRET)
