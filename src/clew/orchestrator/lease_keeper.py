"""Keeps an orchestrator's lease, in a thread and over a connection of its own: whatever the event loop is at, and
however long a flush takes, it is renewed in time; and where it can't be, whoever asks is told before anybody else may
take the runs.

Of clocks it knows one of this machine's alone, which nobody sets and which goes on while the machine sleeps. By that
clock a lease lasts at least as long as it is from before its renewal was sent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from clew.ports import Renewals, StoreError

RENEWALS_A_LEASE = 3
"""How often a lease is renewed within its length: one may fail, and attempts go on as if nothing had been."""

BEGINS_FOR = 1 / 2
"""The part of a lease in which something may be begun: it then has the other half to be on record."""

ATTEMPTS_LAST_FOR = 3 / 4
"""The part of a lease for which attempts may run without a renewal; the rest is for them to be ended in."""


AttemptsLast = Callable[[int], None]
"""Is told until when attempts may run, in nanoseconds by the keeper's clock."""


def boot_nanoseconds() -> int:
    """Now, by a clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class LeaseKeeper:
    """From `start` to `stop`."""

    def __init__(
        self,
        renewals: Renewals,
        *,
        since: int,
        lease_milliseconds: int,
        attempts_last: AttemptsLast,
        clock: Callable[[], int] = boot_nanoseconds,
    ) -> None:
        """`since`: a moment by `clock`, in nanoseconds, before the lease was taken. `attempts_last`: told with each
        renewal, from any thread, but not at the same time, nor after `stop`."""
        self._renewals = renewals
        self._length = lease_milliseconds * 1_000_000
        self._attempts_last = attempts_last
        self._telling = threading.Lock()
        self._clock = clock
        self._renewed_at = since
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="keeping the lease", daemon=True)
        self.is_in_doubt = False
        """The lease was over for a while, as far as this machine can tell: others may have taken runs. Nothing is begun
        until it `is_sure`."""
        self.is_forgotten = False
        """The lease can't be kept any more: the database does not know this orchestrator."""

    def start(self) -> None:
        """Keep the lease from here on."""
        self._prolong_attempts()
        self._thread.start()

    def stop(self) -> None:
        """It is kept no more. Does not wait for an answer that may never come."""
        with self._telling:
            self._is_over.set()

    @property
    def may_begin(self) -> bool:
        """Whether something may be begun."""
        return not self.is_in_doubt and self._clock() - self._renewed_at < self._length * BEGINS_FOR

    def is_sure(self) -> None:
        """What others have taken is driven here no more."""
        self.is_in_doubt = False
        self._prolong_attempts()

    def _keep(self) -> None:
        try:
            while not self._is_over.wait(self._length / 1e9 / RENEWALS_A_LEASE):
                self.keep()
        except BaseException:
            self.is_in_doubt = self.is_forgotten = True  # a bug must not leave it waiting for ever
            raise
        finally:
            self._renewals.close()

    def keep(self) -> None:
        """Renew once."""
        sent_at = self._clock()
        try:
            is_known = self._renewals.renew()
        except StoreError:
            return  # it is tried again, and whoever asks is told
        if not is_known:
            self.is_in_doubt = self.is_forgotten = True
            return
        if self._clock() - self._renewed_at >= self._length:
            self.is_in_doubt = True  # first, so that nobody takes the renewal for more than it is
        self._renewed_at = sent_at
        if not self.is_in_doubt:
            self._prolong_attempts()

    def _prolong_attempts(self) -> None:
        with self._telling:
            if not self._is_over.is_set():
                self._attempts_last(self._renewed_at + int(self._length * ATTEMPTS_LAST_FOR))
