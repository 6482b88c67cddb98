"""`wait`: nothing, for a while."""

from __future__ import annotations

import time
from collections.abc import Mapping

from clew.commands.interface import CommandContext, CommandError
from clew.core.program.durations import read_duration
from clew.ports import Json


def wait(context: CommandContext, params: Mapping[str, Json]) -> Json:
    """Gives nothing back."""
    try:
        milliseconds = read_duration(params["duration"])
    except ValueError as error:
        raise CommandError("params", str(error)) from error
    if milliseconds < 0:
        raise CommandError("params", f"'{params['duration']}' is in the past; nobody can wait for that")
    time.sleep(milliseconds / 1000)
    return None
