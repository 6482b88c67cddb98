"""Lengths of time as people write them (`2 days 4 hours`) and as ISO 8601 does (`P2DT4H`).

Weeks and days are 7 times 24 and 24 hours long: an offset is a length, not a date on a calendar. That is why
years and months, which have no one length, are refused.
"""

from __future__ import annotations

import re

_UNITS = {
    "millisecond": 1,
    "second": 1_000,
    "minute": 60_000,
    "hour": 3_600_000,
    "day": 86_400_000,
    "week": 604_800_000,
}
_SYNONYMS = {
    "ms": "millisecond",
    "s": "second",
    "sec": "second",
    "min": "minute",
    "h": "hour",
    "d": "day",
    "w": "week",
}

# A hundred years: beyond any real wait, and small enough that moments plus durations stay dates Python knows.
DURATION_MILLISECONDS_MAX = 100 * 365 * _UNITS["day"]
# The longest duration that makes sense fits easily; a longer text is a mistake.
_TEXT_SIZE_MAX = 100

_NUMBER = r"(\d{1,15})(?:[.,](\d{1,9}))?"
# Kept as text, as elsewhere: to compile what most programs never need would take longer than to read them.
_PART = rf"(?a){_NUMBER}\s*([A-Za-z]+)(?:\s*,?\s+|\s*$|(?=\d))"
_ISO = re.compile(
    rf"P(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?=\d)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?", re.ASCII
)
_ISO_UNITS = ("week", "day", "hour", "minute", "second")
_EXAMPLES = "write it as '5 seconds', '2 days 4 hours' or 'PT5M'"


def read_duration(value: object) -> int:
    """The length in milliseconds of a duration such as `-8 hours`, `1.5 hours` or `P1DT2H`.

    The sign is optional. Raises ValueError, whose text says what would be right.
    """
    if not isinstance(value, str):
        raise ValueError(_without_unit(value))
    text = value.strip()
    if len(text) > _TEXT_SIZE_MAX:
        raise ValueError(f"a duration of {len(text)} characters; {_EXAMPLES}")
    sign = -1 if text.startswith("-") else 1
    bare = text[1:].lstrip() if text[:1] in ("-", "+") else text
    milliseconds = _read_iso(bare) if bare[:1] in ("P", "p") else _read_words(bare)
    if milliseconds > DURATION_MILLISECONDS_MAX:
        raise ValueError(f"'{text}' is longer than 100 years")
    return sign * milliseconds


def written_duration(milliseconds: int) -> str:
    """The duration in its one canonical ISO 8601 form, of days, hours, minutes and seconds: `-P1DT2H0.5S`."""
    sign = "-" if milliseconds < 0 else ""
    days, rest = divmod(abs(milliseconds), _UNITS["day"])
    hours, rest = divmod(rest, _UNITS["hour"])
    minutes, rest = divmod(rest, _UNITS["minute"])
    seconds, thousandths = divmod(rest, 1_000)
    date = f"{days}D" if days else ""
    time = (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes else "")
    if rest:
        time += f"{seconds}" + (f".{thousandths:03}".rstrip("0") if thousandths else "") + "S"
    if not date and not time:
        return "PT0S"
    return f"{sign}P{date}" + (f"T{time}" if time else "")


def _read_words(text: str) -> int:
    total, position, seen = 0, 0, set()
    while position < len(text):
        part = re.compile(_PART).match(text, position)
        if part is None:
            raise ValueError(
                _without_unit(text) if _is_number(text) else f"'{text}' is no duration; {_EXAMPLES}"
            )
        unit = _unit(part[3])
        if unit in seen:
            raise ValueError(f"'{text}' names its {unit}s twice; {_EXAMPLES}")
        seen.add(unit)
        total += _amount(part[1], part[2], unit)
        position = part.end()
    if not seen:
        raise ValueError(f"an empty duration; {_EXAMPLES}")
    return total


def _read_iso(text: str) -> int:
    upper = text.upper()
    match = _ISO.fullmatch(upper)
    if match is None or not any(match.groups()):
        if re.search(r"^P[^T]*\d[YM]", upper):
            raise ValueError(f"'{text}' has years or months, which have no one length; {_EXAMPLES}")
        raise ValueError(f"'{text}' is no ISO 8601 duration; {_EXAMPLES}")
    groups = match.groups()
    return sum(
        _amount(groups[2 * at], groups[2 * at + 1], unit)
        for at, unit in enumerate(_ISO_UNITS)
        if groups[2 * at] is not None
    )


def _unit(word: str) -> str:
    name = word.lower()
    unit = _SYNONYMS.get(name, name.removesuffix("s"))
    if unit in _UNITS:
        return unit
    if unit in ("month", "year"):
        raise ValueError(f"a {unit} has no one length; write days")
    raise ValueError(f"'{word}' is no unit of time; units are {', '.join(_UNITS)}")


def _amount(whole: str, fraction: str | None, unit: str) -> int:
    digits = fraction or ""
    parts: int = 10 ** len(digits)
    milliseconds, remainder = divmod(int(whole + digits) * _UNITS[unit], parts)
    if remainder:
        raise ValueError(f"'{whole}.{digits} {unit}s' is no whole number of milliseconds")
    return milliseconds


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[\d.,\s]+", text) is not None


def _without_unit(value: object) -> str:
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        return f"{value} has no unit; write for example '{value} seconds'"
    return f"a duration is a text; {_EXAMPLES}"
