"""Reads a batch: a month of readings and what they should add up to."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

INTEGERS = ("x", "y", "ut1_behind")
TOTALS = {"days", "predicted", "x_sum", "y_sum"}


def read_batch(first_file: dict[str, Any], totals_file: dict[str, Any]) -> dict[str, Any]:
    """The batch's days, and the totals that came with it; both files as the program's search located them.

    Raises ValueError for a file that isn't what it says. Whether lines and totals agree is not judged here:
    the program has conditions for that.
    """
    with _path(first_file).open(encoding="ascii", newline="") as file:
        days = [_typed(row) for row in csv.DictReader(file)]
    totals = json.loads(_path(totals_file).read_text("ascii"))
    if set(totals) != TOTALS:
        raise ValueError(f"the totals should be {sorted(TOTALS)}, and are {sorted(totals)}")
    return {"days": days, "totals": totals}


def _typed(row: dict[str, Any]) -> dict[str, Any]:
    return {name: int(value) if name in INTEGERS else value for name, value in row.items()}


def _path(located: dict[str, Any]) -> Path:
    return Path(unquote(urlsplit(located["url"]).path))
