"""A stage's outputs are found in what its last command gave, or it is said what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from clew.core.program.model import Output
from clew.core.running.outputs import OutputMissing, outputs_of


@pytest.mark.parametrize(
    ("outputs", "result", "expected"),
    [
        ([], {"a": 1}, {}),
        ([Output("a")], 5, {"a": 5}),
        ([Output("a")], None, {"a": None}),
        ([Output("a")], {"a": 5, "b": 6}, {"a": 5}),
        ([Output("a")], {"b": 6}, {"a": {"b": 6}}),
        ([Output("a"), Output("b")], {"a": 5, "b": None, "c": 7}, {"a": 5, "b": None}),
        ([Output("a", "stdout")], None, {"a": "said"}),
        ([Output("a", "stdout"), Output("b")], [1], {"a": "said", "b": [1]}),
        ([Output("a", "place.city")], {"place": {"city": "Rome"}}, {"a": "Rome"}),
        ([Output("a", "rows.1.0")], {"rows": [[1], [2]]}, {"a": 2}),
    ],
)
def test_outputs_are_found(outputs: list[Output], result: Any, expected: dict[str, Any]) -> None:
    """By name in a mapping, as the bare value of the only one, from stdout, or by a path into the result."""
    assert outputs_of(outputs, result, "said\r\n\n") == expected


@pytest.mark.parametrize(
    ("outputs", "result", "words"),
    [
        (
            [Output("seat"), Output("b")],
            {"seats": 1, "b": 2},
            "output 'seat' is missing: there is 'seats', 'b'; did you mean 'seats'?",
        ),
        ([Output("a"), Output("b")], None, "output 'a' is missing: there is nothing"),
        ([Output("a"), Output("b")], [1, 2], "output 'a' is missing: there is a list of 2"),
        ([Output("a"), Output("b")], 1.5, "output 'a' is missing: there is a single number"),
        ([Output("a"), Output("b")], {}, "output 'a' is missing: there is an empty mapping"),
        (
            [Output("a"), Output("b")],
            {str(number): 0 for number in range(12)},
            "output 'a' is missing: there is '0', '1', '2', '3', '4', '5', '6', '7', '8', '9' and 2 more",
        ),
        ([Output("a", "stdout")], 1, "output 'a' is to come from stdout, but the command has none"),
        (
            [Output("a", "place.town")],
            {"place": {"city": "Rome"}},
            "output 'a' is to come from 'place.town', but there is no 'town': there is 'city'",
        ),
        (
            [Output("a", "rows.2")],
            {"rows": [0, 1]},
            "output 'a' is to come from 'rows.2', but there is no '2': there is a list of 2",
        ),
        (
            [Output("a", "rows.first")],
            {"rows": [0, 1]},
            "output 'a' is to come from 'rows.first', but there is no 'first': there is a list of 2",
        ),
    ],
)
def test_a_missing_output_is_named(outputs: list[Output], result: Any, words: str) -> None:
    """The message says which output is missing, where it was looked for, and what is there instead."""
    with pytest.raises(OutputMissing) as missing:
        outputs_of(outputs, result)
    assert str(missing.value) == words
