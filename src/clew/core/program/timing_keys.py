"""`cadence`, `initial`, `final`, `clock_change`: from what was written to what the model keeps, and to due times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from clew.core.program.model import Program
from clew.core.program.problems import Path
from clew.core.program.shapes import Found
from clew.core.timing.cadence import row_of
from clew.core.timing.clock_change import USUAL, ClockChange
from clew.core.timing.columns import CadenceError, Column, is_expression
from clew.core.timing.timing import Timing, bounds_of, read_single
from clew.core.timing.windows import DateTime, ProgramWindow, read_bound
from clew.core.timing.zones import zone

Parts = Mapping[str, Any]
Cadence = tuple[tuple[str, ...], ...] | str

KEYS = ("cadence", "initial", "final", "clock_change")


class TimingKeys(Struct, frozen=True):
    """What the model keeps of when a program is due; what could not be read is None."""

    cadence: Cadence | None = None
    initial: str | None = None
    final: str | None = None
    clock_change: ClockChange = USUAL


def read_timing(parts: Parts, zone_name: str, found: Found) -> TimingKeys:
    """The keys as the model keeps them: one form of each. Every mistake is noted, with its place in an expression."""
    keys = TimingKeys(
        cadence=_read_cadence(parts["cadence"], found) if "cadence" in parts else None,
        initial=_read_bound("initial", parts, found),
        final=_read_bound("final", parts, found),
        clock_change=ClockChange(**parts.get("clock_change", {})),
    )
    if not any(problem.path and problem.path[0] in KEYS for problem in found.problems):
        _check_together(keys, zone_name, found)
    return keys


def timing_of(program: Program) -> Timing | None:
    """The due times of a program without problems; None if it runs on request only."""
    if program.cadence is None:
        return None
    return Timing(
        program.cadence,
        zone(program.timezone),
        initial=program.initial,
        final=program.final,
        clock_change=program.clock_change,
    )


def window_of(program: Program) -> ProgramWindow | None:
    """The repeating window in which the stages of a program without problems begin; None if it has none."""
    if program.initial is None:
        return None
    its = zone(program.timezone)
    window, _, _ = bounds_of(its, program.initial, program.final)
    return None if window is None else ProgramWindow(window, its)


def _check_together(keys: TimingKeys, zone_name: str, found: Found) -> None:
    try:
        its = zone(zone_name)
    except KeyError:
        # There is no such zone: that is told, or the reader can't tell.
        its = zone("UTC")
    try:
        if keys.cadence is not None:
            Timing(keys.cadence, its, initial=keys.initial, final=keys.final, clock_change=keys.clock_change)
            return
        bounds_of(its, keys.initial, keys.final)
    except CadenceError as error:
        found.problem((error.key,), error.what, error.hint)
        return
    for key, text in (("initial", keys.initial), ("final", keys.final)):
        if text is not None and isinstance(read_bound(text), DateTime):
            what = f"'{key}' bounds a cadence, and there is none"
            found.problem((key,), what, "give a cadence too, or a window that repeats, such as Mon 21:00")


def _read_cadence(written: Any, found: Found) -> Cadence | None:
    if isinstance(written, str):
        if is_expression(written):
            return _read_rows([(("cadence",), written)], found)
        try:
            return read_single(written)
        except CadenceError as error:
            found.problem(("cadence",), error.what, error.hint)
            return None
    return _read_rows(written, found)


def _read_rows(placed: Sequence[tuple[Path, Any]], found: Found) -> Cadence:
    rows = []
    for number, (path, row) in enumerate(placed):
        columns = [(path, row)] if isinstance(row, str) else row
        texts = [_read_column(its_path, text, found) for its_path, text in columns]
        complete = tuple(text for text in texts if text is not None)
        if len(complete) == len(texts):
            _check_row(number, complete, path, columns, found)
        rows.append(complete)
    return tuple(rows)


def _read_column(path: Path, text: str, found: Found) -> str | None:
    try:
        return Column(text).text
    except CadenceError as error:
        what = error.what
        if error.position is not None:
            what = f"{what}, at character {error.position} of '{text}'"
        found.problem(path, what, error.hint)
        return None


def _check_row(
    number: int, texts: Sequence[str], path: Path, columns: Sequence[tuple[Path, str]], found: Found
) -> None:
    try:
        row_of(number, texts)
    except CadenceError as error:
        found.problem(path if error.column is None else columns[error.column][0], error.what, error.hint)


def _read_bound(key: str, parts: Parts, found: Found) -> str | None:
    if key not in parts:
        return None
    try:
        return str(read_bound(parts[key]))
    except CadenceError as error:
        found.problem((key,), error.what, error.hint)
        return None
