"""Runs of many programs, side by side in one orchestrator of this process; their stages in processes of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from tests.crash.stories import PROGRAMS

from clew.orchestrator.driven_run import Origin
from clew.settings import Settings
from clew.wiring import open_orchestrator, read_document, seal

STORE = "clew.db"
WORKERS_MAX = 64
"""All stages of all runs of a test have room, for some wait until they are ended."""


async def run_side_by_side(
    programs: Sequence[dict[str, Any]],
    world: Path,
    meanwhile: Callable[[Settings, Sequence[str]], Awaitable[None]] | None = None,
) -> list[str]:
    """Run each once until it rests; gives the id of each one's run. What `meanwhile` does is told the ids, too."""
    settings = Settings(
        store=str(world / STORE), logs=str(world / "logs"), payloads=f"file:{world}/payloads",
        workers_max=WORKERS_MAX,
    )  # fmt: skip
    async with open_orchestrator(settings) as orchestrator:
        runs = [
            orchestrator.create(
                seal(read_document(program)),
                {"world": str(world)},
                requested_by="test",
                origin=Origin(str(PROGRAMS)),
            )
            for program in programs
        ]
        run_ids = [run.state.run_id for run in runs]
        waited_for: list[Awaitable[None]] = [orchestrator.rested(run) for run in runs]
        if meanwhile is not None:
            waited_for.append(meanwhile(settings, run_ids))
        await asyncio.gather(*waited_for)
    return run_ids
