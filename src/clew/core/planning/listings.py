"""Listings: what a search wants listed, what it is fed, and what of that is kept as evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256

from clew.core.program.model import Json

PAGE_TAG = b"clew/listing/v1\n"

LISTINGS_SHOWN = 100
"""Listings that the evidence of a dependency names one by one; of those after them it has the number."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What lies in a folder: an object, or, with a key that ends in `/`, a folder. `modified_at` in
    milliseconds since 1970."""

    key: str
    size: int | None = None
    etag: str | None = None
    modified_at: int | None = None

    @property
    def is_folder(self) -> bool:
        return self.key.endswith("/")


@dataclass(frozen=True, slots=True)
class List:
    """Wanted, by key: what lies directly in `folder` ("" or ending in `/`) and begins with `start`."""

    bucket: str
    folder: str
    start: str = ""


@dataclass(frozen=True)
class Page:
    """A page of a listing, as it is fed to each search that wants it; `bucket_url` is the URL of its bucket."""

    entries: Sequence[Entry]
    has_more: bool
    bucket_url: str

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 over the tag and the entries as they came: of each its key, a newline, size, etag and modified_at
        separated by newlines, and a NUL, which no key has."""
        lines = [f"{one.key}\n{one.size}\n{one.etag}\n{one.modified_at}\0" for one in self.entries]
        return sha256(PAGE_TAG + "".join(lines).encode("utf-8", "surrogatepass")).digest()


@dataclass(slots=True)
class Listed:
    """What came of one listing: how many entries it had, on how many pages, and a digest of them: the SHA-256 of the
    pages' digests. It may have been ended before its end, once what was looked for had been passed."""

    folder: str
    start: str
    count: int = 0
    pages: int = 0
    _digests: list[bytes] = field(default_factory=list)

    def take(self, page: Page) -> None:
        self.count += len(page.entries)
        self.pages += 1
        self._digests.append(page.digest)

    @property
    def digest(self) -> str:
        return sha256(b"".join(self._digests)).hexdigest()


@dataclass(frozen=True, slots=True)
class Evidence:
    """On what a dependency's match rests: what was listed, how many paths matched, the first keys of them, and why
    this one was chosen of them, or none."""

    bucket: str
    listings: tuple[Listed, ...]
    matched: int
    candidates: tuple[str, ...]
    why: str

    def document(self) -> dict[str, Json]:
        """As the journal's payload has it."""
        shown = self.listings[:LISTINGS_SHOWN]
        return {
            "bucket": self.bucket,
            "listings": [
                {"folder": one.folder, "start": one.start, "count": one.count, "digest": one.digest}
                for one in shown
            ],
            "more_listings": len(self.listings) - len(shown),
            "matched": self.matched,
            "candidates": list(self.candidates),
            "why": self.why,
        }
