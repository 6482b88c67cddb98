"""`matches`, `equals`, `expression`, `schema`: conditions that look only at values and need no attempt."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from clew.conditions import SIGNATURES
from clew.conditions.interface import error, finding, shown
from clew.core.program.preparing import ParamsError, prepare
from clew.core.program.variables import TemplateError
from clew.ports import Finding, Json


def test_pure(name: str, params: Json, scope: Mapping[str, Json]) -> Finding:
    """Test a pure condition, built in under that name or synonym. No I/O.

    Bad params or values make a finding `error`. Raises KeyError when no pure condition is called so.
    """
    signature = SIGNATURES[name]
    test = _TESTS[signature.name]
    try:
        return test(prepare(signature, params, scope), scope)
    except (ParamsError, TemplateError, _CannotBeTold) as reason:
        return error(signature.name, str(reason))


test_pure.__test__ = False  # type: ignore[attr-defined]  # its name is no invitation to pytest


class _CannotBeTold(Exception):
    """The condition has no answer for these values."""


def _equals(params: Mapping[str, Json], scope: Mapping[str, Json]) -> Finding:
    actual, expected = params["actual"], params["expected"]
    message = f"is {shown(actual)}, and should be {shown(expected)}"
    return finding("equals", holds=same(actual, expected), message=message, compared=dict(params))


def same(one: Json, other: Json) -> bool:
    """Whether two values are the same JSON value: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)


def _matches(params: Mapping[str, Json], scope: Mapping[str, Json]) -> Finding:
    # 23 ms to load, which only those who need it should pay.
    from clew.core.planning.patterns import PatternError, compile_regex

    value, pattern = params["value"], params["pattern"]
    text = value if isinstance(value, str) else shown(value)
    if isinstance(value, (dict, list)) or value is None:
        raise _CannotBeTold(f"{shown(value)} is no text, which a pattern could match")
    if not isinstance(pattern, str):
        raise _CannotBeTold("the pattern is no text")
    try:
        holds = compile_regex(pattern).match(text) is not None
    except PatternError as reason:
        raise _CannotBeTold(f"'{pattern}' {reason}") from reason
    except UnicodeEncodeError as reason:
        raise _CannotBeTold("the value holds a character that has no UTF-8 form") from reason
    message = f"{shown(value)} does not match '{pattern}'"
    return finding("matches", holds=holds, message=message, compared=dict(params))


def _expression(params: Mapping[str, Json], scope: Mapping[str, Json]) -> Finding:
    return tested_expression("expression", params["expression"], scope)


def tested_expression(name: str, text: Json, scope: Mapping[str, Json]) -> Finding:
    """Whether an expression is true; compared are the values of its names."""
    from clew.core.program.expressions import ExpressionError, evaluate, names_in

    if not isinstance(text, str):
        return error(name, "the expression is no text")
    try:
        value = evaluate(text, scope)
        values = {one: scope[one] for one in sorted(names_in(text))}
    except ExpressionError as reason:
        return error(name, str(reason))
    if not isinstance(value, bool):
        return error(name, f"'{text}' is {shown(value)}; an expression that is tested is true or false")
    return finding(name, holds=value, message=f"'{text}' is false with {shown(values)}", compared=values)


def _schema(params: Mapping[str, Json], scope: Mapping[str, Json]) -> Finding:
    # 50 ms to load, which only those who need it should pay.
    import jsonschema_rs

    value, schema = params["value"], params["schema"]
    try:
        # This engine for patterns takes linear time, as all regular expressions of a program do.
        linear = jsonschema_rs.RegexOptions()
        validator = jsonschema_rs.validator_for(schema, retriever=_refuse, pattern_options=linear)
        problem = next(iter(validator.iter_errors(value)), None)
    except (ValueError, TypeError, jsonschema_rs.ReferencingError) as reason:
        raise _CannotBeTold(f"the schema can't be used: {reason}") from reason
    if problem is None:
        return finding("schema", holds=True, message="", compared={"value": value})
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in problem.instance_path)
    message = f"{where.removeprefix('.') or 'the value'}: {problem.message}"
    return finding("schema", holds=False, message=message, compared={"value": value})


def _refuse(address: str) -> Json:
    raise ValueError(f"a schema may not fetch {address}")


_TESTS: Mapping[str, Callable[[Mapping[str, Json], Mapping[str, Json]], Finding]] = {
    "equals": _equals,
    "matches": _matches,
    "expression": _expression,
    "schema": _schema,
}
