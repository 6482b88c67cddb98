"""The tree is RFC 6962's, its proofs prove what they say, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.sealing.merkle import (
    EMPTY_ROOT,
    KEPT_LEVELS,
    SIZE_MAX,
    Frontier,
    NodeHash,
    ProofError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of_complete,
    verify_consistency,
    verify_inclusion,
)

# The vectors of the reference implementation of Certificate Transparency.
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSIONS = [
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
CONSISTENCIES = [
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]

SIZES = [*range(1, 40), 63, 64, 65, 127, 128, 129, 255, 256, 257, 300]


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(str(at).encode()) for at in range(count)]


def plain_root(hashes: Sequence[bytes]) -> bytes:
    """As the RFC defines it."""
    if len(hashes) < 2:
        return hashes[0] if hashes else sha256(b"").digest()
    half = 1
    while half * 2 < len(hashes):
        half *= 2
    return sha256(b"\x01" + plain_root(hashes[:half]) + plain_root(hashes[half:])).digest()


def nodes_over(hashes: Sequence[bytes]) -> NodeHash:
    """Every complete node of the tree, and no other."""

    def hash_of(level: int, index: int) -> bytes:
        begin, end = index << level, index + 1 << level
        assert end <= len(hashes), "this node is not complete"
        return root_of_complete(hashes[begin:end])

    return hash_of


def grown(hashes: Sequence[bytes]) -> Frontier:
    frontier = Frontier()
    for one in hashes:
        frontier.append(one)
    return frontier


def test_the_published_vectors_hold() -> None:
    """Roots, inclusion proofs and consistency proofs."""
    hashes = [leaf_hash(content) for content in INPUTS]
    assert [grown(hashes[: at + 1]).root().hex() for at in range(8)] == ROOTS
    assert Frontier().root() == EMPTY_ROOT == bytes.fromhex(
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )  # fmt: skip
    for index, size, proof in INCLUSIONS:
        assert [one.hex() for one in inclusion_proof(index, size, nodes_over(hashes[:size]))] == proof
    for first, second, proof in CONSISTENCIES:
        assert [one.hex() for one in consistency_proof(first, second, nodes_over(hashes[:second]))] == proof


@pytest.mark.parametrize("size", SIZES)
def test_every_proof_of_a_tree_holds(size: int) -> None:
    """For every leaf, and from every earlier size."""
    hashes = leaves(size)
    root, hash_of = grown(hashes).root(), nodes_over(hashes)
    assert root == plain_root(hashes)
    for index in range(size):
        proof = inclusion_proof(index, size, hash_of)
        assert len(proof) <= (size - 1).bit_length()
        verify_inclusion(hashes[index], index, size, proof, root)
    for first in range(1, size + 1):
        proof = consistency_proof(first, size, hash_of)
        verify_consistency(first, plain_root(hashes[:first]), size, root, proof)
    verify_consistency(0, EMPTY_ROOT, size, root, [])


@given(st.integers(1, 200), st.data())
def test_no_proof_proves_anything_else(size: int, data: st.DataObject) -> None:
    """Another leaf, place, size, root, or a proof that was changed, cut or lengthened."""
    hashes = leaves(size)
    index = data.draw(st.integers(0, size - 1))
    root, proof = plain_root(hashes), inclusion_proof(index, size, nodes_over(hashes))
    other = leaf_hash(b"other")
    changed = [proof[:-1], [*proof, other]] if proof else [[other]]
    at = data.draw(st.integers(0, max(0, len(proof) - 1)))
    if proof:
        changed += [[*proof[:at], other, *proof[at + 1 :]], [*proof[:at], proof[at][:31], *proof[at + 1 :]]]
    cases = [(hashes[index], index, size, each, root) for each in changed]
    cases += [(other, index, size, proof, root), (hashes[index], index, size, proof, other)]
    cases += [(hashes[index], size, size, proof, root), (hashes[index], -1, size, proof, root)]
    if size > 1:
        cases += [(hashes[index], (index + 1) % size, size, proof, root)]
    for case in cases:
        with pytest.raises(ProofError):
            verify_inclusion(*case)


@given(st.integers(1, 200), st.data())
def test_no_consistency_proof_proves_anything_else(second: int, data: st.DataObject) -> None:
    """Another history is none of this tree's."""
    hashes = leaves(second)
    first = data.draw(st.integers(1, second))
    old, new = plain_root(hashes[:first]), plain_root(hashes)
    proof = consistency_proof(first, second, nodes_over(hashes))
    other = leaf_hash(b"other")
    cases = [(first, other, second, new, proof), (first, old, second, other, proof)]
    cases += [(first, old, second, new, [*proof, other]), (second + 1, old, second, new, proof)]
    cases += [(first, old, second, new, each) for each in ([proof[:-1]] if proof else [])]
    cases += [(first, old, second, new, [*proof[:at], other, *proof[at + 1 :]]) for at in range(len(proof))]
    cases += [(0, other, second, new, []), (0, EMPTY_ROOT, second, new, [other])]
    cases += [(first, old, second, new, [b"short"])]
    for case in cases:
        with pytest.raises(ProofError):
            verify_consistency(*case)


def test_a_proof_from_a_power_of_two_needs_at_least_a_hash() -> None:
    """And one from elsewhere two."""
    hashes = leaves(7)
    for first in (3, 4):
        with pytest.raises(ProofError, match="too short"):
            verify_consistency(first, plain_root(hashes[:first]), 7, plain_root(hashes), [])


def test_a_frontier_goes_on_where_it_was_left() -> None:
    """From its size and its peaks; what these can't be is refused."""
    hashes = leaves(1000)
    half = grown(hashes[:617])
    again = Frontier(half.size, half.peaks)
    for one in hashes[617:]:
        again.append(one)
    assert (again.size, again.root()) == (1000, plain_root(hashes))
    for size, peaks in ((3, hashes[:1]), (-1, []), (1, [b"short"]), (SIZE_MAX + 1, hashes[:1])):
        with pytest.raises(ValueError, match=r"peak"):
            Frontier(size, peaks)


def test_the_nodes_that_are_kept_give_all_others() -> None:
    """One at every eighth level; with the leaves, no node needs more than 128 of them."""
    count = 2**16 + 300
    hashes = leaves(count)
    frontier, kept = Frontier(), {}
    for one in hashes:
        kept.update({(node.level, node.index): node.hash for node in frontier.append(one)})
    assert {level for level, _ in kept} == {KEPT_LEVELS, 2 * KEPT_LEVELS}
    assert len(kept) == count // 256 + 1

    def hash_of(level: int, index: int) -> bytes:
        base = level - level % KEPT_LEVELS
        under = range(index << level - base, index + 1 << level - base)
        assert len(under) <= 128
        return root_of_complete([kept[base, at] if base else hashes[at] for at in under])

    root, random = frontier.root(), Random(7)
    for _ in range(50):
        index, first = random.randrange(count), random.randrange(1, count)
        verify_inclusion(hashes[index], index, count, inclusion_proof(index, count, hash_of), root)
        old = grown(hashes[:first]).root()
        verify_consistency(first, old, count, root, consistency_proof(first, count, hash_of))


def test_a_leaf_is_no_node() -> None:
    """Whoever gives the bytes of a node as a leaf's content gets another hash."""
    one, two = leaves(2)
    assert leaf_hash(one + two) != node_hash(one, two)
    with pytest.raises(ProofError):
        verify_inclusion(leaf_hash(one + two), 0, 1, [], node_hash(one, two))


def test_there_is_no_proof_of_what_is_not_there() -> None:
    """Beyond the end, or from a larger tree to a smaller."""
    with pytest.raises(ValueError, match="no leaf 3"):
        inclusion_proof(3, 3, nodes_over(leaves(3)))
    for first, second in ((0, 3), (4, 3)):
        with pytest.raises(ValueError, match="does not begin with"):
            consistency_proof(first, second, nodes_over(leaves(3)))
