"""A store that fails, hangs, cuts or forgets: no wrong answer, no `missing`, and it goes on by itself."""

from __future__ import annotations

import os

import pytest
from tests.object_stores.faulty import FaultyStore
from tests.object_stores.serving import ENVIRONMENT

from clew.buckets.s3 import bucket as s3_module
from clew.buckets.s3 import clients
from clew.buckets.s3.bucket import S3Bucket
from clew.buckets.s3.clients import client_of
from clew.buckets.s3.trying import Patience
from clew.core.planning.s3_urls import S3Options, S3Place
from clew.ports import BucketError

QUICK = Patience(seconds=30, first_pause_seconds=0.001, pause_seconds_max=0.01)
SHORT = Patience(seconds=0.15, first_pause_seconds=0.001, pause_seconds_max=0.01)

CONTENT = os.urandom(1_500_000)
PART_SIZE = 5 * 1024 * 1024  # the least that stores take
LARGE = os.urandom(1_000_000) * 11
KEYS = [f"f{number:02}" for number in range(7)] + ["folder/x"]
LISTED = [*KEYS[:-1], "folder/"]


@pytest.fixture(scope="module")
def served(moto):
    """The faulty server, and a client that asks there; it waits no longer than a test may."""
    faulty = FaultyStore(moto)
    with pytest.MonkeyPatch.context() as patched, faulty.running() as store:
        patched.setattr(clients, "ANSWER_SECONDS_MAX", 0.3)
        yield faulty, client_of(S3Options(endpoint=store.endpoint), ENVIRONMENT)


@pytest.fixture
def faulty(served):
    """The server, which does nothing wrong yet."""
    served[0].forget()
    return served[0]


@pytest.fixture
def opened(served, faulty, moto, monkeypatch):
    """Buckets over the faulty server, by patience; what is in them was put there behind its back."""
    monkeypatch.setattr(s3_module, "PART_SIZE", PART_SIZE)
    name = moto.new_bucket()
    client = moto.client()
    for key in KEYS:
        client.put_object(Bucket=name, Key=key, Body=CONTENT if key == "f00" else b"")
    return lambda patience=QUICK: S3Bucket(served[1], S3Place(name, ""), patience)


def keys_of(listed):
    return [one if isinstance(one, str) else one.key for one in listed]


def lists(bucket):
    assert keys_of(bucket.list_folder("")) == LISTED


def knows(bucket):
    assert bucket.facts("f00").size == len(CONTENT)


def reads(bucket):
    assert bucket.read("f00", len(CONTENT)) == CONTENT


def reads_pieces(bucket):
    assert b"".join(bucket.read_pieces("f00")) == CONTENT


def writes(bucket):
    assert bucket.write("new", b"x" * 100).size == 100
    assert bucket.read("new", 100) == b"x" * 100


def writes_pieces(bucket):
    assert bucket.write_pieces("new", [LARGE]).size == len(LARGE)
    assert b"".join(bucket.read_pieces("new")) == LARGE


def copies(bucket):
    assert bucket.copy("f00", "new").size == len(CONTENT)
    assert bucket.read("new", len(CONTENT)) == CONTENT


def deletes(bucket):
    assert bucket.delete("f00") is True
    assert bucket.facts("f00") is None


ACTS = {
    lists: ["GET ?list-type"],
    knows: ["HEAD"],
    reads: ["GET"],
    reads_pieces: ["GET"],
    writes: ["PUT", "HEAD"],
    writes_pieces: ["POST ?uploads", "PUT ?partNumber", "POST ?uploadId", "HEAD"],
    copies: ["HEAD", "PUT"],
    deletes: ["HEAD", "DELETE"],
}
CASES = [
    pytest.param(act, kind, id=f"{act.__name__}-{kind}") for act, kinds in ACTS.items() for kind in kinds
]
FAULTS = ["500", "503", "429", "closed", "reset", "answer lost", "hangs", "body cut", "web page"]


def is_possible(kind, fault):
    if fault == "body cut":
        return kind.startswith(("GET", "POST"))  # the others have none
    return not (fault == "web page" and kind == "DELETE")  # whose answer says no more than that


@pytest.mark.parametrize(("act", "kind"), CASES)
def test_what_passes_is_not_seen(faulty, opened, act, kind):
    """One of each fault in a row, and then none: the answer is the right one."""
    faulty.faults[kind] = [fault for fault in FAULTS if is_possible(kind, fault)]
    act(opened())
    assert not faulty.faults[kind]


@pytest.mark.parametrize(("act", "kind"), CASES)
def test_what_does_not_pass_is_an_error_of_the_bucket(faulty, opened, act, kind):
    """A fault that stays is an error, and never a missing object or a part of one."""
    bucket = opened(SHORT)
    for fault in ("503", "reset", "hangs", "body cut", "web page", "403"):
        if is_possible(kind, fault):
            faulty.always[kind] = fault
            with pytest.raises(BucketError):
                act(bucket)


@pytest.mark.parametrize("page_size", [2, 3])
@pytest.mark.parametrize(
    "faults",
    [
        [None, "page again"], [None, None, "page again", None, "page again"], [None, "token lost"],
        [None, None, "token lost", "token lost"], ["no token"], [None, "no token", "no token"],
        ["text cut"], [None, "text cut", "body cut"], [None, "503", "reset", "closed", "web page"],
    ],
    ids=str,
)  # fmt: skip
def test_pages_that_go_wrong_make_the_right_list(faulty, opened, monkeypatch, page_size, faults):
    """Pages that come again, that are cut, whose token is lost on the way or back: the list is the right one."""
    monkeypatch.setattr(s3_module, "PAGE_SIZE", page_size)
    faulty.faults["GET ?list-type"] = list(faults)
    lists(opened())


@pytest.mark.parametrize("fault", ["page again", "token lost", "text cut", "web page"])
def test_pages_that_stay_wrong_are_an_error(faulty, opened, monkeypatch, fault):
    """A list that never gets right is an error."""
    monkeypatch.setattr(s3_module, "PAGE_SIZE", 3)
    faulty.faults["GET ?list-type"] = [None]
    faulty.always["GET ?list-type"] = fault
    with pytest.raises(BucketError, match="listing ''"):
        lists(opened(SHORT))


def test_a_body_that_is_cut_again_and_again_is_read_on(faulty, opened):
    """Reading goes on where the body was cut, and asks for nothing twice that has come."""
    faulty.faults["GET"] = ["body cut"] * 6
    reads_pieces(opened())
    assert faulty.asked.count("GET") == 7


def test_an_object_that_is_changed_while_it_is_read_is_told(faulty, opened, moto):
    """After a cut, the rest of another object is no rest of this one."""
    bucket = opened()
    for change in (lambda: bucket.write("f00", CONTENT[::-1]), lambda: bucket.delete("f00")):
        bucket.write("f00", CONTENT)
        faulty.faults["GET"] = ["body cut"]
        pieces = bucket.read_pieces("f00")
        assert next(pieces)
        change()
        with pytest.raises(BucketError, match="'f00' was changed while it was read"):
            list(pieces)


def test_an_upload_is_put_together_once(faulty, opened):
    """Where the answer to the last step is lost, the object that it made is found, and nothing is sent again."""
    faulty.faults["POST ?uploadId"] = ["answer lost"]
    writes_pieces(opened())
    assert faulty.asked.count("PUT ?partNumber") == 3
    assert faulty.asked.count("POST ?uploads") == 1


def test_an_upload_that_was_lost_is_told(faulty, opened, moto):
    """A store that forgets an upload without having made the object is an error; the old object stays."""
    bucket = opened(SHORT)

    def pieces():
        yield LARGE
        for upload in moto.client().list_multipart_uploads(Bucket=bucket._name)["Uploads"]:
            moto.client().abort_multipart_upload(
                Bucket=bucket._name, Key=upload["Key"], UploadId=upload["UploadId"]
            )
        yield b"end"

    with pytest.raises(BucketError):
        bucket.write_pieces("f00", pieces())
    assert bucket.facts("f00").size == len(CONTENT)


def test_a_store_that_is_not_there_is_told():
    """Nobody at the address: an error that says where was asked, and how often."""
    bucket = S3Bucket(
        client_of(S3Options(endpoint="http://127.0.0.1:1"), ENVIRONMENT), S3Place("b", ""), SHORT
    )
    for act in (lambda: bucket.facts("a"), lambda: list(bucket.list_folder("")), lambda: bucket.delete("a")):
        with pytest.raises(BucketError, match=r"http://127.0.0.1:1.*tried \d+ times"):
            act()
