"""What a command or condition takes: enough to check a program's params without running anything."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

TEXT = "text"
"""A string in which `{name}` inserts text (or, standing alone, the value itself)."""
SQL = "sql"
"""A statement in which `{name}` binds a parameter."""
SHELL = "shell"
"""A command line in which `{name}` is quoted."""
REGEX = "regex"
"""A regular expression in which `{name}` is escaped and counted repetitions stay what they are."""
EXPRESSION = "expression"
"""An expression in which bare names are references."""
LITERAL = "literal"
"""Taken as it stands; braces mean nothing."""


class Param(Struct, frozen=True):
    """One param: the kind of its strings (see above), whether it must be given, and one line for people."""

    kind: str = TEXT
    required: bool = False
    about: str = ""


class Signature(Struct, frozen=True):
    """The params of one command or condition.

    `positional` says which params a list stands for, in order; a last name that ends in `*` takes the rest.
    `open_params` allows names beyond those of `params` (plug-ins that do not say what they take).
    `later` are params that this version does not know yet. `leaves_nothing`: a command that can't leave anything to
    undo. `is_pure`: a condition that looks only at recorded values.
    """

    name: str
    about: str
    params: Mapping[str, Param] = field(default_factory=dict)
    positional: tuple[str, ...] = ()
    open_params: bool = False
    leaves_nothing: bool = False
    is_pure: bool = False
    later: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()


Signatures = Mapping[str, Signature]
"""From every name and synonym to its signature."""


def by_name(signatures: tuple[Signature, ...]) -> dict[str, Signature]:
    """The lookup table of signatures under their names and synonyms."""
    return {name: one for one in signatures for name in (one.name, *one.synonyms)}
