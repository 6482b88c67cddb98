"""What is asked about backfills, and how one is made."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import msgspec

from clew.core.program.model import Json, Program
from clew.operations.backfills import Foreseen, Wanted, foresee
from clew.operations.requests import RequestError, check_request, unknown_buckets
from clew.orchestrator.driven_run import Origin
from clew.orchestrator.real_world import RealChance, RealClock
from clew.ports import BackfillRow
from clew.settings import Settings
from clew.stores.store import DatabaseStore
from clew.wiring.programs import load_program, new_book, seal, unknown_secrets
from clew.wiring.records import open_store
from clew.wiring.scheduling import program_of

BACKFILL_ID_SIZE = 8
"""Bytes of chance in a backfill's id."""


class Known(NamedTuple):
    """A program as it is backfilled: of which version, if it is one that the store has, and where its code is."""

    program: Program
    version: str
    origin: Origin


@contextmanager
def backfill_store(settings: Settings) -> Iterator[DatabaseStore]:
    """The store, for what is asked and said about backfills. Raises StoreError."""
    store = open_store(settings)
    try:
        yield store
    finally:
        store.close()


def known_program(store: DatabaseStore, name: str) -> Known:
    """The program of that name that is live in the store, or was; else the one that ran last; else that of the file, or
    of the reference `module:name`. Raises RequestError, ProgramError, StoreError."""
    row = store.schedules.of(name)
    if row is not None:
        origin = msgspec.json.decode(row.origin, type=Origin)
        return Known(program_of(store, row.version), row.version, origin)
    last = store.last_run(name)
    if last is not None:
        origin = msgspec.json.decode(last["origin"], type=Origin)
        return Known(program_of(store, last["version"]), last["version"], origin)
    if not os.path.exists(name) and ":" not in name:
        raise RequestError(
            f"'{name}' is no program of this store, and no file; `clew programs` lists what is live"
        )
    loaded = load_program(name, folder=os.getcwd())
    return Known(loaded.program, "", Origin(loaded.folder))


def foresee_backfill(store: DatabaseStore, known: Known, wanted: Wanted) -> Foreseen:
    """See `operations.backfills.foresee`. Raises RequestError."""
    return foresee(store, known.program, wanted, RealClock().now())


def make_backfill(
    settings: Settings,
    store: DatabaseStore,
    known: Known,
    wanted: Wanted,
    foreseen: Foreseen,
    *,
    variables: Mapping[str, Json],
    at_once: int,
    stops_on_failure: bool,
    follows_live: bool,
    by: str,
    why: str,
) -> BackfillRow:
    """Keep the backfill, durably. Raises RequestError, StoreError."""
    program = known.program
    check_request(
        program,
        variables,
        unknown_buckets=unknown_buckets(program, settings.buckets),
        unknown_secrets=unknown_secrets(program, settings.secrets),
    )
    if follows_live and store.schedules.of(program.name) is None:
        raise RequestError(
            f"{program.name} is not live in this store, so that there is no live version to follow"
        )
    clock = RealClock()
    version = known.version or new_book(store, clock).register(seal(program)).version
    at = clock.now()
    row = BackfillRow(
        RealChance().token(BACKFILL_ID_SIZE).hex(), program.name, "" if follows_live else version, foreseen.first,
        foreseen.last, wanted.which, wanted.order, at_once, int(stops_on_failure),
        msgspec.json.encode(dict(variables)).decode(), msgspec.json.encode(known.origin).decode(), at, by, why,
        "running", at, by, why,
    )  # fmt: skip
    store.backfills.make(row, [(time.at, time.follows) for time in foreseen.plan.times])
    return row
