"""A plug-in's look for a dependency: `python -m clew.attempt.looking`, a process for each.

A line on its standard input says what is asked (`ports.Look`); the answer is one document on its standard output
(`ports.Looked`). When standard input ends, whoever asked is gone, and so is this process.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from clew.attempt.preparation import KEPT_NAMES, MESSAGE_SIZE_MAX
from clew.core.program.model import Json
from clew.core.running.json_values import to_json
from clew.dependencies import DependencyContext, Missing, find
from clew.ports import Look, Looked
from clew.trust.secrets import SecretError, fill, find_references, resolve

if TYPE_CHECKING:
    from typing import BinaryIO


def main() -> None:
    """Answer what the first line asks."""
    # What the plug-in prints is nobody's answer.
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        asked = msgspec.json.decode(sys.stdin.buffer.readline(), type=Look)
        threading.Thread(target=_end_with, args=(sys.stdin.buffer,), daemon=True).start()
        answers.write(msgspec.json.encode(look(asked)))


def _end_with(asker: BinaryIO) -> None:
    asker.read()
    os._exit(1)


def look(asked: Look) -> Looked:
    """Ask the plug-in. What is said has none of its secrets."""
    try:
        secrets = _secrets(asked)
    except SecretError as error:
        return Looked("error", message=str(error))
    for name in set(os.environ).difference(KEPT_NAMES):
        del os.environ[name]
    looked = _ask(asked, fill(dict(asked.params), secrets))
    if secrets:
        from clew.trust.redaction import Redactor  # few have any

        redactor = Redactor(secrets)
        looked = Looked(looked.verdict, redactor.json(looked.value), redactor.text(looked.message))
    message = looked.message
    if len(message) > MESSAGE_SIZE_MAX:
        message = f"{message[: MESSAGE_SIZE_MAX - 1]}…"
    return Looked(looked.verdict, looked.value, message)


def _secrets(asked: Look) -> dict[str, str]:
    found = {}
    for name in sorted(find_references(asked.params)):
        if name not in asked.secrets:
            raise SecretError(f"no secret '{name}' is declared in the settings")
        try:
            found[name] = resolve(asked.secrets[name], name)
        except SecretError as error:
            raise SecretError(f"secret '{name}': {error}") from error
    return found


def _ask(asked: Look, params: Mapping[str, Json]) -> Looked:
    run_time = datetime.fromtimestamp(asked.run_time / 1000, UTC)
    sys.path.insert(0, asked.folder)
    try:
        given = find(asked.kind)(DependencyContext(run_time=run_time, folder=asked.folder), params)
        if hasattr(given, "__await__"):
            given = _settled(given)
        if isinstance(given, Missing):
            return Looked("missing", message=str(given.reason))
        return Looked("found", value=to_json(given))
    except (Exception, SystemExit) as error:
        return Looked("error", message=f"{type(error).__name__}: {error}")


def _settled(awaitable: object) -> Json:
    import asyncio  # 65 ms that plain functions need not pay

    async def settle() -> Json:
        return await awaitable  # type: ignore[misc]

    return asyncio.run(settle())


if __name__ == "__main__":
    main()
