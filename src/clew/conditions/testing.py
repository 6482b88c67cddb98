"""From a condition's name to its finding: find it, fill in its params, test it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from clew.conditions import SIGNATURES
from clew.conditions.interface import SIGNATURE, ConditionContext, error
from clew.conditions.pure import test_pure
from clew.core.program.preparing import named, prepare
from clew.core.program.problems import nearest
from clew.core.program.signatures import Signature
from clew.ports import Finding, Json

ENTRY_POINTS = "clew.conditions"

CONDITIONS: Mapping[str, str] = {
    "file_exists": "clew.conditions.files:file_exists",
    "python": "clew.conditions.python:python",
    "http": "clew.conditions.http:http",
    "sql": "clew.conditions.sql:sql",
    "resource_available": "clew.conditions.resources:resource_available",
    "infrastructure": "clew.conditions.infrastructure:infrastructure",
}
"""Where each impure condition built in is found: its module is imported when it is first tested."""

_FILLED_IN_BY_ITSELF = "file_exists"
"""A search fills in its prefix itself, element by element, as for a dependency."""

Test = Callable[[ConditionContext, Mapping[str, Json]], Any]


class UnknownCondition(Exception):
    """No condition is called so."""


def find(name: str) -> tuple[Signature, Test]:
    """The signature and the function of a condition that is not pure: built in or not.

    Raises UnknownCondition.
    """
    signature = SIGNATURES.get(name)
    if signature is not None:
        return signature, _load(CONDITIONS[signature.name])
    function = _load(name) if ":" in name else _plugged_in(name)
    carried = getattr(function, SIGNATURE, None)
    return carried or Signature(name=name, about="", open_params=True), function


def test(name: str, params: Json, context: ConditionContext) -> Any:
    """Test a condition: a `Finding`, or an awaitable of one if the condition is async. Whatever goes wrong in
    it is a finding `error`: that it could not be told."""
    if name in SIGNATURES and SIGNATURES[name].is_pure:
        return test_pure(name, params, context.scope)
    try:
        signature, function = find(name)
        result = function(context, _filled_in(signature, params, context.scope))
    except Exception as reason:
        return error(name, _told(reason))
    return _later(name, result) if hasattr(result, "__await__") else _as_finding(name, result)


test.__test__ = False  # type: ignore[attr-defined]  # its name is no invitation to pytest


def _filled_in(signature: Signature, params: Json, scope: Mapping[str, Json]) -> dict[str, Json]:
    if signature.name == _FILLED_IN_BY_ITSELF:
        return named(signature, params)
    return prepare(signature, params, scope)


async def _later(name: str, result: Any) -> Finding:
    try:
        return _as_finding(name, await result)
    except Exception as reason:
        return error(name, _told(reason))


def _as_finding(name: str, result: Any) -> Finding:
    if isinstance(result, Finding):
        return result
    return error(name, f"the condition gave {type(result).__name__}, not a Finding")


def _told(reason: Exception) -> str:
    return f"{type(reason).__name__}: {reason}"


def _load(reference: str) -> Test:
    module, _, name = reference.partition(":")
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as reason:
        raise UnknownCondition(f"there is no condition '{reference}': {reason}") from reason
    if not callable(found):
        raise UnknownCondition(f"'{reference}' is no function")
    return found  # type: ignore[no-any-return]


def _plugged_in(name: str) -> Test:
    # Reading what is installed takes tens of milliseconds: only for a name that is not built in.
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINTS, name=name):
        return _load(f"{point.module}:{point.attr}")
    hint = (
        nearest(name, SIGNATURES) or "those that are not built in come from packages, or as module:function"
    )
    raise UnknownCondition(f"no condition '{name}' is known; {hint}")
