"""A plan's chain that was changed in any way does not hold, and the first bad block is named."""

from __future__ import annotations

import pytest
import rfc8785
from msgspec.structs import replace

from clew.core.sealing.canonical import BLOCK_TAG, tagged_hash
from clew.core.sealing.chain import ChainError, SealedBlock, seal, verify_chain

VERSION = "a" * 64
CHAIN = seal(
    VERSION,
    [[{"name": "a"}, {"name": "b", "timeout": 0.5}], [{"name": "c"}], [{"name": "d"}]],
    conditions={2: ["x"]},
)


def bad(chain: list[SealedBlock], version: str = VERSION) -> str:
    with pytest.raises(ChainError) as caught:
        verify_chain(version, chain)
    return str(caught.value)


def forged(block: SealedBlock, **changed: object) -> SealedBlock:
    """The block with something else in it, and its hash made right."""
    import json

    content = rfc8785.dumps({**json.loads(block.content), **changed})
    return SealedBlock(block.index, content, tagged_hash(BLOCK_TAG, content))


def test_a_chain_as_it_was_sealed_holds() -> None:
    """Each block points to the next by its index and to the one before by its hash; the last to none."""
    verify_chain(VERSION, CHAIN)
    verify_chain(VERSION, seal(VERSION, [[{"name": "only"}]], conditions={}))
    assert [block.index for block in CHAIN] == [1, 2, 3]


def test_every_changed_byte_is_found_where_it_is() -> None:
    """Whatever byte of whatever block is something else, that block does not hold."""
    for at, block in enumerate(CHAIN):
        for place in range(len(block.content)):
            content = block.content[:place] + bytes([block.content[place] ^ 1]) + block.content[place + 1 :]
            changed = [*CHAIN[:at], replace(block, content=content), *CHAIN[at + 1 :]]
            assert bad(changed).startswith(f"plan block {at + 1}: ")


def test_nothing_can_be_left_out_put_in_or_put_elsewhere() -> None:
    """Each such change is found at the first block that is not as it was."""
    first, second, third = CHAIN
    assert bad([second, third]).startswith("plan block 1:")
    assert bad([first, third]).startswith("plan block 2:")
    assert bad([first, second]) == "plan block 3: it is missing"
    assert bad([first, second, third, third]).startswith("plan block 4:")
    assert bad([first, third, second]).startswith("plan block 2:")
    assert bad([]) == "plan block 1: it is missing"


def test_a_forged_block_does_not_fit_between_the_others() -> None:
    """Its own hash may be right; its version, its place or its neighbours' links are not."""
    first, second, third = CHAIN
    assert "another program version" in bad([forged(first, version="b" * 64), second, third])
    assert "does not link" in bad([forged(first, stages=[]), second, third])
    assert "its index or the pointer" in bad([forged(first, index=2), second, third])
    assert "its index or the pointer" in bad([first, forged(second, next=4), third])
    assert "its index or the pointer" in bad([first, replace(second, index=3), third])
    assert "do not give its hash" in bad([first, second, replace(third, hash="0" * 64)])
    assert "another program version" in bad(list(CHAIN), version="b" * 64)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"index": 1}', b'{"b":1,"a":2}', b'{"a":1e400}'])
def test_what_is_no_canonical_block_is_refused(content: bytes) -> None:
    """There is one way to write a block."""
    assert bad([replace(CHAIN[0], content=content)]).startswith("plan block 1: not ")
