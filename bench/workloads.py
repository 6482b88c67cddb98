"""The programs that are measured. Every stage does nothing; what is measured is what a durable stage costs."""

from __future__ import annotations

from clew import Program, stage
from clew.authoring.decorators import StageFunction

GRAPH = (2, 1, 3, 1)
"""Figure 4: how many stages each block has."""


def chain(length: int) -> Program:
    stages = []
    for number in range(length):
        stages.append(_stage(f"stage-{number}", after=[f"stage-{number - 1}"] if number else []))
    return Program("chain", stages=stages)


def graph(*, failing_block: int = 0) -> Program:
    stages, before = [], []
    for block, width in enumerate(GRAPH, start=1):
        names = [f"task-{block}-{number}" for number in range(width)]
        stages.extend(_stage(name, after=before, fails=block == failing_block) for name in names)
        before = names
    return Program("failing" if failing_block else "graph", stages=stages)


async def nothing() -> None:
    pass


async def failure() -> None:
    raise RuntimeError("on purpose")


async def undone() -> None:
    pass


def _stage(name: str, *, after: list[str], fails: bool = False) -> StageFunction:
    made = stage(name=name, after=after)(failure if fails else nothing)
    made.rollback(undone)
    return made


WORKLOADS = {"chain": chain(10), "graph": graph(), "failing": graph(failing_block=3)}
