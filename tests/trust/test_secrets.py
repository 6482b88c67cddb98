"""Secrets: where their values come from, and where a program refers to them."""

from __future__ import annotations

import pytest

from clew.ports import SecretSource
from clew.trust.secrets import SECRET_SIZE_MAX, SecretError, fill, find_references, resolve


def test_a_secret_comes_from_the_environment_or_a_file(tmp_path, monkeypatch):
    """The newline at the end of a file is no part of it; what else is in it is."""
    monkeypatch.setenv("TOKEN", "t0ken")
    assert resolve(SecretSource("environment", "TOKEN"), "name") == "t0ken"
    for content in ("s3cret\nline", "s3cret\nline\n", "s3cret\nline\r\n"):
        (tmp_path / "secret").write_bytes(content.encode())
        assert resolve(SecretSource("file", str(tmp_path / "secret")), "name") == "s3cret\nline"


def test_a_secret_without_a_value_is_told(tmp_path, monkeypatch):
    """What is missing, empty, too large or no text says so, without the value."""
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("MISSING", raising=False)
    (tmp_path / "large").write_bytes(b"x" * (SECRET_SIZE_MAX + 1))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for source, text in [
        (SecretSource("environment", "MISSING"), "has no variable 'MISSING'"),
        (SecretSource("environment", "EMPTY"), "is empty"),
        (SecretSource("file", str(tmp_path / "nowhere")), "can't be read: No such file"),
        (SecretSource("file", str(tmp_path / "large")), "which no secret has"),
        (SecretSource("file", str(tmp_path / "binary")), "is no UTF-8 text"),
        (SecretSource("vault", "x"), "is no place for secrets"),
    ]:
        with pytest.raises(SecretError) as raised:
            resolve(source, "name")
        assert text in str(raised.value)


def test_references_are_whole_texts():
    """Only a text that is nothing but `secret:NAME` refers to a secret, wherever it stands."""
    value = {"a": "secret:ONE", "b": ["secret:TWO_2", ("secret:three-3",), "x secret:NO", "secret:", 7, None]}
    assert find_references(value) == {"ONE", "TWO_2", "three-3"}
    filled = fill(value, {"ONE": "1", "TWO_2": "2", "three-3": "3"})
    assert filled == {"a": "1", "b": ["2", ["3"], "x secret:NO", "secret:", 7, None]}


def test_an_unknown_secret_is_told():
    """A reference to what is not known is an error and stays no text."""
    with pytest.raises(SecretError, match="no secret 'ONE' is known"):
        fill(["secret:ONE"], {})
