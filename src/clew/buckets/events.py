"""What changes in folders, as the system tells it: a stage that waits for a file need not wait for its next look.

This is help, and no more. The system may tell late, or nothing at all (network file systems, too many watches), and
tells in vain; looks at regular times find all that there is. Linux only; elsewhere nothing is told.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from asyncinotify import Event, Inotify, Mask, Watch

from clew.buckets.file import folder_of
from clew.ports import ListingName

_MASK = Mask.CLOSE_WRITE | Mask.MOVED_TO | Mask.CREATE | Mask.DELETE_SELF | Mask.MOVE_SELF | Mask.ONLYDIR
"""A file is news when it has been written to its end, was moved here or linked, not when it is begun."""

MARGIN_MILLISECONDS = 100
"""A folder's time of modification may lag so far behind the clock: that of the file system ticks slowly."""

BEGUN_MAX = 1_000
"""Files of a folder that are remembered as begun; beyond that any of them may be the one that is whole now."""

WATCH_TRIES_MAX = 10
"""How often a folder is looked for that comes and goes while it is looked for."""

Told = Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Followed:
    """A listing that is followed: whom to tell, the folder's path and that of its bucket."""

    told: Told
    path: str
    root: str


@dataclass(slots=True)
class _Watched:
    """An existing folder, and the listings that are followed by it: of itself, or of folders below it that are not
    there yet. `begun`: the names of files that have come to be, and may still be being written."""

    watch: Watch
    listings: dict[ListingName, _Followed] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _News:
    """Which names in a folder are news; all of them, where nobody knows which; or that the folder is gone."""

    names: set[str] = field(default_factory=set)
    is_all: bool = False
    is_gone: bool = False

    def note(self, event: Event, folder: str, begun: set[str]) -> None:
        name = "" if event.name is None else str(event.name)
        if event.mask & (Mask.DELETE_SELF | Mask.MOVE_SELF | Mask.IGNORED):
            self.is_gone = True
        elif event.mask & Mask.CREATE and not event.mask & Mask.ISDIR and not _is_whole(folder, name):
            begun.add(name)
        elif _WITHOUT_A_NAME.fullmatch(name):
            # It was linked here before, as one of those that seemed to be begun.
            self.is_all |= not begun or len(begun) > BEGUN_MAX
            self.names |= begun
            begun.clear()
        else:
            begun.discard(name)
            self.names.add(name)

    def is_of(self, start: str) -> bool:
        """Whether something is news that begins so."""
        return self.is_all or any(name.startswith(start) for name in self.names)


_WITHOUT_A_NAME = re.compile(r"#\d+")
"""How the system calls a file that had no name while it was written."""


class FolderEvents:
    """See `ports.BucketEvents`: tells of the listings of `file:` buckets. `fileno` is readable when `read` has
    something to tell."""

    def __init__(self) -> None:
        self._inotify = Inotify(sync_timeout=0)
        self._watched: dict[str, _Watched] = {}
        self._folders: dict[ListingName, str] = {}
        """The watched folder of each listing."""

    def fileno(self) -> int:
        return self._inotify.fd

    def close(self) -> None:
        self._inotify.close()

    # ---- following ----

    def follow(self, listing: ListingName, since: int, told: Told) -> None:
        """See `ports.BucketEvents`."""
        if not listing.bucket_url.startswith("file:"):
            return
        root = folder_of(listing.bucket_url)
        followed = _Followed(
            told, os.path.normpath(os.path.join(root, listing.folder)), os.path.normpath(root)
        )
        folder = self._folders.get(listing) or self._watch(listing, followed)
        if folder == followed.path and _changed_at(folder) >= since - MARGIN_MILLISECONDS:
            told()

    def leave(self, listing: ListingName) -> None:
        """See `ports.BucketEvents`."""
        folder = self._folders.pop(listing, None)
        if folder is not None:
            del self._watched[folder].listings[listing]
            self._let_go(folder)

    def _watch(self, listing: ListingName, followed: _Followed) -> str:
        """Watch the listing's folder, or the nearest above it that there is; which one that is. Empty if none can be
        watched."""
        for _ in range(WATCH_TRIES_MAX):
            folder = _nearest(followed)
            if not folder:
                return ""
            if folder not in self._watched:
                try:
                    self._watched[folder] = _Watched(self._inotify.add_watch(folder, _MASK))
                except FileNotFoundError:
                    continue  # it has just gone
                except OSError:
                    return ""  # no more watches, or no right to: the regular looks are left
            # What had come to be on the way before it was watched would never be told.
            if _nearest(followed) == folder:
                self._watched[folder].listings[listing] = followed
                self._folders[listing] = folder
                return folder
            self._let_go(folder)
        return ""

    def _let_go(self, folder: str) -> None:
        """Watch the folder no longer if nothing is followed by it."""
        watched = self._watched[folder]
        if not watched.listings:
            del self._watched[folder]
            with suppress(OSError):  # the folder may be gone, and its watch with it
                self._inotify.rm_watch(watched.watch)

    # ---- telling ----

    def read(self) -> None:
        """Tell what has come in. Never blocks."""
        news: dict[str, _News] = {}
        for event in self._inotify:
            if event.mask & Mask.Q_OVERFLOW:  # too much came at once, and some of it is lost
                for folder in self._watched:
                    news.setdefault(folder, _News()).is_all = True
                continue
            folder = "" if event.watch is None else str(event.watch.path)
            watched = self._watched.get(folder)
            if watched is not None and watched.watch is event.watch:
                news.setdefault(folder, _News()).note(event, folder, watched.begun)
        for folder, each in news.items():
            self._tell(folder, each)

    def _tell(self, folder: str, news: _News) -> None:
        watched = self._watched.get(folder)
        if watched is None:
            return
        for listing, followed in list(watched.listings.items()):
            is_its_own = followed.path == folder
            if not news.is_gone and not news.is_of(listing.start if is_its_own else _next(followed, folder)):
                continue
            if news.is_gone or _nearest(followed) != folder:
                # A folder on the way has come to be, or is gone.
                self.leave(listing)
                self._watch(listing, followed)
                followed.told()
            elif is_its_own:
                followed.told()


def _is_whole(folder: str, name: str) -> bool:
    """Whether what came to be is there as it stays: a file that was linked is, and so is a link; one that was created
    is written now, and its end will be told."""
    try:
        found = os.lstat(os.path.join(folder, name))
    except OSError:
        return False
    return found.st_nlink > 1 or stat.S_ISLNK(found.st_mode)


def _next(followed: _Followed, folder: str) -> str:
    """The name in the folder that leads on to what is followed."""
    return os.path.relpath(followed.path, folder).partition("/")[0]


def _nearest(followed: _Followed) -> str:
    """The folder, or the nearest above it that there is, not beyond the one in which the root is; empty if there is
    none."""
    folder = followed.path
    outermost = os.path.dirname(followed.root)
    while not os.path.isdir(folder):
        if folder == outermost or len(folder) <= 1:
            return ""
        folder = os.path.dirname(folder)
    return folder


def _changed_at(folder: str) -> int:
    """When the folder was last changed, in milliseconds since 1970; 0 if nobody can tell."""
    try:
        return os.stat(folder).st_mtime_ns // 1_000_000
    except OSError:
        return 0
