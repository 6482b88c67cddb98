"""Program files: YAML, JSON and TOML texts as documents whose every value has its place.

Nothing here knows what a program is. A text is taken whole or not at all: strictly decoded, bounded before
anything is built from it, with duplicate keys refused. Whatever is wrong is a ProgramError with its place.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from os import PathLike

from clew.authoring.documents import Document, Mistake
from clew.core.program.bounds import DOCUMENT_SIZE_MAX
from clew.core.program.model import Json, Program
from clew.core.program.parse import any_kind, parse
from clew.core.program.problems import Path, Place, Problem, ProgramError
from clew.core.program.signatures import Signatures

FORMATS = (".yaml", ".yml", ".json", ".toml")
"""The endings of program files' names."""

PlaceOf = Callable[[Path], Place | None]


def read_program(
    path: str | PathLike[str],
    signatures: Signatures,
    conditions: Signatures,
    *,
    known_kind: Callable[[str], bool] = any_kind,
    name: str = "",
) -> Program:
    """The program in a file; `known_kind` says which plug-ins there are for dependencies, `name` what the file is
    called if that is not its path. Raises ProgramError with every problem, each at its place."""
    document, place_of = load_document(read_text(path), name or str(path))
    return parse(
        document, signatures, conditions, place_of=place_of, known_zone=is_time_zone, known_kind=known_kind
    )


def load_document(text: str | bytes, name: str) -> tuple[Json, PlaceOf]:
    """The document in a text, and where each of its values stands.

    `name` is the file's, whose ending says the format. Raises ProgramError.
    """
    try:
        document = _read(_decoded(text), name)
    except Mistake as mistake:
        place = Place(name, mistake.line, mistake.column)
        raise ProgramError([Problem(mistake.path, mistake.what, mistake.hint, place)]) from None

    def place_of(path: Path) -> Place | None:
        position = document.positions.get(path)
        return Place(name, *position) if position else None

    return document.value, place_of


def read_text(path: str | PathLike[str]) -> bytes:
    """A program file's bytes. Raises ProgramError if there is no such file, or it is none to read."""
    try:
        # Without O_NONBLOCK, opening a pipe would wait for somebody to write into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return _content(descriptor, path)
        finally:
            os.close(descriptor)
    except OSError as error:
        what = f"the file can't be read: {(error.strerror or str(error)).lower()}"
        raise _unreadable(path, what) from error


def is_time_zone(name: str) -> bool:
    """Whether the time zone database has this name."""
    if name == "UTC":
        return True
    # Few programs name a zone, and the database takes its time to load.
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(name)
    # A name such as `America` is a folder of the database, which the library does not expect.
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _content(descriptor: int, path: str | PathLike[str]) -> bytes:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise _unreadable(path, "this is no regular file")
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        # One byte more than is allowed tells that it is too large, however large it is.
        return file.read(DOCUMENT_SIZE_MAX + 1)


def _unreadable(path: str | PathLike[str], what: str) -> ProgramError:
    return ProgramError([Problem((), what, place=Place(str(path), 1, 1))])


def _decoded(text: str | bytes) -> str:
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(content) > DOCUMENT_SIZE_MAX:
        raise Mistake(1, 1, f"the file has more than {DOCUMENT_SIZE_MAX} bytes")
    if content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise Mistake(1, 1, "the file begins with a byte order mark", "save it as UTF-8 without one")
    try:
        decoded = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _position(content[: error.start].decode("utf-8"))
        raise Mistake(line, column, "the file is not UTF-8", "save it as UTF-8") from error
    zero = decoded.find("\0")
    if zero >= 0:
        line, column = _position(decoded[:zero])
        raise Mistake(line, column, "the file holds a zero character", "save it as plain text")
    if not decoded.strip():
        raise Mistake(1, 1, "the file is empty", "a program has a name and stages")
    return decoded


def _position(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _read(text: str, name: str) -> Document:
    ending = os.path.splitext(name)[1].lower()
    if ending in (".yaml", ".yml"):
        from clew.authoring.yaml_texts import read_yaml

        return read_yaml(text)
    if ending == ".json":
        from clew.authoring.json_texts import read_json

        return read_json(text)
    if ending == ".toml":
        from clew.authoring.toml_texts import read_toml

        return read_toml(text)
    raise Mistake(
        1, 1, f"'{os.path.basename(name)}' is no program file", f"its name ends in {', '.join(FORMATS)}"
    )
