"""`python`: a function of the project's own code finds nothing wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clew.conditions.interface import ConditionContext, finding, shown
from clew.ports import Finding, Json

_NAME = "python"

_NOT_CALLED = frozenset({"params", "not_found", "unknown_command", "output"})
"""The kinds of failure that say that the function could not be asked, rather than what it said."""


def python(context: ConditionContext, params: Mapping[str, Json]) -> Any:
    """None and True hold. A text is what is wrong; False, an exception, or another value do not hold.

    A function that can't be called, since it isn't there or asks for what nothing gives, is an error.
    """
    try:
        result = context.perform("python", params)
    except Exception as reason:
        return _raised(params, reason)
    return _later(params, result) if hasattr(result, "__await__") else _judged(params, result)


async def _later(params: Mapping[str, Json], result: Any) -> Finding:
    try:
        return _judged(params, await result)
    except Exception as reason:
        return _raised(params, reason)


def _judged(params: Mapping[str, Json], value: Json) -> Finding:
    compared = {**params, "returned": value}
    if value is None or value is True:
        return finding(_NAME, holds=True, message="", compared=compared)
    said = value if isinstance(value, str) and value else f"{params['function']} returned {shown(value)}"
    return finding(_NAME, holds=False, message=said, compared=compared)


def _raised(params: Mapping[str, Json], reason: Exception) -> Finding:
    if getattr(reason, "kind", None) in _NOT_CALLED:
        raise reason
    message = f"{params['function']} raised {type(reason).__name__}: {reason}"
    return finding(_NAME, holds=False, message=message, compared=dict(params))
