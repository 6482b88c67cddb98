"""Buckets in S3: what the contract of all buckets does not say."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc

import pytest
from tests.object_stores.serving import ENVIRONMENT

from clew.buckets import open_bucket
from clew.buckets.memory import MemoryBucket
from clew.buckets.s3 import bucket as s3_module
from clew.ports import BucketError


@pytest.fixture(params=["moto", "seaweed"])
def store(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def name(store):
    return store.new_bucket()


@pytest.fixture
def bucket(store, name):
    return open_bucket(store.url(name), {}, ENVIRONMENT)


def keys_of(listed):
    return [one if isinstance(one, str) else one.key for one in listed]


# ---- listings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page_size", [1, 2, 3, 1_000])
def test_pages_make_one_list_in_order_of_key(bucket, monkeypatch, page_size):
    """Wherever a page ends, folders and objects come in one order of key: also from SeaweedFS, which lists folders
    in order of name."""
    monkeypatch.setattr(s3_module, "PAGE_SIZE", page_size)
    memory = MemoryBucket()
    for key in [
        "b",
        "b/1",
        "b-1",
        "b-1/x",
        "b.x",
        "b0",
        "a/1",
        "a/2",
        "a-",
        "a!/x/y",
        "a0/z",
        "ab",
        "é/1",
        "é",
    ]:
        bucket.write(key, b"")
        memory.write(key, b"")
    for folder, start in [("", ""), ("", "a"), ("", "b"), ("", "é"), ("a/", ""), ("b/", ""), ("no/", "")]:
        assert keys_of(bucket.list_folder(folder, start)) == keys_of(memory.list_folder(folder, start))


def test_a_page_that_is_not_read_is_not_asked_for(bucket, monkeypatch):
    """A listing costs what is taken of it."""
    monkeypatch.setattr(s3_module, "PAGE_SIZE", 3)
    for number in range(12):
        bucket.write(f"f{number:02}", b"")
    asked = []
    ask = bucket._client.list_objects_v2
    monkeypatch.setattr(bucket._client, "list_objects_v2", lambda **what: asked.append(what) or ask(**what))
    listed = bucket.list_folder("")
    assert len(asked) == 0
    assert [next(listed).key for _ in range(3)] == ["f00", "f01", "f02"]
    assert len(asked) == 1
    assert next(listed).key == "f03"
    assert len(asked) == 2
    assert asked[0]["Prefix"] == "" and asked[0]["Delimiter"] == "/" and asked[0]["MaxKeys"] == 3


def test_the_mark_of_a_folder_is_no_object(bucket, store, name):
    """An object whose key ends in a slash, as consoles leave them, makes a folder and is nothing in it."""
    store.client().put_object(Bucket=name, Key="made/by/", Body=b"")
    bucket.write("made/x", b"")
    assert keys_of(bucket.list_folder("")) == ["made/"]
    assert keys_of(bucket.list_folder("made/")) == ["made/by/", "made/x"]
    assert keys_of(bucket.list_folder("made/by/")) == []


# ---- a bucket that isn't there ---------------------------------------------------------------------------


def test_a_bucket_that_is_not_there_is_no_missing_object(store):
    """Where the bucket itself is missing, nothing is said about objects."""
    bucket = open_bucket(store.url("no-such-bucket"), {}, ENVIRONMENT)
    for act in (
        lambda: bucket.facts("a"),
        lambda: bucket.read("a", 1),
        lambda: next(bucket.read_pieces("a")),
        lambda: bucket.copy("a", "b"),
        lambda: bucket.delete("a"),
        lambda: list(bucket.list_folder("")),
    ):
        with pytest.raises(BucketError, match=r"no such bucket|NoSuchBucket"):
            act()


def test_what_is_not_allowed_is_no_missing_object(seaweed):
    """A refusal says that it is one, and no secret."""
    bucket = open_bucket(
        seaweed.url(seaweed.new_bucket()), {}, {**ENVIRONMENT, "AWS_SECRET_ACCESS_KEY": "guessed-one"}
    )
    for act in (
        lambda: bucket.facts("a"),
        lambda: bucket.read("a", 1),
        lambda: bucket.write("a", b""),
        lambda: bucket.delete("a"),
        lambda: list(bucket.list_folder("")),
    ):
        with pytest.raises(BucketError, match="the credentials in use may not do this") as raised:
            act()
        assert "guessed-one" not in str(raised.value)


def test_no_credentials_are_told(moto):
    """Where no credentials are found, the error says so."""
    environment = {name: value for name, value in ENVIRONMENT.items() if "KEY" not in name}
    with pytest.raises(BucketError, match="Unable to locate credentials"):
        open_bucket(moto.url("any-bucket"), {}, environment).facts("a")


# ---- stores that keep paths ------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["a//b", "/a/b", "a\\b", "a///b"])
def test_a_store_that_takes_one_key_for_another_is_told(seaweed, key):
    """SeaweedFS takes these keys for a path that it keeps under another: no answer is about that other object."""
    bucket = open_bucket(seaweed.url(seaweed.new_bucket()), {}, ENVIRONMENT)
    bucket.write("a/b", b"x")
    assert bucket.facts(key) is None
    assert bucket.delete(key) is False
    for act in (
        lambda: bucket.read(key, 1),
        lambda: next(bucket.read_pieces(key)),
        lambda: bucket.copy(key, "c"),
    ):
        with pytest.raises(FileNotFoundError):
            act()
    assert bucket.read("a/b", 1) == b"x"
    with pytest.raises(BucketError, match="the store keeps it under another key"):
        bucket.write(key, b"y")


@pytest.mark.parametrize("key", ["..", "a/../b", "./a"])
def test_a_key_that_the_store_refuses_is_told(seaweed, key):
    """What SeaweedFS refuses is an error of the bucket."""
    bucket = open_bucket(seaweed.url(seaweed.new_bucket()), {}, ENVIRONMENT)
    with pytest.raises(BucketError, match="InvalidRequest"):
        bucket.write(key, b"")


# ---- large objects ---------------------------------------------------------------------------------------

MEGABYTE = 1_000_000


@pytest.mark.parametrize("size", [8 * 1024 * 1024, 8 * 1024 * 1024 + 1, 20 * MEGABYTE])
def test_large_objects_go_in_parts(bucket, size):
    """What is larger than a part has the bytes that were given, whatever pieces they came in."""
    content = os.urandom(MEGABYTE) * (size // MEGABYTE + 1)
    content = content[:size]
    pieces = [content[:1], b"", content[1 : 9 * MEGABYTE], content[9 * MEGABYTE :]]
    facts = bucket.write_pieces("folder/large", pieces)
    assert facts == bucket.facts("folder/large")
    assert facts.size == size
    assert b"".join(bucket.read_pieces("folder/large")) == content


def test_an_upload_that_breaks_off_leaves_nothing(bucket, store, name):
    """Pieces that fail in the middle of a large object leave the old one, and no parts."""
    bucket.write("a", b"old")

    def torn():
        for _ in range(3):
            yield b"x" * 8 * 1024 * 1024
        raise ValueError("torn")

    with pytest.raises(ValueError, match="torn"):
        bucket.write_pieces("a", torn())
    assert bucket.read("a", 3) == b"old"
    assert "Uploads" not in store.client().list_multipart_uploads(Bucket=name)


KILLED = """
import sys, time
from clew.buckets import open_bucket

def pieces():
    for _ in range(3):
        yield b"x" * 8 * 1024 * 1024
    print("halfway", flush=True)
    sys.stdin.read()

open_bucket(sys.argv[1], {}).write_pieces("a", pieces())
"""


def test_a_killed_process_leaves_nothing_to_see(bucket, store, name):
    """Killed halfway through a large object: the old one stays, and the parts are seen only by who asks for them."""
    bucket.write("a", b"old")
    words = [sys.executable, "-c", KILLED, store.url(name)]
    with subprocess.Popen(
        words, env={**os.environ, **ENVIRONMENT}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "halfway\n"
        process.kill()
    assert bucket.read("a", 3) == b"old"
    assert keys_of(bucket.list_folder("")) == ["a"]
    [upload] = store.client().list_multipart_uploads(Bucket=name)["Uploads"]
    assert upload["Key"] == "a"


def test_large_objects_are_copied_in_parts(bucket, monkeypatch):
    """A copy that one request does not take is made of parts, within the store."""
    monkeypatch.setattr(s3_module, "COPY_PART_SIZE", 5 * 1024 * 1024)
    content = os.urandom(MEGABYTE) * 12
    bucket.write_pieces("from", [content])
    facts = bucket.copy("from", "to")
    assert facts == bucket.facts("to")
    assert b"".join(bucket.read_pieces("to")) == content
    with pytest.raises(FileNotFoundError):
        bucket.copy("nothing", "to")


def test_a_copy_onto_itself_changes_nothing(bucket):
    """S3 refuses it; here it is done already."""
    facts = bucket.write("a", b"x")
    assert bucket.copy("a", "a") == facts


def test_any_size_takes_the_memory_of_a_few_parts(moto):
    """An object that memory could not hold goes from bucket to bucket."""
    one = open_bucket(moto.url(moto.new_bucket()), {}, ENVIRONMENT)
    other = open_bucket(moto.url(moto.new_bucket()), {}, ENVIRONMENT)
    piece = b"x" * MEGABYTE
    one.write("warm", b"")
    tracemalloc.start()
    try:
        one.write_pieces("a", (piece for _ in range(60)))
        other.write_pieces("b", one.read_pieces("a"))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert other.facts("b").size == 60 * MEGABYTE
    assert most < 48 * MEGABYTE


# ---- from a URL to a bucket ------------------------------------------------------------------------------


def test_a_location_is_opened_as_the_settings_open_its_bucket(moto):
    """The URL of an object says where it is; how its store is reached is known from the bucket of the settings."""
    name = moto.new_bucket()
    urls = {"lines": moto.url(name, "some/where"), "other": "s3://another?region=eu-west-1"}
    bucket = open_bucket("lines", urls, ENVIRONMENT)
    bucket.write("a/b", b"x")
    assert bucket.url == f"s3://{name}/some/where"
    assert open_bucket(f"s3://{name}", urls, ENVIRONMENT).read("some/where/a/b", 1) == b"x"
    assert open_bucket(f"s3://{name}/some/", urls, ENVIRONMENT).read("where/a/b", 1) == b"x"


def test_the_usual_variables_lead_to_the_store(moto):
    """Without an option the endpoint comes from where AWS' own tools have it."""
    name = moto.new_bucket()
    for variable in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        bucket = open_bucket(f"s3://{name}", {}, {**ENVIRONMENT, variable: moto.endpoint})
        assert bucket.facts("a") is None


def test_a_profile_of_the_aws_settings_is_used(moto, tmp_path):
    """The files of AWS' own tools, with their profiles, hold; so do those of the home folder."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text(
        f"[profile tests]\nregion = eu-west-1\nendpoint_url = {moto.endpoint}\n"
        "aws_access_key_id = a\naws_secret_access_key = b\n"
    )
    environment = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    name = moto.new_bucket()
    assert open_bucket(f"s3://{name}?profile=tests", {}, environment).facts("a") is None
    with pytest.raises(BucketError, match=r"\(none\)|could not be found"):
        open_bucket(f"s3://{name}?profile=none", {}, environment)


def test_an_environment_that_is_given_is_not_left_behind(moto):
    """Credentials of a bucket are in no environment that other code sees."""
    before = dict(os.environ)
    open_bucket(moto.url(moto.new_bucket()), {}, {**ENVIRONMENT, "AWS_SESSION_TOKEN": "t"}).facts("a")
    assert dict(os.environ) == before
    assert type(os.environ) is os._Environ


def test_the_same_store_is_one_client():
    """Opening a bucket again costs nothing, and keeps the connections."""
    first = open_bucket("s3://bucket?region=eu-west-1", {}, ENVIRONMENT)
    assert open_bucket("s3://other/x?region=eu-west-1", {}, ENVIRONMENT)._client is first._client
    assert open_bucket("s3://bucket?region=eu-west-2", {}, ENVIRONMENT)._client is not first._client


def test_a_url_that_can_not_be_right_is_an_error_of_the_bucket():
    """What is wrong with a URL, or unclear, is told as the bucket's error."""
    with pytest.raises(BucketError, match="no place for credentials"):
        open_bucket("s3://user:hush@bucket", {}, ENVIRONMENT)
    urls = {"one": "s3://lines?endpoint=http://a", "two": "s3://lines?endpoint=http://b"}
    with pytest.raises(BucketError, match="several buckets of that name"):
        open_bucket("s3://lines", urls, ENVIRONMENT)


def test_a_missing_extra_is_told(tmp_path):
    """Without the library, an s3 bucket says how to get it, and all else works."""
    (tmp_path / "botocore.py").write_text("raise ModuleNotFoundError(name='botocore')")
    code = (
        "from clew.buckets import open_bucket\n"
        "from clew.ports import BucketError\n"
        "open_bucket('memory:', {})\n"
        "try:\n    open_bucket('s3://lines', {})\n"
        "except BucketError as error:\n    print(error)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "s3://lines: buckets in S3 need clew's extra 'aws': pip install 'clew[aws]'\n"
