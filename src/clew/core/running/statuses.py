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
"""Nothing further starts. A person's `unpause` (or a window that opens) moves it on."""
HELD = "held"
"""A person is needed: `resume`, `retry`, `skip`, `stop`, `rollback` or `rewind` moves it on."""
ROLLING_BACK = "rolling_back"
"""Being undone. The driver moves it on."""
ROLLBACK_FAILED = "rollback_failed"
"""A rollback failed for good: a person is needed; `resume` or `retry` tries it again, `skip` goes on without it."""
COMPLETED = "completed"
"""Settled, like those below: it does not move any more, unless a person rolls it back or rewinds it."""
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
DRIVEN = frozenset({QUEUED, RUNNING, WAITING, PAUSED, ROLLING_BACK})
"""A run goes on from there by itself, or when something comes: it is driven by somebody, or is to be."""
NEEDS_PERSON = frozenset({HELD, ROLLBACK_FAILED})
"""A run goes on from there only when a person says so."""

_FORWARD = frozenset({RUNNING, WAITING, PAUSED})
_OUT_OF_FORWARD = frozenset({HELD, ROLLING_BACK, COMPLETED, FAILED})
_AGAIN = frozenset({ROLLING_BACK})
"""A settled run moves only when a person rolls it back or rewinds it."""

RUN_MOVES: dict[str, frozenset[str]] = {
    QUEUED: _FORWARD | _OUT_OF_FORWARD | {MISSED, SKIPPED},
    RUNNING: _FORWARD - {RUNNING} | _OUT_OF_FORWARD,
    WAITING: _FORWARD - {WAITING} | _OUT_OF_FORWARD,
    PAUSED: _FORWARD - {PAUSED} | _OUT_OF_FORWARD | {QUEUED},
    HELD: _FORWARD | {QUEUED, ROLLING_BACK, FAILED},
    ROLLING_BACK: _FORWARD | {QUEUED, HELD, ROLLBACK_FAILED, FAILED, ROLLED_BACK, MISSED},
    ROLLBACK_FAILED: frozenset({ROLLING_BACK, FAILED}),
    COMPLETED: _AGAIN, FAILED: _AGAIN, ROLLED_BACK: _AGAIN, MISSED: _AGAIN,
    SKIPPED: frozenset(),
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
    WAITING: frozenset({PENDING, STARTED, SKIPPED, FAILED, CANCELLED}),
    STARTED: frozenset({PENDING, VALIDATING, COMPLETED, FAILED, CANCELLED, SKIPPED}),
    VALIDATING: frozenset({PENDING, STARTED, COMPLETED, FAILED, CANCELLED, SKIPPED}),
    COMPLETED: frozenset({PENDING, ROLLING_BACK, ROLLBACK_FAILED}),
    FAILED: frozenset({PENDING, STARTED, SKIPPED, ROLLING_BACK, ROLLBACK_FAILED}),
    CANCELLED: frozenset({PENDING, STARTED, SKIPPED, ROLLING_BACK, ROLLBACK_FAILED}),
    ROLLING_BACK: frozenset({ROLLED_BACK, ROLLBACK_FAILED}),
    ROLLBACK_FAILED: frozenset({PENDING, ROLLING_BACK}),
    ROLLED_BACK: frozenset({PENDING}),
    SKIPPED: frozenset({PENDING, ROLLING_BACK, ROLLBACK_FAILED}),
}  # fmt: skip
"""A new pass makes a stage `pending` again, whatever it was. A person can give up a rollback that has not begun."""

# ---- how an attempt ends ---------------------------------------------------------------------------------

TIMED_OUT = "timed_out"
UNKNOWN = "unknown"
"""It can't be shown how, or whether, it ended. It may have acted."""
NOT_BEGUN = "not_begun"
"""Shown never to have begun: the one outcome that proves that nothing was done."""

OUTCOMES = (COMPLETED, FAILED, TIMED_OUT, CANCELLED, UNKNOWN, NOT_BEGUN)
