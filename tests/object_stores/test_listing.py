"""The listing server lists what SeaweedFS lists, and generated keys are the keys that they stand for."""

from __future__ import annotations

import http.client
from bisect import bisect_left
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.object_stores.listing import EMPTY_ETAG, Generated, ListingStore, Names, Wanted, page_of

FOLDERS = [
    f"sea/{region}/{year}/gauge_{one}/"
    for region in ("east", "west")
    for year in (2024, 2025)
    for one in "ab"
]
GENERATED = Generated(
    FOLDERS,
    [
        Names(40, "day_%03d.csv"),
        Names(1_040, "level_%05d.csv"),
        Names(60, "run_%04d/", ("a.csv", "b.csv")),
        Names(1, "wave_%d"),
    ],
)

PLAIN = [f"log/{number:03}.txt" for number in range(312)] + [f"top_{number:02}" for number in range(60)]
ODD = [
    "odd/ blank", "odd/100%", "odd/a+b", "odd/a&b<c>.csv", "odd/caf\u00e9", "odd/\u6f6e\u4f4d.csv",
    "odd/\U0001f30a.csv", "odd/A", "odd/_", "odd/deep/er/and/deeper", "odd/it's", 'odd/"quoted"', "odd/x=y;z", "odd/~",
]  # fmt: skip
# Here a store that goes by names has another order than S3: `a` before `a-1`, and `a/` behind it.
BOTH_ORDERS = [f"two/a{end}" for end in ("-1", "/x", ".csv", "0/x", "0-1/y", "b")]
KEYS = sorted([*GENERATED, *PLAIN, *ODD, *BOTH_ORDERS])

WANTED = [
    # prefix, delimiter, page size, page by page (else only all of it)
    ("", "/", 1_000, True),
    ("", "/", 7, True),
    ("top_", "/", 13, True),
    ("sea/", "/", 1, True),
    ("sea/east/2024/", "/", 1_000, True),
    ("sea/east/2024/gauge_a/", "/", 1_000, True),
    ("sea/east/2024/gauge_a/", "/", 100, True),
    ("sea/east/2024/gauge_a/level_", "/", 1_000, True),
    ("sea/east/2024/gauge_a/level_0010", "/", 3, True),
    ("sea/west/2025/gauge_b/run_", "/", 25, True),
    ("sea/west/2025/gauge_b/run_0007/", "/", 1, True),
    ("sea/west/2025/gauge_b/w", "/", 1_000, True),
    ("sea/west/2025/gauge_b/x", "/", 1_000, True),
    ("sea/west/2026/gauge_b/", "/", 1_000, True),
    ("log/0", "/", 10, True),
    ("odd/", "/", 4, True),
    ("two/", "/", 2, False),
    ("two/a", "/", 1_000, False),
    ("", "", 1_000, False),
    ("sea/west/2025/", "", 1_000, True),
    ("sea/west/2025/gauge_b/run_00", "", 50, True),
]


BEGUN = [
    # prefix, the key after which the list begins, which may be there or not
    ("sea/east/2024/gauge_a/", "sea/east/2024/gauge_a/day_007.csv"),
    ("sea/east/2024/gauge_a/", "sea/east/2024/gauge_a/level_00"),
    # Not behind `sea`: S3 goes on with `sea/` there, and SeaweedFS takes the two for the same.
    ("", "top_07"),
]


@pytest.fixture
def both(seaweed):
    """Clients of SeaweedFS and of the listing server, and a bucket's name, with the same keys in both."""
    assert len(KEYS) == 10_000
    name, client = seaweed.new_bucket(), seaweed.client()
    connection = http.client.HTTPConnection(seaweed.endpoint.removeprefix("http://"))
    for key in KEYS:
        # A client that does nothing but this needs a third of the time.
        url = client.generate_presigned_url("put_object", Params={"Bucket": name, "Key": key})
        connection.request("PUT", url.removeprefix(seaweed.endpoint), body=b"")
        with connection.getresponse() as answer:
            assert answer.status == 200, (key, answer.read())
            answer.read()
    connection.close()
    with ListingStore(KEYS).running() as store:
        yield client, store.client(), name


def pages_of(client, bucket, prefix, delimiter, size):
    """The pages: of each what it holds, and whether more follow."""
    pages, cursor = [], {}
    while True:
        page = client.list_objects_v2(
            Bucket=bucket, Prefix=prefix, Delimiter=delimiter, MaxKeys=size, EncodingType="url", **cursor
        )
        found = [
            (one["Key"], one["Size"], one["ETag"].strip('"'), one["StorageClass"])
            for one in page.get("Contents", ())
        ]
        folders = [one["Prefix"] for one in page.get("CommonPrefixes", ())]
        assert page["KeyCount"] == len(found) + len(folders)
        pages.append((found, folders, page["IsTruncated"]))
        if not page["IsTruncated"]:
            return pages
        cursor = {"ContinuationToken": page["NextContinuationToken"]}


def all_of(pages):
    return sorted(one[0] for page in pages for one in page[0]), sorted(
        one for page in pages for one in page[1]
    )


@pytest.mark.timeout(240)  # of which filling takes most, on a busy machine
def test_it_lists_what_seaweedfs_lists(both):
    """The same entries on the same pages, with the same facts; all in all the same where the orders differ; and begun
    where one says."""
    # One test, and not one for each: the store is filled in each process that has one of them.
    seaweed, listing, name = both
    for prefix, delimiter, size, by_page in WANTED:
        theirs = pages_of(seaweed, name, prefix, delimiter, size)
        ours = pages_of(listing, name, prefix, delimiter, size)
        if by_page:
            assert ours == theirs, prefix
        assert all_of(ours) == all_of(theirs), prefix
    for prefix, after in BEGUN:
        wanted = {"Prefix": prefix, "Delimiter": "/", "MaxKeys": 5, "StartAfter": after}
        theirs, ours = (
            names_in(client.list_objects_v2(Bucket=name, **wanted)) for client in (seaweed, listing)
        )
        assert ours == theirs, after


def names_in(page):
    listed = [[one["Key"] for one in page.get("Contents", ())]]
    return [*listed, [one["Prefix"] for one in page.get("CommonPrefixes", ())], page["IsTruncated"]]


def test_generated_keys_are_in_order():
    """Each key greater than the one before it, from the first to the last."""
    assert len(GENERATED) == len(list(GENERATED)) == 8 * 1_201
    assert all(one < other for one, other in pairwise(GENERATED))
    assert all(bisect_left(GENERATED, GENERATED[index]) == index for index in range(0, len(GENERATED), 97))
    with pytest.raises(IndexError):
        GENERATED[len(GENERATED)]


names = st.text(st.sampled_from("ab/-0\u00e9"), min_size=1, max_size=6)


@given(st.sets(names), names | st.just(""), st.sampled_from(["", "/"]), st.integers(1, 5))
def test_pages_make_the_whole_list(keys, prefix, delimiter, size):
    """Every key below the prefix once, as itself or in its folder; full pages but for the last; all in order."""
    expected = set()
    for key in keys:
        if key.startswith(prefix):
            end = key.find("/", len(prefix)) if delimiter else -1
            expected.add(key if end < 0 else key[: end + 1])
    listed, following = [], ""
    while following is not None:
        page = page_of(sorted(keys), Wanted(prefix, delimiter, following, size))
        entries = sorted([*page.keys, *page.folders])
        assert len(entries) == size or page.following is None
        listed += entries
        following = page.following
    assert listed == sorted(expected)


def test_what_a_client_asks_about_an_object():
    """That it is there, and how it is."""
    with ListingStore(sorted(ODD)).running() as store:
        client = store.client()
        head = client.head_object(Bucket="any", Key="odd/100%")
        assert (head["ETag"], head["ContentLength"]) == (f'"{EMPTY_ETAG}"', 0)
        with pytest.raises(client.exceptions.ClientError, match="404"):
            client.head_object(Bucket="any", Key="odd/1")
