"""A command's or condition's params, ready to be used: by name, their references filled in by their kinds."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from clew.core.program.model import Json
from clew.core.program.problems import nearest
from clew.core.program.signatures import EXPRESSION, LITERAL, SHELL, SQL, TEXT, Param, Signature
from clew.core.program.variables import bind, render


class ParamsError(ValueError):
    """Params that the command or condition does not take; the message says what would be right."""


class Bound(Struct, frozen=True):
    """A statement, and the values of its named parameters."""

    statement: str
    values: Mapping[str, Json] = field(default_factory=dict)


def named(signature: Signature, params: Json) -> dict[str, Json]:
    """The params by name; a list stands for the positional ones, a single text for the first of them.

    Raises ParamsError when there are too many, unknown ones, or required ones missing.
    """
    if params is None:
        by_name: dict[str, Json] = {}
    elif isinstance(params, dict):
        by_name = dict(params)
    else:
        by_name = _by_position(signature, params if isinstance(params, (list, tuple)) else [params])
    unknown = [name for name in by_name if name not in signature.params]
    if unknown and not signature.open_params:
        hint = nearest(unknown[0], signature.params) or f"it takes {', '.join(signature.params)}"
        raise ParamsError(f"{signature.name} takes no '{unknown[0]}'; {hint}")
    missing = [name for name, param in signature.params.items() if param.required and name not in by_name]
    if missing:
        raise ParamsError(f"{signature.name} needs '{missing[0]}': {signature.params[missing[0]].about}")
    return by_name


def _by_position(signature: Signature, values: list[Json] | tuple[Json, ...]) -> dict[str, Json]:
    names = signature.positional
    takes_rest = bool(names) and names[-1].endswith("*")
    single = names[:-1] if takes_rest else names
    by_name = dict(zip(single, values, strict=False))
    rest = list(values[len(single) :])
    if takes_rest and rest:
        by_name[names[-1].removesuffix("*")] = rest
    elif rest:
        how = f"a list of at most {len(names)}" if names else "a mapping"
        raise ParamsError(f"{signature.name} takes {how}: {', '.join(names or signature.params)}")
    return by_name


def prepare(signature: Signature, params: Json, scope: Mapping[str, Json]) -> dict[str, Json]:
    """The params by name with every reference filled in as the param's kind says.

    SQL becomes `Bound`; expressions and literals stay as they are. Raises ParamsError and TemplateError.
    """
    return {
        name: _filled(value, signature.params.get(name, Param()).kind, scope)
        for name, value in named(signature, params).items()
    }


def _filled(value: Json, kind: str, scope: Mapping[str, Json]) -> Json:
    if kind in (LITERAL, EXPRESSION):
        return value
    if kind == SQL:
        return [_bound(one, scope) for one in value] if isinstance(value, list) else _bound(value, scope)
    if kind == SHELL and not isinstance(value, str):
        # A list of arguments never meets a shell, so nothing in it is quoted.
        return render(value, scope, TEXT)
    return render(value, scope, kind)


def _bound(statement: Json, scope: Mapping[str, Json]) -> Bound:
    if not isinstance(statement, str):
        raise ParamsError(f"a statement is a text, not {type(statement).__name__}")
    return Bound(*bind(statement, scope))
