"""Tokens of a store: made, listed, revoked; and told by whoever is asked by one."""

from __future__ import annotations

import time
from collections.abc import Sequence

from clew.operations.requests import RequestError
from clew.ports import TokenRow
from clew.settings import Settings
from clew.trust.tokens import NAME_LENGTH_MAX, NewToken, new_token
from clew.trust.tokens import is_by as is_by
from clew.trust.tokens import token_id_of as token_id_of
from clew.wiring.records import open_store, see_store


def make_token(
    settings: Settings, name: str, role: str, *, by: str, lifetime_milliseconds: int | None
) -> NewToken:
    """A token by which somebody may ask from now on. Raises RequestError, StoreError."""
    if not name.strip() or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise RequestError(f"a token's name says what it is for, in 1 to {NAME_LENGTH_MAX} characters")
    now = time.time_ns() // 1_000_000
    expires_at = None if lifetime_milliseconds is None else now + lifetime_milliseconds
    made = new_token(name, role, at=now, by=by, expires_at=expires_at)
    store = open_store(settings)
    try:
        store.access.make_token(made.row)
    finally:
        store.close()
    return made


def list_tokens(settings: Settings) -> Sequence[TokenRow]:
    """All of them, the newest first. Raises StoreError."""
    see_store(settings)
    store = open_store(settings, read_only=True)
    try:
        return store.access.tokens()
    finally:
        store.close()


def revoke_token(settings: Settings, token_id: str, *, by: str) -> bool:
    """It is worth nothing any more, from this moment on; False where it was not worth anything before. Raises
    RequestError where there is no such token, StoreError."""
    see_store(settings)
    store = open_store(settings)
    try:
        if store.access.token(token_id) is None:
            raise RequestError(f"there is no token '{token_id}' in this store; `clew token list` lists them")
        return store.access.revoke_token(token_id, at=time.time_ns() // 1_000_000, by=by)
    finally:
        store.close()
