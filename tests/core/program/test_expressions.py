from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.program.expressions import (
    LIST_SIZE_MAX,
    TEXT_SIZE_MAX,
    ExpressionError,
    _compiled,
    check,
    evaluate,
    names_in,
)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("region == 'east'", {"region"}),
        ("totals.days > 0 && totals.days <= most", {"totals", "most"}),
        ("items.exists(x, x.a > y && x in q)", {"items", "y", "q"}),
        ("items.exists(x, x > 1) && x", {"items", "x"}),
        ("has(foo.bar) && size(rows) > 1", {"foo", "rows"}),
        ("'a b' + \"c\\\"d\" + r'\\' + '''e'f''' + g", {"g"}),
        ("type(z) == int && true", {"z"}),
        ("{'a': k}.a == v", {"k", "v"}),
        ("a[b] // c\n + d", {"a", "b", "d"}),
        ("1e3 + 0x1F + 2u", set()),
        ("pairs.map(p, p.map(q, q + r))", {"pairs", "r"}),
        ("x.map(1, 2) + map(y)", {"x", "y"}),
        ("a)", {"a"}),
    ],
)
def test_an_expression_s_names_are_its_free_variables(text: str, names: set[str]) -> None:
    """An expression refers to its free variables, not to fields, functions, texts or what a macro binds."""
    assert names_in(text) == names


@pytest.mark.parametrize(
    ("text", "scope", "value"),
    [
        ("region == 'east'", {"region": "east"}, True),
        ("items.exists(x, x.a > y)", {"items": [{"a": 2}], "y": 1}, True),
        ("items.map(x, x * 2)", {"items": [1, 2]}, [2, 4]),
        ("{'a': b}", {"b": None}, {"a": None}),
        ("a + b", {"a": 1.5, "b": 2.5}, 4.0),
        ("t.x[1]", {"t": {"x": ["u", "v"]}}, "v"),
    ],
)
def test_an_expression_has_its_value_over_the_names_it_refers_to(
    text: str, scope: dict, value: object
) -> None:
    """An expression has its value over the names it refers to."""
    check(text)
    assert evaluate(text, scope) == value


@pytest.mark.parametrize(
    ("text", "scope", "says"),
    [
        ("a ==", {"a": 1}, "is no expression: 1:5"),
        ("", {}, "is no expression"),
        ("$", {}, "is no expression"),
        ("a + 1", {}, "no 'a' is known"),
        ("a + b", {"a": 1, "b": "x"}, "has no value"),
        ("1 / 0", {}, "has no value"),
        ("a.b", {"a": {}}, "has no value"),
        ("a[3]", {"a": [1]}, "has no value"),
        ("9223372036854775807 + 1", {}, "has no value"),
        ("f(1)", {}, "has no value"),
        ("b'abc'", {}, "the value is a bytes"),
        ("{1: 2}", {}, "the value is a dict"),
        ("timestamp('2026-01-01T00:00:00Z')", {}, "the value is a datetime"),
    ],
)
def test_what_has_no_value_is_an_error_that_says_why(text: str, scope: dict, says: str) -> None:
    """What has no value is an error that says why."""
    with pytest.raises(ExpressionError) as caught:
        evaluate(text, scope)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a" * (TEXT_SIZE_MAX + 1),
        "(" * 100,
        "[" * 100 + "]" * 100,
        "a.map(x, x.map(y, y.map(z, z)))",
    ],
)
def test_an_expression_is_bounded_in_length_and_nesting(text: str) -> None:
    """An expression that is too long or too deep is refused before the library sees it."""
    with pytest.raises(ExpressionError):
        check(text)


@pytest.mark.parametrize(
    ("text", "depth"), [("size(a)", 0), ("a.all(x, x == x)", 1), ("a.map(x, a.map(y, y == x))", 2)]
)
def test_the_deeper_the_macros_the_shorter_the_lists(text: str, depth: int) -> None:
    """The deeper macros are nested, the shorter the lists they may go through."""
    with pytest.raises(ExpressionError, match="items"):
        evaluate(text, {"a": {"b": [0] * (LIST_SIZE_MAX[depth] + 1)}})


def test_only_the_names_it_refers_to_reach_the_library() -> None:
    """A value that an expression does not refer to may be anything, even one the library can't take."""
    assert evaluate("a", {"a": 1, "b": object()}) == 1


def test_a_missing_library_is_one_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library an expression can't be checked, and the error names the package."""
    monkeypatch.delitem(sys.modules, "cel.cel", raising=False)
    monkeypatch.setattr(sys, "path", [])
    _compiled.cache_clear()
    with pytest.raises(ImportError, match="common-expression-language"):
        check("1 + 1")
    monkeypatch.undo()
    check("1 + 1")


@given(st.text(alphabet="ab.()[]{},+'\" \\x1!", max_size=20))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    """Any text is an expression, or an ExpressionError."""
    try:
        check(text)
        names_in(text)
    except ExpressionError as error:
        assert error.what
