"""What a checker is told with an entry, and how it says what must never be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.simulation.model import Run
from tests.simulation.timeline import Life
from tests.simulation.units import Unit

if TYPE_CHECKING:
    from tests.simulation.witness import Witness


@dataclass(frozen=True, slots=True)
class Told:
    """A committed entry, with what its run was before it."""

    witness: Witness
    life: Life
    run: Run
    seq: int
    body: dict[str, Any]
    payload: dict[str, Any]

    @property
    def unit(self) -> Unit:
        return self.run.units[self.body["stage"]]

    def check(self, holds: object, what: str) -> None:
        self.witness.check(bool(holds), f"{self.run.run_id}: entry {self.seq}, {self.body['kind']}: {what}")

    def note(self, fault: str) -> None:
        self.witness.outside.odds.note(fault)
