"""A month of programs that run by their cadences: the real scheduler, places, driver and store in a pretend world.

Orchestrators come and go, for minutes or for weeks, clocks jump, people pause programs. What was due when is found by
walking UTC minute by minute (`tests/core/timing/oracle.py`), which knows nothing of the engine.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from tests.core.timing.oracle import Walk
from tests.simulation.posts import BEGINNING, PretendAlarm, PretendChance, PretendClock
from tests.simulation.timeline import Life, Timeline

from clew.commands import SIGNATURES
from clew.conditions import SIGNATURES as CONDITIONS
from clew.core.program.parse import parse
from clew.core.running.entries import Entry, PlaceGiven
from clew.core.running.sealed_program import SealedProgram, seal_program
from clew.core.running.state import RunState
from clew.orchestrator.driven_run import Origin
from clew.orchestrator.driver import Driver
from clew.orchestrator.orchestrator import Orchestrator
from clew.orchestrator.payloads import PayloadKeeper
from clew.orchestrator.performing import Performer
from clew.orchestrator.programs import ProgramBook
from clew.orchestrator.real_world import LoopTasks
from clew.orchestrator.requests import Surroundings
from clew.orchestrator.scheduler import Scheduler
from clew.ports import AttemptError, AttemptReport, AttemptRequest, SearchAnswer, SearchRequest
from clew.stores.sqlite import SqliteStore

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
LATE = 60_000
JITTER = 1_000
PROMPT = JITTER + 1_000
"""Within so long an orchestrator that is up has put on record what is due."""

ZONES = ("UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Tokyo")
CADENCES: tuple[list[list[str]], ...] = (
    [["0 9 * * *"]],
    [["30 1 * * *"]],
    [["15 2 * * *"]],
    [["0 */6 * * *"]],
    [["*/30 9-10 * * 1-5"]],
    [["0 0 1,15 * *"]],
    [["20 * * * 0"]],
    [["0 18 * * 5"], ["0 6 * * 1"]],
    [["* * 1-7 * *", "0 8,12 * * *"]],
    [["45 0-3 * * *"]],
)
"""Some are due at times that change with the clocks."""

WINDOWED = {"UTC": 0, "Asia/Tokyo": 9}
"""Zones whose clocks never change, and by how many hours they are ahead: there are programs with a window."""

Ended = Callable[[AttemptReport], None]


@dataclass
class Planned:
    """A program of the month, and what may be expected of it."""

    sealed: SealedProgram
    zone: str
    cadence: list[list[str]]
    backfill: int
    longest: int
    """Milliseconds of its longest attempt."""
    live_since: int = 0
    pauses: list[tuple[int, int]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.sealed.program.name


class Month:
    """One such month. All chance in it comes from `seed`."""

    def __init__(self, seed: int, *, programs: int, days: int, off: Sequence[tuple[int, int]] = ()) -> None:
        """`off`: the downtimes that there are in the place of all that happens by chance, each from a moment on
        (milliseconds since the beginning of the month), so long."""
        self.chance = Random(f"{seed}/month")
        self.timeline = Timeline(Random(f"{seed}/order"))
        start = self.chance.choice((datetime(2026, 3, 20, tzinfo=UTC), datetime(2026, 10, 20, tzinfo=UTC)))
        self.start = int(start.timestamp() * 1000)
        self.timeline.now = self.start - BEGINNING
        self.end = self.start + days * DAY
        self.clock = PretendClock(self.timeline)
        self.store = SqliteStore(":memory:")
        self.programs = [self._random_program(number) for number in range(programs)]
        self.by_name = {each.name: each for each in self.programs}
        self.found: list[str] = []
        self.ups: list[tuple[int, int]] = []
        """When an orchestrator was up with a clock that went evenly, by that clock."""
        self.life: Life | None = None
        self.orchestrator: Orchestrator | None = None
        self.scheduler: Scheduler | None = None
        self._up_since = 0
        self._shown = 0
        """The latest time that the clock has shown to an orchestrator."""
        self._lives = 0
        self._attempts: dict[str, set[str]] = defaultdict(set)
        """The runs of each program that have an attempt under way."""
        self.driven_max = 0
        self.begun_in_windows = 0
        self.quiet = False
        self.is_calm = bool(off)
        """Nothing happens but what is given."""
        self.timeline.crashed = lambda life: None
        for at, length in off:
            self.timeline.after(at, lambda length=length: self._go_down(length))

    # ---- programs ----

    def _random_program(self, number: int) -> Planned:
        chance = self.chance
        zone, cadence = chance.choice(ZONES), chance.choice(CADENCES)
        longest = chance.choice((MINUTE, 10 * MINUTE, 3 * HOUR, 30 * HOUR))
        backfill = chance.choice((0, 10 * MINUTE, 2 * HOUR, DAY, 90 * DAY))
        document: dict[str, Any] = {
            "name": f"program-{number}", "timezone": zone, "cadence": cadence,
            "overlap": chance.choice(("queue", "queue", "queue", "skip", "cancel")),
            "on_missed": chance.choice(("record", "record", "backfill")),
            "stages": [
                {"name": "work", "execute": {"command": "shell", "params": ["true"]},
                 "rollback": {"command": "shell", "params": ["true"]}},
            ],
        }  # fmt: skip
        if backfill:
            document["backfill"] = f"{backfill // MINUTE} minutes"
        if chance.random() < 0.3:
            document["stages"][0]["dependencies"] = {
                "file": {"bucket": "data", "prefix": [{"match": "file"}]}
            }
        if chance.random() < 0.2:
            document["run_order"] = "scheduled"
        elif chance.random() < 0.5:
            document["max_active_runs"] = chance.choice((2, 5))
        if chance.random() < 0.3:
            document["monitor"] = "40 hours"
        if zone in WINDOWED and chance.random() < 0.5:
            cadence = document["cadence"] = [["0 9 * * *"]]
            document["initial"], document["final"] = "08:00", "10:00"
            document["stages"].append(
                {**document["stages"][0], "name": "then", "after": ["work"], "dependencies": {}}
            )
        sealed = seal_program(parse(document, SIGNATURES, CONDITIONS), SIGNATURES, CONDITIONS)
        return Planned(sealed, zone, cadence, backfill, longest)

    # ---- orchestrators ----

    def _come_up(self) -> None:
        self._lives += 1
        self.life = Life(self.timeline, f"life-{self._lives}")
        self.timeline.within(self.life, self._assemble)
        self._up_since = self.clock.now()

    def _assemble(self) -> None:
        life = self.life
        assert life is not None
        tasks, chance, alarm = LoopTasks(life), PretendChance(self.chance), PretendAlarm(self.clock, life)
        tasks.failed.add_done_callback(
            lambda failed: self.timeline.errors.append(failed.exception() or Exception())
        )
        payloads = PayloadKeeper(chance=chance, bucket=None)
        performer = Performer(
            executors={"local": _Executor(self, life)}, searcher=self._search, keeper=None, tasks=tasks,  # type: ignore[arg-type]
            around=Surroundings(buckets={"data": "memory:data"}, secrets={}, log_path=lambda *of: ""),
            code_of=lambda stage, folder: {}, test_pure=lambda condition, scope: None,  # type: ignore[arg-type, return-value]
            is_pure=lambda name: False,
        )  # fmt: skip
        driver = Driver(
            store=self.store, clock=self.clock, chance=chance, tasks=tasks, alarm=alarm, performer=performer,
            payloads=payloads, name=life.name,
        )  # fmt: skip
        book = ProgramBook(
            store=self.store, clock=self.clock, signatures=SIGNATURES, conditions=CONDITIONS,
            read=lambda document: parse(document, SIGNATURES, CONDITIONS),
        )  # fmt: skip
        self.store.leases.me = life.name
        self.orchestrator = Orchestrator(
            store=self.store, driver=driver, programs=book, payloads=payloads, payload_bucket=None, executors=[],
            tasks=tasks, clock=self.clock, chance=chance, alarm=alarm, failed=tasks.failed, release=lambda: None,
        )  # fmt: skip
        self.orchestrator.claims.adopts = True
        self.orchestrator.observer = self._recorded
        self.scheduler = self.orchestrator.schedule(zones="2026a", jitter_milliseconds=JITTER)
        for program in self.programs:
            self.scheduler.go_live(program.sealed, Origin(), "here")
            if not program.live_since:
                row = self.store.schedules.of(program.name)
                assert row is not None
                program.live_since = row.live_since
        self.orchestrator.claims.adopt()

    def _go_down(self, length: int) -> None:
        """The process is killed, and another one comes so much later."""
        if self.life is None or self.quiet:
            return
        self._note_up()
        self.life.end()
        self.life = None
        self._attempts.clear()
        self.timeline.after(length, self._come_up)

    def _note_up(self) -> None:
        # What the clock had shown before, and then not any more, was settled then.
        self.ups.append((max(self._up_since, self._shown), self.clock.now()))
        self._shown = max(self._shown, self.clock.now())

    # ---- what happens in between ----

    def _happen(self) -> None:
        """Now and then something does."""
        chance = self.chance
        if self.quiet:
            return
        what = chance.random()
        if what < 0.25:
            self._go_down(chance.choice((MINUTE, 10 * MINUTE, 3 * HOUR, 20 * HOUR, 4 * DAY, 9 * DAY)))
        elif what < 0.45:
            self._jump(chance.choice((5_000, 20 * MINUTE, 7 * HOUR, -5_000, -20 * MINUTE, -7 * HOUR)))
        elif what < 0.8:
            self._pause(chance.choice(self.programs), chance.choice((10 * MINUTE, 5 * HOUR, 3 * DAY)))
        self.timeline.after(chance.randrange(30 * HOUR), self._happen)

    def _jump(self, by: int) -> None:
        if self.life is not None:
            self._note_up()
        self.clock.offset += by
        self._up_since = self.clock.now()

    def _pause(self, program: Planned, length: int) -> None:
        at = self.clock.now()
        if not self.store.schedules.pause(program.name, at=at, by="somebody", why=""):
            return
        self._attend()
        self.timeline.after(length, lambda: self._unpause(program, at))

    def _unpause(self, program: Planned, paused_at: int) -> None:
        at = max(self.clock.now(), paused_at)
        self.store.schedules.unpause(program.name, at=at, by="somebody", why="")
        program.pauses.append((paused_at, at))
        self._attend()

    def _attend(self) -> None:
        if self.life is not None and self.orchestrator is not None:
            self.timeline.within(self.life, self.orchestrator._adopt_news)

    # ---- work ----

    def _search(self, requests: Sequence[SearchRequest]) -> list[SearchAnswer]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: SearchRequest) -> SearchAnswer:
        late = Random(request.run_id).choice((0, 0, 0, HOUR, 5 * HOUR))
        if self.clock.now() < request.run_time + late and not self.quiet:
            return SearchAnswer("missing", None, "not there")
        return SearchAnswer("found", {"file": {"key": "file"}})

    def begun(self, request: AttemptRequest) -> int:
        """An attempt begins; how long it takes."""
        program = self.by_name[request.program]
        self._check_window(program, request)
        runs = self._attempts[request.program]
        runs.add(request.run_id)
        most = program.sealed.program.max_active_runs or 0
        if request.work == "execute" and len(runs) > most:
            self.found.append(f"{program.name}: {len(runs)} runs have attempts under way, and {most} may")
        if self.quiet:
            return 1_000
        return Random(f"{request.attempt_id}").randrange(1_000, program.longest)

    def _check_window(self, program: Planned, request: AttemptRequest) -> None:
        """Nothing begins outside of the program's window, which is from 8:00 to 10:00, that minute included. What has
        begun is tried again, and rolled back, at any time."""
        if program.sealed.window is None or request.work != "execute" or request.attempt > 1:
            return
        clock = (self.clock.now() + WINDOWED[program.zone] * HOUR) % DAY
        self.begun_in_windows += 1
        self._check(
            8 * HOUR <= clock < 10 * HOUR + MINUTE, program, f"began outside of its window, at {clock / HOUR}"
        )

    def ended(self, request: AttemptRequest) -> None:
        self._attempts[request.program].discard(request.run_id)

    def _recorded(self, entry: Entry, state: RunState) -> None:
        if isinstance(entry.body, PlaceGiven) and state.backfill and state.launched_at == entry.at:
            name = state.program.program.name
            current = [row for row in self.store.queued(name, 1) if not row.backfill]
            # One that was made while the place was on its way came too late.
            current = [row for row in current if self._made_at({"run_id": row.run_id}) < entry.at]
            is_paused = any(pause.unpaused_at is None for pause in self.store.schedules.pauses(name, 0))
            if current and not is_paused and state.program.program.run_order == "any":
                self.found.append(
                    f"{name}: what makes up for {state.run_time} came before {current[0].run_time}"
                )

    # ---- the course of it ----

    def play(self) -> Counter[str]:
        """Live through it, and then look at everything. What must never be is in `found`."""
        self._come_up()
        if not self.is_calm:
            self.timeline.after(self.chance.randrange(DAY), self._happen)
        while self.timeline.now < self.end - BEGINNING:
            self._step()
        self._end_quietly()
        return self._reckon()

    def _step(self) -> None:
        self.timeline.events = 0
        assert self.timeline.step(), "nothing is awaited any more"
        if self.orchestrator is not None and self.life is not None:
            self.driven_max = max(self.driven_max, len(self.orchestrator.driver.runs))

    def _end_quietly(self) -> None:
        """Nothing goes wrong any more, and what is behind is caught up."""
        self.quiet = True
        until = self.timeline.now + 12 * DAY
        while self.timeline.now < until:
            self._step()
        if self.life is not None:
            self._note_up()
        assert self.scheduler is not None
        self.scheduler.stop()
        until = self.timeline.now + 120 * DAY
        while self.store.unsettled() and self.timeline.now < until:
            self._step()
        if left := self.store.unsettled():
            self.found.append(f"{len(left)} runs do not come to rest: {left[:3]}")

    # ---- looking at it ----

    def _reckon(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        walks: dict[str, Walk] = {}
        for program in self.programs:
            row = self.store.schedules.of(program.name)
            assert row is not None
            first, last = _utc(self.start) - timedelta(days=1), _utc(row.settled_until) + timedelta(days=1)
            walk = walks.get(program.zone)
            if walk is None or walk.end < last:
                walk = walks[program.zone] = Walk(program.zone, first, max(last, _utc(self.end + 20 * DAY)))
            due = [int(at.replace(tzinfo=UTC).timestamp() * 1000) for at in walk.due(program.cadence)]
            due = [at for at in due if program.live_since <= at <= row.settled_until]
            counts.update(self._reckon_program(program, due))
        return counts

    def _reckon_program(self, program: Planned, due: list[int]) -> Counter[str]:
        rows = self.store.runs(program=program.name, limit=1_000_000)
        first = {row["run_time"]: row for row in rows if row["generation"] == 1}
        again = {row["run_time"]: row for row in rows if row["generation"] == 2}
        check = self._check
        check(
            sorted(first) == due, program, f"due {_told(set(due) ^ set(first))} are not on record, or not due"
        )
        check(len(rows) == len(first) + len(again), program, "there are more generations than two")
        makes_up = program.sealed.program.on_missed == "backfill"
        missed = {at for at, row in first.items() if row["status"] == "missed"}
        check(
            set(again) == (missed if makes_up else set()),
            program,
            "what was missed is made up for, and nothing else",
        )
        for at, row in again.items():
            check(
                row["follows"] == first[at]["run_id"] and row["backfill"] == "missed",
                program,
                f"{at}: whom it follows",
            )
        for at in due:
            if at in first:
                self._reckon_time(program, at, first[at])
        return Counter(row["status"] for row in rows)

    def _reckon_time(self, program: Planned, at: int, row: dict[str, Any]) -> None:
        made_at = self._made_at(row)
        lag = made_at - at
        reason = self._reason(row)
        was_paused = any(start <= at < end for start, end in program.pauses)
        if was_paused:
            self._check(
                reason == "program_paused", program, f"{_utc(at)}: skipped, since it was paused: {reason}"
            )
            return
        self._check(reason != "program_paused", program, f"{_utc(at)}: it was not paused then")
        reach = max(LATE, program.backfill)
        is_missed_at_once = reason == "window_left" and row["ended_at"] - made_at <= 1
        if lag > reach:
            self._check(is_missed_at_once, program, f"{_utc(at)}: made {lag} ms late, and not missed")
        elif reason == "window_left":
            left_at = at + program.backfill
            is_left = program.backfill and row["ended_at"] > left_at
            self._check(bool(is_left), program, f"{_utc(at)}: missed before it was too far back")
        if self._somebody_is_up(at, PROMPT):
            self._check(
                lag <= PROMPT, program, f"{_utc(at)}: somebody was there, and it was made {lag} ms late"
            )
        patience = 3 * program.longest + PROMPT
        if (
            self._is_quick(program)
            and self._somebody_is_up(at, patience)
            and not self._pauses_within(program, at)
        ):
            begun = row["launched_at"] - at
            is_passed = row["status"] in ("skipped", "missed")
            self._check(
                is_passed or begun <= patience, program, f"{_utc(at)}: it was kept waiting for {begun} ms"
            )

    def _somebody_is_up(self, at: int, length: int) -> bool:
        """From that moment on, so long, with a clock that went evenly."""
        return any(start <= at and at + length < end for start, end in self.ups)

    def _is_quick(self, program: Planned) -> bool:
        """Each of its runs has ended long before the next is due, and nothing is to be waited for but places."""
        its = program.sealed.program
        waits = bool(its.stages[0].dependencies) or (its.run_order, its.on_missed) == (
            "scheduled",
            "backfill",
        )
        return program.longest <= 10 * MINUTE and program.backfill <= 10 * MINUTE and not waits

    def _pauses_within(self, program: Planned, at: int) -> bool:
        """Whether it was paused around that moment, or its runs had piled up before."""
        return any(start - DAY < at < end + DAY for start, end in program.pauses)

    def _made_at(self, row: dict[str, Any]) -> int:
        content, _ = self.store.journal(row["run_id"])[0]
        return int(_field(content, "at"))

    def _reason(self, row: dict[str, Any]) -> str:
        content, _ = self.store.journal(row["run_id"])[-1]
        return _field(content, "reason")

    def _check(self, holds: bool, program: Planned, what: str) -> None:
        if not holds and len(self.found) < 50:
            self.found.append(f"{program.name}: {what}")


class _Executor:
    """Work that takes its time, and fails now and then."""

    def __init__(self, month: Month, life: Life) -> None:
        self._month, self._life = month, life
        self._ends: dict[str, tuple[AttemptRequest, Ended]] = {}

    def submit(self, request: AttemptRequest, ended: Ended) -> None:
        self._ends[request.attempt_id] = request, ended
        takes = self._month.begun(request)
        fails = request.work == "execute" and Random(f"{request.attempt_id}/fails").random() < 0.05
        self._life.call_later(takes / 1000, self._end, request.attempt_id, "failed" if fails else "completed")

    recovers = False

    def recover(self, request: AttemptRequest, ended: Ended) -> None:
        raise NotImplementedError("what runs here ends with its orchestrator")

    def submit_all(self, requests: Sequence[tuple[AttemptRequest, Ended]]) -> None:
        for request, ended in requests:
            self.submit(request, ended)

    def cancel(self, attempt_id: str) -> None:
        self._life.call_soon(self._end, attempt_id, "cancelled")

    def _end(self, attempt_id: str, outcome: str) -> None:
        request, ended = self._ends.pop(attempt_id, (None, None))
        if request is None or ended is None:
            return
        self._month.ended(request)
        error = AttemptError("exit", "it failed") if outcome == "failed" else None
        ended(AttemptReport(outcome=outcome, error=error))

    async def close(self) -> None:
        """Nothing of it outlives its life."""


def _utc(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).replace(tzinfo=None)


def _told(moments: set[int]) -> str:
    return ", ".join(str(_utc(at)) for at in sorted(moments)[:5])


def _field(content: str, name: str) -> str:
    import json

    entry = json.loads(content)
    return str(entry.get(name, entry["body"].get(name, "")))
