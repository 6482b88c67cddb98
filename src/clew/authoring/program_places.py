"""Where an orchestrator reads programs from: files, folders with files, and references to programs in Python.

Linux tells what changes in folders; what it does not tell (network file systems, too many watches) is found by looking
again now and then.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress

from asyncinotify import Inotify, Mask, Watch
from msgspec import Struct

from clew.authoring.references import is_module_reference

SUFFIXES = (".yaml", ".yml", ".json", ".toml")
"""The files of a folder that are programs."""

FILE_COUNT_MAX = 10_000
"""Program files of one place: ten times what a large team has."""

DEPTH_MAX = 20
"""Folders within folders: deeper is a loop, or no folder of programs."""

_MASK = (
    Mask.CLOSE_WRITE | Mask.MOVED_TO | Mask.MOVED_FROM | Mask.CREATE | Mask.DELETE | Mask.DELETE_SELF
    | Mask.MOVE_SELF | Mask.ATTRIB | Mask.ONLYDIR
)  # fmt: skip


class Source(Struct, frozen=True):
    """A file, or a reference `module:name`, that one program is read from. `mark` is another when it has changed: empty
    for what can't be looked at. `copy`: the file that was fetched from there; empty for what is read where it is."""

    name: str
    mark: str
    copy: str = ""


class PlaceProblem(Exception):
    """A place from which programs should be read is not there, can't be read, or holds more than it may."""

    def __init__(self, place: str, what: str) -> None:
        super().__init__(f"{place}: {what}")
        self.place = place


def find_sources(places: Sequence[str]) -> tuple[list[Source], list[PlaceProblem]]:
    """What programs are read from now, in the order of the places, each once; with what is wrong with the places."""
    found: dict[str, Source] = {}
    problems: list[PlaceProblem] = []
    for place in places:
        try:
            for source in _sources_of(place):
                found.setdefault(source.name, source)
        except PlaceProblem as problem:
            problems.append(problem)
    return list(found.values()), problems


def find_fetched(folder: str, prefix: str, mark: str) -> list[Source]:
    """What programs are read from in a folder that was fetched. Their names begin with `prefix`; `mark` is that of the
    whole, since what lies beside a program is part of it. Raises PlaceProblem."""
    root = os.path.abspath(folder)
    files = sorted(os.path.relpath(file, root) for file in _files_in(root))
    return [Source(prefix + file, mark, os.path.join(root, file)) for file in files]


def _sources_of(place: str) -> Iterator[Source]:
    if is_module_reference(place) and not os.path.exists(place):
        yield Source(place, "")
    elif os.path.isdir(place):
        files = sorted(_files_in(place))
        if len(files) > FILE_COUNT_MAX:
            raise PlaceProblem(place, f"more than {FILE_COUNT_MAX} program files; name a folder with fewer")
        for file in files:
            yield Source(file, _mark_of(file))
    elif os.path.exists(place):
        yield Source(os.path.abspath(place), _mark_of(place))
    else:
        raise PlaceProblem(place, "there is no such file or folder")


def _files_in(folder: str) -> Iterator[str]:
    """The program files in the folder and those in it, without hidden ones. Raises PlaceProblem for a folder that can't
    be read: what it holds is not known, which is another thing than nothing."""
    root = os.path.abspath(folder)
    count = 0

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError) or error.filename == root:
            raise PlaceProblem(folder, f"{error.filename} can't be read: {error.strerror}")

    for at, folders, names in os.walk(root, onerror=refuse):
        folders[:] = (
            [] if _depth(root, at) >= DEPTH_MAX else [one for one in folders if not one.startswith(".")]
        )
        for name in names:
            if name.endswith(SUFFIXES) and not name.startswith("."):
                yield os.path.join(at, name)
                count += 1
                if count > FILE_COUNT_MAX:
                    return


def _depth(root: str, folder: str) -> int:
    return 0 if folder == root else os.path.relpath(folder, root).count(os.sep) + 1


def _mark_of(file: str) -> str:
    try:
        found = os.stat(file)
    except OSError:
        return ""
    return f"{found.st_ino}/{found.st_size}/{found.st_mtime_ns}"


class PlaceEvents:
    """What changes in the folders of the places. `fileno` is readable when `read` may have something to tell."""

    def __init__(self) -> None:
        """Raises OSError where the system gives no events."""
        self._inotify = Inotify(sync_timeout=0)
        self._watches: dict[str, Watch] = {}

    def fileno(self) -> int:
        """Of the file descriptor to be waited for."""
        return self._inotify.fd

    def close(self) -> None:
        """Nothing is told any more."""
        self._inotify.close()

    def watch(self, places: Sequence[str]) -> None:
        """Watch these places, and nothing else, as they are now. What can't be watched is left out."""
        wanted = set(_folders_of(places))
        for folder in self._watches.keys() - wanted:
            with suppress(OSError):  # the folder may be gone, and its watch with it
                self._inotify.rm_watch(self._watches[folder])
            del self._watches[folder]
        for folder in wanted - self._watches.keys():
            with suppress(OSError):
                self._watches[folder] = self._inotify.add_watch(folder, _MASK)

    def read(self) -> bool:
        """Take in what has come; whether something may have changed. Never blocks."""
        is_news = False
        for event in self._inotify:
            is_news = True
            if event.mask & (Mask.IGNORED | Mask.DELETE_SELF | Mask.MOVE_SELF) and event.watch is not None:
                self._forget(event.watch)
        return is_news

    def _forget(self, watch: Watch) -> None:
        """That folder is gone, or somewhere else: what comes to be in its place is another one."""
        path = str(watch.path)
        if self._watches.get(path) is watch:
            del self._watches[path]
            with suppress(OSError):  # one that is gone is watched no more
                self._inotify.rm_watch(watch)


def _folders_of(places: Sequence[str]) -> Iterator[str]:
    for place in places:
        if is_module_reference(place) and not os.path.exists(place):
            continue
        root = os.path.abspath(place)
        # The one above it tells when the place itself comes to be, or is replaced.
        if os.path.isdir(os.path.dirname(root)):
            yield os.path.dirname(root)
        if not os.path.isdir(root):
            continue
        for at, folders, _ in os.walk(root):
            folders[:] = (
                [] if _depth(root, at) >= DEPTH_MAX else [one for one in folders if not one.startswith(".")]
            )
            yield at
