"""One history: the real driver in a pretend world of time, chance, crashes, faults and people, made of one number."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from random import Random

from tests.simulation.lives import Lives
from tests.simulation.odds import Odds
from tests.simulation.outside import Outside
from tests.simulation.people import People
from tests.simulation.posts import PretendClock
from tests.simulation.programs import PretendProgram, random_program
from tests.simulation.reckoning import reckon
from tests.simulation.timeline import Life, Stuck, Timeline
from tests.simulation.witness import Witness

from clew.buckets.memory import MemoryBucket
from clew.commands import SIGNATURES
from clew.conditions import SIGNATURES as CONDITIONS
from clew.core.program.model import Stage
from clew.core.running.sealed_program import SealedProgram, seal_program
from clew.stores.sqlite import SqliteStore

FAULTY_EVENTS_MAX = 3_000
"""How long faults go on at most. Most histories are over by then."""

QUIET_MILLISECONDS_MAX = 7 * 24 * 3_600_000
"""With the faults off, everything comes to rest within a week: retries, waits and people's hours together."""

AFTERMATH_EVENTS = 200
"""What still happens when all is at rest: late and duplicate reports that must change nothing."""


@dataclass(frozen=True)
class History:
    """What came of a seed. `digest` is over every journal's bytes and the outside log."""

    seed: int
    digest: str
    fired: Counter[str]
    events: int
    statuses: tuple[str, ...]
    found: tuple[str, ...]
    story: tuple[str, ...]


def run_history(seed: int) -> History:
    """Play one history to its end. What must never be is in `found`."""
    return World(seed).play()


class World:
    """Everything of one history. All chance in it comes from `seed`."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = Random(f"{seed}/world")
        self.odds = Odds(Random(f"{seed}/odds"))
        self.odds.intensity = self.chance.choice((0.0, 0.3, 1.0, 1.0, 2.0, 4.0))
        self.timeline = Timeline(Random(f"{seed}/order"))
        self.clock = PretendClock(self.timeline)
        self.outside = Outside(self.timeline, self.odds, seed)
        self.store = SqliteStore(":memory:")
        self.bucket = MemoryBucket(f"memory:payloads-{seed}")
        self.stored_size_max = self.chance.choice((256 * 1024, 100))
        """Above it payloads go to the bucket: nearly none of a history's do, or about half."""
        self.witness = Witness(self.outside, self.store, self.bucket, self._fail)
        self.outside.begun, self.outside.acted = self.witness.log.begun, self.witness.log.acted
        self.outside.places.check = self.witness.check
        self.outside.tell = self.tell
        self.story: list[str] = []
        self.lives = Lives(self)
        self.timeline.crashed = self.lives.crashed
        self.programs = self._random_programs()
        self.people = People(self)
        self.witness.moved = self.people.noticed
        self.code: dict[str, str] = {}
        """Parts of stages whose code is not what it was, or is gone."""

    def tell(self, line: str) -> None:
        self.story.append(f"{self.timeline.now:>9} {line}")

    def _fail(self, what: str) -> None:
        self.tell(f"!!! {what}")
        self.timeline.errors.append(AssertionError(what))

    def _random_programs(self) -> list[tuple[PretendProgram, SealedProgram]]:
        made = []
        for number in range(self.chance.choice((1, 1, 2))):
            pretend = random_program(self.chance, f"program-{number}")
            sealed = seal_program(pretend.program, SIGNATURES, CONDITIONS)
            self.witness.programs[sealed.version] = (pretend, sealed)
            restoring = [each.name for each in pretend.stages.values() if each.stage.rollback.restore]
            self.outside.places.restoring |= {(pretend.program.name, name) for name in restoring}
            made.append((pretend, sealed))
        return made

    # ---- what the orchestrators are given ----

    def code_of(self, stage: Stage, folder: str) -> dict[str, str]:
        parts = {"execute": "1", "rollback": "1", "validate": "1"}
        for part in list(parts):
            changed = self.code.get(f"{stage.name}/{part}")
            if changed is not None:
                parts[part] = changed
        return {part: digest for part, digest in parts.items() if digest}

    def stopped_loudly(self, life: Life, error: BaseException | None) -> None:
        self.lives.stopped_loudly(life, error)

    # ---- the course of a history ----

    def play(self) -> History:
        try:
            self._play()
        except (AssertionError, Stuck) as error:
            if str(error) not in self.witness.found:
                self.witness.found.append(str(error))
        except Exception as error:  # a bug of the driver's is a finding like any other
            self.witness.found.append(f"{type(error).__name__}: {error}")
        finally:
            self.lives.end()
        return History(
            seed=self.seed,
            digest=self._digest(),
            fired=self.odds.fired,
            events=self.timeline.events,
            statuses=tuple(run.shadow.status for run in self.witness.runs.values()),
            found=tuple(self.witness.found),
            story=tuple(self.story),
        )

    def _play(self) -> None:
        self.lives.start()
        self.people.begin()
        while self.timeline.events < FAULTY_EVENTS_MAX and not self._is_at_rest():
            if not self.timeline.step():
                break
            self._strike()
        self._make_quiet()
        was_put_back = max(0, -self.clock.offset)  # whatever is due by the clock takes so much longer
        limit = self.timeline.now + QUIET_MILLISECONDS_MAX + was_put_back
        while not self._is_at_rest():
            if not self.timeline.step() or self.timeline.now > limit:
                raise Stuck(f"with the faults off these do not come to rest: {self.people.waiting}")
        for _ in range(AFTERMATH_EVENTS):
            if not self.timeline.step():
                break
        post = self.lives.post
        reckon(self.witness, self.store, post.runs if post else {})

    def _make_quiet(self) -> None:
        """Faults are off from here on, and what was wrong has been put right."""
        self.odds.is_on = False
        self.code.clear()
        self.tell("--- faults off ---")
        self.lives.leave_one()

    def _is_at_rest(self) -> bool:
        return self.lives.post is not None and not self.people.waiting

    # ---- faults that come from nowhere ----

    def _strike(self) -> None:
        post, strike = self.lives.acting, self.odds.strike
        if strike("clock forward", 0.002):
            self.clock.offset += self.chance.choice((50, 5_000, 3_600_000, 86_400_000))
        if strike("clock back", 0.002):
            self.clock.offset -= self.chance.choice((50, 5_000, 3_600_000, 86_400_000))
        if self.odds.is_on and self.chance.random() < 0.002 * self.odds.intensity:
            self._change_code()
        if post is None:
            return
        if self.chance.random() < 0.01:
            self.lives.attend()
        if strike("crash anywhere", 0.004):
            self.lives.kill(post)
        elif strike("orchestrator stopped", 0.001):
            self.tell(f"{post.life} is told to stop")
            self.lives.close(post)
        elif self.lives.is_alone and strike("orchestrator frozen and taken over", 0.003):
            self.lives.freeze(post)

    def _change_code(self) -> None:
        """Somebody deploys other code while runs are under way."""
        pretend, _ = self.chance.choice(self.programs)
        stage = self.chance.choice(sorted(pretend.stages))
        part = self.chance.choice(("execute", "validate", "rollback"))
        self.code[f"{stage}/{part}"] = self.chance.choice(("", "2"))

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for run_id in self.store.run_ids():
            for content, link in self.store.journal(run_id):
                digest.update(f"{content}\n{link}\n".encode())
        digest.update(repr(self.outside.log).encode())
        return digest.hexdigest()
