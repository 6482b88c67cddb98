"""Folders as buckets: a file is an object, its path below the root is its key.

No key leads out of the root, neither by `..` nor by a symbolic link: links are followed within the root only.
A file is there whole and durably, or not at all. As in an object store, a folder that loses its last file is
gone.
Files whose names are not UTF-8, and things that are no files, have no key and are not listed.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar
from urllib.parse import quote, unquote

from clew.buckets import keys
from clew.ports import BucketError, ObjectFacts

_WRITING = ".clew-writing-"
"""How the names of files begin that are not whole yet; they are not listed."""

_PIECE_SIZE = 1024 * 1024
"""Bytes read at a time when copying: large enough that the calls cost nothing beside the disk."""

_TRIES_MAX = 100
_PAUSE_SECONDS = 0.001
"""How often a write begins anew when a delete beside it has just removed the folder as empty, and after which
pause: while the system removes a folder, it is there for some calls and gone for others."""

# A file without a name until it is whole: what a killed process was writing leaves nothing. Linux only.
_UNNAMED: int | None = getattr(os, "O_TMPFILE", None)

_Given = TypeVar("_Given")


def folder_of(url: str) -> str:
    """The folder path of a `file:` URL or a plain path, absolute. Raises BucketError for another host's."""
    if not url.startswith("file:"):
        return os.path.abspath(os.path.expanduser(url))
    path = url.removeprefix("file:")
    if path.startswith("//"):
        host, slash, rest = path[2:].partition("/")
        if host not in ("", "localhost"):
            raise BucketError(
                f"'{url}' names the host '{host}'; a local folder has three slashes: file:///path"
            )
        path = slash + rest
    return os.path.abspath(unquote(path))


def check_file_key(key: str) -> None:
    """Raises BucketError unless a file can have the key: where it would lead elsewhere, or to another key's file."""
    keys.check_key(key)
    _check_path(key, key)


class FileBucket:
    """A `ports.Bucket` over a folder, which is made by the first write."""

    def __init__(self, root: str) -> None:
        self._root = os.path.realpath(root)
        self._url = f"file://{quote(self._root)}"

    @property
    def url(self) -> str:
        return self._url

    # ---- reading ----

    def list_folder(self, folder: str, start: str = "") -> Iterator[ObjectFacts | str]:
        _check_folder(folder)
        with self._answering(folder):
            keys = sorted(self._keys_in(folder, start))
        return self._listed(keys)

    def _keys_in(self, folder: str, start: str) -> Iterator[str]:
        path = self._path(folder)
        if not self._is_inside(path):
            return
        try:
            entries = os.scandir(path)
        except (FileNotFoundError, NotADirectoryError):
            return
        with entries:
            for entry in entries:
                if (
                    entry.name.startswith(start)
                    and not entry.name.startswith(_WRITING)
                    and _is_text(entry.name)
                ):
                    yield f"{folder}{entry.name}{'/' if _is_folder(entry) else ''}"

    def _listed(self, keys: list[str]) -> Iterator[ObjectFacts | str]:
        for key in keys:
            with self._answering(key):
                found = self._found(key)
            if found is not None:
                yield found

    def _found(self, key: str) -> ObjectFacts | str | None:
        path = self._path(key)
        if os.path.islink(path.removesuffix("/")) and not self._is_inside(path):
            return None
        return key if key.endswith("/") else self._facts(key, path)

    def facts(self, key: str) -> ObjectFacts | None:
        check_file_key(key)
        with self._answering(key):
            path = self._path(key)
            return self._facts(key, path) if self._is_inside(path) else None

    def _facts(self, key: str, path: str) -> ObjectFacts | None:
        try:
            found = os.stat(path)
        except OSError as error:
            if error.errno in _NO_SUCH:
                return None
            raise
        return _facts_of(key, found) if stat.S_ISREG(found.st_mode) else None

    def read(self, key: str, size_max: int) -> bytes:
        check_file_key(key)
        with self._answering(key), self._opened(key) as file:
            size = os.fstat(file).st_size
            content = _read(file, size_max + 1) if size <= size_max else b""
        if size > size_max or len(content) > size_max:
            raise BucketError(f"'{key}' has {size} bytes; {size_max} is the most that is read here")
        return content

    def read_pieces(self, key: str) -> Iterator[bytes]:
        check_file_key(key)
        with self._answering(key), self._opened(key) as file:
            while piece := os.read(file, _PIECE_SIZE):
                yield piece

    @contextmanager
    def _opened(self, key: str) -> Iterator[int]:
        path = self._path(key)
        if not self._is_inside(path):
            raise self._not_there(key)
        # Without NONBLOCK, opening a pipe somebody has put there would wait for its other end.
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in _NO_SUCH:
                raise self._not_there(key) from error
            raise
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise self._not_there(key)
            yield file
        finally:
            os.close(file)

    # ---- writing ----

    def write(self, key: str, content: bytes) -> ObjectFacts:
        return self.write_pieces(key, (content,))

    def copy(self, key: str, target: str) -> ObjectFacts:
        return self.write_pieces(target, self.read_pieces(key))

    def write_pieces(self, key: str, pieces: Iterable[bytes]) -> ObjectFacts:
        check_file_key(key)
        if any(segment.startswith(_WRITING) for segment in key.split("/")):
            raise BucketError(f"'{key}' begins like a file that is being written; take another name")
        path, name = os.path.split(self._path(key))
        with self._answering(key):
            # The pieces come once. So a folder that is gone when they have come is made anew, and nothing else.
            file, writing = self._in_folder(path, _new_file)
            try:
                _fill(file, pieces)
                known = _as_it_is_there(os.path.join(path, name), file)
                if known is not None:
                    self._take_back(path, writing)
                    return _facts_of(key, known)
                self._in_folder(path, partial(_give_name, file, writing, name))
                return _facts_of(key, os.fstat(file))
            except BaseException:
                self._take_back(path, writing)
                raise
            finally:
                os.close(file)

    def _in_folder(self, path: str, act: Callable[[int], _Given]) -> _Given:
        """Act in the folder, which is made if it isn't there, as often as a delete beside has just removed it."""
        for tries_left in reversed(range(_TRIES_MAX)):
            try:
                self._make_folder(path)
                with _opened_folder(path) as folder:
                    return act(folder)
            except FileNotFoundError:
                if not tries_left:
                    raise
                time.sleep(_PAUSE_SECONDS)
        raise AssertionError("the last try returns or raises")

    def _take_back(self, path: str, writing: str) -> None:
        """Leave nothing of a file that has not got its name, and no folder that was made for it."""
        if writing:
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(path, writing))
        self._without_empty_folders(path)

    def _make_folder(self, path: str) -> None:
        if os.path.isdir(path):
            if not self._is_inside(path):
                raise BucketError(f"'{path}' leads out of the bucket")
            return
        parent = os.path.dirname(path)
        if path != self._root:
            self._make_folder(parent)
        else:
            os.makedirs(parent, exist_ok=True)
        with suppress(FileExistsError):
            os.mkdir(path)
        _sync_folder(parent)

    def delete(self, key: str) -> bool:
        check_file_key(key)
        with self._answering(key):
            path = self._path(key)
            if self._facts(key, path) is None or not self._is_inside(os.path.dirname(path)):
                return False
            try:
                os.unlink(path)
            except FileNotFoundError:
                return False
            self._sync_nearest(self._without_empty_folders(os.path.dirname(path)))
            return True

    def _without_empty_folders(self, path: str) -> str:
        """Remove the folder and those above that are empty; the first that stays."""
        while path != self._root:
            try:
                os.rmdir(path)
            except FileNotFoundError:
                pass  # somebody else has removed it
            except OSError:
                return path  # it isn't empty, or may not be removed: then it stays
            path = os.path.dirname(path)
        return path

    def _sync_nearest(self, path: str) -> None:
        """Make a removal durable, in the folder or, if somebody else has removed that, in one above."""
        while True:
            try:
                return _sync_folder(path)
            except FileNotFoundError:
                path = os.path.dirname(path)

    # ---- paths ----

    def _path(self, key: str) -> str:
        return os.path.join(self._root, key)

    def _is_inside(self, path: str) -> bool:
        real = os.path.realpath(path)
        return real == self._root or real.startswith(self._root.rstrip("/") + "/")

    def _not_there(self, key: str) -> FileNotFoundError:
        return FileNotFoundError(f"{self._url}: there is no '{key}'")

    @contextmanager
    def _answering(self, key: str) -> Iterator[None]:
        """The system's errors as the bucket's. A missing object is none of them."""
        try:
            yield
        except FileNotFoundError as error:
            if error.errno is None:
                raise
            raise BucketError(f"{self._url}: '{key}': {error.strerror}") from error
        except OSError as error:
            raise BucketError(f"{self._url}: '{key}': {error.strerror or error}") from error


_NOT_A_SEGMENT = ("", ".", "..")


def _check_folder(folder: str) -> None:
    keys.check_folder(folder)
    if folder:
        _check_path(folder, folder[:-1])


def _check_path(shown: str, path: str) -> None:
    if any(segment in _NOT_A_SEGMENT for segment in path.split("/")):
        raise BucketError(
            f"'{shown}' can't be in a folder, which this bucket is: there a key may not begin with '/', nor have "
            "'.', '..' or nothing between two '/'"
        )


_NO_SUCH = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO)


def _facts_of(key: str, found: os.stat_result) -> ObjectFacts:
    # The inode tells two files of one size written within one tick of the file system's clock.
    etag = f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"
    return ObjectFacts(key, found.st_size, etag, found.st_mtime_ns // 1_000_000)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno in _NO_SUCH:
            return False  # a link that leads round and round
        raise


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read(file: int, size: int) -> bytes:
    pieces = []
    while size > 0 and (piece := os.read(file, min(size, _PIECE_SIZE))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _write(file: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def _fill(file: int, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        _write(file, piece)
    os.fsync(file)


def _as_it_is_there(path: str, file: int) -> os.stat_result | None:
    """The file of that path if it has the very bytes of the open one; it is durable then. None if it hasn't.

    Work is done at least once, and what is done again should leave the file as it is, etag and all, as an object
    store does whose etags are digests: somebody may be about to read what he has found.
    """
    try:
        there = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found, written = os.fstat(there), os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_size != written.st_size or not _is_same(there, file):
            return None
        os.fsync(there)
        with suppress(FileNotFoundError):
            _sync_folder(os.path.dirname(path))
        return found
    finally:
        os.close(there)


def _is_same(one: int, other: int) -> bool:
    """Whether two open files of one size have the same bytes."""
    position = 0
    while piece := os.pread(one, _PIECE_SIZE, position):
        if piece != os.pread(other, _PIECE_SIZE, position):
            return False
        position += len(piece)
    return True


def _new_file(folder: int) -> tuple[int, str]:
    """A new open file, and the name it has until it is whole: none where the file system knows such files."""
    if _UNNAMED is not None and os.path.isdir("/proc/self/fd"):
        try:
            return os.open(f"/proc/self/fd/{folder}", os.O_RDWR | os.O_CLOEXEC | _UNNAMED, 0o666), ""
        except OSError as error:
            # Not every file system has them; and EPERM may mean that the folder was removed just now, which
            # the other way then says.
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.EPERM):
                raise
    writing = _writing_name()
    return os.open(writing, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=folder), writing


def _writing_name() -> str:
    return f"{_WRITING}{os.urandom(8).hex()}"


def _give_name(file: int, writing: str, name: str, folder: int) -> None:
    """Have the name stand for the whole file, durably: never for a part of it."""
    if writing or not _is_linked(file, name, folder):
        _replace(file, writing, name, folder)
    os.fsync(folder)


def _is_linked(file: int, name: str, folder: int) -> bool:
    try:
        _link(file, name, folder)
    except FileExistsError:
        return False  # what is there can't be replaced by a link, only by a name
    return True


def _replace(file: int, writing: str, name: str, folder: int) -> None:
    if not writing:
        writing = _writing_name()
        _link(file, writing, folder)
    try:
        os.replace(writing, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(writing, dir_fd=folder)
        raise


def _link(file: int, name: str, folder: int) -> None:
    # The folder is given for the source too, though its path is absolute: without one Python leaves out the
    # flag that follows the link in /proc.
    os.link(f"/proc/self/fd/{file}", name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)


def _sync_folder(path: str) -> None:
    with _opened_folder(path) as folder:
        os.fsync(folder)


@contextmanager
def _opened_folder(path: str) -> Iterator[int]:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield folder
    finally:
        os.close(folder)
