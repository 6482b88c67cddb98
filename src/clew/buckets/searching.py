"""A search against real buckets: lists what it wants and feeds it, until it has its outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from clew.core.planning.listings import Entry, List, Page
from clew.core.planning.search import Outcome, Search
from clew.ports import Bucket, ObjectFacts

PAGE_SIZE = 1_000
"""Entries fed at a time: a page of the object stores' listings, so that none is asked for in vain."""


def search(conversation: Search, bucket: Callable[[str], Bucket]) -> Outcome:
    """Hold the conversation to its end; `bucket` opens a bucket by its name or URL. It is about files alone.

    Raises PatternError, and BucketError when a bucket can't answer: that is not a missing object.
    """
    while conversation.want is not None:
        want = conversation.want
        assert isinstance(want, List), "who asks questions is held with others, in rounds"
        pages = list_pages(bucket(want.bucket), want)
        while conversation.want is want:
            conversation.feed(next(pages))
    assert conversation.outcome is not None, "a search that wants nothing has ended"
    return conversation.outcome


def list_pages(bucket: Bucket, want: List) -> Iterator[Page]:
    """The pages of a listing; each is asked for when it is taken. The last one says so. Raises BucketError."""
    entries = iter(bucket.list_folder(want.folder, want.start))
    has_more = True
    while has_more:
        page = [_entry(found) for found in islice(entries, PAGE_SIZE)]
        has_more = len(page) == PAGE_SIZE
        yield Page(page, has_more, bucket.url)


def _entry(found: ObjectFacts | str) -> Entry:
    if isinstance(found, str):
        return Entry(found)
    return Entry(found.key, found.size, found.etag, found.modified_at)
