"""Which texts are keys: the same rule for every bucket, so that a program moves from one to another."""

from __future__ import annotations

from clew.ports import BucketError

KEY_BYTES_MAX = 1_024
"""What the large object stores take."""

NOT_A_SEGMENT = ("", ".", "..")


def check_key(key: str) -> None:
    """Raises BucketError unless the text is the key of an object."""
    if not key or key.endswith("/"):
        raise BucketError(f"'{key}' is no key of an object; a key ends in a name")
    _check(key, key)


def check_folder(folder: str) -> None:
    """Raises BucketError unless the text is "" or the key of a folder, which ends in `/`."""
    if not folder:
        return
    if not folder.endswith("/"):
        raise BucketError(f"'{folder}' is no folder; the key of a folder ends in '/'")
    _check(folder, folder[:-1])


def _check(shown: str, path: str) -> None:
    if any(segment in NOT_A_SEGMENT for segment in path.split("/")):
        raise BucketError(
            f"'{shown}' is no key: it may not be absolute, nor have '.', '..' or nothing between '/'"
        )
    if "\0" in path:
        raise BucketError("a key has no NUL character")
    try:
        size = len(path.encode())
    except UnicodeEncodeError as error:
        raise BucketError("a key has a character without UTF-8 form") from error
    if size > KEY_BYTES_MAX:
        raise BucketError(f"a key of {size} bytes; {KEY_BYTES_MAX} is the most")
