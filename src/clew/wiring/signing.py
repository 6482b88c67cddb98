"""What signs the checkpoints of a store's tree, where they are published, and by which keys they are verified."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

from clew.core.sealing.notes import (
    NOTE_SIZE_MAX,
    Checkpoint,
    NoteError,
    PublicKey,
    read_checkpoint,
    read_key,
    read_note,
    signed_note,
)
from clew.operations.requests import RequestError
from clew.orchestrator.tree_keeper import LEAVES_A_TURN, Publish, SignCheckpoint, sign_tree
from clew.settings import Settings
from clew.wiring.records import LazyBucket, open_store

SIZE_DIGITS = 16
"""Of a tree's size in the key of a published checkpoint: so they are in order."""


def new_signer(settings: Settings) -> SignCheckpoint:
    """Signs by the key of these settings, which is made when it is first needed."""

    def sign(checkpoint: Checkpoint) -> str:
        from clew.trust.signing import open_signing_key  # and with it a library

        key = open_signing_key(settings.signing_key, checkpoint.origin)
        return signed_note(checkpoint.text(), key.public, key.sign)

    return sign


def signed_now(settings: Settings) -> tuple[str, PublicKey]:
    """The store's tree with all that is due, signed, and the key that verifies it. Raises StoreError,
    SigningKeyError."""
    from clew.trust.signing import open_signing_key

    store = open_store(settings)
    try:
        while store.tree.grow(LEAVES_A_TURN):
            pass
        note, checkpoint = sign_tree(store.tree, new_signer(settings))
    finally:
        store.close()
    return note, open_signing_key(settings.signing_key, checkpoint.origin).public


def keys_of(settings: Settings, given: Sequence[str]) -> list[PublicKey]:
    """The public keys that these words are, or that are in the files they name; where none are given, the own one of
    this installation, if it has one. Raises RequestError, SigningKeyError."""
    if given:
        return [_given_key(word) for word in given]
    from clew.trust.signing import open_signing_key

    return [open_signing_key(settings.signing_key, "").public] if os.path.exists(settings.signing_key) else []


def _given_key(word: str) -> PublicKey:
    text = _text_of(word) if os.path.exists(word) else word
    try:
        return read_key(text)
    except NoteError as error:
        raise RequestError(f"--key {word}: {error}") from error


def given_checkpoint(path: str) -> Checkpoint:
    """The checkpoint of a file, whoever has signed it: whoever gives it has kept it himself. Raises RequestError."""
    try:
        return read_checkpoint(read_note(_text_of(path)).text)
    except NoteError as error:
        raise RequestError(f"{path}: {error}") from error


def _text_of(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(NOTE_SIZE_MAX + 1).decode()
    except OSError as error:
        raise RequestError(f"{path}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"{path}: is not text: {error.reason}") from error


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
