"""One attempt as the supervisor sees it: its worker, its deadline, its log, its result, what came of it.

running --(deadline, or cancelled)--> ending --(grace is over)--> killing --(nobody is left)--> over
   `------(its worker has ended)---------------------------------^
"""

from __future__ import annotations

import os
import signal
from time import monotonic

import msgspec

from clew.attempt.children import KILL_SECONDS_MAX, Child
from clew.attempt.log import Log
from clew.attempt.preparation import Prepared
from clew.attempt.processes import HANDLED, ask_to_end
from clew.attempt.worker import WorkerResult, become_worker
from clew.ports import AttemptError, AttemptReport, AttemptRequest

GRACE_SECONDS = 2
"""Between SIGTERM and SIGKILL: enough to put a file away or to end a transaction."""
RESULT_MARGIN = 256 * 1024
"""What a worker's report may hold beside the result and the outputs taken from it: findings, an error."""


class Watch(Child):
    """An attempt's worker."""

    def __init__(self, request: AttemptRequest, prepared: Prepared) -> None:
        """Starts the worker. Raises OSError when there can't be another process."""
        super().__init__(monotonic() + request.timeout_milliseconds / 1000)
        self._request = request
        self._prepared = prepared
        self._log = Log(prepared.log, request.log_size_max, prepared.redactor)
        self._result = bytearray()
        self._result_size_max = 2 * request.output_size_max + RESULT_MARGIN
        self.modules: tuple[str, ...] = ()
        """What the worker had to import."""
        self.worker = self._start_worker()

    def _start_worker(self) -> int:
        log_reader, log_writer = os.pipe2(os.O_CLOEXEC)
        result_reader, result_writer = os.pipe2(os.O_CLOEXEC)
        supervisor = os.getpid()
        # Blocked until the worker has forgotten our handlers, lest a signal meant for it be taken for ours.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        try:
            worker = os.fork()
            if worker == 0:
                become_worker(self._request, self._prepared, supervisor, log_writer, result_writer)
        except OSError:
            os.close(log_reader)
            os.close(result_reader)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            os.close(log_writer)
            os.close(result_writer)
        for reader, take in ((log_reader, self._log.feed), (result_reader, self._take_result)):
            os.set_blocking(reader, False)
            self.readers[reader] = take
        return worker

    # ---- what it says ------------------------------------------------------------------------------------

    def _take_result(self, piece: bytes) -> None:
        self._result += piece
        if len(self._result) > self._result_size_max:
            self._result.clear()
            self._cause = self._cause or "output"
            self.kill(self._cause)

    # ---- how it ends -------------------------------------------------------------------------------------

    def ask_to_end(self, cause: str) -> None:
        """SIGTERM to all its processes."""
        if self._cause is None and not self.is_killing:
            self._cause = cause
            self.next_step_at = monotonic() + GRACE_SECONDS
            ask_to_end(self.worker)

    # ---- what came of it ---------------------------------------------------------------------------------

    def finish(self) -> AttemptReport:
        """Read what is left to read, release everything, and say what came of it."""
        self.read_all()
        self._release()
        return self._with_log(self._prepared.redacted(self._outcome()))

    def give_up(self) -> AttemptReport:
        """What to say of one whose processes can't be shown to have ended."""
        self._release()
        message = f"a process was killed and did not end within {KILL_SECONDS_MAX} seconds"
        return self._with_log(AttemptReport(outcome="unknown", error=AttemptError("unkillable", message)))

    def _release(self) -> None:
        self.close_all()
        self._log.finish()
        self._prepared.tidy_up()

    def _with_log(self, report: AttemptReport) -> AttemptReport:
        return msgspec.structs.replace(report, log_size=self._log.size, log_truncated=self._log.is_truncated)

    def _outcome(self) -> AttemptReport:
        if self._cause == "timed_out":
            seconds = self._request.timeout_milliseconds / 1000
            return _ended("timed_out", "timed_out", f"did not end within its timeout of {seconds:g} seconds")
        if self._cause == "cancelled":
            return _ended("cancelled", "cancelled", "was asked to end")
        if self._cause == "output":
            limit = self._request.output_size_max
            return _ended("failed", "output", f"its result is larger than the {limit} bytes it may have")
        code = self._code
        assert code is not None, "an outcome is asked for when the worker has ended"
        if code < 0:
            return _ended("failed", "signal", f"its process was ended by {_signal_name(-code)}")
        if code > 0 or not self._result:
            what = "" if code else " before it gave its result"
            return _ended("failed", "exit", f"its process ended with exit code {code}{what}")
        try:
            result = msgspec.json.decode(self._result, type=WorkerResult)
        except msgspec.MsgspecError as error:
            return _ended("failed", "output", f"its result can't be read: {error}")
        self.modules = result.modules
        return result.report


def _ended(outcome: str, kind: str, message: str) -> AttemptReport:
    return AttemptReport(outcome=outcome, error=AttemptError(kind, message))


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
