"""Orchestrators of the pretend world: the real parts, put together with pretend ports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.faulty_store import FaultyStore
from tests.simulation.places import COPIES_URL, PretendKeeper
from tests.simulation.pretending import PretendBucket, PretendExecutor, PretendSearcher
from tests.simulation.timeline import Life, Timeline

from clew.commands import SIGNATURES
from clew.conditions import SIGNATURES as CONDITIONS
from clew.conditions.pure import test_pure
from clew.core.program.parse import parse
from clew.orchestrator.driven_run import DrivenRun
from clew.orchestrator.driver import Driver
from clew.orchestrator.orchestrator import Orchestrator
from clew.orchestrator.payloads import PayloadKeeper
from clew.orchestrator.performing import Performer
from clew.orchestrator.programs import ProgramBook
from clew.orchestrator.real_world import LoopTasks
from clew.orchestrator.requests import Surroundings

if TYPE_CHECKING:
    from tests.simulation.world import World

BEGINNING = 1_767_225_600_000
"""The pretend clocks start at 2026-01-01."""


class PretendClock:
    """Wall time, which jumps."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._offset = 0
        self.alarms: list[PretendAlarm] = []

    @property
    def offset(self) -> int:
        """By how much it is wrong."""
        return self._offset

    @offset.setter
    def offset(self, offset: int) -> None:
        self._offset = offset
        for alarm in self.alarms:
            alarm.clock_was_set()

    def now(self) -> int:
        return BEGINNING + self._timeline.now + self.offset


class PretendAlarm:
    """Wakes one life by the wall clock, whatever that does meanwhile."""

    def __init__(self, clock: PretendClock, life: Life) -> None:
        self._clock = clock
        self._life = life
        self._awaited: list[_Awaited] = []
        clock.alarms.append(self)

    def at(self, moment: int, callback: Callable[[], None]) -> _Awaited:
        awaited = _Awaited(moment, callback)
        self._awaited.append(awaited)
        self._wait_for(awaited)
        return awaited

    def clock_was_set(self) -> None:
        for awaited in list(self._awaited):
            self._wait_for(awaited)

    def _wait_for(self, awaited: _Awaited) -> None:
        if self._life.is_gone:
            return

        def ring() -> None:
            if awaited in self._awaited and awaited.moment <= self._clock.now():
                self._awaited.remove(awaited)
                if not awaited.is_cancelled:
                    awaited.callback()

        self._life.call_later(max(awaited.moment - self._clock.now(), 0) / 1000, ring)


class _Awaited:
    def __init__(self, moment: int, callback: Callable[[], None]) -> None:
        self.moment, self.callback, self.is_cancelled = moment, callback, False

    def cancel(self) -> None:
        self.is_cancelled = True


class PretendChance:
    def __init__(self, random: Random) -> None:
        self._random = random

    def token(self, size: int) -> bytes:
        return self._random.randbytes(size)

    def permille(self) -> int:
        return self._random.randrange(1001)


@dataclass
class Post:
    """One orchestrator at its post: its process, and what the world holds of it."""

    life: Life
    orchestrator: Orchestrator
    tasks: LoopTasks
    runs: dict[str, DrivenRun] = field(default_factory=dict)
    followed: list[DrivenRun] = field(default_factory=list)
    """Somebody waits for these to come to rest."""
    is_closing: bool = False
    only_obeys: bool = False
    """It drives what it has called up for somebody's word, and nothing else."""


def assemble(world: World, life: Life) -> Post:
    """An orchestrator as `wiring` makes one, with the pretend world in all its ports."""
    tasks = LoopTasks(life)
    tasks.failed.add_done_callback(lambda failed: world.stopped_loudly(life, failed.exception()))
    chance = PretendChance(Random(f"{world.seed}/{life.name}"))
    apart = Random(f"{world.seed}/apart").choice((None, 1, 2))
    store = FaultyStore(world.store, world.odds, life, world.witness, apart)
    executor = PretendExecutor(world.outside, life)
    bucket = PretendBucket(world.bucket, world.odds)
    payloads = PayloadKeeper(chance=chance, bucket=bucket, stored_size_max=world.stored_size_max)
    performer = Performer(
        executors={"local": executor},
        searcher=PretendSearcher(world.outside),
        keeper=PretendKeeper(world.outside.places, world.odds),
        tasks=tasks,
        around=Surroundings(
            buckets={}, secrets={}, log_path=lambda run_id, stage, number: "", kept_bucket=COPIES_URL
        ),
        code_of=world.code_of,
        test_pure=lambda condition, scope: test_pure(condition.name, condition.params, scope),
        is_pure=lambda name: CONDITIONS[name].is_pure,
    )
    alarm = PretendAlarm(world.clock, life)
    driver = Driver(
        store=store, clock=world.clock, chance=chance, tasks=tasks, alarm=alarm, performer=performer, payloads=payloads,
        name=life.name,
    )  # fmt: skip
    programs = ProgramBook(
        store=store, clock=world.clock, signatures=SIGNATURES, conditions=CONDITIONS,
        read=lambda document: parse(document, SIGNATURES, CONDITIONS),
    )  # fmt: skip
    orchestrator = Orchestrator(
        store=store, driver=driver, programs=programs, payloads=payloads, payload_bucket=bucket,
        executors=[executor], tasks=tasks, clock=world.clock, chance=chance, alarm=alarm,
        failed=tasks.failed, release=lambda: None,
    )  # fmt: skip
    return Post(life, orchestrator, tasks)
