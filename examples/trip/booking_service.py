"""A small booking service: the outside world of the trip example, a process and a database of its own.

    python examples/trip/booking_service.py --database bookings.db

It sells places (flights, hotels, cars, excursions; so many a day) and takes payments (as far as a traveller's
credit goes). Every sale carries an `Idempotency-Key`, and what one key does, it does once:

    POST   /flights             sell a place; the same key again answers with the same booking
    DELETE /flights             undo that key's sale; again, or for a key never seen, is fine. The key is
                                spent then: a sale that arrives after its own cancellation is refused
    GET    /books               what stands: bookings, places taken, money; two calls compare as plain JSON
    GET    /journal             every request for a sale or a cancellation, in order, with what came of it
    PUT    /places              {"kind", "day", "places"}: how many places there are that day
    PUT    /lost-answers        {"kind", "count"}: act on the next requests, but hang up instead of answering

The journal row is written in the transaction of the effect, so whoever judges from outside can read the
database itself. Its rule, and the only one: what is in it happened, in the order of `seq`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LOOPBACK = "127.0.0.1"
PLACES = {"flights": 100_000, "hotels": 100_000, "cars": 100_000, "excursions": 100_000}
"""How many places of each kind a day has unless somebody says otherwise: enough for any test's many runs."""
CREDIT_CENTS = 500_000
"""How far a traveller's account may go below zero: some trips, but not a holiday without end."""
BODY_SIZE_MAX = 64 * 1024
"""Bytes of a request: a booking needs some hundred."""
KEY_LENGTH_MAX = 200
START_SECONDS_MAX = 20
"""A service that has not said its address by then will not: Python itself starts in a tenth of a second."""

SCHEMA = Path(__file__).with_name("bookings.sql")
AGENCY = "agency"


class Refusal(Exception):
    """The service will not do that; `outcome` is the word for it in the journal."""

    def __init__(self, status: HTTPStatus, outcome: str, message: str) -> None:
        self.status = status
        self.outcome = outcome
        super().__init__(message)


class Books:
    """The service's database. Each public method is one transaction; one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.row_factory = sqlite3.Row
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(SCHEMA.read_text())
        self._answers_to_lose: dict[str, int] = {}

    def close(self) -> None:
        with self._lock:
            self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def set_places(self, kind: str, day: str, places: int) -> None:
        with self._transaction() as database:
            database.execute("INSERT OR REPLACE INTO places VALUES (?, ?, ?)", (kind, day, places))

    def lose_answers(self, kind: str, count: int) -> None:
        with self._lock:
            self._answers_to_lose[kind] = count

    def loses_this_answer(self, kind: str) -> bool:
        with self._lock:
            left = self._answers_to_lose.get(kind, 0)
            self._answers_to_lose[kind] = max(0, left - 1)
            return left > 0

    def reserve(
        self, kind: str, key: str, *, traveller: str, day: str, cents: int
    ) -> tuple[HTTPStatus, dict[str, Any]]:
        """Sell once. Raises Refusal; the refusal is in the journal then, and nothing else has changed."""
        wanted = {"traveller": traveller, "day": day, "cents": cents}
        with self._transaction() as database:
            known = _row(database, "SELECT * FROM bookings WHERE idempotency_key = ?", key)
            refusal, reference = _refused(database, kind, wanted, known), None
            if refusal is not None:
                outcome = refusal.outcome
            elif known is not None:
                outcome, reference = "booked_before", known["reference"]
            else:
                outcome, reference = "booked", _sell(database, kind, key, wanted)
            _note(database, "reserve", kind, key, outcome, reference, traveller=traveller, day=day)
        if refusal is not None:
            raise refusal
        status = HTTPStatus.OK if known is not None else HTTPStatus.CREATED
        return status, {"reference": reference, "kind": kind, **wanted}

    def cancel(self, kind: str, key: str) -> dict[str, Any]:
        """Undo what the key sold, or see to it that it never sells. Raises Refusal for another kind's key."""
        with self._transaction() as database:
            known = _row(database, "SELECT * FROM bookings WHERE idempotency_key = ?", key)
            refusal, reference = None, None if known is None else known["reference"]
            if known is None:
                outcome = "tombstone_left"
                leave = "INSERT INTO bookings (idempotency_key, kind, status) VALUES (?, ?, 'tombstone')"
                database.execute(leave, (key, kind))
            elif known["kind"] != kind:
                refusal = _key_of_another(known)
                outcome = refusal.outcome
            elif known["status"] == "booked":
                outcome = "cancelled"
                _give_back(database, known)
            else:
                outcome = "cancelled_before"
            _note(database, "cancel", kind, key, outcome, reference)
        if refusal is not None:
            raise refusal
        return {"outcome": outcome, "reference": reference}

    def standing(self) -> dict[str, Any]:
        """What stands now. A cancelled key leaves no mark here; that is what makes two books equal."""
        with self._transaction() as database:
            booked = database.execute(
                "SELECT reference, kind, traveller, day, cents FROM bookings WHERE status = 'booked'"
                " ORDER BY kind, day, traveller, reference"
            ).fetchall()
            taken = database.execute(
                "SELECT kind, day, count(*) AS taken FROM bookings"
                " WHERE status = 'booked' AND kind != 'payments' GROUP BY kind, day ORDER BY kind, day"
            ).fetchall()
            money = database.execute(
                "SELECT holder, sum(cents) AS cents FROM (SELECT payee AS holder, cents FROM ledger"
                " UNION ALL SELECT payer, -cents FROM ledger)"
                " GROUP BY holder HAVING sum(cents) != 0 ORDER BY holder"
            ).fetchall()
        return {
            "bookings": [dict(row) for row in booked],
            "taken": [dict(row) for row in taken],
            "money": {row["holder"]: row["cents"] for row in money},
        }

    def journal(self) -> list[dict[str, Any]]:
        with self._transaction() as database:
            return [dict(row) for row in database.execute("SELECT * FROM journal ORDER BY seq")]


def _refused(
    database: sqlite3.Connection, kind: str, wanted: dict[str, Any], known: sqlite3.Row | None
) -> Refusal | None:
    """Why this can't be sold under this key, if it can't."""
    if known is not None and known["status"] != "booked":
        return Refusal(HTTPStatus.GONE, "key_spent", "this key was cancelled")
    if known is not None:
        same = known["kind"] == kind and all(known[name] == value for name, value in wanted.items())
        return None if same else _key_of_another(known)
    if kind == "payments":
        left = CREDIT_CENTS + _balance(database, wanted["traveller"])
        if wanted["cents"] > left:
            return Refusal(HTTPStatus.PAYMENT_REQUIRED, "no_credit", f"only {left} cents of credit left")
    elif _taken(database, kind, wanted["day"]) >= _places(database, kind, wanted["day"]):
        return Refusal(HTTPStatus.CONFLICT, "sold_out", f"no {kind} left on {wanted['day']}")
    return None


def _key_of_another(known: sqlite3.Row) -> Refusal:
    message = f"this key is that of another request, of {known['kind']}"
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "key_of_another", message)


def _row(database: sqlite3.Connection, query: str, *values: Any) -> sqlite3.Row | None:
    row: sqlite3.Row | None = database.execute(query, values).fetchone()
    return row


def _number(database: sqlite3.Connection, query: str, *values: Any) -> int:
    return int(database.execute(query, values).fetchone()[0])


def _taken(database: sqlite3.Connection, kind: str, day: str) -> int:
    query = "SELECT count(*) FROM bookings WHERE kind = ? AND day = ? AND status = 'booked'"
    return _number(database, query, kind, day)


def _places(database: sqlite3.Connection, kind: str, day: str) -> int:
    told = _row(database, "SELECT places FROM places WHERE kind = ? AND day = ?", kind, day)
    return PLACES[kind] if told is None else int(told["places"])


def _balance(database: sqlite3.Connection, holder: str) -> int:
    received = _number(database, "SELECT coalesce(sum(cents), 0) FROM ledger WHERE payee = ?", holder)
    return received - _number(database, "SELECT coalesce(sum(cents), 0) FROM ledger WHERE payer = ?", holder)


def _sell(database: sqlite3.Connection, kind: str, key: str, wanted: dict[str, Any]) -> str:
    number = 1 + _number(database, "SELECT count(*) FROM bookings WHERE reference IS NOT NULL")
    reference = f"{kind.rstrip('s').upper()}-{number:06}"
    database.execute(
        "INSERT INTO bookings (idempotency_key, kind, status, reference, traveller, day, cents)"
        " VALUES (?, ?, 'booked', ?, ?, ?, ?)",
        (key, kind, reference, wanted["traveller"], wanted["day"], wanted["cents"]),
    )
    if kind == "payments":
        _move(database, payer=wanted["traveller"], payee=AGENCY, cents=wanted["cents"], key=key)
    return reference


def _give_back(database: sqlite3.Connection, booking: sqlite3.Row) -> None:
    key = booking["idempotency_key"]
    database.execute("UPDATE bookings SET status = 'cancelled' WHERE idempotency_key = ?", (key,))
    if booking["kind"] == "payments":
        _move(database, payer=AGENCY, payee=booking["traveller"], cents=booking["cents"], key=key)


def _move(database: sqlite3.Connection, *, payer: str, payee: str, cents: int, key: str) -> None:
    database.execute(
        "INSERT INTO ledger (payer, payee, cents, idempotency_key) VALUES (?, ?, ?, ?)",
        (payer, payee, cents, key),
    )


def _note(
    database: sqlite3.Connection,
    act: str,
    kind: str,
    key: str,
    outcome: str,
    reference: str | None = None,
    *,
    traveller: str | None = None,
    day: str | None = None,
) -> None:
    database.execute(
        "INSERT INTO journal"
        " (at_milliseconds, act, kind, idempotency_key, traveller, day, outcome, reference)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (time.time_ns() // 1_000_000, act, kind, key, traveller, day, outcome, reference),
    )


# ---- HTTP ------------------------------------------------------------------------------------------------


class Counter(BaseHTTPRequestHandler):
    """Where requests are taken; the server in front of it holds the books."""

    protocol_version = "HTTP/1.1"
    server: BookingServer

    def do_GET(self) -> None:
        self._answered(self._read)

    def do_PUT(self) -> None:
        self._answered(self._set)

    def do_POST(self) -> None:
        self._answered(self._reserve)

    def do_DELETE(self) -> None:
        self._answered(self._cancel)

    def _answered(self, act: Any) -> None:
        try:
            status, answer = act()
        except Refusal as refusal:
            status, answer = refusal.status, {"error": refusal.outcome, "message": str(refusal)}
            self.close_connection = True  # its body may not have been read
        if answer is None:  # an answer to be lost
            self.close_connection = True
            return
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _read(self) -> tuple[HTTPStatus, Any]:
        if self.path == "/books":
            return HTTPStatus.OK, self.server.books.standing()
        if self.path == "/journal":
            return HTTPStatus.OK, self.server.books.journal()
        raise _unknown(self.path)

    def _set(self) -> tuple[HTTPStatus, Any]:
        if self.path == "/places":
            told = self._body(kind=str, day=str, places=int)
            self.server.books.set_places(_known(told["kind"]), told["day"], max(0, told["places"]))
        elif self.path == "/lost-answers":
            told = self._body(kind=str, count=int)
            self.server.books.lose_answers(_known(told["kind"]), told["count"])
        else:
            raise _unknown(self.path)
        return HTTPStatus.OK, told

    def _reserve(self) -> tuple[HTTPStatus, Any]:
        kind, key = _known(self.path.removeprefix("/")), self._key()
        told = self._body(traveller=str, day=str, cents=int)
        if told["cents"] < 0:
            raise _bad("'cents' must not be negative")
        status, booking = self.server.books.reserve(kind, key, **told)
        return status, None if self.server.books.loses_this_answer(kind) else booking

    def _cancel(self) -> tuple[HTTPStatus, Any]:
        kind, key = _known(self.path.removeprefix("/")), self._key()
        cancelled = self.server.books.cancel(kind, key)
        return HTTPStatus.OK, None if self.server.books.loses_this_answer(kind) else cancelled

    def _key(self) -> str:
        key = self.headers.get("Idempotency-Key", "")
        if not 0 < len(key) <= KEY_LENGTH_MAX:
            raise _bad(f"an Idempotency-Key of 1 to {KEY_LENGTH_MAX} characters is needed")
        return key

    def _bytes(self) -> bytes:
        size = self.headers.get("Content-Length", "0")
        if not size.isdigit() or int(size) > BODY_SIZE_MAX:
            raise _bad(f"a body of at most {BODY_SIZE_MAX} bytes is needed")
        return self.rfile.read(int(size))

    def _body(self, **names: type) -> dict[str, Any]:
        try:
            told = json.loads(self._bytes())
        except ValueError as error:
            raise _bad("the body must be JSON") from error
        for name, expected in names.items():
            if not isinstance(told, dict) or type(told.get(name)) is not expected:
                raise _bad(f"'{name}' must be given, as {expected.__name__}")
        return {name: told[name] for name in names}

    def log_message(self, format: str, *values: Any) -> None:
        """Nothing: the journal says it all, in the right order."""


def _known(kind: str) -> str:
    if kind not in (*PLACES, "payments"):
        raise _unknown(kind)
    return kind


def _unknown(what: str) -> Refusal:
    return Refusal(HTTPStatus.NOT_FOUND, "not_found", f"nothing here is called {what}")


def _bad(message: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, "bad_request", message)


class BookingServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, books: Books, port: int) -> None:
        self.books = books
        super().__init__((LOOPBACK, port), Counter)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked may be gone before the answer: that is theirs to find out, and the journal has it."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.server_address[1]}"


# ---- the process -----------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description="A small booking service on loopback.")
    parser.add_argument("--database", type=Path, required=True, help="its SQLite file; made when missing")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes any free one")
    parser.add_argument("--ready-file", type=Path, help="a file that takes the address as soon as it answers")
    parser.add_argument("--while-stdin", action="store_true", help="end when standard input does")
    told = parser.parse_args()

    server = BookingServer(Books(told.database), told.port)

    def stop(*_: object) -> None:  # from another thread: serve_forever must go on in order to notice
        threading.Thread(target=server.shutdown).start()

    def stop_with_stdin() -> None:
        sys.stdin.buffer.read()
        server.shutdown()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if told.while_stdin:
        threading.Thread(target=stop_with_stdin, daemon=True).start()
    if told.ready_file:
        beside = told.ready_file.with_name(told.ready_file.name + ".new")
        beside.write_text(server.url + "\n")
        os.replace(beside, told.ready_file)
    print(server.url, flush=True)
    server.serve_forever(poll_interval=0.05)
    server.books.close()


@contextmanager
def running(database: Path) -> Iterator[str]:
    """The service as a process of its own, over that database file; gives its address.

    It ends with the block, and with this process too, however that ends: its standard input is our pipe.
    Raises RuntimeError when it does not start.
    """
    command = [sys.executable, str(Path(__file__).resolve()), "--database", str(database), "--while-stdin"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        give_up = threading.Timer(START_SECONDS_MAX, process.kill)
        give_up.start()
        url = process.stdout.readline().strip()
        give_up.cancel()
        if not url:
            raise RuntimeError("the booking service did not start; what it said is above")
        try:
            yield url
        finally:
            process.stdin.close()
            process.wait()


if __name__ == "__main__":
    main()
