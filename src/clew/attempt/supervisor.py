"""The process that starts the attempts of one orchestrator and sees each of them through.

It has one thread, waits in one place, and runs no user code, so that nothing the code does keeps it from its
duties. That all attempts share it, rather than each having its own, is for the price of a fork: on the
machine this was measured on, one costs 2 to 3 ms of processor time.

Nothing begins after the orchestrator is gone, or its lease is over. A request is sent when what led to it is
durable, and is itself the permission to begin; right before each fork the supervisor looks whether it still holds.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from clew.attempt.asking import Asking
from clew.attempt.children import Child
from clew.attempt.learning import learn
from clew.attempt.preparation import Prepared, Refused, prepare, to_be_asked
from clew.attempt.processes import SignalPipe, adopt_orphans, children_of, end_children, reap
from clew.attempt.watching import Watch
from clew.core.running.packets import (
    CANCEL,
    PACKET_SIZE_MAX,
    READY,
    WHOLE,
    Joiner,
    packet,
    packets_of,
)
from clew.ports import AttemptError, AttemptReport, AttemptRequest

if TYPE_CHECKING:
    from clew.attempt.lease import Lease


class Surroundings(NamedTuple):
    """The socket to the orchestrator, the pidfds of it and of the guardian, the folder for work folders, and until
    when attempts may begin, if that is limited."""

    control: int
    orchestrator: int
    guardian: int
    folder: str
    lease: Lease | None


def supervise(surroundings: Surroundings) -> None:
    """Start attempts until the orchestrator or guardian is gone, or SIGTERM comes; then kill what runs."""
    adopt_orphans()
    _Supervisor(surroundings, SignalPipe()).run()
    end_children()


class _Supervisor:
    """`_workers` and `_strays` hold every child: whose worker it is, or which attempts it may belong to. An attempt has
    an `Asking` while others are asked for its secrets, and then a `Watch`."""

    def __init__(self, surroundings: Surroundings, signals: SignalPipe) -> None:
        self._surroundings = surroundings
        self._control = surroundings.control
        os.set_blocking(self._control, False)
        self._signals = signals
        self._watches: dict[int, Asking | Watch] = {}  # by the attempt's number
        self._workers: dict[int, Child] = {}
        self._strays: dict[int, tuple[Child, ...]] = {}
        self._joiner = Joiner()
        self._unsent: deque[bytes] = deque()
        self._poll = select.poll()
        self._heeds: dict[int, Callable[[], None]] = {}
        self._is_wanted = True

    def run(self) -> None:
        self._heed(self._control, self._obey)
        self._heed(self._signals.reader, self._take_signals)
        self._heed(self._surroundings.orchestrator, self._stop)
        self._heed(self._surroundings.guardian, self._stop)
        self._tell(packet(READY, 0))
        while self._is_wanted:
            for descriptor, event in self._poll.poll(self._milliseconds_left()):
                self._attend(descriptor, event)
            self._keep_time()

    # ---- what comes --------------------------------------------------------------------------------------

    def _heed(self, descriptor: int, act: Callable[[], None]) -> None:
        self._heeds[descriptor] = act
        self._poll.register(descriptor, select.POLLIN)

    def _unheed(self, descriptor: int) -> None:
        del self._heeds[descriptor]
        self._poll.unregister(descriptor)

    def _attend(self, descriptor: int, event: int) -> None:
        if event & select.POLLOUT:
            self._send_unsent()
        act = self._heeds.get(descriptor)  # None if what came before in this turn ended it
        if act is not None and event & ~select.POLLOUT:
            act()

    def _obey(self) -> None:
        try:
            message = os.read(self._control, PACKET_SIZE_MAX)
        except BlockingIOError:
            return
        except ConnectionResetError:
            message = b""
        if not message:
            self._stop()
            return
        complete = self._joiner.take(message)
        if complete is None:
            return
        kind, number, content = complete
        if kind == WHOLE:
            self._start(number, content)
        elif kind == CANCEL and number in self._watches:
            self._watches[number].ask_to_end("cancelled")

    def _stop(self) -> None:
        self._is_wanted = False

    def _take_signals(self) -> None:
        came = self._signals.take()
        if signal.SIGTERM in came:
            self._stop()
        elif signal.SIGCHLD in came:
            self._bury()

    # ---- an attempt's life -------------------------------------------------------------------------------

    def _start(self, number: int, document: bytes) -> None:
        try:
            request = msgspec.json.decode(document, type=AttemptRequest)
            sources = to_be_asked(request)
        except Exception as error:
            self._tell_of_bug(number, error)
            return
        if not sources:
            self._prepare(number, request, {})
            return
        try:
            self._see_to(number, Asking(request, sources))
        except OSError as error:
            self._report(number, _not_begun("executor", f"no process could be started: {error.strerror}"))

    def _prepare(self, number: int, request: AttemptRequest, asked: Mapping[str, str]) -> None:
        try:
            prepared = prepare(request, os.path.join(self._surroundings.folder, str(number)), asked)
        except Refused as refused:
            self._report(number, AttemptReport(outcome=refused.outcome, error=refused.error))
        except Exception as error:
            self._tell_of_bug(number, error)
        else:
            self._begin(number, request, prepared)

    def _tell_of_bug(self, number: int, error: Exception) -> None:
        """A bug of ours. The other attempts have nothing to do with it, and this one must not come again."""
        sys.excepthook(type(error), error, error.__traceback__)
        message = f"clew could not prepare it: {type(error).__name__}: {error}"
        self._report(number, AttemptReport(outcome="failed", error=AttemptError("bug", message)))

    def _begin(self, number: int, request: AttemptRequest, prepared: Prepared) -> None:
        if self._is_orchestrator_gone():
            self._stop()
            return
        if self._surroundings.lease is not None and self._surroundings.lease.is_over:
            self._refuse(number, prepared, "lease", "the orchestrator's lease ran out before it could begin")
            return
        try:
            watch = Watch(request, prepared)
        except OSError as error:
            self._refuse(number, prepared, "executor", f"no process could be started: {error.strerror}")
            return
        self._see_to(number, watch)

    def _see_to(self, number: int, watch: Asking | Watch) -> None:
        self._watches[number] = self._workers[watch.worker] = watch
        for reader in watch.readers:
            self._heed(reader, partial(self._read, watch, reader))

    def _refuse(self, number: int, prepared: Prepared, kind: str, why: str) -> None:
        prepared.discard()
        self._report(number, _not_begun(kind, why))

    def _is_orchestrator_gone(self) -> bool:
        look = select.poll()
        look.register(self._control, 0)  # of interest is its end only, not what can be read
        look.register(self._surroundings.orchestrator, select.POLLIN)
        return bool(look.poll(0))

    def _read(self, watch: Child, reader: int) -> None:
        if not watch.read(reader):
            self._unheed(reader)
            watch.close(reader)

    def _bury(self) -> None:
        """Reap who has ended, and find out who lost a parent by it."""
        affected: dict[Child, None] = {}
        for process, code in reap():
            if process in self._workers:
                watch = self._workers.pop(process)
                watch.worker_ended(code)
                affected[watch] = None
            else:
                for watch in self._strays.pop(process, ()):
                    watch.strays.discard(process)
                    affected[watch] = None
        self._adopt(tuple(affected))
        for number in [number for number, watch in self._watches.items() if watch.is_over()]:
            self._finish(number)

    def _adopt(self, affected: tuple[Child, ...]) -> None:
        """Take in the strays that have come since: a process of these attempts has just left them behind."""
        for process in children_of(os.getpid()):
            if process not in self._workers and process not in self._strays:
                self._strays[process] = affected
                for watch in affected:
                    watch.strays.add(process)
                if all(watch.is_killing for watch in affected):
                    os.kill(process, signal.SIGKILL)

    def _finish(self, number: int) -> None:
        watch = self._watches.pop(number)
        for reader in tuple(watch.readers):
            self._unheed(reader)
        if isinstance(watch, Asking):
            refused = watch.finish()
            if refused is None:
                self._prepare(number, watch.request, watch.secrets)
            else:
                self._report(number, refused)
        else:
            self._report(number, watch.finish())
            learn(watch.modules)

    def _milliseconds_left(self) -> float | None:
        if not self._watches:
            return None
        next_step_at = min(watch.next_step_at for watch in self._watches.values())
        return max(0.0, (next_step_at - monotonic()) * 1000 + 1)

    def _keep_time(self) -> None:
        now = monotonic()
        for number, watch in tuple(self._watches.items()):
            if watch.next_step_at <= now and not watch.take_next_step():
                self._give_up(number)

    def _give_up(self, number: int) -> None:
        """It can't be ended. Say so, and keep the process: as long as it is there, the lock is held."""
        watch = self._watches.pop(number)
        for reader in tuple(watch.readers):
            self._unheed(reader)
        self._report(number, watch.give_up())

    # ---- what goes ---------------------------------------------------------------------------------------

    def _report(self, number: int, report: AttemptReport) -> None:
        for message in packets_of(number, msgspec.json.encode(report)):
            self._tell(message)

    def _tell(self, message: bytes) -> None:
        self._unsent.append(message)
        if len(self._unsent) == 1:
            self._send_unsent()

    def _send_unsent(self) -> None:
        try:
            while self._unsent:
                os.write(self._control, self._unsent[0])
                self._unsent.popleft()
        except BlockingIOError:
            self._poll.modify(self._control, select.POLLIN | select.POLLOUT)
            return
        except (BrokenPipeError, ConnectionResetError):
            self._stop()
            return
        self._poll.modify(self._control, select.POLLIN)


def _not_begun(kind: str, why: str) -> AttemptReport:
    return AttemptReport(outcome="not_begun", error=AttemptError(kind, why))
