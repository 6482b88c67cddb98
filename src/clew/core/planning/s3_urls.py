"""URLs of buckets in S3: `s3://bucket/prefix/?endpoint=…&region=…&profile=…`, and what is in one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from clew.core.program.problems import nearest

SCHEME = "s3://"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", re.ASCII)
"""Of a bucket: as wide as any store takes them, without what would end it in a URL."""

_OPTIONS = ("endpoint", "region", "profile")


class S3Options(NamedTuple):
    """How the store is reached. What is empty is as the AWS settings of the machine have it."""

    endpoint: str = ""
    region: str = ""
    profile: str = ""


class S3Place(NamedTuple):
    """A bucket, or of a bucket all that has keys beginning with `prefix`, which is empty or ends in `/`."""

    bucket: str
    prefix: str
    options: S3Options | None = None
    """None where the URL has none, so that those of the settings may hold."""

    @property
    def url(self) -> str:
        """Without the options, so that a key behind it makes the URL of an object."""
        return f"{SCHEME}{self.bucket}/{self.prefix}".removesuffix("/")


def place_of(url: str) -> S3Place:
    """What the URL of a bucket says. Raises ValueError; its message never shows what may be a password."""
    path, mark, query = url.removeprefix(SCHEME).partition("?")
    bucket, _, prefix = path.partition("/")
    if "@" in bucket:
        raise ValueError(f"{SCHEME}…@{bucket.rpartition('@')[2]}: {_NO_CREDENTIALS}")
    if not _NAME.fullmatch(bucket):
        raise ValueError(f"'{url}' names no bucket; write s3://bucket or s3://bucket/folder/")
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    place = S3Place(bucket, prefix)
    return place._replace(options=_options(place.url, query)) if mark else place


def with_options(place: S3Place, urls: Iterable[str]) -> S3Place:
    """The place, reached as the settings' URL for that bucket says, if it says itself nothing of that.

    Raises ValueError when two of them say different things.
    """
    if place.options is not None:
        return place
    others = (place_of(url) for url in urls if url.startswith(f"{SCHEME}{place.bucket}"))
    said = {other.options or S3Options() for other in others if other.bucket == place.bucket}
    if len(said) > 1:
        raise ValueError(
            f"{place.url}: the settings have several buckets of that name, in different stores; use the name "
            "that the settings have for the one you mean"
        )
    return place._replace(options=said.pop() if said else S3Options())


_NO_CREDENTIALS = (
    "a URL has no place for credentials, since it is shown and kept; they come as for every AWS client: from "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws, or the machine's role"
)


def _options(shown: str, query: str) -> S3Options:
    from urllib.parse import parse_qsl  # most programs have no such bucket

    said: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            hint = nearest(name, _OPTIONS) or f"there are {', '.join(_OPTIONS)}"
            is_secret = any(word in name.lower() for word in ("key", "secret", "token", "password"))
            raise ValueError(f"{shown}: no option '{name}'; {_NO_CREDENTIALS if is_secret else hint}")
        if name in said or not value:
            raise ValueError(f"{shown}: the option '{name}' is given {'twice' if value else 'no value'}")
        said[name] = value
    if "endpoint" in said:
        _check_endpoint(shown, said["endpoint"])
    return S3Options(**said)


def _check_endpoint(shown: str, endpoint: str) -> None:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(endpoint)
        has_host = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, has_host = None, False
    if parts is not None and "@" in parts.netloc:
        raise ValueError(f"{shown}: the endpoint: {_NO_CREDENTIALS}")
    if not has_host:
        raise ValueError(
            f"{shown}: the endpoint '{endpoint}' is no address of a store; write "
            "?endpoint=http://127.0.0.1:8333, or https://…"
        )
