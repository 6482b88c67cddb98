"""Which runs, and whose places, are one orchestrator's: what it claims, what it has lost to others, what it hands back.

The store knows whose what is; here is what of it this process knows, and how the two are made to agree.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress

from clew.core.running import statuses
from clew.core.running.sealed_program import SealedProgram
from clew.orchestrator.driver import Driver
from clew.orchestrator.lease_keeper import LeaseKeeper
from clew.orchestrator.recording import AGAIN_MILLISECONDS
from clew.ports import (
    ClaimedRun,
    CommitUnknown,
    DrivenElsewhere,
    Fenced,
    Leases,
    PayloadUnreadable,
    StoreBusy,
    StoreTaken,
    Tasks,
    Unreadable,
)

CLAIMED_TOGETHER_MAX = 200
"""Runs that are taken up between two turns: some tenth of a second, for which others wait."""

SHARE_AT_FIRST = 4
"""Runs that are claimed at first where others may claim, too, and twice as many each time that there are more: few runs
are shared among all who are there, and many are taken soon."""

SHARE_MILLISECONDS = 200
"""How long others have before more is claimed: so often they look."""


DOUBT_MILLISECONDS = 60_000
"""How often it is looked whether what is driven here is what the store says is: that reads a line of each run."""


class Claims:
    """What is this orchestrator's. `adopts`: it drives all of the store's runs that nobody else does."""

    def __init__(
        self,
        *,
        leases: Leases,
        driver: Driver,
        tasks: Tasks,
        lease: LeaseKeeper | None,
        take_up: Callable[[ClaimedRun], object],
        leave_alone: Callable[[str, Unreadable], None],
        look: Callable[[str], None],
    ) -> None:
        """`lease`: where others may drive runs of the store, too. `take_up`: has a run driven here that is this
        orchestrator's. `leave_alone`: is told what can't be. `look`: has the places of a program seen to."""
        self._leases = leases
        self._driver = driver
        self._tasks = tasks
        self._lease = lease
        self._take_up = take_up
        self._leave_alone = leave_alone
        self._look = look
        self.adopts = False
        self.gates: set[str] = set()
        """The programs whose places are given here."""
        self._unclaimed: set[str] = set()
        """Those of them whose runs may have begun elsewhere before."""
        self._claimed: deque[ClaimedRun] = deque()
        """Runs that are this orchestrator's, and that it has not taken up yet."""
        self._unreadable: set[str] = set()
        """Program versions that can't be used here, and runs that can't be read from here now."""
        self._to_hand_back: set[str] = set()
        """Runs of whose places another orchestrator gives, until that is on record."""
        self._share = SHARE_AT_FIRST
        """How many runs are claimed next, where there are others."""
        self._goes_on = False
        self._is_in_doubt = False
        """Runs may be this orchestrator's of which it does not know."""
        if lease is not None:
            driver.may_begin = lambda: lease.may_begin

    # ---- what nobody drives ----

    def adopt(self) -> None:
        """Take up the runs that nobody drives, and that nobody needs to say a word about first; but those that have to
        wait for a place. Many are taken up by and by, so that the first go on at once, and so that others have their
        share where there are others. Raises StoreError; what was claimed by then is taken up the next time."""
        leases = self._leases
        are_others = leases.are_others()
        limit = self._share if are_others else CLAIMED_TOGETHER_MAX
        try:
            self._take_up_all()
            claimed = leases.claim(limit, besides=self._unreadable)
            self._claimed += claimed
            taken = 0
            for program in leases.programs_with_places():
                taken += program not in self.gates
                if taken <= limit and self.gives(program):
                    self._look(program)
            while self._unclaimed:
                program = next(iter(self._unclaimed))
                self._claimed += leases.claim_with_places(program)
                self._unclaimed.discard(program)
        except CommitUnknown:
            self._is_in_doubt = True
            raise
        self._take_up_all()
        goes_on = bool(claimed) or taken > limit
        self._share = min(2 * limit, CLAIMED_TOGETHER_MAX) if goes_on else SHARE_AT_FIRST
        if goes_on:
            self._go_on(SHARE_MILLISECONDS if are_others else 0)

    def _go_on(self, milliseconds: int) -> None:
        """Adopt once more, so much later."""

        def adopt() -> None:
            self._goes_on = False
            if not self.adopts:
                return
            try:
                self.adopt()
            except (StoreBusy, CommitUnknown):
                self._go_on(AGAIN_MILLISECONDS)

        if not self._goes_on:
            self._goes_on = True
            self._tasks.later(milliseconds, adopt)

    def _take_up_all(self) -> None:
        """Take up what is claimed."""
        while self._claimed:
            self._adopt(self._claimed[0])
            self._claimed.popleft()

    def _adopt(self, claimed: ClaimedRun) -> None:
        driven = self._driver.runs.get(claimed.run_id)
        if driven is not None and driven.epoch < claimed.epoch:
            # Another orchestrator has had it meanwhile, and is gone.
            self._driver.drop(driven, Fenced(f"run {claimed.run_id} was driven by another orchestrator"))
        if claimed.status in statuses.NEEDS_PERSON or claimed.run_id in self._driver.runs:
            return
        try:
            self._take_up(claimed)
        except Unreadable as error:
            if isinstance(error, PayloadUnreadable):
                self._leave_for_a_while(claimed.run_id)
            else:
                self._unreadable.add(claimed.version)
            self._leases.release_some([claimed.run_id])
            self._leave_alone(f"run {claimed.run_id}", error)

    def _leave_for_a_while(self, run_id: str) -> None:
        """Leave the run to others, who may be able to read it; later it is tried again."""

        def try_again() -> None:
            self._unreadable.discard(run_id)
            self._go_on(0)

        self._unreadable.add(run_id)
        self._tasks.later(DOUBT_MILLISECONDS, try_again)

    # ---- whose places are given here ----

    def see_whose_it_is(self, sealed: SealedProgram) -> None:
        """Raises DrivenElsewhere when another orchestrator drives the program's runs; StoreError."""
        if sealed.has_places:
            self.give_places(sealed.program.name)

    def give_places(self, program: str) -> None:
        """Give the places of that program. Raises DrivenElsewhere when another orchestrator does; StoreError."""
        if not self.gives(program):
            raise DrivenElsewhere(
                f"another orchestrator gives the places of program {program}, and drives its runs"
            )

    def gives(self, program: str) -> bool:
        """Whether this orchestrator gives the places of that program: from now on, if nobody else does. Raises
        StoreError."""
        if program in self.gates:
            return True
        if not self._leases.take_gate(program):
            return False
        self.gates.add(program)
        self._unclaimed.add(program)
        if self.adopts:
            self._go_on(0)
        return True

    # ---- what others have, or are to have ----

    def be_sure(self) -> None:
        """Where there is doubt, see that what is on record as driven here is driven here, and nothing else: after
        claims of which nobody knew whether they hold, and when others may have taken runs. Raises StoreTaken when this
        orchestrator has no lease any more; StoreError."""
        lease = self._lease
        if lease is not None and lease.is_forgotten:
            raise StoreTaken(
                "the database has forgotten this orchestrator, which was away for too long; start it anew"
            )
        if not (self._is_in_doubt or (lease is not None and lease.is_in_doubt)):
            return
        owned = self._leases.owned()
        self._to_hand_back.update(self._drop_what_others_have(owned))
        self._leases.release_some(sorted(self._to_hand_back))
        known = {*self._driver.runs, *(claimed.run_id for claimed in self._claimed), *self._to_hand_back}
        self._to_hand_back.clear()
        for run_id in owned.keys() - known:
            claimed = self._leases.claim_run(run_id)
            if claimed is not None:
                self._claimed.append(claimed)
        self._is_in_doubt = False
        if lease is not None:
            lease.is_sure()
        if self.adopts and self.gates:
            # Whoever gave these places before may have handed something back since.
            self._unclaimed |= self.gates
            self._go_on(0)
        self._take_up_all()

    def doubt_regularly(self) -> None:
        """Where others may drive, too, look now and then whether all is as it should be: no run is to lie for want of
        anybody who knows that it is his."""
        if self._lease is not None:
            self._tasks.later(DOUBT_MILLISECONDS, self._doubt)

    def _doubt(self) -> None:
        self._is_in_doubt = True
        self.doubt_regularly()

    def _drop_what_others_have(self, owned: dict[str, int]) -> list[str]:
        """Drive no run that another orchestrator has, nor any of whose places another one gives: these are returned."""
        lost = {program for program in self.gates if not self._leases.take_gate(program)}
        self.gates -= lost
        self._unclaimed -= lost
        without_place = []
        for run in list(self._driver.runs.values()):
            run_id, program = run.state.run_id, run.state.program
            is_driven = run.row is not None and run.row.status in statuses.DRIVEN
            if is_driven and owned.get(run_id) != run.epoch:
                self._driver.drop(run, Fenced(f"run {run_id} is driven by another orchestrator now"))
            elif program.has_places and program.program.name in lost:
                self._driver.drop(run, DrivenElsewhere(f"run {run_id} was handed back"))
                without_place.append(run_id)
        return without_place

    def hand_back(self) -> None:
        """Let others drive, where there may be others, while this orchestrator drains: the runs of which nothing is
        under way are handed back, those that share places when this is true of all of them."""
        driver = self._driver
        if self._lease is None or driver.is_recording:
            return
        busy = {run.state.program.program.name for run in driver.runs.values() if not driver.is_idle(run)}
        idle = [
            run
            for run in driver.runs.values()
            if driver.is_idle(run)
            and not (run.state.program.has_places and run.state.program.program.name in busy)
        ]
        for run in idle:
            driver.drop(run, DrivenElsewhere(f"run {run.state.run_id} was handed back"))
        given = self.gates - busy
        self.gates -= given
        with suppress(StoreBusy, CommitUnknown):  # when this orchestrator ends, everything is
            self._leases.release_some([run.state.run_id for run in idle])
            for program in given:
                self._leases.release_gate(program)
