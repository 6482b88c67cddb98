"""A tree of files as it is written: nothing of it ever leads out of its folder.

The names come from outside, and are held against the strictest reading: what is no plain relative path is refused
rather than changed, since code is found by its name. Links are made last, so that nothing is written through one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import NamedTuple

from clew.core.sealing.trees import EXECUTABLE, FILE, LINK, TreeFile, tree_digest

FILES_MAX = 10_000
"""More is no code of a stage, but an installation: that belongs into an image, or the environment."""
SIZE_MAX = 1024**3
"""Bytes of a source. It is written anew for every attempt."""
PATH_SIZE_MAX = 1_024
"""Bytes of a path: as many as a key may have."""
_SEGMENT_SIZE_MAX = 255
"""Bytes of a name that file systems take."""
_PIECE_SIZE = 1024 * 1024


class SourceError(Exception):
    """The code can't be had. `sort`: `missing` (it is not there), `unfit` (what is there can't be used) or `trouble`
    (it could not be told, and may be had later), or `tool` (the program that would fetch it is not on this machine)."""

    def __init__(self, sort: str, message: str) -> None:
        super().__init__(message)
        self.sort = sort


class Fetched(NamedTuple):
    """A tree that is there whole, in bytes and files, and its digest."""

    digest: str
    file_count: int
    size: int


def check_path(path: str) -> None:
    """Raises SourceError for what is no path within a folder."""
    shown = path[:200]
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise SourceError("unfit", f"the name {shown!r} has a character without UTF-8 form") from None
    segments = path.split("/")
    if "\0" in path or any(one in ("", ".", "..") for one in segments):
        raise SourceError("unfit", f"{shown!r} is no name of a file within a folder")
    if size > PATH_SIZE_MAX or any(len(one.encode()) > _SEGMENT_SIZE_MAX for one in segments):
        raise SourceError("unfit", f"the name {shown!r} is longer than names of files may be")
    if any(one.casefold() == ".git" for one in segments):
        raise SourceError("unfit", f"{shown!r} is git's own, and no part of the code; leave it out")


class TreeWriter:
    """Writes a tree into a folder that is made for it. Raises SourceError for what does not belong into one."""

    def __init__(self, root: str) -> None:
        os.mkdir(root, 0o700)
        self._root = root
        self._files: list[TreeFile] = []
        self._links: list[tuple[str, str]] = []
        self._folders = {""}
        self._size = 0

    def add(self, path: str, pieces: Iterable[bytes], *, is_executable: bool = False) -> int:
        """Write a file; how many bytes it has. What the pieces raise comes through."""
        check_path(path)
        self._make_room()
        self._make_folders(path)
        hashed, size = sha256(), 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            file = os.open(os.path.join(self._root, path), flags, 0o700 if is_executable else 0o600)
        except FileExistsError:
            raise SourceError(
                "unfit", f"{path!r} is there twice, or both as a file and as a folder"
            ) from None
        try:
            for piece in pieces:
                hashed.update(piece)
                size += len(piece)
                self._size += len(piece)
                if self._size > SIZE_MAX:
                    raise SourceError("unfit", f"it has more than {SIZE_MAX} bytes, which is the most")
                _write(file, piece)
        finally:
            os.close(file)
        self._files.append(TreeFile(path, EXECUTABLE if is_executable else FILE, hashed.hexdigest()))
        return size

    def add_link(self, path: str, target: bytes) -> None:
        """Have the path be a symbolic link. Where it leads to is looked at when all is there."""
        check_path(path)
        self._make_room()
        self._make_folders(path)
        if not target or len(target) > PATH_SIZE_MAX or target.startswith(b"/") or b"\0" in target:
            raise SourceError("unfit", f"{path!r} is a link that leads out of the code")
        self._links.append((path, os.fsdecode(target)))
        self._files.append(TreeFile(path, LINK, sha256(target).hexdigest()))

    def finish(self) -> Fetched:
        """Make the links; the tree is whole then."""
        for path, target in self._links:
            try:
                os.symlink(target, os.path.join(self._root, path))
            except FileExistsError:
                raise SourceError("unfit", f"{path!r} is there twice") from None
        root = os.path.realpath(self._root)
        for path, _ in self._links:
            if not f"{os.path.realpath(os.path.join(root, path))}/".startswith(f"{root}/"):
                raise SourceError("unfit", f"{path!r} is a link that leads out of the code")
        return Fetched(tree_digest(self._files), len(self._files), self._size)

    def _make_room(self) -> None:
        if len(self._files) >= FILES_MAX:
            raise SourceError("unfit", f"it has more than {FILES_MAX} files, which is the most")

    def _make_folders(self, path: str) -> None:
        folder = os.path.dirname(path)
        if folder in self._folders:
            return
        self._make_folders(folder)
        try:
            os.mkdir(os.path.join(self._root, folder), 0o700)
        except (FileExistsError, NotADirectoryError):
            raise SourceError("unfit", f"{folder!r} is there both as a file and as a folder") from None
        self._folders.add(folder)


def copy_tree(root: str, target: str) -> Fetched:
    """Write the tree that lies in a folder once more, into one that is made for it; its digest says whether it is
    what it should be. Raises SourceError, OSError."""
    writer = TreeWriter(target)
    for path, facts in _files_in(root):
        whole = os.path.join(root, path)
        if stat.S_ISLNK(facts.st_mode):
            writer.add_link(path, os.fsencode(os.readlink(whole)))
        else:
            writer.add(path, _pieces(whole), is_executable=bool(facts.st_mode & stat.S_IXUSR))
    return writer.finish()


def _files_in(root: str, folder: str = "") -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(os.path.join(root, folder)) as entries:
        found = sorted(entries, key=lambda one: one.name)
    for entry in found:
        path = f"{folder}/{entry.name}" if folder else entry.name
        facts = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(facts.st_mode):
            yield from _files_in(root, path)
        elif stat.S_ISREG(facts.st_mode) or stat.S_ISLNK(facts.st_mode):
            yield path, facts
        else:
            raise SourceError("unfit", f"{path!r} is neither a file nor a link")


def _pieces(path: str) -> Iterator[bytes]:
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while piece := os.read(file, _PIECE_SIZE):
            yield piece
    finally:
        os.close(file)


def _write(file: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]
