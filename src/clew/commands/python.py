"""`python`: a function of the project's own code, plain or async."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from clew.commands.interface import CommandContext, CommandError
from clew.core.running.json_values import NotJson, to_json
from clew.ports import Json

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def python(context: CommandContext, params: Mapping[str, Json]) -> Any:
    """Gives back what the function returns, as JSON: dataclasses, NamedTuples and mappings by their fields.

    Fails with `not_found` if there is no such function, `params` if it can't be called so, `output` if what
    it returns has no JSON form, and otherwise as the function does: its exceptions come through.
    """
    function = load_function(params["function"])
    values = _values(function, params, context)
    result = function(**values)
    return _later(result) if hasattr(result, "__await__") else as_json(result)


def load_function(reference: Json) -> Callable[..., Any]:
    """The function that `module:qualname` names. Raises CommandError."""
    module, colon, qualname = reference.partition(":") if isinstance(reference, str) else ("", "", "")
    if not module or not colon or not qualname or "<" in qualname:
        raise CommandError("params", f"'{reference}' names no function; write `module:function`")
    try:
        found: Any = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there; what it imports is not
        raise CommandError("not_found", f"there is no module '{module}' for '{reference}'") from error
    for part in qualname.split("."):
        if not hasattr(found, part):
            raise CommandError("not_found", f"the module '{module}' has no '{qualname}'")
        found = getattr(found, part)
    if not callable(found):
        raise CommandError("params", f"'{reference}' is {type(found).__name__}, not a function")
    return found  # type: ignore[no-any-return]


def _values(
    function: Callable[..., Any], params: Mapping[str, Json], context: CommandContext
) -> dict[str, Json]:
    """What the function is called with: what `with` says, or those inputs that it has parameters for."""
    given = params.get("with")
    if given is not None and not isinstance(given, dict):
        raise CommandError("params", "`with` is a mapping from the function's parameters to their values")
    parameters = inspect.signature(function).parameters
    if given is None:
        known = {**_given_to_all(context), **context.inputs}
        values = {name: known[name] for name in parameters if name in known}
    else:
        values = dict(given)
    _check(params["function"], parameters, values)
    return values


def _given_to_all(context: CommandContext) -> dict[str, Json]:
    return {
        "program_name": context.program,
        "run_id": context.run_id,
        "stage_name": context.stage,
        "attempt": context.attempt,
        "idempotency_key": context.idempotency_key,
        "outcome": context.outcome,
        "attempts": context.attempts,
        "rollback_idempotency_key": context.rollback_idempotency_key,
    }


def _check(reference: str, parameters: Mapping[str, inspect.Parameter], values: Mapping[str, Json]) -> None:
    takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    by_name = {name: one for name, one in parameters.items() if one.kind in _BY_NAME}
    unknown = [name for name in values if name not in by_name]
    if unknown and not takes_any:
        known = ", ".join(by_name) or "none"
        raise CommandError(
            "params", f"{reference} has no parameter '{unknown[0]}'; its parameters are: {known}"
        )
    missing = [
        name
        for name, one in parameters.items()
        if one.default is inspect.Parameter.empty
        and name not in values
        and one.kind in (*_BY_NAME, inspect.Parameter.POSITIONAL_ONLY)
    ]
    if missing:
        raise CommandError("params", f"{reference} needs '{missing[0]}', and nothing gives it a value")


async def _later(result: Any) -> Json:
    return as_json(await result)


def as_json(value: Any) -> Json:
    """The value as JSON. Raises CommandError if it has no such form."""
    try:
        return to_json(value)
    except NotJson as error:
        raise CommandError("output", f"what the function returned can't be kept: {error}") from error
