"""What was fetched, kept in a folder so that it need not be fetched again. Nothing is ever lost with it.

`trees/DIGEST-SIZE` are the trees; `keys/NAME` say which tree was fetched from where; `making` holds what is not whole
yet, or not wanted any more. Whatever is there came there whole, by a rename, so that many may read and write at the
same time, and be killed at any moment. Nothing is flushed: what a power failure has torn has another digest when it
is used, and then is thrown away. Trouble with the folder is no trouble of the attempt, which fetches for itself.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256

from clew.sources.trees import Fetched, SourceError, copy_tree

CACHE_SIZE_MAX = 4 * 1024**3
"""Bytes of all trees. What was used longest ago goes first."""
CACHE_TREES_MAX = 500
"""Each is looked at when one is added."""
_STALE_NANOSECONDS = 3600 * 10**9
"""What is still in the making after an hour was left behind: copying the largest tree takes minutes."""


class SourceCache:
    """A folder of trees; without a path, none."""

    def __init__(
        self, path: str, *, size_max: int = CACHE_SIZE_MAX, trees_max: int = CACHE_TREES_MAX
    ) -> None:
        self._path = path
        self._size_max = size_max
        self._trees_max = trees_max

    def take(self, key: str, target: str) -> Fetched | None:
        """Write what was fetched under that key into a folder that is made for it; None, and no folder, if it is not
        here, or not what it was."""
        tree = self._tree_of(key)
        return None if tree is None else self._take(tree, target)

    def take_tree(self, digest: str, target: str) -> Fetched | None:
        """As `take`, by the digest of what was fetched."""
        try:
            trees = os.listdir(self._in("trees")) if self._path else []
        except OSError:
            return None
        tree = next((one for one in trees if one.startswith(f"{digest}-")), None)
        return None if tree is None else self._take(tree, target)

    def _take(self, tree: str, target: str) -> Fetched | None:
        place = self._in("trees", tree)
        try:
            copied = copy_tree(place, target)
            if copied.digest == tree.partition("-")[0]:
                os.utime(place)
                return copied
            self._throw_away(place)
        except (OSError, SourceError):
            pass  # removed just now to make room, or damaged: as good as not here
        shutil.rmtree(target, ignore_errors=True)
        return None

    def keep(self, key: str, root: str, fetched: Fetched) -> None:
        """Keep the tree of that folder under the key, if that can be done."""
        if not self._path:
            return
        tree = f"{fetched.digest}-{fetched.size}"
        with suppress(OSError, SourceError):
            for name in ("trees", "keys", "making"):
                os.makedirs(self._in(name), 0o700, exist_ok=True)
            if not os.path.isdir(self._in("trees", tree)):
                self._add(tree, root, fetched)
            self._name(key, tree)
            self._make_room(tree)

    # ---- one tree ----

    def _tree_of(self, key: str) -> str | None:
        if not self._path:
            return None
        try:
            with open(self._in("keys", _name_of(key)), encoding="ascii") as file:
                tree = file.read(200)
        except (OSError, UnicodeDecodeError):
            return None
        digest, _, size = tree.partition("-")
        return tree if len(digest) == 64 and digest.isalnum() and size.isdecimal() else None

    def _add(self, tree: str, root: str, fetched: Fetched) -> None:
        making = self._making()
        try:
            if copy_tree(root, making).digest == fetched.digest:
                os.rename(making, self._in("trees", tree))
        finally:
            shutil.rmtree(making, ignore_errors=True)  # somebody else was first, if it is still there

    def _name(self, key: str, tree: str) -> None:
        making = self._making()
        with open(making, "x", encoding="ascii") as file:
            file.write(tree)
        os.replace(making, self._in("keys", _name_of(key)))

    def _throw_away(self, place: str) -> None:
        making = self._making()
        with suppress(FileNotFoundError):
            os.rename(place, making)
            shutil.rmtree(making, ignore_errors=True)

    def _making(self) -> str:
        return self._in("making", os.urandom(8).hex())

    def _in(self, *names: str) -> str:
        return os.path.join(self._path, *names)

    # ---- all of them ----

    def _make_room(self, newest: str) -> None:
        """Remove what was used longest ago, until the rest is within the limits. One at a time does this."""
        with self._alone() as is_alone:
            if not is_alone:
                return
            trees = sorted(self._trees(), reverse=True)
            size = 0
            for number, (_, its_size, tree) in enumerate(trees, start=1):
                size += its_size
                if tree != newest and (size > self._size_max or number > self._trees_max):
                    self._throw_away(self._in("trees", tree))
                    size -= its_size
            if len(os.listdir(self._in("keys"))) > 2 * self._trees_max:
                self._forget_names()
            self._sweep()

    def _trees(self) -> Iterator[tuple[int, int, str]]:
        """When each was used last, its size and its name."""
        with os.scandir(self._in("trees")) as entries:
            for entry in entries:
                size = entry.name.partition("-")[2]
                yield entry.stat().st_mtime_ns, int(size) if size.isdecimal() else 0, entry.name

    def _forget_names(self) -> None:
        """Remove the keys of trees that are gone; if there are still too many, all: they come back."""
        keys = [(self._in("keys", name), name) for name in os.listdir(self._in("keys"))]
        there = set(os.listdir(self._in("trees")))
        for path, _ in keys:
            with suppress(FileNotFoundError):
                with open(path, encoding="ascii") as file:
                    is_there = file.read(200) in there
                if not is_there or len(keys) > 20 * self._trees_max:
                    os.unlink(path)

    def _sweep(self) -> None:
        """Remove what killed processes have left in the making."""
        mark = self._making()
        os.mkdir(mark)
        now = os.stat(mark).st_mtime_ns
        os.rmdir(mark)
        with os.scandir(self._in("making")) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if now - entry.stat(follow_symlinks=False).st_mtime_ns < _STALE_NANOSECONDS:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path, ignore_errors=True)
                    else:
                        os.unlink(entry.path)

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        file = os.open(self._in("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(file)


def _name_of(key: str) -> str:
    return sha256(b"clew/source-key/v1\n" + key.encode()).hexdigest()
