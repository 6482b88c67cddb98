"""TOML by the standard library, with positions found by a second look at the text.

The library says nothing about places, but what it has read is known to be TOML: the second look needs only to
find where keys and items stand, not to judge them. Dates and times become texts in ISO 8601, as in the other
formats.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from datetime import date, datetime, time

from clew.authoring.documents import Document, Growth, Mistake, Position
from clew.core.program.bounds import DEPTH_MAX
from clew.core.program.model import Json
from clew.core.program.problems import Path

_PLACE = re.compile(r" ?\(at (?:line (\d+), column (\d+)|end of document)\)$")
_SPACES = re.compile(r"[ \t]*")
_BLANKS = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY_PART = re.compile(
    r"""[ \t]*(?:"(?P<escaped>(?:\\.|[^"\\\n])*)"|'(?P<quoted>[^'\n]*)'|(?P<bare>[A-Za-z0-9_-]+))[ \t]*"""
)
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|'
    r"\'\'\'.*?\'{3,5}|"
    r'"(?:\\.|[^"\\\n])*"|'
    r"'[^'\n]*'",
    re.DOTALL,
)
_PLAIN = re.compile(r"[^,\]}#\n]+")


def read_toml(text: str) -> Document:
    """The document. Raises Mistake."""
    # First the places: on the way nesting is bounded, which the library does not do.
    positions = _Places(text).found()
    try:
        value = tomllib.loads(text)
    except ValueError as error:
        raise _mistake(text, str(error)) from error
    return Document(_as_json(value), positions)


def _mistake(text: str, said: str) -> Mistake:
    place = _PLACE.search(said)
    what = f"this is no TOML: {said[: place.start()] if place else said}"
    if place is None or place[1] is None:
        return Mistake(text.count("\n") + 1, 1, what)
    return Mistake(int(place[1]), int(place[2]), what)


def _as_json(value: object) -> Json:
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    return value.isoformat() if isinstance(value, (datetime, date, time)) else value


class _Lost(Exception):
    """This is no TOML; the library will say what is wrong with it."""


class _Places:
    """Finds the positions of keys and items; gives up silently where the text is no TOML."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._growth = Growth()
        self._positions: dict[Path, Position] = {(): (1, 1)}
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._table: Path = ()
        # How many tables each `[[list]]` has so far.
        self._list_sizes: dict[Path, int] = {}

    def found(self) -> dict[Path, Position]:
        try:
            self._skip(_BLANKS)
            while self._at < len(self._text):
                if self._text.startswith("[", self._at):
                    self._header()
                else:
                    self._entry(self._table)
                self._skip(_BLANKS)
        except _Lost:
            pass
        return self._positions

    def _header(self) -> None:
        position = self._position()
        is_list = self._text.startswith("[[", self._at)
        self._at += 2 if is_list else 1
        parts = self._key()
        self._expect("]]" if is_list else "]")
        path: Path = ()
        for part in parts[:-1]:
            path = self._noted((*path, part), position)
            if path in self._list_sizes:
                path = (*path, self._list_sizes[path] - 1)
        path = self._noted((*path, parts[-1]), position)
        if is_list:
            size = self._list_sizes.get(path, 0)
            self._list_sizes[path] = size + 1
            path = self._noted((*path, size), position)
        self._table = path

    def _entry(self, table: Path) -> None:
        position = self._position()
        path = table
        for part in self._key():
            path = self._noted((*path, part), position)
        self._expect("=")
        self._skip(_SPACES)
        self._value(path)

    def _value(self, path: Path) -> None:
        if self._text.startswith("[", self._at):
            self._list(path)
        elif self._text.startswith("{", self._at):
            self._inline_table(path)
        else:
            match = _STRING.match(self._text, self._at) or _PLAIN.match(self._text, self._at)
            if match is None:
                raise _Lost
            self._at = match.end()

    def _list(self, path: Path) -> None:
        self._at += 1
        size = 0
        self._skip(_BLANKS)
        while not self._text.startswith("]", self._at):
            self._value(self._noted((*path, size), self._position()))
            size += 1
            self._skip(_BLANKS)
            if not self._text.startswith("]", self._at):
                self._expect(",")
                self._skip(_BLANKS)
        self._at += 1

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        self._skip(_BLANKS)
        while not self._text.startswith("}", self._at):
            self._entry(path)
            self._skip(_BLANKS)
            if not self._text.startswith("}", self._at):
                self._expect(",")
                self._skip(_BLANKS)
        self._at += 1

    def _key(self) -> list[str]:
        parts: list[str] = []
        while not parts or self._text.startswith(".", self._at):
            self._at += 1 if parts else 0
            match = _KEY_PART.match(self._text, self._at)
            if match is None:
                raise _Lost
            parts.append(_key_text(match))
            self._at = match.end()
            if len(parts) > DEPTH_MAX:
                raise Mistake(*self._position(), f"this is nested more than {DEPTH_MAX} levels deep")
        return parts

    def _noted(self, path: Path, position: Position) -> Path:
        if path not in self._positions:
            self._growth.add(path, position)
            self._positions[path] = position
        return path

    def _expect(self, mark: str) -> None:
        if not self._text.startswith(mark, self._at):
            raise _Lost
        self._at += len(mark)

    def _skip(self, blanks: re.Pattern[str]) -> None:
        match = blanks.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _position(self) -> Position:
        line = bisect_right(self._line_starts, self._at)
        return line, self._at - self._line_starts[line - 1] + 1


def _key_text(match: re.Match[str]) -> str:
    if match["escaped"] is None:
        return match["bare"] if match["quoted"] is None else match["quoted"]
    # One key as a document of its own: the library knows all escapes.
    try:
        return next(iter(tomllib.loads(f'"{match["escaped"]}" = 0')))
    except ValueError:
        raise _Lost from None
