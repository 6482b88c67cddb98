"""What a program says of times that a change of clocks skips, or shows twice."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class ClockChange(Struct, frozen=True):
    """What becomes of a fixed row's times: `gap`, that clocks skip; `twice`, that they show two times."""

    gap: Literal["next", "skip"] = "next"
    twice: Literal["first", "second", "both"] = "first"


USUAL = ClockChange()
