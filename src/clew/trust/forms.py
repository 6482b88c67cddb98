"""The forms in which programs print a text: what each usual encoder makes of it, whole or as a part of more."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

FORMS_LENGTH_MIN = 6
"""Characters. Encoded, a shorter one would be found by chance in any text, so it is looked for as it is."""
LINE_LENGTH_MIN = 16
"""Characters of a line of a secret of several that is looked for by itself: a key's lines are longer."""
ENCODED_LINES_MAX = 8
"""A secret of so many lines may be several, each used by itself. One of more is a key or a certificate, and its lines
are looked for as they are: each form costs time with every piece of a log."""

_PART_LENGTH_MIN = 6
"""Bytes of an unchanging part that is looked for first: a shorter one would be found often, and in vain."""

_WRAPPED_AT = (64, 76)
"""Characters of a line of base64, as `openssl` and PEM files, and as `base64` and mail have it."""
_HEX_WRAPPED_AT = 60
"""As `xxd` has it."""

_URL_SAFE = ("", "/", "!*'()", "*", "!*'();,/?:@&=+$#")
"""What stays as it is: of Python twice, of JavaScript's `encodeURIComponent`, of forms, and of `encodeURI`."""

_JSON_AS_NUMBERS = ("", "<>&", "<>&'", "<>&'\"", "<>&'\"+`")
"""What is escaped by its number though it need not be: by most nothing, by Go, by PHP twice, by .NET."""


def forms(secret: str) -> Iterator[bytes]:
    """The forms in which the secret may be printed, the secret itself first; some of them twice."""
    if not secret:
        return
    yield _raw(secret)
    if len(secret) < FORMS_LENGTH_MIN:
        return
    yield from _encoded(secret)
    lines = list(_lines(secret))
    for line in lines:
        yield _raw(line)
        if len(lines) <= ENCODED_LINES_MAX:
            yield from _encoded(line)


def unchanging(secret: str) -> list[bytes]:
    """Parts that most of the secret's forms have: of its text, and of what base64 makes of it, the most letters and
    digits that stand together, which no encoder changes."""
    raw = _raw(secret)
    runs = (max(re.findall(rb"[0-9A-Za-z]+", text), key=len, default=b"") for text in (raw, *_stable(raw)))
    return [run for run in runs if len(run) >= _PART_LENGTH_MIN]


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _lines(secret: str) -> Iterator[str]:
    lines = [line.strip() for line in secret.splitlines()]
    for line in lines if len(lines) > 1 else []:
        # A key's first and last line are the same for all keys.
        if len(line) >= LINE_LENGTH_MIN and not line.startswith("-----"):
            yield line


def _encoded(text: str) -> Iterator[bytes]:
    raw = _raw(text)
    yield from _base64_forms(raw)
    yield from _hexadecimal_forms(raw)
    yield from _url_forms(raw)
    yield from _json_forms(text)
    yield repr(text)[1:-1].encode("utf-8", "backslashreplace")
    yield ascii(text)[1:-1].encode()
    yield repr(raw)[2:-1].encode()


def _base64_forms(raw: bytes) -> Iterator[bytes]:
    """What base64 makes of it, whole, and with bytes around it: the part that they don't change."""
    whole = base64.b64encode(raw)
    for form in (whole, whole.rstrip(b"="), *_stable(raw)):
        yield form
        yield form.replace(b"+", b"-").replace(b"/", b"_")
        yield form.replace(b"/", b"\\/")
        yield from _both_cases(quote(form, safe="").encode(), _URL_ESCAPE)
    for width in _WRAPPED_AT:
        yield from _wrapped(whole, width)


def _stable(raw: bytes) -> list[bytes]:
    return [
        base64.b64encode(b"\0" * before + raw)[(before * 8 + 5) // 6 : (before + len(raw)) * 8 // 6]
        for before in range(3)
    ]


def _hexadecimal_forms(raw: bytes) -> Iterator[bytes]:
    for digits in (raw.hex().encode(), raw.hex().upper().encode()):
        yield digits
        yield from _wrapped(digits, _HEX_WRAPPED_AT)
        for escape in (b"%", b"\\x"):
            yield escape + escape.join(digits[start : start + 2] for start in range(0, len(digits), 2))


def _wrapped(form: bytes, width: int) -> Iterator[bytes]:
    if len(form) > width:
        for end in (b"\n", b"\r\n"):
            yield end.join(form[start : start + width] for start in range(0, len(form), width))


def _url_forms(raw: bytes) -> Iterator[bytes]:
    quoted = {quoting(raw, safe) for safe in _URL_SAFE for quoting in (quote, quote_plus)}
    # What Python leaves as it is, forms don't.
    for form in quoted | {each.replace("~", "%7E") for each in quoted}:
        yield from _both_cases(form.encode(), _URL_ESCAPE)


def _json_forms(text: str) -> Iterator[bytes]:
    written = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    for characters in _JSON_AS_NUMBERS:
        if any(character in text for character in characters):
            written |= {_numbered(form, characters) for form in written}
    for form in written | {each.replace("/", "\\/") for each in written}:
        yield from _both_cases(_raw(form), _JSON_ESCAPE)
    units = text.encode("utf-16-be", "surrogatepass").hex()
    for digits in (units, units.upper()):
        yield "".join(f"\\u{digits[start : start + 4]}" for start in range(0, len(digits), 4)).encode()


def _numbered(form: str, characters: str) -> str:
    for character in characters:
        # A quotation mark has a backslash already.
        form = form.replace('\\"' if character == '"' else character, f"\\u{ord(character):04x}")
    return form


_URL_ESCAPE = re.compile(rb"()(%[0-9A-F]{2})")
_JSON_ESCAPE = re.compile(rb"((?<!\\)(?:\\\\)*\\u)([0-9a-f]{4})")


def _both_cases(form: bytes, escape: re.Pattern[bytes]) -> Iterator[bytes]:
    """The form with the digits of its escapes in small letters, and in capitals."""
    yield escape.sub(lambda found: found[1] + found[2].lower(), form)
    yield escape.sub(lambda found: found[1] + found[2].upper(), form)
