"""What changes in a followed folder is told, by the system and at once; what does not matter is not."""

from __future__ import annotations

import os
import select
import time
from collections import Counter
from pathlib import Path

import pytest
from asyncinotify import Inotify, Mask, Watch

from clew.buckets.events import FolderEvents
from clew.buckets.file import FileBucket
from clew.ports import ListingName

NOW = 1 << 60
"""As if it had been looked through just now, whatever the clock says."""


class Followed:
    """A bucket in a folder, and how often each of its folders was told of."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bucket = FileBucket(str(root))
        self.events = FolderEvents()
        self.told: Counter[str] = Counter()

    def follow(self, folder: str, since: int = NOW) -> ListingName:
        listing = ListingName(self.bucket.url, folder, "")
        self.events.follow(listing, since, lambda: self.told.update([folder]))
        return listing

    def hear(self) -> Counter[str]:
        """What the system tells of what was done before: it has it in hand when the call that does it returns."""
        while select.select([self.events], [], [], 0)[0]:
            self.events.read()
        told, self.told = self.told, Counter()
        return told


@pytest.fixture
def followed(tmp_path):
    found = Followed(tmp_path / "root")
    yield found
    found.events.close()


def test_a_file_that_is_written_moved_or_linked_here_is_told(followed):
    """By clew or by others; once for all that came together."""
    followed.bucket.write("in/first", b"1")
    folder = followed.root / "in"
    followed.follow("in/")
    followed.bucket.write("in/new", b"2")
    assert followed.hear() == {"in/": 1}
    followed.bucket.write("in/new", b"3")
    assert followed.hear() == {"in/": 1}
    (folder / "plain").write_text("x")
    assert followed.hear() == {"in/": 1}
    (followed.root / "elsewhere").write_text("x")
    os.rename(followed.root / "elsewhere", folder / "moved")
    assert followed.hear() == {"in/": 1}
    os.link(folder / "plain", folder / "linked")
    assert followed.hear() == {"in/": 1}


def test_a_file_that_is_begun_is_told_when_it_is_written_to_its_end(followed):
    """Who looked at its first byte would find half of it."""
    followed.bucket.write("in/first", b"1")
    followed.follow("in/")
    with open(followed.root / "in" / "long", "w") as file:
        file.write("half")
        file.flush()
        assert followed.hear() == {}
        file.write("whole")
    assert followed.hear() == {"in/": 1}


def test_a_folder_that_is_not_there_yet_is_followed_from_above(followed):
    """As far as there is something to watch; what else happens on the way is not told."""
    followed.bucket.write("other/x", b"1")
    followed.follow("in/deep/er/")
    (followed.root / "in").mkdir()
    followed.hear()
    followed.bucket.write("in/x", b"1")
    assert followed.hear() == {}
    (followed.root / "in" / "deep" / "er").mkdir(parents=True)
    followed.hear()
    followed.bucket.write("in/deep/er/y", b"1")
    assert followed.hear()["in/deep/er/"] >= 1
    followed.bucket.write("in/deep/er/z", b"1")
    assert followed.hear() == {"in/deep/er/": 1}


def test_a_bucket_that_is_not_there_yet_is_followed(followed):
    """The first file makes its folder."""
    followed.follow("in/")
    followed.bucket.write("in/x", b"1")
    assert followed.hear()["in/"] >= 1


def test_a_folder_that_was_removed_and_made_again_is_followed_on(followed):
    """An emptied folder of a bucket goes, and comes back with the next file."""
    followed.bucket.write("in/x", b"1")
    followed.bucket.write("stays", b"1")
    followed.follow("in/")
    followed.bucket.delete("in/x")
    followed.hear()
    followed.bucket.write("in/y", b"1")
    assert followed.hear()["in/"] >= 1


def test_what_changed_since_it_was_looked_through_is_told_at_once(followed):
    """Between the look and the following nothing is lost."""
    followed.bucket.write("in/x", b"1")
    before = time.time_ns() // 1_000_000 - 10_000
    followed.follow("in/", since=before)
    assert followed.told == {"in/": 1}


def test_what_is_left_is_not_told(followed):
    """Neither of two that follow one folder takes the other's away."""
    followed.bucket.write("in/x", b"1")
    one = followed.follow("in/")
    other = ListingName(followed.bucket.url, "in/", "y")
    followed.events.follow(other, NOW, lambda: followed.told.update(["other"]))
    followed.events.leave(one)
    followed.events.leave(one)
    followed.bucket.write("in/y", b"1")
    assert followed.hear() == {"other": 1}
    followed.events.leave(other)
    followed.bucket.write("in/z", b"1")
    assert followed.hear() == {}


def test_what_cannot_be_watched_is_no_trouble(followed):
    """Buckets elsewhere, and folders that can't be seen."""
    followed.events.follow(ListingName("s3://lines", "in/", ""), 0, lambda: followed.told.update(["s3"]))
    (followed.root).mkdir()
    (followed.root / "file").write_text("x")
    followed.follow("file/in/", since=NOW)
    assert followed.hear() == {}


# ---- what does not matter, and what must not be lost -----------------------------------------------------


def names_of(followed: Followed, start: str) -> ListingName:
    """Follow the names in a folder that begin so; told of under that beginning."""
    listing = ListingName(followed.bucket.url, "in/", start)
    followed.events.follow(listing, NOW, lambda: followed.told.update([start]))
    return listing


def test_only_names_that_a_listing_holds_are_told(followed):
    """Ten thousand may wait for ten thousand files of one folder: each file is news for one of them."""
    followed.bucket.write("in/first", b"1")
    names_of(followed, "a")
    names_of(followed, "b")
    followed.bucket.write("in/a1", b"2")
    assert followed.hear() == {"a": 1}
    followed.bucket.write("in/a1", b"3")
    assert followed.hear() == {"a": 1}
    (followed.root / "in" / "b1").write_text("x")
    assert followed.hear() == {"b": 1}
    (followed.root / "in" / "b2").mkdir()
    assert followed.hear() == {"b": 1}
    followed.bucket.write_pieces("in/c", (b"4", b"5"))
    assert followed.hear() == {}


def test_a_whole_file_is_told_while_others_are_being_written(followed):
    """A file that clew writes has no name before it is whole, and the system tells its end without its name."""
    followed.bucket.write("in/first", b"1")
    names_of(followed, "a")
    with open(followed.root / "in" / "b", "w") as file:
        file.write("half")
        file.flush()
        assert followed.hear() == {}
        followed.bucket.write("in/a1", b"2")
        assert followed.hear() == {"a": 1}


def test_a_file_of_a_curious_name_is_told(followed):
    """One that looks like the system's word for a file without a name."""
    followed.bucket.write("in/first", b"1")
    names_of(followed, "#")
    (followed.root / "in" / "#12").write_text("x")
    assert followed.hear() == {"#": 1}
    (followed.root / "in" / "#12").write_text("y")
    assert followed.hear() == {"#": 1}


def test_a_symbolic_link_is_told(followed):
    """Some publish a file by a link to it: it is there as it stays."""
    followed.bucket.write("elsewhere/whole", b"1")
    followed.bucket.write("in/first", b"1")
    followed.follow("in/")
    (followed.root / "in" / "link").symlink_to(followed.root / "elsewhere" / "whole")
    assert followed.hear() == {"in/": 1}


def test_who_comes_later_is_told_what_changed_since_its_own_look(followed):
    """The listing is followed for others already, who have been told: the newcomer would wait for nothing."""
    followed.bucket.write("in/x", b"1")
    listing = followed.follow("in/")
    before = time.time_ns() // 1_000_000 - 10_000
    followed.events.follow(listing, before, lambda: followed.told.update(["newcomer"]))
    assert followed.told == {"newcomer": 1}


def test_a_folder_that_comes_to_be_just_before_it_is_watched_is_not_missed(followed, monkeypatch):
    """Between finding the nearest folder that there is, and watching it."""
    followed.bucket.write("x", b"1")
    add_watch = Inotify.add_watch

    def slowly(self: Inotify, path: str, mask: Mask) -> Watch:
        (followed.root / "in").mkdir(exist_ok=True)
        return add_watch(self, path, mask)

    monkeypatch.setattr(Inotify, "add_watch", slowly)
    followed.follow("in/")
    followed.hear()
    followed.bucket.write("in/y", b"1")
    assert followed.hear() == {"in/": 1}
