"""Whichever stage fails, however and whenever, all that may have acted is undone, in an order that the data gives.

Judged by what the stages have noted outside: see `programs/outside.py`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.crash.judging import Act, Evidence, read_store, violations
from tests.crash.side_by_side import STORE, run_side_by_side
from tests.crash.stories import acts_of

BLOCKS, WIDTH = 3, 3
STAGES = [f"{block}{letter}" for block in range(1, BLOCKS + 1) for letter in "abc"[:WIDTH]]
TOLD = {
    "fails": "failed",
    "times out": "timed_out",
    "crashes": "failed",
    "is invalid": "completed",
    "is killed": "failed",
}
"""How a stage goes wrong, and what its rollback is then told."""


class Case(NamedTuple):
    """Which stage goes wrong, how, and at which attempt for good."""

    stage: str
    how: str
    attempts: int

    def __str__(self) -> str:
        return f"{self.stage} {self.how} {self.attempts} times"


def needs_of(stage: str) -> list[str]:
    """Each stage needs what two of the block before it give."""
    block, column = int(stage[0]), "abc".index(stage[1])
    return [f"{block - 1}{'abc'[(column + each) % WIDTH]}" for each in range(2)] if block > 1 else []


def beside(stage: str) -> str:
    """The stage of the same block that is still under way when this one goes wrong."""
    return f"{stage[0]}{'abc'[('abc'.index(stage[1]) + 1) % WIDTH]}"


def program_of(case: Case, number: int) -> dict[str, Any]:
    return {
        "name": f"goes-wrong-{number}",
        "requests": {"world": {}},
        "stages": {stage: stage_of(stage, case) for stage in STAGES},
    }


def stage_of(stage: str, case: Case) -> dict[str, Any]:
    how = "goes on" if stage == beside(case.stage) else case.how if stage == case.stage else ""
    undo = {"function": "outside:undo", "with": {"world": "{world}", "outcome": "{outcome}"}}
    described: dict[str, Any] = {
        "inputs": ["world", *(f"gave_{need}" for need in needs_of(stage))],
        "outputs": [f"gave_{stage}"],
        "execute": {
            "command": "python",
            "params": {"function": "outside:act_or_go_wrong", "with": {"world": "{world}", "how": how}},
        },
        "rollback": {"command": "python", "params": undo},
    }
    if stage != case.stage:
        return described
    described["retry"] = {"attempts": case.attempts, "delay": "1 millisecond"}
    if case.how == "times out":
        described["timeout"] = "100 milliseconds"
    if case.how == "is invalid":
        described["validate"] = [{"condition": "equals", "params": [f"{{gave_{stage}}}", "another"]}]
    if case.attempts > 1:
        undo["function"] = "outside:undo_after_a_failure"
        described["rollback"]["retry"] = {"attempts": 2, "delay": "1 millisecond"}
    return described


# ---- going wrong -----------------------------------------------------------------------------------------


async def run_all(cases: Sequence[Case], world: Path) -> dict[str, Case]:
    """Run them until all rest; gives the case of each run."""
    with killer(world):
        programs = [program_of(case, number) for number, case in enumerate(cases)]
        run_ids = await run_side_by_side(programs, world)
    return dict(zip(run_ids, cases, strict=True))


@contextmanager
def killer(world: Path) -> Iterator[None]:
    """Kills whoever asks for it, as an operator or a system without memory would."""
    path = world / "to be killed"
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)  # so that there is a reader, and never an end

    def kill() -> None:
        for process in os.read(pipe, 4096).split():
            os.kill(int(process), signal.SIGKILL)

    loop = asyncio.get_running_loop()
    loop.add_reader(pipe, kill)
    try:
        yield
    finally:
        loop.remove_reader(pipe)
        os.close(pipe)


# ---- judging ---------------------------------------------------------------------------------------------


def wrongs(case: Case, acts: Sequence[Act]) -> Iterator[str]:
    """All that the outside world has to say against the run."""
    executed = places_of(acts, "execute")
    undone = places_of(acts, "rollback")
    for stage in {*executed, case.stage} - undone.keys():
        yield f"{stage} was not undone"
    for stage in STAGES:
        for need in needs_of(stage):
            if {stage, need} <= undone.keys() and undone[need][0] < undone[stage][-1]:
                yield f"{need} was undone before {stage}, which needed its data"
    first = min((places[0] for places in undone.values()), default=len(acts))
    for stage, places in executed.items():
        if places[-1] > first:
            yield f"{stage} acted when rollbacks had begun"
        if stage[0] > case.stage[0]:
            yield f"{stage} acted although {case.stage} went wrong"
    if case.how != "times out" and len(executed.get(case.stage, ())) != case.attempts:
        yield f"it acted {len(executed.get(case.stage, ()))} times"
    for act in acts:
        wanted = told_to(act.stage, case)
        if act.work == "rollback" and act.word not in wanted:
            yield f"the rollback of {act.stage} was told '{act.word}', and not one of {wanted}"


def told_to(stage: str, case: Case) -> tuple[str, ...]:
    if stage == case.stage:
        return (TOLD[case.how],)
    return ("cancelled",) if stage == beside(case.stage) else ("completed", "cancelled")


def places_of(acts: Sequence[Act], work: str) -> Mapping[str, list[int]]:
    """For each stage that did such work, where in the order of all acts."""
    found: dict[str, list[int]] = {}
    for place, act in enumerate(acts):
        if act.work == work:
            found.setdefault(act.stage, []).append(place)
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_all_that_may_have_acted_is_undone(stage: str, tmp_path: Path) -> None:
    """Failed, timed out, crashed, invalid or killed, at once or after a retry: nothing is undone before all that
    needed its data are, and nothing is left."""
    cases = [Case(stage, how, attempts) for how in TOLD for attempts in (1, 2)]
    runs = asyncio.run(run_all(cases, tmp_path))
    acts = acts_of(tmp_path)
    for run_id, case in runs.items():
        assert list(wrongs(case, [act for act in acts if act.run_id == run_id])) == [], str(case)
    evidence = Evidence(acts, [], read_store(tmp_path / STORE), frozenset(runs), "rolled_back")
    assert violations(evidence) == []
