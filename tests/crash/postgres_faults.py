"""The same faults on PostgreSQL: what `faults` calls writes and flushes are messages to a server there.

write-1               the statements are with the server, and COMMIT is not
sync                  COMMIT is, and nobody has read its answer: whoever dies now does not know
synced                it was read, and nobody has been told yet
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.crash.faults import Witness, kinds_of, named, tell_in_later_turns

from clew.ports import RunRecord
from clew.stores.postgres import PostgresStore
from clew.stores.postgres_connection import PostgresConnection
from clew.stores.postgres_flush import Flush
from clew.stores.store import DatabaseStore

NAMES = {"join": "take", "leave": "close"}
"""What is called otherwise on SQLite."""


def watch_postgres(witness: Witness) -> None:
    """Have this process' stores tell the witness of their transactions."""
    begin, record = PostgresStore.__init__, PostgresStore.record
    send, flush_send, commit = PostgresConnection._send, Flush.send, PostgresConnection.commit
    finish = PostgresConnection.finish_flush

    def watched_begin(self: PostgresStore, *given: Any, **options: Any) -> None:
        if options.get("read_only"):
            begin(self, *given, **options)
            return
        with witness.transaction(["open"]):
            begin(self, *given, **options)

    def watched_record(self: PostgresStore, records: Sequence[RunRecord]) -> list[str]:
        with witness.transaction(kinds_of(records)) as tell:
            fenced = record(self, records)
        tell_in_later_turns(tell)
        return fenced

    def watched_send(self: PostgresConnection, raw: Any, name: str, text: str, given: Any) -> None:
        if text == "COMMIT":
            witness.writing(lambda: _all_out(raw))
        send(self, raw, name, text, given)

    def watched_flush_send(self: Flush) -> None:
        flush_send(self)
        witness.syncing()

    def watched_finish(self: PostgresConnection, flush: Flush) -> None:
        finish(self, flush)
        witness.synced()

    def watched_commit(self: PostgresConnection) -> None:
        assert self._connection is not None
        raw = self._connection.pgconn
        witness.writing(_nothing)
        if witness._is_at("sync"):
            raw.send_query(b"COMMIT")
            _all_out(raw)
        witness.syncing()
        commit(self)
        witness.synced()

    PostgresStore.__init__ = watched_begin  # type: ignore[method-assign]
    PostgresStore.record = watched_record  # type: ignore[method-assign]
    PostgresConnection._send = watched_send  # type: ignore[method-assign]
    PostgresConnection.finish_flush = watched_finish  # type: ignore[method-assign]
    PostgresConnection.commit = watched_commit  # type: ignore[method-assign]
    Flush.send = watched_flush_send  # type: ignore[method-assign]
    for method in ("join", "leave"):
        setattr(PostgresStore, method, named(witness, NAMES[method], getattr(PostgresStore, method)))
    for method in ("register_program", "instruct", "refuse"):
        setattr(DatabaseStore, method, named(witness, method, getattr(DatabaseStore, method)))


def _all_out(raw: Any) -> None:
    """What was given to the library is on its way."""
    while raw.flush():
        pass


_nothing: Callable[[], None] = lambda: None  # noqa: E731
