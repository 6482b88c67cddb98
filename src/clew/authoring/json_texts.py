"""JSON by RFC 8259, with positions, and with duplicate keys refused.

The standard library's reader knows no positions and keeps the last of two equal keys; it reads the strings
here and nothing else. Nesting is bounded, so recursion is too.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from json import JSONDecodeError, JSONDecoder

from clew.authoring.documents import NUMBER_SIZE_MAX, Document, Growth, Mistake, Position
from clew.core.program.model import Json
from clew.core.program.problems import Path

_BLANKS = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", re.ASCII)
_WORD = re.compile(r"[A-Za-z_]\w*|\S")
_STRINGS = JSONDecoder()
_LITERALS = {"true": True, "false": False, "null": None}


def read_json(text: str) -> Document:
    """The document. Raises Mistake."""
    return _Reader(text).document()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._growth = Growth()
        self._document = Document(None)
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def document(self) -> Document:
        self._skip_blanks()
        self._document.value = self._value((), self._position())
        self._skip_blanks()
        if self._at < len(self._text):
            raise self._mistake("something follows the document's end")
        return self._document

    def _value(self, path: Path, position: Position) -> Json:
        self._growth.add(path, position)
        self._document.positions[path] = position
        match self._text[self._at : self._at + 1]:
            case "{":
                return self._mapping(path)
            case "[":
                return self._list(path)
            case '"':
                return self._string()
            case "":
                raise self._mistake("the text ends too early")
            case _:
                return self._number_or_literal()

    def _mapping(self, path: Path) -> dict[str, Json]:
        value: dict[str, Json] = {}
        self._at += 1
        while not self._ends_with("}", value):
            if self._text[self._at : self._at + 1] != '"':
                raise self._mistake(
                    "a key was expected here", 'keys stand in "quotes"; none follows the last comma'
                )
            position = self._position()
            key = self._string()
            if key in value:
                what = f"the key '{key}' is here twice"
                raise Mistake(*position, what, "keep one of them", (*path, key))
            self._skip_blanks()
            self._expect(":")
            self._skip_blanks()
            value[key] = self._value((*path, key), position)
        return value

    def _list(self, path: Path) -> list[Json]:
        value: list[Json] = []
        self._at += 1
        while not self._ends_with("]", value):
            value.append(self._value((*path, len(value)), self._position()))
        return value

    def _ends_with(self, bracket: str, value: dict[str, Json] | list[Json]) -> bool:
        """Whether the bracket comes next; if not, steps over the comma that must precede a further item."""
        self._skip_blanks()
        if self._text.startswith(bracket, self._at):
            self._at += 1
            return True
        if value:
            self._expect(",", f"or the closing {bracket}")
            self._skip_blanks()
            if self._text.startswith(bracket, self._at):
                raise self._mistake("nothing follows the last comma", "leave the comma out")
        return False

    def _string(self) -> str:
        try:
            value, self._at = _STRINGS.raw_decode(self._text, self._at)
        except JSONDecodeError as error:
            self._at = min(error.pos, len(self._text))
            raise self._mistake(f"this text can't be read: {error.msg.lower()}") from error
        return str(value)

    def _number_or_literal(self) -> Json:
        number = _NUMBER.match(self._text, self._at)
        if number is not None:
            if number.end() - number.start() > NUMBER_SIZE_MAX:
                raise self._mistake(f"a number of {number.end() - number.start()} characters")
            self._at = number.end()
            return float(number[0]) if number[1] or number[2] else int(number[0])
        word = _WORD.match(self._text, self._at)
        said = word[0] if word else ""
        if said not in _LITERALS:
            raise self._mistake(f"'{said[:40]}' is no JSON value", 'texts stand in "quotes"')
        self._at += len(said)
        return _LITERALS[said]

    def _expect(self, mark: str, alternative: str = "") -> None:
        if self._at == len(self._text):
            raise self._mistake("the text ends too early", f"'{mark}' was expected {alternative}".rstrip())
        if not self._text.startswith(mark, self._at):
            raise self._mistake(f"'{mark}' was expected here {alternative}".rstrip())
        self._at += 1

    def _skip_blanks(self) -> None:
        blanks = _BLANKS.match(self._text, self._at)
        self._at = blanks.end() if blanks else self._at

    def _position(self) -> Position:
        line = bisect_right(self._line_starts, self._at)
        return line, self._at - self._line_starts[line - 1] + 1

    def _mistake(self, what: str, hint: str = "") -> Mistake:
        return Mistake(*self._position(), what, hint)
