"""Checkpoints: how large a tree was, and its root, as a signed text that anybody can keep.

A checkpoint's text is three lines: the origin (which tree), the size in decimal, the root in base64
(c2sp.org/tlog-checkpoint). It is signed as a note (c2sp.org/signed-note): the text, an empty line, then a line for each
signature, `— NAME BASE64`, of which the first four bytes name the key. Reading is strict: of all texts that mean the
same only one is taken. What signs, and what verifies, is handed in.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

from clew.core.sealing.merkle import HASH_SIZE, SIZE_MAX

NOTE_SIZE_MAX = 16_384
"""Bytes of a signed note: some hundred signatures."""

SIGNATURES_MAX = 100

NAME_SIZE_MAX = 200
"""Characters of a key's name."""

ED25519 = b"\x01"
"""The kind of the keys whose signatures are over the note's text as it is."""

KEY_SIZE = 32
SIGNATURE_SIZE = 64
KEY_ID_SIZE = 4

_DASH = "\N{EM DASH} "

Sign = Callable[[bytes], bytes]
"""Signs a text by a private key: an Ed25519 signature of 64 bytes."""

Verify = Callable[[bytes, bytes, bytes], bool]
"""Whether the signature, the last, of the text, the second, is by the public key, the first."""


class NoteError(ValueError):
    """A text is no signed note, no checkpoint or no key, or is not signed as it should be; the text says why."""


class Checkpoint(NamedTuple):
    """How large the tree of that origin was, and the hash over it."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


class PublicKey(NamedTuple):
    """A key that verifies: its name, and its 32 bytes."""

    name: str
    key: bytes

    @property
    def key_id(self) -> bytes:
        """Four bytes by which a signature names its key."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.key).digest()[:KEY_ID_SIZE]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{b64encode(ED25519 + self.key).decode()}"


class Signature(NamedTuple):
    """A line of a signed note."""

    name: str
    key_id: bytes
    signature: bytes


class SignedNote(NamedTuple):
    """What was signed, and the signatures under it."""

    text: str
    signatures: tuple[Signature, ...]


def signed_note(text: str, key: PublicKey, sign: Sign) -> str:
    """The text as a note, signed by that key."""
    line = f"{_DASH}{key.name} {b64encode(key.key_id + sign(text.encode())).decode()}\n"
    return f"{text}\n{line}"


def read_key(text: str) -> PublicKey:
    """A public key from its text, `NAME+ID+BASE64`. Raises NoteError."""
    name, _, rest = text.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    data = exact_base64(encoded)
    if not is_name(name) or data is None or data[:1] != ED25519 or len(data) != 1 + KEY_SIZE:
        raise NoteError("this is no public key; it looks like NAME+12345678+BASE64, on one line")
    key = PublicKey(name, data[1:])
    if key.key_id.hex() != key_id:
        raise NoteError("this public key was changed: its id is not that of its name and bytes")
    return key


def read_note(note: str) -> SignedNote:
    """The parts of a signed note. Raises NoteError for everything that is not exactly one."""
    if len(note.encode(errors="surrogatepass")) > NOTE_SIZE_MAX:
        raise NoteError(f"a signed note has at most {NOTE_SIZE_MAX} bytes")
    if any((one < " " and one != "\n") or "\ud800" <= one <= "\udfff" for one in note):
        raise NoteError("a signed note has no control characters, and is Unicode")
    text, mark, below = note.rpartition("\n\n")
    if not mark or not text or not below.endswith("\n"):
        raise NoteError("a signed note is a text, an empty line, and a line for each signature")
    lines = below[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise NoteError(f"a signed note has at most {SIGNATURES_MAX} signatures")
    return SignedNote(text + "\n", tuple(_read_signature(line) for line in lines))


def _read_signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    data = exact_base64(encoded)
    if not line.startswith(_DASH) or not is_name(name) or data is None or len(data) <= KEY_ID_SIZE:
        raise NoteError("a line under a signed note is no signature")
    return Signature(name, data[:KEY_ID_SIZE], data[KEY_ID_SIZE:])


def read_checkpoint(text: str) -> Checkpoint:
    """The checkpoint that a note's text says. Raises NoteError."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise NoteError("a checkpoint is three lines: its origin, the size of the tree, its root")
    origin, size, encoded, _ = lines
    root = exact_base64(encoded)
    if not origin or len(origin) > NAME_SIZE_MAX:
        raise NoteError("the first line of a checkpoint is its origin")
    if not (size.isascii() and size.isdigit()) or size != str(int(size[:20])) or int(size) > SIZE_MAX:
        raise NoteError("the second line of a checkpoint is the size of the tree, in decimal")
    if root is None or len(root) != HASH_SIZE:
        raise NoteError("the third line of a checkpoint is the root of the tree, in base64")
    return Checkpoint(origin, int(size), root)


def verified_checkpoint(note: str, keys: Sequence[PublicKey], verify: Verify) -> Checkpoint:
    """The checkpoint of a note that one of these keys has signed. A signature that names one of them and is not by it
    is refused, whatever others say. Raises NoteError."""
    signed = read_note(note)
    checkpoint = read_checkpoint(signed.text)
    by_id = {(key.name, key.key_id): key for key in keys}
    known = [(by_id.get((one.name, one.key_id)), one.signature) for one in signed.signatures]
    given = [(key, signature) for key, signature in known if key is not None]
    if not given:
        names = ", ".join(one.name for one in signed.signatures)
        raise NoteError(f"the checkpoint is not signed by a key that was given, but by {names}")
    for key, signature in given:
        if len(signature) != SIGNATURE_SIZE or not verify(key.key, signed.text.encode(), signature):
            raise NoteError(f"the signature of {key.name} is not of this checkpoint")
    return checkpoint


def is_name(text: str) -> bool:
    """Whether a key can have that name: no spaces, and no plus sign."""
    return bool(text) and len(text) <= NAME_SIZE_MAX and "+" not in text and not any(map(str.isspace, text))


def exact_base64(text: str) -> bytes | None:
    """The bytes, where the text is the one that encodes them; else None."""
    try:
        data = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        return None
    return data if b64encode(data).decode() == text else None
