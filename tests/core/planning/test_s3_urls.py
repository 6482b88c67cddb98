"""URLs of buckets in S3: what they say, and what of them is refused."""

from __future__ import annotations

import pytest

from clew.core.planning.s3_urls import S3Options, S3Place, place_of, with_options


@pytest.mark.parametrize(
    ("url", "place", "shown"),
    [
        ("s3://bucket", S3Place("bucket", ""), "s3://bucket"),
        ("s3://bucket/", S3Place("bucket", ""), "s3://bucket"),
        ("s3://bucket/a", S3Place("bucket", "a/"), "s3://bucket/a"),
        ("s3://bucket/a//b/", S3Place("bucket", "a//b/"), "s3://bucket/a//b"),
        ("s3://bucket?", S3Place("bucket", "", S3Options()), "s3://bucket"),
        (
            "s3://my.bucket-2/a%2F?endpoint=http://127.0.0.1:8333&region=eu-west-1&profile=two",
            S3Place("my.bucket-2", "a%2F/", S3Options("http://127.0.0.1:8333", "eu-west-1", "two")),
            "s3://my.bucket-2/a%2F",
        ),
        (
            "s3://b1?endpoint=https%3A%2F%2Fstore.example",
            S3Place("b1", "", S3Options("https://store.example")),
            "s3://b1",
        ),
    ],
)
def test_a_url_says_where_and_how(url, place, shown):
    """The bucket, the folder that stands for all of it, and how its store is reached, which is not shown."""
    assert place_of(url) == place
    assert place_of(url).url == shown


@pytest.mark.parametrize(
    ("url", "texts"),
    [
        ("s3://", ["names no bucket", "s3://bucket/folder/"]),
        ("s3:bucket", ["names no bucket"]),
        ("s3://a b/", ["names no bucket"]),
        ("s3://user:hush@bucket/x", ["s3://…@bucket", "no place for credentials", "AWS_ACCESS_KEY_ID"]),
        ("s3://bucket?endpoint=http://user:hush@store", ["the endpoint", "no place for credentials"]),
        ("s3://bucket?endpoint=store:9000", ["is no address of a store", "?endpoint=http://"]),
        ("s3://bucket?endpoint=http:", ["is no address of a store"]),
        ("s3://bucket?endpoint=http://[", ["is no address of a store"]),
        ("s3://bucket?endpoint=http://store:70000", ["is no address of a store"]),
        ("s3://bucket?endpont=http://store", ["no option 'endpont'", "did you mean 'endpoint'?"]),
        ("s3://bucket?zzz=1", ["no option 'zzz'", "there are endpoint, region, profile"]),
        ("s3://bucket?secret_key=hush", ["no option 'secret_key'", "no place for credentials"]),
        ("s3://bucket?region=", ["the option 'region' is given no value"]),
        ("s3://bucket?region=a&region=b", ["the option 'region' is given twice"]),
    ],
)
def test_a_url_that_can_not_be_right_is_told(url, texts):
    """A URL that can't be right says what would be, and shows no password."""
    with pytest.raises(ValueError) as raised:
        place_of(url)
    for text in texts:
        assert text in str(raised.value)
    assert "hush" not in str(raised.value)


def test_one_bucket_name_in_two_stores_is_told():
    """Which of two stores a location means can't be guessed."""
    urls = {"one": "s3://lines?endpoint=http://a", "two": "s3://lines/x?endpoint=http://b"}
    with pytest.raises(ValueError, match="several buckets of that name"):
        with_options(place_of("s3://lines"), urls.values())
    assert with_options(place_of("s3://lines?region=r"), urls.values()).options == S3Options(region="r")
    same = with_options(place_of("s3://lines/z"), [urls["one"], "s3://lines-2", "file:x", urls["one"]])
    assert same.options == S3Options(endpoint="http://a")
    assert same.url == "s3://lines/z"
