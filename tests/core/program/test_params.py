"""Params by position: which names a list stands for, and where its author wrote each of them."""

from __future__ import annotations

import pytest

from clew.core.program.params import by_name, positions_of
from clew.core.program.signatures import Param, Signature

TWO = Signature("two", "", {"one": Param(), "other": Param()}, ("one", "other"))
REST = Signature("rest", "", {"first": Param(), "rest": Param()}, ("first", "rest*"))


@pytest.mark.parametrize(
    ("signature", "params", "named", "positions"),
    [
        (TWO, [], {}, []),
        (TWO, ["a"], {"one": "a"}, [(("one",), (0,))]),
        (TWO, ["a", "b"], {"one": "a", "other": "b"}, [(("one",), (0,)), (("other",), (1,))]),
        (REST, [], {}, []),
        (REST, ["a"], {"first": "a"}, [(("first",), (0,))]),
        (
            REST,
            ["a", "b", "c"],
            {"first": "a", "rest": ["b", "c"]},
            [(("first",), (0,)), (("rest", 0), (1,)), (("rest", 1), (2,))],
        ),
    ],
)
def test_a_list_names_as_many_params_as_it_has(signature, params, named, positions):
    """A list may be shorter than the params: what it does not reach is not named, and stands nowhere."""
    assert by_name(params, signature) == named
    assert list(positions_of(params, signature)) == positions
