"""What is known of one stage of a run, or of one of its items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from clew.core.running import statuses
from clew.core.running.sealed_program import SealedStage

NOTHING: Mapping[str, Any] = MappingProxyType({})


class StageState:
    """A stage, or an item of one; `name` is the stage's, or `stage[n]`. Moments are milliseconds since 1970, 0 for
    none yet. All of it is of the pass under way, except that the numbers of attempts go on from pass to pass.

    The defaults stand in the class: most stages of most runs change few of them. What every stage that looks, starts
    and ends comes to change is set when it is made, too: then CPython keeps the names once for all stages (PEP 412),
    which takes 200 bytes for each instead of 900.
    """

    status = statuses.PENDING
    pass_number = 1
    """Which way forward through this stage it is, counted by the run's passes."""
    when: bool | None = None
    found = False
    looks = 0
    look_again_at = 0
    attempts = 0
    """The number of the last attempt, re-executions included; of a stage with items the largest among them."""
    attempts_before = 0
    """The number of the last attempt of the passes before."""
    tried = 0
    """Attempts that count against `retry`."""
    interruptions = 0
    in_flight = False
    retry_at = 0
    executed_at = 0
    """When the last attempt under `retry` had executed: the clocks of the conditions start here."""
    may_have_acted = False
    outcome = ""
    outcomes: tuple[str, ...] = ()
    error_kind = ""
    inputs: Mapping[str, int] = NOTHING
    is_pinned = False
    code: Mapping[str, str] = NOTHING
    now_at = 0
    """The stage's `now`: when it first looked for its data or began, the same for all its attempts."""
    started_at = 0
    started_still = executed_still = 0
    """How long the run had stood still when it started, and when it had executed."""
    ended_at = 0
    written_seq = -1
    """The entry whose payload holds the outputs that count; -1 while there is none."""
    kept_seq = -1
    """The entry that says which objects were kept; -1 while none were."""
    left_seq = -1
    """The entry that says how the last attempt left those objects."""
    rollback_attempts = 0
    rollback_tried = 0
    rollback_interruptions = 0
    rollback_not_begun = 0
    """How many of the last tries, in a row, did not begin."""
    rollback_in_flight = False
    rollback_error_kind = ""
    rollback_outcome = ""
    """How the last try at the rollback ended."""
    rollback_retry_at = 0
    rollback_is_over = False
    """It is rolled back, or nobody will try that any more."""
    items: Sequence[StageState] | None = None
    items_left = 0
    """How many of its items are not completed."""
    items_to_undo = 0
    """How many of its items are to be undone on the way back that is under way, and are not yet."""
    items_not_undone = 0
    """How many of them have a rollback that failed for good, or was given up."""
    next_item = 0
    """The first item that has not begun: all before it have."""

    def __init__(self, sealed: SealedStage, parent: StageState | None = None, index: int = -1) -> None:
        self.sealed = sealed
        self.parent = parent
        """The stage of which this is an item."""
        self.index = index
        self.name = sealed.stage.name if parent is None else f"{sealed.stage.name}[{index}]"
        self.status = statuses.PENDING
        self.looks = self.look_again_at = self.attempts = self.tried = self.retry_at = 0
        self.now_at = self.started_at = self.started_still = self.executed_at = self.executed_still = 0
        self.ended_at = 0
        self.written_seq = -1
        self.in_flight = self.may_have_acted = self.is_pinned = False
        self.outcome = self.error_kind = ""
        self.outcomes = ()
        self.inputs = self.code = NOTHING

    @property
    def whole(self) -> StageState:
        """The stage itself, also of an item."""
        return self if self.parent is None else self.parent

    @property
    def is_for_each(self) -> bool:
        """It is done once for each of several values."""
        return self.parent is None and self.sealed.stage.for_each is not None

    @property
    def units(self) -> Sequence[StageState]:
        """What is executed and undone by itself: the stage's items, or the stage."""
        if self.items is not None:
            return self.items
        return () if self.is_for_each else (self,)

    @property
    def open_items(self) -> Iterator[StageState]:
        """Its items that have begun and are not done."""
        return iter(self._open.values())

    @property
    def open_count(self) -> int:
        return len(self._open)

    def make_items(self, count: int) -> None:
        """It is done for so many values."""
        self.items = [StageState(self.sealed, self, index) for index in range(count)]
        self._open: dict[int, StageState] = {}
        self.items_left = count
        for item in self.items:
            item.now_at = self.now_at
            item.pass_number = self.pass_number

    def open_item(self, item: StageState) -> None:
        """The item has begun."""
        self._open[item.index] = item
        assert self.items is not None
        while self.next_item < len(self.items) and self._has_begun(self.items[self.next_item]):
            self.next_item += 1

    def close_item(self, item: StageState) -> None:
        """The item is done, for better or worse."""
        self._open.pop(item.index, None)

    def reopen_item(self, item: StageState, *, has_begun: bool) -> None:
        """The item begins again; one that had not begun when it ended waits for its turn."""
        if has_begun:
            self._open[item.index] = item
        else:
            self.next_item = min(self.next_item, item.index)

    def items_not_begun(self) -> Iterator[StageState]:
        """The items that have not begun, in order. One may have begun before another that comes first: what each
        needs is there when it is there."""
        items = self.items or ()
        for index in range(self.next_item, len(items)):
            if not self._has_begun(items[index]):
                yield items[index]

    def _has_begun(self, item: StageState) -> bool:
        return item.status != statuses.PENDING or item.index in self._open

    @property
    def attempt_numbers(self) -> range:
        """The numbers of this pass' attempts, as many as there are outcomes."""
        first = self.attempts_before + 1
        return range(first, first + len(self.outcomes))
