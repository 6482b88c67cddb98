"""What a function returned is kept as JSON exactly, or refused with the place and the reason."""

from __future__ import annotations

import datetime
import json
from collections import OrderedDict
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.running.json_values import DEPTH_MAX, INTEGER_MAX, NotJson, to_json


@dataclass
class Seat:
    row: int
    letter: str


class Fare(NamedTuple):
    price: float
    paid: bool


class Grade(IntEnum):
    FIRST = 1


class Name(str):
    pass


def json_values() -> st.SearchStrategy[Any]:
    simple = (
        st.none()
        | st.booleans()
        | st.integers(-INTEGER_MAX, INTEGER_MAX)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(codec="utf-8"))
    )
    names = st.text(st.characters(codec="utf-8"))
    return st.recursive(simple, lambda inner: st.lists(inner) | st.dictionaries(names, inner), max_leaves=20)


@given(json_values())
def test_json_stays_what_it_is(value: Any) -> None:
    """A JSON value is converted to itself, and survives being written and read."""
    converted = to_json(value)
    assert converted == value
    assert json.loads(json.dumps(converted, allow_nan=False)) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Seat(1, "A"), {"row": 1, "letter": "A"}),
        (Fare(9.5, True), {"price": 9.5, "paid": True}),
        ((1, (2,)), [1, [2]]),
        ([Seat(1, "A")], [{"row": 1, "letter": "A"}]),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (Grade.FIRST, 1),
        (Name("x"), "x"),
        (datetime.datetime(2026, 11, 22, 2, 47, tzinfo=datetime.UTC), "2026-11-22T02:47:00+00:00"),
        (datetime.date(2026, 11, 22), "2026-11-22"),
        (datetime.time(2, 47), "02:47:00"),
    ],
)
def test_what_python_has_besides_is_written_as_json(value: object, expected: Any) -> None:
    """Dataclasses and named tuples become mappings, tuples lists, dates and times text, subclasses plain."""
    converted = to_json(value)
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "result is nan, for which JSON has no word: return None or a number"),
        ([1, {"price": float("inf")}], "result[1].price is inf"),
        (2**53, "result is beyond 2^53, where JSON readers round: return it as text"),
        ({1, 2}, "result is of the type set, which JSON does not have: return a list"),
        (b"x", "result is of the type bytes, which JSON does not have: return text, numbers"),
        ({"seats": [object()]}, "result.seats[0] is of the type object"),
        ({1: 2}, "result has the key 1: keys are text in JSON"),
        ("\ud800", "result holds half a character"),
        ({"\ud800": 1}, "result holds half a character"),
    ],
)
def test_what_json_can_not_say_is_refused(value: object, words: str) -> None:
    """The message names the place within the value, what is wrong, and what would do."""
    with pytest.raises(NotJson) as refused:
        to_json(value)
    assert str(refused.value).startswith(words)


def test_depth_is_limited() -> None:
    """As deep as the limit is fine, deeper is not, and a value that holds itself ends there too."""
    value: Any = 1
    for _ in range(DEPTH_MAX):
        value = [value]
    assert to_json(value) == value
    with pytest.raises(NotJson, match=f"nested more than {DEPTH_MAX} deep"):
        to_json({"a": value})
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(NotJson, match="nested"):
        to_json(circle)
