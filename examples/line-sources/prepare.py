"""Lays real data out as it arrives in practice: dated files with their totals, among others nobody asked for.

    python examples/line-sources/prepare.py FOLDER [--corrupt truncated|altered]

The data is the Earth's orientation, a line a day since 1973: where the pole is, and how far the Earth's
turning is behind the clocks (finals2000A.all of the International Earth Rotation and Reference Systems
Service; public, taken from the package astropy-iers-data). In FOLDER this makes

    lines/tx/daily/z/batch_20240601.csv          the days of June 2024 (a month a file)
    lines/tx/daily/z/batch_20240601.totals.json  how many lines it has, and what they add up to
    warehouse.db                                 the SQLite database they are to be loaded into, still empty
"""

from __future__ import annotations

import argparse
import csv
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

FIRST_BATCH = date(2024, 1, 1)
BATCHES = 6
CORRUPTIONS = ("truncated", "altered")
COLUMNS = ("day", "mark", "x", "y", "ut1_behind")

WAREHOUSE = """
-- One row a day and load: what one run has loaded never lies on top of what another did.
CREATE TABLE IF NOT EXISTS readings (
    run_id TEXT NOT NULL, day TEXT NOT NULL, mark TEXT NOT NULL CHECK (mark IN ('measured', 'predicted')),
    x INTEGER NOT NULL, y INTEGER NOT NULL, ut1_behind INTEGER NOT NULL,
    PRIMARY KEY (run_id, day)
);
CREATE TABLE IF NOT EXISTS months (
    run_id TEXT PRIMARY KEY, batch TEXT NOT NULL, days INTEGER NOT NULL,
    x_least INTEGER NOT NULL, x_most INTEGER NOT NULL, x_sum INTEGER NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """One day: the pole's `x` and `y` in microarcseconds, UTC - UT1 in tenths of a microsecond."""

    day: date
    mark: str
    x: int
    y: int
    ut1_behind: int


def readings(source: Path) -> Iterator[Reading]:
    """The days of finals2000A.all for which it has a value; columns as its ReadMe counts them, from 1."""
    for line in source.read_text("ascii").splitlines():
        if line[57] == " ":  # a day to come, that is not predicted yet
            continue
        yield Reading(
            day=date(1858, 11, 17) + timedelta(days=_fixed(line[7:15]) // 100),
            mark="measured" if line[57] == "I" else "predicted",
            x=_fixed(line[18:27]),
            y=_fixed(line[37:46]),
            ut1_behind=-_fixed(line[58:68]),
        )


def _fixed(text: str) -> int:
    """A number with a fixed count of decimals, in units of the last one: exact, where a float would round."""
    return int(text.replace(".", ""))


def prepare(folder: Path, *, first: date = FIRST_BATCH, batches: int = BATCHES) -> None:
    """Make the bucket `lines` and the warehouse in that folder: so many months, from `first` on.

    Raises ValueError for a month that the data does not reach.
    """
    from astropy_iers_data import IERS_A_FILE

    months: dict[date, list[Reading]] = {}
    for reading in readings(Path(IERS_A_FILE)):
        months.setdefault(reading.day.replace(day=1), []).append(reading)

    month = first.replace(day=1)
    for _ in range(batches):
        if month not in months:
            raise ValueError(f"there are no readings of {month:%B %Y}")
        _write_batch(folder / "lines" / "tx" / "daily" / "z", month, months[month])
        month = (month + timedelta(days=31)).replace(day=1)
    _write_what_nobody_asked_for(folder / "lines")
    with closing(sqlite3.connect(folder / "warehouse.db")) as warehouse:
        warehouse.executescript(WAREHOUSE)


def _write_batch(folder: Path, month: date, days: list[Reading]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"batch_{month:%Y%m%d}.csv").open("w", encoding="ascii", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((one.day, one.mark, one.x, one.y, one.ut1_behind) for one in days)
    totals = {
        "days": len(days),
        "predicted": sum(one.mark == "predicted" for one in days),
        "x_sum": sum(one.x for one in days),
        "y_sum": sum(one.y for one in days),
    }
    (folder / f"batch_{month:%Y%m%d}.totals.json").write_text(json.dumps(totals) + "\n", "ascii")


def _write_what_nobody_asked_for(lines: Path) -> None:
    """Names that come close: a file still being written, another folder's, one without a date."""
    for name in (
        "tx/daily/z/batch_20991201.csv.part",
        "tx/daily/y/batch_20991201.csv",
        "tx/daily/z/batch_new.csv",
    ):
        path = lines / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("not this one\n", "ascii")


def corrupt(folder: Path, how: str) -> Path:
    """Damage the newest batch, and give its file: `truncated` loses its last lines, `altered` one digit."""
    newest = max((folder / "lines" / "tx" / "daily" / "z").glob("batch_*[0-9].csv"))
    lines = newest.read_text("ascii").splitlines(keepends=True)
    if how == "truncated":
        lines = lines[:-3]
    else:
        day, mark, x, *rest = lines[10].split(",")
        lines[10] = ",".join((day, mark, str(int(x) + 1), *rest))
    newest.write_text("".join(lines), "ascii")
    return newest


def main() -> None:
    parser = argparse.ArgumentParser(description="Lay the Earth's orientation out as monthly files.")
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--first", type=date.fromisoformat, default=FIRST_BATCH, help="a day of the first month"
    )
    parser.add_argument("--batches", type=int, default=BATCHES, help="how many months")
    parser.add_argument("--corrupt", choices=CORRUPTIONS, help="damage the newest file")
    told = parser.parse_args()
    prepare(told.folder, first=told.first, batches=told.batches)
    if told.corrupt:
        print(f"{told.corrupt}: {corrupt(told.folder, told.corrupt)}")


if __name__ == "__main__":
    main()
