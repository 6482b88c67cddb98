"""What the witness has seen of a run and its stages: a fold of its own, apart from clew's."""

from __future__ import annotations

from typing import Any

from tests.simulation.programs import PretendProgram, PretendStage
from tests.simulation.timeline import Life

from clew.core.running.sealed_program import SealedProgram
from clew.core.running.state import RunState


class SeenStage:
    """One stage as its committed entries tell it."""

    def __init__(self, pretend: PretendStage) -> None:
        self.pretend = pretend
        self.done = ""
        self.is_over = False
        self.in_flight = 0
        self.ordered_by: Life | None = None
        self.outcomes: list[str] = []
        self.counted = 0
        self.interruptions = 0
        self.retry_at = 0
        self.completed_attempt = 0
        self.rollback_in_flight = 0
        self.rollback_attempts = 0
        self.is_undone = False

    @property
    def may_have_acted(self) -> bool:
        return any(outcome != "not_begun" for outcome in self.outcomes)

    @property
    def told(self) -> str:
        """The case its rollback is to be told: how its last attempt ended that may have acted."""
        return [outcome for outcome in self.outcomes if outcome != "not_begun"][-1]


class SeenRun:
    """One run as its committed entries tell it."""

    def __init__(self, run_id: str, pretend: PretendProgram, sealed: SealedProgram) -> None:
        self.run_id, self.pretend = run_id, pretend
        self.stages = {name: SeenStage(stage) for name, stage in pretend.stages.items()}
        self.shadow = RunState(sealed)
        self.entry_count = 0
        self.at = self.epoch = 0
        self.names: dict[str, Any] = {}
        self.held = self.failing = self.settled = ""
        self.validated: set[int] = set()
        self.planned: dict[str, tuple[int, str]] | None = None
        self.residue: set[str] = set()
        self.outputs: dict[str, dict[str, Any]] = {}
        """By attempt id, what it gave."""
