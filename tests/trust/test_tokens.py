"""A token is told by whoever has it, and by nothing that is nearly it."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from clew.trust.tokens import TOKEN_LENGTH_MAX, is_by, new_token, token_id_of


def test_a_token_has_its_form_and_no_store_has_its_secret() -> None:
    made = new_token("loads", "operator", at=5, by="me", expires_at=9)
    assert re.fullmatch(r"clew_[0-9a-f]{16}_[A-Za-z0-9_-]{43}[0-9a-f]{6}", made.text)
    assert len(made.text) <= TOKEN_LENGTH_MAX
    assert token_id_of(made.text) == made.row.token_id
    assert not any(made.text[22:65] in str(value) for value in made.row)
    assert new_token("loads", "operator", at=5, by="me", expires_at=9).text != made.text


def test_it_is_worth_something_until_it_expires_or_is_revoked() -> None:
    made = new_token("loads", "viewer", at=5, by="me", expires_at=9)
    assert [is_by(made.row, made.text, at=at) for at in (5, 8, 9)] == [True, True, False]
    assert is_by(made.row._replace(expires_at=None), made.text, at=2**50)
    assert not is_by(made.row._replace(revoked_at=7), made.text, at=6)
    other = new_token("loads", "viewer", at=5, by="me", expires_at=9)
    assert not is_by(made.row, other.text, at=5)


@given(st.integers(0, 70), st.characters(max_codepoint=0x2FF))
def test_a_letter_that_is_another_is_found_without_a_store(at: int, letter: str) -> None:
    text = new_token("loads", "viewer", at=5, by="me", expires_at=9).text
    changed = text[:at] + letter + text[at + 1 :]
    assert changed == text or token_id_of(changed) is None


@given(st.text(max_size=200))
def test_whatever_else_there_is_is_no_token(text: str) -> None:
    assert token_id_of(text) is None
