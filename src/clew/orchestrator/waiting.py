"""Stages that look for their data, and those that wait for it: who looks together, and who looks sooner.

Searches that begin in the same bucket are held in rounds, one at a time, so that what many stages want listed is
listed once a round. Stages that wait for the same listing come to look in the same round: when one of them is due,
those that would be due soon look along.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from clew.core.running import statuses
from clew.orchestrator.driven_run import DrivenRun
from clew.ports import ListingName, SearchAnswer, Searcher, SearchRequest, Tasks

Answered = Callable[[SearchAnswer], None]

SOON = 2
"""Who looks along: whose next look is due within its delay divided by this. So any two that wait for the same, with
the same delay, look together after one such delay at the latest, and nobody looks more than twice as often."""


class SearchRounds:
    """Holds searches in rounds, by the bucket in which they begin: a bucket that is slow delays no other's."""

    def __init__(self, searcher: Searcher, tasks: Tasks) -> None:
        self._searcher = searcher
        self._tasks = tasks
        self._queued: dict[str, list[tuple[SearchRequest, Answered]]] = {}
        """The searches of each bucket that wait for its next round; a bucket without a round under way has no key."""

    def look(self, bucket: str, request: SearchRequest, answered: Answered) -> None:
        """Search in the next round of that bucket; the answer comes from the event loop."""
        queued = self._queued.get(bucket)
        if queued is not None:
            queued.append((request, answered))
            return
        self._queued[bucket] = [(request, answered)]
        self._tasks.start(self._hold_rounds(bucket), name=f"search in {bucket}")

    async def _hold_rounds(self, bucket: str) -> None:
        while queued := self._queued[bucket]:
            self._queued[bucket] = []
            requests = [request for request, _ in queued]
            answers = await self._tasks.outside(partial(self._searcher, requests))
            for (_, answered), answer in zip(queued, answers, strict=True):
                answered(answer)
        del self._queued[bucket]


@dataclass(slots=True)
class _Group:
    """Those who wait for the same listings, by run and stage. `called_at`: when they were last called together."""

    members: dict[tuple[str, str], DrivenRun] = field(default_factory=dict)
    called_at: int = -1


class Waiting:
    """Which stages wait for which listings."""

    def __init__(self) -> None:
        self._groups: dict[tuple[ListingName, ...], _Group] = {}

    def wait(self, run: DrivenRun, stage: str, listings: tuple[ListingName, ...]) -> None:
        """The stage has seen these listings without what it wants."""
        self.forget(run, stage)
        if listings:
            run.waits_for[stage] = listings
            self._groups.setdefault(listings, _Group()).members[run.state.run_id, stage] = run

    def forget(self, run: DrivenRun, stage: str) -> None:
        """The stage waits no more."""
        listings = run.waits_for.pop(stage, None)
        if listings is not None:
            members = self._groups[listings].members
            del members[run.state.run_id, stage]
            if not members:
                del self._groups[listings]

    def forget_run(self, run: DrivenRun) -> None:
        """Nothing of the run waits any more."""
        for stage in list(run.waits_for):
            self.forget(run, stage)

    def companions(self, run: DrivenRun, stage: str, at: int) -> list[tuple[DrivenRun, str]]:
        """Who waits for the same listings as this stage, and would look for them soon; nobody a second time at the
        same moment."""
        group = self._groups.get(run.waits_for.get(stage, ()))
        if group is None or group.called_at == at:
            return []
        group.called_at = at
        return [(other, name) for (_, name), other in group.members.items() if _is_soon(other, name, at)]


def _is_soon(run: DrivenRun, name: str, at: int) -> bool:
    """Whether the stage's next look is due soon, or is overdue."""
    stage = run.state.stages[name]
    if stage.status != statuses.WAITING:
        return False
    delay = stage.sealed.stage.delay.first_milliseconds
    return stage.look_again_at - at <= delay // SOON
