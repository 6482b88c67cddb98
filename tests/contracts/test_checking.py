"""What a stage has found is still what it was, or nothing is done with it."""

from __future__ import annotations

from typing import ClassVar

import pytest

from clew.buckets.checking import ASKED_ONE_BY_ONE_MAX, check_found
from clew.buckets.file import FileBucket
from clew.buckets.memory import MemoryBucket
from clew.ports import BucketError, FoundObject


@pytest.fixture(params=["file", "memory"])
def bucket(request, tmp_path):
    return MemoryBucket() if request.param == "memory" else FileBucket(str(tmp_path))


def found(bucket, *keys):
    return [FoundObject("lines", key, "" if key.endswith("/") else bucket.facts(key).etag) for key in keys]


def check(bucket, objects):
    return check_found(objects, {"lines": bucket}.__getitem__)


@pytest.mark.parametrize("count", [1, ASKED_ONE_BY_ONE_MAX + 5])
def test_what_is_as_it_was_found_is_let_through(bucket, count):
    """Few objects of a folder are asked for one by one, many are listed."""
    for number in range(count):
        bucket.write(f"in/f{number}", b"x")
    assert check(bucket, found(bucket, *(f"in/f{number}" for number in range(count)))) is None


@pytest.mark.parametrize("count", [2, ASKED_ONE_BY_ONE_MAX + 5])
def test_what_was_changed_or_is_gone_is_named(bucket, count):
    """One kind of error, and of each object what has become of it."""
    for number in range(count):
        bucket.write(f"in/f{number}", b"x")
    objects = found(bucket, *(f"in/f{number}" for number in range(count)))
    bucket.write("in/f0", b"another")
    bucket.delete("in/f1")
    report = check(bucket, objects)
    assert (report.outcome, report.error.kind) == ("failed", "input_changed")
    assert "'in/f0' of lines has changed since it was found" in report.error.message
    assert "'in/f1' of lines is gone since it was found" in report.error.message
    assert "in/f2" not in report.error.message


def test_a_folder_is_there_as_long_as_anything_lies_in_it(bucket):
    """A folder has no etag; it is gone when it is empty."""
    bucket.write("in/day/f", b"x")
    objects = found(bucket, "in/day/")
    assert check(bucket, objects) is None
    bucket.write("in/day/g", b"x")
    assert check(bucket, objects) is None
    bucket.delete("in/day/f")
    bucket.delete("in/day/g")
    assert "'in/day/' of lines is gone" in check(bucket, objects).error.message


def test_a_folder_that_was_found_empty_may_stay_so(tmp_path):
    """A directory that somebody has made is found; that nothing lies in it is no change."""
    (tmp_path / "in" / "day").mkdir(parents=True)
    bucket = FileBucket(str(tmp_path))
    assert list(bucket.list_folder("in/")) == ["in/day/"]
    objects = found(bucket, "in/day/")
    assert check(bucket, objects) is None
    (tmp_path / "in" / "day").rmdir()
    assert "'in/day/' of lines is gone" in check(bucket, objects).error.message


def test_of_many_objects_only_names_that_begin_like_theirs_are_listed():
    """Not a folder of millions for the sake of some."""

    class Listed(MemoryBucket):
        starts: ClassVar[list[str]] = []

        def list_folder(self, folder, start=""):
            self.starts.append(start)
            return super().list_folder(folder, start)

    bucket = Listed()
    for number in range(ASKED_ONE_BY_ONE_MAX + 5):
        bucket.write(f"in/batch_{number}", b"x")
    objects = found(bucket, *(f"in/batch_{number}" for number in range(ASKED_ONE_BY_ONE_MAX + 5)))
    assert check(bucket, objects) is None
    assert bucket.starts == ["batch_"]


def test_very_many_that_have_changed_are_counted(bucket):
    """A message names some of them."""
    for number in range(30):
        bucket.write(f"in/f{number}", b"x")
    objects = found(bucket, *(f"in/f{number}" for number in range(30)))
    for number in range(30):
        bucket.delete(f"in/f{number}")
    assert " and 20 more" in check(bucket, objects).error.message


def test_a_bucket_that_cannot_answer_is_no_change():
    """Then the attempt has not begun, and is ordered again."""

    class Silent(MemoryBucket):
        def facts(self, key):
            raise BucketError("503")

    report = check_found([FoundObject("lines", "in/f", "e")], lambda name: Silent())
    assert (report.outcome, report.error.kind, report.error.message) == ("not_begun", "bucket", "503")
