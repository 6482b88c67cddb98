"""From what a stage's last command gave to the values of the outputs that the stage declares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from clew.core.program.model import Json
from clew.core.program.problems import nearest

STDOUT = "stdout"
"""The source that stands for what the command wrote to its standard output."""

_NAMES_SHOWN_MAX = 10
"""Enough to see what a result is like; a message is not the place for all of a table's columns."""


class OutputMissing(ValueError):
    """A declared output has no value; the message names it and says what there was instead."""


class DeclaredOutput(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def source(self) -> str | None: ...


def outputs_of(outputs: Sequence[DeclaredOutput], result: Json, stdout: str | None = None) -> dict[str, Json]:
    """The declared outputs by name.

    Without a source an output is the entry of its name in a result that is a mapping; a stage with a single
    such output may also just return its value. `stdout` is the standard output, without the newlines at its
    end; None says that the command has none. Any other source leads into the result: `place.city`,
    `rows.0.price`. Raises OutputMissing.
    """
    unnamed = sum(output.source is None for output in outputs)
    return {output.name: _value(output, result, stdout, only=unnamed == 1) for output in outputs}


def _value(output: DeclaredOutput, result: Json, stdout: str | None, *, only: bool) -> Json:
    if output.source == STDOUT:
        if stdout is None:
            raise OutputMissing(f"output '{output.name}' is to come from stdout, but the command has none")
        return stdout.rstrip("\r\n")
    if output.source is not None:
        return _within(output, output.source, result)
    if isinstance(result, Mapping) and output.name in result:
        return result[output.name]
    if only:
        return result
    raise OutputMissing(f"output '{output.name}' is missing: {_what_there_is(result, output.name)}")


def _within(output: DeclaredOutput, source: str, result: Json) -> Json:
    found = result
    for step in source.split("."):
        if isinstance(found, Mapping) and step in found:
            found = found[step]
        elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        else:
            where = f"output '{output.name}' is to come from '{source}'"
            raise OutputMissing(f"{where}, but there is no '{step}': {_what_there_is(found, step)}")
    return found


def _what_there_is(found: Json, name: str) -> str:
    if isinstance(found, Mapping):
        suggestion = nearest(name, found)
        return f"there is {_listed(found)}" + (f"; {suggestion}" if suggestion else "")
    if isinstance(found, list):
        return f"there is a list of {len(found)}"
    return "there is nothing" if found is None else f"there is a single {_KIND_NAMES[type(found)]}"


def _listed(names: Iterable[str]) -> str:
    known = list(names)
    shown = ", ".join(f"'{name}'" for name in known[:_NAMES_SHOWN_MAX])
    left = len(known) - _NAMES_SHOWN_MAX
    return (shown + (f" and {left} more" if left > 0 else "")) or "an empty mapping"


_KIND_NAMES: dict[type, str] = {str: "text", int: "number", float: "number", bool: "boolean"}
