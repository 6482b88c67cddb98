"""Secrets: named in a program as `secret:NAME`, found in the environment or in files, by attempts only."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from clew.ports import Json, SecretSource

REFERENCE = re.compile(r"secret:([A-Za-z][A-Za-z0-9_-]{0,99})")
"""A whole text of this form is a secret's value wherever an attempt uses it."""

SECRET_SIZE_MAX = 64 * 1024
"""Bytes: larger than any key or certificate chain, so that a wrong path is not read into memory."""


class SecretError(Exception):
    """A secret has no value; the message never holds one."""


def resolve(source: SecretSource) -> str:
    """The secret's value: of an environment variable, or of a file without the newline at its end.

    Raises SecretError.
    """
    if source.kind == "environment":
        value = os.environ.get(source.name)
        if value is None:
            raise SecretError(f"the environment has no variable '{source.name}'")
    elif source.kind == "file":
        value = _read(source.name)
    else:
        raise SecretError(f"'{source.kind}' is no place for secrets; they come from environment or file")
    if not value:
        raise SecretError(f"the secret in the {source.kind} '{source.name}' is empty")
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
        # Editors and `echo` end a file in a newline that is no part of the secret.
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise SecretError(f"the file '{path}' is no UTF-8 text") from error


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
