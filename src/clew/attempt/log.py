"""An attempt's log: what its processes wrote, in order, redacted, and never more than its limit."""

from __future__ import annotations

import os
from typing import Protocol

TAIL_SIZE_MAX = 64 * 1024
"""Of a log that is cut, this much of its end is kept: there the error is. It waits in memory."""


class Redacting(Protocol):
    """Takes secrets out of a stream of bytes, across the borders of its pieces."""

    def feed(self, piece: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class Log:
    """Writes a log's beginning as it comes, and its end when it is known. Trouble with the file ends the
    writing, not the attempt; `is_truncated` then says that something is missing."""

    def __init__(self, file: int | None, size_max: int, redacting: Redacting | None) -> None:
        self._file = file
        self._redacting = redacting
        self._tail_max = min(TAIL_SIZE_MAX, size_max // 4)
        self._head_max = size_max - self._tail_max
        self._size_max = size_max
        self._tail = bytearray()
        self._left_out = 0
        self.size = 0
        """The bytes written to the file."""
        self.is_truncated = False

    def feed(self, piece: bytes) -> None:
        if self._file is not None:
            self._keep(self._redacting.feed(piece) if self._redacting else piece)

    def finish(self) -> None:
        """Write what is kept of the end, after a line that says what was left out."""
        if self._file is None:
            return
        if self._redacting:
            self._keep(self._redacting.finish())
        if self.size + len(self._tail) + self._left_out <= self._size_max:
            self._write(bytes(self._tail))
        else:
            self._write(self._note_and_end())
            self.is_truncated = True
        os.close(self._file)
        self._file = None

    def _keep(self, text: bytes) -> None:
        room = self._head_max - self.size
        if room > 0:
            self._write(text[:room])
            text = text[room:]
        self._tail += text
        if len(self._tail) > 2 * self._tail_max:  # twice, so that the cutting is rare
            self._cut_tail(self._tail_max)

    def _cut_tail(self, size: int) -> None:
        surplus = max(0, len(self._tail) - size)
        del self._tail[:surplus]
        self._left_out += surplus

    def _note_and_end(self) -> bytes:
        note = b"\n[clew: %d bytes are left out here; this log is limited to %d]\n"
        self._cut_tail(max(0, self._tail_max - len(note) - 32))
        line_end = self._tail.find(b"\n")
        if line_end >= 0:
            self._cut_tail(len(self._tail) - line_end - 1)
        return note % (self._left_out, self._size_max) + self._tail

    def _write(self, text: bytes) -> None:
        while text and self._file is not None:
            try:
                written = os.write(self._file, text)
            except OSError:
                # A full disk, most likely. The attempt's work is worth more than its log.
                os.close(self._file)
                self._file, self.is_truncated = None, True
                return
            self.size += written
            text = text[written:]
