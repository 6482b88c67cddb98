"""Listings of S3: read a page at a time, made sure of, and brought into order of key.

What a page says is believed only if it fits what was asked and what came before, so that a page which comes twice, or
out of turn, or without its successor, is an error that is tried again, and never a wrong list.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

from clew.buckets.s3.trying import TROUBLE, Misbehaved, Patience, Tries, code_of, status_of
from clew.ports import BucketError, ObjectFacts

Listed = ObjectFacts | str
Page = Mapping[str, Any]

EMPTY_PAGES_MAX = 100
"""Pages in a row that say that there are more, and hold nothing: a store that steps over what was deleted may
send some. This many are a store that goes round in circles."""


def list_all(
    ask: Callable[[Mapping[str, str]], Page], folder: str, start: str, patience: Patience, what: str
) -> Iterator[Listed]:
    """What lies directly in the folder, by its names' beginning, in order of key; no page is asked for before it
    is needed. `ask` gives the page for a cursor: `ContinuationToken`, `StartAfter`, or neither. Raises BucketError.
    """
    order = _Order()
    cursor: Mapping[str, str] | None = {}
    tries = Tries(patience, what)
    empty_count = 0
    while cursor is not None:
        try:
            page = ask(cursor)
            entries = [
                one for one in _entries_of(page, folder, start) if _key(one) != cursor.get("StartAfter")
            ]
            order.take(entries)
            following = _cursor_after(page, cursor, order.last)
        except TROUBLE as error:
            if not _is_astray(error, cursor):
                tries.pause_after(error)
                continue
            tries.pause_after(error if isinstance(error, Misbehaved) else Misbehaved(_TOKEN_REFUSED))
            # A token that leads astray is not asked again.
            cursor = _after(order.last)
            continue
        empty_count = 0 if entries else empty_count + 1
        if entries:
            tries = Tries(patience, what)
        elif empty_count > EMPTY_PAGES_MAX:
            raise BucketError(f"{what}: {empty_count} empty pages in a row, and more are said to follow")
        yield from order.rest() if following is None else order.settled()
        cursor = following


_TOKEN_REFUSED = "it does not know the token that it has given for the next page"


def _is_astray(error: Exception, cursor: Mapping[str, str]) -> bool:
    return isinstance(error, Misbehaved) or (
        "ContinuationToken" in cursor
        and status_of(error) == 400
        and code_of(error)
        in ("InvalidArgument", "InvalidToken", "InvalidContinuationToken", "InvalidRequest")
    )


def _after(last: str) -> Mapping[str, str]:
    return {"StartAfter": last} if last else {}


def _cursor_after(page: Page, cursor: Mapping[str, str], last: str) -> Mapping[str, str] | None:
    """How to ask for the next page; None if there is none."""
    has_more = page.get("IsTruncated")
    if not isinstance(has_more, bool):
        raise Misbehaved("its answer is no page of a listing")
    if not has_more:
        return None
    token = page.get("NextContinuationToken")
    if token and token != cursor.get("ContinuationToken"):
        return {"ContinuationToken": token}
    if not last:
        raise Misbehaved("it says that there are more pages, and not how to ask for them")
    after = _after(last)
    if after == cursor:
        raise Misbehaved("it gives the same page again and again")
    return after


# ---- what a page holds ----


def _entries_of(page: Page, folder: str, start: str) -> Iterator[Listed]:
    """The page's objects and folders, not in order yet. Raises Misbehaved if they aren't what was asked for."""
    decoded = _decoder(page)
    for found in page.get("Contents") or ():
        key = decoded(found.get("Key"))
        if key.endswith("/"):
            # A mark that some tools leave for a folder: the folder itself, which a listing of it does not hold.
            if key != folder:
                raise Misbehaved(f"it lists '{key}' as an object, and was asked for folders")
            continue
        _check_place(key, folder, start, is_folder=False)
        yield facts_of(key, found, size=found.get("Size"))
    for found in page.get("CommonPrefixes") or ():
        key = decoded(found.get("Prefix"))
        _check_place(key, folder, start, is_folder=True)
        yield key


def _decoder(page: Page) -> Callable[[Any], str]:
    is_quoted = page.get("EncodingType") == "url"

    def decoded(text: Any) -> str:
        if not isinstance(text, str):
            raise Misbehaved("it lists something without a key")
        try:
            return unquote_plus(text, errors="strict") if is_quoted else text
        except UnicodeDecodeError as error:
            raise Misbehaved(f"it lists the key '{text}', which is not UTF-8") from error

    return decoded


def _check_place(key: str, folder: str, start: str, *, is_folder: bool) -> None:
    name = key[len(folder) :]
    end = name.find("/")
    if not key.startswith(folder + start) or end != (len(name) - 1 if is_folder else -1):
        raise Misbehaved(f"it lists '{key}', which does not lie directly in '{folder}'")


def facts_of(key: str, found: Mapping[str, Any], *, size: Any) -> ObjectFacts:
    """An object's facts from what the store says of it. Raises Misbehaved when it doesn't."""
    etag, modified = found.get("ETag"), found.get("LastModified")
    if not isinstance(etag, str) or not isinstance(modified, datetime) or not isinstance(size, int):
        raise Misbehaved(f"it does not say how large '{key}' is, of which time, or of which etag")
    # Whole seconds, since that is all that a HEAD tells.
    return ObjectFacts(key, size, etag.strip('"'), int(modified.timestamp()) * 1_000)


# ---- order ----


def _key(entry: Listed) -> str:
    return entry if isinstance(entry, str) else entry.key


class _Order:
    """Makes sure that pages follow each other in one order, and brings their entries into order of key.

    S3 lists in order of key, in which `a/` comes behind `a-1`, since `-` is less than `/`. Stores that keep real
    folders list in order of name, in which `a` comes before `a-1`, so that a folder may come pages too early. Either
    order will do, if it is kept. While it isn't clear which it is, a folder that might be too early waits.
    """

    def __init__(self) -> None:
        self.last = ""
        """The last key in order of key."""
        self._last_name = ("", "")
        self._is_by_key = True
        self._is_by_name = True
        self._waiting: list[tuple[str, Listed]] = []

    def take(self, entries: list[Listed]) -> None:
        """Take a page's entries. Raises Misbehaved, and takes none, if they don't follow those before."""
        if not entries:
            return
        keys = sorted(map(_key, entries))
        names = sorted(map(_by_name, keys))
        is_by_key = self._is_by_key and keys[0] > self.last
        is_by_name = self._is_by_name and names[0] > self._last_name
        if len(set(keys)) < len(keys) or not (is_by_key or is_by_name):
            raise Misbehaved("its pages repeat what they list, or come out of order")
        self._is_by_key, self._is_by_name = is_by_key, is_by_name
        self.last, self._last_name = (keys[-1] if is_by_key else names[-1][1]), names[-1]
        for entry in entries:
            heapq.heappush(self._waiting, (_key(entry), entry))

    def settled(self) -> Iterator[Listed]:
        """What comes before everything that later pages may hold."""
        # Of a store that goes by name, later names are greater than the last one, and so their keys are.
        while self._waiting and (not self._is_by_name or self._waiting[0][0] <= self._last_name[0]):
            yield heapq.heappop(self._waiting)[1]

    def rest(self) -> Iterator[Listed]:
        while self._waiting:
            yield heapq.heappop(self._waiting)[1]


def _by_name(key: str) -> tuple[str, str]:
    return key.removesuffix("/"), key
