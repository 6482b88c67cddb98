"""Secrets: named in a program as `secret:NAME`, found by attempts only: in the environment or in files, or by a command
or plug-in that is asked for them (`providers.py`).

A plug-in is one function, named in the settings by an entry point of the group `clew.secrets`, or as
`module:function` of a module beside the settings:

    from clew.trust.secrets import SecretContext

    def read(context: SecretContext, params: Mapping[str, Json]) -> str:
        return vault().read(params["path"])[context.name]

It may be `async`. Each call is a process of its own, with the orchestrator's environment, that is killed when its time
is up.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import msgspec

from clew.ports import Json, SecretSource

REFERENCE = re.compile(r"secret:([A-Za-z][A-Za-z0-9_-]{0,99})")
"""A whole text of this form is a secret's value wherever an attempt uses it."""

SECRET_SIZE_MAX = 64 * 1024
"""Bytes: larger than any key or certificate chain, so that a wrong path is not read into memory."""


ASKED_KINDS = ("command", "plugin")
"""Those of which somebody else is asked, which takes time."""


class SecretContext(msgspec.Struct, frozen=True, kw_only=True):
    """Which secret a plug-in is asked for. `folder`: that of the settings."""

    name: str
    folder: str


class SecretError(Exception):
    """A secret has no value; the message never holds one."""


def resolve(source: SecretSource, name: str) -> str:
    """The value of the secret of that name: of an environment variable; of a file, or what a command prints, without
    the newline at its end; or what a plug-in gives. Blocking, for as long as the source says. Raises SecretError.
    """
    if source.kind == "environment":
        value = os.environ.get(source.name)
        if value is None:
            raise SecretError(f"the environment has no variable '{source.name}'")
    elif source.kind == "file":
        value = _read(source.name)
    elif source.kind in ASKED_KINDS:
        from clew.trust.providers import ask  # few have anybody to ask

        value = ask(source, name)
    else:
        raise SecretError(
            f"'{source.kind}' is no place for secrets; they come from environment, file, command or plugin"
        )
    if not value:
        what = "plug-in" if source.kind == "plugin" else source.kind
        raise SecretError(f"the secret of the {what} '{source.name}' is empty")
    return value


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read(SECRET_SIZE_MAX + 1)
    except OSError as error:
        raise SecretError(f"the file '{path}' can't be read: {error.strerror}") from error
    if len(content) > SECRET_SIZE_MAX:
        raise SecretError(f"the file '{path}' has more than {SECRET_SIZE_MAX} bytes, which no secret has")
    try:
        return without_newline(content.decode())
    except UnicodeDecodeError:
        # Not the cause: it holds the content.
        raise SecretError(f"the file '{path}' is no UTF-8 text") from None


def without_newline(text: str) -> str:
    """Editors and `echo` end what they write in a newline that is no part of the secret."""
    return text.removesuffix("\n").removesuffix("\r")


def find_references(value: Json) -> set[str]:
    """The names of the secrets that texts within the value refer to."""
    if isinstance(value, str):
        match = REFERENCE.fullmatch(value)
        return {match[1]} if match else set()
    if isinstance(value, Mapping):
        return {name for item in value.values() for name in find_references(item)}
    if isinstance(value, (list, tuple)):
        return {name for item in value for name in find_references(item)}
    return set()


def fill(value: Json, secrets: Mapping[str, str]) -> Json:
    """The value with the secrets' values in place of the references. Raises SecretError."""
    if isinstance(value, str):
        match = REFERENCE.fullmatch(value)
        if match is None:
            return value
        if match[1] not in secrets:
            raise SecretError(f"no secret '{match[1]}' is known")
        return secrets[match[1]]
    if isinstance(value, Mapping):
        return {name: fill(item, secrets) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [fill(item, secrets) for item in value]
    return value
