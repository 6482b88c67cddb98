"""What a function returned, as a JSON value; or, in words, why it has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import date, time
from math import isfinite

from clew.core.program.model import Json
from clew.core.program.problems import Path, written

INTEGER_MAX = 2**53 - 1
"""Beyond it JSON readers that keep numbers as doubles round; a rounded number is a wrong one."""
DEPTH_MAX = 64
"""Deeper than any data a stage passes on, far from where parsers run out of stack; a cycle ends here too."""


class NotJson(ValueError):
    """The value can't be kept as JSON; `path` says where in it, `what` why, `hint` what would do."""

    def __init__(self, path: Path, what: str, hint: str) -> None:
        self.path, self.what, self.hint = path, what, hint
        super().__init__(f"{written(path)} {what}: {hint}")


def to_json(value: object, name: str = "result") -> Json:
    """The value with its dataclasses and named tuples as mappings, its tuples as lists, and its dates and
    times as ISO 8601 text. Raises NotJson for what JSON can't say exactly; `name` begins the path in it."""
    return _converted(value, (name,))


def _converted(value: object, path: Path) -> Json:
    convert = _SIMPLE.get(type(value))
    if convert is not None:
        return convert(value, path)
    for kind, convert in _KINDS:
        if isinstance(value, kind):
            return convert(value, path)
    if hasattr(type(value), "__dataclass_fields__"):
        return _fields(value, tuple(field.name for field in fields(value)), path)  # type: ignore[arg-type]
    hint = "return a list" if isinstance(value, (set, frozenset)) else _HINT
    raise NotJson(path, f"is of the type {type(value).__name__}, which JSON does not have", hint)


_HINT = "return text, numbers, booleans, None, lists, mappings, dataclasses, named tuples, dates or times"


def _itself(value: object, path: Path) -> Json:
    return value


def _text(value: str, path: Path) -> Json:
    try:
        value.encode()
    except UnicodeEncodeError:
        what = "holds half a character (a lone surrogate)"
        raise NotJson(path, what, "decode it with the right codec") from None
    return str.__str__(value)


def _integer(value: int, path: Path) -> Json:
    if abs(value) > INTEGER_MAX:
        raise NotJson(path, "is beyond 2^53, where JSON readers round", "return it as text")
    return int(value)


def _number(value: float, path: Path) -> Json:
    if not isfinite(value):
        raise NotJson(path, f"is {value!r}, for which JSON has no word", "return None or a number")
    return float(value)


def _moment(value: date | time, path: Path) -> Json:
    return value.isoformat()


def _list(value: list[object] | tuple[object, ...], path: Path) -> Json:
    _check_depth(path)
    return [_converted(item, (*path, index)) for index, item in enumerate(value)]


def _tuple(value: tuple[object, ...], path: Path) -> Json:
    names = getattr(type(value), "_fields", None)
    return _list(value, path) if names is None else _fields(value, names, path)


def _mapping(value: dict[object, object], path: Path) -> Json:
    _check_depth(path)
    content = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise NotJson(path, f"has the key {key!r}", "keys are text in JSON")
        content[_text(key, path)] = _converted(item, (*path, key))
    return content


def _fields(value: object, names: tuple[str, ...], path: Path) -> Json:
    return _mapping({name: getattr(value, name) for name in names}, path)


def _check_depth(path: Path) -> None:
    if len(path) > DEPTH_MAX:
        raise NotJson(path[:4], f"is nested more than {DEPTH_MAX} deep", "return something flatter")


_Convert = Callable[..., Json]
_SIMPLE: dict[type, _Convert] = {
    type(None): _itself, bool: _itself, str: _text, int: _integer, float: _number,
    list: _list, dict: _mapping,
}  # fmt: skip
_KINDS: tuple[tuple[type, _Convert], ...] = (
    (str, _text), (int, _integer), (float, _number), (date, _moment), (time, _moment), (tuple, _tuple),
    (list, _list), (dict, _mapping),
)  # fmt: skip
"""Subclasses follow their kind: what is written is the plain value."""
