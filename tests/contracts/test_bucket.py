"""What every bucket promises: one suite, run over each implementation, and what only folders have."""

from __future__ import annotations

import os
import socket
import threading
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.object_stores.serving import ENVIRONMENT

from clew.buckets import file as file_module
from clew.buckets import open_bucket
from clew.buckets.file import FileBucket
from clew.buckets.memory import MemoryBucket
from clew.buckets.searching import PAGE_SIZE, search
from clew.core.planning.search import Found, Missing, Search
from clew.core.program.model import Dependency, Element
from clew.ports import BucketError, ObjectFacts

IN_S3 = ["moto", "moto with a prefix", "seaweed"]


def opened(request, tmp_path, monkeypatch):
    if request.param == "memory":
        return MemoryBucket("memory:test")
    if request.param in IN_S3:
        store = request.getfixturevalue(request.param.partition(" ")[0])
        prefix = "some/where/" if "prefix" in request.param else ""
        return open_bucket(store.url(store.new_bucket(), prefix), {}, ENVIRONMENT)
    if request.param == "file with names":
        # As where the file system has no files without names.
        monkeypatch.setattr(file_module, "_UNNAMED", None)
    return FileBucket(str(tmp_path / "root"))


@pytest.fixture(params=["file", "file with names", "memory", *IN_S3])
def bucket(request, tmp_path, monkeypatch):
    return opened(request, tmp_path, monkeypatch)


@pytest.fixture(params=["memory", *IN_S3])
def opaque(request, tmp_path, monkeypatch):
    """A bucket that is no folder on a disk."""
    return opened(request, tmp_path, monkeypatch)


def listed(bucket, folder="", start=""):
    return [one if isinstance(one, str) else one.key for one in bucket.list_folder(folder, start)]


# ---- the promise -----------------------------------------------------------------------------------------


def test_what_is_written_is_read(bucket):
    """An object has the bytes, the size and the facts that writing it said."""
    facts = bucket.write("a/b.txt", b"hello")
    assert isinstance(facts, ObjectFacts)
    assert (facts.key, facts.size) == ("a/b.txt", 5)
    assert bucket.facts("a/b.txt") == facts
    assert bucket.read("a/b.txt", 5) == b"hello"


def test_a_write_replaces_the_whole_object(bucket):
    """Writing again leaves nothing of what was there, and changes the etag even at the same size."""
    first = bucket.write("a", b"12345")
    second = bucket.write("a", b"54321")
    assert bucket.read("a", 9) == b"54321"
    assert first.etag != second.etag
    assert listed(bucket) == ["a"]


def test_what_is_written_again_alike_stays_what_it_is(bucket):
    """Work is done at least once: the same bytes again leave the object's etag, for whoever has found it."""
    first = bucket.write("a", b"12345")
    assert bucket.write("a", b"12345").etag == first.etag
    assert bucket.write_pieces("a", [b"123", b"45"]).etag == first.etag
    bucket.write("b", b"12345")
    assert bucket.copy("b", "a").etag == first.etag
    assert bucket.facts("a").etag == first.etag
    assert listed(bucket) == ["a", "b"]


def test_a_missing_object_is_no_error_of_the_bucket(bucket):
    """None, False and FileNotFoundError say that an object is missing; BucketError says something else."""
    bucket.write("there/x", b"")
    for key in ("a", "there/a", "there/x/a", "there"):
        assert bucket.facts(key) is None
        assert bucket.delete(key) is False
        with pytest.raises(FileNotFoundError):
            bucket.read(key, 10)
        with pytest.raises(FileNotFoundError):
            bucket.copy(key, "new/b")
        with pytest.raises(FileNotFoundError):
            next(bucket.read_pieces(key))
    assert listed(bucket) == ["there/"]
    assert listed(bucket, "nowhere/") == []
    assert listed(bucket, "there/x/") == []


def test_an_object_that_is_too_large_is_refused(bucket):
    """Reading is bounded."""
    bucket.write("a", b"12345")
    with pytest.raises(BucketError, match="has 5 bytes; 4 is the most"):
        bucket.read("a", 4)


def test_a_copy_is_an_object_of_its_own(bucket):
    """A copy has the bytes, and goes on when the other is gone."""
    bucket.write("a", b"x" * 3_000_000)
    facts = bucket.copy("a", "deep/er/b")
    assert (facts.key, facts.size) == ("deep/er/b", 3_000_000)
    assert bucket.delete("a") is True
    assert bucket.delete("a") is False
    assert bucket.read("deep/er/b", 3_000_000) == b"x" * 3_000_000


def test_a_folder_lists_what_lies_directly_in_it(bucket):
    """Objects with their facts, folders by their keys, in order of key, those that begin as asked."""
    for key in ["b/1", "b/2/x", "b-1", "b.x", "a", "b/20"]:
        bucket.write(key, b"1")
    assert listed(bucket) == ["a", "b-1", "b.x", "b/"]
    assert listed(bucket, "", "b") == ["b-1", "b.x", "b/"]
    assert listed(bucket, "b/") == ["b/1", "b/2/", "b/20"]
    assert listed(bucket, "b/", "2") == ["b/2/", "b/20"]
    assert listed(bucket, "b/2/") == ["b/2/x"]
    [found] = bucket.list_folder("b/2/")
    assert found == bucket.facts("b/2/x")


# SeaweedFS removes an empty folder when it comes to it, minutes later.
@pytest.mark.parametrize("bucket", ["file", "file with names", "memory", "moto"], indirect=True)
def test_a_folder_is_gone_with_its_last_object(bucket):
    """There are no empty folders."""
    bucket.write("a/b/c/x", b"")
    bucket.write("a/y", b"")
    bucket.delete("a/b/c/x")
    assert listed(bucket, "a/") == ["a/y"]
    bucket.delete("a/y")
    assert listed(bucket) == []


@pytest.mark.parametrize("key", ["", "a/", "a\0b", "\ud800", "x" * 1_025, "é" * 513])
def test_what_is_no_key_is_refused(bucket, key):
    """What is no key is refused by every method, before anything is touched."""
    assert_refused(bucket, key)


@pytest.mark.parametrize("key", ["/a", "a//b", "../a", "a/../b", "a/./b", ".", "..", "a/.."])
def test_no_key_leads_out_of_a_folder(tmp_path, key):
    """What would be another path is no key of a folder on a disk, which says so."""
    assert_refused(FileBucket(str(tmp_path / "root")), key, "can't be in a folder")


def assert_refused(bucket, key, text=None):
    bucket.write("a", b"")
    for act in (
        lambda: bucket.facts(key),
        lambda: bucket.read(key, 1),
        lambda: next(bucket.read_pieces(key)),
        lambda: bucket.write(key, b""),
        lambda: bucket.write_pieces(key, never()),
        lambda: bucket.copy(key, "b"),
        lambda: bucket.copy("a", key),
        lambda: bucket.delete(key),
    ):
        with pytest.raises(BucketError, match=text):
            act()
    assert listed(bucket) == ["a"]


def test_keys_are_opaque(opaque):
    """What means something in a path, a URL, XML or to a reader of the key is but a part of the key."""
    keys = [*ANYWHERE, *(OF_NO_PATH if opaque_to_paths(opaque) else [])]
    if "moto" not in opaque.url:
        keys.append("new\nline")  # moto's server takes no such URL
    for key in keys:
        opaque.write(key, key.encode())
    for key in keys:
        assert opaque.read(key, 2_000) == key.encode()
        assert opaque.facts(key).key == key
        folder = key[: key.rfind("/") + 1]
        assert key in listed(opaque, folder)
        assert listed(opaque, folder, key[len(folder) :])[0] == key
    assert every_key_below(opaque, "") == sorted(keys)
    opaque.copy(keys[0], f"{keys[0]}+%2B copy")
    for key in keys:
        assert opaque.delete(key) is True
    assert every_key_below(opaque, "") == [f"{keys[0]}+%2B copy"]


ANYWHERE = [
    "%2e%2e/%41%",
    "100%",
    "a b+c%20d%2Bd",
    "tab\t",
    "carriage\rreturn",
    "control\x01\x7f",
    "<xml/>&amp;\"'",
    "q?versionId=1&uploads#x",
    "ﬁx",
    "fix",
    "é",
    "e\u0301",
    "Ａ",
    "\U0001f600/\U0010ffff",
    "\ue000",
    "...",
    "s3:bucket",
    f"{'n' * 100}/{'é' * 55}/{'m' * 200}",
]

OF_NO_PATH = [
    "..",
    ".",
    "../up",
    "a/../b",
    "a/./b",
    "a//b",
    "a///b",
    "/lead",
    "//two",
    "back\\slash",
    "\\",
    "x" * 1_000,
]


def opaque_to_paths(bucket):
    """Whether its keys are no paths, as those of SeaweedFS are, which changes what it is given or refuses it."""
    return "seaweed" not in bucket.url


def every_key_below(bucket, folder):
    return sorted(
        key
        for one in bucket.list_folder(folder)
        for key in ([one.key] if isinstance(one, ObjectFacts) else every_key_below(bucket, one))
    )


@pytest.mark.parametrize("folder", ["a", "\0/"])
def test_what_is_no_folder_is_not_listed(bucket, folder):
    """Only "" and keys that end in a slash are folders."""
    with pytest.raises(BucketError):
        list(bucket.list_folder(folder))


@pytest.mark.parametrize("folder", ["/", "../", "a//", "a/../"])
def test_no_listing_leads_out_of_a_folder(tmp_path, folder):
    """What would be another path is no folder in a folder on a disk."""
    with pytest.raises(BucketError, match="can't be in a folder"):
        FileBucket(str(tmp_path)).list_folder(folder)


def test_a_search_finds_what_was_written(bucket):
    """The conversation of a search, held against a bucket, finds and misses."""
    for number in range(3):
        bucket.write(f"tx/f{number}", b"")
    found = Search([Dependency("file", "lines", (Element("tx"), Element(r"f\d", "regex", "max")))], {})
    outcome = search(found, {"lines": bucket}.__getitem__)
    assert isinstance(outcome, Found)
    assert outcome.values["file"]["key"] == "tx/f2"
    assert outcome.values["file"]["etag"] == bucket.facts("tx/f2").etag
    missing = search(
        Search([Dependency("file", "lines", (Element("ty"),))], {}, probes=True), lambda name: bucket
    )
    assert isinstance(missing, Missing)
    assert missing.how_near == "the bucket exists; 0 of 1 names match `ty`"


def test_a_search_reads_as_many_pages_as_there_are(bucket):
    """A folder of more than a page is read to its end."""
    memory = MemoryBucket()
    for number in range(PAGE_SIZE * 2):
        memory.write(f"f{number}", b"")
    outcome = search(
        Search([Dependency("file", "x", (Element(r"f\d+", "regex", "max"),))], {}), lambda name: memory
    )
    assert outcome.values["file"]["key"] == f"f{PAGE_SIZE * 2 - 1}"


# ---- in pieces -------------------------------------------------------------------------------------------


def never():
    """Pieces that nobody may ask for."""
    pytest.fail("pieces were asked for")
    yield b""


def torn(*pieces, by):
    """Pieces, and then an error instead of the rest."""
    yield from pieces
    raise by


def test_pieces_make_one_object(bucket):
    """What is written in pieces is read whole, and what is written whole comes in pieces."""
    facts = bucket.write_pieces("a/b", iter([b"one", b"", b"two"]))
    assert facts == bucket.facts("a/b")
    assert bucket.read("a/b", 6) == b"onetwo"
    bucket.write("c", b"x" * 3_000_000)
    assert b"".join(bucket.read_pieces("c")) == b"x" * 3_000_000
    for key in ("d", "e"):
        bucket.write_pieces(key, ())
        assert b"".join(bucket.read_pieces(key)) == b""


@pytest.mark.parametrize(
    "error", [FileNotFoundError("no source"), BucketError("no answer"), ValueError("no")]
)
def test_pieces_that_fail_change_nothing(bucket, error):
    """When the pieces break off, their error comes through; the old object stays, and nothing is beside it."""
    bucket.write("a", b"old")
    for key in ("a", "new/folder/b"):
        with pytest.raises(type(error)) as raised:
            bucket.write_pieces(key, torn(b"n", b"e", by=error))
        assert raised.value is error
    assert bucket.read("a", 9) == b"old"
    assert listed(bucket) == ["a"]


def test_an_object_may_be_written_over_itself(bucket):
    """Reading goes on with what it began with, whatever happens to the object meanwhile."""
    bucket.write("a", b"x" * 3_000_000)
    bucket.write_pieces("a", bucket.read_pieces("a"))
    assert bucket.read("a", 3_000_000) == b"x" * 3_000_000
    pieces = bucket.read_pieces("a")
    first = next(pieces)
    bucket.write("a", b"other")
    assert first + b"".join(pieces) == b"x" * 3_000_000


def test_a_folder_that_is_gone_when_the_pieces_have_come_is_made_again(bucket):
    """A delete that empties the folder while an object is written there costs the object nothing."""
    bucket.write("folder/only", b"")

    def pieces():
        yield b"one"
        assert bucket.delete("folder/only")
        yield b"two"

    bucket.write_pieces("folder/new", pieces())
    assert bucket.read("folder/new", 6) == b"onetwo"
    assert listed(bucket, "folder/") == ["folder/new"]


def test_any_size_takes_the_memory_of_a_piece(tmp_path):
    """An object that memory could not hold is copied within a bucket and to another."""
    one, other = FileBucket(str(tmp_path / "one")), FileBucket(str(tmp_path / "other"))
    piece = b"x" * 1_000_000
    tracemalloc.start()
    try:
        one.write_pieces("a", (piece for _ in range(32)))
        one.copy("a", "b")
        other.write_pieces("c", one.read_pieces("b"))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert other.facts("c").size == 32_000_000
    assert most < 8_000_000


segments = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(st.lists(segments.filter(lambda one: one not in (".", "..")), min_size=1, max_size=4))
def test_any_name_of_a_file_is_a_key(tmp_path_factory, names):
    """Whatever a file system and UTF-8 allow in a name can be written, listed and read."""
    key = "/".join(names)
    bucket = FileBucket(str(tmp_path_factory.mktemp("root")))
    bucket.write(key, b"x")
    assert bucket.read(key, 1) == b"x"
    folder = "/".join(names[:-1]) + "/" if len(names) > 1 else ""
    assert listed(bucket, folder) == [key]


# ---- folders ---------------------------------------------------------------------------------------------


def test_links_are_followed_within_the_root_only(tmp_path):
    """A link that leads out of the root leads nowhere."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("s")
    root = tmp_path / "root"
    bucket = FileBucket(str(root))
    bucket.write("in/x", b"x")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "file").symlink_to(tmp_path / "outside/secret")
    (root / "dangling").symlink_to(root / "nothing")
    (root / "alias").symlink_to(root / "in")
    (root / "loop").symlink_to(root / "loop")
    assert listed(bucket) == ["alias/", "in/"]
    assert bucket.read("alias/x", 9) == b"x"
    assert listed(bucket, "alias/") == ["alias/x"]
    assert listed(bucket, "out/") == []
    for key in ("out/secret", "file", "dangling", "loop"):
        assert bucket.facts(key) is None
        with pytest.raises(FileNotFoundError):
            bucket.read(key, 9)
    assert bucket.delete("out/secret") is False
    with pytest.raises(BucketError, match="leads out of the bucket"):
        bucket.write("out/new", b"")
    assert os.listdir(tmp_path / "outside") == ["secret"]


def test_writing_over_a_link_replaces_the_link(tmp_path):
    """What a link points to outside is never written."""
    outside = tmp_path / "outside"
    outside.write_text("old")
    bucket = FileBucket(str(tmp_path / "root"))
    bucket.write("a", b"")
    os.unlink(tmp_path / "root/a")
    (tmp_path / "root/a").symlink_to(outside)
    bucket.write("a", b"new")
    assert outside.read_text() == "old"
    assert bucket.read("a", 9) == b"new"


def test_only_files_are_objects(tmp_path):
    """Pipes and sockets are neither listed nor opened, which would wait for ever."""
    root = tmp_path / "root"
    bucket = FileBucket(str(root))
    bucket.write("x", b"")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "socket"))
    (root / os.fsdecode(b"\xff")).write_text("")
    assert listed(bucket) == ["x"]
    for key in ("pipe", "socket"):
        assert bucket.facts(key) is None
        with pytest.raises(FileNotFoundError):
            bucket.read(key, 1)


def test_files_being_written_are_not_there(tmp_path):
    """A file that is not whole is not listed, and its name can't be taken."""
    bucket = FileBucket(str(tmp_path))
    (tmp_path / ".clew-writing-0").write_text("")
    assert listed(bucket) == []
    with pytest.raises(BucketError, match="begins like a file that is being written"):
        bucket.write(".clew-writing-0", b"")


@pytest.mark.parametrize("unnamed", [True, False])
def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch, unnamed):
    """When a write does not come to its end, the old object stays, and nothing beside it."""
    if not unnamed:
        monkeypatch.setattr(file_module, "_UNNAMED", None)
    bucket = FileBucket(str(tmp_path))
    bucket.write("a", b"old")
    monkeypatch.setattr(
        os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(BucketError, match="No space left on device"):
        bucket.write("a", b"new")
    monkeypatch.undo()
    assert bucket.read("a", 9) == b"old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("unnamed", [True, False])
def test_a_folder_in_the_way_is_told(tmp_path, monkeypatch, unnamed):
    """An object can't take the name of a folder, nor lie in an object, in a file system."""
    if not unnamed:
        monkeypatch.setattr(file_module, "_UNNAMED", None)
    bucket = FileBucket(str(tmp_path / "root"))
    bucket.write("a/b", b"")
    with pytest.raises(BucketError, match=r"Is a directory|File exists"):
        bucket.write("a", b"")
    with pytest.raises(BucketError, match=r"Not a directory|File exists"):
        bucket.write("a/b/c", b"")
    assert listed(bucket, "a/") == ["a/b"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_an_error(tmp_path):
    """What the system refuses is an error of the bucket and no missing object."""
    bucket = FileBucket(str(tmp_path))
    bucket.write("a/b", b"")
    os.chmod(tmp_path / "a", 0)
    with pytest.raises(BucketError, match="Permission denied"):
        listed(bucket, "a/")


def test_a_name_the_file_system_can_not_have_is_missing_or_told(tmp_path):
    """A name that is too long for the file system is not there, and can't be written."""
    bucket = FileBucket(str(tmp_path))
    assert bucket.facts("n" * 300) is None
    with pytest.raises(BucketError, match="File name too long"):
        bucket.write("n" * 300, b"")


def test_writes_and_deletes_side_by_side_leave_whole_objects(tmp_path):
    """While others remove the folder as empty, a write finds its way."""
    bucket = FileBucket(str(tmp_path / "root"))
    failures = []

    def churn(name):
        try:
            for _ in range(100):
                bucket.write(f"deep/folder/{name}", b"x")
                bucket.delete(f"deep/folder/{name}")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=churn, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert listed(bucket) == []


# ---- from a name to a bucket -----------------------------------------------------------------------------


def test_a_name_leads_to_its_folder(tmp_path):
    """A name is looked up; a URL and a path are opened as they are."""
    urls = {"lines": f"file://{tmp_path}/a%20b", "plain": str(tmp_path / "plain")}
    open_bucket("lines", urls).write("x", b"1")
    assert (tmp_path / "a b/x").read_bytes() == b"1"
    open_bucket("plain", urls).write("x", b"2")
    assert open_bucket(f"file:{tmp_path}/plain", {}).read("x", 1) == b"2"
    assert open_bucket(f"file://localhost{tmp_path}/plain", {}).read("x", 1) == b"2"
    assert open_bucket(str(tmp_path / "plain"), {}).url == f"file://{tmp_path}/plain"


def test_a_memory_bucket_is_the_same_one_each_time():
    """In one process a `memory:` URL stands for one bucket."""
    open_bucket("memory:same", {}).write("x", b"1")
    assert open_bucket("named", {"named": "memory:same"}).read("x", 1) == b"1"
    assert open_bucket("memory:other", {}).facts("x") is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("line", "no bucket 'line' is known; did you mean 'lines'?"),
        ("zzz", "name it in the settings, or write a URL"),
        ("gs://lines", "gs:// buckets are not available"),
        ("az://lines", "az:// buckets are not available"),
        ("ftp://lines", "is no bucket's URL"),
        ("file://elsewhere/lines", "names the host 'elsewhere'"),
    ],
)
def test_what_can_not_be_opened_says_why(name, text):
    """A bucket that is not known, or not yet possible, says what would be right."""
    with pytest.raises(BucketError) as raised:
        open_bucket(name, {"lines": "memory:"})
    assert text in str(raised.value)
