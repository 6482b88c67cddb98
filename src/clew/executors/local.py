"""Attempts in processes of this machine, each supervised, none left behind.

The orchestrator talks to one supervisor, which it starts when the first attempt is submitted; what runs below
that, and how it is ended, is told in `clew/attempt`. This side keeps only who is waiting for which report.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from clew.core.running.fold_back import INTERRUPTED
from clew.core.running.packets import (
    CANCEL,
    LAPSED,
    PACKET_SIZE_MAX,
    READY,
    WHOLE,
    Joiner,
    packet,
    packets_of,
)
from clew.core.running.statuses import NOT_BEGUN, UNKNOWN
from clew.executors.attempts_lock import take_lock, wait_until_attempts_ended
from clew.executors.spawning import AttemptProcess
from clew.ports import AttemptError, AttemptReport, AttemptRequest, Tasks

if TYPE_CHECKING:
    from clew.executors.attempts_lease import AttemptsLease

__all__ = ["LocalExecutor", "wait_until_attempts_ended"]

CLOSE_SECONDS_MAX = 15
"""More than the grace of a cancelled attempt and the time a killed process may take, together."""
_PACKETS_A_TURN = 64
"""Then the event loop has its turn; enough to empty a socket's buffer of ordinary reports."""

Ended = Callable[[AttemptReport], None]


class _Waiting(NamedTuple):
    """An attempt that has been submitted and has not ended."""

    request: AttemptRequest
    ended: Ended


class LocalExecutor:
    """Runs at most `workers_max` attempts at a time; those beyond it wait their turn, and their deadlines
    begin when they do. `lock_path` names the file whose lock says that attempts are there (see
    `attempts_lock`), None for none; work folders are made in `work_folders`, beside the lock if not given.
    `forks` is for a program of clew's own, of whose memory and threads it knows all: it starts quicker. `lease` says
    until when attempts may run; without one they may as long as this process is there. When it is over those that run
    are killed, and reported as interrupted once this process can hear of it.

    An attempt whose processes could not be ended even by SIGKILL is reported as `unknown`, and nothing more is
    told of it. While they are there the lock is held."""

    def __init__(
        self,
        tasks: Tasks,
        *,
        lock_path: str | None,
        workers_max: int,
        work_folders: str | None = None,
        forks: bool = False,
        lease: AttemptsLease | None = None,
    ) -> None:
        self._tasks = tasks
        self._lock_path = lock_path
        self._lock: int | None = None
        self._workers_max = workers_max
        self._work_folders = work_folders or _beside(lock_path)
        self._forks = forks
        self._lease = lease
        self._server: AttemptProcess | None = None
        self._server_is_ready = self._server_has_lapsed = False
        self._joiner = Joiner()
        self._unsent: deque[bytes] = deque()
        self._waiting: dict[int, _Waiting] = {}
        self._queue: deque[int] = deque()
        self._running: set[int] = set()
        self._numbers: dict[str, int] = {}
        self._last_number = 0
        self._is_closed = False
        self._is_over = asyncio.Event()

    def start(self) -> None:
        """Start the processes that attempts come from now, rather than with the first of them: so that they can
        be forked before this process has threads. Raises OSError."""
        if self._server is None:
            self._start_server()

    # ---- the port ----------------------------------------------------------------------------------------

    def submit(self, request: AttemptRequest, ended: Ended) -> None:
        self.submit_all([(request, ended)])

    recovers = False

    def recover(self, request: AttemptRequest, ended: Ended) -> None:
        raise NotImplementedError("what runs here ends with its orchestrator")

    def submit_all(self, requests: Sequence[tuple[AttemptRequest, Ended]]) -> None:
        for request, ended in requests:
            self._last_number += 1
            self._waiting[self._last_number] = _Waiting(request, ended)
            self._numbers[request.attempt_id] = self._last_number
            if self._is_closed:
                self._end(self._last_number, _not_begun("cancelled", "the executor is closed"))
            else:
                self._queue.append(self._last_number)
        self._start_queued()

    def cancel(self, attempt_id: str) -> None:
        number = self._numbers.get(attempt_id)
        if number in self._running:
            self._send(packet(CANCEL, number))
        elif number is not None:
            self._queue.remove(number)
            self._end(number, _not_begun("cancelled", "it was cancelled before its turn came"))

    async def close(self) -> None:
        self._is_closed = True
        for waiting in tuple(self._waiting.values()):
            self.cancel(waiting.request.attempt_id)
        self._dismiss_idle_server()
        if self._server is not None:
            timer = self._tasks.later(CLOSE_SECONDS_MAX * 1000, self._lose_server)
            await self._is_over.wait()
            timer.cancel()
        if self._lock is not None:
            # What could not be ended, if anything, still has it.
            os.close(self._lock)
            self._lock = None

    # ---- from submission to the end ----------------------------------------------------------------------

    def _start_queued(self) -> None:
        while self._queue and len(self._running) < self._workers_max:
            number = self._queue.popleft()
            if self._lease is not None and self._lease.is_over:
                self._end(
                    number, _not_begun("lease", "the orchestrator's lease is over: it must be renewed first")
                )
                continue
            try:
                self.start()
            except OSError as error:
                self._end(number, _not_begun("executor", str(error)))
                continue
            self._running.add(number)
            for message in packets_of(number, msgspec.json.encode(self._waiting[number].request)):
                self._send(message)

    def _end(self, number: int, report: AttemptReport) -> None:
        waiting = self._waiting.pop(number)
        del self._numbers[waiting.request.attempt_id]
        self._running.discard(number)
        self._tasks.soon(partial(waiting.ended, report))

    def _take(self, message: bytes) -> None:
        complete = self._joiner.take(message)
        if complete is None:
            return
        kind, number, content = complete
        if kind == READY:
            self._server_is_ready = True
        elif kind == LAPSED:
            self._server_has_lapsed = True
        elif number not in self._running:
            return  # reported already as one that nobody can end, and now it has ended
        elif kind == WHOLE:
            self._end(number, msgspec.json.decode(content, type=AttemptReport))

    # ---- the supervisor ---------------------------------------------------------------------------------

    def _start_server(self) -> None:
        if self._lock is None and self._lock_path is not None:
            self._lock = take_lock(self._lock_path)
        memory = None if self._lease is None else self._lease.memory
        self._server = AttemptProcess(self._lock, self._work_folders, lease=memory, forks=self._forks)
        self._server_is_ready = self._server_has_lapsed = False
        self._is_over.clear()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._server.socket, self._read)

    def _dismiss_idle_server(self) -> None:
        if self._server is not None and self._is_closed and not self._running:
            self._server.dismiss()

    def _read(self) -> None:
        try:
            self._take_packets()
        except Exception as error:
            # The event loop would print it and go on; a bug of ours is to take the orchestrator down.
            self._tasks.soon(partial(_raise, error))

    def _take_packets(self) -> None:
        for _ in range(_PACKETS_A_TURN):
            if self._server is None:
                return
            try:
                message = self._server.socket.recv(PACKET_SIZE_MAX)
            except BlockingIOError:
                break
            except ConnectionResetError:
                message = b""
            if not message:
                self._lose_server()
                break
            self._take(message)
        self._dismiss_idle_server()
        self._start_queued()

    def _send(self, message: bytes) -> None:
        self._unsent.append(message)
        if len(self._unsent) == 1:
            self._send_unsent()

    def _send_unsent(self) -> None:
        assert self._server is not None
        try:
            while self._unsent:
                self._server.socket.send(self._unsent[0])
                self._unsent.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._server.socket, self._send_unsent)
            return
        except (BrokenPipeError, ConnectionResetError):
            self._unsent.clear()  # its end is about to be read
        self._loop.remove_writer(self._server.socket)

    def _lose_server(self) -> None:
        """It is gone and all below it, or, when the executor closes, has been waited for long enough."""
        assert self._server is not None
        self._loop.remove_reader(self._server.socket)
        self._loop.remove_writer(self._server.socket)
        self._server.release()
        self._server = None
        self._unsent.clear()
        self._joiner = Joiner()
        for number in sorted(self._running):
            self._end(number, self._lost_with_server())
        self._is_over.set()

    def _lost_with_server(self) -> AttemptReport:
        if not self._server_is_ready:
            return _not_begun("executor", "the process that starts attempts could not start")
        if self._server_has_lapsed:
            return _unknown("it was ended since the orchestrator's lease was over")
        return _unknown("the process that starts attempts has ended")


def _raise(error: Exception) -> None:
    raise error


def _beside(lock_path: str | None) -> str:
    if lock_path is not None:
        return os.path.abspath(lock_path) + ".work"
    import tempfile  # 15 ms that those with a lock need not pay

    return tempfile.gettempdir()


def _not_begun(kind: str, why: str) -> AttemptReport:
    return AttemptReport(outcome=NOT_BEGUN, error=AttemptError(kind, why))


def _unknown(why: str) -> AttemptReport:
    return AttemptReport(outcome=UNKNOWN, error=AttemptError(INTERRUPTED, why))
