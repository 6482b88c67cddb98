"""Has a plug-in look for a dependency, in a process of its own that is killed when its time is up."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from threading import Lock

import msgspec

from clew.executors.spawning import environment_of_attempts
from clew.ports import Look, Looked, NotTold

ANSWER_SIZE_MAX = 1024 * 1024
"""Bytes of what a plug-in gives: a value for the variables map, and no data; four times what the store itself holds."""

_PIECE = 64 * 1024


class Looks:
    """The looks of one orchestrator, or of a person who asks. Used from several threads."""

    def __init__(self) -> None:
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._lock = Lock()
        self._is_over = False

    def look(self, asked: Look) -> Looked:
        """What the plug-in says. Blocking. Raises NotTold when it says nothing, in its time, that could be used."""
        with self._begun(asked) as process:
            try:
                return _answer(process, asked)
            finally:
                with self._lock:
                    self._processes.remove(process)
                    _kill(process)

    def end(self) -> None:
        """End those that are under way, and begin no other."""
        with self._lock:
            self._is_over = True
            for process in self._processes:
                _kill(process)

    def _begun(self, asked: Look) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._is_over:
                raise NotTold("nobody is asked any more")
            try:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "clew.attempt.looking"],
                    stdin=subprocess.PIPE,  # kept open: its end says that this process is gone
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,  # nobody has taken secrets out of it
                    env=environment_of_attempts(),
                    start_new_session=True,
                )
            except OSError as error:
                raise NotTold(f"no process could be started for '{asked.kind}': {error.strerror}") from error
            self._processes.add(process)
            return process


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With all that it has started. It is not buried yet, so its number is still its own."""
    os.killpg(process.pid, signal.SIGKILL)


def _answer(process: subprocess.Popen[bytes], asked: Look) -> Looked:
    assert process.stdin is not None and process.stdout is not None
    until = time.monotonic() + asked.timeout_milliseconds / 1000
    try:
        process.stdin.write(msgspec.json.encode(asked) + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass  # what it has said until then is read all the same
    content = b""
    while select.select([process.stdout], [], [], max(0, until - time.monotonic()))[0]:
        piece = os.read(process.stdout.fileno(), _PIECE)
        if not piece:
            return _read(content, asked)
        content += piece
        if len(content) > ANSWER_SIZE_MAX:
            raise NotTold(f"'{asked.kind}' gave more than {ANSWER_SIZE_MAX} bytes")
    raise NotTold(f"'{asked.kind}' did not answer within {asked.timeout_milliseconds / 1000:g} seconds")


def _read(content: bytes, asked: Look) -> Looked:
    try:
        looked = msgspec.json.decode(content, type=Looked)
    except msgspec.DecodeError as error:
        raise NotTold(f"'{asked.kind}' ended without an answer") from error
    if looked.verdict == "error":
        raise NotTold(f"'{asked.kind}': {looked.message}")
    return looked
