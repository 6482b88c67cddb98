"""Who calls. Nobody is anybody without a token, but for whoever sits at this machine before the first one is made."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from clew.api.calls import ADMIN, LOCAL, Caller
from clew.api.limits import Rates
from clew.api.problems import Problem
from clew.api.security_log import SecurityLog
from clew.operations.records import Records
from clew.ports import TokenRow
from clew.wiring.reading import RecordsReader
from clew.wiring.tokens import is_by, token_id_of

USED_MILLISECONDS = 60_000
"""How often at most it is kept when a token was used last."""

SCHEME = "bearer"


class AccessKeeper:
    """Tells callers by what they bring."""

    def __init__(
        self,
        reader: RecordsReader,
        rates: Rates,
        note_used: Callable[[str, int], Awaitable[None]],
        security_log: SecurityLog,
        *,
        is_open_to_local: bool,
    ) -> None:
        """`is_open_to_local`: only this machine can reach it, so that whoever calls needs no token before the first is
        made; `note_used`: keeps when a token was used."""
        self._reader = reader
        self._rates = rates
        self._note_used = note_used
        self._security_log = security_log
        self._is_open_to_local = is_open_to_local

    async def caller(self, headers: Mapping[str, str], address: str) -> Caller:
        """Who calls. Raises Problem where nobody can tell, or they call too often; StoreError."""
        given = headers.get("authorization")
        if given is None:
            if self._is_open_to_local and not await self._reader.ask(_has_tokens):
                return Caller(f"api:{LOCAL}", ADMIN)
            raise self._refused(address, "this needs a token: Authorization: Bearer clew_…")
        scheme, _, text = given.partition(" ")
        token_id = token_id_of(text.strip()) if scheme.lower() == SCHEME else None
        if token_id is None:
            raise self._refused(address, "what was sent for a token is none; it may have been cut off")
        row = await self._reader.ask(lambda records: records.store.access.token(token_id))
        now = time.time_ns() // 1_000_000
        if row is None or not is_by(row, text.strip(), at=now):
            raise self._refused(address, _why_not(row, now))
        self._rates.take(token_id)
        if row.used_at is None or now - row.used_at > USED_MILLISECONDS:
            await self._note_used(token_id, now)
        return Caller(f"api:{row.name}", row.role, token_id)

    def _refused(self, address: str, why: str) -> Problem:
        self._rates.take(f"address {address}")
        self._security_log.refused("refused", address, why=why)
        return Problem(401, "no-token", why, {"WWW-Authenticate": 'Bearer realm="clew"'})


def _has_tokens(records: Records) -> bool:
    return records.store.access.has_tokens()


def _why_not(row: TokenRow | None, now: int) -> str:
    """For whoever holds a token that was worth something once; whoever guesses learns nothing by it."""
    if row is not None and row.revoked_at is not None:
        return "this token was revoked"
    if row is not None and row.expires_at is not None and row.expires_at <= now:
        return "this token has expired"
    return "this token is not known here"
