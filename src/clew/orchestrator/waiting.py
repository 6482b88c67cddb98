"""Stages that look for their data, and those that wait for it: who looks together, and who looks sooner.

Searches that begin in the same bucket are held in rounds, one at a time, so that what many stages want listed is
listed once a round. Stages that wait for the same listing come to look in the same round: when one of them is due,
those that would be due soon look along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from clew.core.program.model import (
    AskedDependency,
    Dependency,
    ProgramDependency,
    SearchedDependency,
    VariableDependency,
)
from clew.core.running import statuses
from clew.core.running.stage_state import StageState
from clew.orchestrator.driven_run import DrivenRun
from clew.orchestrator.facts import Searched
from clew.ports import BucketEvents, ListingName, SearchAnswer, Searcher, SearchRequest, Tasks

Answered = Callable[[SearchAnswer], None]
Listings = tuple[ListingName, ...]

EVENTS_APART_MILLISECONDS = 1_000
"""How often a bucket's events have a stage look: each is a listing, and a folder may change all the time."""

SOON = 2
"""Who looks along: whose next look is due within its delay divided by this. So any two that wait for the same, with
the same delay, look together after one such delay at the latest, and nobody looks more than twice as often."""


UNSETTLED_NAMED_MAX = 10
"""Objects that are named as perhaps still being written."""


STORE = "the store"
"""Beside the buckets: where those look who want nothing of any bucket, and of nobody who may be slow."""


def round_of(dependencies: Sequence[SearchedDependency]) -> str:
    """With whom a stage looks together: those that ask the same kind of somebody who may be slow, else those that begin
    in the same bucket."""
    for one in dependencies:
        if isinstance(one, AskedDependency):
            return f"kind: {one.kind}"
    return next((one.bucket for one in dependencies if isinstance(one, Dependency)), STORE)


class SearchRounds:
    """Holds searches in rounds, by whom they ask (see `round_of`): a bucket that is slow delays no other's."""

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
    """Those who wait for the same listings, by run and stage. `called_at`: when they were last called together by one
    that was due. `is_resting`: they were called by an event a moment ago; `is_wanted`: and there was another since."""

    members: dict[tuple[str, str], DrivenRun] = field(default_factory=dict)
    called_at: int = -1
    is_resting: bool = False
    is_wanted: bool = False


class Waiting:
    """Which stages wait for which listings. `look_now` has a stage look before it is due."""

    def __init__(
        self, *, tasks: Tasks, events: BucketEvents | None, look_now: Callable[[DrivenRun, str], None]
    ) -> None:
        self._tasks = tasks
        self._events = events
        self._look_now = look_now
        self._groups: dict[Listings, _Group] = {}
        self._groups_with: dict[ListingName, dict[Listings, _Group]] = {}
        """The groups in which a listing is."""
        self._settled_at: dict[ListingName, int] = {}
        """When a run of each program has settled last."""

    def wait(self, run: DrivenRun, stage: str, listings: Listings, since: int) -> None:
        """The stage has seen these listings without what it wants; `since` is before they were made."""
        programs = _awaited_programs(run.state.stages[stage])
        if any(self._settled_at.get(each, -1) >= since for each in programs):
            # It settled while the stage looked, which may have been too soon.
            self._tasks.soon(partial(self._look_now, run, stage))
        listings = (*listings, *programs)
        if run.waits_for.get(stage) == listings:
            return
        self.forget(run, stage)
        if listings:
            run.waits_for[stage] = listings
            group = self._groups.get(listings) or self._begin(listings)
            group.members[run.state.run_id, stage] = run
            # Each who joins asks anew: of what changed before, the others have been told, or have seen it.
            if self._events is not None:
                for each in set(listings):
                    self._events.follow(each, since, partial(self._changed, each))

    def settled(self, program: str, at: int) -> None:
        """A run of that program has settled by that moment: whoever waits for its runs looks now."""
        listing = _runs_of(program)
        self._settled_at[listing] = at
        if listing in self._groups_with:
            self._changed(listing)

    def forget(self, run: DrivenRun, stage: str) -> None:
        """The stage waits no more."""
        listings = run.waits_for.pop(stage, None)
        if listings is not None:
            members = self._groups[listings].members
            del members[run.state.run_id, stage]
            if not members:
                self._end(listings)

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
        members = ((other, other.state.stages[name]) for (_, name), other in group.members.items())
        return [
            (other, member.name)
            for other, member in members
            if ("search", member.name) not in other.asked and is_soon(member, at)
        ]

    # ---- what buckets tell by themselves ----

    def _begin(self, listings: Listings) -> _Group:
        group = self._groups[listings] = _Group()
        for each in set(listings):
            self._groups_with.setdefault(each, {})[listings] = group
        return group

    def _end(self, listings: Listings) -> None:
        del self._groups[listings]
        for each in set(listings):
            groups = self._groups_with[each]
            del groups[listings]
            if not groups:
                del self._groups_with[each]
                if self._events is not None:
                    self._events.leave(each)

    def _changed(self, listing: ListingName) -> None:
        # Not while a group is made or left: those who are called may do either.
        self._tasks.soon(partial(self._call_all, listing))

    def _call_all(self, listing: ListingName) -> None:
        for listings, group in list(self._groups_with.get(listing, {}).items()):
            self._call(listings, group)

    def _call(self, listings: Listings, group: _Group) -> None:
        if group.is_resting:
            group.is_wanted = True
            return
        group.is_resting, group.is_wanted = True, False
        for (_, name), run in list(group.members.items()):
            self._look_now(run, name)
        self._tasks.later(EVENTS_APART_MILLISECONDS, partial(self._rested, listings, group))

    def _rested(self, listings: Listings, group: _Group) -> None:
        group.is_resting = False
        if group.is_wanted and self._groups.get(listings) is group:
            self._call(listings, group)


def _runs_of(program: str) -> ListingName:
    """Stands for the runs of a program, as if they were listed."""
    return ListingName(f"program:{program}", "", "")


def _awaited_programs(stage: StageState) -> Listings:
    """The programs whose runs the stage waits for. Of one whose name is made of variables nothing is told."""
    return tuple(
        _runs_of(one.program)
        for one in stage.sealed.stage.searched_dependencies
        if isinstance(one, ProgramDependency | VariableDependency) and "{" not in one.program
    )


def is_soon(stage: StageState, at: int) -> bool:
    """Whether the next look of the stage, which waits, is due soon, or is overdue."""
    if stage.status != statuses.WAITING:
        return False
    delay = stage.sealed.stage.delay.first_milliseconds
    return stage.look_again_at - at <= delay // SOON


# ---- what may still be being written ---------------------------------------------------------------------


class Sighting(NamedTuple):
    """An object as it was seen in look after look, and when the first of them had ended."""

    etag: str | None
    size: int | None
    since: int


def unsettled_among(run: DrivenRun, stage: StageState, fact: Searched, at: int) -> tuple[int, str] | None:
    """When to look again for objects that were found and may still be being written, and what to say of them; None
    where there are none. Only this orchestrator's own looks count, by its own clock: two that saw the same, so far
    apart. A clock of the store's would have to be trusted, and programs set times of modification as they like."""
    before, seen = run.sightings.get(stage.name, {}), dict[tuple[str, str], Sighting]()
    ready_at, said = 0, []
    for dependency in stage.sealed.stage.file_dependencies if fact.found is not None else ():
        stable_for = dependency.stable_for_milliseconds
        if stable_for is None or fact.found is None:
            continue
        located = fact.found[dependency.name]
        for one in located if isinstance(located, list) else [located]:
            known = before.get((dependency.name, one["key"]))
            if known is None or known.since > at or (known.etag, known.size) != (one["etag"], one["size"]):
                known = Sighting(one["etag"], one["size"], at)
            seen[dependency.name, one["key"]] = known
            if fact.asked_at - known.since < stable_for:
                ready_at = max(ready_at, known.since + stable_for)
                said.append(
                    f"{dependency.name}: '{one['key']}' may still be being written; it is taken once it has been "
                    f"seen unchanged for {stable_for / 1000:g} seconds"
                )
    if seen or before:
        run.sightings[stage.name] = seen
    return (ready_at, "; ".join(said[:UNSETTLED_NAMED_MAX])) if said else None
