"""Hashes are over canonical bytes, with a tag for the kind, and the bytes of every kind are frozen."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st
from tests.journals.vectors import BODIES, PATH, RUN, SALT, entry_of, plan

from clew.core.running.entries import ENTRY_KINDS, Body, Entry
from clew.core.sealing import canonical
from clew.core.sealing.canonical import INTEGER_MAX, canonical_bytes, encode, payload_digest, tagged_hash
from clew.core.sealing.journal import read_entry

VECTORS = json.loads(PATH.read_text(encoding="utf-8"))
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
NAMES = st.text(st.characters(codec="ascii"), max_size=8)
NUMBERS = st.integers(-INTEGER_MAX, INTEGER_MAX)


def of_type(kind: Any) -> st.SearchStrategy[Any]:
    """Any value that a field of that type may hold."""
    if kind is str:
        return TEXT
    if kind is int:
        return NUMBERS
    if kind is bool:
        return st.booleans()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return structures(kind)
    arguments = get_args(kind)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return st.lists(of_type(arguments[0]), max_size=3).map(tuple)
    return st.dictionaries(NAMES, of_type(arguments[1]), max_size=3)


def structures(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    fields = {field.name: of_type(field.type) for field in msgspec.structs.fields(kind)}
    return st.fixed_dictionaries(fields).map(lambda values: kind(**values))


ENTRIES = st.builds(
    Entry,
    at=NUMBERS, body=st.one_of([structures(kind) for kind in get_args(Body)]), epoch=NUMBERS, prev=TEXT, run=TEXT,
    seq=NUMBERS, v=st.just(1), block=TEXT, payload=TEXT,
)  # fmt: skip


@given(ENTRIES)
def test_an_entrys_bytes_are_those_of_rfc_8785(entry: Entry) -> None:
    """The quick encoder gives, for any entry, exactly the canonical form; and reading them gives the entry."""
    content = encode(entry)
    assert content == rfc8785.dumps(msgspec.to_builtins(entry))
    assert read_entry(content) == entry


@pytest.mark.parametrize("kind", ENTRY_KINDS)
def test_the_bytes_of_every_kind_of_entry_are_frozen(kind: str) -> None:
    """A kind has a vector, whose bytes are still read, written and hashed as they were."""
    assert kind in VECTORS["entries"], "add it: python -m tests.journals.vectors"
    vector = VECTORS["entries"][kind]
    content = vector["content"].encode()
    assert hashlib.sha256(b"clew/entry/v1\n" + content).hexdigest() == vector["hash"]
    assert encode(read_entry(content)) == content
    (body,) = (body for body in BODIES if body.__struct_config__.tag == kind)
    assert entry_of(body) == (read_entry(content), content, vector["hash"])


def test_no_kind_of_entry_was_taken_away() -> None:
    """What stands in journals stays readable."""
    assert set(VECTORS["entries"]) <= set(ENTRY_KINDS)


def test_the_bytes_of_a_plan_are_frozen() -> None:
    """Blocks are hashed with a tag of their own, each over the hash before, the first over the version's."""
    assert plan() == VECTORS["plan"]
    first, second = VECTORS["plan"]
    assert json.loads(first["content"])["prev"] == hashlib.sha256(b"clew/plan/v1\n" + b"a" * 64).hexdigest()
    for block in (first, second):
        assert hashlib.sha256(b"clew/block/v1\n" + block["content"].encode()).hexdigest() == block["hash"]
    assert json.loads(second["content"])["prev"] == first["hash"]


def test_a_payloads_digest_is_frozen() -> None:
    """It is over a tag, sixteen bytes of salt and the bytes as they are stored."""
    vector = VECTORS["payload"]
    assert payload_digest(SALT, b"{}") == vector["digest"]
    assert hashlib.sha256(b"clew/payload/v1\n" + SALT + b"{}").hexdigest() == vector["digest"]
    assert payload_digest(bytes(16), b"{}") != vector["digest"], "the same content under another salt"


def test_every_kind_of_thing_has_a_tag_of_its_own() -> None:
    """So bytes of one kind never pass for another."""
    tags = {name: tag for name, tag in vars(canonical).items() if name.endswith("_TAG")}
    assert len(set(tags.values())) == len(tags) >= 6
    assert all(tag.startswith(b"clew/") and tag.endswith(b"\n") for tag in tags.values())
    assert tagged_hash(b"clew/test\n", b"x") == VECTORS["tagged"]["hash"]
    assert tagged_hash(canonical.ENTRY_TAG, b"x") != tagged_hash(canonical.BLOCK_TAG, b"x")


@given(NUMBERS, st.integers(0, 6))
def test_defaults_are_not_written(at: int, kind: int) -> None:
    """An entry says only what differs from its kind's defaults, so that a field may be added later."""
    body = get_args(Body)[7]("a", 1)
    assert encode(Entry(at, body, 1, "", RUN, kind, 1)) == rfc8785.dumps(
        {"at": at, "body": {"attempt": 1, "kind": "attempt_started", "stage": "a"}, "epoch": 1, "prev": "", "run": RUN,
         "seq": kind, "v": 1}
    )  # fmt: skip


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
SAFE_DOCUMENTS = st.recursive(
    st.none() | st.booleans() | NUMBERS | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(DOCUMENTS | SAFE_DOCUMENTS)
@example({"\ufb33": 1, "\U0001f600": 2, "\r": 3, "1": 4, "\x80": 5})
@example([1.0, -0.0, 1e21, 1e-7, 333333333.33333329, 4.5, 2e-3, 0.000001])
@example("".join(map(chr, range(0x80))) + "/\u20ac")
@example([INTEGER_MAX, -INTEGER_MAX, "1234567890123456"])
def test_a_documents_bytes_are_those_of_rfc_8785(document: Any) -> None:
    """Whichever way they are written."""
    assert canonical_bytes(document) == rfc8785.dumps(document)


@pytest.mark.parametrize(
    "document",
    [2**53, [1, -(2**60)], math.nan, {"x": math.inf}, b"bytes", {"x": {1, 2}}, {1: "x"}, object()],
)
def test_what_json_can_t_hold_exactly_has_no_canonical_bytes(document: Any) -> None:
    """It is refused, and not written as something that is like it."""
    with pytest.raises(ValueError, match=r"."):
        canonical_bytes(document)


# ---- the published vectors of RFC 8785 -------------------------------------------------------------------

PUBLISHED = Path(__file__).parent / "rfc8785"
"""The test data of the RFC's author: documents, and their canonical bytes."""

PUBLISHED_NUMBERS = {
    "0000000000000000": "0", "8000000000000000": "0", "0000000000000001": "5e-324", "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308", "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992", "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000", "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23", "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000", "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21", "3eb0c6f7a0b5ed8c": "9.999999999999997e-7", "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332", "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333", "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343", "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}  # fmt: skip
"""Of its appendix B: the bits of a number, and how it is written."""


@pytest.mark.parametrize("name", sorted(path.name for path in (PUBLISHED / "input").iterdir()))
def test_the_published_documents_are_written_as_published(name: str) -> None:
    """Whichever way clew takes."""
    document = json.loads((PUBLISHED / "input" / name).read_bytes())
    assert canonical_bytes(document) == (PUBLISHED / "output" / name).read_bytes()


@pytest.mark.parametrize(("bits", "text"), PUBLISHED_NUMBERS.items())
def test_the_published_numbers_are_written_as_published(bits: str, text: str) -> None:
    """By their shortest digits."""
    [number] = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical_bytes([number]) == f"[{text}]".encode()
