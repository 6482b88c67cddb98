"""How often what goes wrong, and a count of what did."""

from __future__ import annotations

from collections import Counter
from random import Random

FAULTS = (
    "store busy", "store busy when read", "store commit unknown, written", "store commit unknown, not written",
    "store flush failed, written", "store flush failed, not written", "store has such a run already",
    "crash before a record", "crash inside a record", "crash after a record", "crash while submitting",
    "crash anywhere", "crash while taking up", "orchestrator stopped", "orchestrator frozen and taken over",
    "orchestrator that only obeys", "clock forward", "clock back",
    "source not told", "source missing", "code swapped",
    "attempt failed", "attempt timed out", "attempt unknown", "attempt not begun", "attempt cancelled",
    "attempt acted and was killed", "attempt acted and failed", "cancel ignored", "late report", "duplicate report",
    "rollback failed", "rollback timed out", "rollback unknown", "rollback not begun", "rollback twice",
    "neighbours failed with it", "search missing", "search error", "search ambiguous",
    "test not held", "test error", "test without answer", "payload bucket out of order",
    "nothing can be kept", "nobody saw how it was left", "somebody changed an object", "changed since",
    "store busy when told", "crash before telling", "crash inside telling", "crash after telling", "crash when told",
    "told or not, not told", "told or not, told", "store busy when refusing", "crash before refusing",
    "crash after refusing", "refused or not, not refused", "refused or not, refused",
    "said and done: cancel", "said and done: stop", "said and done: pause", "said and done: unpause",
    "said and done: resume", "said and done: retry", "said and done: skip", "said and done: supply",
    "said and done: rollback", "said and done: rewind", "said and done: erase", "verb refused", "refused unread",
    "verb read twice, obeyed once", "verb to a settled run", "verb on the way back", "expired",
    "item failed", "items as many as may", "items of no list", "output of another kind",
    "input supplied early", "input supplied twice", "input too late", "missed",
    "returned by rollback.to", "rollback.to not followed", "several failed at once", "rewound",
    "ended on a partial way back", "forward over residue",
    "failed for want of what to put back", "rollback given up", "rollback skipped",
    "held: code changed", "held: code gone", "held: rollback failed", "held: changed since", "held: not undone",
    "held: point of no return",
    "heard of after all", "late report refused", "late report of a pass before refused",
)  # fmt: skip
"""Every class of what can go wrong, or be said at a bad moment. Each strikes somewhere in an ordinary run of the
lane, or the run is a failure."""


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
