"""A backfill driven from this process, or followed while another process drives the store's runs, until it rests."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Protocol

from clew.following import AGAIN, FOLLOW_INTERVAL_SECONDS, Recording, answered, observer_of
from clew.operations.backfills import is_at_rest
from clew.orchestrator.orchestrator import Orchestrator
from clew.ports import BackfillRow, DrivenElsewhere, Store, StoreError
from clew.settings import Settings
from clew.wiring import backfill_store, open_orchestrator


class BackfillWatcher(Recording, Protocol):
    """Is told what happens to the runs of a backfill."""

    def is_beside(self, why: str) -> None:
        """Another process drives the store's runs, and this backfill."""

    def is_driven_here(self) -> None:
        """This process drives them."""


async def backfill_to_rest(settings: Settings, backfill_id: str, *, watcher: BackfillWatcher) -> BackfillRow:
    """Make the backfill's runs and drive them, or watch another process do so, until nothing of it goes on by itself:
    all have settled, it makes no more, or a person is needed. Raises StoreError."""
    is_told = False
    orchestrator: Orchestrator | None = None
    with backfill_store(settings) as store:
        program = _row(store, backfill_id).program
        async with AsyncExitStack() as stack:
            while orchestrator is None or program not in orchestrator.claims.gates:
                try:
                    if orchestrator is None:
                        opening = open_orchestrator(settings, forks=True)
                        orchestrator = await stack.enter_async_context(opening)
                    orchestrator.claims.give_places(program)
                except (*AGAIN, DrivenElsewhere) as elsewhere:
                    if not is_told:
                        watcher.is_beside(str(elsewhere))
                        is_told = True
                    row, is_over = await answered(lambda: _look(store, backfill_id))
                    if is_over:
                        return row
                    await asyncio.sleep(FOLLOW_INTERVAL_SECONDS)
            watcher.is_driven_here()
            return await _drive(orchestrator, program, backfill_id, watcher)


async def _drive(
    orchestrator: Orchestrator, program: str, backfill_id: str, watcher: BackfillWatcher
) -> BackfillRow:
    orchestrator.observer = observer_of(orchestrator, watcher)
    # They may be in the way, and nobody else can drive them now.
    await answered(lambda: orchestrator.take_up_left(program))
    orchestrator.backfiller.only = backfill_id
    orchestrator.backfiller.look()
    orchestrator.places.look(program)

    def look() -> tuple[BackfillRow, bool]:
        row, is_over = _look(orchestrator.store, backfill_id)
        goes_on = orchestrator.backfiller.is_due or orchestrator.places.go_on(program)
        return row, is_over or not goes_on

    while True:
        orchestrator.check()
        row, is_over = await answered(look)
        if is_over:
            return row
        await asyncio.sleep(FOLLOW_INTERVAL_SECONDS)


def _look(store: Store, backfill_id: str) -> tuple[BackfillRow, bool]:
    """The backfill, and whether it is at rest."""
    row = _row(store, backfill_id)
    return row, is_at_rest(store, row)


def _row(store: Store, backfill_id: str) -> BackfillRow:
    rows = store.backfills.like(backfill_id)
    if not rows:
        raise StoreError(f"the backfill {backfill_id} is gone; verify the store")
    return rows[0]
