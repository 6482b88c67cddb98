"""Locations: from `bucket/key` or a URL to bucket and key, and back to a URL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.planning.locations import is_url, located_value, location_url, split_location


@pytest.mark.parametrize(
    ("location", "parts"),
    [
        ("lines/out/x.csv", ("lines", "out/x.csv")),
        ("s3://lines/out/x.csv", ("s3://lines", "out/x.csv")),
        ("memory:/x", ("memory:", "x")),
        ("memory:name/out/x", ("memory:name", "out/x")),
        ("file:///data/out/x%20y.csv", ("file:///data/out", "x y.csv")),
        ("file:///x", ("file:///", "x")),
        ({"bucket": "lines", "key": "a/b"}, ("lines", "a/b")),
    ],
)
def test_a_location_has_a_bucket_and_a_key(location, parts):
    """Each way to write a location gives its bucket and its key."""
    assert split_location(location) == parts


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ("lines", "write `bucket/key`"),
        ("lines/", "write `bucket/key`"),
        ("s3://", "is no location"),
        ("file:", "is no location"),
        ("file:///", "is no location"),
        ("/data/x", "names no bucket"),
        (7, "not int"),
        ({"bucket": "lines"}, "not dict"),
        ({"bucket": "lines", "key": 1}, "not dict"),
    ],
)
def test_what_is_no_location_says_what_would_be_right(location, text):
    """A mistake in a location is told in words."""
    with pytest.raises(ValueError, match=text):
        split_location(location)


def test_a_url_is_told_from_a_name():
    """What has a scheme is a URL."""
    assert is_url("s3://a")
    assert is_url("memory:")
    assert not is_url("lines")
    assert not is_url("/data:x")


@pytest.mark.parametrize(
    ("bucket_url", "url"),
    [
        ("s3://lines", "s3://lines/out/x y.csv"),
        ("memory:name/", "memory:name/out/x y.csv"),
        ("file:///data", "file:///data/out/x%20y.csv"),
    ],
)
def test_a_key_is_quoted_in_a_file_url_alone(bucket_url, url):
    """Elsewhere a key stands as it is, after one slash."""
    assert location_url(bucket_url, "out/x y.csv") == url


@given(
    st.lists(
        st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1), min_size=1
    )
)
def test_a_url_leads_back_to_its_object(segments):
    """What is written as a URL is read as the same object, whatever its name holds."""
    key = "/".join(segments)
    assert split_location(location_url("s3://lines", key)) == ("s3://lines", key)
    bucket, name = split_location(location_url("file:///data", key))
    assert name == segments[-1]
    assert bucket.startswith("file:///data")


def test_a_folder_has_no_size_and_no_time():
    """A located folder has its name without the slash, and null where only objects have something."""
    value = located_value("lines", "memory:x", "a/b/", size=None, etag=None, modified_at=None)
    assert value["url"] == "memory:x/a/b/"
    assert value["name"] == "b"
    assert value["modified"] is None
