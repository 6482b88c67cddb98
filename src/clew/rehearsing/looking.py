"""Looks at a scratch world: its files, the rows of its databases, what its servers say, what doubles left."""

from __future__ import annotations

import json
import os
import sqlite3
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from hashlib import sha256
from typing import NamedTuple

from clew.core.program.model import Json
from clew.operations.requests import RequestError
from clew.rehearsing.worlds import Fact, World, canonical, facts_of, without

FACTS_MAX = 200_000
"""What is compared of one world: it is looked at again after every piece of work."""

ANSWER_SECONDS_MAX = 10
"""For a server's state: it is a scratch one on this machine, and has just been started."""

ANSWER_SIZE_MAX = 16 * 1024 * 1024
"""Bytes of a server's state: more than anybody wants to read the difference of."""

VALUE_SIZE_MAX = 2_000
"""Characters of a row, beyond which its digest stands for the rest."""

TICK_NANOSECONDS = 100_000_000
"""A file that was changed so shortly ago may be changed again without a sign: some systems' clocks for files go by
hundredths of a second."""

DIGITS = 16
"""Of a file's digest: enough that two contents of one size differ in them, and few enough to be read."""

_PIECE_SIZE = 1024 * 1024

Reading = Callable[[str, str], Iterator[Fact]]
"""From a path, and the place it stands for, to what is there."""


class Looking:
    """Where a world's things are: buckets and databases by the names that people know them by, the folder of marks,
    and for each server the address and the paths of its state."""

    def __init__(
        self,
        *,
        buckets: Mapping[str, str],
        databases: Mapping[str, str],
        marks: str,
        servers: Mapping[str, tuple[str, Sequence[str]]],
        ignored: Sequence[str],
    ) -> None:
        self._buckets = buckets
        self._databases = databases
        self._marks = marks
        self._servers = servers
        self._ignored = ignored
        self._known: dict[str, tuple[tuple[_Known | None, _Known | None], list[Fact]]] = {}
        """What was seen of a file, and how the file was then: as long as it is so, it is not read again."""

    def look(self) -> World:
        """The world as it is now. Blocking. Raises RequestError for what can't be looked at."""
        world: Counter[Fact] = Counter()
        for fact in self._facts():
            world[fact] += 1
            if len(world) > FACTS_MAX:
                raise RequestError(
                    f"the scratch world has more than {FACTS_MAX} files and rows, which is the most that is compared: "
                    "[buckets] and [variables] in the rehearsal file may name smaller ones"
                )
        return without(world, self._ignored)

    def _facts(self) -> Iterator[Fact]:
        for name, folder in self._buckets.items():
            for path in _files(folder):
                yield from self._unless_known(path, f"{name}/{os.path.relpath(path, folder)}", _file_facts)
        for name, path in self._databases.items():
            if os.path.exists(path):
                yield from self._unless_known(path, name, _database_facts)
        for path in _files(self._marks):
            with open(path, encoding="utf-8") as file:
                yield Fact("mark", "doubles", file.read())
        for name, (address, state) in self._servers.items():
            for path in state:
                yield from facts_of(_answer(name, address, path), f"{name}{path}")

    def _unless_known(self, path: str, place: str, read: Reading) -> list[Fact]:
        now = _stat(path), _stat(f"{path}-wal")
        known = self._known.get(path)
        if known is not None and known[0] == now:
            return known[1]
        changed_at = max((each.changed_at for each in now if each is not None), default=0)
        facts = list(read(path, place))
        if time.time_ns() - changed_at > TICK_NANOSECONDS:
            self._known[path] = now, facts
        else:
            self._known.pop(path, None)
        return facts


def _files(folder: str) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        yield from (os.path.join(parent, name) for name in names)


class _Known(NamedTuple):
    """By which one content of a file is told from the next."""

    inode: int
    size: int
    modified_at: int
    changed_at: int


def _stat(path: str) -> _Known | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return _Known(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _file_facts(path: str, place: str) -> Iterator[Fact]:
    digest, size = sha256(), 0
    with open(path, "rb") as file:
        while piece := file.read(_PIECE_SIZE):
            digest.update(piece)
            size += len(piece)
    yield Fact("file", place, f"{size} bytes (SHA-256 {digest.hexdigest()[:DIGITS]}…)", is_single=True)


def _database_facts(path: str, name: str) -> Iterator[Fact]:
    """Its tables (and whatever else it is made of) and their rows."""
    try:
        with closing(sqlite3.connect(path)) as database:
            database.row_factory = sqlite3.Row
            made_of = database.execute(
                "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'"
            )
            for kind, table, text in made_of.fetchall():
                yield Fact(kind, f"{name}/{table}", text or "", is_single=True)
                if kind == "table":
                    quoted = '"' + table.replace('"', '""') + '"'
                    for row in database.execute(f"SELECT * FROM {quoted}"):
                        yield Fact("row", f"{name}/{table}", _shortened(canonical(_row(row))))
    except sqlite3.Error as error:
        raise RequestError(f"the copy of the database {name} can't be read: {error}") from error


def _row(row: sqlite3.Row) -> dict[str, Json]:
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in dict(row).items()}


def _shortened(text: str) -> str:
    if len(text) <= VALUE_SIZE_MAX:
        return text
    return f"{text[:VALUE_SIZE_MAX]}… (SHA-256 {sha256(text.encode()).hexdigest()})"


def _answer(name: str, address: str, path: str) -> Json:
    try:
        with urllib.request.urlopen(f"{address}{path}", timeout=ANSWER_SECONDS_MAX) as answer:
            content = answer.read(ANSWER_SIZE_MAX + 1)
    except (OSError, ValueError) as error:
        raise RequestError(f"the server '{name}' did not give its state at {path}: {error}") from error
    if len(content) > ANSWER_SIZE_MAX:
        raise RequestError(
            f"the state of the server '{name}' at {path} has more than {ANSWER_SIZE_MAX} bytes"
        )
    try:
        return json.loads(content)
    except ValueError:
        return content.decode("utf-8", "replace")
