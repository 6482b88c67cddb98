"""Each instruction is obeyed or refused, once and rightly: what people have said, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.simulation.model import Run
from tests.simulation.telling import Told
from tests.simulation.words import KINDS, ON_THE_SPOT, can

from clew.core.running.instructions import Instruction

if TYPE_CHECKING:
    from tests.simulation.witness import Witness


@dataclass
class Saying:
    """An instruction that stands in the store."""

    instruction_id: str
    run_id: str
    instruction: Instruction
    was_impossible: dict[str, bool] = field(default_factory=dict)
    """By who has read it: whether there was a moment since at which the run could not do so."""
    answer: str = ""


class Sayings:
    """Sees to it that each instruction is obeyed or refused, once, and rightly."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self._all: dict[str, Saying] = {}
        self.waiting: dict[str, Saying] = {}

    def waiting_of(self, run_id: str) -> list[Saying]:
        return [saying for saying in self.waiting.values() if saying.run_id == run_id]

    def said(self, instruction_id: str, run_id: str, instruction: Instruction) -> None:
        """It is in the store."""
        self._witness.check(instruction_id not in self._all, f"{instruction_id} was said twice")
        saying = Saying(instruction_id, run_id, instruction)
        self._all[instruction_id] = self.waiting[instruction_id] = saying

    def read(self, reader: str, instruction_ids: list[str]) -> None:
        """An orchestrator has read what waits."""
        self._witness.check(
            set(instruction_ids) == self.waiting.keys(), "the store tells of other instructions"
        )
        for saying in self.waiting.values():
            if reader not in saying.was_impossible:
                run = self._witness.runs[saying.run_id]
                saying.was_impossible[reader] = not can(run, saying.instruction)

    def run_changed(self, run: Run) -> None:
        for saying in self.waiting.values():
            if saying.run_id == run.run_id and not can(run, saying.instruction):
                saying.was_impossible = dict.fromkeys(saying.was_impossible, True)

    def check_entry(self, told: Told, instruction_id: str | None) -> None:
        """An entry by which a person's word is obeyed; before it changes the model."""
        body = told.body
        if body.get("by", ON_THE_SPOT) == ON_THE_SPOT:
            told.check(instruction_id is None, f"it answers {instruction_id}")
            return
        saying = self.waiting.get(instruction_id or "")
        if saying is None:
            told.check(False, f"it answers {instruction_id}, which does not wait")
            return
        said = saying.instruction
        skipped = ("stage_skipped", "rollback_skipped")[told.run.planned is not None]
        expected = skipped if said.verb == "skip" else KINDS[said.verb]
        told.check(body["kind"] == expected, f"it answers {said}")
        told.check(body["by"] == said.by, f"{said.by} had said so")
        told.check(said.verb == "supply" or body.get("stage", "") == said.stage, f"it answers {said}")
        told.check(told.payload.get("reason", "") == said.reason, f"its reason was {said.reason!r}")
        told.check(saying.run_id == told.run.run_id, f"it was said to {saying.run_id}")
        told.check(can(told.run, said), f"the run could not {said.verb} {said.stage} as it was")
        self._answered(saying, "obeyed")
        self._note(saying, told)

    def _note(self, saying: Saying, told: Told) -> None:
        run, verb = told.run, saying.instruction.verb
        told.note(f"said and done: {verb}")
        if len(saying.was_impossible) > 1:
            told.note("verb read twice, obeyed once")
        if run.settled:
            told.note("verb to a settled run")
        elif run.planned is not None:
            told.note("verb on the way back")

    def refused(self, reader: str, instruction_id: str, why: str) -> None:
        """It was refused, as the store has it: since the run can't, or since nobody could read what it had said."""
        saying = self.waiting.get(instruction_id)
        if saying is None:
            self._witness.check(False, f"{instruction_id} was refused, and had been answered")
            return
        said = saying.instruction
        told = (
            f"{saying.run_id}: {said.verb} {said.stage} {dict(said.values)} was refused by {reader} ({why})"
        )
        is_unreadable = why.endswith("can't be read: pretended")
        is_right = saying.was_impossible.get(reader, False) or is_unreadable
        self._witness.check(is_right, f"{told}, and could have been obeyed")
        self._answered(saying, "refused")
        self._witness.outside.odds.note("refused unread" if is_unreadable else "verb refused")

    def _answered(self, saying: Saying, answer: str) -> None:
        saying.answer = answer
        del self.waiting[saying.instruction_id]

    def check_answers(self, answer_of: Callable[[str], Any]) -> None:
        """The history is over: the store has the answer to each, and the entry that says it."""
        for saying in self._all.values():
            row = answer_of(saying.instruction_id)
            told = (
                f"{saying.run_id}: {saying.instruction.verb} is {row} in the store, and was {saying.answer}"
            )
            self._witness.check(row is not None and row.answer == (saying.answer or None), told)
