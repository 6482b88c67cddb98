"""Checkpoints and exports: made of a store and its key, and judged by whoever has neither."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import msgspec

from clew.core.running.sealed_program import SealedProgram
from clew.core.sealing.notes import (
    NOTE_SIZE_MAX,
    Checkpoint,
    NoteError,
    PublicKey,
    read_checkpoint,
    read_key,
    read_note,
    verified_checkpoint,
)
from clew.operations.exports import LINE_SIZE_MAX, ExportJudge, export_lines
from clew.operations.proving import Judgement
from clew.operations.records import Records
from clew.operations.requests import RequestError
from clew.operations.tree import TreeJudgement, judge_tree
from clew.orchestrator.tree_keeper import LEAVES_A_TURN, sign_tree
from clew.settings import Settings
from clew.trust.signing import open_signing_key, read_signing_key, signed_before, verify_signature
from clew.wiring.programs import read_document, seal
from clew.wiring.records import open_records, open_store, see_store
from clew.wiring.signing import new_signer


def signed_now(settings: Settings) -> tuple[str, PublicKey]:
    """The store's tree with all that is due, signed, and the key that verifies it. Raises StoreError,
    SigningKeyError."""
    see_store(settings)
    store = open_store(settings)
    try:
        while store.tree.grow(LEAVES_A_TURN):
            pass
        sign = new_signer(settings)
        assert sign is not None, "settings that are read name a key"
        note, checkpoint = sign_tree(store.tree, sign)
        key = open_signing_key(settings.signing_key, checkpoint.origin).public
        try:
            verified_checkpoint(note, [key], verify_signature)
        except NoteError:  # signed by another installation, which has a key of its own
            note = sign(checkpoint, store.tree)
    finally:
        store.close()
    return note, key


def keys_of(settings: Settings, given: Sequence[str], *, own: bool = True) -> list[PublicKey]:
    """The public keys that these words are, or that are in the files they name; where none are given, the `own` one of
    this installation, if it has one. Raises RequestError, SigningKeyError."""
    if given or not own:
        return [_given_key(word) for word in given]
    return [read_signing_key(settings.signing_key).public] if os.path.exists(settings.signing_key) else []


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


def export_run(settings: Settings, run: str, since: Sequence[Checkpoint]) -> Iterator[bytes]:
    """The lines of a run's export, with the tree as it is now, signed. Raises RequestError, StoreError,
    SigningKeyError."""
    with open_records(settings) as records:
        row = records.find(run)
        yield from export_lines(records, row, sign=lambda: signed_now(settings)[0], since=since)


def judge_whole(
    settings: Settings,
    records: Records,
    keys: Sequence[PublicKey],
    since: Sequence[Checkpoint],
    *,
    has_to_be_signed: bool,
) -> TreeJudgement:
    """What the tree of a store proves, see `judge_tree`; also since what this installation has signed last. Raises
    StoreError, SigningKeyError."""
    tree = records.store.tree
    before = signed_before(settings.signing_key, tree.row().origin) if settings.signing_key else None
    since = [*since, *([] if before is None else [before])]
    return judge_tree(
        tree, keys=keys, verify=verify_signature, since=since, has_to_be_signed=has_to_be_signed
    )


def judge_export(path: str, keys: Sequence[PublicKey], since: Sequence[Checkpoint]) -> Judgement:
    """What an export proves; no store is asked. Raises RequestError for what is none."""
    try:
        with open(path, "rb") as file:
            lines = iter(lambda: file.readline(LINE_SIZE_MAX + 1), b"")
            judge = ExportJudge(
                lines, keys=keys, verify=verify_signature, read_program=sealed_of_content, since=since
            )
            return judge.judge()
    except OSError as error:
        raise RequestError(f"{path}: can't be read: {error.strerror}") from error


def _text_of(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(NOTE_SIZE_MAX + 1).decode()
    except OSError as error:
        raise RequestError(f"{path}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"{path}: is not text: {error.reason}") from error


def sealed_of_content(content: str) -> SealedProgram:
    """The program of a version's content, sealed. Raises ProgramError, ValueError where this version of clew can't."""
    return seal(read_document(msgspec.json.decode(content)))
