"""Which points the ordinary run sweeps, of all that there are. The soak lane sweeps all, and more."""

from __future__ import annotations

from tests.crash.conftest import Passed, PassedBy
from tests.crash.faults import Point, Transaction
from tests.crash.judging import PERSONS_ENTRIES
from tests.crash.stories import Story, points_of, sample
from tests.crash.tellings import DRIVER, TELLER, Telling, points_by

POINTS = {
    "forward": 56,
    "backward": 64,
    "skipping": 24,
    "held": 32,
    "released": 24,
    "forward-resumed": 32,
    "backward-resumed": 40,
    "returning": 24,
    "each": 32,
    "restoring": 24,
    "meddling": 8,
    "mended": 16,
    "sourced": 32,
    "swapped": 16,
    "put-back": 16,
    "expiring": 40,
    "undone": 16,
    "rewound": 32,
    "asked-twice": 27,
    "erased": 24,
}
"""How many points of each story the ordinary run sweeps: 555 of some 1,700, to which come 62 by their own attempts,
those of the trip and those of two processes."""

TELLING_POINTS = {DRIVER: 10, TELLER: 6}
"""Of each of two processes, of each telling: 160 of some 900..."""
WORD_POINTS = 6
"""... so many of them, at the most, in the commits that say that the words were obeyed."""


def swept(story: Story, passed: Passed) -> list[Point]:
    """The points of a story's process that are swept."""
    points = sample(points_of(passed(story)), POINTS[story.name])
    assert len(points) == POINTS[story.name], "fewer points than there were: fewer are swept"
    return points


def swept_by(telling: Telling, role: str, passed_by: PassedBy) -> list[Point]:
    """The points of a telling's process of that role that are swept."""
    passed = passed_by(telling, role)
    there, beside = points_by(role, passed), kinds_beside(passed)
    words = [point for point in there if beside[point.transaction, point.number] & PERSONS_ENTRIES]
    chosen = sample(words, WORD_POINTS)
    points = [
        *chosen,
        *sample([point for point in there if point not in words], TELLING_POINTS[role] - len(chosen)),
    ]
    assert len(points) == TELLING_POINTS[role], "fewer points than there were: fewer are swept"
    return points


def kinds_beside(passed: list[Transaction]) -> dict[tuple[str, int], set[str]]:
    """For each kind and number: the kinds of the transaction that holds it."""
    beside: dict[tuple[str, int], set[str]] = {}
    counts: dict[str, int] = {}
    for transaction in passed:
        for kind in transaction.kinds:
            counts[kind] = counts.get(kind, 0) + 1
            beside[kind, counts[kind]] = set(transaction.kinds)
    return beside
