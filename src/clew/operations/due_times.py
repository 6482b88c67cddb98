"""When a program is due, as documents: the coming and the past times, why one is due or not, a month."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from clew.core.program.content import content
from clew.core.program.model import Json, Program
from clew.core.program.timing_keys import timing_of
from clew.core.timing.columns import CadenceError
from clew.core.timing.explaining import Explanation, explain
from clew.core.timing.timing import Timing
from clew.core.timing.windows import YEAR_MAX, YEAR_MIN, read_date_time
from clew.core.timing.zones import Zone, instant_of, local_of, moment_of, naive_of, zone
from clew.operations.requests import RequestError

COUNT_MAX = 10_000
"""Times that are told at once."""

_MONTH_HINT = "write a year and a month, such as 2026-03"


def times_document(program: Program, *, moment: str | None, now: datetime, count: int, back: bool) -> Json:
    """The next `count` due times after that moment (or now); with `back` the ones before it, latest first.

    The moment is a date-time in the program's time zone, or with an offset. Raises RequestError.
    """
    at = instant_of(now) if moment is None else _instants(moment, zone(program.timezone))[0]
    timing = timing_of(program)
    return {"times": [written(due) for due in _times(timing, at, count, back=back)]}


def coming_document(program: Program, now: datetime, count: int, release: str) -> Json:
    """When it is due next, and which rows with which columns make it so; None for one that runs on request only."""
    timing = timing_of(program)
    if timing is None:
        return None
    times = _times(timing, instant_of(now), count, back=False)
    return {
        "cadence": content(program)["cadence"],
        "in_words": in_words(timing),
        "timezone": program.timezone,
        "timezone_data": release,
        "initial": program.initial,
        "final": program.final,
        "clock_change": {"gap": program.clock_change.gap, "twice": program.clock_change.twice},
        "next": [
            {"time": written(due), **_local(timing.zone, due), "rows": _rows(timing, due)} for due in times
        ],
    }


def explained_document(program: Program, moment: str, release: str) -> Json:
    """What each row and column says of a moment; of two, where clocks show it twice. Raises RequestError."""
    timing = timing_of(program)
    if timing is None:
        raise RequestError(f"{program.name} has no cadence: it runs on request only")
    instants = _instants(moment, timing.zone)
    shown = _read(moment).shown(timing.zone)
    return {
        "timezone": program.timezone,
        "timezone_data": release,
        "skipped_by_clocks": not shown,
        "explained": [_explained(explain(timing, at), timing.zone) for at in instants],
    }


def month_document(program: Program, month: str) -> Json:
    """The due times of a month, day by day on the program's clocks, and the changes of clocks. Raises RequestError."""
    first = _first_of_month(month)
    its = zone(program.timezone)
    last = (first + timedelta(days=31)).replace(day=1)
    days: dict[str, list[str]] = {
        (first + timedelta(days=day)).isoformat(): [] for day in range((last - first).days)
    }
    start, end = _begin_of(first, its), _begin_of(last, its)
    timing = timing_of(program)
    for due in () if timing is None else timing.between(start, end):
        days[naive_of(due + its.offset(due)).date().isoformat()].append(written(due))
    return {
        "month": month,
        "timezone": program.timezone,
        "days": [
            {"date": day, "times": times, "local": [_local(its, _instant(text))["local"] for text in times]}
            for day, times in days.items()
        ],
        "clock_changes": [
            {
                "time": written(change.at),
                "from": f"{naive_of(change.at + change.before):%Y-%m-%d %H:%M}",
                "to": f"{naive_of(change.at + change.after):%Y-%m-%d %H:%M}",
            }
            for change in its.changes(start - 1, end - 1)
        ],
    }


def in_words(timing: Timing) -> list[str]:
    """What the cadence says, a text for each row."""
    if timing.cadence is None:
        return ["once, when it is first live"] if timing.is_once_when_live else ["once"]
    return [", and ".join(column.in_words() for column in row.columns) for row in timing.cadence.rows]


def written(instant: int) -> str:
    """An instant as ISO 8601 in UTC."""
    return f"{moment_of(instant).replace(tzinfo=None).isoformat()}Z"


def _instant(text: str) -> int:
    return instant_of(datetime.fromisoformat(text))


def _times(timing: Timing | None, at: int, count: int, *, back: bool) -> Iterator[int]:
    for _ in range(0 if timing is None else count):
        assert timing is not None
        due = timing.previous(at) if back else timing.next(at)
        if due is None:
            return
        yield due
        at = due


def _rows(timing: Timing, due: int) -> list[dict[str, Any]]:
    if timing.cadence is None:
        return []
    rows = {row.number: row for row, _ in timing.cadence.rows_due(due)}
    return [
        {"row": number, "columns": [column.text for column in row.columns]}
        for number, row in sorted(rows.items())
    ]


def _explained(found: Explanation, its: Zone) -> dict[str, Json]:
    return {
        "time": written(found.instant),
        **_local(its, found.instant),
        "due": found.is_due,
        "why": found.why,
        "rows": [
            {
                "row": row.row,
                "due": row.is_due,
                "why": row.why,
                "columns": [
                    {
                        "expression": column.expression,
                        "matches": column.matches,
                        "minute": column.minute,
                        "hour": column.hour,
                        "day": column.day,
                        "month": column.month,
                    }
                    for column in row.columns
                ],
            }
            for row in found.rows
        ],
    }


def _local(its: Zone, at: int) -> dict[str, str]:
    """What clocks show, with the offset from UTC."""
    offset = its.offset(at)
    sign, minutes = ("-", -offset // 60) if offset < 0 else ("+", offset // 60)
    return {"local": f"{naive_of(at + offset).isoformat()}{sign}{minutes // 60:02}:{minutes % 60:02}"}


def _read(text: str) -> Any:
    # A day stands for its beginning.
    whole = f"{text} 00:00" if len(text.strip()) == 10 else text
    try:
        return read_date_time(
            whole, "write for example 2026-01-01T13:00Z, or without Z in the program's time zone"
        )
    except CadenceError as error:
        raise RequestError(str(error)) from error


def _instants(text: str, its: Zone) -> list[int]:
    moment = _read(text)
    return sorted({moment.first(its), moment.last(its)})


def _first_of_month(text: str) -> date:
    try:
        first = date.fromisoformat(f"{text}-01")
    except ValueError as error:
        raise RequestError(f"'{text}' is no month; {_MONTH_HINT}") from error
    if not YEAR_MIN <= first.year <= YEAR_MAX:
        raise RequestError(f"'{text}' is too far away; {_MONTH_HINT}")
    return first


def instants_between(program: Program, start: str, end: str) -> tuple[int, int]:
    """The first and the last instant of a range, both in it, as a person writes it: in the program's time zone, or with
    an offset; a day without a time is meant from its beginning, or to its end. Raises RequestError."""
    its = zone(program.timezone)
    first = _instants(start, its)[0]
    if len(end.strip()) == 10:
        day = _read(end).naive.date()
        last = _begin_of(day + timedelta(days=1), its) - 1
    else:
        last = _instants(end, its)[-1]
    if last < first:
        raise RequestError(f"{end} is before {start}")
    return first, last


def _begin_of(day: date, its: Zone) -> int:
    """The first instant at which clocks show the day, or one after it."""
    midnight = local_of(datetime(day.year, day.month, day.day))
    shown = its.instants(midnight)
    if shown:
        return shown[0]
    gap = its.gap(midnight)
    assert gap is not None
    return gap.at
