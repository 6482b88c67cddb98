"""The people of a history: they ask for runs, tell them what to do at random moments, and look after those that wait
for a person. Each gives up after some words, so that histories have an end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

import msgspec
from tests.simulation.faulty_store import FaultyStore
from tests.simulation.model import Run
from tests.simulation.posts import Post
from tests.simulation.stages import PLACES
from tests.simulation.timeline import Crash, Life
from tests.simulation.verbs import any_word, helping_word, missing_inputs, sensible_word, supply
from tests.simulation.words import ON_THE_SPOT

from clew.core.running.instructions import Instruction
from clew.orchestrator.driven_run import DrivenRun, Origin
from clew.ports import CommitUnknown, StoreBusy, StoreError

if TYPE_CHECKING:
    from tests.simulation.world import World

RELEASES_MAX = 6
"""How often a person comes to a run that is held. After that it stays so, with its reason."""

WORDS_MAX = 8
"""How often people say something to a run, whatever it does, besides helping it on."""

SETTLED_WORDS = 0.3
"""How often somebody has something to say of a run that has settled."""


class People:
    """Everybody who asks for something."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._timeline, self._tell = world.timeline, world.tell
        self._chance = Random(f"{world.seed}/people")
        self._talk = self._chance.choice((0, 0, 1, 2, 4))
        """How much they say in this history, to each run."""
        self._wanted = self._chance.choice((1, 1, 2, 3, 4))
        """Runs that are still to be asked for."""
        self._pending = 0
        """Words that somebody is about to say."""
        self._words: Counter[str] = Counter()
        self._releases: Counter[str] = Counter()
        self._visited: set[str] = set()
        self._known: set[str] = set()
        self._rests: Counter[str] = Counter()
        self._persons = 0

    @property
    def waiting(self) -> list[str]:
        """What has not come to rest: runs that somebody still has to move on, and what was asked or said."""
        runs = self._world.witness.runs
        restless = [run_id for run_id, run in runs.items() if not self._rests_for_good(run)]
        unanswered = [saying.instruction.verb for saying in self._world.witness.sayings.waiting.values()]
        asked = [f"{self._wanted} wanted"] if self._wanted else []
        return restless + unanswered + asked + (["somebody's word"] if self._pending else [])

    def _rests_for_good(self, run: Run) -> bool:
        return bool(run.settled or (run.held and self._releases[run.run_id] >= RELEASES_MAX))

    # ---- asking for runs ----

    def begin(self) -> None:
        for number in range(1, self._wanted + 1):
            delay = self._chance.choice((0, 0, 1, 50, 5_000, 900_000))
            self._timeline.after(delay, lambda number=number: self._ask(number))

    def _ask(self, number: int) -> None:
        """Somebody asks for a run; until it is acknowledged, that may have to be done again."""
        post = self._world.lives.acting
        if post is None:
            self._timeline.after(500, lambda: self._ask(number))
            return
        pretend, sealed = self._world.programs[number % len(self._world.programs)]
        variables = {**pretend.program.variables, "size": 3 if self._chance.random() < 0.8 else 1}
        if self._chance.random() < 0.3:
            variables[PLACES] = list(range(self._chance.choice((0, 1, 2, 3))))

        def create() -> DrivenRun:
            run = post.orchestrator.create(sealed, variables, requested_by="somebody", origin=Origin())
            self._world.outside.run_numbers[run.state.run_id] = number
            return run

        try:
            run = self._timeline.within(post.life, create)
        except StoreError as error:
            self._tell(f"asked {post.life} for run {number}: {error}")
            self._timeline.after(500, lambda: self._ask(number))
            return
        self._tell(f"asked {post.life} for run {number}: {run.state.run_id}")
        self._world.lives.follow(post, run)
        self._timeline.after(2_000, lambda: self._was_it_heard(number, run.state.run_id))

    def _was_it_heard(self, number: int, run_id: str) -> None:
        """Nobody gave an answer: ask again, unless the run is there after all."""
        if run_id in self._world.witness.runs:
            self._wanted -= 1
            return
        post = self._world.lives.post
        if post is not None and run_id in post.orchestrator.driver.runs and not post.life.is_frozen:
            self._timeline.after(2_000, lambda: self._was_it_heard(number, run_id))
        else:
            self._tell(f"run {number} ({run_id}) was not heard of; asking again")
            self._ask(number)

    # ---- what happens to a run comes to their notice ----

    def noticed(self, run: Run) -> None:
        """Something was committed of that run."""
        if run.run_id not in self._known:
            self._known.add(run.run_id)
            for _ in range(self._chance.randint(0, self._talk)):
                self._say_later(run, (0, 1, 20, 300, 5_000, 60_000, 3_600_000))
            if self._chance.random() < 0.12:
                self._timeline.after(self._chance.choice((1, 50, 5_000, 600_000)), lambda: self._expire(run))
        if len(run.rests) > self._rests[run.run_id]:
            self._rests[run.run_id] = len(run.rests)
            if self._talk and self._chance.random() < SETTLED_WORDS:
                self._say_later(run, (0, 5, 20_000))
        if not run.settled and run.run_id not in self._visited:
            self._visited.add(run.run_id)
            self._visit_later(run)

    # ---- saying something ----

    def _say_later(self, run: Run, delays: tuple[int, ...]) -> None:
        if self._words[run.run_id] >= WORDS_MAX:
            return
        self._words[run.run_id] += 1
        self._pending += 1

        def say() -> None:
            self._pending -= 1
            self._persons += 1
            by = f"person-{self._persons}"
            word = sensible_word if self._chance.random() < 0.75 else any_word
            self._instruct(run, word(self._chance, run, by))

        self._timeline.after(self._chance.choice(delays), say)

    def _instruct(self, run: Run, said: Instruction, instruction_id: str = "") -> None:
        """Say it in a process of one's own, which has its bad moments too."""
        instruction_id = instruction_id or f"{self._chance.getrandbits(64):016x}"
        store = self._store(said.by)
        try:
            store.instruct(
                instruction_id, run.run_id, msgspec.json.encode(said).decode(), self._world.clock.now()
            )
        except StoreBusy:
            self._again(lambda: self._instruct(run, said, instruction_id))
        except CommitUnknown:
            self._again(lambda: self._was_it_said(run, said, instruction_id))
        except Crash:
            self._tell(f"{said.by} is gone")
        self._tell(f"{said.by}: {said.verb} {said.stage} {dict(said.values)} to {run.run_id} ({run.status})")
        sayings = self._world.witness.sayings
        self._world.lives.attend_until(
            lambda: instruction_id not in sayings.waiting, self._chance.choice((0, 1, 200))
        )

    def _was_it_said(self, run: Run, said: Instruction, instruction_id: str) -> None:
        try:
            is_there = self._store(said.by).instruction(instruction_id) is not None
        except StoreBusy:
            self._again(lambda: self._was_it_said(run, said, instruction_id))
            return
        if not is_there:
            self._instruct(run, said, instruction_id)

    def _again(self, what: Callable[[], None]) -> None:
        self._pending += 1

        def again() -> None:
            self._pending -= 1
            what()

        self._timeline.after(500, again)

    def _store(self, by: str) -> FaultyStore:
        return FaultyStore(self._world.store, self._world.odds, Life(self._timeline, by), self._world.witness)

    # ---- looking after runs ----

    def _visit_later(self, run: Run) -> None:
        self._timeline.after(self._chance.choice((1_000, 60_000, 3_600_000)), lambda: self._visit(run))

    def _visit(self, run: Run) -> None:
        """Somebody comes by, and helps on what waits for a person."""
        if self._rests_for_good(run):
            self._visited.discard(run.run_id)
            return
        if run.held:
            self._release(run)
        elif run.is_paused and not run.ending:
            self._help(run, "unpause")
        else:
            for name in missing_inputs(run):
                if not self._world.odds.is_on or self._chance.random() < 0.6:
                    self._instruct(run, supply(self._chance, run, name, "somebody who knows"))
        self._visit_later(run)

    def _help(self, run: Run, verb: str) -> None:
        if not self._world.odds.is_on or self._chance.random() < 0.6:
            self._instruct(run, Instruction(verb, "a helper"))

    def _release(self, run: Run) -> None:
        """A person comes to a held run, has put the code right or not, and says how it goes on."""
        self._releases[run.run_id] += 1
        if self._chance.random() < 0.7:
            self._world.code.clear()
        if run.held == "changed_since" and self._chance.random() < 0.6:
            self._mend(run)
        post = self._world.lives.acting
        if post is not None and run.run_id in post.orchestrator.driver.runs and self._chance.random() < 0.3:
            self._release_on_the_spot(run, post)
        else:
            self._instruct(run, helping_word(self._chance, run, "a helper"))

    def _mend(self, run: Run) -> None:
        """Put right by hand what somebody else has changed."""
        for unit in run.acting_units:
            if unit.has_failed_to_roll_back and unit.kept is not None:
                self._tell(f"a helper mends the object of {unit.name}")
                self._world.outside.places.mend(self._world.witness.log.key_of(run, unit))

    def _release_on_the_spot(self, run: Run, post: Post) -> None:
        driven = post.orchestrator.driver.runs[run.run_id]
        self._tell(f"{ON_THE_SPOT} releases {run.run_id}")
        self._timeline.within(post.life, lambda: post.orchestrator.release(driven, ON_THE_SPOT))
        self._again(lambda: None)  # until then it has not come to rest

    def _expire(self, run: Run) -> None:
        """Its time is up, if somebody drives it."""
        post = self._world.lives.acting
        if post is not None and run.run_id in post.orchestrator.driver.runs:
            driver = post.orchestrator.driver
            self._timeline.within(post.life, lambda: driver.expire(driver.runs[run.run_id]))
