"""How verbs end: the exit codes, and which one a run's status gives."""

from __future__ import annotations

from collections.abc import Iterable

DONE = 0
"""A run: completed. `verify`: sound."""
FAILED = 1
"""A run: something is left standing. `verify`: tampered. `replay`: differs."""
WRONG_CALL = 2
"""A wrong call, a bad program, or input that can't be used: nothing was done."""
NO_RESULT = 3
"""Ended without result and nothing left standing. `verify`: evidence is incomplete."""
PERSON_NEEDED = 4
NOT_FINISHED = 5
INTERRUPTED = 130

_BY_STATUS = {
    "completed": DONE,
    "failed": FAILED,
    "rolled_back": NO_RESULT,
    "missed": NO_RESULT,
    "skipped": NO_RESULT,
    "held": PERSON_NEEDED,
    "rollback_failed": PERSON_NEEDED,
}
_WORST_FIRST = (NOT_FINISHED, PERSON_NEEDED, FAILED, NO_RESULT, DONE)


def of_status(status: str) -> int:
    """The exit code of a run in that status."""
    return _BY_STATUS.get(status, NOT_FINISHED)


def worst(codes: Iterable[int]) -> int:
    """The exit code of many runs: that of the one which most needs to be looked at."""
    found = set(codes)
    return next((code for code in _WORST_FIRST if code in found), DONE)
