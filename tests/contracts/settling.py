"""A process that settles due times of programs in a store that others settle at the same moment."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from typing import Any

from tests.contracts.conftest import open_store
from tests.core.running.story import COMMANDS, CONDITIONS, stage
from tests.orchestrator.on_time import HandAlarm, SetClock

from clew.core.program.model import Program
from clew.core.running.sealed_program import SealedProgram, seal_program
from clew.orchestrator.creating import RunMaker
from clew.orchestrator.driven_run import Origin
from clew.orchestrator.payloads import PayloadKeeper
from clew.orchestrator.programs import ProgramBook
from clew.orchestrator.real_world import RealChance
from clew.orchestrator.scheduler import Scheduler

NAMES = ("north", "east", "south", "west")


def program(name: str) -> SealedProgram:
    made = Program(name, (stage("a"),), cadence=(("* * * * *",),), max_active_runs=1)
    return seal_program(made, COMMANDS, CONDITIONS)


class Queue:
    """Tasks that are done one after the other, by who calls `empty`."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def soon(self, callback: Callable[[], None]) -> None:
        self._waiting.append(callback)

    def later(self, milliseconds: int, callback: Callable[[], None]) -> None:
        self._waiting.append(callback)

    def empty(self) -> None:
        while self._waiting:
            self._waiting.popleft()()


def settle_all(place: str, since: int, until: int, barrier: Barrier) -> None:
    """Go live with all programs at `since`, and settle what has come by `until` together with the others."""
    store, clock, tasks = open_store(place), SetClock(since), Queue()
    programs = ProgramBook(store=store, clock=clock, signatures=COMMANDS, conditions=CONDITIONS, read=_unread)
    payloads = PayloadKeeper(chance=RealChance(), bucket=None)
    maker = RunMaker(store=store, programs=programs, payloads=payloads, clock=clock, chance=RealChance())
    alarm: Any = HandAlarm(clock)
    scheduler = Scheduler(
        store=store, maker=maker, programs=programs, clock=clock, alarm=alarm, tasks=tasks,  # type: ignore[arg-type]
        look=lambda name: None, zones="test",
    )  # fmt: skip
    barrier.wait()
    for name in NAMES:
        scheduler.go_live(program(name), Origin(), f"{name}.yaml")
    tasks.empty()
    barrier.wait()
    clock.at = until
    alarm.ring()
    tasks.empty()
    store.close()


def _unread(document: Any) -> Any:
    raise AssertionError("no program is read from the store here")
