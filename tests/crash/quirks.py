"""What happens to swept runs that clew's command line can't have happen by itself: each is brought about in a victim's
process, from outside of clew's own parts.

    expires     the run's time is up as soon as a stage has said so in the file `late`
    echoes      the executor tells the end of each attempt of one stage a second time, as something else
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from clew.core.running.statuses import UNKNOWN
from clew.executors.local import LocalExecutor
from clew.orchestrator.driven_run import DrivenRun
from clew.orchestrator.driver import Driver
from clew.ports import AttemptReport, AttemptRequest, RunRecord
from clew.stores.sqlite import SqliteStore

LATE = "late"
ECHOED = "two-left"

Submissions = Sequence[tuple[AttemptRequest, Callable[[AttemptReport], None]]]


def stores() -> list[type[Any]]:
    """The kinds of store that this process may have."""
    postgres = sys.modules.get("clew.stores.postgres")
    return [SqliteStore, *([postgres.PostgresStore] if postgres is not None else [])]


def bring_about(quirk: str) -> None:
    """Have it happen in this process."""
    QUIRKS[quirk]()


def _expire() -> None:
    add = Driver.add
    driven: list[tuple[Driver, DrivenRun]] = []

    def watched_add(self: Driver, run: DrivenRun) -> None:
        driven.append((self, run))
        add(self, run)

    def watch(store: type[Any]) -> None:
        record = store.record

        def watched_record(self: Any, records: Sequence[RunRecord]) -> list[str]:
            fenced: list[str] = record(self, records)
            if Path(LATE).exists():
                for driver, run in driven:
                    asyncio.get_running_loop().call_soon(driver.expire, run)
            return fenced

        store.record = watched_record

    Driver.add = watched_add  # type: ignore[method-assign]
    for store in stores():
        watch(store)


def _echo() -> None:
    submit_all = LocalExecutor.submit_all

    def watched_submit_all(self: LocalExecutor, requests: Submissions) -> None:
        submit_all(self, [(request, _twice(request, ended)) for request, ended in requests])

    LocalExecutor.submit_all = watched_submit_all  # type: ignore[method-assign]


def _twice(request: AttemptRequest, ended: Callable[[AttemptReport], None]) -> Callable[[AttemptReport], Any]:
    if request.stage != ECHOED or request.work == "test":
        return ended

    def told(report: AttemptReport) -> None:
        ended(report)
        asyncio.get_running_loop().call_soon(partial(ended, replace(report, outcome=UNKNOWN)))

    return told


QUIRKS = {"expires": _expire, "echoes": _echo}
