"""Asks others for an attempt's secrets, before there is a worker: commands, which take their time, and plug-ins, whose
code the supervisor does not run. So it is done by a process of its own, of which the supervisor waits for the answer.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from time import monotonic
from typing import NoReturn

import msgspec

from clew.attempt.children import KILL_SECONDS_MAX, Child
from clew.attempt.preparation import refused_without
from clew.attempt.processes import HANDLED
from clew.attempt.worker import be_a_process_of_its_own, close_from, write_all
from clew.ports import AttemptError, AttemptReport, AttemptRequest, SecretSource
from clew.trust.secrets import SecretError, resolve

_MARGIN_SECONDS = 5
"""The process ends by itself those that it asks, and that takes a moment."""
_ANSWER = 3
"""The one descriptor beside standard input, output and error: where the answer goes."""


class _Answer(msgspec.Struct, frozen=True):
    """The secrets by name, or why there is none of that name."""

    secrets: Mapping[str, str] = {}
    without: str = ""
    why: str = ""


class Asking(Child):
    """The process that asks for an attempt's secrets. `secrets`, once it is over: their values by name."""

    def __init__(self, request: AttemptRequest, sources: Mapping[str, SecretSource]) -> None:
        """Starts it. Raises OSError when there can't be another process."""
        seconds = sum(source.timeout_milliseconds for source in sources.values()) / 1000
        super().__init__(monotonic() + seconds + _MARGIN_SECONDS)
        self.request = request
        self.secrets: Mapping[str, str] = {}
        self._content = bytearray()
        from clew.trust import providers  # noqa: F401 -- here, so that the forks to come have it

        reader, writer = os.pipe2(os.O_CLOEXEC)
        supervisor = os.getpid()
        # Blocked until it has forgotten our handlers, lest a signal meant for it be taken for ours.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        try:
            self.worker = os.fork()
            if self.worker == 0:
                _become_asker(sources, supervisor, writer)
        except OSError:
            os.close(reader)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            os.close(writer)
        os.set_blocking(reader, False)
        self.readers[reader] = self._content.extend

    def finish(self) -> AttemptReport | None:
        """Read what is left to read. None if the attempt can begin, otherwise what to say of it."""
        self.read_all()
        self.close_all()
        if self._cause == "cancelled":
            return _ended("cancelled", "cancelled", "was asked to end")
        if self._cause is not None:
            return _ended("failed", "secret", "those who were asked for its secrets did not answer in time")
        try:
            answer = msgspec.json.decode(self._content, type=_Answer)
        except msgspec.DecodeError:
            message = f"the process that asked for its secrets ended with exit code {self._code}"
            return _ended("failed", "secret", message)
        if answer.without:
            return AttemptReport(outcome="failed", error=refused_without(answer.without, answer.why).error)
        self.secrets = answer.secrets
        return None

    def give_up(self) -> AttemptReport:
        """What to say if it can't be shown to have ended. It has done nothing for the attempt."""
        self.close_all()
        message = (
            f"a process that asked for secrets was killed and did not end within {KILL_SECONDS_MAX} seconds"
        )
        return _ended("failed", "secret", message)


def _ended(outcome: str, kind: str, message: str) -> AttemptReport:
    return AttemptReport(outcome=outcome, error=AttemptError(kind, message))


def _become_asker(sources: Mapping[str, SecretSource], supervisor: int, writer: int) -> NoReturn:
    """Turn this fork of the supervisor into the process that asks, and end. What it asks may be privileged, other than
    what stages start: the settings name it, and no program."""
    status = 1
    try:
        be_a_process_of_its_own(supervisor)
        os.dup2(writer, _ANSWER, inheritable=False)
        close_from(_ANSWER + 1)
        write_all(_ANSWER, msgspec.json.encode(_asked(sources)))
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def _asked(sources: Mapping[str, SecretSource]) -> _Answer:
    secrets = {}
    for name, source in sources.items():
        try:
            secrets[name] = resolve(source, name)
        except SecretError as error:
            return _Answer(without=name, why=str(error))
    return _Answer(secrets)
