"""Runs the command line in a terminal of a given width, as a person would see it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager

from tests.surfaces.calling import CLEW, ENVIRONMENT, Person, heed_interrupts

STYLE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def _take_terminal() -> None:
    """Be what the keys of the terminal on standard input speak to, Ctrl-C among them."""
    heed_interrupts()
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A terminal of so many columns, with a verb that runs in it."""

    def __init__(
        self, person: Person, words: tuple[str, ...], columns: int, environment: dict[str, str]
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        unset = {"NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR"}
        kept = {name: value for name, value in ENVIRONMENT.items() if name not in unset}
        self._process = subprocess.Popen(
            [*CLEW, *words],
            cwd=person.folder,
            env={**kept, "TERM": "xterm-256color", "PYTHONUTF8": "1", **environment},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            preexec_fn=_take_terminal,
        )
        os.close(slave)
        self.shown = ""

    def until(self, words: str) -> None:
        """Read until that is shown."""
        while words not in STYLE.sub("", self.shown):
            assert self._read(), self.shown

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._master, text.encode())

    def end(self) -> int:
        while self._read():
            pass
        os.close(self._master)
        return self._process.wait()

    def _read(self) -> bool:
        try:
            content = os.read(self._master, 65536)
        except OSError:  # the other end is closed
            return False
        self.shown += content.decode("utf-8", "replace")
        return bool(content)


@contextmanager
def terminal(
    person: Person, *words: str, columns: int = 80, environment: dict[str, str] | None = None
) -> Iterator[Terminal]:
    yield Terminal(person, words, columns, environment or {})
