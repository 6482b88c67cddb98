"""A flush under way: a transaction that a PostgreSQL server was sent whole, and answers when it is done with it.

Between the two the socket belongs to the flush: whoever else reads from it takes the answer away from whoever waits.
"""

from __future__ import annotations

import select
import time

import psycopg
from psycopg import pq

from clew.ports import Watch, WatchSocket

ANSWER_SECONDS_MAX = 30
"""Whoever does not answer for so long is taken for lost: a commit that takes seconds is not."""


class Flush:
    """In libpq's pipeline mode, from before its first statement is sent to what came of it."""

    __slots__ = ("_end", "_raw", "_watch", "failed", "is_over", "lost")

    def __init__(self, raw: pq.abc.PGconn) -> None:
        self._raw = raw
        self._end = time.monotonic() + ANSWER_SECONDS_MAX
        self._watch: Watch | None = None
        self.is_over = False
        """There is an answer, or there will be none."""
        self.failed: pq.abc.PGresult | None = None
        """What the first statement that failed was answered."""
        self.lost: Exception | None = None
        """Why there is no answer."""

    def send(self) -> None:
        """Have all on its way that was given to libpq; the server begins as soon as it has the first statement. Raises
        psycopg.Error, TimeoutError."""
        self._raw.pipeline_sync()
        poll = select.poll()
        poll.register(self._raw.socket, select.POLLIN | select.POLLOUT)
        while self._raw.flush():
            self._wait(poll)
            self._raw.consume_input()

    def be_watched(self, watch: WatchSocket) -> None:
        """Somebody is to be called back when there is an answer."""
        self._watch = watch(self._raw.socket, ANSWER_SECONDS_MAX * 1000)

    def is_asked(self) -> None:
        """Nobody has to be called back: whoever waits for the answer asks for it now."""
        if self._watch is not None:
            self._watch.cancel()

    def is_disturbed(self) -> None:
        """Somebody else is about to use the connection, so that there will be no answer to be found on it."""
        if self._watch is not None:
            self._watch.call_now()

    def receive(self) -> None:
        """Wait for the answer. Raises psycopg.Error, TimeoutError."""
        raw = self._raw
        poll = select.poll()
        poll.register(raw.socket, select.POLLIN)
        while not self.is_over:
            while raw.is_busy():
                self._wait(poll)
                raw.consume_input()
            result = raw.get_result()
            if result is None:
                if raw.status == pq.ConnStatus.BAD:
                    raise psycopg.OperationalError(raw.error_message.decode(errors="replace"))
                continue
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                self.is_over = True
            elif result.status == pq.ExecStatus.FATAL_ERROR and self.failed is None:
                self.failed = result
        raw.exit_pipeline_mode()

    def is_lost(self, why: Exception) -> None:
        """There will be no answer."""
        self.lost, self.is_over = why, True

    def _wait(self, poll: select.poll) -> None:
        left = self._end - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise TimeoutError(f"no answer for {ANSWER_SECONDS_MAX} seconds")
