"""The variables map, as strings see it: `{name}`, its fields, its positions, and times in a format.

Only the map can be reached: no attributes, no calls. It is one pass, so what a value contains is never taken
for a reference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from clew.core.program import expressions
from clew.core.program.model import Json
from clew.core.program.moments import formatted
from clew.core.program.problems import nearest
from clew.core.program.signatures import EXPRESSION, LITERAL, REGEX, SHELL, SQL, TEXT
from clew.core.program.templates import NAME, Pieces, Reference, TemplateError, pieces_of

__all__ = [
    "BUILT_IN_NAMES",
    "ITEM_NAMES",
    "NAME",
    "ROLLBACK_NAMES",
    "Reference",
    "TemplateError",
    "bind",
    "is_location",
    "names_in",
    "references",
    "render",
    "templates_in",
]

BUILT_IN_NAMES = frozenset(
    {
        "program_name",
        "run_name",
        "run_id",
        "run_time",
        "launch_time",
        "now",
        "stage_name",
        "attempt",
        "idempotency_key",
    }
)
"""The names that clew itself gives every stage."""

ROLLBACK_NAMES = frozenset({"outcome", "attempts", "rollback_idempotency_key"})
"""The names that only a rollback is told: how the stage ended, its attempts, and a key of its own."""

ITEM_NAMES = frozenset({"item", "index"})
"""The names that the items of a stage are told: the value that each is for, and its place, from 0."""

# As much as an attempt may give out: a text put together should not be larger than what it is made of.
RENDERED_SIZE_MAX = 16 * 1024 * 1024


def references(text: str, kind: str = TEXT) -> tuple[Reference, ...]:
    """The references of one template, in order. Raises TemplateError."""
    if kind == LITERAL:
        return ()
    if kind == EXPRESSION:
        try:
            return tuple(Reference(name) for name in sorted(expressions.names_in(text)))
        except expressions.ExpressionError as error:
            raise TemplateError(error.what, error.hint) from error
    return tuple(piece for piece in pieces_of(text, kind) if isinstance(piece, Reference))


def templates_in(
    value: Json, kind: str = TEXT, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Every string within the value: its path, itself and its kind.

    Keys are no templates. The `match` of an element of a path pattern is a regex where its `type` says so.
    """
    if isinstance(value, str):
        yield path, value, kind
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from templates_in(item, _kind_within(value, key, kind), (*path, key))
    elif isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            yield from templates_in(item, kind, (*path, position))


def names_in(value: Json, kind: str = TEXT) -> frozenset[str]:
    """The names that the strings within the value refer to. Raises TemplateError."""
    return frozenset(
        reference.name
        for _, text, its_kind in templates_in(value, kind)
        for reference in references(text, its_kind)
    )


def render(value: Json, scope: Mapping[str, Json], kind: str = TEXT) -> Json:
    """The value with every reference in its strings replaced by what `scope` holds. Raises TemplateError.

    A string that is a single reference keeps the value's type. A location (what a dependency found) stands
    for its URL. Expressions and literals are given back as they are.
    """
    if isinstance(value, str):
        return _filled_in(value, scope, kind)
    if isinstance(value, dict):
        return {key: render(item, scope, _kind_within(value, key, kind)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [render(item, scope, kind) for item in value]
    return value


def bind(text: str, scope: Mapping[str, Json]) -> tuple[str, dict[str, Json]]:
    """A statement with a named parameter (`:clew_0`) for each reference, and the parameters' values.

    Lists and mappings are bound as JSON texts, since no database takes them otherwise. Raises TemplateError.
    """
    statement: list[str] = []
    names: dict[Reference, str] = {}
    values: dict[str, Json] = {}
    for piece in pieces_of(text, SQL):
        if isinstance(piece, str):
            statement.append(piece)
            continue
        name = names.setdefault(piece, f"clew_{len(names)}")
        value = _value(piece, scope)
        values[name] = _json_text(value) if isinstance(value, (list, dict)) else value
        statement.append(f":{name}")
    return "".join(statement), values


def is_location(value: Json) -> bool:
    """Whether the value is where a dependency was found, rather than any mapping with such a field."""
    return isinstance(value, dict) and all(
        isinstance(value.get(name), str) for name in ("url", "bucket", "key")
    )


def _kind_within(value: dict[str, Json], key: str, kind: str) -> str:
    if key != "match" or kind not in (TEXT, REGEX):
        return kind
    return REGEX if value.get("type") == "regex" else TEXT


def _filled_in(text: str, scope: Mapping[str, Json], kind: str) -> Json:
    if kind in (LITERAL, EXPRESSION):
        return text
    pieces = pieces_of(text, kind)
    if kind == TEXT and len(pieces) == 1 and isinstance(pieces[0], Reference):
        return _value(pieces[0], scope)
    return _concatenated(pieces, scope, kind)


def _concatenated(pieces: Pieces, scope: Mapping[str, Json], kind: str) -> str:
    texts: list[str] = []
    size = 0
    for piece in pieces:
        text = piece if isinstance(piece, str) else _inserted(_value(piece, scope), kind, piece)
        size += len(text)
        if size > RENDERED_SIZE_MAX:
            raise TemplateError(
                f"the text with {piece} filled in has more than {RENDERED_SIZE_MAX} characters"
            )
        texts.append(text)
    return "".join(texts)


def _inserted(value: Json, kind: str, reference: Reference) -> str:
    text = value if isinstance(value, str) else _json_text(value)
    if kind == REGEX:
        return escaped(text)
    if kind == SHELL:
        if "\0" in text:
            raise TemplateError(f"{reference} holds a zero character, which no command line can")
        return quoted(text)
    return text


def escaped(text: str) -> str:
    """The text as a regular expression (in RE2's dialect) that matches it and nothing else."""
    return "".join(_escaped_character(one) for one in text)


def quoted(text: str) -> str:
    """The text as one word of a POSIX shell's command line."""
    return "'" + text.replace("'", "'\"'\"'") + "'"


def _escaped_character(one: str) -> str:
    if one == "\0":
        return "\\x00"
    # A backslash before a letter or digit would mean a class; beyond ASCII nothing means anything.
    return one if one.isalnum() or one == "_" or not one.isascii() else "\\" + one


def _json_text(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _value(reference: Reference, scope: Mapping[str, Json]) -> Json:
    if reference.name not in scope:
        raise TemplateError(
            f"nothing is called '{reference.name}' in {reference}", nearest(reference.name, scope)
        )
    value = scope[reference.name]
    for step in reference.path:
        value = _within(value, step, reference)
    if reference.format is not None:
        return _formatted(value, reference)
    return _located(value)


def _within(value: Json, step: str | int, reference: Reference) -> Json:
    if isinstance(step, str) and isinstance(value, Mapping):
        if step in value:
            return value[step]
        known = [key for key in value if isinstance(key, str)]
        hint = nearest(step, known) or (
            f"there are {', '.join(sorted(known)[:10])}" if known else "it is empty"
        )
        raise TemplateError(f"there is no '{step}' in {reference}", hint)
    if isinstance(step, int) and isinstance(value, (list, tuple)):
        if step < len(value):
            return value[step]
        raise TemplateError(
            f"there is no [{step}] in {reference}", f"the list has {len(value)} items, from [0]"
        )
    wanted = "fields" if isinstance(step, str) else "positions"
    raise TemplateError(f"{_sort_of(value)} has no {wanted}, as in {reference}")


def _located(value: Json) -> Json:
    if is_location(value):
        return value["url"]
    if isinstance(value, (list, tuple)):
        return [item["url"] if is_location(item) else item for item in value]
    return value


def _formatted(value: Json, reference: Reference) -> str:
    if not isinstance(value, str):
        raise TemplateError(f"{_sort_of(value)} is no time, as in {reference}", "only times have formats")
    try:
        return formatted(value, reference.format or "")
    except ValueError as error:
        raise TemplateError(
            f"'{value[:60]}' is no time, as in {reference}", "only times have formats"
        ) from error


def _sort_of(value: Json) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a mapping" if isinstance(value, Mapping) else "a list"
