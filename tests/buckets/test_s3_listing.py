"""Listings of S3: whatever a store does, the right list or an error."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote_plus

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from clew.buckets.memory import MemoryBucket
from clew.buckets.s3.listing import EMPTY_PAGES_MAX, list_all
from clew.buckets.s3.trying import Patience
from clew.ports import BucketError

AT_ONCE = Patience(seconds=30, first_pause_seconds=0)
ONCE = Patience(seconds=0)

ORDERS = {"by key": lambda key: key, "by name": lambda key: (key.removesuffix("/"), key)}


class Pretended:
    """A store of these keys that answers a page at a time, as `faults` have it: each for one request, in turn."""

    def __init__(self, keys, page_size, order, faults=(), *, folder="", start=""):
        self.folder, self.start = folder, start
        found = {
            folder + name + slash
            for key in keys
            if key.startswith(folder + start)
            for name, slash, _ in [key[len(folder) :].partition("/")]
        }
        self.entries = sorted(found, key=ORDERS[order])
        self.rank = ORDERS[order]
        self.page_size = page_size
        self.faults = list(faults)
        self.cursors = []

    def __call__(self, cursor):
        self.cursors.append(dict(cursor))
        fault = self.faults.pop(0) if self.faults else None
        begin = self._begin(cursor)
        if fault == "503":
            raise error_of(503, "SlowDown")
        if fault == "lost":
            raise EndpointConnectionError(endpoint_url="http://store")
        if fault == "token refused" and "ContinuationToken" in cursor:
            raise error_of(400, "InvalidArgument")
        if fault == "token lost":
            begin = 0
        if fault == "page again":
            begin = max(0, begin - self.page_size)
        if fault == "page left out":
            begin += self.page_size
        page = self._page(begin)
        if fault == "twice in a page" and page["Contents"]:
            page["Contents"] = [*page["Contents"], page["Contents"][0]]
        if fault == "no token":
            page.pop("NextContinuationToken", None)
        if fault == "not a page":
            page = {"ResponseMetadata": {}}
        if fault == "another's" and page["Contents"]:
            page["Contents"] = [{**page["Contents"][0], "Key": "another/folder"}]
        return page

    def _begin(self, cursor):
        if "ContinuationToken" in cursor:
            return int(cursor["ContinuationToken"])
        after = cursor.get("StartAfter")
        if after is None:
            return 0
        # As in S3: what is in a folder comes after the folder's key, so that it is listed again.
        return sum(
            self.rank(entry) <= self.rank(after) and not (entry == after and entry.endswith("/"))
            for entry in self.entries
        )

    def _page(self, begin):
        end = begin + self.page_size
        entries = self.entries[begin:end]
        page = {
            "IsTruncated": end < len(self.entries),
            "EncodingType": "url",
            "Contents": [facts(key) for key in entries if not key.endswith("/")],
            "CommonPrefixes": [{"Prefix": quote_plus(key)} for key in entries if key.endswith("/")],
        }
        return {**page, "NextContinuationToken": str(end)} if page["IsTruncated"] else page

    def listed(self, patience=AT_ONCE):
        listed = list_all(self, self.folder, self.start, patience, "s3://b")
        return [one if isinstance(one, str) else one.key for one in listed]


def facts(key):
    return {
        "Key": quote_plus(key),
        "ETag": '"e"',
        "Size": 1,
        "LastModified": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    }


def error_of(status, code):
    answer = {"Error": {"Code": code, "Message": "said so"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "ListObjectsV2")


def expected(keys, folder="", start=""):
    memory = MemoryBucket()
    for key in keys:
        memory.write(key, b"")
    return [one if isinstance(one, str) else one.key for one in memory.list_folder(folder, start)]


names = st.text(st.sampled_from("ab-./0é\U0001f600+% "), min_size=1, max_size=5)
trees = st.sets(names.filter(lambda key: not key.endswith("/")), max_size=25)
passing = st.sampled_from(
    ["503", "lost", "token refused", "token lost", "page again", "twice in a page", "not a page", None]
)


@given(
    trees, st.integers(1, 7), st.sampled_from(list(ORDERS)), st.sampled_from(["", "a/", "b/"]),
    st.sampled_from(["", "a", "é", "-"]), st.lists(passing, max_size=6),
)  # fmt: skip
def test_a_store_s_hiccups_change_nothing(keys, page_size, order, folder, start, faults):
    """Errors, pages that come again, answers that are none, tokens refused or lost: the list is the right one, in
    order of key. A store that goes by name and has lost its place may be an error instead."""
    store = Pretended(keys, page_size, order, faults, folder=folder, start=start)
    try:
        listed = store.listed(AT_ONCE if order == "by key" else Patience(seconds=0.05, first_pause_seconds=0))
    except BucketError:
        assert order == "by name" and any(faults)
        return
    assert listed == expected(keys, folder, start)


@given(trees, st.integers(1, 7), st.sampled_from(list(ORDERS)))
def test_both_orders_make_one(keys, page_size, order):
    """By key or by name, the list is in order of key, and costs no page too many."""
    store = Pretended(keys, page_size, order)
    assert store.listed() == expected(keys)
    assert len(store.cursors) == max(1, -(-len(store.entries) // page_size))


@pytest.mark.parametrize(
    "fault", ["token lost", "page again", "twice in a page", "another's", "not a page", "503"]
)
@pytest.mark.parametrize("page_size", [2, 3])
def test_what_does_not_pass_is_an_error(fault, page_size):
    """A store that never does better than that is an error, and what was given before it is right."""
    keys = [f"k{number}" for number in range(9)]
    store = Pretended(keys, page_size, "by key", [None, *[fault] * 10_000])
    given_out = []
    listed = list_all(store, "", "", Patience(seconds=0.05, first_pause_seconds=0), "s3://b: listing")
    with pytest.raises(BucketError, match=r"s3://b: listing: .*tried \d+ times"):
        given_out.extend(one.key for one in listed)
    assert given_out == keys[:page_size]


def test_pages_out_of_order_are_asked_for_again():
    """A page that comes again makes the list begin anew, unseen by whoever reads it."""
    keys = [f"k{number}" for number in range(8)]
    store = Pretended(keys, 2, "by key", [None, "page again", None, None, None, "token lost"])
    assert store.listed() == keys


@pytest.mark.parametrize("first", range(3))
@pytest.mark.parametrize("lasting", [False, True])
def test_pages_that_change_places_are_told(first, lasting):
    """What was given on the strength of a page that came too early can't be taken back: the list is an error."""
    keys = [f"k{number}" for number in range(8)]
    store = Pretended(keys, 2, "by key")
    turns = [0, 1, 2, 3]
    turns[first], turns[first + 1] = turns[first + 1], turns[first]
    lists = 0

    def ask(cursor):
        nonlocal lists
        lists += not cursor
        number = int(cursor.get("ContinuationToken", 0))
        page = store._page((turns[number] if lasting or lists == 1 else number) * 2)
        return {**page, "IsTruncated": number < 3, "NextContinuationToken": str(number + 1)}

    given_out = []
    with pytest.raises(BucketError, match=r"in a second list what came before is another|out of order"):
        given_out.extend(
            one.key for one in list_all(ask, "", "", Patience(seconds=0.05, first_pause_seconds=0), "s3://b")
        )
    assert given_out == keys[: first * 2] + keys[first * 2 + 2 : first * 2 + 4]


def test_a_page_without_a_token_is_gone_on_from():
    """Where a page does not say how to ask for the next, that is asked for by the last key."""
    keys = ["a", "b/1", "b/2", "c", "d"]
    store = Pretended(keys, 2, "by key", ["no token", "no token", None])
    assert store.listed() == ["a", "b/", "c", "d"]
    assert store.cursors == [{}, {"StartAfter": "b/"}, {"StartAfter": "c"}]


def test_an_empty_page_may_have_a_next():
    """A page may be empty and not the last; a hundred of them are a store that goes round in circles."""
    pages = [{"IsTruncated": True, "NextContinuationToken": str(number)} for number in range(1_000)]
    last = {"IsTruncated": False, "Contents": [facts("a")]}
    few = iter([*pages[:EMPTY_PAGES_MAX], last])
    assert [one.key for one in list_all(lambda cursor: next(few), "", "", AT_ONCE, "s3://b")] == ["a"]
    many = iter(pages)
    with pytest.raises(BucketError, match="empty pages in a row"):
        list(list_all(lambda cursor: next(many), "", "", ONCE, "s3://b"))


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ({}, "is no page of a listing"),
        ({"IsTruncated": "yes"}, "is no page of a listing"),
        ({"IsTruncated": True}, "not how to ask for them"),
        ({"IsTruncated": False, "Contents": [{}]}, "something without a key"),
        ({"IsTruncated": False, "Contents": [{"Key": "a"}]}, "does not say how large 'a' is"),
        ({"IsTruncated": False, "Contents": [{**facts("a"), "Size": None}]}, "does not say how large 'a' is"),
        (
            {"IsTruncated": False, "EncodingType": "url", "Contents": [facts("a/b")]},
            "'a/b', which does not lie directly",
        ),
        ({"IsTruncated": False, "Contents": [facts("a"), facts("a")]}, "lists something twice"),
        ({"IsTruncated": False, "Contents": [{**facts("a"), "Key": "a/"}]}, "'a/' as an object"),
        ({"IsTruncated": False, "CommonPrefixes": [{"Prefix": "a"}]}, "does not lie directly"),
        ({"IsTruncated": False, "CommonPrefixes": [{"Prefix": "a/b/"}]}, "does not lie directly"),
        ({"IsTruncated": False, "EncodingType": "url", "Contents": [{"Key": "%FF"}]}, "is not UTF-8"),
    ],
)
def test_an_answer_that_can_not_be_true_is_told(page, text):
    """What no store would say of this bucket is not believed."""
    with pytest.raises(BucketError, match=text):
        list(list_all(lambda cursor: page, "", "", ONCE, "s3://b"))


def test_a_refusal_is_not_tried_again():
    """What will be the same next time is told at once."""
    asked = []

    def ask(cursor):
        asked.append(cursor)
        raise error_of(403, "AccessDenied")

    with pytest.raises(BucketError, match="AccessDenied: said so; the credentials in use may not do this"):
        list(list_all(ask, "", "", AT_ONCE, "s3://b"))
    assert len(asked) == 1


def test_a_text_that_is_not_quoted_is_taken_as_it_is():
    """A store that does not quote says so by leaving out that it does."""
    page = {"IsTruncated": False, "Contents": [{**facts("a"), "Key": "a+b%20"}]}
    [found] = list_all(lambda cursor: page, "", "", ONCE, "s3://b")
    assert found.key == "a+b%20"
    assert found.modified_at == 1_767_323_045_000
