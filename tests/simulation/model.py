"""The plain model: what a run's committed entries amount to, kept apart from clew's own fold.

It knows a program as `programs` drew it, and of clew nothing but the names of entries, statuses and outcomes. The
entries change it in `forward`, `backward` and `words`, which also say what must hold before each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from tests.simulation.programs import PretendProgram
from tests.simulation.units import Left, Unit

from clew.core.running.sealed_program import SealedProgram
from clew.core.running.state import RunState

DONE = frozenset({"completed", "skipped"})
OPEN = frozenset({"pending", "waiting", "started", "validating"})


class Way(NamedTuple):
    """Back to and including block `to`; `forward` from there, as one of `declared_by` has it; or not, since an
    effect that can't be undone lies in the way."""

    to: int
    forward: bool = False
    declared_by: frozenset[str] = frozenset()
    is_barred: bool = False


class Run:
    """One run as its committed entries tell it. `shadow` is clew's own fold of the same entries."""

    def __init__(self, run_id: str, pretend: PretendProgram, sealed: SealedProgram) -> None:
        self.run_id, self.pretend = run_id, pretend
        self.shadow = RunState(sealed)
        self.stages = {name: Unit(stage) for name, stage in pretend.stages.items()}
        self.units = dict(self.stages)
        self.entry_count = 0
        self.at = self.epoch = 0
        self.pass_number = 1
        self.level = 1
        """The block under way; one more than there are when all are done."""
        self.validated: set[int] = set()
        self.names: dict[str, Any] = {}
        self.written: dict[str, int] = {}
        """By name, the entry that wrote it."""
        self.supplied: dict[str, tuple[Any, int]] = {}
        """By input, its value and the entry that says it."""
        self.has_moved = self.has_started = self.is_paused = self.was_settled = False
        self.ending = self.rewind_to = self.cause = ""
        self.held = self.held_stage = self.settled = ""
        self.block_failed = 0
        self.is_crossing_accepted = False
        self.returns: Counter[str] = Counter()
        self.planned: dict[str, tuple[int, str]] | None = None
        """What is to be undone: the unit's block, and the case its rollback is told."""
        self.goes_back_to, self.goes_on = 1, False
        self.left: dict[Left, bool] = {}
        """What has no rollback or was given up, of all passes: and whether it certainly stands."""
        self.outcomes: dict[tuple[str, int, bool], str] = {}
        """How every attempt and try at a rollback ended, by unit, number and whether it was a rollback."""
        self.refused: set[tuple[str, int, bool]] = set()
        self.tried_to_undo: set[Left] = set()
        self.erased: int | None = None
        """The entry by which the payloads of all before it were erased."""
        self.rests: list[str] = []
        """What it was called each time it settled."""

    # ---- how it goes forward ----

    def of_level(self, level: int) -> Iterator[Unit]:
        for stage in self.stages.values():
            if stage.level == level:
                yield stage

    def move(self, unit: Unit, status: str) -> None:
        unit.status = status
        self.has_moved = True
        if unit.parent is None and status in DONE:
            self.close_levels()

    def close_levels(self) -> None:
        """Go on to the next block if this one is done, and valid."""
        if self.level > self.pretend.level_count:
            return
        is_done = all(stage.status in DONE for stage in self.of_level(self.level))
        if is_done and (self.level not in self.pretend.condition_levels or self.level in self.validated):
            self.level += 1

    def write(self, names: dict[str, Any], seq: int) -> None:
        self.names.update(names)
        self.written.update(dict.fromkeys(names, seq))

    def values_of(self, stage: Unit) -> Any:
        """For what the stage is to be done, as the map has it."""
        each = stage.pretend.each
        return self.names.get(each) if isinstance(each, str) else each

    def fail(self) -> None:
        self.ending = self.ending or "failure"

    def go_on(self) -> None:
        """A person has said so: what failed and is not tried again still ends the way forward, and so does a rewind."""
        was_barred = self.held == "point_of_no_return"
        self.held = self.held_stage = ""
        if self.planned is not None:
            if was_barred:  # it goes forward again, as was planned
                self.ending = "rewind" if self.rewind_to else "failure"
            return
        if self.ending:
            is_failed = any(stage.status == "failed" for stage in self.of_level(self.level))
            has_failed = "failure" if is_failed or self.block_failed else ""
            self.ending = "rewind" if self.rewind_to else has_failed
        self.was_settled = False
        if not self.ending:
            self._begin_cancelled_again()

    def _begin_cancelled_again(self) -> None:
        for stage in list(self.of_level(self.level)):
            for unit in (*(stage.items or ()), stage) if stage.status != "skipped" else ():
                if unit.status == "cancelled":
                    self.begin_where_it_was(unit)

    def try_again(self, unit: Unit) -> None:
        """What failed for good begins again."""
        if unit.status == "failed":
            for item in unit.items or ():
                self.try_again(item)
            self.begin_where_it_was(unit)

    def begin_where_it_was(self, unit: Unit) -> None:
        """With fresh retries; what had not come to an attempt from the start."""
        unit.counted = unit.interruptions = 0
        unit.retry_at = unit.look_again_at = self.at
        has_begun = unit.items is not None or unit.attempts > unit.attempts_before
        if not has_begun and unit.parent is None:
            unit.when, unit.is_found, unit.now = None, False, 0
        self.move(unit, "started" if has_begun else "pending")

    def end_items(self, stage: Unit) -> None:
        """None of its items begins any more."""
        for item in stage.items or ():
            if item.status in OPEN:
                self.move(item, "cancelled")

    def end(self, ending: str) -> None:
        """The way forward ends by somebody's word, also that of a run that had settled; then what was given up is
        tried again."""
        self.ending, self.held, self.held_stage, self.has_moved = ending, "", "", True
        if ending in ("stopped", "rollback"):
            self.rewind_to = ""
        if self.settled:
            self.settled = self.cause = ""
            self.planned = None
            self.was_settled = True
            for unit in self.units.values():
                unit.is_given_up = False
            self.roll_back_again(list(self.acting_units))

    def roll_back_again(self, units: Sequence[Unit]) -> None:
        """Failed rollbacks are tried again, with fresh retries."""
        for unit in units:
            if unit.has_failed_to_roll_back:
                unit.rollback_counted = unit.rollback_interruptions = 0
                unit.rollback_at = self.at
                self.move(unit, "rolling_back")
                self.follow_items(unit)

    def follow_items(self, unit: Unit) -> None:
        """A stage is rolled back when all its items are that have to be."""
        stage = unit.parent
        if stage is None:
            return
        planned = [item.status for item in stage.items or () if item.name in (self.planned or {})]
        if "rollback_failed" in planned:
            self.move(stage, "rollback_failed")
        else:
            self.move(stage, "rolled_back" if set(planned) == {"rolled_back"} else "rolling_back")

    @property
    def status(self) -> str:
        """The word for all this in the tracker."""
        if self.settled:
            return self.settled
        if self.held:
            return "rollback_failed" if self.held == "rollback_failed" else "held"
        if self.planned is not None or self.was_settled:
            return "rolling_back"
        if self.is_paused:
            return "paused"
        if not self.has_moved:
            return "queued"
        found = {stage.status for stage in self.stages.values()}
        return "waiting" if "waiting" in found and not found & {"started", "validating"} else "running"

    # ---- how it goes back ----

    @property
    def acting_units(self) -> Iterator[Unit]:
        """All that is executed and undone by itself, in the pass under way."""
        for stage in self.stages.values():
            yield from stage.units

    @property
    def barrier(self) -> int:
        """The last block in which something acted that can't be undone; 0 if there is none."""
        lasting = (unit for unit in self.acting_units if unit.pretend.undo == "impossible")
        return max((unit.level for unit in lasting if unit.may_have_acted), default=0)

    @property
    def way(self) -> Way:
        """How far it goes back, its way forward having ended."""
        way = self._way_told()
        if self.barrier < way.to:
            return way
        if self.ending == "rollback":
            return Way(self.barrier + 1)
        return way._replace(is_barred=True)

    def _way_told(self) -> Way:
        if self.ending == "rewind":
            return Way(self.stages[self.rewind_to].level, forward=True)
        if self.ending != "failure" or self.block_failed:
            return Way(1)
        failed = [stage for stage in self.of_level(self.level) if stage.status == "failed"]
        targets = {stage.name: self._target(stage) for stage in failed}
        if not targets or not all(targets.values()):
            return Way(1)
        to = min(targets.values())
        return Way(to, True, frozenset(name for name, target in targets.items() if target == to))

    def _target(self, stage: Unit) -> int:
        """The block to which it says to go back; 0 if it does not, or has said so often enough."""
        rollback = stage.pretend.stage.rollback
        if rollback.to is None or self.returns[stage.name] >= rollback.attempts:
            return 0
        return self.stages[rollback.to].level

    @property
    def is_going_back(self) -> bool:
        """What is under way is to be ended."""
        return self.ending == "stopped" or (bool(self.ending) and not self.way.is_barred)

    @property
    def not_undone(self) -> dict[str, tuple[int, str]]:
        """What was planned to be undone and is not, whether it was given up or its turn is still to come."""
        planned = self.planned or {}
        return {name: told for name, told in planned.items() if not self.units[name].is_undone}

    @property
    def not_undone_in_turn(self) -> list[str]:
        """What is still to be undone before the way back is done."""
        return [name for name in self.not_undone if not self.units[name].is_given_up]

    @property
    def residue(self) -> dict[Left, bool]:
        """What has been left standing, or may have been, as things are now."""
        waiting = [self.units[name] for name in self.not_undone]
        return {**self.left, **{unit.left: unit.is_certain for unit in waiting}}

    @property
    def crossed(self) -> list[Left]:
        """Of the residue what the run would go over again, going forward from where it has come back to."""
        return [
            left
            for left in self.residue
            if (unit := self.units.get(left.unit)) is not None
            and unit.pass_number == left.pass_number
            and unit.level >= self.goes_back_to
        ]

    def undoes_before(self, unit: Unit) -> Iterable[Unit]:
        """Who must be undone, or given up, before that one is: all that needs its stage's data and acted."""
        for other in self.acting_units:
            needs = {*other.pretend.needs.values(), *other.pretend.after}
            if unit.pretend.name in needs and other.stands and other.pretend.undo == "commands":
                yield other

    def begin_pass(self, level: int) -> None:
        """Forward again from that block: what was, has been."""
        self.left = {
            left: certain for left, certain in self.residue.items() if not self._is_kept(left, level)
        }
        self.pass_number += 1
        self.planned, self.goes_back_to, self.goes_on = None, 1, False
        self.ending = self.rewind_to = self.cause = ""
        self.block_failed, self.was_settled, self.is_crossing_accepted = 0, False, False
        self.level = level
        self.validated = {index for index in self.validated if index < level}
        for stage in [stage for stage in self.stages.values() if stage.level >= level]:
            self._begin_again(stage)

    def _is_kept(self, left: Left, level: int) -> bool:
        """It was done on the way that leads to that block, and is the run's own again."""
        unit = self.units.get(left.unit)
        return unit is not None and unit.pass_number == left.pass_number and unit.level < level

    def _begin_again(self, stage: Unit) -> None:
        for name in stage.pretend.writes:
            self.names.pop(name, None)
            self.written.pop(name, None)
            if stage.is_found:
                self.supplied.pop(name, None)
        all_of_it = [stage, *(stage.items or ())]
        for unit in all_of_it:
            del self.units[unit.name]
        fresh = Unit(
            stage.pretend,
            pass_number=self.pass_number,
            attempts=max(unit.attempts for unit in all_of_it),
            rollbacks=max(unit.rollbacks for unit in all_of_it),
        )
        self.stages[stage.name] = self.units[stage.name] = fresh
