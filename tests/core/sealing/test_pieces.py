"""What passes by in pieces has the digest of the whole, however it was cut."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from clew.core.sealing.pieces import Digested, digest_of


def test_the_digest_is_the_one_that_everybody_knows() -> None:
    """Of `abc` in three pieces it is what the standard prints as its example."""
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    digested = Digested([b"a", b"b", b"c"])
    assert (list(digested), digested.size, digested.digest) == ([b"a", b"b", b"c"], 3, digest)
    assert digest_of([b"ab", b"c"]) == digest


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
