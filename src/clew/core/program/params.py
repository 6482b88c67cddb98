"""The params of commands and conditions: by position or by name, and of which kind each one's strings are."""

from __future__ import annotations

from collections.abc import Iterator

from clew.core.program.model import Command, Condition, Json, Program
from clew.core.program.problems import Path, nearest
from clew.core.program.shapes import NOT_AVAILABLE
from clew.core.program.signatures import SHELL, TEXT, Signature, Signatures
from clew.core.program.templates import Reference, TemplateError
from clew.core.program.variables import references, templates_in


def templates_of(
    work: Command | Condition, signature: Signature | None, path: Path
) -> Iterator[tuple[Path, str, str]]:
    """Every string within the params: its path (under `path`), itself and its kind."""
    params = work.params
    if isinstance(params, dict) and signature is not None:
        for name, value in params.items():
            yield from templates_in(value, kind_of(name, value, signature), (*path, name))
    else:
        yield from templates_in(params, TEXT, path)


def kind_of(name: str, value: Json, signature: Signature) -> str:
    """The kind of the strings of one param; a list of arguments never meets a shell and is plain text."""
    kind = signature.params[name].kind if name in signature.params else TEXT
    return TEXT if kind == SHELL and not isinstance(value, str) else kind


def name_reference(name: str) -> Reference:
    """The reference that a command's name is. Raises TemplateError if it is anything else with braces."""
    found = references(name)
    if not found or str(found[0]) != name or found[0].path or found[0].format:
        raise TemplateError(f"'{name}' is no command's name", "write the whole name as {name}")
    return found[0]


def possible_names(reference: Reference, program: Program) -> tuple[str, ...] | None:
    """The command names that a reference can stand for, as far as known; None if it may not name one.

    Allowed are the program's own variables, and those of a request whose schema is a closed list.
    """
    schema = program.requests.get(reference.name)
    allowed = schema.get("enum") if isinstance(schema, dict) else None
    if isinstance(allowed, list):
        return tuple(name for name in allowed if isinstance(name, str))
    if reference.name in program.requests or reference.name not in program.variables:
        return None
    default = program.variables[reference.name]
    return (default,) if isinstance(default, str) else ()


def signature_of(name: str, program: Program, signatures: Signatures) -> Signature | None:
    """The signature of the command, or of the first one that its reference can stand for."""
    if "{" not in name:
        return signatures.get(name)
    try:
        reference = name_reference(name)
    except TemplateError:
        return None
    names = possible_names(reference, program)
    return next((signatures[one] for one in names or () if one in signatures), None)


def by_name(params: Json, signature: Signature) -> Json:
    """The params as a mapping, if they came as a list and the signature says which names its items have."""
    if params is None:
        return {}
    if not isinstance(params, list) or not signature.positional:
        return params
    named: dict[str, Json] = {}
    for at, name in enumerate(signature.positional):
        if name.endswith("*"):
            if params[at:]:
                named[name[:-1]] = list(params[at:])
        elif at < len(params):
            named[name] = params[at]
    return named


def positions_of(params: list[Json], signature: Signature) -> Iterator[tuple[Path, Path]]:
    """For params given as a list: where each item is in the mapping, and where its author wrote it."""
    for at, name in enumerate(signature.positional):
        if name.endswith("*"):
            yield from (((name[:-1], item - at), (item,)) for item in range(at, len(params)))
        elif at < len(params):
            yield (name,), (at,)


def params_problems(params: Json, signature: Signature) -> Iterator[tuple[Path, str, str]]:
    """What is wrong with params as their author wrote them: the path within them, what, and a hint."""
    takes = f"'{signature.name}' takes {', '.join(signature.params) or 'no params'}"
    if isinstance(params, list):
        yield from _list_problems(params, signature, takes)
    elif params is not None and not isinstance(params, dict):
        yield (), f"params are a list or a mapping, not {_written(params)}", takes
    named = by_name(params, signature)
    if not isinstance(named, dict):
        return
    if not signature.open_params:
        for name in named:
            if name in signature.later:
                yield (name,), f"'{name}' is {NOT_AVAILABLE}", takes
            elif name not in signature.params:
                yield (
                    (name,),
                    f"'{signature.name}' has no param '{name}'",
                    nearest(name, signature.params) or takes,
                )
    for name, param in signature.params.items():
        if param.required and name not in named:
            yield (), f"'{signature.name}' needs the param '{name}'", param.about


def _list_problems(params: list[Json], signature: Signature, takes: str) -> Iterator[tuple[Path, str, str]]:
    names = signature.positional
    if not names and not signature.open_params:
        yield (), f"'{signature.name}' takes its params by name", takes
    elif names and not names[-1].endswith("*") and len(params) > len(names):
        what = f"'{signature.name}' takes {len(names)} params in a list, here are {len(params)}"
        yield (len(names),), what, f"they stand for {', '.join(names)}"


def _written(value: Json) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)
