"""A trip is booked whole, or the booking service's books stay what they were: as a file and in Python."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from examples.trip import booking_service
from tests.examples.loading import EXAMPLES, clew, load_example, run

DAY = "2026-07-14"
BLOCKS = [["reserve_flight", "take_payment"], ["reserve_hotel", "reserve_car"], ["book_excursion"]]
ORDER = ["flights", "payments", "hotels", "cars", "excursions"]

Trip = Callable[..., dict[str, Any]]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    with booking_service.running(tmp_path / "bookings.db") as url:
        yield url


def ask(service: str, method: str, path: str, body: Any = None) -> Any:
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(service + path, data=content, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def by_file(folder: Path, service: str) -> Trip:
    """The trip of trip.yaml, run by `clew run`; gives its status and each stage's."""

    def book(traveller: str = "Ariadne", exit_status: int = 0) -> dict[str, Any]:
        given = {"traveller": traveller, "day": DAY, "service": service}
        words = [word for name, value in given.items() for word in ("--var", f"{name}={value}")]
        return run(str(EXAMPLES / "trip" / "trip.yaml"), *words, folder=folder, exit_status=exit_status)

    return book


def by_python(folder: Path, service: str) -> Trip:
    """The trip of trip.py, run by `Program.run` in this process."""
    program = load_example("trip", "trip").trip

    def book(traveller: str = "Ariadne", exit_status: int = 0) -> dict[str, Any]:
        done = program.run(traveller=traveller, day=DAY, service=service)
        return {"status": done.status, "residue": list(done.residue)}

    return book


@pytest.fixture(params=[by_file, by_python], ids=["file", "python"])
def book(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, service: str
) -> Trip:
    monkeypatch.chdir(tmp_path)  # where the store is
    trip: Trip = request.param(tmp_path, service)
    return trip


def acts(service: str) -> list[tuple[str, str, str]]:
    return [(row["act"], row["kind"], row["outcome"]) for row in ask(service, "GET", "/journal")]


def test_a_trip_is_booked_once(book: Trip, service: str) -> None:
    """A trip that can be had is five sales under five keys, asked for once each, block by block."""
    assert book()["status"] == "completed"
    made = acts(service)
    assert sorted(made) == sorted(("reserve", kind, "booked") for kind in ORDER)
    assert {kind for _, kind, _ in made[:2]} == {"flights", "payments"}
    assert {kind for _, kind, _ in made[2:4]} == {"hotels", "cars"}
    books = ask(service, "GET", "/books")
    assert books["money"] == {"Ariadne": -112_000, "agency": 112_000}
    assert len({row["idempotency_key"] for row in ask(service, "GET", "/journal")}) == 5


@pytest.mark.parametrize("missing", ["excursions", "flights"])
def test_what_is_sold_out_takes_the_trip_back(book: Trip, service: str, missing: str) -> None:
    """When something can't be had, all that was booked is cancelled by the same keys, last block first."""
    book("Ariadne")
    ask(service, "PUT", "/places", {"kind": missing, "day": DAY, "places": 1})
    before = ask(service, "GET", "/books")
    done = book("Theseus", exit_status=3)
    assert (done["status"], done["residue"]) == ("rolled_back", [])
    assert ask(service, "GET", "/books") == before

    rows = [row for row in ask(service, "GET", "/journal")[5:]]
    booked = {row["idempotency_key"] for row in rows if row["outcome"] == "booked"}
    assert {row["idempotency_key"] for row in rows if row["outcome"] == "cancelled"} == booked
    undone = [row["kind"] for row in rows if row["act"] == "cancel"]
    block_of = {"flights": 1, "payments": 1, "hotels": 2, "cars": 2, "excursions": 3}
    assert [block_of[kind] for kind in undone] == sorted((block_of[kind] for kind in undone), reverse=True)
    first_undone = next(index for index, row in enumerate(rows) if row["act"] == "cancel")
    assert all(row["act"] == "cancel" for row in rows[first_undone:])


def test_a_lost_answer_books_no_second_time(book: Trip, service: str) -> None:
    """A sale whose answer is lost is asked for again with the same key, and is the same sale."""
    ask(service, "PUT", "/lost-answers", {"kind": "hotels", "count": 1})
    assert book()["status"] == "completed"
    hotels = [outcome for _, kind, outcome in acts(service) if kind == "hotels"]
    assert hotels == ["booked", "booked_before"]
    assert [row["taken"] for row in ask(service, "GET", "/books")["taken"]] == [1, 1, 1, 1]


def test_a_sale_that_nobody_heard_of_is_undone(book: Trip, service: str) -> None:
    """When every answer is lost the trip fails, and the sale is cancelled although its ticket never came."""
    before = ask(service, "GET", "/books")
    ask(service, "PUT", "/lost-answers", {"kind": "cars", "count": 4})
    assert book(exit_status=3)["status"] == "rolled_back"
    assert ("cancel", "cars", "cancelled") in acts(service)
    assert ask(service, "GET", "/books") == before


def test_a_rollback_that_fails_goes_on_when_told(tmp_path: Path, service: str) -> None:
    """While the service gives no answer the car can't be taken back and a person is needed; then it goes on."""
    before = ask(service, "GET", "/books")
    sale_and_rollback = 2 * 4
    ask(service, "PUT", "/lost-answers", {"kind": "cars", "count": sale_and_rollback})
    done = by_file(tmp_path, service)(exit_status=4)
    assert done["status"] == "rollback_failed"
    assert done["residue"]
    assert ("cancel", "flights", "cancelled") not in acts(service)
    clew("resume", done["run_id"], folder=tmp_path, exit_status=3)
    assert ask(service, "GET", "/books") == before
    clew("verify", "--all", folder=tmp_path)


def test_file_and_python_are_one_program(tmp_path: Path) -> None:
    """trip.yaml and trip.py have one version and one plan: flight and payment, hotel and car, the excursion."""
    file = json.loads(clew("plan", str(EXAMPLES / "trip/trip.yaml"), "--format", "json", folder=tmp_path))
    plan = json.loads(clew("plan", "trip:trip", "--format", "json", folder=EXAMPLES / "trip"))
    assert plan == file
    assert [[stage["name"] for stage in block["stages"]] for block in plan["blocks"]] == BLOCKS


def test_the_script_shows_both_trips(tmp_path: Path) -> None:
    """book.py starts the service, books one trip, fails to book another, and finds the books as before."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "trip" / "book.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the books are exactly as before" in done.stdout
