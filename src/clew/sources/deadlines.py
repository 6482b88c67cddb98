"""How long fetching may take that nobody else watches."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from clew.sources.trees import SourceError


class Deadline:
    """Begins when it is made. What it guards stops when it is over, or is called off."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._is_called_off = False
        self._process: subprocess.Popen[bytes] | None = None

    def check(self) -> None:
        """Raises SourceError when it is over."""
        if self._is_called_off:
            raise SourceError("trouble", "it was called off")
        if time.monotonic() >= self._end:
            raise SourceError("trouble", f"it took longer than {self._seconds:g} seconds")

    def call_off(self) -> None:
        """From any thread: it is over at once."""
        self._is_called_off = True
        self._kill()

    @contextmanager
    def kills(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Within the block that process, and its whole session, is killed when the deadline is over."""
        self._process = process
        timer = threading.Timer(max(0, self._end - time.monotonic()), self._kill)
        timer.daemon = True
        timer.start()
        if self._is_called_off:
            self._kill()
        try:
            yield
        finally:
            timer.cancel()
            self._process = None

    def _kill(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
