"""How programs print a text, written down without clew's own code. `before` is what stands before it where the encoder
takes in more than the text. What a canary prints, too, which has this file beside it."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote, quote_plus


def numbered(text: str, characters: str) -> str:
    """JSON with those characters by their numbers."""
    return "".join(f"\\u{ord(one):04x}" if one in characters else json.dumps(one)[1:-1] for one in text)


def units(text: str) -> str:
    """JSON with all of it by numbers."""
    digits = text.encode("utf-16-be").hex()
    return "".join("\\u" + digits[start : start + 4] for start in range(0, len(digits), 4))


def small(text: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), text)


def capitals(text: str) -> str:
    """JSON with its numbers in capitals; of two backslashes neither begins a number."""
    return re.sub(r"\\\\|\\u[0-9a-f]{4}", lambda found: found[0][:2] + found[0][2:].upper(), text)


def joined(text: str, sign: str) -> bytes:
    return "".join(f"{sign}{byte:02x}" for byte in text.encode()).encode()


def wrapped(text: bytes, width: int, end: bytes = b"\n") -> bytes:
    return end.join(text[start : start + width] for start in range(0, len(text), width))


PRINTED = {
    "as it is": lambda text, before: text.encode(),
    "base64": lambda text, before: base64.b64encode(before + text.encode()),
    "base64url": lambda text, before: base64.urlsafe_b64encode(before + text.encode()),
    "base64 without padding": lambda text, before: base64.b64encode(before + text.encode()).rstrip(b"="),
    "base64url without padding": lambda text, before: base64.urlsafe_b64encode(before + text.encode()).rstrip(
        b"="
    ),
    "base64 with more behind it": lambda text, before: base64.b64encode(before + text.encode() + b":x"),
    "base64 in JSON of PHP": lambda text, before: base64.b64encode(before + text.encode()).replace(
        b"/", b"\\/"
    ),
    "base64 in a URL": lambda text, before: quote(base64.b64encode(before + text.encode()), safe="").encode(),
    "base64 in lines": lambda text, before: wrapped(base64.b64encode(text.encode()), 76),
    "base64 of a PEM file": lambda text, before: wrapped(base64.b64encode(text.encode()), 64),
    "base64 of a mail": lambda text, before: wrapped(base64.b64encode(text.encode()), 76, b"\r\n"),
    "hex": lambda text, before: text.encode().hex().encode(),
    "HEX": lambda text, before: text.encode().hex().upper().encode(),
    "hex in lines": lambda text, before: wrapped(text.encode().hex().encode(), 60),
    "url": lambda text, before: quote(text).encode(),
    "url, small": lambda text, before: small(quote(text)).encode(),
    "url, all": lambda text, before: quote(text, safe="").encode(),
    "url of JavaScript": lambda text, before: quote(text, safe="!*'()").encode(),
    "form": lambda text, before: quote_plus(text).encode(),
    "form, small": lambda text, before: small(quote_plus(text)).encode(),
    "form of Java": lambda text, before: quote_plus(text, safe="*").replace("~", "%7E").encode(),
    "url, every byte": lambda text, before: joined(text, "%"),
    "every byte": lambda text, before: joined(text, "\\x"),
    "json": lambda text, before: json.dumps(text)[1:-1].encode(),
    "JSON": lambda text, before: capitals(json.dumps(text)[1:-1]).encode(),
    "json with its letters": lambda text, before: json.dumps(text, ensure_ascii=False)[1:-1].encode(),
    "json of PHP": lambda text, before: json.dumps(text)[1:-1].replace("/", "\\/").encode(),
    "json of Go": lambda text, before: numbered(text, "<>&").encode(),
    "json of .NET": lambda text, before: numbered(text, "<>&'\"+`").encode(),
    "json by numbers": lambda text, before: units(text).encode(),
    "Python": lambda text, before: repr(text)[1:-1].encode(),
    "ASCII of Python": lambda text, before: ascii(text)[1:-1].encode(),
    "bytes of Python": lambda text, before: repr(text.encode())[2:-1].encode(),
}
