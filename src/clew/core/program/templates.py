"""How a text with `{name}`s is taken apart, by the kind of text it is.

A template becomes pieces: literal texts and references. What counts as a brace of the text itself depends on
the kind: a regular expression has counted repetitions, a command line has quotes within which nothing may be
filled in, since no quoting would be safe there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from msgspec import Struct

from clew.core.program.signatures import REGEX, SHELL, SQL

# Longer than any statement or script that belongs in a program; a program itself may have 4 MiB.
TEMPLATE_SIZE_MAX = 1024 * 1024
# A format is a handful of directives; longer ones can only be meant to make the text grow.
FORMAT_SIZE_MAX = 200
# Templates of the programs that one orchestrator holds in memory; beyond it the oldest are read again.
_TEMPLATES_KEPT_MAX = 8_192

DIRECTIVES = frozenset("YymdHIMSfjpaAbBzGVu%")
"""What may follow `%` in `{time:%Y/%m/%d}`."""

NAME = r"[A-Za-z][A-Za-z0-9_]{0,99}"
"""How a variable's name looks."""

_REFERENCE = rf"(?a)({NAME})((?:\.[A-Za-z_][A-Za-z0-9_-]*|\[\d{{1,9}}\])*)(?::([^{{}}]*))?"
_STEP = r"\.([^.\[]+)|\[(\d+)\]"
_BRACES = r"(?P<literal>\{\{|\}\})|\{(?P<reference>[^{}]*)\}|(?P<brace>[{}])"
_IN_TEXT = _BRACES
# Backslashes go in pairs, so that `\\x{name}` is a backslash, an x and a reference.
_IN_REGEX = r"(?s)(?P<kept>\\[pPx]\{[^{}]*\}|\\[^{}]|\{\d+(?:,\d*)?\})|" + _BRACES
_HINT = "write {{ or }} for a brace, {name} for a value"


class TemplateError(ValueError):
    """A template can't be read or filled in; `what` says why, `hint` what would be right."""

    def __init__(self, what: str, hint: str = "") -> None:
        self.what = what
        self.hint = hint
        super().__init__(f"{what}; {hint}" if hint else what)


class Reference(Struct, frozen=True):
    """A `{name.field[0]:format}`: the name, the fields and positions behind it, the format of a time."""

    name: str
    path: tuple[str | int, ...] = ()
    format: str | None = None

    def __str__(self) -> str:
        steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)
        return f"{{{self.name}{steps}{'' if self.format is None else ':' + self.format}}}"


Pieces = tuple["str | Reference", ...]


@lru_cache(maxsize=_TEMPLATES_KEPT_MAX)
def pieces_of(text: str, kind: str) -> Pieces:
    """The template's literal texts and references, in order. Raises TemplateError."""
    if "{" not in text and "}" not in text:
        return (text,)
    if len(text) > TEMPLATE_SIZE_MAX:
        raise TemplateError(
            f"a text with braces of {len(text)} characters; at most {TEMPLATE_SIZE_MAX} are read"
        )
    pieces = _joined(_scanned(text, _IN_REGEX if kind == REGEX else _IN_TEXT))
    if kind == SHELL:
        _check_command_line(pieces)
    if kind == SQL:
        _check_statement(pieces)
    return pieces


def _scanned(text: str, pattern: str) -> Iterator[str | Reference]:
    position = 0
    for match in re.finditer(pattern, text):
        yield text[position : match.start()]
        position = match.end()
        if match["literal"] is not None:
            yield match["literal"][0]
        elif match["reference"] is not None:
            yield _read_reference(match["reference"])
        elif match["brace"] is not None:
            what = "is never closed" if match["brace"] == "{" else "closes nothing"
            raise TemplateError(
                f"the brace at character {match.start() + 1} of '{_short(text)}' {what}", _HINT
            )
        else:
            yield match[0]
    yield text[position:]


def _joined(scanned: Iterator[str | Reference]) -> Pieces:
    """Neighbouring texts as one, empty ones left out."""
    pieces: list[str | Reference] = []
    texts: list[str] = []
    for piece in scanned:
        if isinstance(piece, str):
            texts.append(piece)
            continue
        if text := "".join(texts):
            pieces.append(text)
        texts.clear()
        pieces.append(piece)
    if text := "".join(texts):
        pieces.append(text)
    return tuple(pieces)


def _read_reference(inner: str) -> Reference:
    match = re.fullmatch(_REFERENCE, inner)
    if match is None:
        raise TemplateError(f"'{{{_short(inner)}}}' is no reference", _reference_hint(inner))
    path = tuple(int(position) if position else field for field, position in re.findall(_STEP, match[2]))
    if match[3] is not None:
        _check_format(match[3], inner)
    return Reference(match[1], path, match[3])


def _reference_hint(inner: str) -> str:
    stripped = inner.strip()
    if stripped != inner and re.fullmatch(_REFERENCE, stripped):
        return f"write {{{stripped}}} without spaces"
    if "(" in inner:
        return "nothing is called in a reference; " + _HINT
    return "a reference is a name, then .fields and [positions], such as {file.name}; " + _HINT


def _check_format(text: str, inner: str) -> None:
    if not text or len(text) > FORMAT_SIZE_MAX:
        raise TemplateError(
            f"'{{{_short(inner)}}}' has no usable format", "write for example {run_time:%Y/%m/%d}"
        )
    for match in re.finditer(r"%(.?)", text, re.DOTALL):
        if match[1] not in DIRECTIVES or not match[1]:
            known = " ".join(f"%{one}" for one in sorted(DIRECTIVES))
            raise TemplateError(
                f"'%{match[1]}' in '{{{_short(inner)}}}' is no directive", f"there are {known}"
            )


_SHELL_TOKEN = r"(?s)\\.|'|\"|`|\$'|<<<|<<|\(\(|\)\)|(?:^|(?<=[\s;&|()]))#|\n"


def _check_command_line(pieces: Pieces) -> None:
    """Refuses values where the shell would not take a quoted text as one word."""
    state = ""
    for at, piece in enumerate(pieces):
        if isinstance(piece, Reference):
            if state:
                raise TemplateError(
                    f"{piece} stands {state}", "a value is quoted by itself: let it stand alone"
                )
            continue
        state = _state_after(piece, state)
        is_last = at + 1 == len(pieces)
        if not is_last and not state and piece.endswith(("$", "\\")):
            raise TemplateError(
                f"{pieces[at + 1]} stands behind '{piece[-1]}'",
                "for the shell's own variables write ${{NAME}}",
            )


_OPENING = {
    "'": "within single quotes",
    # Shells disagree about what ends these quotes, so nothing does.
    "$'": "behind $'",
    '"': "within double quotes",
    "`": "within backquotes",
    "<<": "behind a here-document",
    "((": "within arithmetic",
    "#": "within a comment",
}
_CLOSING = {
    "within single quotes": "'",
    "within double quotes": '"',
    "within backquotes": "`",
    "within arithmetic": "))",
    "within a comment": "\n",
}


def _state_after(text: str, state: str) -> str:
    token = re.compile(_SHELL_TOKEN)
    position = 0
    while position < len(text):
        if state == "within single quotes":
            # Nothing but the next quote means anything there, not even a backslash.
            end = text.find("'", position)
            if end < 0:
                return state
            state, position = "", end + 1
            continue
        match = token.search(text, position)
        if match is None:
            return state
        position = match.end()
        if not state:
            state = _OPENING.get(match[0], "")
        elif match[0] == _CLOSING.get(state):
            state = ""
    return state


_SQL_TOKEN = r"'|\"|--|\n|/\*|\*/"
_SQL_OPENING = {
    "'": "within quotes",
    '"': "within double quotes",
    "--": "within a comment",
    "/*": "within a comment",
}
_SQL_CLOSING = {"'": "'", '"': '"', "--": "\n", "/*": "*/"}


def _check_statement(pieces: Pieces) -> None:
    """Refuses values where a parameter would be taken as text."""
    opened = ""
    for piece in pieces:
        if isinstance(piece, Reference):
            if opened:
                raise TemplateError(
                    f"{piece} stands {_SQL_OPENING[opened]}",
                    "a value is bound as a parameter: leave out the quotes",
                )
            continue
        for match in re.finditer(_SQL_TOKEN, piece):
            if not opened and match[0] in _SQL_OPENING:
                opened = match[0]
            elif opened and match[0] == _SQL_CLOSING[opened]:
                opened = ""


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
