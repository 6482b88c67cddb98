"""The booking service does what a key asks for once, refuses what it can't sell, and notes every request."""

from __future__ import annotations

import http.client
import json
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from examples.trip import booking_service

DAY = "2026-07-14"


class Desk:
    """Speaks to the service, and remembers the last status."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, method: str, path: str, body: Any = None, key: str | None = None) -> tuple[int, Any]:
        headers = {"Idempotency-Key": key} if key else {}
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, content, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def sell(self, kind: str, key: str, traveller: str = "Ariadne", cents: int = 100) -> tuple[int, Any]:
        return self.ask("POST", f"/{kind}", {"traveller": traveller, "day": DAY, "cents": cents}, key)

    def undo(self, kind: str, key: str) -> tuple[int, Any]:
        return self.ask("DELETE", f"/{kind}", key=key)

    def books(self) -> Any:
        return self.ask("GET", "/books")[1]

    def outcomes(self) -> list[tuple[str, str, str]]:
        rows = self.ask("GET", "/journal")[1]
        return [(row["act"], row["idempotency_key"], row["outcome"]) for row in rows]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with booking_service.running(tmp_path / "bookings.db") as url:
        yield Desk(url)


def test_one_key_sells_once(desk: Desk) -> None:
    """A sale that is asked for again with its key is the same booking, and takes one place."""
    first, again = desk.sell("flights", "k1"), desk.sell("flights", "k1")
    assert (first[0], again[0]) == (201, 200)
    assert first[1] == again[1]
    assert [row["taken"] for row in desk.books()["taken"]] == [1]
    assert desk.outcomes() == [("reserve", "k1", "booked"), ("reserve", "k1", "booked_before")]


def test_one_key_is_not_reused_for_something_else(desk: Desk) -> None:
    """The key of one request does not answer another, whether it asks for a sale or for a cancellation."""
    desk.sell("flights", "k1")
    before = desk.books()
    assert desk.sell("flights", "k1", traveller="Theseus")[0] == 422
    assert desk.sell("hotels", "k1")[0] == 422
    assert desk.undo("hotels", "k1")[0] == 422
    assert desk.books() == before
    assert [outcome for *_, outcome in desk.outcomes()[1:]] == ["key_of_another"] * 3


def test_what_is_sold_out_is_refused(desk: Desk) -> None:
    """When a day's places are gone, a sale is refused and changes nothing; a place given back is free."""
    desk.ask("PUT", "/places", {"kind": "excursions", "day": DAY, "places": 1})
    desk.sell("excursions", "k1")
    before = desk.books()
    status, answer = desk.sell("excursions", "k2")
    assert (status, answer["error"]) == (409, "sold_out")
    assert desk.books() == before
    desk.undo("excursions", "k1")
    assert desk.sell("excursions", "k2")[0] == 201


def test_a_cancelled_sale_leaves_the_books_as_they_were(desk: Desk) -> None:
    """After a cancellation, asked for once or twice, places and money are what they were before the sale."""
    desk.sell("payments", "other", traveller="Theseus", cents=250)
    before = desk.books()
    desk.sell("payments", "k1", cents=1234)
    assert desk.books()["money"] == {"Ariadne": -1234, "Theseus": -250, "agency": 1484}
    assert desk.undo("payments", "k1")[1]["outcome"] == "cancelled"
    assert desk.undo("payments", "k1")[1]["outcome"] == "cancelled_before"
    assert desk.books() == before


def test_a_sale_after_its_cancellation_is_refused(desk: Desk) -> None:
    """A cancellation that comes first leaves a tombstone, and the late sale of that key finds it."""
    before = desk.books()
    assert desk.undo("hotels", "late")[1] == {"outcome": "tombstone_left", "reference": None}
    assert desk.undo("hotels", "late")[1]["outcome"] == "cancelled_before"
    assert desk.sell("hotels", "late")[0] == 410
    desk.sell("cars", "k1")
    desk.undo("cars", "k1")
    assert desk.sell("cars", "k1")[0] == 410
    assert desk.books() == before


def test_credit_ends(desk: Desk) -> None:
    """A traveller can spend as much as the credit, and not a cent more."""
    assert desk.sell("payments", "k1", cents=booking_service.CREDIT_CENTS)[0] == 201
    assert desk.sell("payments", "k2", cents=1)[0] == 402
    assert desk.sell("payments", "k3", traveller="Theseus", cents=1)[0] == 201


def test_a_lost_answer_is_a_sale_all_the_same(desk: Desk) -> None:
    """When the service hangs up instead of answering, it has sold; the same key then gets the answer."""
    desk.ask("PUT", "/lost-answers", {"kind": "hotels", "count": 1})
    with pytest.raises((http.client.RemoteDisconnected, urllib.error.URLError)):
        desk.sell("hotels", "k1")
    assert [row["taken"] for row in desk.books()["taken"]] == [1]
    assert desk.sell("hotels", "k1")[0] == 200


def test_places_are_never_sold_twice_to_a_crowd(desk: Desk) -> None:
    """Of many who ask at once, as many get a place as there are places."""
    desk.ask("PUT", "/places", {"kind": "cars", "day": DAY, "places": 3})
    statuses: list[int] = []
    crowd = [
        threading.Thread(target=lambda n=number: statuses.append(desk.sell("cars", f"k{n}")[0]))
        for number in range(12)
    ]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert sorted(statuses) == [201] * 3 + [409] * 9


SALE = {"traveller": "A", "day": DAY, "cents": 1}


def test_what_is_not_a_request_is_refused(desk: Desk) -> None:
    """A request that lacks something, or asks for what isn't there, is refused and leaves nothing behind."""
    refused: list[tuple[str, str, Any, str | None, int]] = [
        ("POST", "/flights", SALE, None, 400),
        ("POST", "/flights", SALE, "k" * 201, 400),
        ("POST", "/flights", {"traveller": "A", "day": DAY}, "k", 400),
        ("POST", "/flights", {**SALE, "cents": -1}, "k", 400),
        ("POST", "/flights", {**SALE, "cents": True}, "k", 400),
        ("POST", "/flights", {**SALE, "traveller": "A" * 70_000}, "k", 400),
        ("POST", "/flights", ["flights"], "k", 400),
        ("POST", "/castles", SALE, "k", 404),
        ("DELETE", "/castles", None, "k", 404),
        ("PUT", "/places", {"kind": "castles", "day": DAY, "places": 1}, None, 404),
        ("PUT", "/castles", {}, None, 404),
        ("GET", "/castles", None, None, 404),
    ]
    for method, path, body, key, status in refused:
        assert desk.ask(method, path, body, key)[0] == status, (method, path, body, key)
    assert desk.outcomes() == []


def test_the_books_outlive_the_service(tmp_path: Path) -> None:
    """What was sold before the service was killed is sold afterwards; its database file holds the journal."""
    database = tmp_path / "bookings.db"
    command = [sys.executable, booking_service.__file__, "--database", str(database)]
    ready = tmp_path / "ready"
    with subprocess.Popen(
        [*command, "--ready-file", str(ready)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert ready.read_text().strip() == url
        Desk(url).sell("flights", "k1")
        process.kill()
    with booking_service.running(database) as url:
        assert Desk(url).sell("flights", "k1")[0] == 200
    with closing(sqlite3.connect(database)) as journal:
        rows = journal.execute("SELECT outcome FROM journal ORDER BY seq").fetchall()
    assert rows == [("booked",), ("booked_before",)]


def test_it_ends_when_told(tmp_path: Path) -> None:
    """SIGTERM ends the service in order."""
    command = [sys.executable, booking_service.__file__, "--database", str(tmp_path / "bookings.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.terminate()
        assert process.wait() == 0
