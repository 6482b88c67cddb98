"""The key by which this installation signs what its tree of runs was: Ed25519, in a file that only its owner can read.

The file holds one line in the form of the notes that are signed by it: `PRIVATE+KEY+NAME+ID+BASE64`. It is made when a
key is first needed, and never written again. Whoever has it can sign another history; it belongs elsewhere than the
store. Beside it stands what was signed by it last, of each tree: `ORIGIN SIZE ROOT` lines, so that a store that was put
back to what it was can be told from one that went on.
"""

from __future__ import annotations

import os
import stat
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_bytes, token_hex

from clew.core.sealing.merkle import HASH_SIZE
from clew.core.sealing.notes import (
    ED25519,
    KEY_SIZE,
    NOTE_SIZE_MAX,
    Checkpoint,
    PublicKey,
    exact_base64,
    is_name,
)
from clew.ports import SigningKeyError

KEY_FILE_SIZE_MAX = 1_000
"""Bytes; a key takes about a hundred."""

_PREFIX = "PRIVATE+KEY+"
_KNOWN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs. `seed`: its 32 secret bytes."""

    public: PublicKey
    seed: bytes

    def sign(self, text: bytes) -> bytes:
        """An Ed25519 signature of the text, 64 bytes."""
        from nacl.signing import SigningKey as Signer  # 10 ms

        return Signer(self.seed).sign(text).signature

    def __repr__(self) -> str:
        return f"SigningKey({self.public.name})"


def verify_signature(key: bytes, text: bytes, signature: bytes) -> bool:
    """Whether the signature of the text is by the Ed25519 key of these 32 bytes."""
    from nacl.exceptions import BadSignatureError
    from nacl.signing import VerifyKey

    try:
        VerifyKey(key).verify(text, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def open_signing_key(path: str, name: str) -> SigningKey:
    """The key of that file; a new one of that name, see `notes.is_name`, where there is no file. Raises SigningKeyError
    when the file can't be used, or others could read it."""
    if not os.path.exists(path):
        _make(path, name)
    return read_signing_key(path)


def read_signing_key(path: str) -> SigningKey:
    """The key of that file, which has to be there. Raises SigningKeyError."""
    try:
        with open(path, "rb") as file:
            state = os.fstat(file.fileno())
            content = file.read(KEY_FILE_SIZE_MAX + 1)
    except OSError as error:
        raise SigningKeyError(f"{path}: the signing key can't be read: {error.strerror}") from error
    if stat.S_IMODE(state.st_mode) & _KNOWN_TO_OTHERS:
        raise SigningKeyError(
            f"{path}: others than its owner may have read the signing key; if nobody has, `chmod 600` it, "
            "else move it away: a new one is made"
        )
    key = _key_of(content)
    if key is None:
        raise SigningKeyError(f"{path}: this is no signing key; it is one line, PRIVATE+KEY+NAME+ID+BASE64")
    return key


def signed_before(path: str, origin: str) -> Checkpoint | None:
    """The largest checkpoint of that tree that was signed by the key of that file, as far as it is known there. Raises
    SigningKeyError."""
    return _signed(path).get(origin)


def keep_signed(path: str, checkpoint: Checkpoint) -> None:
    """Keep, durably, that this is about to be signed by the key of that file. Raises SigningKeyError."""
    known = _signed(path)
    before = known.pop(checkpoint.origin, None)
    if before is not None and before.size >= checkpoint.size:
        return
    kept = [*known.values(), checkpoint][-ORIGINS_KEPT_MAX:]
    text = "".join(f"{one.origin} {one.size} {b64encode(one.root).decode()}\n" for one in kept)
    _write(f"{path}{_SIGNED}", text, "what was signed", is_new=False)


ORIGINS_KEPT_MAX = 1_000
"""Trees of which it is known what was signed last: one key signs for few stores."""

_SIGNED = ".signed"


def _signed(path: str) -> dict[str, Checkpoint]:
    try:
        with open(f"{path}{_SIGNED}", encoding="utf-8") as file:
            lines = file.read(ORIGINS_KEPT_MAX * NOTE_SIZE_MAX).splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SigningKeyError(f"{path}{_SIGNED}: what was signed can't be read: {error}") from error
    found = {}
    for line in lines:
        origin, _, rest = line.partition(" ")
        size, _, encoded = rest.partition(" ")
        root = exact_base64(encoded)
        if not is_name(origin) or not size.isdecimal() or root is None or len(root) != HASH_SIZE:
            raise SigningKeyError(f"{path}{_SIGNED}: was changed: it has lines of ORIGIN SIZE ROOT")
        found[origin] = Checkpoint(origin, int(size), root)
    return found


def _key_of(content: bytes) -> SigningKey | None:
    text = content.decode(errors="replace").strip()
    name, _, rest = text.removeprefix(_PREFIX).partition("+")
    key_id, _, encoded = rest.partition("+")
    data = exact_base64(encoded)
    if data is None or data[:1] != ED25519 or len(data) != 1 + KEY_SIZE:
        return None
    if not text.startswith(_PREFIX) or not is_name(name):
        return None
    key = _of_seed(name, data[1:])
    return key if key.public.key_id.hex() == key_id else None


def _of_seed(name: str, seed: bytes) -> SigningKey:
    from nacl.signing import SigningKey as Signer

    public = bytes(Signer(seed).verify_key)
    return SigningKey(PublicKey(name, public), seed)


def _make(path: str, name: str) -> None:
    """Make the file whole, durably, or not at all; where another process was first, its key stands."""
    if not is_name(name):
        raise SigningKeyError(f"{path}: no key is made for a tree of the name {name!r}; verify the store")
    key = _of_seed(name, token_bytes(KEY_SIZE))
    text = f"{_PREFIX}{name}+{key.public.key_id.hex()}+{b64encode(ED25519 + key.seed).decode()}\n"
    _write(path, text, "the signing key", is_new=True)


def _write(path: str, text: str, what: str, *, is_new: bool) -> None:
    """Write a file that only its owner can read, whole and durably, or not at all; where it `is_new` and another
    process was first, that one's stands. Raises SigningKeyError."""
    folder = os.path.dirname(path)
    making = f"{path}.{token_hex(8)}"
    try:
        if folder:
            os.makedirs(folder, mode=0o700, exist_ok=True)
        file = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(file, text.encode())
            os.fsync(file)
            if is_new:
                with suppress(FileExistsError):
                    os.link(making, path)
            else:
                os.rename(making, path)
        finally:
            os.close(file)
            with suppress(FileNotFoundError):
                os.unlink(making)
        place = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(place)  # what has signed is not to be lost with the power
        finally:
            os.close(place)
    except OSError as error:
        raise SigningKeyError(f"{path}: {what} can't be written: {error.strerror}") from error
