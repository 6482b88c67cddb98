"""For how long a run that has settled is kept: by what its program says, and the settings of where it runs."""

from __future__ import annotations

from collections.abc import Mapping

from clew.core.program.model import FOREVER


def kept_until(
    status: str, ended_at: int, of_program: Mapping[str, int], of_settings: Mapping[str, int]
) -> int | None:
    """The moment until which a run that came to that status then is kept, in milliseconds since 1970; None: for good.
    Both say milliseconds by status, or FOREVER; what the program does not say the settings do, and what neither says is
    kept for good."""
    kept = of_program.get(status, of_settings.get(status, FOREVER))
    return None if kept == FOREVER else ended_at + kept
