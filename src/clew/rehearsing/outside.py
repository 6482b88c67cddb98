"""What of a program reaches outside, and whether something stands in for it: found before anything is run.

What only a run can know (an address in a stage's output, say) is left to the attempt, which refuses it then.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from clew.buckets.confining import copied_folder
from clew.commands import SIGNATURES
from clew.commands.doubles import IN_BUCKETS, is_address, led_text
from clew.commands.interface import CommandError
from clew.commands.sql import sqlite_path
from clew.conditions import SIGNATURES as CONDITIONS
from clew.conditions.infrastructure import address_of
from clew.core.planning.locations import is_url, split_location
from clew.core.program.demands import INFRASTRUCTURE, RESOURCE_AVAILABLE
from clew.core.program.model import (
    AnySource,
    AskedDependency,
    Command,
    Condition,
    FolderSource,
    GitSource,
    Json,
    Program,
)
from clew.core.program.params import by_name
from clew.core.program.signatures import TEXT
from clew.core.program.sources import LOCAL_REPOSITORIES
from clew.core.program.templates import Reference, TemplateError, pieces_of
from clew.core.program.variables import render
from clew.operations.requests import BUCKET_PARAMS
from clew.ports import Doubles
from clew.rehearsing.declared import Declared, Double

_SQLITE = "sqlite:///"


class Outside(Exception):
    """A value leads outside, and nothing stands in for what it leads to."""


class Work(NamedTuple):
    """A command or condition of a stage (or, with no stage, a condition of the program's own)."""

    stage: str
    work: str
    item: Command | Condition

    def __str__(self) -> str:
        where = f"stage '{self.stage}'" if self.stage else "the program"
        return f"{where}, {self.work}"


def works_of(program: Program) -> Iterator[Work]:
    """Everything that the program may have done."""
    for stage in program.stages:
        yield from (Work(stage.name, "execute", item) for item in stage.execute)
        yield from (Work(stage.name, "rollback", item) for item in stage.rollback.commands)
        yield from (Work(stage.name, "validate", item) for item in stage.validate)
    yield from (Work("", "validate", item) for item in program.validate)


# ---- values ----------------------------------------------------------------------------------------------


def in_scratch(value: Json, doubles: Doubles, folder: str, mentions: Iterable[str]) -> Json:
    """The value with every address in it replaced by that of what stands in for it. Raises Outside."""
    if isinstance(value, dict):
        return {name: in_scratch(item, doubles, folder, mentions) for name, item in value.items()}
    if isinstance(value, list):
        return [in_scratch(item, doubles, folder, mentions) for item in value]
    if not isinstance(value, str) or value.startswith(tuple(mentions)):
        return value
    if not is_address(value) and not value.startswith("/"):
        return value
    found = led_text(value, doubles, folder, partial(copied_folder, doubles=doubles))
    if found is None and is_address(value):
        raise Outside(value)
    return found or value


def databases_in(value: Json, folder: str) -> Iterator[str]:
    """The real paths of the databases that a value names."""
    if isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from databases_in(item, folder)
    elif isinstance(value, str) and value.startswith(_SQLITE):
        try:
            yield os.path.realpath(sqlite_path(value, folder))
        except CommandError:
            return


def databases_of(program: Program, values: Mapping[str, Json], folder: str) -> list[str]:
    """The real paths of all databases that the program names: by its commands' params, its environment, its values."""
    named: list[Json] = [dict(values)]
    named += [_filled(dict(stage.environment), values) for stage in program.stages]
    named += [_filled(_params(work.item), values) for work in works_of(program)]
    return list(dict.fromkeys(databases_in(named, folder)))


def folders_of(program: Program, values: Mapping[str, Json]) -> list[str]:
    """The `file:` URLs of all folders that the program names outright, as buckets or as those of objects."""
    places: list[Json] = []
    buckets: list[Json] = []
    for stage in program.stages:
        buckets += [dependency.bucket for dependency in stage.file_dependencies]
        places += stage.rollback.restore
        if isinstance(stage.source, FolderSource):
            buckets.append(stage.source.bucket)
    for work in works_of(program):
        name, params = _known_name(work.item, values), _params(work.item)
        if not isinstance(params, dict):
            continue
        if name == "file_exists":
            buckets.append(params.get("bucket"))
        for param in BUCKET_PARAMS.get(name, ()) if work.work != "validate" else ():
            places += _listed(params.get(param))
    found = [_filled(bucket, values) for bucket in buckets]
    found += [_bucket_of(_filled(place, values)) for place in places]
    urls = [url for url in found if isinstance(url, str) and url.startswith("file:") and "{" not in url]
    return list(dict.fromkeys(urls))


def _bucket_of(place: Json) -> str:
    """The bucket of an object's place, as it is stated; empty if it is no place."""
    try:
        return split_location(place)[0]
    except ValueError:
        return ""


# ---- problems --------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What a program's texts are held against: the variables as a request would begin with, and what stands in for the
    outside. `answering`: the doubles that give answers; `folder`: where relative paths of databases begin."""

    values: Mapping[str, Json]
    doubles: Doubles
    declared: Declared
    answering: Sequence[Double]
    folder: str

    def problems(self, program: Program) -> list[str]:
        """What has no double, a sentence each."""
        found: list[str] = []
        for name, value in self.values.items():
            found += self._leading(f"the variable '{name}'", value, mentions=True)
        for stage in program.stages:
            for name, text in stage.environment.items():
                what = f"stage '{stage.name}', environment {name},"
                found += self._leading(what, _filled(text, self.values), mentions=True)
            found += self._source_problems(stage.name, stage.source)
            for dependency in stage.searched_dependencies:
                if isinstance(dependency, AskedDependency) and dependency.name not in self.declared.inputs:
                    found += self._asked_problems(f"stage '{stage.name}', dependency", dependency)
        for stage in program.stages:
            for dependency in stage.file_dependencies:
                what = f"stage '{stage.name}', dependency '{dependency.name}',"
                bucket = _filled(dependency.bucket, self.values)
                found += self._bucket_problems(what, bucket, str(bucket))
            for place in stage.rollback.restore:
                found += self._place_problems(f"stage '{stage.name}', restore,", place)
        for work in works_of(program):
            found += self._problems_of(work)
        return found

    def _source_problems(self, stage: str, source: AnySource | None) -> list[str]:
        """Code comes from copies of buckets, or from a repository on this machine, which is only read."""
        if source is None:
            return []
        said = source.git if isinstance(source, GitSource) else source.bucket
        place = str(_filled(said, self.values))
        if isinstance(source, GitSource):
            is_here = place.startswith(LOCAL_REPOSITORIES) or "{" in place
        else:
            is_copied = place.startswith("file:") and copied_folder(place, self.doubles) is not None
            is_here = is_copied or not is_url(place)
        return (
            []
            if is_here
            else [f"stage '{stage}', source, leads to '{place}', and nothing stands in for that"]
        )

    def without_double(self, program: Program) -> list[Work]:
        """The pieces of work that may reach outside, and have nothing that stands in for it; by their real names."""
        return [
            work._replace(item=replace(work.item, name=_known_name(work.item, self.values)))
            for work in works_of(program)
            if self._problems_of(work)
        ]

    def _is_harmless(self, work: Work) -> bool:
        """An answer stands for it, or there is nothing outside that it could reach."""
        name = _known_name(work.item, self.values)
        for double in self.answering:
            if double.command == name and double.stage in ("", work.stage) and double.work in ("", work.work):
                return True
        if work.work == "validate":
            looks_here = name in ("file_exists", RESOURCE_AVAILABLE)
            return looks_here or (name in CONDITIONS and CONDITIONS[name].is_pure)
        return name == "wait"

    def _problems_of(self, work: Work) -> list[str]:
        if self._is_harmless(work):
            return []
        name, given = _known_name(work.item, self.values), _params(work.item)
        params = given if isinstance(given, dict) else {}
        if name in IN_BUCKETS:
            places = [place for param in BUCKET_PARAMS[name] for place in _listed(params.get(param))]
            return [problem for place in places for problem in self._place_problems(work, place)]
        if name in _ADDRESS_PARAMS:
            address = _filled(params.get(_ADDRESS_PARAMS[name]), self.values)
            return self._leading(f"{work}: {name}", address, mentions=False)
        if name == INFRASTRUCTURE:
            address = _filled(address_of({"host": "", "port": 0, **params}), self.values)
            return self._leading(f"{work}: {name}", address, mentions=False)
        if name not in self.declared.as_is:
            what = (
                f"python {params['function']}" if name == "python" and "function" in params else f"'{name}'"
            )
            return [f"{work}: {what} may reach anything, and has no double"]
        return self._leading(f"{work}: {name}", _filled(given, self.values), mentions=True)

    def _asked_problems(self, what: str, dependency: AskedDependency) -> list[str]:
        what = f"{what} {dependency.name}: {dependency.kind}"
        if dependency.is_plug_in:
            return [f"{what} may reach anything; what it gives can be said under [inputs]"]
        if dependency.kind != INFRASTRUCTURE:
            return []
        address = _filled(address_of({"host": "", "port": 0, **dependency.params}), self.values)
        return self._leading(what, address, mentions=False)

    def _leading(self, what: str, value: Json, *, mentions: bool) -> list[str]:
        try:
            in_scratch(value, self.doubles, self.folder, self.declared.mentions if mentions else ())
        except Outside as error:
            return [f"{what} leads to '{error}', and nothing stands in for that"]
        return []

    def _place_problems(self, what: Work | str, place: Json) -> list[str]:
        """What is wrong with a place of an object, as far as it is known."""
        place = _filled(place, self.values)
        return self._bucket_problems(what, _bucket_of(place), str(place))

    def _bucket_problems(self, what: Work | str, bucket: Json, shown: str) -> list[str]:
        """What is wrong with a bucket, as far as it is known. Its name is asked for elsewhere."""
        if not isinstance(bucket, str) or not is_url(bucket):
            return []
        if bucket.startswith("file:") and copied_folder(bucket, self.doubles) is not None:
            return []
        return [f"{what} leads to '{shown}', and nothing stands in for that"]


_ADDRESS_PARAMS = {"sql": "database", "http": "url"}
"""Where the built-in commands and conditions have the address that they go to."""


def _known_name(item: Command | Condition, values: Mapping[str, Json]) -> str:
    """The name without synonyms and, as far as known, without references."""
    name = str(_filled(item.name, values))
    known = CONDITIONS if isinstance(item, Condition) else SIGNATURES
    return known[name].name if name in known else name


def _params(item: Command | Condition) -> Json:
    known = CONDITIONS if isinstance(item, Condition) else SIGNATURES
    return by_name(item.params, known[item.name]) if item.name in known else item.params


def _filled(value: Json, values: Mapping[str, Json]) -> Json:
    """Filled in as far as the values of a request suffice; other references stand as they are."""
    if isinstance(value, dict):
        return {name: _filled(item, values) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, values) for item in value]
    try:
        return render(value, values)
    except TemplateError:
        pass
    try:
        return "".join(_piece(piece, values) for piece in pieces_of(value, TEXT))
    except TemplateError:
        return value  # no template at all, but taken as it stands


def _piece(piece: str | Reference, values: Mapping[str, Json]) -> str:
    try:
        return str(render(str(piece), values)) if isinstance(piece, Reference) else piece
    except TemplateError:
        return str(piece)


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]
