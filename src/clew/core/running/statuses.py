"""The statuses of runs and stages, and the legal moves between them. One definition; SQL, docs and tests
are checked against it.
"""

from __future__ import annotations

# ---- of a run --------------------------------------------------------------------------------------------

QUEUED = "queued"
"""Created; nothing has been ordered yet. The driver moves it on."""
RUNNING = "running"
"""Going forward. The driver moves it on."""
WAITING = "waiting"
"""Nothing runs and nothing can start until missing data appears. The driver looks again and moves it on."""
PAUSED = "paused"
"""Nothing further starts. A person (or a window that opens) moves it on."""
HELD = "held"
"""A person is needed: `resume` moves it on."""
ROLLING_BACK = "rolling_back"
"""Being undone. The driver moves it on."""
ROLLBACK_FAILED = "rollback_failed"
"""A rollback failed for good: a person is needed; `resume` tries it again."""
COMPLETED = "completed"
FAILED = "failed"
"""Ended with something left standing: its residue says what."""
ROLLED_BACK = "rolled_back"
"""Ended with nothing left standing."""
MISSED = "missed"
SKIPPED = "skipped"

RUN_STATUSES = (
    QUEUED, RUNNING, WAITING, PAUSED, HELD, ROLLING_BACK, ROLLBACK_FAILED,
    COMPLETED, FAILED, ROLLED_BACK, MISSED, SKIPPED,
)  # fmt: skip
SETTLED = frozenset({COMPLETED, FAILED, ROLLED_BACK, MISSED, SKIPPED})

RUN_MOVES: dict[str, frozenset[str]] = {
    QUEUED: frozenset({RUNNING, WAITING, HELD, COMPLETED, ROLLING_BACK, FAILED, ROLLED_BACK}),
    RUNNING: frozenset({WAITING, HELD, ROLLING_BACK, COMPLETED, FAILED, ROLLED_BACK}),
    WAITING: frozenset({RUNNING, HELD, ROLLING_BACK, COMPLETED, FAILED, ROLLED_BACK}),
    PAUSED: frozenset({RUNNING, WAITING}),
    HELD: frozenset({RUNNING, WAITING, ROLLING_BACK}),
    ROLLING_BACK: frozenset({HELD, ROLLBACK_FAILED, FAILED, ROLLED_BACK}),
    ROLLBACK_FAILED: frozenset({ROLLING_BACK}),
    COMPLETED: frozenset(), FAILED: frozenset(), ROLLED_BACK: frozenset(), MISSED: frozenset(), SKIPPED: frozenset(),
}  # fmt: skip

# ---- of a stage (FAILED, ROLLING_BACK, ROLLED_BACK, ROLLBACK_FAILED, COMPLETED, SKIPPED, WAITING as above) -

PENDING = "pending"
"""Its block has not come yet, or it has not begun."""
STARTED = "started"
"""An attempt is under way, or the next one is due."""
VALIDATING = "validating"
"""It has executed; its conditions are being tested."""
CANCELLED = "cancelled"
"""Ended because the run goes back; what it did, if anything, is undone like the rest."""

STAGE_STATUSES = (
    PENDING, WAITING, STARTED, VALIDATING, COMPLETED, FAILED, ROLLING_BACK, ROLLED_BACK, ROLLBACK_FAILED,
    SKIPPED, CANCELLED,
)  # fmt: skip

STAGE_MOVES: dict[str, frozenset[str]] = {
    PENDING: frozenset({WAITING, STARTED, SKIPPED, FAILED, CANCELLED}),
    WAITING: frozenset({STARTED, FAILED, CANCELLED}),
    STARTED: frozenset({VALIDATING, COMPLETED, FAILED, CANCELLED}),
    VALIDATING: frozenset({STARTED, COMPLETED, FAILED, CANCELLED}),
    COMPLETED: frozenset({ROLLING_BACK}),
    FAILED: frozenset({ROLLING_BACK}),
    CANCELLED: frozenset({ROLLING_BACK}),
    ROLLING_BACK: frozenset({ROLLED_BACK, ROLLBACK_FAILED}),
    ROLLBACK_FAILED: frozenset({ROLLING_BACK}),
    ROLLED_BACK: frozenset(), SKIPPED: frozenset(),
}  # fmt: skip

# ---- how an attempt ends ---------------------------------------------------------------------------------

TIMED_OUT = "timed_out"
UNKNOWN = "unknown"
"""It can't be shown how, or whether, it ended. It may have acted."""
NOT_BEGUN = "not_begun"
"""Shown never to have begun: the one outcome that proves that nothing was done."""

OUTCOMES = (COMPLETED, FAILED, TIMED_OUT, CANCELLED, UNKNOWN, NOT_BEGUN)
