"""Plug-ins for dependencies: what a stage may wait for beside what clew knows itself.

A plug-in is one function, named in a program by an entry point of the group `clew.dependencies`, or as
`module:function` of the project's own:

    from clew.dependencies import DependencyContext, Missing

    def market_open(context: DependencyContext, params: Mapping[str, Json]) -> Json | Missing:
        session = calendar(params["market"]).session_at(context.run_time)
        return Missing("it is a holiday") if session is None else session.as_document()

It looks, and changes nothing: it is asked again and again, and what it gives (any JSON value) is fixed for the stage
and pass. That something is not there yet is a `Missing` with a reason, and is looked for again after the stage's delay.
An exception is trouble outside: it is told, and the plug-in asked again, ever later. It may be `async`.

Each look is a process of its own, which is killed when its time is up. `secret:NAME` in the params is filled in
there, and taken out of all that the plug-in says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

import msgspec

from clew.ports import Json

ENTRY_POINTS = "clew.dependencies"


class Missing(msgspec.Struct, frozen=True):
    """It is not there yet, and why: a person reads that in `clew why`."""

    reason: str


class DependencyContext(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks. `folder`: that of the program's own code."""

    run_time: datetime
    """The scheduled time of the run, in UTC."""
    folder: str


PlugIn = Callable[[DependencyContext, Mapping[str, Json]], "Json | Missing | Awaitable[Json | Missing]"]
"""What a plug-in is. See above."""


class UnknownPlugIn(LookupError):
    """No plug-in is called so."""


def find(kind: str) -> PlugIn:
    """The function of that name: `module:function`, or an entry point's. Raises UnknownPlugIn; what importing its
    module raises comes through."""
    reference = kind if ":" in kind else _installed(kind)
    if reference is None:
        raise UnknownPlugIn(f"no package brings the kind '{kind}'; a project's own is named module:function")
    from importlib import import_module

    module, _, path = reference.partition(":")
    try:
        found: object = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise UnknownPlugIn(f"there is no module '{module}'") from error
    for part in path.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise UnknownPlugIn(f"the module '{module}' has no function '{path}'")
    return found


def is_installed(kind: str) -> bool:
    """Whether a package brings that kind."""
    return _installed(kind) is not None


def _installed(kind: str) -> str | None:
    # Reading what is installed takes tens of milliseconds: only for a name that is not built in.
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINTS, name=kind):
        return f"{point.module}:{point.attr}"
    return None
