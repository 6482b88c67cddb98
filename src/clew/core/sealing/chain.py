"""The plan's chain: blocks in order, each linked by hash to the one before.

A block is canonical JSON: its index, the index of the next one (null for the last), the hash of the one before
(for the first, a hash of the program's version), the program's version, and for each of its stages the whole
configuration of what executes, validates and rolls it back. So the chain alone suffices to run it or to undo it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from clew.core.sealing.canonical import BLOCK_TAG, PLAN_TAG, canonical_bytes, tagged_hash


class ChainError(ValueError):
    """A chain does not hold; the text names the first bad block."""


class SealedBlock(msgspec.Struct, frozen=True):
    """A block's stored bytes and their hash."""

    index: int
    content: bytes
    hash: str


def seal(
    version: str,
    blocks: Sequence[Sequence[Mapping[str, Any]]],
    *,
    conditions: Mapping[int, Sequence[Any]],
) -> tuple[SealedBlock, ...]:
    """The chain of `blocks` (for each block its stages' configurations, in order).

    `conditions` are the block's own, by block index from 1.
    """
    sealed: list[SealedBlock] = []
    previous = tagged_hash(PLAN_TAG, version.encode())
    for index, stages in enumerate(blocks, start=1):
        block = {
            "index": index,
            "next": index + 1 if index < len(blocks) else None,
            "prev": previous,
            "stages": list(stages),
            "v": 1,
            "validate": list(conditions.get(index, ())),
            "version": version,
        }
        content = canonical_bytes(block)
        previous = tagged_hash(BLOCK_TAG, content)
        sealed.append(SealedBlock(index, content, previous))
    return tuple(sealed)


def verify_chain(version: str, blocks: Sequence[SealedBlock]) -> None:
    """Recompute every hash and link of a chain. Raises ChainError at the first block that does not hold."""
    previous = tagged_hash(PLAN_TAG, version.encode())
    expected = 1
    points_to: Any = 1
    for block in blocks:
        value = _read(block, expected)
        if block.index != expected or value.get("index") != expected or points_to != expected:
            raise ChainError(f"plan block {expected}: its index or the pointer to it is wrong")
        if value.get("version") != version:
            raise ChainError(f"plan block {expected}: it names another program version")
        if value.get("prev") != previous:
            raise ChainError(f"plan block {expected}: it does not link to the block before")
        if tagged_hash(BLOCK_TAG, block.content) != block.hash:
            raise ChainError(f"plan block {expected}: its bytes do not give its hash")
        previous, points_to, expected = block.hash, value.get("next"), expected + 1
    if points_to is not None:
        raise ChainError(f"plan block {points_to}: it is missing")


def _read(block: SealedBlock, expected: int) -> dict[str, Any]:
    import rfc8785  # to verify is to ask somebody else than who has written it

    try:
        value = msgspec.json.decode(block.content, type=dict)
        canonical = rfc8785.dumps(value)
    except (msgspec.DecodeError, rfc8785.CanonicalizationError) as error:
        raise ChainError(f"plan block {expected}: not a block: {error}") from error
    if canonical != block.content:
        raise ChainError(f"plan block {expected}: not in canonical form (RFC 8785)")
    return value
