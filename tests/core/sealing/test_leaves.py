"""What a leaf's bytes are is frozen: trees that were signed are made of them."""

from __future__ import annotations

import msgspec
import pytest

from clew.core.sealing.leaves import CLOSE, OPEN, Leaf
from clew.core.sealing.merkle import leaf_hash


def test_a_leafs_bytes_are_frozen() -> None:
    """And its hash with them."""
    leaf = Leaf(2, "ab" * 32, OPEN, "01a2")
    assert leaf.content() == b'{"entries":2,"head":"%s","kind":"open","run":"01a2","v":1}' % (b"ab" * 32)
    assert (
        leaf_hash(leaf.content()).hex() == "67ea8cb018672eaff2d067f7da84e382382dc131efdb90d98ccb8fe91b035e90"
    )
    assert Leaf(2, "ab" * 32, CLOSE, "01a2").content() != leaf.content()


@pytest.mark.parametrize(
    "content", [b'{"entries":2}', b'{"entries":2,"head":"","kind":"block","run":"","v":1}', b"[]",
                b'{"entries":2,"head":"","kind":"open","run":"","v":2}',
                b'{"entries":2,"head":"","kind":"open","more":1,"run":"","v":1}'],
)  # fmt: skip
def test_what_is_no_leaf_is_not_read_as_one(content: bytes) -> None:
    """Nor one of another version."""
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(content, type=Leaf)
