"""Which texts are keys. What is in a key is nobody's business here: `..`, `//` and a `/` at its beginning are
characters like others, as in the object stores. Where keys become paths, as in folders, is where it matters."""

from __future__ import annotations

from clew.ports import BucketError

KEY_BYTES_MAX = 1_024
"""What the large object stores take."""


def check_key(key: str) -> None:
    """Raises BucketError unless the text is the key of an object."""
    if not key or key.endswith("/"):
        raise BucketError(f"'{key}' is no key of an object; a key ends in a name")
    _check(key)


def check_folder(folder: str) -> None:
    """Raises BucketError unless the text is "" or the key of a folder, which ends in `/`."""
    if not folder:
        return
    if not folder.endswith("/"):
        raise BucketError(f"'{folder}' is no folder; the key of a folder ends in '/'")
    _check(folder)


def _check(key: str) -> None:
    if "\0" in key:
        raise BucketError("a key has no NUL character")
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise BucketError("a key has a character without UTF-8 form") from error
    if size > KEY_BYTES_MAX:
        raise BucketError(f"a key of {size} bytes; {KEY_BYTES_MAX} is the most")
