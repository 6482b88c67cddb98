"""One history: the real driver in a pretend world of time, chance, crashes and faults, made of one number."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.simulation.odds import Odds
from tests.simulation.outside import Outside
from tests.simulation.posts import Post, PretendClock, assemble
from tests.simulation.programs import PretendProgram, random_program
from tests.simulation.reckoning import reckon
from tests.simulation.timeline import Life, Stuck, Timeline
from tests.simulation.witness import Witness

from clew.buckets.memory import MemoryBucket
from clew.commands import SIGNATURES
from clew.conditions import SIGNATURES as CONDITIONS
from clew.core.program.model import Stage
from clew.core.running.sealed_program import SealedProgram, seal_program
from clew.orchestrator.driven_run import DrivenRun, Origin
from clew.ports import Fenced, RunExists, StoreError
from clew.stores.sqlite import SqliteStore

FAULTY_EVENTS_MAX = 3_000
"""How long faults go on at most. Most histories are over by then."""

QUIET_MILLISECONDS_MAX = 7 * 24 * 3_600_000
"""With the faults off, everything comes to rest within a week: retries, waits and people's hours together."""

RELEASES_MAX = 6
"""How often a person comes to a run that is held. After that it stays so, with its reason."""

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
        self.timeline.crashed = self._crashed
        self.clock = PretendClock(self.timeline)
        self.outside = Outside(self.timeline, self.odds, seed)
        self.store = SqliteStore(":memory:")
        self.bucket = MemoryBucket(f"memory:payloads-{seed}")
        self.stored_size_max = self.chance.choice((256 * 1024, 100))
        """Above it payloads go to the bucket: nearly none of a history's do, or about half."""
        self.witness = Witness(self.outside, self.store, self.bucket, self._fail)
        self.outside.begun, self.outside.acted = self.witness.begun, self.witness.acted
        self.outside.tell = self.tell
        self.story: list[str] = []
        self.post: Post | None = None
        self.posts: list[Post] = []
        self.lives = 0
        self.programs = self._random_programs()
        self.code: dict[str, str] = {}
        """Parts of stages whose code is not what it was, or is gone."""
        self.frozen: list[Post] = []
        """Those that are taken for dead, and come back when their runs have been taken over."""
        self.releases: Counter[str] = Counter()
        self.wanted = 0
        """Runs that are still to be asked for."""

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
            made.append((pretend, sealed))
        return made

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
            for post in self.posts:
                post.life.end()
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
        self._start()
        self.wanted = self.chance.choice((1, 1, 2, 3, 4))
        for number in range(1, self.wanted + 1):
            delay = self.chance.choice((0, 0, 1, 50, 5_000, 900_000))
            self.timeline.after(delay, lambda number=number: self._ask(number))
        while self.timeline.events < FAULTY_EVENTS_MAX and not self._is_at_rest():
            if not self.timeline.step():
                break
            self._strike()
        self._make_quiet()
        limit = self.timeline.now + QUIET_MILLISECONDS_MAX
        while not self._is_at_rest():
            if not self.timeline.step() or self.timeline.now > limit:
                raise Stuck(f"with the faults off these runs do not come to rest: {self._restless()}")
        for _ in range(AFTERMATH_EVENTS):
            if not self.timeline.step():
                break
        reckon(self.witness, self.store, self.post.runs if self.post else {})

    def _make_quiet(self) -> None:
        """Faults are off from here on, and what was wrong has been put right."""
        self.odds.is_on = False
        self.code.clear()
        self.tell("--- faults off ---")
        for post in list(self.posts):
            if post is not self.post:
                self._kill(post)
        if self.post is not None and self.post.life.is_frozen:
            self.post.life.thaw()

    def _is_at_rest(self) -> bool:
        return not self.wanted and not self._restless() and self.post is not None

    def _restless(self) -> list[str]:
        """Runs that somebody still has to move on."""
        return [
            run_id
            for run_id, run in self.witness.runs.items()
            if not run.settled and not (run.held and self.releases[run_id] >= RELEASES_MAX)
        ]

    # ---- people ----

    def _ask(self, number: int) -> None:
        """Somebody asks for a run; until it is acknowledged, that may have to be done again."""
        post = self.post
        if post is None or post.life.is_frozen or post.is_closing:
            self.timeline.after(500, lambda: self._ask(number))
            return
        pretend, sealed = self.programs[number % len(self.programs)]
        variables = {**pretend.program.variables, "size": 3 if self.chance.random() < 0.8 else 1}

        def create() -> DrivenRun:
            run = post.orchestrator.create(sealed, variables, requested_by="somebody", origin=Origin())
            self.outside.run_numbers[run.state.run_id] = number
            run.observer = self._observer(run.state.run_id)
            return run

        try:
            run = self.timeline.within(post.life, create)
        except StoreError as error:
            self.tell(f"asked {post.life} for run {number}: {error}")
            self.timeline.after(500, lambda: self._ask(number))
            return
        self.tell(f"asked {post.life} for run {number}: {run.state.run_id}")
        self._follow(post, run)
        self.timeline.after(2_000, lambda: self._was_it_heard(number, run.state.run_id))

    def _was_it_heard(self, number: int, run_id: str) -> None:
        """Nobody gave an answer: ask again, unless the run is there after all."""
        if run_id in self.witness.runs:
            self.wanted -= 1
        else:
            post = self.post
            if post is not None and run_id in post.orchestrator.driver.runs and not post.life.is_frozen:
                self.timeline.after(2_000, lambda: self._was_it_heard(number, run_id))
            else:
                self.tell(f"run {number} ({run_id}) was not heard of; asking again")
                self._ask(number)

    def _observer(self, run_id: str) -> Callable[[Any, Any], None]:
        return lambda entry, state: self.witness.acknowledged_entry(run_id, entry.seq)

    def _follow(self, post: Post, run: DrivenRun) -> None:
        """Somebody waits for the run to come to rest."""
        run_id = run.state.run_id
        post.runs[run_id] = run

        async def wait() -> None:
            try:
                await post.orchestrator.rested(run)
            except Fenced:
                self.tell(f"{post.life} lost {run_id}")
            except RunExists as error:
                self.tell(f"{run_id}: {error}")
            except StoreError:
                return  # told to all, and seen to where the orchestrator stops
            else:
                self._rested(post, run)

        self.timeline.within(post.life, lambda: post.life.create_task(wait()))

    def _rested(self, post: Post, run: DrivenRun) -> None:
        run_id, status = run.state.run_id, run.state.status
        self.tell(f"{post.life}: {run_id} is {status} {run.state.held}")
        if run.state.is_settled:  # what is held may have been moved on by a successor
            row = self.store.run(run_id) or {}
            self.witness.check(row.get("status") == status, f"{run_id}: said {status}, recorded {row}")
        if run.state.held:
            self.timeline.after(
                self.chance.choice((1_000, 60_000, 3_600_000)), lambda: self._release(post, run)
            )

    def _release(self, post: Post, run: DrivenRun) -> None:
        """A person comes to a held run, has put the code right or not, and says that it goes on."""
        run_id = run.state.run_id
        if post.life.is_gone or post.is_closing or run_id not in post.orchestrator.driver.runs:
            return
        if self.releases[run_id] >= RELEASES_MAX:
            return
        self.releases[run_id] += 1
        if self.chance.random() < 0.7:
            self.code.clear()
        self.tell(f"a person releases {run_id}")

        def release() -> None:
            post.orchestrator.release(run, "a person")
            self._follow_when_released(post, run)

        self.timeline.within(post.life, release)

    def _follow_when_released(self, post: Post, run: DrivenRun) -> None:
        """Wait again, once the release has been recorded."""
        if run.state.held and run.facts and not post.life.is_gone:
            self.timeline.after(10, lambda: self._follow_when_released(post, run))
        elif not post.life.is_gone:
            self._follow(post, run)

    # ---- orchestrators come and go ----

    def _start(self) -> None:
        """A new orchestrator, which takes up whatever is unfinished."""
        self.lives += 1
        life = Life(self.timeline, f"life-{self.lives}")
        post = self.timeline.within(life, lambda: assemble(self, life))
        self.post = post
        self.posts.append(post)
        self.tell(f"{life} starts")
        self._adopt(post)

    def code_of(self, stage: Stage, folder: str) -> dict[str, str]:
        parts = {"execute": "1", "rollback": "1", "validate": "1"}
        for part in list(parts):
            changed = self.code.get(f"{stage.name}/{part}")
            if changed is not None:
                parts[part] = changed
        return {part: digest for part, digest in parts.items() if digest}

    def _adopt(self, post: Post) -> None:
        """Take up the runs that nobody drives. A store that is busy is asked again."""
        if post is not self.post or post.life.is_frozen or post.is_closing:
            return
        try:
            self.timeline.within(post.life, lambda: self._take_up_all(post))
        except StoreError as error:
            self.tell(f"{post.life} could not take up all: {error}")
            self.timeline.after(200, lambda: self._adopt(post))
            return
        if not post.life.is_gone:
            frozen, self.frozen = self.frozen, []
            for other in frozen:
                if self.chance.random() < 0.5:
                    self._thaw(other)  # before the successor has written a line
                else:
                    delay = self.chance.choice((0, 1, 300, 20_000))
                    self.timeline.after(delay, lambda other=other: self._thaw(other))

    def _take_up_all(self, post: Post) -> None:
        store = post.orchestrator.store
        for run_id, version, _, _ in store.unsettled():
            if run_id in post.orchestrator.driver.runs:
                continue
            row = self.store.run(run_id)
            assert row is not None
            run = post.orchestrator.take_up(run_id, version, row["origin"], self._observer(run_id))
            self.tell(f"{post.life} takes up {run_id}, {run.state.status}, epoch {run.epoch}")
            self.timeline.after(0, lambda run=run: None if post.life.is_gone else self._follow(post, run))

    def _crashed(self, life: Life) -> None:
        self._kill(next(post for post in self.posts if post.life is life) if self._has(life) else None, life)

    def _has(self, life: Life) -> bool:
        return any(post.life is life for post in self.posts)

    def _kill(self, post: Post | None, life: Life | None = None) -> None:
        """The process is gone, its attempts die soon, and another one comes when they have."""
        life = post.life if post is not None else life
        assert life is not None
        if life.is_gone:
            return
        self.tell(f"{life} is gone")
        life.end()
        self.outside.kill_all_of(life)
        if post is None:  # it died while it was being put together
            return
        self.posts.remove(post)
        self.witness.check_acknowledged()
        if post is self.post:
            self.post = None
            for other in [other for other in self.posts if not other.life.is_frozen]:
                self._kill(other)  # nobody takes anything up before whatever was started has ended
            self.timeline.after(self.chance.choice((1, 100, 60_000)), lambda: self._replace(life))
        else:
            self._inherit(life)

    def _inherit(self, life: Life) -> None:
        """What a second orchestrator drove besides goes to the first, once its attempts have ended."""
        if self.outside.has_attempts_of(life):
            self.timeline.after(50, lambda: self._inherit(life))
        elif self.post is not None:
            self._adopt(self.post)

    def _replace(self, life: Life) -> None:
        if self.outside.alive:
            self.timeline.after(50, lambda: self._replace(life))
        elif self.post is None:
            self._start()

    def stopped_loudly(self, life: Life, error: BaseException | None) -> None:
        """The orchestrator said that it can't go on; whoever runs it closes it, and starts another."""
        self.tell(f"{life} stops: {error}")
        if not isinstance(error, StoreError):
            self.timeline.errors.append(error or RuntimeError("stopped without an error"))
        for post in self.posts:
            if post.life is life:
                self._close(post)

    def _close(self, post: Post) -> None:
        if post.is_closing:
            return
        post.is_closing = True

        async def close() -> None:
            await post.orchestrator.close()
            self.timeline.after(0, lambda: self._kill(post))

        self.timeline.within(post.life, lambda: post.life.create_task(close()))

    # ---- faults that come from nowhere ----

    def _strike(self) -> None:
        post, strike = self.post, self.odds.strike
        if strike("clock forward", 0.002):
            self.clock.offset += self.chance.choice((50, 5_000, 3_600_000, 86_400_000))
        if strike("clock back", 0.002):
            self.clock.offset -= self.chance.choice((50, 5_000, 3_600_000, 86_400_000))
        if self.odds.is_on and self.chance.random() < 0.002 * self.odds.intensity:
            self._change_code()
        if post is None or post.life.is_frozen or post.is_closing:
            return
        if strike("crash anywhere", 0.004):
            self._kill(post)
        elif strike("orchestrator stopped", 0.001):
            self.tell(f"{post.life} is told to stop")
            self._close(post)
        elif len(self.posts) == 1 and strike("orchestrator frozen and taken over", 0.003):
            self._freeze(post)

    def _change_code(self) -> None:
        """Somebody deploys other code while runs are under way."""
        pretend, _ = self.chance.choice(self.programs)
        stage = self.chance.choice(sorted(pretend.stages))
        part = self.chance.choice(("execute", "validate", "rollback"))
        self.code[f"{stage}/{part}"] = self.chance.choice(("", "2"))

    def _freeze(self, post: Post) -> None:
        """It is held still and taken for dead: its attempts are killed, another one takes its runs. Then it
        goes on as if nothing had happened."""
        life = post.life
        self.tell(f"{life} is frozen, and taken for dead")
        life.is_frozen = True
        self.post = None
        self.frozen.append(post)
        self.outside.kill_all_of(life)
        self._replace(life)

    def _thaw(self, post: Post) -> None:
        if post.life.is_gone:
            return
        self.tell(f"{post.life} goes on")
        post.life.thaw()
        self.timeline.after(self.chance.choice((1_000, 100_000)), lambda: self._kill(post))

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for run_id in self.store.run_ids():
            for content, link in self.store.journal(run_id):
                digest.update(f"{content}\n{link}\n".encode())
        digest.update(repr(self.outside.log).encode())
        return digest.hexdigest()
