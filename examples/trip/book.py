"""Books two trips through a booking service that runs beside this: one that works out, and one that doesn't.

    python examples/trip/book.py

On the second trip's day the excursion is sold out. By then flight, payment, hotel and car are booked; clew
takes them all back, and the service's books are exactly what they were. Both runs are kept in .clew/clew.db.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import booking_service
from trip import trip

GOOD_DAY, BAD_DAY = "2026-07-14", "2026-07-15"


def main() -> int:
    parser = argparse.ArgumentParser(description="Book two trips, one of which can't be had.")
    parser.add_argument("--bookings", type=Path, help="the service's database; a temporary one if not given")
    told = parser.parse_args()
    with TemporaryDirectory() as folder:
        database = told.bookings or Path(folder) / "bookings.db"
        with booking_service.running(database) as service:
            return book_both(service)


def book_both(service: str) -> int:
    """Book a trip for each day and say what came of it; gives the exit status: 0 if all is as promised."""
    ask(service, "PUT", "/places", {"kind": "excursions", "day": BAD_DAY, "places": 0})

    first = trip.run(traveller="Ariadne", day=GOOD_DAY, service=service)
    before = ask(service, "GET", "/books")
    print(f"Ariadne, {GOOD_DAY}: {first.status}")
    show(before)

    asked_before = len(ask(service, "GET", "/journal"))
    second = trip.run(traveller="Theseus", day=BAD_DAY, service=service)
    after = ask(service, "GET", "/books")
    print(f"\nTheseus, {BAD_DAY}: {second.status}, after these requests:")
    for row in ask(service, "GET", "/journal")[asked_before:]:
        print(f"  {row['seq']:>3}  {row['act']:<8} {row['kind']:<11} {row['outcome']}")
    print(f"  the books are {'exactly as before' if after == before else 'NOT as before'}:")
    show(after)

    as_promised = first.status == "completed" and second.status == "rolled_back" and after == before
    return 0 if as_promised else 1


def show(books: dict[str, Any]) -> None:
    for booking in books["bookings"]:
        print("  {reference:<18} {traveller:<9} {day}  {cents:>7} cents".format(**booking))
    print(f"  money: {books['money']}")


def ask(service: str, method: str, path: str, body: Any = None) -> Any:
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(service + path, data=content, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


if __name__ == "__main__":
    sys.exit(main())
