"""One tree over all leaves of a store, which only grows: hashes, proofs and their verification as RFC 6962 has them.

A leaf's hash is SHA-256 over 00 and its bytes, a node's over 01 and the hashes of its two children; the left child of
a tree of n leaves has as many as the largest power of two below n. A node is named by its level (leaves are at 0) and
its index there, as long as it is *complete*: all 2^level leaves below it exist, so that it never changes any more.
Hashes are 32 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

from msgspec import Struct

EMPTY_ROOT = sha256().digest()
"""The root of a tree without leaves."""

HASH_SIZE = 32
SIZE_MAX = 2**53 - 1
"""Leaves of a tree: more than will ever be, and exact for every reader of JSON."""

KEPT_LEVELS = 8
"""Of the complete nodes above the leaves, those at every eighth level are worth keeping: one for 255 leaves, and any
other is worked out of at most 128 of these."""

NodeHash = Callable[[int, int], bytes]
"""The hash of the complete node at that level and index."""


class ProofError(ValueError):
    """A proof does not prove what it should; the text says what is wrong."""


class Node(Struct, frozen=True):
    """A complete node that is worth keeping."""

    level: int
    index: int
    hash: bytes


def leaf_hash(content: bytes) -> bytes:
    """The hash of a leaf of that content."""
    return sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of the node over these two."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a tree: all that is needed to go on with it. `peaks`: the hashes of its largest complete
    subtrees, from left to right, one for each bit of its size."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        """Raises ValueError when these can't be of one tree."""
        if not 0 <= size <= SIZE_MAX or len(peaks) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves does not have {len(peaks)} peaks")
        if any(len(peak) != HASH_SIZE for peak in peaks):
            raise ValueError(f"a peak is a hash of {HASH_SIZE} bytes")
        self.size = size
        self.peaks = list(peaks)

    def append(self, leaf: bytes) -> list[Node]:
        """Take in the hash of the next leaf; the nodes to keep that are complete by it, from the lowest up."""
        peaks, node, index, level = self.peaks, leaf, self.size, 0
        self.size += 1
        kept: list[Node] = []
        while index & 1:
            node = sha256(b"\x01" + peaks.pop() + node).digest()
            index >>= 1
            level += 1
            if not level % KEPT_LEVELS:
                kept.append(Node(level, index, node))
        peaks.append(node)
        return kept

    def root(self) -> bytes:
        """The hash of the whole tree."""
        if not self.peaks:
            return EMPTY_ROOT
        *others, root = self.peaks
        for peak in reversed(others):
            root = node_hash(peak, root)
        return root


def root_of_complete(hashes: Sequence[bytes]) -> bytes:
    """The hash of the node whose descendants, all at one level, have these hashes: so many as a power of two."""
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=True)
        hashes = [node_hash(left, right) for left, right in pairs]
    return hashes[0]


def inclusion_proof(index: int, size: int, hash_of: NodeHash) -> list[bytes]:
    """The hashes that lead from the leaf at that index, from 0, to the root of the tree of that size: its siblings,
    from the lowest up (RFC 6962, 2.1.1). Raises ValueError when there is no such leaf."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    proof: list[bytes] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            proof.append(_root_between(middle, end, hash_of))
            end = middle
        else:
            proof.append(_root_between(begin, middle, hash_of))
            begin = middle
    return proof[::-1]


def consistency_proof(first: int, second: int, hash_of: NodeHash) -> list[bytes]:
    """The hashes that show that the tree of the second size begins with that of the first (RFC 6962, 2.1.2). Raises
    ValueError unless 0 < first <= second."""
    if not 0 < first <= second:
        raise ValueError(f"a tree of {second} leaves does not begin with one of {first}")
    proof: list[bytes] = []
    begin, end, is_whole = 0, second, True
    while first != end:
        middle = begin + _split(end - begin)
        if first <= middle:
            proof.append(_root_between(middle, end, hash_of))
            end = middle
        else:
            proof.append(_root_between(begin, middle, hash_of))
            begin, is_whole = middle, False
    if not is_whole:
        proof.append(_root_between(begin, end, hash_of))
    return proof[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """See that the leaf of that hash stands at the index of the tree of that size and root (RFC 9162, 2.1.3.2).
    Raises ProofError."""
    if not 0 <= index < size <= SIZE_MAX:
        raise ProofError(f"a tree of {size} leaves has no leaf {index}")
    _see_hashes(proof)
    at, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofError("the inclusion proof is too long")
        if at & 1 or at == last:
            found = node_hash(sibling, found)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            found = node_hash(found, sibling)
        at >>= 1
        last >>= 1
    if last != 0:
        raise ProofError("the inclusion proof is too short")
    if found != root:
        raise ProofError("the inclusion proof does not lead to the root of the tree")


def verify_consistency(
    first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]
) -> None:
    """See that the tree of the second size and root begins with that of the first (RFC 9162, 2.1.4.2). Raises
    ProofError."""
    if not 0 <= first <= second <= SIZE_MAX:
        raise ProofError(f"a tree of {second} leaves does not begin with one of {first}")
    _see_hashes(proof)
    if first in (0, second):
        if proof:
            raise ProofError("the consistency proof is too long")
        if first_root != (second_root if first else EMPTY_ROOT):
            raise ProofError(f"two trees of {first} leaves have different roots")
        return
    hashes = list(proof)
    if not first & (first - 1):
        hashes.insert(0, first_root)
    if not hashes:
        raise ProofError("the consistency proof is too short")
    at, last = first - 1, second - 1
    while at & 1:
        at >>= 1
        last >>= 1
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise ProofError("the consistency proof is too long")
        if at & 1 or at == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        at >>= 1
        last >>= 1
    if last != 0:
        raise ProofError("the consistency proof is too short")
    if old != first_root or new != second_root:
        raise ProofError("the tree does not go on from what it was: it was rewritten")


def _see_hashes(proof: Sequence[bytes]) -> None:
    if any(len(one) != HASH_SIZE for one in proof):
        raise ProofError(f"a proof is made of hashes of {HASH_SIZE} bytes")


def _split(count: int) -> int:
    """The largest power of two below the count, which is at least 2."""
    return 1 << (count - 1).bit_length() - 1


def _root_between(begin: int, end: int, hash_of: NodeHash) -> bytes:
    """The hash over the leaves from `begin` on up to `end`, which is a node of the tree, if an incomplete one."""
    complete: list[bytes] = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        complete.append(hash_of(level, begin >> level))
        begin += 1 << level
    root = complete.pop()
    while complete:
        root = node_hash(complete.pop(), root)
    return root
