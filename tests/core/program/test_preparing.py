"""Params: by name, complete, and filled in by their kinds."""

from __future__ import annotations

import pytest

from clew.core.program.preparing import Bound, ParamsError, named, prepare
from clew.core.program.signatures import EXPRESSION, LITERAL, REGEX, SHELL, SQL, Param, Signature

BOTH = Signature(
    "both", "", {"first": Param(required=True, about="the first"), "rest": Param()}, ("first", "rest*")
)
TWO = Signature("two", "", {"one": Param(), "other": Param()}, ("one", "other"))
NAMED = Signature("named", "", {"one": Param()})
OPEN = Signature("open", "", open_params=True)


@pytest.mark.parametrize(
    ("signature", "params", "expected"),
    [
        (TWO, None, {}),
        (TWO, {"one": 1}, {"one": 1}),
        (TWO, [1, 2], {"one": 1, "other": 2}),
        (TWO, "a", {"one": "a"}),
        (TWO, ("a",), {"one": "a"}),
        (BOTH, ["a"], {"first": "a"}),
        (BOTH, ["a", "b", "c"], {"first": "a", "rest": ["b", "c"]}),
        (OPEN, {"any": 1}, {"any": 1}),
    ],
)
def test_params_are_named(signature, params, expected):
    """A list stands for the positional params, and the last of them may take the rest."""
    assert named(signature, params) == expected


@pytest.mark.parametrize(
    ("signature", "params", "text"),
    [
        (TWO, [1, 2, 3], "two takes a list of at most 2: one, other"),
        (NAMED, [1], "named takes a mapping: one"),
        (TWO, {"othr": 1}, "two takes no 'othr'; did you mean 'other'?"),
        (TWO, {"zzz": 1}, "it takes one, other"),
        (BOTH, {}, "both needs 'first': the first"),
    ],
)
def test_wrong_params_say_what_would_be_right(signature, params, text):
    """Too many, unknown and missing params are told."""
    with pytest.raises(ParamsError, match=text.replace("?", r"\?")):
        named(signature, params)


KINDS = Signature(
    "kinds",
    "",
    {
        "text": Param(),
        "sql": Param(SQL),
        "shell": Param(SHELL),
        "regex": Param(REGEX),
        "expression": Param(EXPRESSION),
        "literal": Param(LITERAL),
    },
)


def test_each_param_is_filled_in_by_its_kind():
    """Text is inserted, SQL bound, a command line quoted, a regex escaped; the rest stays as it is."""
    params = {name: "x {v}" for name in KINDS.params}
    assert prepare(KINDS, params, {"v": "a b."}) == {
        "text": "x a b.",
        "sql": Bound("x :clew_0", {"clew_0": "a b."}),
        "shell": "x 'a b.'",
        "regex": r"x a\ b\.",
        "expression": "x {v}",
        "literal": "x {v}",
    }


def test_a_zero_character_is_escaped_in_a_regex():
    """It is written as its number, which a digit after it cannot change."""
    assert prepare(KINDS, {"regex": "{v}"}, {"v": "\0a*"})["regex"] == r"\x00a\*"


def test_a_list_of_arguments_is_not_quoted():
    """Only a line for a shell is quoted."""
    assert prepare(KINDS, {"shell": ["{v}"]}, {"v": "a b"}) == {"shell": ["a b"]}


def test_several_statements_are_bound_one_by_one():
    """A list of statements becomes a list of bound ones; what is no text is told."""
    assert prepare(KINDS, {"sql": ["a {v}", "b"]}, {"v": 1})["sql"] == [
        Bound("a :clew_0", {"clew_0": 1}),
        Bound("b"),
    ]
    with pytest.raises(ParamsError, match="a statement is a text, not int"):
        prepare(KINDS, {"sql": 1}, {})


def test_names_beyond_the_signature_are_texts():
    """What an open signature does not know is filled in as text."""
    assert prepare(OPEN, {"any": "{v}"}, {"v": [1]}) == {"any": [1]}
