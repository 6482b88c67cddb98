"""`http`: a server answers as expected."""

from __future__ import annotations

from collections.abc import Mapping

from clew.conditions.interface import ConditionContext, finding, shown
from clew.conditions.pure import same, tested_expression
from clew.core.program.preparing import ParamsError
from clew.ports import Finding, Json

_NAME = "http"
_ANY_STATUS = list(range(200, 600))
_REQUEST = ("url", "method", "headers", "timeout")


def http(context: ConditionContext, params: Mapping[str, Json]) -> Finding:
    """An answer that is not as expected is `not_held`; no answer, or one of the server's failures (5xx) that
    was not expected, is an error, since then nobody can tell."""
    expected = _statuses(params.get("status"))
    request = {name: params[name] for name in _REQUEST if name in params}
    answer = context.perform("http", {**request, "expect": _ANY_STATUS})
    status = answer["status"]
    compared = {"status": status}
    if status not in expected:
        if status >= 500:
            raise RuntimeError(f"{params['url']} was answered with {status}")
        message = f"{params['url']} was answered with {status}, not {_shown(expected)}"
        return finding(_NAME, holds=False, message=message, compared=compared)
    if "json" in params and not holds_all(answer.get("json"), params["json"]):
        message = f"the answer is {shown(answer.get('json'))}, and should hold {shown(params['json'])}"
        return finding(_NAME, holds=False, message=message, compared={**compared, "json": answer.get("json")})
    if "expression" in params:
        return tested_expression(_NAME, params["expression"], {"json": None, "text": None, **answer})
    return finding(_NAME, holds=True, message="", compared=compared)


def _statuses(stated: Json) -> frozenset[int]:
    if stated is None:
        return frozenset(range(200, 300))
    statuses = stated if isinstance(stated, list) else [stated]
    if not all(isinstance(one, int) and 200 <= one <= 599 for one in statuses):
        raise ParamsError(f"'{stated}' is no status, nor a list of them; a status is 200 to 599")
    return frozenset(statuses)


def _shown(expected: frozenset[int]) -> str:
    return "200 to 299" if len(expected) == 100 else ", ".join(map(str, sorted(expected)))


def holds_all(actual: Json, expected: Json) -> bool:
    """Whether a value holds what is expected: mappings may hold more, all else is the same."""
    if isinstance(expected, dict):
        return isinstance(actual, dict) and all(
            name in actual and holds_all(actual[name], value) for name, value in expected.items()
        )
    if isinstance(expected, list):
        return (
            isinstance(actual, list)
            and len(actual) == len(expected)
            and all(holds_all(*pair) for pair in zip(actual, expected, strict=True))
        )
    return same(actual, expected)
