"""Listings of S3: read a page at a time, made sure of, and brought into order of key.

What a page says is believed only if it fits what was asked and what came before. A page that comes twice, or out of
turn, makes the list begin anew; what was given of the first must then come again, and nothing else. So whatever goes
wrong is tried again or told, and never a wrong list.
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


class _Astray(Misbehaved):
    """Pages that don't follow each other: one of them was wrong, and nobody knows which."""


def list_all(
    ask: Callable[[Mapping[str, str]], Page], folder: str, start: str, patience: Patience, what: str
) -> Iterator[Listed]:
    """What lies directly in the folder, by its names' beginning, in order of key; no page is asked for before it
    is needed. `ask` gives the page for a cursor: `ContinuationToken`, `StartAfter`, or neither. Raises BucketError.

    When pages don't follow each other, it begins anew, and goes on where it was if it comes there by the same entries.
    """
    tries = Tries(patience, what)
    given_count, given_trail = 0, 0
    while True:
        count, trail = 0, 0
        try:
            for entry in _list_once(ask, folder, start, tries):
                count, trail = count + 1, hash((trail, _key(entry)))
                if count > given_count:
                    tries.succeeded()
                    given_count, given_trail = count, trail
                    yield entry
                elif count == given_count and trail != given_trail:
                    raise BucketError(f"{what}: {_CHANGED}")
            if count < given_count:
                raise BucketError(f"{what}: {_CHANGED}")
            return
        except _Astray as error:
            tries.pause_after(error)


_CHANGED = "the pages of the list did not follow each other, and in a second list what came before is another"


def _list_once(
    ask: Callable[[Mapping[str, str]], Page], folder: str, start: str, tries: Tries
) -> Iterator[Listed]:
    """Raises _Astray when pages don't follow each other."""
    order = _Order()
    cursor: Mapping[str, str] | None = {}
    empty_count = 0
    while cursor is not None:
        try:
            page = ask(cursor)
            entries = [
                one for one in _entries_of(page, folder, start) if _key(one) != cursor.get("StartAfter")
            ]
            order.take(entries)
            following = _cursor_after(page, cursor, order.last)
        except _Astray:
            raise
        except TROUBLE as error:
            if _is_token_refused(error, cursor):
                tries.pause_after(Misbehaved("it does not know the token that it gave for the next page"))
                cursor = _after(order.last)
            else:
                tries.pause_after(error)
            continue
        empty_count = 0 if entries else empty_count + 1
        if empty_count > EMPTY_PAGES_MAX:
            raise _Astray(f"{empty_count} empty pages in a row, and more are said to follow")
        yield from order.rest() if following is None else order.settled()
        cursor = following


def _is_token_refused(error: Exception, cursor: Mapping[str, str]) -> bool:
    return (
        "ContinuationToken" in cursor
        and status_of(error) == 400
        and code_of(error)
        in ("InvalidArgument", "InvalidToken", "InvalidContinuationToken", "InvalidRequest")
    )


def _after(last: str) -> Mapping[str, str]:
    return {"StartAfter": last} if last else {}


def _cursor_after(page: Page, cursor: Mapping[str, str], last: str) -> Mapping[str, str] | None:
    """How to ask for the next page; None if there is none. It raises Misbehaved for an empty page only."""
    if not page["IsTruncated"]:
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


def _entries_of(page: Page, folder: str, start: str) -> list[Listed]:
    """The page's objects and folders, not in order yet. Raises Misbehaved if they aren't what was asked for."""
    if not isinstance(page.get("IsTruncated"), bool):
        raise Misbehaved("its answer is no page of a listing")
    entries: list[Listed] = []
    decoded = _decoder(page)
    for found in page.get("Contents") or ():
        key = decoded(found.get("Key"))
        if key.endswith("/"):
            # A mark that some tools leave for a folder: the folder itself, which a listing of it does not hold.
            if key != folder:
                raise Misbehaved(f"it lists '{key}' as an object, and was asked for folders")
            continue
        _check_place(key, folder, start, is_folder=False)
        entries.append(facts_of(key, found, size=found.get("Size")))
    for found in page.get("CommonPrefixes") or ():
        key = decoded(found.get("Prefix"))
        _check_place(key, folder, start, is_folder=True)
        entries.append(key)
    if len(set(map(_key, entries))) < len(entries):
        raise Misbehaved("a page lists something twice")
    return entries


def first_key(page: Page) -> str | None:
    """The first key of a page of objects only. Raises Misbehaved if it is none."""
    if not isinstance(page.get("IsTruncated"), bool):
        raise Misbehaved("its answer is no page of a listing")
    found = next(iter(page.get("Contents") or ()), None)
    return None if found is None else _decoder(page)(found.get("Key"))


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
        """Take a page's entries. Raises _Astray if they don't follow those before."""
        if not entries:
            return
        keys = sorted(map(_key, entries))
        names = sorted(map(_by_name, keys))
        is_by_key = self._is_by_key and keys[0] > self.last
        is_by_name = self._is_by_name and names[0] > self._last_name
        if not is_by_key and not is_by_name:
            raise _Astray("its pages repeat what they list, or come out of order")
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
