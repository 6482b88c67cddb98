"""Parts of a stage that Python says as a file does: read by the shapes that files are read by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clew.core.program.grammar import DELAY, DEPENDENCIES, LIMIT_KEYS, rollback_shape
from clew.core.program.model import Command, Rollback
from clew.core.program.pace_keys import read_limits
from clew.core.program.problems import Path
from clew.core.program.records import Record
from clew.core.program.shapes import UNREADABLE, Found
from clew.core.program.stage_parts import delay_of, dependency_of, rollback_commands, rollback_of


def read_parts(said: Mapping[str, Any], path: Path, found: Found) -> dict[str, Any]:
    """The `dependencies`, `delay`, `rollback`, `backfill` and `monitor` that were said, as a stage has them; `path` is
    the stage's.

    What commands there are, and what they take, is checked when the program is read as a whole.
    """
    readers = {"dependencies": _dependencies, "delay": _delay, "rollback": _rollback}
    read = {key: readers[key](value, (*path, key), found) for key, value in said.items() if key in readers}
    limits = Record(LIMIT_KEYS).read({key: said[key] for key in LIMIT_KEYS if key in said}, path, found)
    return {**{key: value for key, value in read.items() if value is not UNREADABLE}, **read_limits(limits)}


def _dependencies(said: Any, path: Path, found: Found) -> Any:
    if not isinstance(said, Mapping):
        return found.problem(path, "this is a mapping by name", "write {name: {...}}")
    read = DEPENDENCIES.read(said, path, found)
    return tuple(dependency_of(name, parts) for _, name, parts in read if parts is not UNREADABLE)


def _delay(said: Any, path: Path, found: Found) -> Any:
    read = DELAY.read(said, path, found)
    return UNREADABLE if read is UNREADABLE else delay_of(read)


def _rollback(said: Any, path: Path, found: Found) -> Any:
    read = rollback_shape({}).read(said, path, found)
    if read is UNREADABLE:
        return UNREADABLE
    if isinstance(read, list):
        return Rollback("commands", _commands(read))
    return rollback_of(read, _commands(rollback_commands(read, path)), Rollback().kind, path, found)


def _commands(placed: Any) -> tuple[Command, ...]:
    return tuple(Command(parts["command"], parts.get("params")) for _, parts in placed if "command" in parts)
