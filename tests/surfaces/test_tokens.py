"""`clew token`: tokens as a person makes, lists and revokes them."""

from __future__ import annotations

import pytest
from tests.surfaces.calling import Person


def test_a_token_is_shown_once_listed_and_revoked(person: Person) -> None:
    """Also in a store that nothing has run in yet; the list has everything but the secret."""
    made = person.clew("token", "make", "nightly loads", "--role", "operator", "--for", "30 days")
    token_id = made.out.split("_")[1]
    assert f"token {token_id}: operator, until " in made.err
    person.clew("token", "make", "pages", "--role", "viewer", "--for", "forever")
    found = person.clew("token", "list", "--format", "json").document
    assert [(one["name"], one["role"], one["expires_at"] is None) for one in found] == [
        ("pages", "viewer", True),
        ("nightly loads", "operator", False),
    ]
    assert all("digest" not in one for one in found)
    assert made.out.split("_", 2)[2].strip() not in person.clew("token", "list").out
    assert "is revoked" in person.clew("token", "revoke", token_id).err
    assert "was revoked already" in person.clew("token", "revoke", token_id).err
    assert "revoked 2" in person.clew("token", "list").out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("make", "x"), "Missing option '--role'"),
        (("make", "x", "--role", "king"), "'king' is not one of"),
        (("make", " ", "--role", "viewer"), "a token's name says what it is for"),
        (("make", "x", "--role", "viewer", "--for", "soon"), "--for soon: "),
        (("make", "x", "--role", "viewer", "--for", "0 seconds"), "--for"),
        (("revoke", "0000"), "there is no token '0000' in this store"),
        (("list",), "there is no store here"),
    ],
)
def test_what_can_not_be_is_said(person: Person, words: tuple[str, ...], why: str) -> None:
    if words[0] == "revoke":
        person.clew("token", "make", "x", "--role", "viewer")
    assert why in person.clew("token", *words, code=2).err
