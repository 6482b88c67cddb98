"""What passes by in pieces has the digest of the whole, however it was cut."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from clew.core.sealing.pieces import Digested, digest_of


@given(st.lists(st.binary(max_size=20)))
def test_the_digest_is_that_of_the_whole(pieces: list[bytes]) -> None:
    """The pieces pass unchanged, and their size and plain SHA-256 are those of all of them together."""
    whole = b"".join(pieces)
    digested = Digested(pieces)
    assert list(digested) == pieces
    assert (digested.size, digested.digest) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert digest_of(iter(pieces)) == digested.digest


def test_what_has_not_passed_is_not_counted() -> None:
    """In the midst of the pieces, size and digest are of those that have passed."""
    digested = Digested([b"one", b"two"])
    assert next(iter(digested)) == b"one"
    assert (digested.size, digested.digest) == (3, hashlib.sha256(b"one").hexdigest())
