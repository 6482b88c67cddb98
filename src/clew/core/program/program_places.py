"""Where programs are read from, as the settings say it: files and folders of this machine, buckets, git repositories.

What is wrong is known from the text alone, before anything is looked at. No place holds credentials: its name is shown,
and kept with every program that is read from it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from clew.core.planning.s3_urls import SCHEME, place_of
from clew.core.program.durations import read_duration, written_duration
from clew.core.program.model import Json
from clew.core.program.problems import nearest
from clew.core.program.sources import as_folder, git_address_problem, git_folder_problem
from clew.core.timing.columns import CadenceError
from clew.core.timing.schedule import next_due
from clew.core.timing.timing import Timing
from clew.core.timing.zones import zone

EVERY_MILLISECONDS = 60_000
"""How often a place is looked at, if it does not say."""
EVERY_MILLISECONDS_MIN = 1_000
"""More often is no reading again but a load on whoever is asked."""
EVERY_MILLISECONDS_MAX = 86_400_000
"""What is read more seldom than once a day is read again by a restart."""

REFERENCE_SIZE_MAX = 250
"""Bytes of a branch's or a tag's name: more than file systems let git keep."""

_PACE = ("every", "cadence")
_KEYS: Mapping[str, tuple[str, ...]] = {
    "place": ("place", *_PACE),
    "bucket": ("bucket", "folder", *_PACE),
    "git": ("git", "branch", "tag", "folder", *_PACE),
}
"""What a table may say, by the key that says what sort of place it is."""

_EXAMPLES = (
    'write {place = "programs", every = "10 seconds"}, {bucket = "code", folder = "programs"} or '
    '{git = "https://host/programs.git", branch = "main"}'
)
_GIT = 'a git repository is named by a table, such as {git = "https://host/programs.git", branch = "main"}'
_LATER = ("gs", "az")
_NO_REFERENCE = r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//"
"""What git has in the name of no branch and no tag."""


class PlaceMistake(Exception):
    """A place of programs can't be meant like that. `where`: in the list, such as `[1].every`; empty for one alone."""

    def __init__(self, what: str, where: str = "") -> None:
        super().__init__(what)
        self.where = where


class LocalPlace(Struct, frozen=True):
    """A file or a folder of this machine, or a reference `module:name`."""

    path: str
    every: int = EVERY_MILLISECONDS
    """Milliseconds from one reading to the next, though nothing tells that something has changed."""
    cadence: str = ""
    """When it is read instead: a cron expression, in UTC."""

    @property
    def name(self) -> str:
        return self.path


class BucketPlace(Struct, frozen=True):
    """A folder of a bucket, which is named as in the settings, or by its URL; "" for all of it."""

    bucket: str
    folder: str = ""
    every: int = EVERY_MILLISECONDS
    cadence: str = ""

    @property
    def name(self) -> str:
        """As it is shown: how a store is reached is no part of it."""
        bucket = (
            place_of(self.bucket).url if self.bucket.startswith(SCHEME) else self.bucket.removesuffix("/")
        )
        return f"{bucket}/{self.folder}" if self.folder else bucket

    @property
    def prefix(self) -> str:
        """What the names of all begin with that is read from there."""
        return f"{self.name}/"


class GitPlace(Struct, frozen=True):
    """A folder ("" for all) of what a branch or a tag of a git repository leads to."""

    address: str
    branch: str = ""
    tag: str = ""
    folder: str = ""
    every: int = EVERY_MILLISECONDS
    cadence: str = ""

    @property
    def name(self) -> str:
        return f"{self.address}@{self.branch or self.tag}" + (f":{self.folder}" if self.folder else "")

    @property
    def prefix(self) -> str:
        """What the names of all begin with that is read from there."""
        return f"{self.address}@{self.branch or self.tag}:{as_folder(self.folder)}"


FetchedPlace = BucketPlace | GitPlace
"""A place that is no file of this machine: what it holds is fetched."""
ProgramPlace = LocalPlace | FetchedPlace
_Pace = tuple[int, str]
_USUAL: _Pace = (EVERY_MILLISECONDS, "")


def next_reading(place: ProgramPlace, now: int) -> int:
    """When a place is read again that was read just now; in milliseconds since 1970."""
    if not place.cadence:
        return now + place.every
    due = next_due(_timing(place.cadence), live_since=0, settled_until=now)
    assert due is not None, "a cron expression is due again and again"
    return due


def read_places(said: Sequence[Json], folder: str) -> tuple[ProgramPlace, ...]:
    """As `read_place`, for a list of them, of which none is there twice. Raises PlaceMistake."""
    places: dict[str, ProgramPlace] = {}
    for at, one in enumerate(said):
        try:
            place = read_place(one, folder)
        except PlaceMistake as mistake:
            where = f"[{at}]" + (f".{mistake.where}" if mistake.where else "")
            raise PlaceMistake(str(mistake), where) from None
        if place.name in places:
            raise PlaceMistake(f"{place.name} is there already; leave one of them out", f"[{at}]")
        places[place.name] = place
    return tuple(places.values())


def unknown_bucket(places: Sequence[ProgramPlace], buckets: Collection[str]) -> str | None:
    """What is wrong where a place names a bucket that is none of these; None if nothing is."""
    for place in places:
        if isinstance(place, BucketPlace) and not _is_url(place.bucket) and place.bucket not in buckets:
            hint = (
                nearest(place.bucket, buckets)
                or "name it under [buckets], or write a URL such as s3://code/programs/"
            )
            return f"{place.name}: there is no bucket '{place.bucket}'; {hint}"
    return None


def read_place(said: Json, folder: str) -> ProgramPlace:
    """The place that a text or a table means. Relative paths begin in `folder`. Raises PlaceMistake."""
    if isinstance(said, str) and said:
        return _of_text(said, folder, _USUAL)
    if not isinstance(said, dict):
        raise PlaceMistake(f'must be a file, a folder, a URL or a table, such as "programs"; {_EXAMPLES}')
    sorts = [key for key in _KEYS if key in said]
    if len(sorts) != 1:
        what = f"is {' and '.join(sorts)} at once" if sorts else "says not where programs are"
        raise PlaceMistake(f"{what}; {_EXAMPLES}")
    sort = sorts[0]
    for key, value in said.items():
        if key not in _KEYS[sort]:
            hint = nearest(key, _KEYS[sort]) or f"there are {', '.join(_KEYS[sort])}"
            raise PlaceMistake(f"there is no such key; {hint}", key)
        if not isinstance(value, str) or not value:
            raise PlaceMistake("must be a text", key)
    pace = _read_pace(said)
    if sort == "place":
        return _of_text(said["place"], folder, pace, "place")
    if sort == "bucket":
        return _of_bucket(said, folder, pace)
    return _of_git(said, folder, pace)


def _of_text(text: str, folder: str, pace: _Pace, key: str = "") -> ProgramPlace:
    if _is_url(text):
        return BucketPlace(_bucket_url(text, folder, key), "", *pace)
    if re.match(r"[\w.-]+@[\w.-]+:", text):
        raise PlaceMistake(_GIT, key)
    return LocalPlace(text if ":" in text else posixpath.join(folder, text), *pace)


def _bucket_url(url: str, folder: str, key: str) -> str:
    scheme = url.partition(":")[0]
    if scheme == "file":
        path = url.removeprefix("file:")
        return url if path.startswith("/") else f"file:{posixpath.join(folder, path)}"
    if scheme == "s3":
        try:
            place_of(url)
        except ValueError as error:
            raise PlaceMistake(str(error), key) from None
        return url
    if scheme in _LATER:
        raise PlaceMistake(f"{scheme}:// buckets are not available in this version; use s3:// or file:", key)
    if scheme in ("https", "http", "ssh", "git"):
        raise PlaceMistake(_GIT, key)
    raise PlaceMistake(f"'{scheme}:' begins no bucket's URL; it begins with s3:// or file:", key)


def _of_bucket(said: Mapping[str, str], folder: str, pace: _Pace) -> BucketPlace:
    bucket = said["bucket"]
    if _is_url(bucket):
        return BucketPlace(_bucket_url(bucket, folder, "bucket"), _read_folder(said, "bucket"), *pace)
    if "/" in bucket or ":" in bucket:
        what = f"{bucket[:200]!r} is the name of no bucket, and no URL; its folder is a key of its own"
        raise PlaceMistake(what, "bucket")
    return BucketPlace(bucket, _read_folder(said, "bucket"), *pace)


def _is_url(text: str) -> bool:
    """Whether it is the URL of a bucket: `module:name` is none."""
    return text.startswith("file:") or "://" in text


def _of_git(said: Mapping[str, str], folder: str, pace: _Pace) -> GitPlace:
    address, branch, tag = said["git"], said.get("branch", ""), said.get("tag", "")
    problem = git_address_problem(address)
    if problem is not None:
        raise PlaceMistake("; ".join(problem), "git")
    if bool(branch) == bool(tag):
        raise PlaceMistake(
            'name a branch or a tag of it, such as branch = "main"', "branch" if branch else ""
        )
    for key, name in (("branch", branch), ("tag", tag)):
        if name and not _is_reference(name):
            raise PlaceMistake(f"{name[:60]!r} is the name of no {key}", key)
    if address.startswith(("./", "../")):
        address = posixpath.normpath(posixpath.join(folder, address))
    return GitPlace(address, branch, tag, _read_folder(said, "repository"), *pace)


def _read_folder(said: Mapping[str, str], of: str) -> str:
    folder = said.get("folder", "").removesuffix("/")
    if git_folder_problem(folder) is not None:
        what = f"{folder[:200]!r} is no folder of a {of}; write its path from the top, such as jobs/daily"
        raise PlaceMistake(what, "folder")
    return folder


def _read_pace(said: Mapping[str, str]) -> _Pace:
    every, cadence = said.get("every"), said.get("cadence", "")
    if every is not None and cadence:
        raise PlaceMistake("there is 'every' already; leave one of them out", "cadence")
    if cadence:
        try:
            _timing(cadence)
        except CadenceError as error:
            raise PlaceMistake(str(error), "cadence") from None
    if every is None:
        return EVERY_MILLISECONDS, cadence
    try:
        found = read_duration(every)
    except ValueError as error:
        raise PlaceMistake(str(error), "every") from None
    if not EVERY_MILLISECONDS_MIN <= found <= EVERY_MILLISECONDS_MAX:
        least, most = written_duration(EVERY_MILLISECONDS_MIN), written_duration(EVERY_MILLISECONDS_MAX)
        raise PlaceMistake(f"must be {least} to {most}", "every")
    return found, ""


def _timing(cadence: str) -> Timing:
    """Of one expression: neither `once` nor a date-time is read again and again. Raises CadenceError."""
    return Timing(((cadence,),), zone("UTC"))


def _is_reference(name: str) -> bool:
    """Whether git may have a branch or a tag of that name; none of them is taken for an option or a pattern."""
    segments = name.split("/")
    return (
        name.isprintable()
        and len(name.encode()) <= REFERENCE_SIZE_MAX
        and not name.startswith("-")
        and not name.endswith(".")
        and re.search(_NO_REFERENCE, name) is None
        and all(one and not one.startswith(".") and not one.endswith(".lock") for one in segments)
    )
