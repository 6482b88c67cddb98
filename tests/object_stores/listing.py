"""A server that lists as S3 does, from a sequence of keys in order that it never goes through: a million of them may be
generated, each when it is asked for. It counts what it is asked, and keeps no content: each object is empty.
"""

from __future__ import annotations

import base64
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from typing import NamedTuple
from urllib.parse import parse_qsl, quote_plus, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.object_stores.serving import ObjectStore

PAGE_SIZE_MAX = 1_000
"""As in S3, however many are asked for."""

EMPTY_ETAG = "d41d8cd98f00b204e9800998ecf8427e"


class Names(NamedTuple):
    """So many names: a text with a number in it, and what lies below each (or `("",)`: the name is an object's)."""

    count: int
    text: str
    below: Sequence[str] = ("",)


class Generated(Sequence[str]):
    """The keys of folders that all hold the same, in order; each is worked out when it is wanted.

    The folders (each with a `/` at its end) and the names come in order of key, `below` too.
    """

    def __init__(self, folders: Sequence[str], names: Sequence[Names]) -> None:
        self._folders = folders
        self._names = names
        self._ends = list(accumulate(each.count * len(each.below) for each in names))

    def __len__(self) -> int:
        return len(self._folders) * self._ends[-1]

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        folder, within = divmod(index, self._ends[-1])
        which = bisect_left(self._ends, within + 1)
        count, text, below = self._names[which]
        number, part = divmod(within - (self._ends[which] - count * len(below)), len(below))
        return f"{self._folders[folder]}{text % number}{below[part]}"


class Wanted(NamedTuple):
    """A list request."""

    prefix: str
    delimiter: str
    start: str
    """The least key that may be listed."""
    size: int


class Page(NamedTuple):
    keys: list[str]
    folders: list[str]
    following: str | None
    """The least key of the next page."""


def page_of(keys: Sequence[str], wanted: Wanted) -> Page:
    """The page that begins there."""
    page = Page([], [], None)
    prefix, delimiter = wanted.prefix, wanted.delimiter
    index = bisect_left(keys, max(prefix, wanted.start))
    while index < len(keys) and (key := keys[index]).startswith(prefix):
        if len(page.keys) + len(page.folders) == wanted.size:
            return page._replace(following=key)
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        if end < 0:
            page.keys.append(key)
            index += 1
        else:
            folder = key[: end + len(delimiter)]
            page.folders.append(folder)
            index = bisect_left(keys, f"{folder[:-1]}{chr(ord(folder[-1]) + 1)}", index)
    return page


class ListingStore:
    """`keys`: what is in it, in order, whatever its bucket is called; may be replaced. `lists`: what was asked for."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = keys
        self.lists: list[Wanted] = []

    def list(self, wanted: Wanted) -> Page:
        self.lists.append(wanted)
        return page_of(self.keys, wanted)

    def holds(self, key: str) -> bool:
        index = bisect_left(self.keys, key)
        return index < len(self.keys) and self.keys[index] == key

    @contextmanager
    def running(self) -> Iterator[ObjectStore]:
        """The address to ask at."""
        store = self

        class Handler(_Handler):
            asked = store

        class Server(ThreadingHTTPServer):
            daemon_threads = True  # of connections that clients keep open
            request_queue_size = 64

        with Server(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                yield ObjectStore("listing", f"http://127.0.0.1:{server.server_address[1]}")
            finally:
                server.shutdown()
                thread.join()


class _Handler(BaseHTTPRequestHandler):
    asked: ListingStore
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        if given.get("list-type") != "2":
            return self.do_HEAD()
        start = given.get("start-after", "")
        if start:
            start += "\0"
        if token := given.get("continuation-token"):
            start = base64.urlsafe_b64decode(token).decode()
        wanted = Wanted(
            given.get("prefix", ""),
            given.get("delimiter", ""),
            start,
            min(int(given.get("max-keys", PAGE_SIZE_MAX)), PAGE_SIZE_MAX),
        )
        text = _document(wanted, self.asked.list(wanted), given.get("encoding-type") == "url")
        self._send(200, {"Content-Type": "application/xml"}, text.encode())

    def do_HEAD(self) -> None:
        _, _, key = unquote(urlsplit(self.path).path).removeprefix("/").partition("/")
        if key and not self.asked.holds(key):
            return self._send(404, {})
        self._send(200, {"ETag": f'"{EMPTY_ETAG}"', "Last-Modified": "Fri, 02 Jan 2026 03:04:05 GMT"})

    def _send(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def _document(wanted: Wanted, page: Page, is_quoted: bool) -> str:
    quoted: Callable[[str], str] = _quoted if is_quoted else escape
    facts = (
        "<LastModified>2026-01-02T03:04:05.000Z</LastModified>"
        f"<ETag>&quot;{EMPTY_ETAG}&quot;</ETag><Size>0</Size><StorageClass>STANDARD</StorageClass>"
    )
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">',
        f"<Prefix>{quoted(wanted.prefix)}</Prefix><Delimiter>{quoted(wanted.delimiter)}</Delimiter>",
        f"<MaxKeys>{wanted.size}</MaxKeys><KeyCount>{len(page.keys) + len(page.folders)}</KeyCount>",
        "<EncodingType>url</EncodingType>" if is_quoted else "",
        f"<IsTruncated>{'false' if page.following is None else 'true'}</IsTruncated>",
    ]
    if page.following is not None:
        token = base64.urlsafe_b64encode(page.following.encode()).decode()
        parts.append(f"<NextContinuationToken>{token}</NextContinuationToken>")
    parts += [f"<Contents><Key>{quoted(key)}</Key>{facts}</Contents>" for key in page.keys]
    parts += [
        f"<CommonPrefixes><Prefix>{quoted(folder)}</Prefix></CommonPrefixes>" for folder in page.folders
    ]
    return "".join([*parts, "</ListBucketResult>"])


def _quoted(text: str) -> str:
    return quote_plus(text, safe="/")
