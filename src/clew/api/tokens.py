"""Who may ask: tokens made, listed and revoked, by an admin."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from clew.api.calls import ADMIN, Answer, Call, Endpoints
from clew.api.documents import Role, Token, moment, moment_or_none
from clew.api.problems import not_found
from clew.operations.requests import RequestError
from clew.ports import TokenRow
from clew.wiring.tokens import make_token, revoke_token

tokens = Endpoints("tokens")

DAY_MILLISECONDS = 86_400_000


class TokenPage(Struct):
    """All of them, the newest first."""

    tokens: list[Token]


class TokenRequest(Struct, forbid_unknown_fields=True, kw_only=True):
    """For whom, and what they may. `days`: how long it is worth something; null for as long as nobody revokes it."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    role: Role
    days: Annotated[int, Meta(ge=1, le=36_500)] | None = 90


class MadeToken(Struct, kw_only=True):
    """The token itself, told this once."""

    token: str
    made: Token


def _document(row: TokenRow) -> Token:
    return Token(
        token_id=row.token_id,
        name=row.name,
        role=row.role,  # type: ignore[arg-type]
        made_at=moment(row.made_at),
        made_by=row.made_by,
        expires_at=moment_or_none(row.expires_at),
        used_at=moment_or_none(row.used_at),
        revoked_at=moment_or_none(row.revoked_at),
        revoked_by=row.revoked_by,
    )


@tokens.add("GET", "/api/v1/tokens", role=ADMIN, about="List tokens; none of them is told.", answer=TokenPage)
async def list_tokens(call: Call) -> TokenPage:
    found = await call.house.reader.ask(lambda records: records.store.access.tokens())
    return TokenPage([_document(row) for row in found])


@tokens.add(
    "POST", "/api/v1/tokens", role=ADMIN, body=TokenRequest, answer=MadeToken, statuses=(201,), problems=(422,),
    about="Make a token. It is told this once: the store keeps a digest.",
    example={"name": "nightly loads", "role": "operator"},
)  # fmt: skip
async def make(call: Call) -> Answer:
    asked = call.body
    lifetime = None if asked.days is None else asked.days * DAY_MILLISECONDS
    made = await call.house.desk.outside(
        lambda: make_token(
            call.house.settings, asked.name, asked.role, by=call.caller.by, lifetime_milliseconds=lifetime
        )
    )
    return Answer(MadeToken(token=made.text, made=_document(made.row)), 201)


@tokens.add(
    "DELETE", "/api/v1/tokens/{token_id}", role=ADMIN, statuses=(204,), problems=(404,),
    about="Revoke a token: from this moment on it is worth nothing.",
)  # fmt: skip
async def revoke(call: Call) -> Answer:
    token_id = call.path["token_id"]
    try:
        await call.house.desk.outside(lambda: revoke_token(call.house.settings, token_id, by=call.caller.by))
    except RequestError as error:
        raise not_found(str(error)) from error
    return Answer(status=204)
