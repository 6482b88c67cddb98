"""The outside log against the journals: nothing begins or acts but what is recorded, told of the right map, and what
a run is called at its end is what stands outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tests.simulation.model import Run
from tests.simulation.outside import LOOKS, Attempt, unit_of
from tests.simulation.units import Left, Unit

from clew.ports import AttemptRequest

if TYPE_CHECKING:
    from tests.simulation.witness import Witness


class Keyed(NamedTuple):
    """What an idempotency key stands for."""

    run_id: str
    unit: str
    pass_number: int


class EffectsLog:
    """Told of every attempt that begins or acts."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self._begun_ids: set[str] = set()
        self._keys: dict[str, Keyed] = {}
        self._keyed: dict[Keyed, str] = {}
        self._rollback_keys: dict[str, Keyed] = {}
        self._standing: dict[str, dict[Left, bool]] = {}
        """By run, what was done and not undone since."""

    def _check(self, holds: object, what: str) -> None:
        self._witness.check(bool(holds), what)

    # ---- what begins ----

    def begun(self, attempt: Attempt) -> None:
        """An attempt has begun outside: its order must be durable, by who drives the run, with the right map."""
        request = attempt.request
        who = f"{request.attempt_id} of {attempt.life}"
        if request.work != "fetch":
            self._code_is_right(request, who)
        if request.work in LOOKS:
            is_alone = not any(
                each.request.attempt_id == request.attempt_id and each.life is attempt.life
                for each in self._witness.outside.alive if each is not attempt
            )  # fmt: skip
            self._check(is_alone, f"{who} began while another of that name was under way")
            return
        self._check(request.attempt_id not in self._begun_ids, f"{who} began twice")
        self._begun_ids.add(request.attempt_id)
        twins = [
            each.request.attempt_id for each in self._witness.outside.alive
            if each is not attempt and each.request.work not in LOOKS
            and (each.request.run_id, unit_of(each.request)) == (request.run_id, unit_of(request))
        ]  # fmt: skip
        self._check(not twins, f"{who} began while {twins} had not ended")
        run = self._witness.runs.get(request.run_id)
        unit = run.units.get(unit_of(request)) if run else None
        if run is None or unit is None:
            self._check(False, f"{who} began before it was recorded")
            return
        number = int(request.attempt_id.rpartition(".")[2])
        in_flight = unit.rollback_in_flight if request.work == "rollback" else unit.in_flight
        is_ordered = in_flight == number and unit.ordered_by is attempt.life
        self._check(is_ordered, f"{who} began before its order was recorded")
        if is_ordered:
            self._key_is_right(run, unit, attempt, who)
            self._map_is_right(run, unit, attempt, who)

    def _code_is_right(self, request: AttemptRequest, who: str) -> None:
        """It is told of the code that the first attempt of its pass pinned, and of no other."""
        if request.source is None:
            return
        run = self._witness.runs.get(request.run_id)
        unit = run.units.get(unit_of(request)) if run else None
        pinned = unit.whole.pinned if unit is not None else ""
        self._check(
            pinned and request.source.digest == pinned,
            f"{who} runs {request.source.digest}, pinned is {pinned}",
        )

    def _key_is_right(self, run: Run, unit: Unit, attempt: Attempt, who: str) -> None:
        """One key for a stage, item and pass, and no other has it; the rollback's own beside it the same."""
        keyed = Keyed(run.run_id, unit.name, unit.pass_number)
        key = attempt.request.idempotency_key
        self._check(
            self._keyed.setdefault(keyed, key) == key, f"{who} has the key {key}, others of it another"
        )
        self._check(self._keys.setdefault(key, keyed) == keyed, f"{who} has the key of {self._keys[key]}")
        if attempt.request.work == "rollback":
            own = attempt.request.scope["rollback_idempotency_key"]
            self._check(own not in self._keys, f"{who} has a key for its rollback that is no rollback's")
            known = self._rollback_keys.setdefault(own, keyed)
            self._check(known == keyed, f"{who} has the rollback key of {known}")

    def _map_is_right(self, run: Run, unit: Unit, attempt: Attempt, who: str) -> None:
        scope, stage = attempt.request.scope, unit.pretend.stage
        told = {
            name: run.names.get(name) for name in (*stage.inputs, *(one.name for one in stage.dependencies))
        }
        if unit.parent is not None:
            told["item"], told["index"] = (unit.parent.values or ())[unit.index], unit.index
        if attempt.request.work == "rollback":
            told["outcome"] = unit.told
            first = unit.attempts_before + 1
            kept, left = attempt.request.kept, attempt.request.left
            self._check(list(kept) == list(unit.kept or ()), f"{who} is told of {kept}, kept was {unit.kept}")
            self._check(left == unit.left_so, f"{who} is told of {left}, left was {unit.left_so}")
            told["attempts"] = [
                {"attempt": number, "outcome": outcome} for number, outcome in enumerate(unit.outcomes, first)
            ]
            given = {} if unit.parent is not None else run.names  # by whoever skipped it, if anybody did
            told.update(
                (each.name, unit.outputs.get(each.name, given.get(each.name))) for each in stage.outputs
            )
        for name, value in told.items():
            self._check(name in scope, f"{who} is not told of {name}")
            self._check(scope.get(name) == value, f"{who} is told {name}={scope.get(name)}, it is {value}")

    def key_of(self, run: Run, unit: Unit) -> str | None:
        """The key under which that was done in this pass."""
        return self._keyed.get(Keyed(run.run_id, unit.name, unit.pass_number))

    # ---- what acts ----

    def acted(self, attempt: Attempt) -> None:
        """It acts now: that must be within what is recorded as in flight."""
        request = attempt.request
        run = self._witness.runs.get(request.run_id)
        unit = run.units.get(unit_of(request)) if run else None
        if run is None or unit is None:
            self._check(False, f"{request.attempt_id} acted, and is not recorded")
            return
        self._check(not run.settled, f"{request.attempt_id} acted after its run was {run.settled}")
        in_flight = unit.rollback_in_flight if request.work == "rollback" else unit.in_flight
        number = int(request.attempt_id.rpartition(".")[2])
        self._check(in_flight == number, f"{request.attempt_id} acted, and is not in flight by the journal")
        standing = self._standing.setdefault(run.run_id, {})
        if request.work == "rollback":
            self._nothing_needs(run, unit, standing)
            standing[unit.left] = False
        else:
            standing[unit.left] = True

    def _nothing_needs(self, run: Run, unit: Unit, standing: dict[Left, bool]) -> None:
        """Nothing that was made of its data stands, unless nobody can or will undo that; nothing after it has acted
        that can't be undone."""
        for other in run.acting_units:
            needs = {*other.pretend.needs.values(), *other.pretend.after}
            is_kept = other.pretend.undo != "commands" or other.is_given_up
            if unit.pretend.name in needs and not is_kept:
                self._check(
                    not standing.get(other.left), f"{unit.name} is undone, and {other.name} stands on it"
                )
            if other.pretend.undo == "impossible" and other.level >= unit.level:
                is_done = standing.get(other.left)
                self._check(not is_done, f"{unit.name} is undone, and {other.name} can't be")

    # ---- what is left ----

    def check_settled(self, run: Run) -> None:
        """What the run is called at its end is what the outside log says of it."""
        told = f"{run.run_id}: called {run.settled}, but"
        standing = {left for left, stands in self._standing.get(run.run_id, {}).items() if stands}
        counted = {left for left in standing if self._stage_of(run, left).undo != "none"}
        if run.settled == "completed":
            completed = {
                unit.left
                for stage in run.stages.values() if stage.status == "completed"
                for unit in stage.units
            }  # fmt: skip
            self._check(completed <= standing, f"{told} {sorted(completed - standing)} does not stand")
            current = {unit.left for unit in run.acting_units}
            old = {left for left in counted if left not in current}
            self._check(
                old <= run.left.keys(), f"{told} {old} stands of passes before, residue is {run.left}"
            )
            return
        if run.settled in ("rolled_back", "missed"):
            self._check(not counted, f"{told} {sorted(counted)} still stands")
            self._check(not run.left, f"{told} {run.left} may still stand")
        else:
            self._check(counted <= run.left.keys(), f"{told} {counted} stands and the residue is {run.left}")
            self._check(run.left or run.ending == "stopped", f"{told} nothing is left standing")
        certain = {
            left for left, is_certain in run.left.items() if is_certain and not self._was_tried(run, left)
        }
        self._check(certain <= standing, f"{told} of {run.left} certainly stand {sorted(standing)} alone")

    def _was_tried(self, run: Run, left: Left) -> bool:
        """A try at its rollback was made, which may have undone it whatever was heard of it."""
        return left in run.tried_to_undo

    def _stage_of(self, run: Run, left: Left) -> Any:
        return run.pretend.stages[left.unit.partition("[")[0]]
