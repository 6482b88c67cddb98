from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from tests.core.program.other_kinds import OTHER_KINDS
from tests.core.program.tables import COMMANDS, CONDITIONS
from tests.core.program.test_content import documents
from tests.core.program.test_parse import small, staged

from clew.core.program.schema import json_schema

SCHEMA = json_schema(COMMANDS, CONDITIONS)
VALIDATOR = jsonschema_rs.Draft202012Validator(SCHEMA)


def test_the_schema_is_a_schema() -> None:
    """The published schema is valid by its own draft, and plain JSON."""
    jsonschema_rs.meta.validate(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert SCHEMA["required"] == ["name", "stages"]


@settings(max_examples=50)
@given(documents())
def test_the_schema_accepts_what_is_read(document: dict[str, Any]) -> None:
    """What can be read without mistakes is accepted by the schema."""
    assert VALIDATOR.is_valid(document), [str(error) for error in VALIDATOR.iter_errors(document)]


def test_the_schema_accepts_dependencies_of_every_kind() -> None:
    """By name and in a list; and no other keys than those of the kind."""
    as_list = [{"name": name, **one} for name, one in OTHER_KINDS.items()]
    for document in (staged(dependencies=OTHER_KINDS), staged(dependencies=as_list)):
        assert VALIDATOR.is_valid(document), [str(error) for error in VALIDATOR.iter_errors(document)]
    for name, one in OTHER_KINDS.items():
        assert not VALIDATOR.is_valid(staged(dependencies={name: {**one, "prefix": []}})), name


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"stages": []},
        small(nam="x"),
        small(name="a/b"),
        small(cadence=7),
        small(cadence=[]),
        small(cadence=[["@daily"], []]),
        small(clock_change={"gap": "next"}),
        small(cadence="@daily", clock_change={"gap": "last"}),
        small(maintain_sequence="yes"),
        small(custom_times={"t": ["then", "1 s"]}),
        small(variables={"1a": 1}),
        staged(name="../x"),
        staged(exec={}),
        staged(execute=[]),
        staged(execute={"params": []}),
        staged(execute={"command": "copy", "params": {"from": "x"}}),
        staged(execute={"command": "copy", "params": ["x", "y", "z"]}),
        staged(execute={"command": "query", "params": ["x"]}),
        staged(timeout=60),
        staged(retry={"attempts": 0}),
        staged(environment={"CLEW_X": "y"}),
        staged(rollback="imposible"),
        staged(rollback={"retry": {}}),
        staged(rollback={"restore": []}),
        staged(source={"folder": "x"}),
        staged(source={"git": "./c"}),
        staged(source={"git": "./c", "commit": "main"}),
        staged(source={"git": "./c", "commit": "0f" * 20, "bucket": "b"}),
        staged(rollback={"restore": ["b/k"], "on_failure": "stop"}),
        staged(rollback={"command": "note", "attempts": 2}),
        staged(rollback={"to": "a", "params": []}),
        staged(for_each=3),
        staged(max_parallel=2),
        staged(for_each=[], max_parallel=0),
        staged(dependencies={"f": {"kind": "input", "bucket": "b"}}),
        staged(dependencies=[{"kind": "input"}]),
        staged(dependencies={"f": {"kind": "variable"}}),
        staged(rollback={"command": "note", "commands": [{"command": "note"}]}),
        staged(dependencies={"f": {"bucket": "b", "prefix": []}}),
        staged(outputs=[3]),
    ],
)
def test_the_schema_refuses_what_is_not_read(document: Any) -> None:
    """What a reader refuses for its shape, an editor underlines."""
    assert not VALIDATOR.is_valid(document)


def test_without_commands_there_is_a_schema_too() -> None:
    """A schema over no commands says nothing about params, and what is left of it holds."""
    jsonschema_rs.meta.validate(json_schema({}, {}))


def test_letters_beyond_ascii_are_accepted_as_names() -> None:
    """The schema and the reader agree about names in any language."""
    assert VALIDATOR.is_valid(
        {"name": "Prüfung", "stages": {"Quellen prüfen": {"execute": {"command": "note"}}}}
    )
