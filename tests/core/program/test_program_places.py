"""What a text or a table of the settings means as a place of programs; or why it can't be meant like that."""

from __future__ import annotations

from typing import Any

import pytest

from clew.core.program.program_places import (
    EVERY_MILLISECONDS,
    BucketPlace,
    GitPlace,
    LocalPlace,
    PlaceMistake,
    next_reading,
    read_place,
    read_places,
    unknown_bucket,
)

GIT = {"git": "https://host/x.git", "branch": "main"}


@pytest.mark.parametrize(
    ("said", "place", "name"),
    [
        ("programs", LocalPlace("/srv/programs"), "/srv/programs"),
        ("/opt/one.yaml", LocalPlace("/opt/one.yaml"), "/opt/one.yaml"),
        ("jobs:daily", LocalPlace("jobs:daily"), "jobs:daily"),
        ({"place": "programs", "every": "10 seconds"}, LocalPlace("/srv/programs", 10_000), "/srv/programs"),
        ("s3://code", BucketPlace("s3://code"), "s3://code"),
        ("s3://code/programs/", BucketPlace("s3://code/programs/"), "s3://code/programs"),
        (
            {"place": "s3://code/programs?endpoint=http://127.0.0.1:1", "every": "PT1H"},
            BucketPlace("s3://code/programs?endpoint=http://127.0.0.1:1", every=3_600_000),
            "s3://code/programs",
        ),
        ("file:code", BucketPlace("file:/srv/code"), "file:/srv/code"),
        ("file:///code/", BucketPlace("file:///code/"), "file:///code"),
        ({"bucket": "code"}, BucketPlace("code"), "code"),
        ({"bucket": "code", "folder": "a/b/"}, BucketPlace("code", "a/b"), "code/a/b"),
        ({"bucket": "file:code", "folder": "a"}, BucketPlace("file:/srv/code", "a"), "file:/srv/code/a"),
        (GIT, GitPlace("https://host/x.git", "main"), "https://host/x.git@main"),
        (
            {"git": "git@host:x.git", "tag": "v1/2", "folder": "jobs", "every": "1 minute"},
            GitPlace("git@host:x.git", "", "v1/2", "jobs"),
            "git@host:x.git@v1/2:jobs",
        ),
        ({**GIT, "git": "../x"}, GitPlace("/x", "main"), "/x@main"),
    ],
)
def test_what_is_said_means_a_place(said: Any, place: object, name: str) -> None:
    """Relative paths begin at the settings; a name says nothing of how a store is reached."""
    found = read_place(said, "/srv")
    assert (found, found.name) == (place, name)


def test_what_is_read_there_has_a_name_that_begins_with_the_place() -> None:
    """It stays the same while the commit changes; a place says of itself how often it is read."""
    assert BucketPlace("s3://code/x/?region=a").prefix == "s3://code/x/"
    assert BucketPlace("code", "a").prefix == "code/a/"
    assert GitPlace("https://host/x.git", "main", folder="jobs").prefix == "https://host/x.git@main:jobs/"
    assert GitPlace("https://host/x.git", tag="v1").prefix == "https://host/x.git@v1:"
    assert GitPlace("https://host/x.git", "main").every == EVERY_MILLISECONDS


@pytest.mark.parametrize(
    ("said", "where", "what"),
    [
        ("", "", "must be a file, a folder"),
        (3, "", "must be a file, a folder"),
        ({}, "", "says not where programs are; write {place"),
        ({"place": "x", **GIT}, "", "is place and git at once"),
        ({"place": "x", "evry": "1 s"}, "evry", "did you mean 'every'"),
        ({"place": "x", "branch": "main"}, "branch", "there are place, every, cadence"),
        ({"place": 3}, "place", "must be a text"),
        ({"place": "x", "every": 10}, "every", "must be a text"),
        ({"place": "x", "every": "often"}, "every", "'often' is no duration"),
        ({"place": "x", "every": "1 ms"}, "every", "must be PT1S to P1D"),
        ({"place": "x", "every": "2 days"}, "every", "must be PT1S to P1D"),
        ({"place": "x", "every": "1 minute", "cadence": "@hourly"}, "cadence", "there is 'every' already"),
        ({"place": "x", "cadence": "61 * * * *"}, "cadence", "61"),
        ({"place": "x", "cadence": "0 0 30 2 *"}, "cadence", "is never due"),
        ({"place": "x", "cadence": "once"}, "cadence", "1 field instead of five"),
        ("https://host/x.git", "", "a git repository is named by a table"),
        ("git@host:x.git", "", "a git repository is named by a table"),
        ("gs://code", "", "gs:// buckets are not available"),
        ("ftp://code", "", "'ftp:' begins no bucket's URL"),
        ("s3://a@b/x", "", "a URL has no place for credentials"),
        ({"place": "s3://", "every": "1 s"}, "place", "names no bucket"),
        ({"bucket": "s3://code?x=1"}, "bucket", "no option 'x'"),
        ({"bucket": "code/x"}, "bucket", "its folder is a key of its own"),
        ({"bucket": "code", "folder": "../x"}, "folder", "is no folder of a bucket"),
        ({**GIT, "folder": "/x"}, "folder", "is no folder of a repository"),
        ({"git": "https://me:pw@host/x", "branch": "main"}, "git", "holds no credentials"),
        ({"git": "ext::sh -c x", "branch": "main"}, "git", "has git run a program"),
        ({"git": "./x"}, "", "name a branch or a tag"),
        ({**GIT, "tag": "v1"}, "branch", "name a branch or a tag"),
    ],
)
def test_what_can_not_be_meant_is_told_with_its_place(said: Any, where: str, what: str) -> None:
    """And with what would be right."""
    with pytest.raises(PlaceMistake) as caught:
        read_place(said, "/srv")
    assert what in str(caught.value)
    assert caught.value.where == where
    with pytest.raises(PlaceMistake) as caught:
        read_places(["programs", said], "/srv")
    assert caught.value.where == "[1]" + (f".{where}" if where else "")


@pytest.mark.parametrize(
    "name",
    [
        "-x", "--upload-pack=x", "a..b", "a b", "a*", "a?", "a[b", "a~1", "a^", "a:b", "a@{1}", "a.lock", "a/.b", "/a",
        "a/", "a//b", "a.", "a\\b", "\x00", "a\x7f", "é" * 126,
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["branch", "tag"])
def test_what_git_has_no_branch_or_tag_of(name: str, key: str) -> None:
    """Nothing is taken for an option, a pattern, or a way to something else."""
    with pytest.raises(PlaceMistake, match=f"is the name of no {key}"):
        read_place({"git": "./x", key: name}, "/srv")


def test_a_place_says_when_it_is_read_again() -> None:
    """After an interval, or at the next time that its cadence says, in UTC."""
    assert next_reading(LocalPlace("x"), 1_000) == 61_000
    place = read_place({**GIT, "cadence": "*/5 * * * *"}, "/srv")
    assert place == GitPlace("https://host/x.git", "main", cadence="*/5 * * * *")
    assert next_reading(place, 299_999) == 300_000
    assert next_reading(place, 300_000) == 600_000


def test_a_place_is_named_once() -> None:
    """The same place twice, at two intervals, means something that nobody can know."""
    assert len(read_places(["a", "b", "s3://code"], "/srv")) == 3
    with pytest.raises(PlaceMistake, match="/srv/a is there already") as caught:
        read_places(["a", {"place": "a", "every": "1 hour"}], "/srv")
    assert caught.value.where == "[1]"


def test_a_bucket_that_is_not_named_is_told() -> None:
    """With the nearest one that is; URLs and other places name none."""
    places = read_places(["a", "file:x", {"bucket": "code"}, GIT], "/srv")
    assert unknown_bucket(places, {"code"}) is None
    assert "there is no bucket 'code'; did you mean 'codes'" in str(unknown_bucket(places, {"codes"}))
    assert "name it under [buckets]" in str(unknown_bucket(places, ()))
