"""The digest of a tree of files: of their names, their bytes, and which of them can be executed.

When they were written, and to whom they belong, is not in it: the same code has the same digest wherever it lies.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from msgspec import Struct

SOURCE_TAG = b"clew/source/v1\n"

FILE, EXECUTABLE, LINK = "-", "x", "l"
"""What a name of a tree can stand for."""


class TreeFile(Struct, frozen=True):
    """A file of a tree, or a symbolic link. `path` has `/` between its segments; `digest` is the SHA-256 of its bytes,
    of a link of where it leads to."""

    path: str
    kind: str
    digest: str


def tree_digest(files: Iterable[TreeFile]) -> str:
    """Lowercase hex SHA-256 of the tag and, for each file in the order of their paths' bytes, a line
    `KIND DIGEST LENGTH PATH`, in which LENGTH is that of the path in bytes: so no two trees give the same lines."""
    hashed = sha256(SOURCE_TAG)
    for path, one in sorted((one.path.encode(), one) for one in files):
        hashed.update(f"{one.kind} {one.digest} {len(path)} ".encode() + path + b"\n")
    return hashed.hexdigest()
