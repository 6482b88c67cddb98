"""Locations: how a program names an object, and how one is written as a URL.

A location is `bucket/key`, a URL, or the value that a dependency located.
"""

from __future__ import annotations

import re

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


def location_url(bucket_url: str, key: str) -> str:
    """The URL of an object: in a `file:` URL its characters are quoted, elsewhere a key stands as it is."""
    base = bucket_url if bucket_url.endswith("/") else f"{bucket_url}/"
    if not base.startswith("file:"):
        return base + key
    from urllib.parse import quote

    return base + quote(key)
