"""What changes in folders, as the system tells it: a stage that waits for a file need not wait for its next look.

This is help, and no more. The system may tell late, or nothing at all (network file systems, too many watches), and
tells in vain; looks at regular times find all that there is. Linux only; elsewhere nothing is told.
"""

from __future__ import annotations

import os
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

Told = Callable[[], None]


@dataclass(slots=True)
class _Watched:
    """An existing folder, and the listings that are followed by it: of itself, or of folders below it that are not
    there yet."""

    watch: Watch
    listings: dict[ListingName, Told] = field(default_factory=dict)


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
        if not listing.bucket_url.startswith("file:") or listing in self._folders:
            return
        folder = self._watch(listing, told)
        is_its_own = folder == os.path.normpath(_path_of(listing))
        if is_its_own and _changed_at(folder) >= since - MARGIN_MILLISECONDS:
            told()

    def leave(self, listing: ListingName) -> None:
        """See `ports.BucketEvents`."""
        folder = self._folders.pop(listing, None)
        if folder is not None:
            watched = self._watched[folder]
            del watched.listings[listing]
            if not watched.listings:
                del self._watched[folder]
                with suppress(OSError):  # the folder may be gone, and its watch with it
                    self._inotify.rm_watch(watched.watch)

    def _watch(self, listing: ListingName, told: Told) -> str:
        """Watch the listing's folder, or the nearest above it that there is; which one that is. Empty if none can be
        watched."""
        folder = _nearest(_path_of(listing), folder_of(listing.bucket_url))
        if folder and folder not in self._watched:
            try:
                self._watched[folder] = _Watched(self._inotify.add_watch(folder, _MASK))
            except OSError:
                return ""  # no more watches, or no right to: the regular looks are left
        if folder:
            self._watched[folder].listings[listing] = told
            self._folders[listing] = folder
        return folder

    # ---- telling ----

    def read(self) -> None:
        """Tell what has come in. Never blocks."""
        news: dict[str, bool] = {}
        for event in self._inotify:
            if event.mask & Mask.Q_OVERFLOW:  # too much came at once, and some of it is lost
                news |= {folder: news.get(folder, False) for folder in self._watched}
                continue
            folder = "" if event.watch is None else str(event.watch.path)
            watched = self._watched.get(folder)
            if watched is not None and watched.watch is event.watch and _is_news(event, folder):
                news[folder] = news.get(folder, False) or _is_end(event)
        for folder, is_gone in news.items():
            self._tell(folder, is_gone=is_gone)

    def _tell(self, folder: str, *, is_gone: bool) -> None:
        watched = self._watched.get(folder)
        if watched is None:
            return
        for listing, told in list(watched.listings.items()):
            wanted = _path_of(listing)
            if is_gone or _nearest(wanted, folder_of(listing.bucket_url)) != folder:
                # A folder on the way has come to be, or is gone.
                self.leave(listing)
                self._watch(listing, told)
                told()
            elif os.path.normpath(wanted) == folder:
                told()


def _path_of(listing: ListingName) -> str:
    return os.path.join(folder_of(listing.bucket_url), listing.folder)


def _is_news(event: Event, folder: str) -> bool:
    if not event.mask & Mask.CREATE or event.mask & Mask.ISDIR:
        return True
    try:  # a file that was linked is whole; one that was created is written now, and its end will be told
        return os.lstat(os.path.join(folder, str(event.name))).st_nlink > 1
    except OSError:
        return False


def _is_end(event: Event) -> bool:
    return bool(event.mask & (Mask.DELETE_SELF | Mask.MOVE_SELF | Mask.IGNORED))


def _nearest(folder: str, root: str) -> str:
    """The folder, or the nearest above it that there is, not beyond the one in which the root is."""
    folder = os.path.normpath(folder)
    outermost = os.path.dirname(os.path.normpath(root))
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
