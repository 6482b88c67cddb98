"""The one wrapper of the library for expressions (CEL, the Common Expression Language).

An expression sees the values of the names it refers to and nothing else: no attributes of objects, no
functions but the language's own. Its length, its nesting and the lists it goes through are bounded, so that
it ends soon.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

from clew.core.program.model import Json

if TYPE_CHECKING:
    import cel

# Longer than any condition that a person could still read.
TEXT_SIZE_MAX = 4_096
# The parser answers up to here in well under a millisecond; real expressions have three or four.
NESTING_MAX = 64
# How many items a list may have by how deep `map`, `all` and their like are nested, given that `in` goes
# through a list once more: some hundred million comparisons at most, which is about a second.
LIST_SIZE_MAX = {0: 100_000, 1: 10_000, 2: 300}
# Programs have a handful of expressions each; a thousand covers those of a busy orchestrator.
_COMPILED_COUNT_MAX = 1_024

_MACROS = frozenset({"all", "exists", "exists_one", "map", "filter"})
_LITERALS = frozenset({"true", "false", "null", "in"})
_SORTS = frozenset(
    {
        "bool",
        "bytes",
        "double",
        "duration",
        "dyn",
        "int",
        "list",
        "map",
        "null_type",
        "string",
        "timestamp",
        "type",
        "uint",
    }
)
# In a raw text (r'...') a backslash is only a backslash.
_TOKEN = r"""(?asx)(?P<text>[bB]?[rR][bB]?(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')
                |[bB]?(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}
                        |"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
      | (?P<comment>//[^\n]*)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<number>\d[\w]*(?:\.\d\w*)?)
      | (?P<mark>[^\s])"""


class ExpressionError(ValueError):
    """The expression can't be read, or has no value; `what` says why, `hint` what would be right."""

    def __init__(self, what: str, hint: str = "") -> None:
        self.what = what
        self.hint = hint
        super().__init__(f"{what}; {hint}" if hint else what)


def names_in(text: str) -> frozenset[str]:
    """The names of variables that the expression refers to. Raises ExpressionError."""
    return _facts(text)[0]


def check(text: str) -> None:
    """Raises ExpressionError unless the text is an expression."""
    _facts(text)
    _compiled(text)


def evaluate(text: str, scope: Mapping[str, Json]) -> Json:
    """The expression's value over the names of `scope` it refers to. Raises ExpressionError."""
    names, depth = _facts(text)
    missing = sorted(names - scope.keys())
    if missing:
        raise ExpressionError(f"no '{missing[0]}' is known in '{text}'")
    values = {name: scope[name] for name in names}
    _check_sizes(values, LIST_SIZE_MAX[depth])
    try:
        return _as_json(_compiled(text).execute(values))
    # What the library raises is as manifold as Python's own arithmetic and look-ups.
    except (ValueError, TypeError, RuntimeError, ArithmeticError, LookupError) as error:
        if isinstance(error, ExpressionError):
            raise
        raise ExpressionError(f"'{text}' has no value: {error}") from error


@lru_cache(maxsize=_COMPILED_COUNT_MAX)
def _compiled(text: str) -> cel.Program:
    try:
        program: cel.Program = _library().compile(text)
        return program
    except ValueError as error:
        reason = str(error).partition("ERROR: ")[2].splitlines()
        what = reason[0].removeprefix("<input>:").strip() if reason else "it can't be read"
        raise ExpressionError(f"'{text}' is no expression: {what}") from error


def _library() -> ModuleType:
    """The library's extension module alone: its package also imports a command line, which takes 0.3 s."""
    if "cel.cel" not in sys.modules:
        from importlib.machinery import PathFinder
        from importlib.util import module_from_spec

        package = PathFinder.find_spec("cel")
        folders = package.submodule_search_locations if package else None
        found = PathFinder.find_spec("cel.cel", folders)
        if found is None or found.loader is None:
            raise ImportError("the package common-expression-language is not installed")
        module = module_from_spec(found)
        found.loader.exec_module(module)
        sys.modules["cel.cel"] = module
    return sys.modules["cel.cel"]


@lru_cache(maxsize=_COMPILED_COUNT_MAX)
def _facts(text: str) -> tuple[frozenset[str], int]:
    """The free names, and how deep macros are nested; a name bound by a macro is free outside of it only."""
    if len(text) > TEXT_SIZE_MAX:
        raise ExpressionError(f"an expression of {len(text)} characters; at most {TEXT_SIZE_MAX} are read")
    tokens = [match for match in re.finditer(_TOKEN, text) if match.lastgroup != "comment"]
    free: set[str] = set()
    open_brackets: list[str | None] = []
    depth = 0
    for at, token in enumerate(tokens):
        value = token[0]
        if value in "([{":
            open_brackets.append(_bound_by(tokens, at))
            depth = max(depth, sum(name is not None for name in open_brackets))
        elif value in ")]}" and open_brackets:
            open_brackets.pop()
        elif token.lastgroup == "name" and value not in open_brackets and _is_variable(tokens, at):
            free.add(value)
        if len(open_brackets) > NESTING_MAX:
            raise ExpressionError(f"an expression with more than {NESTING_MAX} brackets within each other")
    if depth not in LIST_SIZE_MAX:
        raise ExpressionError(
            f"an expression with {depth} macros ({', '.join(sorted(_MACROS))}) within each other",
            f"at most {max(LIST_SIZE_MAX)} may be",
        )
    return frozenset(free), depth


def _bound_by(tokens: Sequence[re.Match[str]], bracket: int) -> str | None:
    """The name that `.map(name, ...)` and its like bind within the bracket at that position, if it is one."""
    before = [token[0] for token in tokens[max(0, bracket - 2) : bracket]]
    after = tokens[bracket + 1 : bracket + 3]
    if len(before) < 2 or before[0] != "." or before[1] not in _MACROS or tokens[bracket][0] != "(":
        return None
    is_binding = len(after) == 2 and after[0].lastgroup == "name" and after[1][0] == ","
    return after[0][0] if is_binding else None


def _is_variable(tokens: Sequence[re.Match[str]], at: int) -> bool:
    value = tokens[at][0]
    is_called = at + 1 < len(tokens) and tokens[at + 1][0] == "("
    is_field = at > 0 and tokens[at - 1][0] == "."
    return not is_called and not is_field and value not in _LITERALS | _SORTS


def _check_sizes(value: Json, size_max: int) -> None:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, (list, dict)):
            if len(one) > size_max:
                raise ExpressionError(f"a list of {len(one)} items; the expression may go through {size_max}")
            waiting.extend(one.values() if isinstance(one, dict) else one)


def _as_json(value: object) -> Json:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _as_json(item) for key, item in value.items()}
    raise ExpressionError(f"the value is a {type(value).__name__}, which JSON has not")
