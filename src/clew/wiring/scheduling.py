"""What is asked about the programs that are live in a store."""

from __future__ import annotations

import json

from clew.core.program.model import Json, Program
from clew.operations.scheduling import pause, program_documents
from clew.orchestrator.real_world import RealClock
from clew.ports import StoreError
from clew.settings import Settings
from clew.stores.store import DatabaseStore
from clew.wiring.programs import read_document
from clew.wiring.records import has_store, open_store


def now() -> int:
    """What the clock shows, in milliseconds since 1970."""
    return RealClock().now()


def pause_program(settings: Settings, program: str, *, is_paused: bool, by: str, why: str) -> Json:
    """See `operations.scheduling.pause`. Raises RequestError, StoreError."""
    store = open_store(settings)
    try:
        return pause(store, program, is_paused=is_paused, at=RealClock().now(), by=by, why=why)
    finally:
        store.close()


def list_programs(settings: Settings) -> list[Json]:
    """See `operations.scheduling.program_documents`. Raises StoreError."""
    if not has_store(settings):
        return []
    store = open_store(settings, read_only=True)
    try:
        return program_documents(store, lambda version: program_of(store, version))
    finally:
        store.close()


def program_of(store: DatabaseStore, version: str) -> Program:
    """The program of that version. Raises StoreError."""
    text = store.program(version)
    if text is None:
        raise StoreError(f"the store has no program of version {version}")
    return read_document(json.loads(text))
