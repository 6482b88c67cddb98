"""From what a stage says of its source to the code in a folder, and to why there is none."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

from clew.core.planning.locations import is_url
from clew.core.program.sources import LOCAL_REPOSITORIES, as_folder, split_folder
from clew.core.program.variables import TemplateError, render
from clew.ports import Bucket, BucketError, Json, SourceRequest
from clew.sources.cache import SourceCache
from clew.sources.commits import Commit, fetch_commit
from clew.sources.folders import fetch_folder
from clew.sources.trees import Fetched, SourceError

SOURCE_ERROR = "source"
"""The kind of the error of a stage whose code can't be had."""
CODE_CHANGED, CODE_GONE = "code_changed", "code_gone"
"""The kinds of the error where there is code no more, or other code, than the stage's first attempt was to run."""


class Places(NamedTuple):
    """`target` is made, and holds the code; `scratch` is made and removed. Relative paths begin in `base`.
    `is_confined`: no other machine is reached to fetch from."""

    target: str
    scratch: str
    base: str
    is_confined: bool = False


class NotFetched(Exception):
    """The code can't be had. `is_final`: trying again does not help; `kind` as above."""

    def __init__(self, kind: str, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.is_final = is_final


def fetch(
    source: SourceRequest,
    scope: Mapping[str, Json],
    open: Callable[[str], Bucket],
    places: Places,
    environment: Mapping[str, str],
) -> Fetched:
    """Have the code in its folder, whole, and as the first attempt had it. Raises NotFetched."""
    try:
        fetched = _fetch(source, scope, open, places, environment)
    except BucketError as error:
        raise NotFetched(SOURCE_ERROR, f"source: {error}") from error
    except OSError as error:
        raise NotFetched(SOURCE_ERROR, f"source: {error.strerror or error}") from error
    except (SourceError, TemplateError) as error:
        sort = error.sort if isinstance(error, SourceError) else "unfit"
        raise _not_fetched(sort, str(error), is_pinned=bool(source.digest)) from error
    if source.digest and fetched.digest != source.digest:
        what = f"the code was {source.digest[:16]}…, and is {fetched.digest[:16]}… now"
        raise NotFetched(CODE_CHANGED, f"source: {what}")
    return fetched


def _not_fetched(sort: str, message: str, *, is_pinned: bool) -> NotFetched:
    if sort == "trouble" or (sort == "tool" and is_pinned):
        return NotFetched(SOURCE_ERROR, f"source: {message}")
    if not is_pinned:
        return NotFetched(SOURCE_ERROR, f"source: {message}", is_final=True)
    return NotFetched(CODE_GONE if sort == "missing" else CODE_CHANGED, f"source: {message}")


def _fetch(
    source: SourceRequest,
    scope: Mapping[str, Json],
    open: Callable[[str], Bucket],
    places: Places,
    environment: Mapping[str, str],
) -> Fetched:
    cache = SourceCache(source.cache)
    known = cache.take_tree(source.digest, places.target) if source.is_fresh else None
    if known is not None:
        return known
    folder = _text(source.folder, scope)
    if source.git:
        wanted = Commit(_text(source.git, scope), _text(source.commit, scope), folder, places.base)
        if places.is_confined and not wanted.address.startswith(LOCAL_REPOSITORIES):
            raise SourceError("unfit", f"it leads to '{wanted.address}', and nothing stands in for that")
        return fetch_commit(wanted, places.target, places.scratch, environment, cache)
    bucket, above = _bucket(render(source.bucket, scope))
    return fetch_folder(open(bucket), as_folder(as_folder(above) + folder), places.target, cache)


def _bucket(value: Json) -> tuple[str, str]:
    """The bucket that a value names, and the folder in it, if it names one. What a dependency has found is its URL."""
    if not isinstance(value, str) or not value:
        raise SourceError("unfit", f"'{json.dumps(value)[:60]}' is no bucket")
    if value.startswith(("/", "./", "../")):
        return value, ""
    return split_folder(value) if is_url(value) or "/" in value else (value, "")


def _text(template: str, scope: Mapping[str, Json]) -> str:
    value = render(template, scope)
    return value if isinstance(value, str) else json.dumps(value)
