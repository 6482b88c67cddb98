"""Stages and items by the plain model: what the entries of the pass under way tell of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.simulation.stages import PretendStage
from tests.simulation.timeline import Life


class Unit:
    """A stage, or an item of one, as its entries of the pass under way tell it.

    `attempts` and `rollbacks` are the numbers of the last ones, of passes before where there is none yet.
    """

    def __init__(
        self, pretend: PretendStage, parent: Unit | None = None, index: int = -1, *,
        pass_number: int = 1, attempts: int = 0, rollbacks: int = 0,
    ) -> None:  # fmt: skip
        self.pretend, self.parent, self.index = pretend, parent, index
        self.name = pretend.name if parent is None else f"{pretend.name}[{index}]"
        self.pass_number = pass_number
        self.status = "pending"
        self.when: bool | None = None
        self.now = 0
        self.looks = 0
        self.look_again_at = 0
        self.is_found = False
        self.error_kind = ""
        self.values: Sequence[Any] | None = None
        """For what its items are."""
        self.items: list[Unit] | None = None
        self.attempts_before = self.attempts = attempts
        self.in_flight = 0
        self.ordered_by: Life | None = None
        self.outcomes: list[str] = []
        self.counted = 0
        self.interruptions = 0
        self.retry_at = 0
        self.outputs: dict[str, Any] = {}
        """What its last completed attempt gave; or, once they are gathered, its items."""
        self.outputs_seq = -1
        self.pinned = ""
        """The digest of the code that it fetches, as its first attempt pinned it."""
        self.kept: Any = None
        """What was kept before it began; None where nothing was."""
        self.kept_seq = self.left_seq = -1
        self.left_so: Any = None
        """How its last attempt left that, as far as anybody knows."""
        self.rollbacks = rollbacks
        self.rollback_in_flight = 0
        self.rollback_counted = 0
        self.rollback_interruptions = 0
        self.rollback_at = 0
        self.rollback_outcome = self.rollback_error_kind = ""
        self.is_undone = False
        self.is_given_up = False

    @property
    def whole(self) -> Unit:
        return self if self.parent is None else self.parent

    @property
    def level(self) -> int:
        return self.pretend.level

    @property
    def units(self) -> Sequence[Unit]:
        """What is executed and undone by itself."""
        if self.items is not None:
            return self.items
        return (self,) if self.pretend.each is None else ()

    @property
    def may_have_acted(self) -> bool:
        return bool(self.in_flight) or any(outcome != "not_begun" for outcome in self.outcomes)

    @property
    def stands(self) -> bool:
        """It may have left something that nobody has undone, or given up."""
        is_over = self.is_undone or self.is_given_up
        return self.may_have_acted and self.pretend.undo != "none" and not is_over

    @property
    def told(self) -> str:
        """The case its rollback is to be told: how its last attempt ended that may have acted."""
        return [outcome for outcome in self.outcomes if outcome != "not_begun"][-1]

    @property
    def has_failed_to_roll_back(self) -> bool:
        return self.status == "rollback_failed" and not self.is_given_up

    @property
    def left(self) -> Left:
        return Left(self.name, self.pass_number)

    @property
    def is_certain(self) -> bool:
        return "completed" in self.outcomes


class Left(NamedTuple):
    """What a unit did in one pass."""

    unit: str
    pass_number: int
