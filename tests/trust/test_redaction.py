"""Redaction: no secret survives in what is written, in whatever form and however it is cut."""

from __future__ import annotations

import base64
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.trust.encoders import PRINTED

from clew.trust.forms import FORMS_LENGTH_MIN, forms
from clew.trust.redaction import Redactor

awkward = st.characters(exclude_categories=["Cs"]) | st.sampled_from("\\/\"'+&<> %~`*\n\r")
secrets = st.text(awkward, min_size=FORMS_LENGTH_MIN, max_size=24) | st.text(
    awkward, min_size=60, max_size=90
)
noise = st.binary(max_size=40)


def streamed(redactor, content, cuts):
    """The content redacted in pieces, cut at these places."""
    places = sorted({0, len(content), *(cut % (len(content) + 1) for cut in cuts)})
    pieces = [content[start:end] for start, end in pairwise(places)]
    return b"".join(map(redactor.feed, pieces)) + redactor.finish()


@pytest.mark.parametrize("form", PRINTED)
@settings(max_examples=60)
@given(
    secret=secrets,
    around=st.tuples(noise, noise, st.sampled_from([b"", b"u", b"u:"])),
    cuts=st.lists(st.integers(0, 2_000), max_size=12),
)
def test_no_form_of_a_secret_survives_any_cut(form, secret, around, cuts):
    """Wherever the stream is cut, none of the forms is in what comes out."""
    before, after, within = around
    content = before + PRINTED[form](secret, within) + after
    redacted = streamed(Redactor({"canary": secret}), content, cuts)
    mark = b"[secret canary]"
    assert mark in redacted
    # What is left between the marks holds no form whole; a mark may happen to make one beside it.
    for rest in redacted.split(mark):
        assert not any(one in rest for one in forms(secret))


@settings(max_examples=200)
@given(
    secrets=st.lists(st.text("ab", min_size=1, max_size=8), min_size=1, max_size=3),
    content=st.text("abc", max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=10),
)
def test_a_stream_and_a_text_have_the_same_secrets(secrets, content, cuts):
    """Cutting changes nothing: secrets that overlap, repeat or begin each other come out as in one piece."""
    whole = Redactor(secrets).text(content)
    assert streamed(Redactor(secrets), content.encode(), cuts).decode() == whole
    for rest in whole.split("[secret]"):
        assert not any(secret in rest for secret in secrets)


@settings(max_examples=60)
@given(secret=secrets, form=st.sampled_from(sorted(PRINTED)), end=st.integers(0, 500))
def test_nothing_is_held_back_but_the_beginning_of_a_form(secret, form, end):
    """What is let out late may begin a form, and is less than one: memory and delay are bounded."""
    redactor = Redactor({"canary": secret})
    printed = PRINTED[form](secret, b"")
    content = b"so " + printed[: end % (len(printed) + 1)]
    out, rest = redactor.feed(content), redactor.finish()
    known = set(forms(secret))
    assert not rest or any(content.endswith(one[:size]) for one in known for size in range(1, len(one)))
    assert len(rest) <= max(map(len, known)) + len("[secret canary]")
    assert out + rest == streamed(Redactor({"canary": secret}), content, range(len(content)))


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
def test_what_has_no_secret_goes_through_as_it_is(content, cuts):
    """Bytes without a secret are not changed, nor is anything when there are no secrets."""
    assert streamed(Redactor({}), content, cuts) == content
    assert streamed(Redactor({"canary": "a-secret-that-is-not-there"}), content, cuts) == content


def test_only_what_may_be_a_beginning_is_held_back():
    """A line without a secret's beginning at its end goes out at once, so that a log can be followed live."""
    redactor = Redactor({"canary": "hunter2hunter2"})
    assert redactor.feed(b"all is well\n") == b"all is well\n"
    assert redactor.feed(b"password: hunt") == b"password: "
    assert redactor.feed(b"ing season") == b"hunting season"
    assert redactor.finish() == b""


def test_a_short_secret_is_found_as_it_is():
    """The forms of a few letters would be found everywhere; the letters themselves are redacted."""
    redactor = Redactor({"pin": "1234"})
    assert redactor.text("pin=1234") == "pin=[secret pin]"
    assert redactor.text(base64.b64encode(b"1234").decode()) == "MTIzNA=="
    assert list(forms("")) == []


def test_a_key_is_found_line_by_line():
    """Of a secret of several lines each long one is redacted by itself; what all keys share is not."""
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvgIBADANBgkqhkiG9w0B\nshort\n-----END PRIVATE KEY-----"
    redactor = Redactor({"key": key})
    assert redactor.text("  MIIEvgIBADANBgkqhkiG9w0B") == "  [secret key]"
    assert redactor.text("-----BEGIN PRIVATE KEY-----") == "-----BEGIN PRIVATE KEY-----"
    assert redactor.text(f"<{key}>") == "<[secret key]>"


def test_json_values_are_redacted_wherever_a_secret_is():
    """Texts, keys and numbers are looked through; what is no secret keeps its type."""
    redactor = Redactor({"pin": "123456", "word": "hunter2"})
    value = {"a": ["x hunter2", 123456, 12.5, True, None, (1,)], "hunter2": {"b": 2}}
    assert redactor.json(value) == {
        "a": ["x [secret word]", "[secret pin]", 12.5, True, None, [1]],
        "[secret word]": {"b": 2},
    }
    assert redactor.text("\ud800 hunter2") == "\ud800 [secret word]"


def test_values_without_names_are_redacted_too():
    """Who gives only values gets a mark without a name."""
    assert Redactor(["hunter2"]).text("hunter2!") == "[secret]!"


def test_a_secret_that_ends_as_it_begins_is_let_out_at_once():
    """It is whole; what might begin within it is a part of it."""
    redactor = Redactor({"canary": "abc-long-abc"})
    assert redactor.feed(b"abc-long-abc") == b"[secret canary]"
    assert redactor.feed(b"\n") == b"\n"


def test_each_of_a_few_lines_has_its_forms():
    """A secret of a few lines may be several, each used by itself; a key's many lines are found as they are."""
    few = "user-of-the-warehouse\npass/word+of+the/warehouse\n"
    redactor = Redactor({"few": few})
    for form, printed in PRINTED.items():
        for line in few.splitlines():
            assert "[secret few]" in redactor.text(printed(line, b"").decode()), form
    many = "\n".join(f"{number:02}-a-line-of-a-certificate" for number in range(40))
    assert Redactor({"many": many}).text("17-a-line-of-a-certificate") == "[secret many]"
    assert len(set(forms(many))) < 120


@pytest.mark.parametrize("form", ["as it is", "base64", "hex", "json", "url"])
def test_of_a_text_that_was_cut_the_beginning_of_a_secret_goes_too(form):
    """Where whoever shortened it cut within a secret, and said so."""
    printed = PRINTED[form]('a"secret/that is long', b"").decode()
    redactor = Redactor({"canary": 'a"secret/that is long'})
    assert redactor.text(f"so {printed[:9]}…") == "so [secret canary]…"
    assert redactor.text(f"so {printed[:3]}…") == f"so {printed[:3]}…"
    assert redactor.text(f"so {printed[:9]}") == f"so {printed[:9]}"
    assert redactor.text(f"so {printed}…") == "so [secret canary]…"
