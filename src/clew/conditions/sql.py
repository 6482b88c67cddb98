"""`sql`: a query's answer is as expected."""

from __future__ import annotations

from collections.abc import Mapping

from clew.conditions.interface import ConditionContext, finding, shown
from clew.conditions.pure import same, tested_expression
from clew.core.program.preparing import ParamsError
from clew.ports import Finding, Json

_NAME = "sql"


def sql(context: ConditionContext, params: Mapping[str, Json]) -> Finding:
    """The query can't change anything. A database that does not answer is an error."""
    stated = [name for name in ("equals", "rows", "expression") if name in params]
    if len(stated) > 1:
        raise ParamsError(f"sql takes one of equals, rows and expression, not {' and '.join(stated)}")
    query = {"database": params["database"], "statement": params["statement"], "read_only": True}
    answer = context.perform("sql", query)
    rows: list[dict[str, Json]] = answer["rows"]
    if "equals" in params:
        return _one_value(rows, params["equals"])
    if "rows" in params:
        return _all_rows(rows, params["rows"])
    if "expression" in params:
        return tested_expression(_NAME, params["expression"], {"rows": rows, "count": len(rows)})
    return finding(_NAME, holds=bool(rows), message="the query has no row", compared={"count": len(rows)})


def _one_value(rows: list[dict[str, Json]], expected: Json) -> Finding:
    compared = {"rows": rows[:2], "equals": expected}
    if len(rows) != 1:
        message = f"the query has {len(rows)} rows, and should have one, with {shown(expected)}"
        return finding(_NAME, holds=False, message=message, compared=compared)
    value = next(iter(rows[0].values()))
    message = f"the query gives {shown(value)}, and should give {shown(expected)}"
    return finding(_NAME, holds=same(value, expected), message=message, compared=compared)


def _all_rows(rows: list[dict[str, Json]], expected: Json) -> Finding:
    if not isinstance(expected, list):
        raise ParamsError("rows is a list of rows, each a mapping or a list")
    holds = len(rows) == len(expected) and all(_same_row(*pair) for pair in zip(rows, expected, strict=True))
    message = f"the query gives {shown(rows)}, and should give {shown(expected)}"
    return finding(_NAME, holds=holds, message=message, compared={"rows": rows, "expected": expected})


def _same_row(row: dict[str, Json], expected: Json) -> bool:
    return same(list(row.values()) if isinstance(expected, list) else row, expected)
