"""Secrets taken out of what clew writes: of logs as they stream, of texts, of JSON values.

A secret is known again as it stands and in the forms in which programs print it: base64 (at any offset, of
both alphabets), hexadecimal, URL-encoded, JSON-escaped, as Python shows it, line by line. What transforms it
otherwise gets past: redaction is the second line, references are the first.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

from clew.ports import Json

FORMS_LENGTH_MIN = 6
"""Characters. Encoded, a shorter one would be found by chance in any text, so it is looked for as it is."""
LINE_LENGTH_MIN = 16
"""Characters of a line of a secret of several that is looked for by itself: a key's lines are longer."""

_HEAD = 4
"""Bytes of a form that are looked for, before what follows is compared."""


class Redactor:
    """Replaces each secret by `[secret NAME]`; given values without names, by `[secret]`.

    `feed` and `finish` take a stream in pieces, wherever it is cut; a redactor is for one stream.
    """

    def __init__(self, secrets: Mapping[str, str] | Iterable[str]) -> None:
        named = secrets.items() if isinstance(secrets, Mapping) else ((None, value) for value in secrets)
        self._marks: dict[bytes, bytes] = {}
        for name, value in named:
            mark = f"[secret {name}]" if name else "[secret]"
            for form in forms(value):
                self._marks.setdefault(form, mark.encode())
        # The longest first, since one form may be the beginning of another.
        self._forms = sorted(self._marks, key=len, reverse=True)
        self._any = re.compile(b"|".join(map(re.escape, self._forms)))
        self._kept = b""

    def text(self, text: str) -> str:
        """The text without the secrets."""
        return self._replaced(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def json(self, value: Json) -> Json:
        """The value without the secrets, in its texts and its keys; a number that is one becomes a text."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(name): self.json(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.json(item) for item in value]
        if value is None or isinstance(value, bool):
            return value
        number = str(value)
        redacted = self.text(number)
        return value if redacted == number else redacted

    def feed(self, piece: bytes) -> bytes:
        """What of the stream so far can be let out: all but an end that may be the beginning of a secret."""
        content = self._kept + piece
        end = self._unsure_from(content)
        if self._has_any(content):
            for match in self._any.finditer(content):
                if match.start() < end < match.end():
                    end = match.start()  # what is cut is not found
        self._kept = content[end:]
        return self._replaced(content[:end])

    def finish(self) -> bytes:
        """The rest of the stream."""
        rest, self._kept = self._kept, b""
        return self._replaced(rest)

    def _unsure_from(self, content: bytes) -> int:
        """From where on the content is the beginning of a secret that may go on."""
        return min((_beginning_at(content, form) for form in self._forms), default=len(content))

    def _replaced(self, content: bytes) -> bytes:
        return (
            self._any.sub(lambda match: self._marks[match[0]], content) if self._has_any(content) else content
        )

    def _has_any(self, content: bytes) -> bool:
        # Far quicker than the expression, and most texts have none.
        return any(form in content for form in self._forms)


def _beginning_at(content: bytes, form: bytes) -> int:
    """Where at the content's end the form begins without ending, or the content's length."""
    position = max(0, len(content) - len(form) + 1)
    head = form[:_HEAD]
    while (found := content.find(head, position)) >= 0:
        if form.startswith(content[found:]):
            return found
        position = found + 1
    # Ends that are shorter than the head.
    for found in range(max(position, len(content) - _HEAD + 1), len(content)):
        if head.startswith(content[found:]):
            return found
    return len(content)


def forms(secret: str) -> Iterator[bytes]:
    """The forms in which the secret may be printed, the secret itself first."""
    if not secret:
        return
    raw = secret.encode("utf-8", "surrogatepass")
    yield raw
    if len(secret) < FORMS_LENGTH_MIN:
        return
    yield from _lines(secret)
    yield from _base64_forms(raw)
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for quoted in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
        yield quoted.encode()
        yield re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), quoted).encode()
    yield json.dumps(secret)[1:-1].encode()
    yield json.dumps(secret, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass")
    yield repr(secret)[1:-1].encode("utf-8", "backslashreplace")


def _lines(secret: str) -> Iterator[bytes]:
    lines = [line.strip() for line in secret.splitlines()]
    for line in lines if len(lines) > 1 else []:
        # A key's first and last line are the same for all keys.
        if len(line) >= LINE_LENGTH_MIN and not line.startswith("-----"):
            yield line.encode("utf-8", "surrogatepass")


def _base64_forms(raw: bytes) -> Iterator[bytes]:
    """What base64 makes of the secret, whole, and with bytes around it: the part that they don't change."""
    whole = base64.b64encode(raw)
    stable = [
        base64.b64encode(b"\0" * before + raw)[(before * 8 + 5) // 6 : (before + len(raw)) * 8 // 6]
        for before in range(3)
    ]
    for form in (whole, whole.rstrip(b"="), *stable):
        yield form
        yield form.replace(b"+", b"-").replace(b"/", b"_")
