"""Programs: from files and modules, checked against the commands and conditions that there are."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from clew.commands import SIGNATURES
from clew.conditions import SIGNATURES as CONDITIONS
from clew.core.planning.cycles import awaited_by, program_dependencies
from clew.core.program.model import Json, Program
from clew.core.running.sealed_program import SealedProgram, seal_program
from clew.orchestrator.programs import ProgramBook
from clew.ports import Clock, Store
from clew.settings import Settings

COMING_COUNT = 3
"""The times that a plan tells."""

AWAITED_MAX = 500
"""Programs of the store that are read for what a plan awaits: each takes a millisecond."""


class LoadedProgram(NamedTuple):
    """A program and the folder in which its own code is found."""

    program: Program
    folder: str


def read_document(document: Json, *, is_new: bool = False) -> Program:
    """A program from its document; one that `is_new` may only have plug-ins that are there. Raises ProgramError with
    every mistake."""
    from clew.core.program.parse import any_kind, parse

    return parse(document, SIGNATURES, CONDITIONS, known_kind=_is_installed if is_new else any_kind)


def load_program(source: str, *, folder: str, name: str = "") -> LoadedProgram:
    """The program of a file, or of a `module:name` seen from `folder`. `name`: what a file is called that was fetched.
    Raises ProgramError."""
    from clew.authoring.references import is_module_reference, load_reference

    if not name and is_module_reference(source) and not os.path.exists(source):
        from clew.core.program.content import content

        found = load_reference(source, folder)
        # By the reader of files too, so that it is checked alike.
        return LoadedProgram(read_document(content(found.model), is_new=True), found.folder or folder)
    from clew.authoring.files import read_program

    program = read_program(source, SIGNATURES, CONDITIONS, known_kind=_is_installed, name=name)
    return LoadedProgram(program, os.path.dirname(os.path.abspath(source)))


def _is_installed(kind: str) -> bool:
    from clew.dependencies import is_installed

    return is_installed(kind)


def seal(program: Program) -> SealedProgram:
    """The program with its plan, sealed. Raises ProgramError."""
    return seal_program(program, SIGNATURES, CONDITIONS)


def new_book(store: Store, clock: Clock) -> ProgramBook:
    """The program versions of a store."""
    return ProgramBook(
        store=store, clock=clock, signatures=SIGNATURES, conditions=CONDITIONS, read=read_document
    )


def program_schema() -> dict[str, Json]:
    """The JSON Schema of program files."""
    from clew.core.program.schema import json_schema

    return json_schema(SIGNATURES, CONDITIONS)


def describe_plan(program: Program, variables: Mapping[str, Json], settings: Settings) -> dict[str, Json]:
    """What `clew plan` shows; see `operations.planning`. Raises ProgramError, StoreError."""
    from clew.operations.planning import plan_document
    from clew.trust.secrets import find_references

    sealed = seal(program)
    return plan_document(
        sealed,
        variables,
        matches=_matches_now(sealed, variables, settings),
        signatures=SIGNATURES,
        conditions=CONDITIONS,
        secrets_in=find_references,
        last=_last(program.name, settings),
        timing=_coming(program),
        others=_awaited(program, settings),
        now=int(_now().timestamp() * 1000),
    )


def _awaited(program: Program, settings: Settings) -> dict[str, Program]:
    """The programs of the store, by name, to which the way leads from what this one awaits."""
    ahead = _awaited_names(program)
    from clew.wiring.records import has_store, open_store

    if not ahead or not has_store(settings):
        return {}
    import json

    found: dict[str, Program] = {}
    store = open_store(settings, read_only=True)
    try:
        while ahead and len(found) < AWAITED_MAX:
            name = ahead.pop()
            row = store.schedules.of(name)
            version = store.last_version(name) if row is None or row.retired_at is not None else row.version
            text = None if version is None else store.program(version)
            if text is not None:
                found[name] = read_document(json.loads(text))
                ahead |= _awaited_names(found[name]) - {*found, program.name}
    finally:
        store.close()
    return found


def _awaited_names(program: Program) -> set[str]:
    return {awaited_by(program, one) for _, one in program_dependencies(program)} - {program.name}


def _coming(program: Program) -> Json:
    if program.cadence is None:
        return None
    from clew.operations.due_times import coming_document

    return coming_document(program, _now(), COMING_COUNT, zone_data_release())


def due_times(program: Program, moment: str | None, count: int, *, back: bool) -> Json:
    """What `clew next` and `clew prev` show; see `operations.due_times`. Raises RequestError."""
    from clew.operations.due_times import times_document

    return times_document(program, moment=moment, now=_now(), count=count, back=back)


def explain_time(program: Program, moment: str) -> Json:
    """What `clew next --explain` shows; see `operations.due_times`. Raises RequestError."""
    from clew.operations.due_times import explained_document

    return explained_document(program, moment, zone_data_release())


def describe_month(program: Program, month: str) -> Json:
    """What `clew next --month` shows; see `operations.due_times`. Raises RequestError."""
    from clew.operations.due_times import month_document

    return month_document(program, month)


def zone_data_release() -> str:
    """Which release of the time zone data due times are found by."""
    from clew.authoring.zone_data import zone_data_release as release

    return release()


def _now() -> datetime:
    from clew.orchestrator.real_world import RealClock

    return datetime.fromtimestamp(RealClock().now() / 1000, UTC)


def find_files(program: Program, variables: Mapping[str, Json], settings: Settings) -> dict[str, Json]:
    """What `clew find` shows; see `operations.finding`. Raises ProgramError."""
    return {"dependencies": _matches_now(seal(program), variables, settings)}


def _matches_now(
    sealed: SealedProgram, variables: Mapping[str, Json], settings: Settings
) -> list[dict[str, Json]]:
    """As a run of now would find them."""
    if not any(stage.file_dependencies for stage in sealed.program.stages):
        return []
    from clew.operations.finding import matches_now
    from clew.orchestrator.real_world import RealClock
    from clew.orchestrator.requests import moments_at
    from clew.wiring.records import search_dependencies

    program = sealed.program
    at = RealClock().now()
    scope = {**program.variables, **variables, "program_name": program.name, **moments_at(program, at)}
    return matches_now(sealed, scope, settings.buckets, partial(search_dependencies, probes=True))


def _last(name: str, settings: Settings) -> tuple[str, Json] | None:
    """The version that ran last in the store, if there is a store, and its content."""
    from clew.wiring.records import has_store, open_store

    if not has_store(settings):
        return None
    import json

    store = open_store(settings, read_only=True)
    try:
        version = store.last_version(name)
        text = None if version is None else store.program(version)
        return None if version is None or text is None else (version, json.loads(text))
    finally:
        store.close()


def unknown_secrets(program: Program, known: Container[str]) -> list[str]:
    """The secrets that the program refers to and the settings do not know, in order."""
    from clew.core.program.content import content
    from clew.trust.secrets import find_references

    document = content(program)
    named = find_references(document["stages"]) | find_references(document.get("validate", []))
    return sorted(name for name in named if name not in known)
