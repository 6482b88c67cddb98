"""How near a search came that found nothing: what people are told, and what is listed for that when they ask."""

from __future__ import annotations

from collections.abc import Generator

from clew.core.planning.listings import List, Page
from clew.core.planning.patterns import Segment


class NearMiss:
    """The deepest listing of a search that had nothing fitting: where, what was looked for, how much was there."""

    def __init__(self, bucket: str, *, wants_folder: bool) -> None:
        self._bucket = bucket
        self._wants_folder = wants_folder
        self._folder = ""
        self._segment: Segment | None = None
        self._seen = 0
        self._wrong_kind = 0

    def note(self, folder: str, segment: Segment, seen: int, wrong_kind: int) -> None:
        """In that folder nothing fits the segment, of `seen` entries; `wrong_kind` of them but for being a folder
        where an object is wanted, or the other way round."""
        if self._segment is None or (folder.count("/"), seen) > (self._folder.count("/"), self._seen):
            self._folder, self._segment, self._seen, self._wrong_kind = folder, segment, seen, wrong_kind

    def seen_so_far(self) -> str:
        """How near the search came, as far as its own listings show."""
        segment, where = self._noted(), _shown(self._folder)
        if self._wrong_kind:
            return self._of_the_wrong_kind(segment)
        if not segment.start:
            is_empty = f"there is nothing in {where}"
            return _none_of(str(self._seen), self._folder, segment) if self._seen else is_empty
        if segment.regex is None or not self._seen:
            return f"in {where} no name matches `{segment.text}`"
        return f"in {where} 0 of {self._seen} names that begin with `{segment.start}` match `{segment.text}`"

    def probed(self) -> Generator[List, Page, str]:
        """How near the search came, looking up from where it ended to the first folder that exists."""
        segment = self._noted()
        if self._wrong_kind:
            return self._of_the_wrong_kind(segment)
        if self._seen and not segment.start:
            return _none_of(str(self._seen), self._folder, segment)
        existing = yield from self._deepest_existing()
        if existing is None:
            return "the bucket is empty"
        folder, page = existing
        if folder != self._folder:
            name = self._folder[len(folder) :].partition("/")[0]
            segment = Segment(name, name)
        count = f"{len(page.entries)}{' or more' if page.has_more else ''}"
        return _none_of(count, folder, segment)

    def _deepest_existing(self) -> Generator[List, Page, tuple[str, Page] | None]:
        """The folder, or the deepest above it in which anything lies, and the first page of that. Most often it is
        the folder itself; else they are halved, so that a long path costs few listings."""
        parts = self._folder.split("/")[:-1]
        folders = ["".join(f"{part}/" for part in parts[:depth]) for depth in range(len(parts) + 1)]
        found, low, high = None, 0, len(folders)
        middle = high - 1
        while low < high:
            page = yield List(self._bucket, folders[middle])
            if page.entries:
                found, low = (folders[middle], page), middle + 1
            else:
                high = middle
            middle = (low + high) // 2
        return found

    def _noted(self) -> Segment:
        assert self._segment is not None, "a search that found nothing has listed something"
        return self._segment

    def _of_the_wrong_kind(self, segment: Segment) -> str:
        kind = "not a folder" if self._wants_folder else "a folder; end the match with '/' to want one"
        return f"in {_shown(self._folder)} `{segment.text}` matches, but it is {kind}"


def _none_of(count: str, folder: str, segment: Segment) -> str:
    return f"{_shown(folder)} exists; 0 of {count} names match `{segment.text}`"


def _shown(folder: str) -> str:
    return f"`{folder.removesuffix('/')}`" if folder else "the bucket"
