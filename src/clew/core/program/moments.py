"""Moments in time as texts in ISO 8601, written out by the directives that `{time:%Y/%m/%d}` may use.

Names of days and months are English, whatever the machine's locale: the same program finds the same folders
everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def formatted(moment: str, directives: str) -> str:
    """The moment in its own offset, each `%` directive replaced. Raises ValueError if it is no moment."""
    at = datetime.fromisoformat(moment)
    texts = directives.split("%")
    written = [texts[0]]
    position = 1
    while position < len(texts):
        if texts[position]:
            written.append(_part(at, texts[position][0]) + texts[position][1:])
        else:
            # An empty text stands between the two signs of `%%`; what follows the second is literal.
            position += 1
            written.append("%" + texts[position])
        position += 1
    return "".join(written)


def _part(at: datetime, directive: str) -> str:
    match directive:
        case "a" | "A":
            name = _DAYS[at.weekday()]
            return name[:3] if directive == "a" else name
        case "b" | "B":
            name = _MONTHS[at.month - 1]
            return name[:3] if directive == "b" else name
        case "p":
            return "AM" if at.hour < 12 else "PM"
        case "G" | "V" | "u":
            year, week, day = at.isocalendar()
            return {"G": f"{year:04}", "V": f"{week:02}", "u": str(day)}[directive]
        case "z":
            return at.strftime("%z")
        case _:
            return _NUMBERS[directive](at)


_NUMBERS: dict[str, Callable[[datetime], str]] = {
    "Y": lambda at: f"{at.year:04}",
    "y": lambda at: f"{at.year % 100:02}",
    "m": lambda at: f"{at.month:02}",
    "d": lambda at: f"{at.day:02}",
    "H": lambda at: f"{at.hour:02}",
    "I": lambda at: f"{(at.hour - 1) % 12 + 1:02}",
    "M": lambda at: f"{at.minute:02}",
    "S": lambda at: f"{at.second:02}",
    "f": lambda at: f"{at.microsecond:06}",
    "j": lambda at: f"{at.timetuple().tm_yday:03}",
}
