"""YAML as version 1.2 means it, and no more of it than JSON can say.

The parser's events are taken one by one, so that bounds hold before anything is built. There are no tags, no
anchors and aliases, no second document. Plain words are read by the core schema: `no` and `on` are words,
`12:30:45` and `2026-01-01` are texts, `0123` is refused because nobody can know which of two things it means.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from clew.authoring.documents import NUMBER_SIZE_MAX, Document, Growth, Mistake, Position
from clew.core.program.model import Json
from clew.core.program.problems import Path

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_WHOLE = re.compile(r"[-+]?[0-9]+", re.ASCII)
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def read_yaml(text: str) -> Document:
    """The document. Raises Mistake."""
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise Mistake(line, column, f"this is no YAML: {error.problem or error.context}") from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position] if isinstance(error.position, int) else ""
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise Mistake(line, column, f"this is no YAML: {error.reason}") from error
    return builder.document


class _Builder:
    """Builds the document from the parser's events, with a stack instead of recursion."""

    def __init__(self) -> None:
        # A text of nothing but comments is a document too, an empty one.
        self.document = Document(None, {(): (1, 1)})
        self._growth = Growth()
        self._open: list[_Open] = []
        self._document_count = 0

    def take(self, event: Any) -> None:
        position = (event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.DocumentStartEvent):
            self._begin_document(event, position)
        elif isinstance(event, yaml.AliasEvent):
            raise Mistake(*position, f"'*{event.anchor}' is an alias", "write out what it stands for")
        elif isinstance(event, yaml.NodeEvent):
            self._refuse_extras(event, position)
            self._take_node(event, position)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()

    def _begin_document(self, event: Any, position: Position) -> None:
        self._document_count += 1
        if self._document_count > 1:
            raise Mistake(*position, "a second document begins here", "write one program a file")
        if event.tags:
            raise Mistake(*position, "tags can't be declared", "leave out the %TAG line")

    def _refuse_extras(self, event: Any, position: Position) -> None:
        if event.anchor is not None:
            raise Mistake(
                *position, f"'&{event.anchor}' is an anchor", "write values out where they are needed"
            )
        if event.tag is not None:
            raise Mistake(*position, f"'{event.tag}' is a tag", "leave it out; texts can be put in quotes")

    def _take_node(self, event: Any, position: Position) -> None:
        if self._open and self._open[-1].wants_key:
            self._open[-1].take_key(event, position)
            return
        path, position = self._open[-1].next_place(position) if self._open else ((), position)
        self._growth.add(path, position)
        self.document.positions[path] = position
        value = _value(event, path, position)
        if self._open:
            self._open[-1].put(value)
        else:
            self.document.value = value
        if not isinstance(event, yaml.ScalarEvent):
            self._open.append(_Open(value, path))


class _Open:
    """A list or mapping whose end has not come yet."""

    def __init__(self, value: Json, path: Path) -> None:
        self._value = value
        self._path = path
        self._key: str | None = None
        self._key_position: Position = (1, 1)

    @property
    def wants_key(self) -> bool:
        return isinstance(self._value, dict) and self._key is None

    def take_key(self, event: Any, position: Position) -> None:
        key = _value(event, self._path, position)
        if not isinstance(key, str):
            said = f"'{event.value}'" if isinstance(event, yaml.ScalarEvent) else "a list or mapping"
            raise Mistake(*position, f"{said} as a key is no text", "put it in quotes", self._path)
        if key in self._value:
            raise Mistake(*position, f"the key '{key}' is here twice", "keep one of them", (*self._path, key))
        self._key, self._key_position = key, position

    def next_place(self, position: Position) -> tuple[Path, Position]:
        """The path of the value to come, and the position that stands for it: a key's own, or the item's."""
        if self._key is not None:
            return (*self._path, self._key), self._key_position
        return (*self._path, len(self._value)), position

    def put(self, value: Json) -> None:
        if self._key is not None:
            self._value[self._key] = value
            self._key = None
        else:
            self._value.append(value)


def _value(event: Any, path: Path, position: Position) -> Json:
    if isinstance(event, yaml.MappingStartEvent):
        return {}
    if isinstance(event, yaml.SequenceStartEvent):
        return []
    is_plain = event.implicit[0]
    return _plain(event.value, path, position) if is_plain else event.value


def _plain(text: str, path: Path, position: Position) -> Json:
    """A word without quotes, by YAML 1.2's core schema."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    # Every number begins with one of these, and most words don't.
    if text[0] not in "+-.0123456789":
        return text
    if len(text) > NUMBER_SIZE_MAX and (_WHOLE.fullmatch(text) or _NUMBER.fullmatch(text)):
        raise Mistake(
            *position, f"a number of {len(text)} characters", "put it in quotes if it is a text", path
        )
    if _WHOLE.fullmatch(text):
        return _whole(text, path, position)
    if _BASED.fullmatch(text):
        return int(text[2:], 8 if text[1] == "o" else 16)
    if _NUMBER.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        raise Mistake(
            *position, f"{text} is no number that JSON has", "put it in quotes if it is a text", path
        )
    return text


def _whole(text: str, path: Path, position: Position) -> int:
    digits = text.lstrip("+-")
    if len(digits) > 1 and digits.startswith("0"):
        hint = f'write "{text}" in quotes for a text, {int(text)} for a number'
        raise Mistake(*position, f"{text} could be a text or a number", hint, path)
    return int(text)
