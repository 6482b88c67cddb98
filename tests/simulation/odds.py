"""How often what goes wrong, and a count of what did."""

from __future__ import annotations

from collections import Counter
from random import Random

FAULTS = (
    "store busy", "store busy when read", "store commit unknown, written", "store commit unknown, not written",
    "store flush failed, written", "store flush failed, not written", "store has such a run already",
    "crash before a record", "crash inside a record", "crash after a record", "crash while submitting",
    "crash anywhere", "crash while taking up", "orchestrator stopped", "orchestrator frozen and taken over",
    "clock forward", "clock back",
    "attempt failed", "attempt timed out", "attempt unknown", "attempt not begun", "attempt cancelled",
    "attempt acted and was killed", "attempt acted and failed", "cancel ignored", "late report", "duplicate report",
    "rollback failed", "rollback timed out", "rollback unknown", "rollback not begun", "rollback twice",
    "search missing", "search error", "search ambiguous", "test not held", "test error", "test without answer",
    "code changed", "code gone", "payload bucket out of order",
)  # fmt: skip
"""Every class of fault. Each fires somewhere in an ordinary run of the lane, or the run is a failure."""


class Odds:
    """Draws faults. Each history has an intensity of its own; none is drawn once the faults are off."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self.intensity = chance.choice((0.0, 0.3, 1.0, 1.0, 2.0, 4.0))
        self.is_on = True
        self.fired: Counter[str] = Counter()

    def strike(self, fault: str, probability: float) -> bool:
        """Whether that fault happens now."""
        if not self.is_on or self._chance.random() >= probability * self.intensity:
            return False
        self.note(fault)
        return True

    def note(self, fault: str) -> None:
        assert fault in FAULTS, fault
        self.fired[fault] += 1
