"""Which runs of a program may be under way at the same time, and which one is next.

A program with `max_active_runs` has so many *places*. A run is queued until one is given to it. Under `run_order: any`
a run that only waits for data has none, and needs one again before it goes on; under `scheduled` it keeps it until it
has settled. Pure: who stands where comes in, what is to be done goes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from clew.core.program.model import Program
from clew.core.running import statuses
from clew.core.timing.late import LATE_MILLISECONDS_MAX


class Standing(Struct, frozen=True):
    """A run that is not settled, as far as places are concerned.

    `is_queued`: it has not been launched; `has_place`: it may go on; neither: it waits for data. `wants_place`: it has
    what it waited for. `is_due`: it stands for a due time; `makes_up`: for one that was missed, or of a backfill.
    `is_ending`: it is on its way to be settled.
    """

    run_id: str
    run_time: int
    generation: int
    is_queued: bool
    has_place: bool
    wants_place: bool = False
    is_due: bool = False
    makes_up: bool = False
    is_ending: bool = False


class PassOver(Struct, frozen=True):
    """A run that is never begun: it is settled in that status, for that reason (one of REST_REASONS)."""

    run_id: str
    status: str
    reason: str


class Decision(Struct, frozen=True):
    """What is to be done: runs that get a place, runs that are passed over, runs that are cancelled since another is
    due; and when to look again though nothing happens, if ever."""

    given: tuple[str, ...] = ()
    passed_over: tuple[PassOver, ...] = ()
    cancelled: tuple[str, ...] = ()
    look_again_at: int | None = None


def decide_places(program: Program, standings: Sequence[Standing], *, is_paused: bool, now: int) -> Decision:
    """What becomes of these runs of the program: all that are under way, and the first that are queued. While the
    program `is_paused`, none is launched that nobody has requested."""
    left = [each for each in standings if _has_left_window(program, each, now)]
    passed_over = [PassOver(each.run_id, statuses.MISSED, "window_left") for each in left]
    standing = [each for each in standings if each not in left]
    given = _given(program, standing, is_paused)
    waiting = [
        each for each in standing if each.is_queued and _is_of_cadence(each) and each.run_id not in given
    ]
    cancelled: tuple[str, ...] = ()
    if program.overlap == "skip" and not is_paused:
        passed_over += [PassOver(each.run_id, statuses.SKIPPED, "overlap") for each in waiting]
        waiting = []
    elif program.overlap == "cancel" and waiting and not is_paused:
        *overtaken, _ = sorted(waiting, key=_by_time)
        passed_over += [PassOver(each.run_id, statuses.SKIPPED, "overtaken") for each in overtaken]
        cancelled = () if given else _in_the_way(standing)
    ends = [end for each in waiting if (end := window_end(program, each.run_time)) is not None]
    return Decision(given, tuple(passed_over), cancelled, min(ends, default=None))


def window_end(program: Program, run_time: int) -> int | None:
    """Until when a run that stands for that due time, and makes up for nothing, may be queued; None: without end."""
    window = program.backfill_milliseconds
    return None if window is None else run_time + max(window, LATE_MILLISECONDS_MAX)


def in_the_way(program: Program, standings: Iterable[Standing], run_id: str) -> list[Standing]:
    """The runs for whose sake that one does not start, or go on."""
    others = [each for each in standings if each.run_id != run_id]
    its = next((each for each in standings if each.run_id == run_id), None)
    if its is None or its.has_place:
        return []
    if program.run_order == "scheduled":
        return [each for each in others if not each.is_queued or _by_time(each) < _by_time(its)]
    before = [
        each for each in others if not each.has_place and _wants(each) and _by_turn(each) < _by_turn(its)
    ]
    return [each for each in others if each.has_place] + before


def _is_of_cadence(standing: Standing) -> bool:
    """It stands for a due time, and is no second try at one."""
    return standing.is_due and not standing.makes_up


def _has_left_window(program: Program, standing: Standing, now: int) -> bool:
    """It was queued until its time was too far back."""
    end = window_end(program, standing.run_time)
    return end is not None and standing.is_queued and _is_of_cadence(standing) and now > end


def _given(program: Program, standings: Sequence[Standing], is_paused: bool) -> tuple[str, ...]:
    """Who gets a place now, in order."""
    if program.run_order == "scheduled":
        return _next_in_order(standings, is_paused)
    room = (program.max_active_runs or len(standings)) - sum(each.has_place for each in standings)
    wanting = [each for each in standings if _wants(each) and not _is_kept_back(each, is_paused)]
    return tuple(each.run_id for each in sorted(wanting, key=_by_turn)[: max(room, 0)])


def _next_in_order(standings: Sequence[Standing], is_paused: bool) -> tuple[str, ...]:
    """The first run of all, if it does not go on already; nobody else, whatever it waits for."""
    under_way = [each for each in standings if not each.is_queued]
    if under_way:
        return tuple(each.run_id for each in under_way if each.wants_place and not each.has_place)
    first = min(standings, key=_by_time, default=None)
    return () if first is None or _is_kept_back(first, is_paused) else (first.run_id,)


def _wants(standing: Standing) -> bool:
    return not standing.has_place and (standing.is_queued or standing.wants_place)


def _is_kept_back(standing: Standing, is_paused: bool) -> bool:
    return is_paused and standing.is_queued and (standing.is_due or standing.makes_up)


def _in_the_way(standings: Sequence[Standing]) -> tuple[str, ...]:
    """The oldest run that has a place and is not ending yet: it makes room, unless another one does already."""
    holders = [each for each in standings if each.has_place]
    if any(each.is_ending for each in holders) or not holders:
        return ()
    return (min(holders, key=_by_time).run_id,)


def _by_time(standing: Standing) -> tuple[int, int]:
    return standing.run_time, standing.generation


def _by_turn(standing: Standing) -> tuple[bool, int, int]:
    """Current runs before those that make up for something, each the oldest first."""
    return standing.makes_up, standing.run_time, standing.generation
