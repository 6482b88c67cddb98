"""One cron expression, a column of a cadence, as sets: minutes of a day, months, and days of a month.

cronsim reads the fields. The counting of fields, the `@` names and the place of a mistake are ours. Sets are
whole numbers used as bits, so that columns intersect by one `&`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cached_property

from cronsim import CronSim, CronSimError

DAY_MINUTES = 24 * 60

# An expression that lists every minute, day and month it means is not half as long.
EXPRESSION_SIZE_MAX = 500

_NAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_WORDS = {
    3: "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC",
    4: "SUN MON TUE WED THU FRI SAT",
}
_DAY, _MONTH, _WEEKDAY = 2, 3, 4
_DAYS, _WEEKDAYS = frozenset(range(1, 32)), frozenset(range(8))
_EVERY_MINUTE = (1 << 60) - 1
_EVERY_HOUR = sum(1 << 60 * hour for hour in range(24))
EVERY_MONTH = 0b1111111111110
EVERY_DAY = (1 << 32) - 2
_RANGE_WITH_STEP = re.compile(r"(?P<low>\w+)-(?P<high>\w+)/0*[1-9]\d*", re.ASCII)
# cronsim asks for a moment to count from. Here it only reads; what is due when is worked out by sets.
_NO_MOMENT = datetime(2000, 1, 1)


class CadenceError(ValueError):
    """A cadence is written wrong.

    `key` is the program's: cadence, initial, final. `row` and `column` count from 0, `position` from 1 within the
    expression; each is None where the mistake is not of one of them. `what` is wrong; `hint` says what would be
    right.
    """

    def __init__(
        self,
        what: str,
        hint: str = "",
        *,
        row: int | None = None,
        column: int | None = None,
        position: int | None = None,
        key: str = "cadence",
    ) -> None:
        self.what, self.hint = what, hint
        self.key, self.row, self.column, self.position = key, row, column, position
        super().__init__(f"{what}; {hint}" if hint else what)


class Column:
    """One expression: every local minute at which it matches. Raises CadenceError.

    `text` is the expression with single spaces. `minutes` has bit m for minute m of a day (0 to 1439), `months`
    bit m for month m (1 to 12). `is_elapsed`: its minute or its hour begins with `*`.
    """

    def __init__(self, text: str) -> None:
        self.text, fields = _fields(text)
        self.is_elapsed = fields[0].startswith("*") or fields[1].startswith("*")
        try:
            read = CronSim(" ".join(fields), _NO_MOMENT)
        except CronSimError:
            read = self._read_apart(text, fields)
        self._refuse_lax(text)
        self._read = read
        self.months = EVERY_MONTH if len(read.months) == 12 else _bits(read.months)
        self._every_day = read.days >= _DAYS
        self._every_weekday = read.weekdays >= _WEEKDAYS

    def _read_apart(self, text: str, fields: list[str]) -> CronSim:
        """cronsim refuses 30 February too, which is no mistake in a field: it is read with the months apart."""
        for at, position, term in _terms(text):
            _check_term(at, position, term)
        read = CronSim(" ".join([*fields[:3], "*", *fields[4:]]), _NO_MOMENT)
        read.months = CronSim(f"* * * {fields[3]} *", _NO_MOMENT).months
        return read

    def _refuse_lax(self, text: str) -> None:
        """What cronsim reads although it means nothing: a step after `L`."""
        if "L" in text.upper() and "/" in text:
            for at, position, term in _terms(text):
                _check_term(at, position, term)

    @property
    def minute_set(self) -> set[int]:
        return self._read.minutes

    @property
    def hour_set(self) -> set[int]:
        return self._read.hours

    @cached_property
    def minutes(self) -> int:
        minutes, hours = self._read.minutes, self._read.hours
        # No minute of an hour reaches into the next, so a product puts them into each hour.
        of_an_hour = _EVERY_MINUTE if len(minutes) == 60 else _bits(minutes)
        return of_an_hour * (_EVERY_HOUR if len(hours) == 24 else _bits(60 * hour for hour in hours))

    def days(self, first_weekday: int, length: int) -> int:
        """Bit d for each matching day d of a month of that length that begins on that weekday (Sunday is 0)."""
        by_number = self._days_by_number(first_weekday, length)
        by_weekday = self._days_by_weekday(first_weekday, length)
        either = by_number & by_weekday if self._read.day_and else by_number | by_weekday
        return either & ((2 << length) - 2)

    def _days_by_number(self, first_weekday: int, length: int) -> int:
        if self._every_day:
            return EVERY_DAY
        found = 0
        for day in self._read.days:
            if day == CronSim.LAST:
                found |= 1 << length
            elif day == CronSim.LAST_WEEKDAY:
                last = (first_weekday + length - 1) % 7
                found |= 1 << (length - {0: 2, 6: 1}.get(last, 0))
            elif day <= length:
                found |= 1 << day
        return found

    def _days_by_weekday(self, first_weekday: int, length: int) -> int:
        if self._every_weekday:
            return EVERY_DAY
        found = 0
        for item in self._read.weekdays:
            weekday, which = item if isinstance(item, tuple) else (item, None)
            days = range(1 + (weekday - first_weekday) % 7, length + 1, 7)
            if which == CronSim.LAST:
                days = days[-1:]
            elif which is not None:
                days = days[which - 1 : which]
            found |= _bits(days)
        return found

    def in_words(self) -> str:
        """What it says, in English, such as `at 09:00 on Monday`."""
        words = self._read.explain()
        return words[:1].lower() + words[1:]


def is_expression(text: str) -> bool:
    """Whether the text looks like a cron expression, and not like `once` or a date-time."""
    return text.strip().startswith("@") or len(text.split()) > 2


def _fields(text: str) -> tuple[str, list[str]]:
    """The expression with single spaces, and its five fields."""
    if len(text) > EXPRESSION_SIZE_MAX:
        raise CadenceError(
            f"an expression of {len(text)} characters", f"at most {EXPRESSION_SIZE_MAX} are allowed"
        )
    for at, letter in () if text.isascii() and text.isprintable() else enumerate(text):
        if not (letter.isascii() and (letter.isprintable() or letter.isspace())):
            raise CadenceError(
                f"{letter!r} can't be in a cron expression",
                "it has digits, names and * , - / L #",
                position=at + 1,
            )
    fields = text.split()
    if len(fields) == 1 and fields[0].startswith("@"):
        name = fields[0].lower()
        if name not in _NAMES:
            raise CadenceError(
                f"there is no '{fields[0]}'", _hint_for_name(name), position=text.index("@") + 1
            )
        return name, _NAMES[name].split()
    if len(fields) != 5:
        raise _wrong_count(text, fields)
    written = " ".join(fields)
    if "/" in text:
        fields = [_without_empty_steps(at, field) for at, field in enumerate(fields)]
    return written, fields


def _without_empty_steps(at: int, field: str) -> str:
    """A range of one with a step is that one; cronsim would read `23-23/3` as `23/3`, which goes on to the end."""
    if "/" not in field or "-" not in field:
        return field
    terms = field.split(",")
    for number, term in enumerate(terms):
        found = _RANGE_WITH_STEP.fullmatch(term)
        if found is not None and _value(at, found["low"]) == _value(at, found["high"]):
            terms[number] = found["low"]
    return ",".join(terms)


def _value(at: int, text: str) -> str:
    """A name of a month or a weekday as its number; what is no name as it is, without zeros before it."""
    words = _WORDS.get(at, "").split()
    return (
        str(words.index(text.upper()) + (at == _MONTH)) if text.upper() in words else text.lstrip("0") or "0"
    )


def _hint_for_name(name: str) -> str:
    if name == "@reboot":
        return "write once for a program that runs a single time"
    return f"there are {', '.join(_NAMES)}"


def _wrong_count(text: str, fields: list[str]) -> CadenceError:
    hint = "write minute, hour, day of the month, month, day of the week, such as 30 9 * * MON-FRI"
    if not fields:
        return CadenceError("an empty expression", hint, position=1)
    found = list(re.finditer(r"\S+", text))
    # The place is that of the first field too many, or the end where one is missing.
    place = found[5].start() if len(found) > 5 else found[-1].end()
    if len(found) == 6:
        hint += "; there is no field for seconds or years"
    said = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
    return CadenceError(f"{said} instead of five", hint, position=place + 1)


def _terms(text: str) -> Iterator[tuple[int, int, str]]:
    """Each term between commas: the number of its field, its position in the text from 1, and itself."""
    for at, field in enumerate(re.finditer(r"\S+", text)):
        position = field.start() + 1
        for term in field.group().split(","):
            yield at, position, term
            position += len(term) + 1


def _check_term(at: int, position: int, term: str) -> None:
    """Raises CadenceError at the place of what is wrong in the term."""
    body, slash, step = term.partition("/")
    if not term:
        raise _mistake(at, position, "there is nothing between two commas, or beside one")
    if slash and not body:
        raise _mistake(
            at, position, f"'{term}' steps from nowhere", f"write */{step or 2}, or 0-30/{step or 2}"
        )
    if slash and not (step.isdigit() and int(step)):
        raise _mistake(
            at, position + len(body) + 1, f"'{step}' is no step", "write a number from 1 on, as in */15"
        )
    if slash and body.upper() in ("L", "LW"):
        raise _mistake(at, position, f"'{body}' is a single day and takes no step", f"write {body}")
    if _is_read(at, body):
        return
    low, dash, high = body.partition("-")
    if dash and _is_end(at, low) and _is_end(at, high):
        what = f"'{body}' runs backwards"
        raise _mistake(
            at, position, what, f"write the smaller one first, or two ranges: {_around(at, low, high)}"
        )
    if dash and _is_end(at, low):
        position, body = position + len(low) + 1, high
    elif dash:
        body = low
    raise _mistake(
        at, position, f"'{body}' is no {_FIELDS[at]}" if body else f"a range without an end in '{term}'"
    )


def _mistake(at: int, position: int, what: str, hint: str = "") -> CadenceError:
    least, most = _RANGES[at]
    usual = f"write {least} to {most}"
    if at in _WORDS:
        words = _WORDS[at].split()
        usual += f", or {words[0]} to {words[-1]}"
    if at == _DAY:
        usual += ", or L for the last one"
    elif at == _WEEKDAY:
        usual += "; MON#2 is the second Monday of a month, 5L the last Friday"
    return CadenceError(what, hint or usual, position=position)


def _around(at: int, low: str, high: str) -> str:
    least, most = _RANGES[at]
    if at == _WEEKDAY:
        return f"{low}-6,0-{high}" if low.isdigit() and high.isdigit() else f"{low}-SAT,SUN-{high}"
    if at in _WORDS and not (low.isdigit() and high.isdigit()):
        return f"{low}-DEC,JAN-{high}"
    return f"{low}-{most},{least}-{high}"


def _bits(numbers: Iterable[int]) -> int:
    found = 0
    for number in numbers:
        found |= 1 << number
    return found


def _is_end(at: int, text: str) -> bool:
    """Whether the text may stand beside the dash of a range."""
    return text.isalnum() and not text.upper().endswith("L") and _is_read(at, text)


def _is_read(at: int, text: str) -> bool:
    fields = ["*"] * 5
    fields[at] = text
    try:
        CronSim(" ".join(fields), _NO_MOMENT)
    except (CronSimError, ValueError):
        return False
    return bool(text)
