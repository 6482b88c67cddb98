"""Commands whose outside has doubles: what they would reach outside goes to its double, or is refused.

A rehearsal acts on copies, servers of its own and declared answers. Whatever a program states that leads to none of
them fails with `no_double`, before anything is done.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from clew.commands.interface import CommandContext, CommandError, CommandResult
from clew.commands.performing import Perform, find, perform_prepared, prepared_params
from clew.commands.sql import sqlite_path
from clew.core.program.preparing import Bound
from clew.core.program.signatures import Signature
from clew.core.program.variables import TemplateError, render
from clew.ports import Answer, Doubles, Json

NO_DOUBLE = "no_double"

IN_BUCKETS = frozenset({"publish_file", "copy_file", "delete_file", "restore_files"})
"""These reach nothing but buckets, which are copies."""


Copied = Callable[[str], str | None]
"""From a folder's path or `file:` URL to its place among the copies; None if it has none."""


class DoubledCommands:
    """The commands of one attempt, with the doubles in the place of the outside. `copied`: see `Copied`."""

    def __init__(
        self, context: CommandContext, scope: Mapping[str, Json], doubles: Doubles, copied: Copied
    ) -> None:
        self._context = context
        self._scope = scope
        self._doubles = doubles
        self._copied = copied

    def perform(self, name: str, params: Json) -> Any:
        """As `performing.perform`. Raises CommandError (`no_double`)."""
        signature, function = self._found(name)
        return self.perform_prepared(signature, function, prepared_params(signature, params, self._scope))

    def perform_prepared(
        self, signature: Signature, function: Perform | None, prepared: Mapping[str, Json]
    ) -> Any:
        """As `performing.perform_prepared`."""
        answer = self._answer_of(signature.name)
        if answer is not None:
            return _answered(answer, prepared, self._scope, self._doubles)
        assert function is not None, "a command without an answer was found"
        if signature.name == "wait":
            return CommandResult()  # there is nothing to wait for
        return perform_prepared(function, self._led(signature.name, prepared), self._context)

    def _led(self, name: str, prepared: Mapping[str, Json]) -> Mapping[str, Json]:
        """The params, leading to doubles wherever they lead outside. Raises CommandError."""
        folder, doubles = self._context.folder, self._doubles
        if name == "sql":
            return {**prepared, "database": doubled_database(prepared["database"], folder, doubles)}
        if name == "http":
            return {**prepared, "url": doubled_address(prepared["url"], doubles)}
        if name in IN_BUCKETS:
            return prepared
        if name in doubles.as_is:
            params: Mapping[str, Json] = led(prepared, doubles, folder, self._copied)
            return params
        raise CommandError(NO_DOUBLE, f"'{name}' may reach anything, and has no double")

    def _answer_of(self, name: str) -> Answer | None:
        """The first answer that stands for the command."""
        return next((answer for answer in self._doubles.answers if answer.command == name), None)

    def _found(self, name: str) -> tuple[Signature, Perform | None]:
        """The command, which need not be there if an answer stands for it."""
        try:
            return find(name)
        except CommandError:
            if self._answer_of(name) is None:
                raise
            return Signature(name=name, about="", open_params=True), None


# ---- places ----------------------------------------------------------------------------------------------


def doubled_database(database: Json, folder: str, doubles: Doubles) -> str:
    """The URL of the copy of a database. Raises CommandError."""
    path = os.path.realpath(sqlite_path(database, folder))
    copy = doubles.databases.get(path)
    if copy is None and is_within(path, doubles.folder):
        copy = path
    if copy is None:
        raise CommandError(NO_DOUBLE, f"the database '{database}' is no copy, and has none")
    return f"sqlite:///{copy}"


def doubled_address(url: Json, doubles: Doubles) -> str:
    """The address at which a double answers in the place of this one. Raises CommandError."""
    found = address_of_double(url, doubles.servers) if isinstance(url, str) else None
    if found is None:
        raise CommandError(NO_DOUBLE, f"no server stands in for '{url}'")
    return found


def address_of_double(url: str, servers: Mapping[str, str]) -> str | None:
    """The same for any text; None where no server stands in. The longest beginning that is known counts."""
    known = _comparable(url)
    for beginning in sorted(servers, key=len, reverse=True):
        begins = _comparable(beginning).rstrip("/")
        if known == begins or known.startswith((f"{begins}/", f"{begins}?", f"{begins}#")):
            return servers[beginning].rstrip("/") + known[len(begins) :]
    return None


def _comparable(url: str) -> str:
    """Without user, and with scheme and host in small letters: they mean the same in large ones."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return url
    place = f"[{host}]" if ":" in host else host
    return parts._replace(netloc=place if port is None else f"{place}:{port}").geturl()


def is_address(text: str) -> bool:
    """Whether a text is the address of something that may be outside."""
    return _ADDRESS.match(text) is not None


def led_text(text: str, doubles: Doubles, folder: str, copied: Copied) -> str | None:
    """The address of what stands in for what the text is the address of; None where nothing does."""
    if text.startswith(_SQLITE):
        try:
            return doubled_database(text, folder, doubles)
        except CommandError:
            return None
    if text.startswith(("file:", "/")):
        found = copied(text)
        return f"file:{found}" if found is not None and text.startswith("file:") else found
    return address_of_double(text, doubles.servers)


def led(value: Any, doubles: Doubles, folder: str, copied: Copied) -> Any:
    """The value with every address in it that something stands in for led there. Others stay: a command that is run as
    it is reaches, by its author's word, nothing else."""
    if isinstance(value, Mapping):
        return {name: led(item, doubles, folder, copied) for name, item in value.items()}
    if isinstance(value, list):
        return [led(item, doubles, folder, copied) for item in value]
    if isinstance(value, str) and (is_address(value) or value.startswith("/")):
        return led_text(value, doubles, folder, copied) or value
    return value


_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://|file:", re.ASCII | re.IGNORECASE)
_SQLITE = "sqlite:///"


def is_within(path: str, folder: str) -> bool:
    """Whether the real path is that folder or lies in it."""
    root = os.path.realpath(folder)
    return path == root or path.startswith(f"{root}/")


# ---- answers ---------------------------------------------------------------------------------------------


def _answered(
    answer: Answer, params: Mapping[str, Json], scope: Mapping[str, Json], doubles: Doubles
) -> CommandResult:
    seen = {**scope, "params": {name: _stated(value) for name, value in params.items()}}
    try:
        leaves, takes = _mark(answer.leaves, seen), _mark(answer.takes, seen)
    except TemplateError as error:
        raise CommandError("params", f"the double of '{answer.command}': {error}") from error
    os.makedirs(doubles.marks, exist_ok=True)
    if leaves:
        with open(_mark_path(doubles, leaves), "w", encoding="utf-8") as file:
            file.write(leaves)
    if takes and os.path.exists(path := _mark_path(doubles, takes)):
        os.unlink(path)
    return CommandResult(answer.gives, answer.stdout)


def _mark(template: str, seen: Mapping[str, Json]) -> str:
    return str(render(template, seen)) if template else ""


def _mark_path(doubles: Doubles, mark: str) -> str:
    return os.path.join(doubles.marks, sha256(mark.encode()).hexdigest())


def _stated(value: Json) -> Json:
    """A param as JSON: of a statement its text."""
    if isinstance(value, list):
        return [_stated(one) for one in value]
    return value.statement if isinstance(value, Bound) else value
