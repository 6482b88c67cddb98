"""A stage that is deaf to whoever ends it, and leaves a process behind that goes on, is not undone while that acts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.crash.conftest import Players
from tests.crash.side_by_side import run_side_by_side
from tests.crash.stories import Story, acts_of

from clew.core.running.instructions import Instruction
from clew.settings import Settings
from clew.wiring import instruct

TOLD = {
    "completes": "completed",
    "fails": "failed",
    "times out": "timed_out",
    "is ended": "cancelled",
    "is cancelled": "cancelled",
}
"""How the stage comes to its end, and what its rollback is told. It is ended since another fails."""
TELLS = {"is ended": "ending", "is cancelled": "cancelling"}
"""The pipes that tell when it is under way."""
DEAF = "deaf"


def program_of(how: str) -> dict[str, Any]:
    """The deaf stage, and beside it or after it one that fails."""
    deaf: dict[str, Any] = {
        "inputs": ["world"],
        "execute": called("leave_a_writer", how=how, tells=TELLS.get(how, "")),
        "rollback": called("undo_and_look", outcome="{outcome}"),
    }
    if how == "times out":
        deaf["timeout"] = "500 milliseconds"
    refusing = {"inputs": ["world"], "execute": called("refuse"), "rollback": "none", "after": [DEAF]}
    if how == "is ended":
        refusing |= {"execute": called("refuse_when_told", told=TELLS[how]), "after": []}
    return {
        "name": f"deaf-{how.replace(' ', '-')}",
        "requests": {"world": {}},
        "stages": {DEAF: deaf, "refusing": refusing},
    }


def called(function: str, **given: str) -> dict[str, Any]:
    return {
        "command": "python",
        "params": {"function": f"outside:{function}", "with": {"world": "{world}", **given}},
    }


def test_nothing_of_a_stage_acts_when_its_rollback_begins(tmp_path: Path) -> None:
    """However the stage ends, what it has left in another session, deaf to signals, is dead before it is undone."""
    for pipe in TELLS.values():
        os.mkfifo(tmp_path / pipe)

    async def cancel(settings: Settings, run_ids: Sequence[str]) -> None:
        await asyncio.to_thread((tmp_path / TELLS["is cancelled"]).read_bytes)
        instruct(settings, run_ids[list(TOLD).index("is cancelled")], Instruction("cancel", "test"))

    run_ids = asyncio.run(run_side_by_side([program_of(how) for how in TOLD], tmp_path, cancel))
    acts = acts_of(tmp_path)
    for run_id, told in zip(run_ids, TOLD.values(), strict=True):
        size = (tmp_path / f"written-{run_id}").stat().st_size
        words = [act.word for act in acts if act.run_id == run_id and act.work == "rollback"]
        assert words == [f"{told} dead {size}"]


def test_nothing_of_a_stage_acts_when_it_is_tried_again(play: Players) -> None:
    """The orchestrator is killed: what the attempt has left is dead before the next one begins, or its rollback."""
    killed = play(Story("deaf", "deaf", "rolled_back"), strike="deaf execute written")
    assert killed.judge() == []
    assert (killed.folder / "struck").exists()
    [written] = killed.folder.glob("written-*")
    dead = f"dead {written.stat().st_size}"
    words = [(act.work, act.word) for act in killed.acts() if act.stage == DEAF]
    assert words == [("execute", "none"), ("execute", dead), ("rollback", f"failed {dead}")]
