"""When a program is due: its cadence, or a single time, between `initial` and `final`.

Made from the texts of a program, it says its mistakes as CadenceError. Instants are whole seconds as `zones.py`
counts them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clew.core.timing.cadence import Cadence
from clew.core.timing.clock_change import USUAL, ClockChange
from clew.core.timing.columns import CadenceError
from clew.core.timing.windows import Bound, DateTime, OfWeek, RepeatingWindow, read_bound, read_date_time
from clew.core.timing.zones import Zone

ONCE = "once"
Matrix = Sequence[Sequence[str]]

_SINGLE_HINT = (
    "write a cron expression such as 30 9 * * MON-FRI, a date-time such as 2026-01-01 13:00, or once"
)


class Timing:
    """The due times of a program. Raises CadenceError with the key, the row, the column and the place of a mistake.

    `cadence` is a matrix, `once`, or a date-time. `initial` and `final` are date-times, both ends due, or both are
    times of a weekday or a day, between which a window opens again and again.
    """

    def __init__(
        self,
        cadence: Matrix | str,
        zone: Zone,
        *,
        initial: str | None = None,
        final: str | None = None,
        clock_change: ClockChange = USUAL,
    ) -> None:
        self.zone = zone
        self.clock_change = clock_change
        self.window, self.first, self.last = bounds_of(zone, initial, final)
        self.cadence: Cadence | None = None
        self.is_once_when_live = False
        self._single: tuple[int, ...] = ()
        if not isinstance(cadence, str):
            self.cadence = Cadence(cadence, zone, clock_change, self.window)
        elif self.window is not None:
            raise CadenceError(
                "a window that repeats, for a single time", "write dates and times", key="initial"
            )
        elif cadence == ONCE:
            self._single = () if self.first is None else (self.first,)
            self.is_once_when_live = self.first is None
        else:
            self._single = self._instants(read_date_time(cadence, _SINGLE_HINT))
        if not self.is_once_when_live and self.next(-1 if self.first is None else self.first - 1) is None:
            raise CadenceError(
                "never due between initial and final", "move one of them, or change the cadence"
            )

    def _instants(self, moment: DateTime) -> tuple[int, ...]:
        shown = moment.shown(self.zone)
        if not shown:
            if self.clock_change.gap == "skip":
                what = f"never due: clocks skip {moment} in {self.zone.name}"
                raise CadenceError(what, "write a time that they show, or leave out gap: skip")
            return (moment.first(self.zone),)
        return {"first": shown[:1], "second": shown[-1:], "both": shown}[self.clock_change.twice]

    @property
    def is_due_every_minute(self) -> bool:
        """Whether the cadence leaves out no minute."""
        return self.cadence is not None and self.cadence.is_due_every_minute

    def next(self, after: int) -> int | None:
        """The first due instant later than that one; None if there is none."""
        after = after if self.first is None else max(after, self.first - 1)
        if self.cadence is None:
            found = next((at for at in self._single if at > after), None)
        else:
            found = self.cadence.next(after)
        return None if found is None or (self.last is not None and found > self.last) else found

    def previous(self, before: int) -> int | None:
        """The last due instant earlier than that one; None if there is none."""
        before = before if self.last is None else min(before, self.last + 1)
        if self.cadence is None:
            found = next((at for at in reversed(self._single) if at < before), None)
        else:
            found = self.cadence.previous(before)
        return None if found is None or (self.first is not None and found < self.first) else found

    def between(self, start: int, end: int) -> Iterator[int]:
        """The due instants from `start` on and before `end`, in order."""
        due = self.next(start - 1)
        while due is not None and due < end:
            yield due
            due = self.next(due)


def read_single(text: str) -> str:
    """`once`, or a date-time as it is kept, from what was written for a cadence. Raises CadenceError."""
    return ONCE if text.strip().lower() == ONCE else str(read_date_time(text, _SINGLE_HINT))


def bounds_of(
    zone: Zone, initial: str | None, final: str | None
) -> tuple[RepeatingWindow | None, int | None, int | None]:
    """The repeating window, or the first and the last instant; each None if not said. Raises CadenceError."""
    opens, closes = _read_bound("initial", initial), _read_bound("final", final)
    if isinstance(opens, OfWeek) and isinstance(closes, OfWeek):
        if (opens.weekday is None) != (closes.weekday is None):
            raise CadenceError(
                "one bound is of a week, one of a day", "give both a weekday, or none", key="final"
            )
        return RepeatingWindow(opens, closes), None, None
    for key, its, other in (("initial", opens, "final"), ("final", closes, "initial")):
        if isinstance(its, OfWeek):
            hint = f"write {other} the same way, such as Tue 05:00, or {key} as a date and a time"
            raise CadenceError("a window that repeats opens and closes", hint, key=key)
    first = opens.first(zone) if isinstance(opens, DateTime) else None
    last = closes.last(zone) if isinstance(closes, DateTime) else None
    if first is not None and last is not None and last < first:
        raise CadenceError(f"{final} is before {initial}", "write a later time", key="final")
    return None, first, last


def _read_bound(key: str, text: str | None) -> Bound | None:
    try:
        return None if text is None else read_bound(text)
    except CadenceError as error:
        error.key = key
        raise
