"""What signs the checkpoints of a store's tree, and where they are published."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from clew.core.sealing.notes import Checkpoint, signed_note
from clew.orchestrator.tree_keeper import Publish, SignCheckpoint
from clew.ports import SigningKeyError, Tree
from clew.settings import Settings
from clew.wiring.records import LazyBucket

SIZE_DIGITS = 16
"""Of a tree's size in the key of a published checkpoint: so they are in order."""


def new_signer(settings: Settings) -> SignCheckpoint | None:
    """Signs by the key of these settings, which is made when it is first needed; None where they name none."""
    if not settings.signing_key:
        return None

    def sign(checkpoint: Checkpoint, tree: Tree) -> str:
        from clew.trust.signing import keep_signed, open_signing_key, signed_before  # and with it a library

        key = open_signing_key(settings.signing_key, checkpoint.origin)
        before = signed_before(settings.signing_key, checkpoint.origin)
        if before is not None and not goes_on_from(tree, before):
            raise SigningKeyError(
                f"{settings.signing_key}: a tree of {before.size} leaves was signed by this key, and the store's does "
                "not go on from it: was it put back to what it was? `clew verify --all` says more; if that was meant, "
                f"move {settings.signing_key}.signed away"
            )
        keep_signed(settings.signing_key, checkpoint)
        return signed_note(checkpoint.text(), key.public, key.sign)

    return sign


def goes_on_from(tree: Tree, before: Checkpoint) -> bool:
    """Whether a store's tree begins with that one. Raises StoreError."""
    from clew.core.sealing.merkle import ProofError, consistency_proof, verify_consistency
    from clew.operations.tree import nodes_of

    row = tree.row()
    try:
        proof = consistency_proof(before.size, row.size, nodes_of(tree))
        verify_consistency(before.size, before.root, row.size, row.root, proof)
    except (ProofError, ValueError):
        return False
    return True


def publishers(settings: Settings) -> Sequence[Publish]:
    """One for each place where checkpoints are to be kept."""
    return [partial(_put, LazyBucket(url)) for url in settings.checkpoints]


def checkpoint_key(checkpoint: Checkpoint) -> str:
    """Under which key of a bucket a checkpoint is published: none is ever written over another."""
    return f"{checkpoint.origin}/{checkpoint.size:0{SIZE_DIGITS}}.checkpoint"


def _put(bucket: LazyBucket, note: str, checkpoint: Checkpoint) -> None:
    key = checkpoint_key(checkpoint)
    if bucket.facts(key) is None:
        bucket.write(key, note.encode())
