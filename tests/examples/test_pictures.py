"""The pictures of the docs are what the engine draws today."""

from __future__ import annotations

import runpy
from pathlib import Path

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


def test_what_is_due_when_clocks_change() -> None:
    """The picture is that of `python docs/pictures/clock_changes.py`."""
    drawn = runpy.run_path(str(PICTURES / "clock_changes.py"))["picture"]()
    assert drawn == (PICTURES / "clock-changes.svg").read_text()
