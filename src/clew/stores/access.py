"""Who may ask for what, and what was asked for under a key, on every database."""

from __future__ import annotations

from clew.ports import RequestKeyRow, TokenRow
from clew.stores.parts import StorePart


class StoredAccess(StorePart):
    """The `Access` of a store."""

    def make_token(self, token: TokenRow) -> None:
        with self._transaction():
            self._rows("insert_token", tuple(token)[:7])

    def token(self, token_id: str) -> TokenRow | None:
        rows = self._rows("select_token", (token_id,))
        return TokenRow(*rows[0]) if rows else None

    def tokens(self) -> list[TokenRow]:
        return [TokenRow(*row) for row in self._rows("select_tokens", ())]

    def has_tokens(self) -> bool:
        return bool(self._rows("select_has_tokens", ()))

    def token_is_used(self, token_id: str, at: int) -> None:
        with self._transaction():
            self._rows("note_token_used", (at, token_id))

    def revoke_token(self, token_id: str, *, at: int, by: str) -> bool:
        with self._transaction():
            return bool(self._rows("revoke_token", (at, by, token_id)))

    def request(self, program: str, key: str) -> RequestKeyRow | None:
        rows = self._rows("select_request_key", (program, key))
        return RequestKeyRow(rows[0][0], bytes(rows[0][1]), rows[0][2]) if rows else None

    def forget_requests(self, before: int, limit: int) -> int:
        with self._transaction():
            return len(self._rows("delete_request_keys", (before, limit)))
