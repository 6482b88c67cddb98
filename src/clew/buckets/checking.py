"""Right before an attempt begins: is what its stage has found still what it was?

Between the search and the attempt an object can be changed or removed. Working on something else than what the
journal names would be silent corruption, so that the attempt fails instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from clew.core.running.statuses import FAILED, NOT_BEGUN
from clew.ports import AttemptError, AttemptReport, Bucket, BucketError, FoundObject

INPUT_CHANGED = "input_changed"
"""The kind of the error."""

ASKED_ONE_BY_ONE_MAX = 20
"""Objects of one folder that are asked for each by itself; more are listed, a thousand a request."""

NAMED_MAX = 10
"""Objects that the message names."""

OpenBucket = Callable[[str], Bucket]


def check_found(found: Sequence[FoundObject], open: OpenBucket) -> AttemptReport | None:
    """None when all is as it was found; else the report of an attempt that did nothing: failed where an object has
    been changed or is gone, not begun (and so ordered again) where a bucket can't answer."""
    try:
        changed = list(_changed(found, open))
    except BucketError as error:
        return AttemptReport(outcome=NOT_BEGUN, error=AttemptError("bucket", str(error)))
    if not changed:
        return None
    more = f" and {len(changed) - NAMED_MAX} more" if len(changed) > NAMED_MAX else ""
    message = f"input changed: {'; '.join(changed[:NAMED_MAX])}{more}. Nothing was done with it"
    return AttemptReport(outcome=FAILED, error=AttemptError(INPUT_CHANGED, message))


def _changed(found: Sequence[FoundObject], open: OpenBucket) -> Iterator[str]:
    for (name, folder), objects in _by_folder(found).items():
        bucket = open(name)
        etags = _etags(bucket, folder, [one.key for one in objects])
        for one in objects:
            etag = etags.get(one.key)
            if etag is None:
                yield f"'{one.key}' of {name} is gone since it was found"
            elif etag != one.etag:
                yield f"'{one.key}' of {name} has changed since it was found (etag {one.etag}, now {etag})"


def _by_folder(found: Iterable[FoundObject]) -> dict[tuple[str, str], list[FoundObject]]:
    folders: dict[tuple[str, str], list[FoundObject]] = {}
    for one in found:
        folder = one.key[: one.key.removesuffix("/").rfind("/") + 1]
        folders.setdefault((one.bucket, folder), []).append(one)
    return folders


def _etags(bucket: Bucket, folder: str, keys: Sequence[str]) -> dict[str, str]:
    """Of those of the objects and folders of one folder that are there; a folder has an empty one."""
    if len(keys) > ASKED_ONE_BY_ONE_MAX:
        listed = bucket.list_folder(folder, _common_start([key[len(folder) :] for key in keys]))
        return dict((one, "") if isinstance(one, str) else (one.key, one.etag) for one in listed)
    etags: dict[str, str] = {}
    for key in keys:
        if key.endswith("/"):
            if _is_there(bucket, folder, key):
                etags[key] = ""
        elif (facts := bucket.facts(key)) is not None:
            etags[key] = facts.etag
    return etags


def _is_there(bucket: Bucket, folder: str, key: str) -> bool:
    """Whether the folder is there: something lies in it, or it is listed though it is empty, as a directory may be, and
    what some tools of object stores leave in the place of one."""
    if any(True for _ in bucket.list_folder(key)):
        return True
    name = key[len(folder) :].removesuffix("/")
    return any(one == key for one in bucket.list_folder(folder, name))


def _common_start(names: Sequence[str]) -> str:
    """How all these names begin; folders' names end in `/`, which is no part of a start."""
    least, greatest = min(names), max(names)
    length = next(
        (at for at, pair in enumerate(zip(least, greatest, strict=False)) if pair[0] != pair[1]), len(least)
    )
    return least[:length].removesuffix("/")
