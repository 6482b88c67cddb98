"""Copies of a program's buckets and databases, made once from the real ones; each scenario has a copy of the copies."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from typing import NamedTuple
from urllib.parse import quote

from clew.buckets import open_bucket
from clew.buckets.file import check_file_key, folder_of
from clew.operations.requests import RequestError
from clew.ports import Bucket, BucketError, ObjectFacts
from clew.rehearsing.looking import TICK_NANOSECONDS

COPY_SIZE_MAX = 100 * 1024 * 1024
"""Bytes of all buckets and databases together: each scenario copies them again, so that a few gigabytes are written
by a rehearsal of some dozens of scenarios, and a second or so is spent on each copy."""

COPY_COUNT_MAX = 50_000
"""Objects: so many small files take as long to copy as the bytes above."""

COPY_TRIES_MAX = 5
"""How often a database that somebody writes to is copied anew."""

_BUCKETS, _DATABASES = "buckets", "databases"


class Copies(NamedTuple):
    """What was copied, by its real place, and where its copy is within a copy's folder."""

    buckets: Mapping[str, str]
    """By the bucket's name, or its URL where the program states that."""
    folders: Mapping[str, str]
    databases: Mapping[str, str]


class Budget:
    """How much may still be copied."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._size = 0
        self._count = 0

    def take(self, size: int) -> None:
        """Count an object of that size. Raises RequestError."""
        self._size += size
        self._count += 1
        if self._size > self._size_max:
            raise RequestError(
                f"the buckets and databases of the program hold more than {self._size_max} bytes, which is the most "
                "that is copied: --limit raises that, or [buckets] in the rehearsal file names smaller ones"
            )
        if self._count > COPY_COUNT_MAX:
            raise RequestError(
                f"the buckets of the program hold more than {COPY_COUNT_MAX} objects, which is the most that is "
                "copied: [buckets] in the rehearsal file may name smaller ones"
            )


def planned(buckets: Mapping[str, str], databases: Iterable[str]) -> Copies:
    """Where the copies of these buckets (their URLs by name) and databases (by path) are to be.

    Raises BucketError for the URL of another machine's folder.
    """
    places = {name: os.path.join(_BUCKETS, quote(name, safe="") or "bucket") for name in buckets}
    names: dict[str, str] = {}
    for path in databases:
        name, number = os.path.basename(path), 1
        while name in names.values():
            number += 1
            name = f"{number}-{os.path.basename(path)}"
        names[path] = name
    return Copies(
        places,
        {
            os.path.realpath(folder_of(url)): places[name]
            for name, url in buckets.items()
            if url.startswith("file:")
        },
        {path: os.path.join(_DATABASES, name) for path, name in names.items()},
    )


def copy_all(buckets: Mapping[str, str], copies: Copies, folder: str, *, size_max: int) -> None:
    """Make the copies in that folder, as they were planned.

    Raises RequestError when they are larger than that or can't be copied, BucketError when one can't be read.
    """
    budget = Budget(size_max)
    os.makedirs(os.path.join(folder, _DATABASES))
    for name, url in buckets.items():
        target = os.path.join(folder, copies.buckets[name])
        os.makedirs(target)
        _copy_bucket(open_bucket(url, {}), target, budget)
    for path, place in copies.databases.items():
        _copy_database(path, os.path.join(folder, place), budget)


def copy_again(folder: str, target: str) -> None:
    """A copy of the copies, with their times."""
    shutil.copytree(folder, target, symlinks=True)


def _copy_bucket(bucket: Bucket, folder: str, budget: Budget) -> None:
    for found in _objects(bucket, ""):
        budget.take(found.size)
        path = os.path.join(folder, found.key)
        try:
            check_file_key(found.key)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                for piece in bucket.read_pieces(found.key):
                    file.write(piece)
        except FileNotFoundError:
            os.unlink(path)  # somebody has deleted it meanwhile
            continue
        except (BucketError, FileExistsError, IsADirectoryError, NotADirectoryError) as error:
            # A bucket may hold what no folder can: an object and others below it, or a key with `..`.
            raise RequestError(
                f"'{found.key}' of {bucket.url} can't be copied into a folder: {error}; [buckets] in the rehearsal "
                "file may name another bucket to copy from"
            ) from error
        # By their times `newest` and `oldest` choose.
        os.utime(path, ns=(found.modified_at * 1_000_000, found.modified_at * 1_000_000))


def _objects(bucket: Bucket, folder: str) -> Iterator[ObjectFacts]:
    for found in bucket.list_folder(folder):
        if isinstance(found, str):
            yield from _objects(bucket, found)
        else:
            yield found


def _copy_database(path: str, target: str, budget: Budget) -> None:
    """The database as its last transaction left it; one that is not there yet is not there in the copy either.

    Its files are copied as they are, as if power had failed just then: opening the real one, if only to read, would
    leave files beside it. Where somebody keeps writing, it is read by a connection all the same.
    """
    if not os.path.exists(path):
        return
    budget.take(sum(os.stat(each).st_size for each in _database_files(path)))
    try:
        if not any(_is_copied_in_peace(path, target) for _ in range(COPY_TRIES_MAX)):
            with (
                closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)) as real,
                closing(sqlite3.connect(target)) as copy,
            ):
                real.backup(copy)
        with closing(sqlite3.connect(target)) as copy:  # which takes in what stands beside it
            copy.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except (OSError, sqlite3.Error) as error:
        raise RequestError(f"the database {path} can't be copied: {error}") from error


def _is_copied_in_peace(path: str, target: str) -> bool:
    """Copy the database's files, if nobody has changed them meanwhile."""
    for ending in _ENDINGS:
        with suppress(FileNotFoundError):
            os.unlink(target + ending)
    before = _states(path)
    for file in _database_files(path):
        with suppress(FileNotFoundError):
            shutil.copyfile(file, target + file.removeprefix(path))
    newest = max(changed_at for _, changed_at, _ in before.values())
    return before == _states(path) and time.time_ns() - newest > TICK_NANOSECONDS


_ENDINGS = ("", "-wal", "-journal")
"""What the names of a database's files end with: its own, that of its WAL, that of what it would take back."""


def _database_files(path: str) -> list[str]:
    return [path + ending for ending in _ENDINGS if os.path.exists(path + ending)]


def _states(path: str) -> dict[str, tuple[int, int, int]]:
    found = {}
    for file in _database_files(path):
        with suppress(FileNotFoundError):
            facts = os.stat(file)
            found[file] = facts.st_size, facts.st_mtime_ns, facts.st_ino
    return found
