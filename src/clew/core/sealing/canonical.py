"""Canonical bytes and tagged hashes.

Every hash is SHA-256 over a tag that names the kind of thing, a newline, and the thing's bytes, so that bytes
of one kind never pass for another. Canonical JSON is RFC 8785; hashed structures keep to its safe part (ASCII
keys, no floats, integers within 2^53), in which a sorted, compact encoder already gives RFC 8785's bytes. Only
programs may hold more than that.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any, NoReturn

import msgspec

ENTRY_TAG = b"clew/entry/v1\n"
BLOCK_TAG = b"clew/block/v1\n"
PLAN_TAG = b"clew/plan/v1\n"
PAYLOAD_TAG = b"clew/payload/v1\n"
KEY_TAG = b"clew/key/v1\n"
ROLLBACK_KEY_TAG = b"clew/rollback-key/v1\n"

INTEGER_MAX = 2**53 - 1
"""The largest integer that every JSON reader keeps exact."""

_encoder = msgspec.json.Encoder(order="sorted")
encode = _encoder.encode
"""Canonical bytes of a msgspec structure or a JSON value within the safe part."""


class _HoldsFloat(Exception):
    """A float is written otherwise by RFC 8785 than by the plain encoder."""


def _refuse(_: str) -> NoReturn:
    raise _HoldsFloat


_decode_safe = msgspec.json.Decoder(float_hook=_refuse).decode
_may_hold_large_integer = re.compile(rb"[0-9]{16}").search


def canonical_bytes(document: Any) -> bytes:
    """The bytes of any JSON document by RFC 8785. Raises ValueError for what JSON can't hold exactly."""
    try:
        content = encode(document)
        # What is no JSON value, NaN among them, does not come back as it went.
        is_safe = content.isascii() and not _may_hold_large_integer(content)
        if is_safe and _decode_safe(content) == document:
            return content
    except (_HoldsFloat, TypeError, ValueError):
        pass
    import rfc8785  # fifteen times as slow, and few documents need it

    return rfc8785.dumps(document)


def tagged_hash(tag: bytes, content: bytes) -> str:
    """Lowercase hex SHA-256 of the tag and the content."""
    return sha256(tag + content).hexdigest()


def payload_digest(salt: bytes, content: bytes) -> str:
    """The salted digest by which an entry names a payload; `salt` is 16 bytes, so no boundary is unclear."""
    return sha256(PAYLOAD_TAG + salt + content).hexdigest()
