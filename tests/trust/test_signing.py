"""What is signed can be verified by whoever has the public key; the private one is its owner's alone."""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path

import pytest
from tests.core.sealing.test_notes import LINE, NEUMANN, TEXT

from clew.core.sealing.notes import Checkpoint, PublicKey, read_key, read_note, signed_note
from clew.ports import SigningKeyError
from clew.trust import signing
from clew.trust.signing import keep_signed, open_signing_key, signed_before, verify_signature

# The first three vectors of RFC 8032, 7.1: seed, public key, text, signature.
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
]
PETER = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"


def written(path: Path, text: str, mode: int = 0o600) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(("seed", "public", "text", "signature"), VECTORS)
def test_the_published_vectors_hold(
    seed: str, public: str, text: str, signature: str, tmp_path: Path
) -> None:
    """Of RFC 8032: a key's public half, and its signatures."""
    named = PublicKey("name", bytes.fromhex(public))
    encoded = b64encode(b"\x01" + bytes.fromhex(seed)).decode()
    key = open_signing_key(
        written(tmp_path / "key", f"PRIVATE+KEY+name+{named.key_id.hex()}+{encoded}\n"), ""
    )
    assert key.public == named
    assert key.sign(bytes.fromhex(text)).hex() == signature
    assert verify_signature(key.public.key, bytes.fromhex(text), bytes.fromhex(signature))
    assert not verify_signature(key.public.key, bytes.fromhex(text) + b"x", bytes.fromhex(signature))


def test_a_published_private_key_signs_the_published_note(tmp_path: Path) -> None:
    """The form of the file is that of other tools."""
    key = open_signing_key(written(tmp_path / "key", PETER + "\n"), "nobody")
    assert str(key.public) == NEUMANN and repr(key) == "SigningKey(PeterNeumann)"
    assert signed_note(TEXT, key.public, key.sign) == f"{TEXT}\n{LINE}"
    [(_, _, signature)] = read_note(f"{TEXT}\n{LINE}").signatures
    assert verify_signature(read_key(NEUMANN).key, TEXT.encode(), signature)


def test_a_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    """In a folder that is made for it; whoever asks again gets the same."""
    path = tmp_path / "keys" / "signing.key"
    key = open_signing_key(str(path), "clew/1234")
    assert key.public.name == "clew/1234"
    assert open_signing_key(str(path), "another") == key
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    assert os.listdir(path.parent) == ["signing.key"]
    assert open_signing_key(str(tmp_path / "other"), "clew/1234") != key


def test_whoever_is_second_takes_the_key_of_the_first(tmp_path: Path) -> None:
    """Two processes may need it at once."""
    from clew.trust import signing

    path = str(tmp_path / "key")
    first = open_signing_key(path, "one")
    signing._make(path, "two")
    assert open_signing_key(path, "three") == first
    assert os.listdir(tmp_path) == ["key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_not_used(tmp_path: Path, mode: int) -> None:
    """And what to do is said."""
    path = written(tmp_path / "key", PETER, mode)
    with pytest.raises(SigningKeyError, match=r"others .*`chmod 600`"):
        open_signing_key(path, "x")


@pytest.mark.parametrize(
    "text",
    [
        "", "nonsense", PETER[12:], PETER[:-8], "x" * 2000,
        *(PETER.replace(*change) for change in (
            ("PeterNeumann", "Peter Neumann"), ("c74f20a3", "c74f20a4"), ("+AYEK", "+AgEK"), ("AYEK", "?YEK"),
        )),
    ],
)  # fmt: skip
def test_what_is_no_key_is_not_used(tmp_path: Path, text: str) -> None:
    """Nor overwritten."""
    path = written(tmp_path / "key", text)
    with pytest.raises(SigningKeyError, match="this is no signing key"):
        open_signing_key(path, "x")
    assert (tmp_path / "key").read_text() == text


def test_where_no_key_can_be_is_told(tmp_path: Path) -> None:
    """With the place."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SigningKeyError, match=r"file/key: the signing key can't be written: File exists"):
        open_signing_key(str(tmp_path / "file" / "key"), "x")
    with pytest.raises(SigningKeyError, match=r"can't be read: Is a directory"):
        open_signing_key(str(tmp_path), "x")


def test_what_was_signed_last_is_known_beside_the_key(tmp_path: Path) -> None:
    """Of each tree the largest, for its owner alone; the last of many."""
    path = str(tmp_path / "key")
    assert signed_before(path, "clew/a") is None
    small, large, other = (
        Checkpoint(*one, b"r" * 32) for one in (("clew/a", 5), ("clew/a", 7), ("clew/b", 6))
    )
    for one in (large, small, other):
        keep_signed(path, one)
    assert [signed_before(path, origin) for origin in ("clew/a", "clew/b", "clew/c")] == [large, other, None]
    assert (tmp_path / "key.signed").stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["key.signed"]


def test_of_many_trees_the_last_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "ORIGINS_KEPT_MAX", 2)
    path = str(tmp_path / "key")
    for name in ("a", "b", "a", "c"):
        size = 1 + len(signed_of(path))
        keep_signed(path, Checkpoint(f"clew/{name}", size, b"r" * 32))
    assert signed_of(path) == ["clew/a", "clew/c"]


def signed_of(path: str) -> list[str]:
    file = Path(f"{path}.signed")
    return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []


@pytest.mark.parametrize("content", [b"clew/a 5", b"clew/a five cm9vdA==", b"  1 cm9vdA==", b"\xff"])
def test_what_was_signed_and_changed_is_told(tmp_path: Path, content: bytes) -> None:
    """Nothing is signed then."""
    (tmp_path / "key.signed").write_bytes(content)
    with pytest.raises(SigningKeyError, match=r"key\.signed"):
        keep_signed(str(tmp_path / "key"), Checkpoint("clew/a", 5, b"r" * 32))
