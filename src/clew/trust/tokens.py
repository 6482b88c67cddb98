"""By what people and programs ask: `clew_ID_SECRET`, of which the store keeps a digest and nothing more.

ID is 16 hex digits, by which the store finds it; SECRET is 43 characters of URL-safe base64 (RFC 4648) for 256 bits of
chance, and then 6 hex digits: the first 24 bits of the SHA-256 of all before, so that a token that was cut off is told
from one that is not known, and scanners for lost secrets find one without asking.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from hmac import compare_digest
from secrets import token_bytes, token_hex
from typing import NamedTuple

from clew.ports import TokenRow

TOKEN_LENGTH_MAX = 80
"""Characters: what is longer is no token, and not looked at."""

NAME_LENGTH_MAX = 200

_FORM = re.compile(r"clew_(?P<id>[0-9a-f]{16})_(?P<secret>[A-Za-z0-9_-]{43})(?P<check>[0-9a-f]{6})")
_CHECK_LENGTH = 6


class NewToken(NamedTuple):
    """A token as it is given to somebody, once, and what the store keeps of it."""

    text: str
    row: TokenRow


def new_token(name: str, role: str, *, at: int, by: str, expires_at: int | None) -> NewToken:
    """A token that nobody has yet."""
    token_id = token_hex(8)
    secret = urlsafe_b64encode(token_bytes(32)).decode().rstrip("=")
    body = f"clew_{token_id}_{secret}"
    row = TokenRow(token_id, name, role, _digest(secret), at, by, expires_at)
    return NewToken(f"{body}{_check(body)}", row)


def token_id_of(text: str) -> str | None:
    """The id of what has the form of a token; None for anything else."""
    found = _FORM.fullmatch(text) if len(text) <= TOKEN_LENGTH_MAX else None
    if found is None or not compare_digest(_check(text[:-_CHECK_LENGTH]), found["check"]):
        return None
    return found["id"]


def is_by(row: TokenRow, text: str, *, at: int) -> bool:
    """Whether that text, which has the form of a token, is this one, and it is worth something at that moment."""
    found = _FORM.fullmatch(text)
    is_same = found is not None and compare_digest(_digest(found["secret"]), row.digest)
    return is_same and row.revoked_at is None and (row.expires_at is None or at < row.expires_at)


def _digest(secret: str) -> str:
    # 256 bits of chance need no slow hash: nobody tries them all.
    return sha256(b"clew token\0" + secret.encode()).hexdigest()


def _check(body: str) -> str:
    return sha256(body.encode()).hexdigest()[:_CHECK_LENGTH]
