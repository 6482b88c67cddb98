"""Lays out a tide gauge's files as they lie about in practice, for `five-ways.yaml` to find some of them.

python examples/five-ways/prepare.py FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path

FEEDS = "sea/PIER_FOUR/harbour_tide_feeds"

NAMES = (
    # Digits count as numbers: 39_9 is less than 39_10, though a sort by text says otherwise.
    f"{FEEDS}/z/level_03992_9.csv",
    f"{FEEDS}/z/level_03992_10.csv",
    f"{FEEDS}/z/level_03998.csv",
    f"{FEEDS}/z/level_03998.csv.gz",
    f"{FEEDS}/z/level_0399_.csv",  # a digit is missing
    f"{FEEDS}/z/old_level_03990.csv",  # begins with something else
    f"{FEEDS}/z/level_01001.csv",
    f"{FEEDS}/z/level_01950.csv",
    f"{FEEDS}/z/level_01999/part.csv",  # a folder, where a file is wanted
    # What begins alike is found as well, unless a `$` ends it.
    f"{FEEDS}/zone/level_03999.csv",
    f"{FEEDS}/zone/level_01960.csv",
    "sea/PIER_FOUR/harbour_tide_feeds_2/z/level_03999.csv",
    "sea/PIER_FOUR/harbour_wave_feeds/z/level_01000.csv",
    "sea/PIER_FOUR/harbour_wave_feeds/z/level_03990.csv",
    f"{FEEDS}/x/day_0007/readings.txt",
    f"{FEEDS}/x/day_0123/readings.txt",
    f"{FEEDS}/x/day_0124/remarks.txt",  # the latest day has no readings yet
    f"{FEEDS}/x/day_99/readings.txt",  # two digits are missing
    "sea/PIER_FIVE/harbour_tide_feeds/z/level_03990.csv",
    "notes/day_0123.txt",
)


def content_of(name: str) -> str:
    """What is in the file of that name: some bytes of its own."""
    return f"readings of {name}\n"


def prepare(folder: Path) -> None:
    """Make the files in the folder."""
    for name in NAMES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content_of(name))


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reader.add_argument("folder", type=Path)
    folder = reader.parse_args().folder
    prepare(folder)
    print(f"{len(NAMES)} files are in {folder}")


if __name__ == "__main__":
    main()
