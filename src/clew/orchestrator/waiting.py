"""Stages that look for their data, and those that wait for it: who looks together, and who looks sooner.

Searches that begin in the same bucket are held in rounds, one at a time, so that what many stages want listed is
listed once a round. Stages that have seen the same in the same listings, and look evenly, are looked for together: one
of them looks for all, and as long as it sees what all have seen, nothing of them is searched, written or timed. Others
that wait for the same listing come to look in the same round: when one of them is due, those that would be due soon
look along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import msgspec

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
from clew.ports import BucketEvents, ListingName, SearchAnswer, Searcher, SearchRequest, Tasks, Timer

Answered = Callable[[SearchAnswer], None]
Listings = tuple[ListingName, ...]

EVENTS_APART_MILLISECONDS = 1_000
"""How often a bucket's events have a stage look: each is a listing, and a folder may change all the time."""

ALONE = (b"", 0)
"""What those have seen, and how often they look, who look each for himself."""

SOON = 2
"""Who looks along: whose next look is due within its delay divided by this. So any two that wait for the same, with
the same delay, look together after one such delay at the latest, and nobody looks more than twice as often."""


SEARCHES_MAX = 5_000
"""Of one round: under way they take some twenty megabytes, and their answers keep the event loop for some tenths of a
second. A restart has all runs that wait look at once."""

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


class Look(Protocol):
    """A search that waits for its round."""

    def request(self) -> SearchRequest:
        """What is looked for, made when the round is held."""

    def answered(self, answer: SearchAnswer) -> None:
        """Is told on the event loop."""


class SearchRounds:
    """Holds searches in rounds, by whom they ask (see `round_of`): a bucket that is slow delays no other's."""

    def __init__(self, searcher: Searcher, tasks: Tasks) -> None:
        self._searcher = searcher
        self._tasks = tasks
        self._queued: dict[str, list[Look]] = {}
        """The searches of each bucket that wait for its next round; a bucket without a round under way has no key."""

    def look(self, bucket: str, look: Look) -> None:
        """Search in the next round of that bucket for which there is room."""
        queued = self._queued.get(bucket)
        if queued is not None:
            queued.append(look)
            return
        self._queued[bucket] = [look]
        self._tasks.start(self._hold_rounds(bucket), name=f"search in {bucket}")

    async def _hold_rounds(self, bucket: str) -> None:
        while queued := self._queued[bucket]:
            held, self._queued[bucket] = queued[:SEARCHES_MAX], queued[SEARCHES_MAX:]
            requests = [look.request() for look in held]
            answers = await self._tasks.outside(partial(self._searcher, requests))
            for look, answer in zip(held, answers, strict=True):
                look.answered(answer)
        del self._queued[bucket]


class _Group(msgspec.Struct):
    """Those of a crowd who have seen the same, by run and stage. `every`: how many milliseconds are between two looks
    for all of them; 0 where each looks for himself, whatever he has seen. `timer`: of the next look for all.
    `called_at`: when they were last called together by one that was due."""

    crowd: _Crowd
    seen: bytes
    every: int
    members: dict[tuple[str, str], DrivenRun] = msgspec.field(default_factory=dict)
    timer: Timer | None = None
    called_at: int = -1


class _Crowd(msgspec.Struct):
    """Those who wait for the same listings: the groups, by what was seen and how often they look. `is_resting`: they
    were called by an event a moment ago; `is_wanted`: and there was another since."""

    listings: Listings
    groups: dict[tuple[bytes, int], _Group] = msgspec.field(default_factory=dict)
    is_resting: bool = False
    is_wanted: bool = False


class Waiting:
    """Which stages wait for which listings. `look` looks as a stage would; `look_now` has the stage look before it is
    due."""

    def __init__(
        self,
        *,
        tasks: Tasks,
        events: BucketEvents | None,
        look: Callable[[DrivenRun, str, Answered], None],
        look_now: Callable[[DrivenRun, str], None],
    ) -> None:
        self._tasks = tasks
        self._events = events
        self._look = look
        self._look_now = look_now
        self._crowds: dict[Listings, _Crowd] = {}
        self._crowds_with: dict[ListingName, dict[Listings, _Crowd]] = {}
        """The crowds in which a listing is."""
        self._settled_at: dict[ListingName, int] = {}
        """When a run of each program has settled last."""
        self._is_stopped = False

    def wait(self, run: DrivenRun, stage: str, answer: SearchAnswer, since: int, *, every: int) -> None:
        """The stage has looked without finding what it wants; `since` is before it did. From here on it looks every so
        many milliseconds; 0 where that changes."""
        programs = _awaited_programs(run.state.stages[stage])
        if any(self._settled_at.get(each, -1) >= since for each in programs):
            # It settled while the stage looked, which may have been too soon.
            self._tasks.soon(partial(self._look_now, run, stage))
        seen, every = (answer.seen, every) if answer.seen and every else ALONE
        self._join(run, stage, (*answer.listed, *programs), seen, every, since)

    def look_alone(self, run: DrivenRun, stage: str, since: int) -> None:
        """The stage, which has begun to look then, has a moment of its own at which it looks again."""
        if self.looks_for(run, stage):
            self._join(run, stage, run.waits_for[stage].crowd.listings, *ALONE, since)

    def looks_for(self, run: DrivenRun, stage: str) -> bool:
        """Whether the regular looks of the stage are made here, for all of its group."""
        group = run.waits_for.get(stage)
        return group is not None and group.every > 0

    def settled(self, program: str, at: int) -> None:
        """A run of that program has settled by that moment: whoever waits for its runs looks now."""
        listing = _runs_of(program)
        self._settled_at[listing] = at
        if listing in self._crowds_with:
            self._changed(listing)

    def forget(self, run: DrivenRun, stage: str) -> None:
        """The stage waits no more."""
        group = run.waits_for.pop(stage, None)
        if group is not None:
            self._leave(run, stage, group)

    def forget_run(self, run: DrivenRun) -> None:
        """Nothing of the run waits any more."""
        for stage in list(run.waits_for):
            self.forget(run, stage)

    def companions(self, run: DrivenRun, stage: str, at: int) -> list[tuple[DrivenRun, str]]:
        """Who waits for the same listings as this stage, each for himself, and would look for them soon; nobody a
        second time at the same moment."""
        group = run.waits_for.get(stage)
        if group is None or group.every or group.called_at == at:
            return []
        group.called_at = at
        members = ((other, other.state.stages[name]) for (_, name), other in group.members.items())
        return [
            (other, member.name)
            for other, member in members
            if ("search", member.name) not in other.asked and is_soon(member, at)
        ]

    def stop(self) -> None:
        """Nobody looks any more."""
        self._is_stopped = True
        for crowd in self._crowds.values():
            for group in crowd.groups.values():
                _cancel(group)

    # ---- groups ----

    def _join(
        self, run: DrivenRun, stage: str, listings: Listings, seen: bytes, every: int, since: int
    ) -> None:
        known = run.waits_for.get(stage)
        if known is not None and (known.crowd.listings, known.seen, known.every) == (listings, seen, every):
            return
        if not listings:
            self.forget(run, stage)
            return
        group = self._group(listings, seen, every)
        group.members[run.state.run_id, stage] = run
        self.forget(run, stage)  # now, so that a crowd which it is in again does not end
        run.waits_for[stage] = group
        # Each who joins asks anew: of what changed before, the others have been told, or have seen it.
        if self._events is not None:
            for each in set(listings):
                self._events.follow(each, since, partial(self._changed, each))

    def _group(self, listings: Listings, seen: bytes, every: int) -> _Group:
        crowd = self._crowds.get(listings)
        if crowd is None:
            crowd = self._crowds[listings] = _Crowd(listings)
            for each in set(listings):
                self._crowds_with.setdefault(each, {})[listings] = crowd
        group = crowd.groups.get((seen, every))
        if group is None:
            group = crowd.groups[seen, every] = _Group(crowd, seen, every)
            self._look_regularly(group)
        return group

    def _leave(self, run: DrivenRun, stage: str, group: _Group) -> None:
        del group.members[run.state.run_id, stage]
        if not group.members:
            _cancel(group)
            del group.crowd.groups[group.seen, group.every]
            if not group.crowd.groups:
                self._end(group.crowd.listings)

    def _end(self, listings: Listings) -> None:
        del self._crowds[listings]
        for each in set(listings):
            crowds = self._crowds_with[each]
            del crowds[listings]
            if not crowds:
                del self._crowds_with[each]
                if self._events is not None:
                    self._events.leave(each)

    # ---- looks for all of a group ----

    def _look_regularly(self, group: _Group) -> None:
        if group.every:
            group.timer = self._tasks.later(group.every, partial(self._look_for_all, group))

    def _look_for_all(self, group: _Group) -> None:
        (_, stage), run = next(iter(group.members.items()))
        self._look(run, stage, partial(self._looked, group))

    def _looked(self, group: _Group, answer: SearchAnswer) -> None:
        """One has looked for all: each has a look of his own if there is anything else to be seen."""
        if self._is_stopped or not group.members:
            return
        if answer.seen != group.seen:
            for (_, stage), run in list(group.members.items()):
                self._look_now(run, stage)
        self._look_regularly(group)

    # ---- what buckets tell by themselves ----

    def _changed(self, listing: ListingName) -> None:
        # Not while a group is made or left: those who are called may do either.
        self._tasks.soon(partial(self._call_all, listing))

    def _call_all(self, listing: ListingName) -> None:
        for crowd in list(self._crowds_with.get(listing, {}).values()):
            self._call(crowd)

    def _call(self, crowd: _Crowd) -> None:
        if crowd.is_resting:
            crowd.is_wanted = True
            return
        crowd.is_resting, crowd.is_wanted = True, False
        for group in list(crowd.groups.values()):
            for (_, name), run in list(group.members.items()):
                self._look_now(run, name)
        self._tasks.later(EVENTS_APART_MILLISECONDS, partial(self._rested, crowd))

    def _rested(self, crowd: _Crowd) -> None:
        crowd.is_resting = False
        if crowd.is_wanted and self._crowds.get(crowd.listings) is crowd:
            self._call(crowd)


def _cancel(group: _Group) -> None:
    if group.timer is not None:
        group.timer.cancel()


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
    if all(one.stable_for_milliseconds is None for one in stage.sealed.stage.file_dependencies):
        return None
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
