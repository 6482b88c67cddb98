"""A plug-in that is asked for a secret: `python -m clew.trust.plug_in`, a process for each.

What is asked (`Asked`) is on its standard input, the answer (`Answer`) on its standard output.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import TracebackType
from typing import Any

import msgspec

from clew.ports import Json
from clew.trust.secrets import SecretContext

ENTRY_POINTS = "clew.secrets"


class Asked(msgspec.Struct, frozen=True):
    """The plug-in, and for which secret. `folder`: of the settings. `is_called`: otherwise it is only loaded."""

    plug_in: str
    name: str
    folder: str
    params: Mapping[str, Json] = {}
    is_called: bool = True


class Answer(msgspec.Struct, frozen=True):
    """The secret, or why there is none, which holds nothing of one."""

    value: str = ""
    fault: str = ""


class UnknownPlugIn(LookupError):
    """No plug-in is called so."""


def main() -> None:
    """Answer what is asked."""
    # What the plug-in prints is nobody's answer.
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Asked)
        answers.write(msgspec.json.encode(answer(asked)))


def answer(asked: Asked) -> Answer:
    """Load the plug-in, and call it."""
    sys.path.insert(0, asked.folder)
    who = f"the plug-in '{asked.plug_in}'"
    try:
        function = find(asked.plug_in)
    except UnknownPlugIn as error:
        return Answer(fault=str(error))
    except (Exception, SystemExit) as error:
        return Answer(fault=f"{who} can't be loaded: {_told(error)}")
    if not asked.is_called:
        return Answer()
    try:
        given = function(SecretContext(name=asked.name, folder=asked.folder), asked.params)
        if hasattr(given, "__await__"):
            given = _settled(given)
    except (Exception, SystemExit) as error:
        return Answer(fault=f"{who} failed: {_told(error)}")
    if not isinstance(given, str):
        return Answer(fault=f"{who} gave {type(given).__name__} and no text")
    try:
        given.encode()
    except UnicodeEncodeError:
        return Answer(fault=f"what {who} gave is no UTF-8 text")
    return Answer(given)


def find(name: str) -> Callable[..., Any]:
    """The function of that name: `module:function`, or an entry point's. Raises UnknownPlugIn; what importing its
    module raises comes through."""
    reference = name if ":" in name else _installed(name)
    if reference is None:
        raise UnknownPlugIn(
            f"no package brings the plug-in '{name}'; a project's own is named module:function"
        )
    module, _, path = reference.partition(":")
    try:
        found: Any = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise UnknownPlugIn(f"there is no module '{module}' beside the settings, nor installed") from error
    for part in path.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise UnknownPlugIn(f"the module '{module}' has no function '{path}'")
    return found  # type: ignore[no-any-return]


def _installed(name: str) -> str | None:
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINTS, name=name):
        return f"{point.module}:{point.attr}"
    return None


def _told(error: BaseException) -> str:
    """Its type and place. What it says may hold the secret."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return f"{type(error).__name__}{_at(place)}; call it by hand to see what it says"


def _at(place: TracebackType | None) -> str:
    return "" if place is None else f" at line {place.tb_lineno} of {place.tb_frame.f_code.co_filename}"


def _settled(awaitable: Any) -> Any:
    import asyncio  # 65 ms that plain functions need not pay

    async def settle() -> Any:
        return await awaitable

    return asyncio.run(settle())


if __name__ == "__main__":
    main()
