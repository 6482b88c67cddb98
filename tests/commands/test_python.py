"""`python`: functions of the project's own code."""

from __future__ import annotations

import asyncio
import sys
import textwrap

import pytest
from tests.commands.surroundings import Surroundings

from clew.commands.interface import CommandError, CommandResult
from clew.commands.performing import perform

CODE = """
from dataclasses import dataclass
from typing import NamedTuple

@dataclass
class Place:
    name: str
    at: tuple

class Pair(NamedTuple):
    one: int
    other: list

def place(name, at=(1, 2)): return Place(name, at)
def pair(): return Pair(1, [2])
def told(idempotency_key, attempt, run_id, outcome, stage_name, program_name): return locals()
def needs(ticket, /, day): return ticket
def anything(**given): return given
async def later(x): return {"x": x}
def fails(): raise LookupError("nothing there")
def odd(): return object()
def huge(): return 2 ** 80
class Holder:
    @staticmethod
    def method(x): return x
value = 3
"""


@pytest.fixture
def around(tmp_path, monkeypatch):
    (tmp_path / "stages_of_test.py").write_text(textwrap.dedent(CODE))
    (tmp_path / "broken_of_test.py").write_text("import not_there_at_all")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Surroundings(tmp_path)
    sys.modules.pop("stages_of_test", None)


def do(around, function, scope=None, given=None, **changes):
    params = {"function": f"stages_of_test:{function}", **({} if given is None else {"with": given})}
    with around.context(**changes) as context:
        return perform("python", params, context, scope or {})


def failure(around, function, **rest):
    with pytest.raises(CommandError) as raised:
        do(around, function, **rest)
    return raised.value.kind, raised.value.message


def test_inputs_are_given_by_the_names_of_the_parameters(around):
    """A function gets the inputs it has parameters for, and its defaults for the rest."""
    assert do(around, "place", inputs={"name": "Rome", "day": 1}).value == {"name": "Rome", "at": [1, 2]}


def test_params_may_be_given_by_hand(around):
    """`with` says every parameter, with variables filled in."""
    result = do(around, "place", {"city": "Oslo"}, {"name": "{city}", "at": [3]}, inputs={"name": "Rome"})
    assert result.value == {"name": "Oslo", "at": [3]}
    assert do(around, "anything", given={"a": 1}).value == {"a": 1}
    assert do(around, "Holder.method", given={"x": 1}).value == 1


def test_what_clew_tells_every_stage_can_be_asked_for(around):
    """A function may ask for its idempotency key, its attempt and its run, and a rollback for the outcome."""
    assert do(around, "told", outcome="failed").value == {
        "idempotency_key": "key-1",
        "attempt": 2,
        "run_id": "r1",
        "outcome": "failed",
        "stage_name": "pay",
        "program_name": "trip",
    }


def test_records_are_told_by_their_fields(around):
    """A NamedTuple becomes a mapping, as a dataclass does."""
    assert do(around, "pair").value == {"one": 1, "other": [2]}


def test_an_async_function_is_given_back_to_be_awaited(around):
    """The result of an async function comes when it is awaited."""
    result = do(around, "later", given={"x": 1})
    assert asyncio.run(result) == CommandResult({"x": 1})


def test_a_functions_own_error_comes_through(around):
    """What a function raises is what the attempt sees, so that `retry.on` can name it."""
    with pytest.raises(LookupError, match="nothing there"):
        do(around, "fails")


@pytest.mark.parametrize(
    ("function", "rest", "kind", "text"),
    [
        ("nothing", {}, "not_found", "has no 'nothing'"),
        ("value", {}, "params", "is int, not a function"),
        ("<lambda>", {}, "params", "write `module:function`"),
        ("", {}, "params", "write `module:function`"),
        ("place", {}, "params", "needs 'name', and nothing gives it a value"),
        ("place", {"given": {"nme": 1}}, "params", "no parameter 'nme'; its parameters are: name, at"),
        ("pair", {"given": {"a": 1}}, "params", "its parameters are: none"),
        ("place", {"given": [1]}, "params", "`with` is a mapping"),
        ("needs", {"inputs": {"day": 1, "ticket": 2}}, "params", "no parameter 'ticket'"),
        ("odd", {}, "output", "can't be kept"),
        ("huge", {}, "output", "can't be kept"),
    ],
)
def test_what_can_not_be_called_or_kept_is_told(around, function, rest, kind, text):
    """Each mistake has its kind and says what would be right."""
    its_kind, message = failure(around, function, **rest)
    assert its_kind == kind
    assert text in message


def test_a_module_that_is_not_there_is_told_from_one_that_is_broken(around):
    """A missing module is `not_found`; one that needs a missing one says which."""
    with around.context() as context:
        with pytest.raises(CommandError, match=r"there is no module 'nowhere\.at_all'"):
            perform("python", ["nowhere.at_all:f"], context, {})
        with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
            perform("python", ["broken_of_test:f"], context, {})
        with pytest.raises(CommandError, match="names no function"):
            perform("python", {"function": 3}, context, {})
