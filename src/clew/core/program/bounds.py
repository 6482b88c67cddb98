"""What any document must keep to before its keys are looked at: size, depth, values that JSON can hold."""

from __future__ import annotations

from math import isfinite

from clew.core.program.model import Json
from clew.core.program.problems import Path, Problem

# Bigger than any program a person wrote; a generated one of 10,000 stages fits.
DOCUMENT_SIZE_MAX = 4 * 1024 * 1024
# The deepest thing that a program itself has is nine levels down; the rest is for JSON values and schemas.
DEPTH_MAX = 32
# Keeps what a text of that size can become in memory within some tens of megabytes.
NODE_COUNT_MAX = 200_000
# Every JSON reader keeps integers exact up to here, and so does canonical JSON.
INTEGER_MAX = 2**53 - 1


def bounds_problems(document: Json) -> tuple[list[Problem], bool]:
    """The document's problems with sizes and values, and whether it can be read all the same."""
    problems: list[Problem] = []
    waiting: list[tuple[Path, Json]] = [((), document)]
    size = node_count = 0
    while waiting:
        path, value = waiting.pop()
        node_count += 1
        if len(path) > DEPTH_MAX:
            return [Problem(path, f"this is nested more than {DEPTH_MAX} levels deep")], False
        if node_count > NODE_COUNT_MAX:
            return [Problem((), f"the document has more than {NODE_COUNT_MAX} values")], False
        if isinstance(value, dict):
            if any(not isinstance(key, str) for key in value):
                return [Problem(path, "a key here is no text", "write it in quotes")], False
            size += sum(len(key) for key in value)
            waiting.extend(((*path, key), item) for key, item in reversed(value.items()))
        elif isinstance(value, list):
            waiting.extend(((*path, at), item) for at, item in reversed(list(enumerate(value))))
        elif isinstance(value, str):
            size += len(value)
        if size > DOCUMENT_SIZE_MAX:
            return [Problem((), f"the document has more than {DOCUMENT_SIZE_MAX} characters")], False
        if what := _what_is_wrong(value):
            problems.append(Problem(path, what))
    return problems, True


def _what_is_wrong(value: Json) -> str:
    if isinstance(value, str):
        return "" if _is_unicode(value) else "this text holds half of a character (a lone surrogate)"
    if value is None or isinstance(value, (bool, dict, list)):
        return ""
    if isinstance(value, int):
        return "" if abs(value) <= INTEGER_MAX else f"this number is beyond {INTEGER_MAX}: write it as a text"
    if isinstance(value, float):
        return _wrong_with_float(value)
    return f"a {type(value).__name__} is no JSON value"


def _wrong_with_float(value: float) -> str:
    if not isfinite(value):
        return f"{value} is no number that JSON has"
    # Canonical JSON writes these without a fraction or exponent, so that they come back as integers.
    if value.is_integer() and INTEGER_MAX < abs(value) < 1e21:
        return f"this number is beyond {INTEGER_MAX}: write it as a text"
    return ""


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= one <= "\udfff" for one in text)
