"""What is fetched of the places that programs are read from: whole trees, each in a folder that never changes.

`trees/DIGEST` holds what a place held at one moment. What it holds later is another tree in another folder, so that
nothing half fetched is ever read, and runs of before go on with the code that lay beside their program. A tree goes
when nothing that may run yet came from it, and some others have come since. `making` holds what is not whole yet. What
is renamed into `trees` is flushed first: it is used without being looked at again, after a power failure too.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple

from clew.ports import ObjectFacts
from clew.sources.cache import SourceCache
from clew.sources.commits import Commit, fetch_commit, find_tip
from clew.sources.deadlines import Deadline
from clew.sources.folders import ReadBucket, fetch_folder, listed_as
from clew.sources.trees import Fetched

KEPT_MAX = 20
"""Trees that nothing needs: a settled run that is rewound finds its code in one of them, if that was not long ago."""
SPARED_SECONDS = 3600
"""Another process may be about to use what was the latest so long ago, before the store says so."""
_PIECE_SIZE = 1024 * 1024


class Tree(NamedTuple):
    """What a place held: the folder it is in, and from what it was fetched; `key` is empty if that can't be told."""

    folder: str
    key: str


class Known(NamedTuple):
    """An object that was fetched: how it was listed, and the digest of its bytes."""

    facts: ObjectFacts
    digest: str


class ProgramTrees:
    """The trees in a folder. Many may use it at once."""

    def __init__(self, path: str, cache: SourceCache) -> None:
        self._path = path
        self._cache = cache
        self._placing = threading.Lock()
        """What is about to be used is not removed."""
        self._known: dict[str, dict[str, Known]] = {}
        """What the latest trees of buckets' folders hold, by folder."""

    def of_folder(self, bucket: ReadBucket, folder: str, last: Tree | None, deadline: Deadline) -> Tree:
        """What lies in the folder of a bucket; `last`: what did before. An object that is listed as before is not
        fetched again. Raises SourceError, BucketError, OSError."""
        within = _Within(bucket, deadline)
        key = listed_as(within, folder)
        if last is not None and key and key == last.key and os.path.isdir(last.folder):
            return last
        if last is not None and last.folder in self._known:
            within.reuse(last.folder, folder, self._known[last.folder])
        making = self._making()
        try:
            fetched = fetch_folder(within, folder, making, self._cache)
            placed = self._place(making, fetched)
        finally:
            shutil.rmtree(making, ignore_errors=True)
        if last is not None:
            self._known.pop(last.folder, None)
        self._known[placed] = within.known
        # What it was when it was looked at last: what has changed meanwhile is seen the next time.
        return Tree(placed, key)

    def of_tip(self, wanted: Commit, reference: str, last: Tree | None, deadline: Deadline) -> Tree:
        """What a reference of a repository leads to; the commit in `wanted` is found out. Raises SourceError,
        OSError."""
        scratch = self._making()
        commit = find_tip(wanted.address, reference, scratch, os.environ, deadline)
        if last is not None and commit == last.key and os.path.isdir(last.folder):
            return last
        making = self._making()
        try:
            fetched = fetch_commit(
                wanted._replace(commit=commit), making, scratch, os.environ, self._cache, deadline
            )
            return Tree(self._place(making, fetched), commit)
        finally:
            shutil.rmtree(making, ignore_errors=True)

    def touch(self, folder: str) -> None:
        """It was the latest of its place till now."""
        with suppress(FileNotFoundError):
            os.utime(folder)

    def remove(
        self, needed: Collection[str], *, kept_max: int = KEPT_MAX, spared: float = SPARED_SECONDS
    ) -> int:
        """Remove the trees that hold none of these folders, but for the latest few and what was left just now; and what
        killed processes have left in the making. How many trees went."""
        now, count = time.time(), 0
        top = self._in("trees", "")
        held = {one[len(top) :].partition("/")[0] for one in needed if one.startswith(top)}
        others = sorted(((changed, name) for changed, name in _listed(top) if name not in held), reverse=True)
        for _, name in others[kept_max:]:
            count += self._throw_away(self._in("trees", name), now - spared)
        for changed, name in _listed(self._in("making")):
            if now - changed >= spared:
                shutil.rmtree(self._in("making", name), ignore_errors=True)
        return count

    # ---- one tree ----

    def _place(self, making: str, fetched: Fetched) -> str:
        """Have the tree under its name, durably. Where it is there already, that one is used."""
        folder = self._in("trees", fetched.digest)
        if not os.path.isdir(folder):
            _flush(making)
        with self._placing:
            if not os.path.isdir(folder):
                os.makedirs(self._in("trees"), 0o700, exist_ok=True)
                try:
                    os.rename(making, folder)
                except OSError:
                    if not os.path.isdir(folder):  # else another process was first
                        raise
                _flush_folder(self._in("trees"))
            os.utime(folder)
        return folder

    def _throw_away(self, folder: str, before: float) -> bool:
        """Unless it was used since that moment."""
        making = self._making()
        try:
            with self._placing:
                if os.stat(folder).st_mtime > before:
                    return False
                os.rename(folder, making)
        except FileNotFoundError:  # another process was first
            return False
        shutil.rmtree(making, ignore_errors=True)
        return True

    def _making(self) -> str:
        os.makedirs(self._in("making"), 0o700, exist_ok=True)
        return self._in("making", os.urandom(8).hex())

    def _in(self, *names: str) -> str:
        return os.path.join(self._path, *names)


class _Within:
    """A bucket as it is read until a deadline, and, where a tree has an object as it is listed, from that."""

    def __init__(self, bucket: ReadBucket, deadline: Deadline) -> None:
        self._bucket = bucket
        self._deadline = deadline
        self._listed: dict[str, ObjectFacts] = {}
        self._before: Mapping[str, Known] = {}
        self._tree, self._folder = "", ""
        self.known: dict[str, Known] = {}
        """The objects that were read."""

    @property
    def url(self) -> str:
        return self._bucket.url

    def reuse(self, tree: str, folder: str, before: Mapping[str, Known]) -> None:
        """These objects of the folder are in that tree."""
        self._tree, self._folder, self._before = tree, folder, before

    def list_folder(self, folder: str, start: str = "") -> Iterator[ObjectFacts | str]:
        for one in self._bucket.list_folder(folder, start):
            self._deadline.check()
            if not isinstance(one, str):
                self._listed[one.key] = one
            yield one

    def read_pieces(self, key: str) -> Iterator[bytes]:
        facts, before, hashed = self._listed[key], self._before.get(key), sha256()
        is_same = before is not None and facts.etag != "" and before.facts == facts
        path = os.path.join(self._tree, key[len(self._folder) :])
        is_there = is_same and before is not None and _digest_of(path) == before.digest
        for piece in _pieces_of(path) if is_there else self._bucket.read_pieces(key):
            self._deadline.check()
            hashed.update(piece)
            yield piece
        self.known[key] = Known(facts, hashed.hexdigest())


def _digest_of(path: str) -> str:
    """Of a file; empty if it can't be read."""
    hashed = sha256()
    try:
        for piece in _pieces_of(path):
            hashed.update(piece)
    except OSError:
        return ""
    return hashed.hexdigest()


def _pieces_of(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while piece := file.read(_PIECE_SIZE):
            yield piece


def _listed(folder: str) -> list[tuple[float, str]]:
    """When each in the folder was changed last, and its name."""
    found = []
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                found.append((entry.stat(follow_symlinks=False).st_mtime, entry.name))
    return found


def _flush(root: str) -> None:
    for at, _, names in os.walk(root):
        for name in names:
            path = os.path.join(at, name)
            if not os.path.islink(path):
                _flush_file(path, os.O_RDONLY)
        _flush_folder(at)


def _flush_folder(path: str) -> None:
    _flush_file(path, os.O_RDONLY | os.O_DIRECTORY)


def _flush_file(path: str, flags: int) -> None:
    file = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
