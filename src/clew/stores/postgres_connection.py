"""A connection to PostgreSQL that is made anew when it was lost, and says of each failure what may be done about it.

It keeps nothing in the session that a pooler could take away: what a transaction needs it sets for itself, and a
statement that is not prepared any more is sent whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import conninfo, pq

from clew.ports import CommitUnknown, StoreBusy, StoreError, WatchSocket
from clew.stores.postgres_flush import ANSWER_SECONDS_MAX, Flush

CONNECT_SECONDS_MAX = 5
"""A server that is there accepts a connection within milliseconds."""

_FAR_END = {
    "connect_timeout": CONNECT_SECONDS_MAX,
    "tcp_user_timeout": ANSWER_SECONDS_MAX * 1000,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""So that a far end that is not there any more is noticed, though it has not said so; for those who do not say
otherwise."""

IDLE_IN_TRANSACTION = "10s"
"""After which the server abandons a transaction whose client has been stopped in the midst of it: many times the
longest one clew makes."""

Statement = tuple[str, Sequence[bytes | None]]
"""A query's name, and its parameters in binary format."""


class Refused(Exception):
    """A statement of a transaction failed, by its own doing; nothing of the transaction holds. `state`: SQLSTATE."""

    def __init__(self, state: str, message: str) -> None:
        super().__init__(message)
        self.state = state


class PostgresConnection:
    """Used from one thread at a time."""

    def __init__(self, url: str, name: str, queries: Mapping[str, str]) -> None:
        """`name`: how messages call the store. Connects when there is something to ask."""
        self._url = url
        self._name = name
        self._queries = {query: _numbered(text) for query, text in queries.items()}
        self._connection: psycopg.Connection[Any] | None = None
        self._prepared: set[str] = set()
        self._prepares = True
        self._in_transaction = False
        self._flush: Flush | None = None
        """What is under way, or was last."""
        self._listens = False
        self._heard = 0

    def close(self) -> None:
        """Doing so twice is fine."""
        flush = self._flush
        if flush is not None and not flush.is_over:
            flush.is_disturbed()
            flush.is_lost(psycopg.OperationalError("it was closed"))
        connection, self._connection = self._connection, None
        self._in_transaction = False
        self._prepared.clear()
        if connection is not None:
            connection.close()

    def open(self) -> psycopg.Connection[Any]:
        """The connection, made anew where it was lost. Raises StoreBusy when there is no server, StoreError when there
        will be none."""
        self._catch_up()
        if self._connection is not None and not self._connection.broken:
            return self._connection
        self.close()
        try:
            said = conninfo.conninfo_to_dict(self._url)
            given = conninfo.make_conninfo(self._url, **{**_FAR_END, **said})
            self._connection = psycopg.connect(given, autocommit=True, prepare_threshold=None)
            # What comes with the answer to something else the driver hands on; what comes by itself is looked for.
            self._connection.add_notify_handler(lambda notice: self._hear(notice.pid))
            if self._listens:
                self._connection.execute("LISTEN clew")
        except psycopg.Error as error:
            raise self._sorted(error.sqlstate or "", _told(error)) from error
        return self._connection

    # ---- one query after another ----

    def rows(self, name: str, bound: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """What a query finds. Raises StoreError; of its kinds CommitUnknown only where it was not in a transaction and
        may have changed something."""
        text, names = self._queries[name]
        given = [bound[one] for one in names] if isinstance(bound, Mapping) else bound
        return self.execute(text, given)

    def execute(self, text: str, given: Sequence[Any] = ()) -> list[Any]:
        """As `rows`, for a statement with numbered places. Outside of transactions there are only questions: one that
        finds its connection lost is asked again on another."""
        if self._in_transaction:
            self._within()
        was_open = self._connection is not None and not self._in_transaction
        try:
            return self._execute(text, given)
        except psycopg.Error as error:
            if not (was_open and self._connection is not None and self._connection.broken):
                raise self._sorted(error.sqlstate or "", _told(error)) from error
        try:
            return self._execute(text, given)
        except psycopg.Error as error:
            raise self._sorted(error.sqlstate or "", _told(error)) from error

    def _execute(self, text: str, given: Sequence[Any]) -> list[Any]:
        cursor = psycopg.RawCursor(self.open())
        cursor.execute(text, given, prepare=False)
        return cursor.fetchall() if cursor.description else []

    def _within(self) -> psycopg.Connection[Any]:
        """The connection of the transaction under way: no other will do. Raises StoreBusy where it was lost."""
        if self._connection is None or self._connection.broken:
            raise StoreBusy(f"{self._name}: the connection was lost within a transaction, which is void")
        return self._connection

    def execute_binary(self, name: str, given: Sequence[bytes | None]) -> None:
        """A statement of a flush, within a transaction of several queries. Raises StoreError."""
        text = self._queries[name][0].encode()
        result = self._within().pgconn.exec_params(
            text, list(given) or None, param_formats=[1] * len(given) or None
        )
        if result.status == pq.ExecStatus.FATAL_ERROR:
            self._see_failure_within(result)

    def execute_script(self, text: str) -> None:
        """Several statements without parameters, within a transaction. Raises StoreError."""
        result = self._within().pgconn.exec_(text.encode())
        if result.status == pq.ExecStatus.FATAL_ERROR:
            self._see_failure_within(result)

    def _see_failure_within(self, failed: pq.abc.PGresult) -> None:
        state, message = _failure(failed)
        if state == UNIQUE_VIOLATION and failed.error_field(pq.DiagnosticField.TABLE_NAME) == b"runs":
            raise StoreBusy(f"{self._name}: somebody has just made the same; try again")
        raise self._sorted(state, message)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction of several queries. Raises StoreBusy where it is void and may be made again, CommitUnknown
        where nobody can tell."""
        self.open()
        try:
            self.execute("BEGIN")
            self._in_transaction = True
            self.rows("begin_transaction", (IDLE_IN_TRANSACTION,))
            yield
            self.commit()
        except BaseException:
            self._abandon()
            raise
        finally:
            self._in_transaction = False

    def commit(self) -> None:
        """Commit. Apart, so that tests can cut it off."""
        assert self._connection is not None
        try:
            self._connection.execute("COMMIT")
        except psycopg.Error as error:
            if self._connection.broken:
                raise self._unknown(error) from error
            raise self._sorted(error.sqlstate or "", _told(error)) from error

    def _abandon(self) -> None:
        connection = self._connection
        if connection is None or connection.broken:
            self.close()
        elif connection.info.transaction_status != pq.TransactionStatus.IDLE:
            try:
                connection.execute("ROLLBACK")
            except psycopg.Error:
                self.close()

    # ---- many at once ----

    def flush(self, statements: Sequence[Statement]) -> None:
        """One transaction of all these statements, sent together: a single round trip, in the midst of which nobody is.

        Raises Refused where one of them failed, StoreBusy where the transaction may be made again, CommitUnknown
        where nobody can tell whether it holds.
        """
        self.finish_flush(self.begin_flush(statements))

    def begin_flush(self, statements: Sequence[Statement], watch: WatchSocket | None = None) -> Flush:
        """Send such a transaction, and leave the server to it: `finish_flush` says what came of it. Whatever else is
        asked until then, another flush too, waits for its answer first. Raises StoreBusy, StoreError where nothing was
        sent."""
        raw = self.open().pgconn
        flush = self._flush = Flush(raw)
        try:
            raw.enter_pipeline_mode()
            self._send(raw, "", "BEGIN", ())
            for name, given in (("begin_flush", ()), *statements):
                self._send(raw, name, self._queries[name][0], given)
            self._send(raw, "", "COMMIT", ())
            flush.send()
        except (psycopg.Error, TimeoutError) as error:
            self._lose(flush, error)
        else:
            if watch is not None:
                flush.be_watched(watch)
        return flush

    def finish_flush(self, flush: Flush) -> None:
        """Wait for the answer to what was begun. Raises as `flush`."""
        flush.is_asked()
        self._receive(flush)
        if flush.lost is not None:
            raise self._unknown(flush.lost) from flush.lost
        if flush.failed is not None:
            self._see_failure(flush.failed)

    def _catch_up(self) -> None:
        """Have the answer to the flush that is under way, if one is, before anything else is asked."""
        flush = self._flush
        if flush is not None and not flush.is_over:
            flush.is_disturbed()
            self._receive(flush)

    def _receive(self, flush: Flush) -> None:
        if flush.is_over:
            return
        try:
            flush.receive()
        except (psycopg.Error, TimeoutError) as error:
            self._lose(flush, error)
        if flush.failed is not None:
            self.close()  # what is prepared there, and what is not, nobody knows; and it is in a void transaction

    def _lose(self, flush: Flush, error: Exception) -> None:
        flush.is_lost(error)
        self.close()

    def _send(self, raw: pq.abc.PGconn, name: str, text: str, given: Sequence[bytes | None]) -> None:
        formats = [1] * len(given)
        if not name or not self._prepares:
            raw.send_query_params(text.encode(), given or None, param_formats=formats or None)
            return
        key = name.encode()
        if name not in self._prepared:
            raw.send_prepare(key, text.encode())
            self._prepared.add(name)
        raw.send_query_prepared(key, given or None, param_formats=formats or None)

    def _see_failure(self, failed: pq.abc.PGresult) -> None:
        """A statement failed, and so those after it, COMMIT among them, were not looked at: the transaction is void."""
        state, message = _failure(failed)
        if state in _NOT_PREPARED:
            self._prepares = False  # a pooler has given the session to somebody else, and will again
            raise StoreBusy(f"{self._name}: {message}")
        kind = self._sorted(state, message)
        raise kind if isinstance(kind, StoreBusy) else Refused(state, message)

    # ---- what others tell ----

    def listen(self) -> None:
        """Hear of what others change, whenever there is a connection. Raises StoreError."""
        self._listens = True
        if self._connection is None:
            self.open()
        else:
            self.execute("LISTEN clew")

    def heard(self) -> int:
        """How often others have told of a change, as far as anybody has heard. Never raises, never waits."""
        connection = self._connection
        is_free = self._flush is None or self._flush.is_over  # else it is told with the answer
        if connection is not None and not connection.broken and is_free:
            raw = connection.pgconn
            try:
                raw.consume_input()
                while (notice := raw.notifies()) is not None:
                    self._hear(notice.be_pid)
            except psycopg.Error:
                self.close()
        return self._heard

    def _hear(self, process: int) -> None:
        """Somebody has told of a change; what this connection does itself, it need not be told."""
        if self._connection is not None and process != self._connection.pgconn.backend_pid:
            self._heard += 1

    # ---- what went wrong ----

    def _unknown(self, error: Exception) -> CommitUnknown:
        return CommitUnknown(
            f"{self._name}: the connection was lost while it committed ({_told(error)}); what was asked for is there "
            "whole, or not at all: look before you ask again"
        )

    def _sorted(self, state: str, said: str) -> StoreError:
        """What the server says as one of clew's kinds, with a remedy. No `state`: there was no server to say it."""
        if state == "53100":
            return StoreBusy(f"{self._name}: the server's disk is full; make room, and it goes on by itself")
        if state[:2] in _AGAIN or state in _AGAIN:
            return StoreBusy(f"{self._name}: {said}; try again")
        if state[:2] == "28" or state in ("3D000", "42501") or (not state and _is_kept_out(said)):
            return StoreError(
                f"{self._name}: {said}; are user, password, database and rights as they should be?"
            )
        if not state:
            return StoreBusy(f"{self._name}: can't be reached ({said}); try again")
        return StoreError(f"{self._name}: {said}")


_AGAIN = frozenset({"08", "40", "53", "55P03", "57", "25006", "25P03"})
"""Classes, and states, after which the same transaction may be made again: connections, conflicts, want of resources,
locks, an operator's intervention, a server that is read only for a while, a transaction that stood still."""

UNIQUE_VIOLATION = "23505"

_NOT_PREPARED = ("26000", "42P05")
"""There is no such prepared statement, or there is one already."""


def _failure(failed: pq.abc.PGresult) -> tuple[str, str]:
    """SQLSTATE, and what the server says."""
    state = failed.error_field(pq.DiagnosticField.SQLSTATE) or b""
    message = failed.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or failed.error_message
    return state.decode(), message.decode(errors="replace")


def _is_kept_out(said: str) -> bool:
    """A connection was refused for a reason that will last; it comes without a state."""
    return any(words in said for words in ("authentication failed", "does not exist", "no password supplied"))


def _told(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _numbered(text: str) -> tuple[str, list[str]]:
    """A query with `:name`s as the server takes it, with `$1`, `$2` and so on, and which name each stands for."""
    names: list[str] = []
    parts: list[str] = []
    rest = text
    while True:
        before, found, after = rest.partition(":")
        parts.append(before)
        if not found:
            return "".join(parts), names
        if after.startswith(":"):
            parts.append("::")
            rest = after[1:]
            continue
        length = len(after) - len(after.lstrip("abcdefghijklmnopqrstuvwxyz_"))
        name = after[:length]
        if name not in names:
            names.append(name)
        parts.append(f"${names.index(name) + 1}")
        rest = after[length:]
