"""Buckets of a rehearsal are copies, whatever a program calls them by."""

from __future__ import annotations

import pytest

from clew.buckets.confining import NoDouble, confined
from clew.ports import Doubles


@pytest.fixture
def doubles(tmp_path):
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "scratch" / "copy").mkdir(parents=True)
    return Doubles(
        folder=str(tmp_path / "scratch"),
        marks="",
        folders={str(tmp_path / "data"): str(tmp_path / "scratch" / "copy")},
    )


def test_a_name_is_opened_as_it_is(doubles):
    """The names that the attempt knows are those of copies already."""
    assert confined("lines", {"lines": "file:/copy"}, doubles) == "lines"


def test_a_folder_has_its_place_in_the_copy(doubles, tmp_path):
    """A folder that was copied, or lies in one that was, is opened in the copy; one among the copies stays."""
    copy = tmp_path / "scratch" / "copy"
    assert confined(f"file:{tmp_path}/data", {}, doubles) == str(copy)
    assert confined(f"file://{tmp_path}/data/deep", {}, doubles) == str(copy / "deep")
    assert confined(str(tmp_path / "scratch" / "files"), {}, doubles) == str(tmp_path / "scratch" / "files")


@pytest.mark.parametrize(
    "url", ["file:{}/other", "file:{}/data/../other", "file:{}/database", "memory:", "s3://lines", "lines"]
)
def test_any_other_bucket_is_refused(doubles, tmp_path, url):
    """A bucket that was not copied is not opened, by whichever way its path leads there."""
    with pytest.raises(NoDouble):
        confined(url.format(tmp_path), {}, doubles)


def test_a_link_out_of_the_copies_is_refused(doubles, tmp_path):
    """A link among the copies that leads elsewhere is what it leads to."""
    (tmp_path / "scratch" / "link").symlink_to(tmp_path / "other")
    with pytest.raises(NoDouble):
        confined(f"file:{tmp_path}/scratch/link", {}, doubles)
