"""The events of folders on an event loop: opened when the first listing of a folder is followed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from clew.ports import ListingName

if TYPE_CHECKING:
    from clew.buckets.events import FolderEvents


class LoopEvents:
    """`ports.BucketEvents` of `file:` buckets. Where the system has none to give, nothing is told."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._opened: FolderEvents | None = None
        self._is_available = sys.platform == "linux"

    def follow(self, listing: ListingName, since: int, told: Callable[[], None]) -> None:
        """See `ports.BucketEvents`."""
        if self._is_available and listing.bucket_url.startswith("file:") and (opened := self._open()):
            opened.follow(listing, since, told)

    def leave(self, listing: ListingName) -> None:
        """See `ports.BucketEvents`."""
        if self._opened is not None:
            self._opened.leave(listing)

    def close(self) -> None:
        """Nothing is told any more."""
        if self._opened is not None:
            self._loop.remove_reader(self._opened.fileno())
            self._opened.close()
            self._opened, self._is_available = None, False

    def _open(self) -> FolderEvents | None:
        if self._opened is None:
            from clew.buckets.events import FolderEvents

            try:
                self._opened = FolderEvents()
            except OSError:  # the user has as many instances as the system allows
                self._is_available = False
                return None
            self._loop.add_reader(self._opened.fileno(), self._opened.read)
        return self._opened
