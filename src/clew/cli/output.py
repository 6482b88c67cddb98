"""What people and programs are shown: tables, moments, marks, JSON. Whatever is shown of data is made harmless here.

Control characters of data would let a stage's output move the cursor or recolour what clew says, so they are
written as escapes. A mark always has its word beside it: nobody need see a colour or know a sign.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

from clew.core.program.problems import Problem

Json = Any

# C0 and C1, DEL, line separators, marks that turn the direction of text, halves of surrogate pairs.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_UNPRINTABLE_IN_TEXT = re.compile(_UNPRINTABLE.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))

VALUE_SIZE_MAX = 2_000
"""Characters of one value that a person is shown; `--format json` has the whole."""

WIDTH_WITHOUT_TERMINAL = 100_000
"""Nothing is cut short for a file or a pipe."""

_MARKS = {
    "completed": ("✓", "green"),
    "failed": ("✗", "red"),
    "rolled_back": ("↶", "yellow"),
    "rollback_failed": ("!", "red"),
    "held": ("!", "magenta"),
    "rolling_back": ("↶", "yellow"),
    "running": ("▸", "cyan"),
    "started": ("▸", "cyan"),
    "validating": ("▸", "cyan"),
    "waiting": ("◌", "blue"),
    "paused": ("◌", "blue"),
    "queued": ("·", ""),
    "pending": ("·", ""),
    "skipped": ("–", ""),
    "missed": ("–", ""),
    "cancelled": ("–", "yellow"),
    "sound": ("✓", "green"),
    "tampered": ("✗", "red"),
    "incomplete": ("?", "yellow"),
    "unsafe": ("✗", "red"),
    "doubtful": ("?", "yellow"),
    "agrees": ("✓", "green"),
    "differs": ("✗", "red"),
    "back": ("✓", "green"),
    "left": ("✗", "red"),
}
_PLAIN_MARKS = {"✓": "+", "✗": "x", "↶": "<", "▸": ">", "◌": "o", "·": ".", "–": "-"}
_COLOURS = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36, "bold": 1, "dim": 2}


class Output:
    """Where a verb says things. `colour`: `auto`, `always` or `never`."""

    def __init__(self, *, colour: str = "auto", quiet: bool = False) -> None:
        self.quiet = quiet
        self._colour = colour

    # ---- saying ----

    def data(self, text: str = "") -> None:
        """A line of what was asked for."""
        _write(sys.stdout, text + "\n")

    def document(self, document: Json) -> None:
        """What was asked for, as JSON."""
        # Through ASCII, so that no terminal obeys what the values hold, and every reader can read it.
        _write(sys.stdout, json.dumps(document, indent=2) + "\n")

    def talk(self, text: str) -> None:
        """A line beside what was asked for; not said when quiet."""
        if not self.quiet:
            _write(sys.stderr, text + "\n")

    # ---- looks ----

    def styled(self, text: str, *styles: str, stream: TextIO | None = None) -> str:
        """The text in that colour or weight, where the stream shows such things."""
        codes = ";".join(str(_COLOURS[style]) for style in styles if style)
        return f"\x1b[{codes}m{text}\x1b[0m" if codes and self._is_coloured(stream or sys.stdout) else text

    def status(self, status: str, *, stream: TextIO | None = None) -> str:
        """A status with its mark."""
        mark, colour = mark_of(status, stream or sys.stdout)
        return self.styled(f"{mark} {status}", colour, stream=stream)

    def _is_coloured(self, stream: TextIO) -> bool:
        if self._colour != "auto":
            return self._colour == "always"
        return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def table(
        self, headings: Sequence[str], rows: Iterable[Sequence[str]], *, cut: int | None = None
    ) -> None:
        """Columns side by side. `cut`: the column that is cut short when the terminal is too narrow."""
        listed = [list(row) for row in rows]
        lines = [[self.styled(heading, "bold") for heading in headings], *listed]
        widths = [max(_width(line[at]) for line in lines) for at in range(len(headings))]
        if cut is not None:
            spare = terminal_width(sys.stdout) - (sum(widths) + 2 * (len(widths) - 1))
            widths[cut] = max(widths[cut] + min(spare, 0), min(widths[cut], 8))
        for line in lines:
            fitted = [_fitted(text, width) for text, width in zip(line, widths, strict=True)]
            self.data("  ".join(fitted).rstrip())

    def facts(self, facts: Iterable[tuple[str, str]]) -> None:
        """Names and values below each other."""
        listed = [(name, value) for name, value in facts if value]
        width = max((len(name) for name, _ in listed), default=0)
        for name, value in listed:
            self.data(f"{self.styled(name.ljust(width), 'dim')}  {value}")


def mark_of(status: str, stream: TextIO) -> tuple[str, str]:
    """The mark and the colour of a status; a plain mark where the stream can't write the other."""
    mark, colour = _MARKS.get(status, ("·", ""))
    try:
        mark.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        mark = _PLAIN_MARKS.get(mark, mark)
    return mark, colour


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        # Whoever read has gone; the verb's work and its exit code are the same without a reader.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


# ---- texts -----------------------------------------------------------------------------------------------


def escaped(text: str) -> str:
    """The text on one line, its control characters written as escapes."""
    return _UNPRINTABLE.sub(_escape, text)


def escaped_text(text: str) -> str:
    """The text with its lines and tabs, its other control characters written as escapes."""
    return _UNPRINTABLE_IN_TEXT.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(
        match[0], match[0].encode("unicode_escape", "surrogatepass").decode()
    )


def value_text(value: Json) -> str:
    """A JSON value on one line, cut short where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return escaped(shortened(text, VALUE_SIZE_MAX))


def shortened(text: str, size_max: int) -> str:
    return text if len(text) <= size_max else f"{text[: size_max - 1]}…"


def first_line(text: str, size_max: int = 300) -> str:
    """The first line of a message, for where there is room for one."""
    return escaped(shortened(text.strip().partition("\n")[0], size_max))


def moment_text(at: int | None) -> str:
    """A moment in milliseconds since 1970 as people read it, in UTC."""
    return f"{_moment(at):%Y-%m-%d %H:%M:%SZ}" if at else ""


def clock_text(at: int) -> str:
    """A moment's time of day, in UTC."""
    return f"{_moment(at):%H:%M:%SZ}"


def moment_json(at: int | None) -> str | None:
    """A moment as ISO 8601 in UTC."""
    return _moment(at).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None


def _moment(at: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)


def took_text(milliseconds: int) -> str:
    """A length of time as people say it: `0.2 s`, `3 min 5 s`, `2 h 4 min`."""
    seconds = max(milliseconds, 0) / 1000
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def counted(count: int, word: str) -> str:
    """`1 run`, `2 runs`; the word's plural ends in s."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def listed_problems(problems: Iterable[Problem]) -> str:
    """Every problem on a line, and how many they are."""
    lines = [escaped(str(problem)) for problem in problems]
    return "\n".join([*lines, counted(len(lines), "problem")])


# ---- widths ----------------------------------------------------------------------------------------------

_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def terminal_width(stream: TextIO) -> int:
    """The columns of the stream's terminal; no bound when it is none."""
    if not stream.isatty():
        return WIDTH_WITHOUT_TERMINAL
    try:
        return int(os.environ.get("COLUMNS", "")) or 80
    except ValueError:
        pass
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


def _width(text: str) -> int:
    plain = _STYLE.sub("", text) if "\x1b" in text else text
    return len(plain) if plain.isascii() else sum(_columns(one) for one in plain)


def _columns(letter: str) -> int:
    from unicodedata import combining, east_asian_width  # only names beyond ASCII need it

    return 0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1


def _fitted(text: str, width: int) -> str:
    """Padded to the width, or cut to it; a styled text is never cut."""
    if _width(text) <= width or "\x1b" in text:
        return text + " " * (width - _width(text))
    kept = ""
    for letter in text:
        if _width(kept + letter) > width - 1:
            break
        kept += letter
    return f"{kept}…" + " " * (width - 1 - _width(kept))
