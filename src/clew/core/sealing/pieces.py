"""The SHA-256 of bytes that pass by in pieces: the one that `sha256sum` gives, so without a tag."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256


class Digested:
    """Pieces that are passed on as they come; `size` and `digest` are of those that have passed."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self._sha256 = sha256()
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self._sha256.update(piece)
            self.size += len(piece)
            yield piece

    @property
    def digest(self) -> str:
        """In lowercase hex."""
        return self._sha256.hexdigest()


def digest_of(pieces: Iterable[bytes]) -> str:
    """The SHA-256 of all of them, in lowercase hex."""
    digested = Digested(pieces)
    for _ in digested:
        pass
    return digested.digest
