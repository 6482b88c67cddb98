"""Locations: how a program names an object, and how one is written as a URL.

A location is `bucket/key`, a URL, or the value that a dependency located.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from clew.core.program.model import Json

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.ASCII)


def is_url(text: str) -> bool:
    """Whether a bucket's name or a location is a URL."""
    return _SCHEME.match(text) is not None


def split_location(location: Json) -> tuple[str, str]:
    """The bucket (a name or a URL) and the key of a location. Raises ValueError, saying what would be right.

    In a `file:` URL of an object its folder counts as the bucket; elsewhere the bucket is what stands where a
    host does.
    """
    if isinstance(location, dict):
        bucket, key = location.get("bucket"), location.get("key")
        if isinstance(bucket, str) and isinstance(key, str):
            return bucket, key
    if not isinstance(location, str):
        raise ValueError(f"a location is a text `bucket/key` or a URL, not {type(location).__name__}")
    if location.startswith("/"):
        raise ValueError(f"'{location}' names no bucket; write `bucket/key`, or `file://{location}`")
    bucket, key = _split_url(location) if is_url(location) else _split_at(location, "/")
    if not bucket or not key:
        raise ValueError(f"'{location}' is no location; write `bucket/key` or a URL")
    return bucket, key


def _split_url(url: str) -> tuple[str, str]:
    if url.startswith("file:"):
        from urllib.parse import unquote

        folder, slash, name = url.rpartition("/")
        return (folder if folder.strip("/") != "file:" else f"{folder}/"), unquote(name) if slash else ""
    scheme, _, rest = url.partition(":")
    slashes = "//" if rest.startswith("//") else ""
    bucket, key = _split_at(rest.removeprefix(slashes), "/")
    return f"{scheme}:{slashes}{bucket}" if bucket or scheme == "memory" else "", key


def _split_at(text: str, mark: str) -> tuple[str, str]:
    before, _, after = text.partition(mark)
    return before, after


def located_value(
    bucket: str, bucket_url: str, key: str, *, size: int | None, etag: str | None, modified_at: int | None
) -> dict[str, Json]:
    """What a variable holds of an object, or of a folder, which has neither size, etag nor time.

    `bucket` is the name as the program states it, `modified_at` in milliseconds since 1970.
    """
    return {
        "url": location_url(bucket_url, key),
        "bucket": bucket,
        "key": key,
        "name": key.removesuffix("/").rpartition("/")[2],
        "size": size,
        "etag": etag,
        "modified": None if modified_at is None else _iso(modified_at),
    }


def _iso(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def location_url(bucket_url: str, key: str) -> str:
    """The URL of an object: in a `file:` URL its characters are quoted, elsewhere a key stands as it is."""
    base = bucket_url if bucket_url.endswith("/") else f"{bucket_url}/"
    if not base.startswith("file:"):
        return base + key
    from urllib.parse import quote

    return base + quote(key)
