"""The packets between an orchestrator and the process that starts its attempts.

A packet is one message of a socket that keeps messages apart: a byte for its kind, eight for the number of
the attempt (big-endian), then its content. Documents larger than a packet travel in parts; the parts of
different attempts may be mixed, those of one attempt keep their order.
"""

from __future__ import annotations

from collections.abc import Iterator

PART = b"p"
"""The next part of a document, which more follow."""
WHOLE = b"w"
"""The last part of a document: a request, or a report."""
CANCEL = b"c"
"""To the attempts: end this one."""

READY = b"r"
"""From the attempts: requests are being read. Whatever ends before it has begun nothing."""
LAPSED = b"l"
"""From the attempts: the orchestrator's lease is over, so all of them have been ended."""

PACKET_SIZE_MAX = 64 * 1024
"""A third of the buffer that Linux gives such a socket at least, so that a packet always fits."""
_HEADER_SIZE = 9


def packet(kind: bytes, number: int, content: bytes = b"") -> bytes:
    return kind + number.to_bytes(8, "big") + content


def packets_of(number: int, document: bytes) -> Iterator[bytes]:
    """The packets that carry a document."""
    size = PACKET_SIZE_MAX - _HEADER_SIZE
    start = 0
    while len(document) - start > size:
        yield packet(PART, number, document[start : start + size])
        start += size
    yield packet(WHOLE, number, document[start:] if start else document)


class Joiner:
    """Puts documents together from their packets."""

    def __init__(self) -> None:
        self._parts: dict[int, list[bytes]] = {}

    def take(self, message: bytes) -> tuple[bytes, int, bytes] | None:
        """The kind, the attempt's number and the whole content, or None while parts are missing."""
        kind, content = message[:1], message[_HEADER_SIZE:]
        number = int.from_bytes(message[1:_HEADER_SIZE], "big")
        if kind == PART:
            self._parts.setdefault(number, []).append(content)
            return None
        parts = self._parts.pop(number, None)
        return kind, number, content if parts is None or kind != WHOLE else b"".join((*parts, content))
