"""Code from a folder of a bucket: all of it as it was at one moment, or not at all.

A store gives objects one by one, so that somebody may replace some of them meanwhile. What was listed before has to
be what is listed after; else it is fetched anew.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from typing import Protocol

from clew.ports import ObjectFacts
from clew.sources.cache import SourceCache
from clew.sources.trees import FILES_MAX, SIZE_MAX, Fetched, SourceError, TreeWriter, check_path

TRIES_MAX = 3
"""How often a folder is fetched that changes meanwhile, before it is left alone for a while."""
FOLDERS_MAX = 2_000
"""Each costs a request of its own."""


class ReadBucket(Protocol):
    """As much of a `ports.Bucket` as fetching takes."""

    @property
    def url(self) -> str: ...

    def list_folder(self, folder: str, start: str = "") -> Iterator[ObjectFacts | str]: ...

    def read_pieces(self, key: str) -> Iterator[bytes]: ...


class _Changed(Exception):
    """An object is not what was listed."""


def fetch_folder(bucket: ReadBucket, folder: str, target: str, cache: SourceCache) -> Fetched:
    """Write what lies in the folder of that key ("" for all of the bucket) into one that is made for it. Raises
    SourceError, BucketError."""
    for _ in range(TRIES_MAX):
        listed = _list(bucket, folder)
        key = _key_of(bucket, folder, listed)
        known = cache.take(key, target) if key else None
        if known is not None:
            return known
        try:
            fetched = _fetch(bucket, folder, listed, target)
            if _same(listed, _list(bucket, folder)):
                if key:
                    cache.keep(key, target, fetched)
                return fetched
        except _Changed:
            pass
        shutil.rmtree(target)
    where = _said(bucket, folder)
    raise SourceError("trouble", f"{where} was changed while it was fetched, {TRIES_MAX} times in a row")


def listed_as(bucket: ReadBucket, folder: str) -> str:
    """Another text when something in the folder has changed; empty where the bucket does not tell. Raises SourceError,
    BucketError."""
    return _key_of(bucket, folder, _list(bucket, folder))


def _fetch(bucket: ReadBucket, folder: str, listed: Sequence[ObjectFacts], target: str) -> Fetched:
    writer = TreeWriter(target)
    for one in listed:
        writer.add(one.key[len(folder) :], _pieces(bucket, one))
    return writer.finish()


def _pieces(bucket: ReadBucket, listed: ObjectFacts) -> Iterator[bytes]:
    size = 0
    try:
        for piece in bucket.read_pieces(listed.key):
            size += len(piece)
            if size > listed.size:
                raise _Changed
            yield piece
    except FileNotFoundError:
        raise _Changed from None
    if size != listed.size:
        raise _Changed


def _list(bucket: ReadBucket, folder: str) -> list[ObjectFacts]:
    """The objects in the folder and in those in it. Raises SourceError when there are none, or too many."""
    found: list[ObjectFacts] = []
    folders, size, count = [folder], 0, 1
    while folders:
        for one in bucket.list_folder(folders.pop()):
            if isinstance(one, str):
                check_path(one[len(folder) :].removesuffix("/"))
                folders.append(one)
                count += 1
            elif not (one.key.endswith("/") or one.key == folder) or one.size:
                check_path(one.key[len(folder) :])
                found.append(one)
                size += one.size
            # Else it is an empty object that stands for a folder, as some tools make them.
            if len(found) > FILES_MAX or count > FOLDERS_MAX or size > SIZE_MAX:
                limits = f"at most {FILES_MAX} files, {FOLDERS_MAX} folders and {SIZE_MAX} bytes are fetched"
                raise SourceError("unfit", f"{_said(bucket, folder)} is too large: {limits}")
    if not found:
        raise SourceError("missing", f"there is nothing in {_said(bucket, folder)}")
    return sorted(found, key=lambda one: one.key)


def _same(one: Sequence[ObjectFacts], other: Sequence[ObjectFacts]) -> bool:
    return _told(one) == _told(other)


def _told(listed: Sequence[ObjectFacts]) -> list[tuple[str, int, str]]:
    return [(one.key, one.size, one.etag) for one in listed]


def _key_of(bucket: ReadBucket, folder: str, listed: Sequence[ObjectFacts]) -> str:
    """Under what it is kept; empty where the bucket does not tell one content of an object from the next."""
    if not all(one.etag for one in listed):
        return ""
    return json.dumps(["folder", bucket.url, folder, _told(listed)])


def _said(bucket: ReadBucket, folder: str) -> str:
    return f"the folder '{folder}' of {bucket.url}" if folder else f"the bucket {bucket.url}"
