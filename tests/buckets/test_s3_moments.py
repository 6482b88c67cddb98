"""Moments as S3 writes them: read as botocore reads them, and in no time where a list has one an object."""

from __future__ import annotations

import pytest
from botocore.utils import parse_timestamp
from tests.object_stores.serving import ENVIRONMENT

from clew.buckets.s3 import clients
from clew.buckets.s3.clients import client_of, moment_of
from clew.core.planning.s3_urls import S3Options


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456789Z", "1969-12-31T23:59:59Z",
        "2026-01-02T03:04:05+02:00", "20260102T030405Z", "Fri, 02 Jan 2026 03:04:05 GMT", "1767323045", 1767323045.5,
    ],
)  # fmt: skip
def test_a_moment_is_what_botocore_takes_it_for(text):
    """However the store writes it."""
    assert moment_of(text) == parse_timestamp(text)
    assert moment_of(text).utcoffset() is not None


@pytest.mark.parametrize("text", ["2026-13-02T03:04:05Z", "yesterday", "", "Z"])
def test_what_is_no_moment_is_told(text):
    """As botocore tells it, of which a listing makes a page that can't be true."""
    with pytest.raises(ValueError, match="timestamp"):
        moment_of(text)


def test_lists_are_read_so(monkeypatch, moto):
    """A client of ours reads the moments of a list without botocore's own, which take most of a list's time."""
    name = moto.new_bucket()
    client = client_of(S3Options(endpoint=moto.endpoint), ENVIRONMENT)
    client.put_object(Bucket=name, Key="a")

    def never(text):
        pytest.fail(f"{text} was read by botocore")

    monkeypatch.setattr(clients, "parse_timestamp", never)
    assert client.list_objects_v2(Bucket=name)["Contents"][0]["LastModified"].utcoffset() is not None
