"""A backfill driven from this process, or followed while another process drives the store's runs, until it rests."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Protocol

from clew.driving import FOLLOW_INTERVAL_SECONDS, Recording, observer_of
from clew.operations.backfills import is_over
from clew.operations.requests import RequestError
from clew.orchestrator.orchestrator import Orchestrator
from clew.ports import BackfillRow, StoreBusy
from clew.settings import Settings
from clew.wiring import backfill_store, open_orchestrator


class BackfillWatcher(Recording, Protocol):
    """Is told what happens to the runs of a backfill."""

    def is_beside(self, why: str) -> None:
        """Another process drives the store's runs, and this backfill."""


async def backfill_to_rest(settings: Settings, backfill_id: str, *, watcher: BackfillWatcher) -> BackfillRow:
    """Make the backfill's runs and drive them, or watch another process do so, until all have settled or it makes no
    more. Raises StoreError."""
    is_told = False
    while True:
        async with AsyncExitStack() as stack:
            try:
                orchestrator = await stack.enter_async_context(open_orchestrator(settings, forks=True))
            except StoreBusy as busy:
                if not is_told:
                    watcher.is_beside(str(busy))
                    is_told = True
                row = _row(settings, backfill_id)
                if is_over(row.status):
                    return row
                await asyncio.sleep(FOLLOW_INTERVAL_SECONDS)
                continue
            return await _drive(orchestrator, settings, backfill_id, watcher)


async def _drive(
    orchestrator: Orchestrator, settings: Settings, backfill_id: str, watcher: BackfillWatcher
) -> BackfillRow:
    orchestrator.observer = observer_of(orchestrator, watcher)
    program = _row(settings, backfill_id).program
    for run_id in orchestrator.places.left(program):
        run = orchestrator.store.run(run_id)
        if run is not None and run["backfill"] == backfill_id:
            orchestrator.take_up(run_id, run["version"], run["origin"])
    orchestrator.backfiller.only = backfill_id
    orchestrator.backfiller.look()
    orchestrator.places.look(program)
    while True:
        orchestrator.check()
        row = _row(settings, backfill_id)
        if is_over(row.status) and not _has_unsettled(orchestrator, backfill_id):
            return row
        await asyncio.sleep(FOLLOW_INTERVAL_SECONDS)


def _has_unsettled(orchestrator: Orchestrator, backfill_id: str) -> bool:
    """Whether runs of it go on here."""
    return any(
        run.state.backfill == backfill_id and not (run.is_at_rest or run.stands_still)
        for run in orchestrator.driver.runs.values()
    )


def _row(settings: Settings, backfill_id: str) -> BackfillRow:
    with backfill_store(settings) as store:
        rows = store.backfills.like(backfill_id)
    if not rows:
        raise RequestError(f"the backfill {backfill_id} is gone")
    return rows[0]
