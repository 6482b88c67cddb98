"""What a condition is: one function that is given its surroundings and its params, and gives a finding.

    @condition(about="The queue is empty.", params={"queue": Param(required=True)}, positional=("queue",))
    def queue_empty(context: ConditionContext, params: Mapping[str, Json]) -> Finding: ...

It may be `async`. What can't be told is no `not_held`: it raises, and the finding says `error`. A package
offers its conditions by entry points of the group `clew.conditions`; a project's own are named
`module:function`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from clew.core.planning.search import Outcome, Search
from clew.core.program.demands import demand_problems
from clew.core.program.preparing import ParamsError
from clew.core.program.signatures import Param, Signature
from clew.ports import Finding, Json

SIGNATURE = "clew_signature"
"""The attribute of a function that carries its signature."""

HELD, NOT_HELD, ERROR = "held", "not_held", "error"

COMPARED_SIZE_MAX = 4_096
"""Characters of a compared value that a finding keeps, as JSON: enough to see which broke which rule."""
MESSAGE_SIZE_MAX = 1_000
"""Characters of a finding's message."""

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionContext:
    """The surroundings in which conditions are tested; its callables are the attempt's own."""

    scope: Mapping[str, Json]
    """The values of the names that the condition's params refer to."""
    search: Callable[[Search], Outcome]
    """Holds a search against the attempt's buckets. Raises BucketError."""
    perform: Callable[[str, Mapping[str, Json]], Any]
    """Performs a command whose params are filled in already and gives its value, or an awaitable of it."""
    lead: Callable[[str], str] = str
    """Where an address leads: to itself, or in a rehearsal to what stands in for it. Raises where nothing does."""


def condition(
    *,
    about: str,
    params: Mapping[str, Param] | None = None,
    positional: tuple[str, ...] = (),
    name: str = "",
) -> Callable[[Function], Function]:
    """Say what a condition takes. Without `params` it takes any, by name."""

    def carry(function: Function) -> Function:
        signature = Signature(
            name=name or function.__name__,
            about=about,
            params=params or {},
            positional=positional,
            open_params=params is None,
        )
        setattr(function, SIGNATURE, signature)
        return function

    return carry


def finding(name: str, *, holds: bool, message: str, compared: Json = None) -> Finding:
    """A finding within its limits; a condition that holds needs no message."""
    return Finding(
        condition=name,
        verdict=HELD if holds else NOT_HELD,
        message="" if holds else shortened(message, MESSAGE_SIZE_MAX),
        compared=limited(compared),
    )


def checked(name: str, params: Mapping[str, Json]) -> None:
    """Raises ParamsError for the first value that its condition can't use."""
    for where, what, hint in demand_problems(name, params):
        place = f"{where[0]}: " if where else ""
        raise ParamsError(f"{place}{what}{f'; {hint}' if hint else ''}")


def error(name: str, message: str) -> Finding:
    """The finding that it could not be told."""
    return Finding(condition=name, verdict=ERROR, message=shortened(message, MESSAGE_SIZE_MAX))


def limited(compared: Json) -> Json:
    """The values compared; those that are too large to keep as the beginning of their JSON text."""
    if not isinstance(compared, dict):
        return _limited_one(compared)
    return {name: _limited_one(value) for name, value in compared.items()}


def _limited_one(value: Json) -> Json:
    text = json.dumps(value, ensure_ascii=False)
    return value if len(text) <= COMPARED_SIZE_MAX else shortened(text, COMPARED_SIZE_MAX)


def shortened(text: str, size_max: int) -> str:
    """The text, cut where it would be longer than that many characters."""
    return text if len(text) <= size_max else f"{text[: size_max - 1]}…"


def shown(value: Json) -> str:
    """A value as a message says it."""
    return shortened(json.dumps(value, ensure_ascii=False), 200)
