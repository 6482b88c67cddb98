"""A trip: flight and payment, then hotel and car, then an excursion; and the way back from each of them.

The stages are plain functions. What a function takes, it needs: `reserve_hotel` takes the ticket, so it
comes after the flight. Each books over HTTP at `service` (see booking_service.py) under its stage's
idempotency key, which is the same in every attempt: however often an attempt is cut off and made again, the
service sells once.

Each rollback cancels by that key, not by the booking that came back: nobody has to know whether the booking
was made. Where it was not, the service keeps the key as spent, and a late request under it is refused.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any

from clew import Program, stage

PRICES_IN_CENTS = {"flights": 31_900, "hotels": 54_000, "cars": 18_500, "excursions": 7_600}
TRIP_IN_CENTS = sum(PRICES_IN_CENTS.values())
ANSWER_SECONDS_MAX = 10
"""A service on the same machine that takes longer will not answer."""
RETRY = {"attempts": 4, "delay": "100 milliseconds", "on": ["Unreachable", "timed_out"]}
"""A service that could not be reached is asked again; one that refused has given its answer."""


class Refused(Exception):
    """The service will not sell that."""


class Unreachable(Exception):
    """The service gave no answer, so nobody knows what it did."""


# ---- block 1: nothing but the request is needed ----------------------------------------------------------


@stage(outputs=["ticket"], retry=RETRY)
def reserve_flight(traveller: str, day: str, service: str, idempotency_key: str) -> dict[str, Any]:
    return _sold(service, "flights", idempotency_key, traveller, day, PRICES_IN_CENTS["flights"])


@reserve_flight.rollback(retry=RETRY)
def cancel_flight(service: str, idempotency_key: str) -> None:
    _cancelled(service, "flights", idempotency_key)


@reserve_flight.validate
def flight_is_for_the_day(ticket: dict[str, Any], traveller: str, day: str) -> bool:
    return bool(ticket["day"] == day and ticket["traveller"] == traveller)


@stage(outputs=["receipt"], retry=RETRY)
def take_payment(traveller: str, day: str, service: str, idempotency_key: str) -> dict[str, Any]:
    return _sold(service, "payments", idempotency_key, traveller, day, TRIP_IN_CENTS)


@take_payment.rollback(retry=RETRY)
def give_money_back(service: str, idempotency_key: str) -> None:
    _cancelled(service, "payments", idempotency_key)


@take_payment.validate
def payment_is_whole(receipt: dict[str, Any]) -> bool:
    return bool(receipt["cents"] == TRIP_IN_CENTS)


# ---- block 2: with a ticket ------------------------------------------------------------------------------


@stage(outputs=["room"], retry=RETRY)
def reserve_hotel(
    traveller: str, ticket: dict[str, Any], receipt: dict[str, Any], service: str, idempotency_key: str
) -> dict[str, Any]:
    price = PRICES_IN_CENTS["hotels"]
    return _sold(service, "hotels", idempotency_key, traveller, ticket["day"], price)


@reserve_hotel.rollback(retry=RETRY)
def cancel_hotel(service: str, idempotency_key: str) -> None:
    _cancelled(service, "hotels", idempotency_key)


@stage(outputs=["car"], retry=RETRY)
def reserve_car(
    traveller: str, ticket: dict[str, Any], receipt: dict[str, Any], service: str, idempotency_key: str
) -> dict[str, Any]:
    return _sold(service, "cars", idempotency_key, traveller, ticket["day"], PRICES_IN_CENTS["cars"])


@reserve_car.rollback(retry=RETRY)
def cancel_car(service: str, idempotency_key: str) -> None:
    _cancelled(service, "cars", idempotency_key)


# ---- block 3: once there is a place to sleep and a way to get there --------------------------------------


@stage(outputs=["excursion"], retry=RETRY)
def book_excursion(
    traveller: str, room: dict[str, Any], car: dict[str, Any], service: str, idempotency_key: str
) -> dict[str, Any]:
    price = PRICES_IN_CENTS["excursions"]
    return _sold(service, "excursions", idempotency_key, traveller, room["day"], price)


@book_excursion.rollback(retry=RETRY)
def cancel_excursion(service: str, idempotency_key: str) -> None:
    _cancelled(service, "excursions", idempotency_key)


trip = Program(
    "trip",
    stages=[reserve_flight, take_payment, reserve_hotel, reserve_car, book_excursion],
    requests={
        "traveller": {"type": "string", "minLength": 1},
        "day": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
        "service": {"type": "string", "pattern": "^http://"},
    },
)


# ---- the service's two requests --------------------------------------------------------------------------


def _sold(service: str, kind: str, key: str, traveller: str, day: str, cents: int) -> dict[str, Any]:
    return _answer(service, "POST", kind, key, {"traveller": traveller, "day": day, "cents": cents})


def _cancelled(service: str, kind: str, key: str) -> None:
    _answer(service, "DELETE", kind, key)


def _answer(service: str, method: str, kind: str, key: str, body: Any = None) -> dict[str, Any]:
    """What the service says. Raises Refused if it says no, Unreachable if it says nothing."""
    request = urllib.request.Request(
        f"{service}/{kind}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Idempotency-Key": key, "Content-Type": "application/json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS_MAX) as answer:
            told: dict[str, Any] = json.load(answer)
            return told
    except urllib.error.HTTPError as error:
        with error:
            if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise Unreachable(f"{method} {kind}: {error}") from error
            raise Refused(json.load(error)["message"]) from None
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{method} {kind}: {error}") from error
