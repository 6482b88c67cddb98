"""A checkpoint is signed as a note, and of all texts that mean the same only one is taken."""

from __future__ import annotations

from base64 import b64encode

import pytest

from clew.core.sealing.notes import (
    NOTE_SIZE_MAX,
    Checkpoint,
    NoteError,
    PublicKey,
    read_checkpoint,
    read_key,
    read_note,
    signed_note,
    verified_checkpoint,
)

# The key, the text and the signature of the tests of Go's golang.org/x/mod/sumdb/note.
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
LINE = (
    "\N{EM DASH} PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)

ROOT = bytes(range(32))
CHECKPOINT = Checkpoint("clew/0123", 20852163, ROOT)
KEY, OTHER = PublicKey("clew/0123", b"k" * 32), PublicKey("witness.example", b"w" * 32)


def by(key: PublicKey, text: bytes) -> bytes:
    """What stands for a signature here: it can be told whose it is, and of what."""
    return (key.key + text)[:64].ljust(64, b".")


def verify(key: bytes, text: bytes, signature: bytes) -> bool:
    return signature == by(PublicKey("", key), text)


def noted(*keys: PublicKey, checkpoint: Checkpoint = CHECKPOINT) -> str:
    text = checkpoint.text()
    notes = [signed_note(text, key, lambda content, key=key: by(key, content)) for key in keys]  # type: ignore[misc]
    return notes[0] + "".join(note.removeprefix(text + "\n") for note in notes[1:])


def test_the_published_note_is_read() -> None:
    """Its key, its text, its signature."""
    key = read_key(NEUMANN + "\n")
    assert str(key) == NEUMANN
    text, [(name, key_id, signature)] = read_note(f"{TEXT}\n{LINE}")
    assert (text, name, key_id) == (TEXT, "PeterNeumann", key.key_id)
    assert signed_note(TEXT, key, lambda _: signature) == f"{TEXT}\n{LINE}"


def test_a_checkpoint_is_three_lines() -> None:
    """Origin, size, root; it comes back as it went."""
    text = CHECKPOINT.text()
    assert text == f"clew/0123\n20852163\n{b64encode(ROOT).decode()}\n"
    assert read_checkpoint(text) == CHECKPOINT
    assert read_checkpoint(Checkpoint("o", 0, ROOT).text()).size == 0


def test_a_checkpoint_that_a_given_key_has_signed_is_believed() -> None:
    """Whoever else has signed it."""
    for keys in ([KEY], [OTHER, KEY], [KEY, OTHER]):
        assert verified_checkpoint(noted(KEY, OTHER), keys, verify) == CHECKPOINT
    assert verified_checkpoint(noted(OTHER, KEY), [KEY], verify) == CHECKPOINT


@pytest.mark.parametrize(
    ("note", "why"),
    [
        (noted(OTHER), "not signed by a key that was given, but by witness.example"),
        (noted(KEY).replace("20852163", "20852164"), "is not of this checkpoint"),
        (noted(KEY, KEY).replace(noted(KEY)[-20:], "AAAA" + noted(KEY)[-16:], 1), "not of this checkpoint"),
        (noted(KEY).replace("clew/0123 ", "clew/0124 "), "not signed by a key that was given"),
    ],
)
def test_another_checkpoint_is_not(note: str, why: str) -> None:
    """Signed by nobody who is known, or changed since."""
    with pytest.raises(NoteError, match=why):
        verified_checkpoint(note, [KEY], verify)


def test_a_short_signature_is_none() -> None:
    """Whatever whoever verifies makes of it."""
    note = signed_note(CHECKPOINT.text(), KEY, lambda _: b"short")
    with pytest.raises(NoteError, match="is not of this checkpoint"):
        verified_checkpoint(note, [KEY], lambda *_: True)


@pytest.mark.parametrize(
    "note",
    [
        "",
        TEXT,
        f"{TEXT}{LINE}",
        f"\n\n{LINE}",
        f"{TEXT}\n{LINE[:-1]}",
        f"{TEXT}\n{LINE}\n",
        f"{TEXT}\n\n",
        f"{TEXT}\n{LINE.replace('— ', '- ')}",
        f"{TEXT}\n{LINE.replace('PeterNeumann', 'Peter+Neumann')}",
        f"{TEXT}\n{LINE.replace('PeterNeumann', '')}",
        f"{TEXT}\n{LINE.replace('AM=', 'AN=')}",
        f"{TEXT}\n{LINE.replace('x08go', '.08go')}",
        f"{TEXT}\n{LINE[:-4]}\n",
        f"{TEXT}\n— PeterNeumann AAAAAA==\n",
        f"{TEXT}\n{LINE}".replace("think", "th\tink"),
        f"{TEXT}\n{LINE}".replace("think", "th\ud800ink"),
        f"{TEXT}\n{LINE * 101}",
        f"{TEXT}\n{'x' * NOTE_SIZE_MAX}\n{LINE}",
    ],
)
def test_what_is_no_note_is_refused(note: str) -> None:
    """Every text that is not exactly one."""
    with pytest.raises(NoteError):
        read_note(note)


@pytest.mark.parametrize(
    "text",
    [
        "",
        CHECKPOINT.text()[:-1],
        CHECKPOINT.text() + "more\n",
        CHECKPOINT.text().replace("clew/0123", ""),
        CHECKPOINT.text().replace("clew/0123", "c" * 201),
        CHECKPOINT.text().replace("20852163", "020852163"),
        CHECKPOINT.text().replace("20852163", "-1"),
        CHECKPOINT.text().replace("20852163", "٣"),
        CHECKPOINT.text().replace("20852163", ""),
        CHECKPOINT.text().replace("20852163", "9" * 16),
        CHECKPOINT.text().replace("20852163", "9" * 30),
        CHECKPOINT.text().replace("=", ""),
        CHECKPOINT._replace(root=b"short").text(),
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    """Also where a reader might guess what was meant."""
    with pytest.raises(NoteError):
        read_checkpoint(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PeterNeumann",
        NEUMANN.replace("c74f20a3", "c74f20a4"),
        NEUMANN.replace("PeterNeumann", "Peter Neumann"),
        NEUMANN.replace("10TW", "10TX"),
        NEUMANN.replace("+ARpc", "+ARp"),
        NEUMANN.replace("+ARpc", "+AhpC"),
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    """And a key that was changed."""
    with pytest.raises(NoteError, match="key"):
        read_key(text)
