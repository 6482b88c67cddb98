"""The trip of the examples, killed, and judged by the books of the booking service that it talks to."""

from __future__ import annotations

import json
import sqlite3
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.crash.judging import Act
from tests.crash.stories import ROOT, ForkServer, Play, Story
from tests.crash.victim import PROGRAM_RUN

GOOD_DAY, SOLD_OUT_DAY = "2026-07-14", "2026-07-15"
STAGE_OF = {
    "flights": "reserve_flight",
    "payments": "take_payment",
    "hotels": "reserve_hotel",
    "cars": "reserve_car",
    "excursions": "book_excursion",
}

MODULES = ("jsonschema_rs", "trip", "urllib.request")

BY_FILE = (
    Story("trip", "trip.yaml", "completed", modules=MODULES),
    Story("trip-sold-out", "trip.yaml", "rolled_back", modules=MODULES),
)
IN_PYTHON = (
    Story("trip-in-python", "trip:trip", "completed", modules=MODULES),
    Story("trip-in-python-sold-out", "trip:trip", "rolled_back", modules=MODULES),
)


class Service:
    """A running booking service, asked by HTTP, and its database."""

    def __init__(self, url: str, database: Path) -> None:
        self.url = url
        self.travellers = 0
        self._database = database
        self.ask("PUT", "/places", {"kind": "excursions", "day": SOLD_OUT_DAY, "places": 0})

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=content, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def requests(self, after: int = 0) -> list[dict[str, Any]]:
        """The requests for sales and cancellations after that one, from the service's own database."""
        database = sqlite3.connect(self._database)
        database.row_factory = sqlite3.Row
        try:
            rows = database.execute("SELECT * FROM journal WHERE seq > ? ORDER BY seq", (after,))
            return [dict(row) for row in rows]
        finally:
            database.close()


class TripPlay(Play):
    """A trip, booked by a traveller of its own."""

    knows_attempts = False

    def __init__(self, story: Story, server: ForkServer, service: Service, *, fresh: str = "") -> None:
        super().__init__(story, server, fresh=fresh)
        self._service = service
        service.travellers += 1
        self._traveller = f"traveller-{service.travellers}"
        requests = service.requests()
        self._asked_before = requests[-1]["seq"] if requests else 0
        self._books_before = service.ask("GET", "/books")

    def _request(self) -> Sequence[str]:
        day = GOOD_DAY if self._story.status == "completed" else SOLD_OUT_DAY
        variables = (f"traveller={self._traveller}", f"day={day}", f"service={self._service.url}")
        if self._story.program.endswith(".yaml"):
            file = str(ROOT / "examples" / "trip" / self._story.program)
            return ("run", file, *(word for each in variables for word in ("--var", each)))
        return (PROGRAM_RUN, self._story.program, *variables)

    def acts(self) -> list[Act]:
        """What the service was asked, as acts of the one run that there is."""
        run_id = next(iter(self.end().runs), "unknown")
        times: Counter[tuple[str, str]] = Counter()
        acts = []
        for row in self._service.requests(self._asked_before):
            work, key = "execute" if row["act"] == "reserve" else "rollback", row["idempotency_key"]
            times[work, key] += 1
            acts.append(Act(run_id, STAGE_OF[row["kind"]], work, times[work, key], 0, key, row["outcome"]))
        return acts

    def judge(self) -> list[str]:
        return [*super().judge(), *self._wrong_books()]

    def _wrong_books(self) -> list[str]:
        books = self._service.ask("GET", "/books")
        if self._story.status == "rolled_back":
            return [] if books == self._books_before else [f"the books are not as before: {books}"]
        mine = Counter(each["kind"] for each in books["bookings"] if each["traveller"] == self._traveller)
        return [] if mine == Counter(list(STAGE_OF)) else [f"booked: {mine}"]
