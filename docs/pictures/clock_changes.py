"""Draws clock-changes.svg, from the engine: what is due when in the weeks in which clocks change.

    python docs/pictures/clock_changes.py

The year is past, so that no new rule of a time zone changes the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from clew.core.timing.cadence import Cadence
from clew.core.timing.clock_change import ClockChange
from clew.core.timing.zones import DAY, Change, Zone, instant_of, naive_of, zone

PICTURE = Path(__file__).with_name("clock-changes.svg")
ZONES = ("Europe/London", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo")
YEAR = 2025
HOUR = 3600
DAYS = range(-3, 4)
HOURS = 5
"""Of each day: as many before the time of the change as after it, in elapsed time."""

LEFT, CELL, LINE, HEAD, GAP = 150, 112, 26, 46, 18
WIDTH = LEFT + CELL * len(DAYS) + 10


def changes(its: Zone) -> tuple[Change, ...]:
    start, end = (instant_of(datetime(year, 1, 1, tzinfo=UTC)) for year in (YEAR, YEAR + 1))
    return its.changes(start, end)


def settings(change: Change) -> list[tuple[str, str, ClockChange]]:
    """What is said, the expression, and the setting: a time in the middle of what clocks skip, or show twice."""
    middle = naive_of(change.at + (change.before + change.after) // 2)
    fixed = f"{middle.minute} {middle.hour} * * *"
    if change.after > change.before:
        its = [("usual", ClockChange()), ("gap: skip", ClockChange(gap="skip"))]
    else:
        its = [
            ("usual", ClockChange()),
            *((f"twice: {word}", ClockChange(twice=word)) for word in ("second", "both")),
        ]
    return [*((name, fixed, setting) for name, setting in its), ("elapsed", "*/30 * * * *", ClockChange())]


def panel(its: Zone, change: Change, top: int) -> Iterator[str]:
    before, after = (naive_of(change.at + offset) for offset in (change.before, change.after))
    yield text(
        10, top + 14, f"{its.name}: on {before:%A %d %B %Y} {before:%H:%M} becomes {after:%H:%M}", "title"
    )
    for column, day in enumerate(DAYS):
        start = change.at + day * DAY
        local = naive_of(start - 1 + its.offset(start - 1))
        yield text(LEFT + column * CELL + CELL // 2, top + 34, f"{local:%a %d}", "day")
    for line, (name, expression, setting) in enumerate(settings(change)):
        y = top + HEAD + line * LINE
        yield text(10, y + 12, name, "name")
        yield text(LEFT - 12, y + 12, expression, "expression")
        cadence = Cadence([[expression]], its, setting)
        for column, day in enumerate(DAYS):
            yield from cell(its, change, cadence, LEFT + column * CELL, y, day)


def cell(its: Zone, change: Change, cadence: Cadence, x: int, y: int, day: int) -> Iterator[str]:
    """One day of one setting: elapsed time from left to right, a dot at each due instant, with what clocks show."""
    start = change.at + day * DAY - HOURS * HOUR // 2
    yield f'<rect x="{x}" y="{y}" width="{CELL - 4}" height="{LINE - 6}" class="day-of-it"/>'
    if day == 0:
        yield f'<line x1="{place(x, 0.5)}" y1="{y}" x2="{place(x, 0.5)}" y2="{y + LINE - 6}" class="change"/>'
    due = list(cadence.between(start, start + HOURS * HOUR))
    for at in due:
        where = place(x, (at - start) / (HOURS * HOUR))
        yield f'<circle cx="{where}" cy="{y + 6}" r="3" class="due"/>'
        if len(due) < HOURS:
            yield text(where, y + 18, f"{naive_of(at + its.offset(at)):%H:%M}", "clock")


def place(x: int, part: float) -> str:
    return f"{x + part * (CELL - 4):.1f}"


def text(x: int | str, y: int, words: str, kind: str) -> str:
    return f'<text x="{x}" y="{y}" class="{kind}">{words}</text>'


STYLE = """\
<style>
text { font-family: sans-serif; font-size: 11px; fill: #222 }
.title { font-weight: bold; font-size: 13px } .day { text-anchor: middle; fill: #555 }
.expression { text-anchor: end; font-family: monospace; font-size: 10px } .clock { text-anchor: middle; font-size: 9px }
.day-of-it { fill: #eef1f5 } .change { stroke: #b3261e; stroke-width: 1.5; stroke-dasharray: 3 2 }
.due { fill: #1a5fb4 }
</style>"""


def picture() -> str:
    """The whole of it, as SVG."""
    parts, top = [], 10
    for name in ZONES:
        its = zone(name)
        for change in changes(its):
            parts += panel(its, change, top)
            top += HEAD + LINE * len(settings(change)) + GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
        f'viewBox="0 0 {WIDTH} {top}" role="img">'
        "<title>What is due when, in the weeks in which clocks change</title>"
    )
    ground = f'<rect width="{WIDTH}" height="{top}" fill="#fff"/>'
    return "\n".join([head, STYLE, ground, *parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(picture())
