"""From a command's name to what it does: find it, fill in its params, perform it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from clew.commands import OWN_SIGNATURES, SIGNATURES
from clew.commands.interface import SIGNATURE, CommandContext, CommandError, CommandResult
from clew.core.program.preparing import ParamsError, prepare
from clew.core.program.problems import nearest
from clew.core.program.signatures import Signature
from clew.core.program.variables import TemplateError
from clew.ports import Json

ENTRY_POINTS = "clew.commands"

COMMANDS: Mapping[str, str] = {
    "shell": "clew.commands.shell:shell",
    "python": "clew.commands.python:python",
    "publish_file": "clew.commands.files:publish_file",
    "copy_file": "clew.commands.files:copy_file",
    "delete_file": "clew.commands.files:delete_file",
    "wait": "clew.commands.wait:wait",
    "http": "clew.commands.http:http",
    "sql": "clew.commands.sql:sql",
    "restore_files": "clew.commands.restoring:restore_files",
}
"""Where each command built in is found: its module is imported when it is first performed."""

Perform = Callable[[CommandContext, Mapping[str, Json]], Any]


def find(name: str) -> tuple[Signature, Perform]:
    """The signature and the function of a command: built in, `module:function`, or a plug-in's.

    Raises CommandError (`unknown_command`) if there is none.
    """
    signature = SIGNATURES.get(name) or OWN_SIGNATURES.get(name)
    if signature is not None:
        return signature, _load(COMMANDS[signature.name])
    function = _load(name) if ":" in name else _plugged_in(name)
    carried = getattr(function, SIGNATURE, None)
    return carried or Signature(name=name, about="", open_params=True), function


def perform(name: str, params: Json, context: CommandContext, scope: Mapping[str, Json]) -> Any:
    """Fill in the params and perform the command: a `CommandResult`, or an awaitable of one if it is async.

    Raises CommandError, and whatever else the command raises.
    """
    signature, function = find(name)
    return perform_prepared(function, prepared_params(signature, params, scope), context)


def prepared_params(signature: Signature, params: Json, scope: Mapping[str, Json]) -> dict[str, Json]:
    """The command's params, filled in. Raises CommandError."""
    try:
        return prepare(signature, params, scope)
    except (ParamsError, TemplateError) as error:
        raise CommandError("params", str(error)) from error


def perform_prepared(function: Perform, prepared: Mapping[str, Json], context: CommandContext) -> Any:
    """Perform a command whose params are filled in already; as `perform`."""
    result = function(context, prepared)
    return _later(result) if hasattr(result, "__await__") else _as_result(result)


async def _later(result: Any) -> CommandResult:
    return _as_result(await result)


def _as_result(result: Any) -> CommandResult:
    return result if isinstance(result, CommandResult) else CommandResult(result)


def _load(reference: str) -> Perform:
    module, _, name = reference.partition(":")
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise CommandError("unknown_command", f"there is no command '{reference}': {error}") from error
    if not callable(found):
        raise CommandError("unknown_command", f"'{reference}' is no function")
    return found  # type: ignore[no-any-return]


def _plugged_in(name: str) -> Perform:
    # Reading what is installed takes tens of milliseconds: only for a name that is not built in.
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINTS, name=name):
        return _load(f"{point.module}:{point.attr}")
    hint = (
        nearest(name, SIGNATURES)
        or "commands that are not built in come from packages, or as module:function"
    )
    raise CommandError("unknown_command", f"no command '{name}' is known; {hint}")
