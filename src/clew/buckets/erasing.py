"""What a run has in the bucket for large payloads and kept objects, deleted."""

from __future__ import annotations

from collections.abc import Iterator

from clew.ports import Bucket


def erase_objects(bucket: Bucket, run_id: str, before_seq: int) -> int:
    """Delete what entries before that `seq` have put there, or all where it is 0, and every object that was kept; how
    many there were. Done again, it deletes what is left. Raises BucketError."""
    count = 0
    for key in list(_keys(bucket, f"{run_id}/", before_seq)):
        count += bucket.delete(key)
    return count


def _keys(bucket: Bucket, folder: str, before_seq: int) -> Iterator[str]:
    for found in bucket.list_folder(folder):
        if isinstance(found, str):
            yield from _keys(bucket, found, 0)
        elif not before_seq or _seq_of(found.key) < before_seq:
            yield found.key


def _seq_of(key: str) -> int:
    """Of which entry a payload is; -1 for what is none."""
    number = key.rpartition("/")[2].partition("-")[0]
    return int(number) if number.isdecimal() else -1
