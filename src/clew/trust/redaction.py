"""Secrets taken out of what clew writes: of logs as they stream, of texts, of JSON values.

A secret is known again as it stands and in the forms in which programs print it (`forms`): base64 (at any offset, of
both alphabets), hexadecimal, URL-encoded, JSON-escaped, as Python shows it, line by line. What transforms it
otherwise gets past: redaction is the second line, references are the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heapreplace

from clew.ports import Json
from clew.trust.forms import FORMS_LENGTH_MIN, forms, unchanging

_HEAD = 4
"""Bytes of a form that are looked for, before what follows is compared."""

_ENDS_MAX = 4_096
"""More than any text has; noise has more."""

_SIGNS = (b"\\", b"%")
"""What escapes begin with."""

_CUT = "…".encode()
"""What stands at the end of a text that was cut."""


class Redactor:
    """Replaces each secret by `[secret NAME]`; given values without names, by `[secret]`.

    Of those that overlap the one that begins first is replaced, of those that begin together the longest. `feed` and
    `finish` take a stream in pieces, wherever it is cut; a redactor is for one stream.
    """

    def __init__(self, secrets: Mapping[str, str] | Iterable[str]) -> None:
        named = secrets.items() if isinstance(secrets, Mapping) else ((None, value) for value in secrets)
        self._marks: dict[bytes, bytes] = {}
        parts: dict[bytes, bytes] = {}
        for name, value in named:
            mark = (f"[secret {name}]" if name else "[secret]").encode()
            shared = unchanging(value)
            for form in forms(value):
                if self._marks.setdefault(form, mark) is mark:
                    parts[form] = next((part for part in shared if part in form), form)
        self._forms: dict[bytes, dict[bytes, list[bytes]]] = {}
        """By the sign of an escape, if they have one, and then by a part that all of them have. Most texts have none of
        either, and a single byte is found far quicker."""
        for form, part in parts.items():
            sign = next((sign for sign in _SIGNS if sign in form), b"")
            self._forms.setdefault(sign, {}).setdefault(part, []).append(form)
        self._going_on: dict[bytes, tuple[bytes, ...]] = {}
        """By two bytes at an end: the forms that may go on after them, as far as anybody has asked."""
        self._kept = b""

    def text(self, text: str) -> str:
        """The text without the secrets; of one that was cut, without the beginning of one before the cut."""
        content = text.encode("utf-8", "surrogatepass")
        redacted, _ = self._redacted(content, is_whole=True)
        if redacted.endswith(_CUT):
            redacted = self._without_beginning(redacted[: -len(_CUT)]) + _CUT
        return text if redacted == content else redacted.decode("utf-8", "surrogatepass")

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
        redacted, self._kept = self._redacted(self._kept + piece if self._kept else piece, is_whole=False)
        return redacted

    def finish(self) -> bytes:
        """The rest of the stream."""
        rest, self._kept = self._kept, b""
        return self._redacted(rest, is_whole=True)[0]

    def _redacted(self, content: bytes, *, is_whole: bool) -> tuple[bytes, bytes]:
        """The content without the secrets, and the end that is kept back unless it is the end of the whole."""
        end = len(content) if is_whole else self._beginning_in(content, 0)
        done: list[bytes] = []
        at = 0
        for start, form in self._found_in(content):
            if start >= end:
                break
            done += (content[at:start], self._marks[form])
            at = start + len(form)
            if end < at:  # what began within this one was none
                end = self._beginning_in(content, at)
        if not done and end == len(content):
            return content, b""
        return b"".join(done) + content[at:end], content[end:]

    def _found_in(self, content: bytes) -> Iterator[tuple[int, bytes]]:
        """The forms that are to be replaced, and where they begin, in order."""
        found = [
            (start, -len(form), form)
            for sign, with_sign in self._forms.items()
            if sign in content
            for part, with_part in with_sign.items()
            if part in content
            for form in with_part
            if (start := content.find(form)) >= 0
        ]
        heapify(found)
        at = 0
        while found:
            start, length, form = found[0]
            if start >= at:
                yield start, form
                at = start + len(form)
            following = content.find(form, at)
            if following < 0:
                heappop(found)
            else:
                heapreplace(found, (following, length, form))

    def _beginning_in(self, content: bytes, at: int) -> int:
        """From where on the content, at whose end more may come, may be the beginning of a form; its length if nowhere.
        What is before `at` is none."""
        if at >= len(content):
            return len(content)
        end = content[-2:]
        going_on = self._going_on.get(end)
        if going_on is None:
            if len(self._going_on) == _ENDS_MAX:
                self._going_on.clear()
            going_on = tuple(form for form in self._marks if form[:1] == end[-1:] or end in form[:-1])
            self._going_on[end] = going_on
        if not going_on:
            return len(content)
        return min(_beginning_at(content, form, at) for form in going_on)

    def _without_beginning(self, content: bytes) -> bytes:
        start = self._beginning_in(content, 0)
        if len(content) - start < FORMS_LENGTH_MIN:
            return content
        beginning = content[start:]
        return content[:start] + next(
            mark for form, mark in self._marks.items() if form.startswith(beginning)
        )


def _beginning_at(content: bytes, form: bytes, at: int) -> int:
    """Where at the content's end the form begins without ending, not before `at`, or the content's length."""
    position = max(at, len(content) - len(form) + 1)
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
