"""Runs the command line as a process, as a person would, and waits for what it does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

CLEW = (sys.executable, "-m", "clew")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""A process that may not keep compiled modules spends half of its time compiling them."""

SECONDS_MAX = 50
"""A verb takes a second or two; one that takes so long hangs."""


class Done(NamedTuple):
    """How a verb ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


def heed_interrupts() -> None:
    """Be as at a terminal: a shell has what it starts in the background ignore Ctrl-C, tests among it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Person:
    """Somebody at a prompt in a folder. A folder's FIFOs tell when a stage has begun, and let it go on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str) -> str:
        """A file of that name; returns the name."""
        (self.folder / name).write_text(text)
        return name

    def fifo(self, name: str) -> Path:
        path = self.folder / name
        os.mkfifo(path)
        return path

    def clew(self, *words: str, code: int | None = 0, environment: Mapping[str, str] | None = None) -> Done:
        """Call a verb to its end, which must be that exit code."""
        done = subprocess.run(
            [*CLEW, *words],
            cwd=self.folder,
            env={**ENVIRONMENT, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        assert code is None or done.returncode == code, (
            f"{words} -> {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Call a verb and don't wait for it."""
        return subprocess.Popen(
            [*CLEW, *words],
            cwd=self.folder,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed_interrupts,
        )

    def end(self, process: subprocess.Popen[str]) -> Done:
        """Wait for what was begun."""
        out, err = process.communicate(timeout=SECONDS_MAX)
        return Done(process.returncode, out, err)

    def run(self, *words: str, code: int = 0) -> Any:
        """`clew run`, and what it says of the run."""
        return self.clew("run", *words, "--format", "json", code=code).document


def line_from(fifo: Path) -> str:
    """What somebody writes into the FIFO: waits until they do."""
    with fifo.open() as opened:
        return opened.readline().strip()


def line_into(fifo: Path, text: str = "go on") -> None:
    """Write into the FIFO: waits until somebody reads."""
    fifo.write_text(f"{text}\n")


def until_said(process: subprocess.Popen[str], words: str) -> str:
    """Read what the process says until it says that; all of it."""
    assert process.stderr is not None
    said = ""
    while words not in (line := process.stderr.readline()):
        assert line, f"it ended without saying '{words}', but {said}"
        said += line
    return said + line
