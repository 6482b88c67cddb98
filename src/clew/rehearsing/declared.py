"""What a program's rehearsal file declares: what stands in for the outside, and what a request would give.

The file lies beside the program and is called as it is: `trip.rehearsal.toml` beside `trip.yaml`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from clew.authoring.files import FORMATS, load_document, read_text
from clew.core.program.model import Json
from clew.core.program.problems import nearest
from clew.operations.requests import RequestError

ENDING = ".rehearsal.toml"

SETTINGS_FILE = "clew.toml"

NAMES_RESERVED = ("scratch", "folder", "python", "port")
"""What texts of the file may refer to beside its servers."""


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A server that stands in for one outside: how it is started, the beginnings of the addresses that lead to it
    instead, and the paths whose answers are its state."""

    start: tuple[str, ...]
    stands_for: tuple[str, ...] = ()
    state: tuple[str, ...] = ()


class Double(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a command gives instead of being performed; for one stage, or one kind of work, if it says so."""

    command: str
    stage: str = ""
    work: str = ""
    gives: Json = None
    stdout: str | None = None
    leaves: str | None = None
    takes: str | None = None


class Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a rehearsal file says.

    `as_is`: commands (and conditions) that reach nothing but what they are told of. `mentions`: the beginnings of
    addresses that the program only mentions. `ignore`: places that may differ.
    """

    as_is: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    variables: Mapping[str, Json] = {}
    inputs: Mapping[str, Json] = {}
    environment: Mapping[str, str] = {}
    secrets: Mapping[str, str] = {}
    buckets: Mapping[str, str] = {}
    servers: Mapping[str, Server] = {}
    doubles: tuple[Double, ...] = ()


WORKS = ("execute", "rollback", "validate")


def rehearsal_file(source: str, folder: str) -> str:
    """Where the rehearsal file of a program would be: `source` is its file, or `module:name` with its folder."""
    if ":" in source and not os.path.exists(source):
        return os.path.join(folder, source.rpartition(":")[2] + ENDING)
    return os.path.splitext(source)[0] + ENDING


def read_rehearsal(path: str, stages: Mapping[str, object]) -> Declared:
    """What the file declares; nothing if there is none. Raises RequestError, and ProgramError for what is no TOML."""
    if not os.path.exists(path):
        return Declared()
    text = read_text(path)
    document, _ = load_document(text, path) if text.strip() else ({}, None)
    try:
        declared = msgspec.convert(document, Declared)
    except msgspec.ValidationError as error:
        known = ", ".join(Declared.__struct_fields__)
        raise RequestError(f"{path}: {error}; a rehearsal file has {known}") from error
    problems = [f"{path}: {problem}" for problem in _problems(declared, stages)]
    if problems:
        raise RequestError("\n".join(problems))
    return declared


def _problems(declared: Declared, stages: Mapping[str, object]) -> list[str]:
    problems = []
    for name, server in declared.servers.items():
        if not name.isidentifier() or name in NAMES_RESERVED:
            problems.append(
                f"servers.{name}: a server's name is a word, and none of {', '.join(NAMES_RESERVED)}"
            )
        if not server.start:
            problems.append(f"servers.{name}.start: must be a command, as a list of arguments")
    for at, double in enumerate(declared.doubles):
        if double.stage and double.stage not in stages:
            hint = nearest(double.stage, stages) or f"there are {', '.join(stages)}"
            problems.append(f"doubles[{at}].stage: there is no stage '{double.stage}'; {hint}")
        if double.work and double.work not in WORKS:
            problems.append(f"doubles[{at}].work: '{double.work}' is none of {', '.join(WORKS)}")
    return problems


def program_in(source: str) -> str:
    """The program to rehearse: the source itself, or the one of a folder. Raises RequestError."""
    if not os.path.isdir(source):
        return source
    names = sorted(
        name
        for name in os.listdir(source)
        if name.endswith(FORMATS) and not name.endswith(ENDING) and name != SETTINGS_FILE
    )
    declaring = [
        name for name in names if os.path.exists(os.path.join(source, os.path.splitext(name)[0] + ENDING))
    ]
    chosen = declaring if len(names) > 1 and declaring else names
    if len(chosen) == 1:
        return os.path.join(source, chosen[0])
    if not names:
        raise RequestError(f"{source}: there is no program file here; one in Python is named as module:name")
    raise RequestError(f"{source}: there are several programs here: {', '.join(chosen)}; name one of them")
