"""The leaves of a store's tree: a run when it is created, and again, with its length and head, each time it settles.

A leaf's bytes are canonical JSON. Each says where a run's journal ended then, so that whatever comes later has to go on
from there.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from clew.core.sealing.canonical import encode

LeafKind = Literal["open", "close"]

OPEN: LeafKind = "open"
CLOSE: LeafKind = "close"


class Leaf(Struct, frozen=True, forbid_unknown_fields=True):
    """`entries`: how many the run's journal had; `head`: the hash of the last of them, in lowercase hex."""

    entries: int
    head: str
    kind: LeafKind
    run: str
    v: Literal[1] = 1

    def content(self) -> bytes:
        """The bytes that are hashed."""
        return encode(self)
