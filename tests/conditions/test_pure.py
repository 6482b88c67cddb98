"""Conditions that look only at values: what holds, what breaks which rule, what can't be told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.conditions import SIGNATURES
from clew.conditions.interface import COMPARED_SIZE_MAX, MESSAGE_SIZE_MAX, limited
from clew.conditions.pure import same, test_pure

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)

SCOPE = {"rows": 3, "region": "east", "batch": "0399", "when": {"day": "2026-07-14"}, "none": None}


def told(name, params, scope=None):
    finding = test_pure(name, params, SCOPE if scope is None else scope)
    return finding.verdict, finding.message


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("equals", ["{rows}", 3]),
        ("equals", {"actual": "{when}", "expected": {"day": "2026-07-14"}}),
        ("equals", ["{none}", None]),
        ("matches", ["{batch}", r"\d{4}$"]),
        ("matches", ["a.b-c", "a{dot}b"]),
        ("matches", ["{rows}", "3"]),
        ("expression", ["rows > 2 && region == 'east'"]),
        ("expression", {"expression": "when.day == '2026-07-14'"}),
        ("schema", {"value": "{when}", "schema": {"type": "object", "required": ["day"]}}),
        ("schema", {"value": "{batch}", "schema": {"pattern": r"^\d{4}$"}}),
        ("schema", ["{rows}", True]),
    ],
)
def test_what_holds_is_held_without_a_word(name, params):
    """A condition that holds is held, and has nothing to say."""
    assert told(name, params, {**SCOPE, "dot": "."}) == ("held", "")


@pytest.mark.parametrize(
    ("name", "params", "text"),
    [
        ("equals", ["{rows}", 4], "is 3, and should be 4"),
        ("equals", ["{rows}", "3"], 'is 3, and should be "3"'),
        ("matches", ["{batch}", r"\d{5}"], r"""\"0399\" does not match '\d{5}'""".replace('\\"', '"')),
        ("matches", ["axb", "a{dot}b"], '"axb" does not match'),
        ("matches", ["xa", "a"], "does not match"),
        ("expression", ["rows > 3"], """'rows > 3' is false with {"rows": 3}"""),
        ("schema", {"value": "{when}", "schema": {"properties": {"day": {"maxLength": 3}}}}, "day: "),
        ("schema", {"value": [1, "a"], "schema": {"items": {"type": "integer"}}}, "[1]: "),
        ("schema", ["{rows}", False], "the value: "),
    ],
)
def test_a_failure_says_which_value_broke_which_rule(name, params, text):
    """What does not hold says the value and the rule, and keeps what was compared."""
    finding = test_pure(name, params, {**SCOPE, "dot": "."})
    assert finding.verdict == "not_held"
    assert text in finding.message
    assert finding.compared


@pytest.mark.parametrize(
    ("name", "params", "text"),
    [
        ("equals", ["{nothing}", 1], "nothing is called 'nothing'"),
        ("equals", ["{rows}"], "equals needs 'expected'"),
        ("matches", ["{when}", "a"], "is no text"),
        ("matches", ["{none}", "a"], "is no text"),
        ("matches", ["a", 3], "the pattern is no text"),
        ("matches", ["a", "("], "no regular expression"),
        ("matches", ["\ud800", "a"], "no UTF-8 form"),
        ("expression", ["rows >"], "is no expression"),
        ("expression", ["nothing > 1"], "no 'nothing' is known"),
        ("expression", ["rows"], "is true or false"),
        ("expression", {"expression": 3}, "is no text"),
        ("schema", ["{rows}", {"type": 7}], "the schema can't be used"),
        ("schema", ["{rows}", 7], "the schema can't be used"),
        ("schema", ["{batch}", {"pattern": "("}], "the schema can't be used"),
        ("schema", ["{batch}", {"pattern": "(?=a)"}], "the schema can't be used"),
        ("schema", ["{rows}", {"$ref": "http://127.0.0.1:1/schema"}], "the schema can't be used"),
        ("schema", ["{rows}", {"$ref": "file:///etc/passwd"}], "the schema can't be used"),
    ],
)
def test_what_can_not_be_told_is_an_error(name, params, text):
    """Bad params and values that the rule has no answer for are errors, not failures."""
    verdict, message = told(name, params)
    assert verdict == "error"
    assert text in message


def test_all_pure_conditions_can_be_tested_without_an_attempt():
    """Whatever says that it is pure is known here, and nothing else is."""
    for name, signature in SIGNATURES.items():
        if signature.is_pure:
            assert test_pure(name, {}, {}).verdict == "error"
        else:
            with pytest.raises(KeyError):
                test_pure(name, {}, {})


@given(values)
def test_a_value_is_the_same_as_itself(value):
    """Every JSON value equals itself."""
    assert same(value, value)


@given(values, values)
def test_being_the_same_is_mutual(one, other):
    """It does not matter which of two values stands first."""
    assert same(one, other) == same(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, True), (0, False), ([1], [True]), ({"a": 0}, {"a": False}), ([1], [1, 2]), ({"a": 1}, {})],
)
def test_values_of_different_kinds_differ(one, other):
    """A truth value is no number, and a part is not the whole."""
    assert not same(one, other)


def test_a_number_is_the_same_however_it_is_written():
    """JSON knows numbers, not kinds of numbers; tuples count as lists."""
    assert same(1, 1.0)
    assert same([1, 2], (1.0, 2))


def test_what_was_compared_is_kept_in_bounds():
    """A large value is kept as the beginning of its JSON, and a message as its beginning."""
    finding = test_pure("equals", ["{long}", "x"], {"long": "y" * 100_000})
    assert len(finding.compared["actual"]) == COMPARED_SIZE_MAX
    assert finding.compared["expected"] == "x"
    assert len(finding.message) <= MESSAGE_SIZE_MAX
    assert limited([1] * 10_000).endswith("…")
    assert limited(7) == 7
