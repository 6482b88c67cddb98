"""Watches a history from outside and says what must never be: the promises, checked after every commit.

What it knows of a run it reads from the committed entries' bytes into the plain model, and from the outside log.
clew's own fold stands beside the model, to be compared with it and with the tracker's rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.simulation.agreeing import disagreements
from tests.simulation.backward import BACKWARD
from tests.simulation.effects import EffectsLog
from tests.simulation.forward import FORWARD
from tests.simulation.model import Run
from tests.simulation.outside import Outside
from tests.simulation.programs import PretendProgram
from tests.simulation.sayings import Sayings
from tests.simulation.telling import Told
from tests.simulation.timeline import Life
from tests.simulation.words import WORDS

from clew.buckets.memory import MemoryBucket
from clew.core.running import statuses
from clew.core.running.instructions import Instruction
from clew.core.running.sealed_program import SealedProgram
from clew.core.sealing.journal import read_entry
from clew.orchestrator.driven_run import run_row, stage_row
from clew.ports import PayloadRow, RunRecord
from clew.stores.sqlite import SqliteStore

MEANINGS: dict[str, Callable[[Told], None]] = {**FORWARD, **BACKWARD, **WORDS}
"""What each kind of entry says to the plain model."""

AFTER_SETTLING = frozenset({"run_taken", "rollback_requested", "rewind_requested", "payloads_erased"})


class Witness:
    """Told of every commit, every acknowledgement, every word that people say, and all that happens outside."""

    def __init__(
        self, outside: Outside, store: SqliteStore, bucket: MemoryBucket, fail: Callable[[str], None]
    ) -> None:
        self.outside, self._store, self._bucket, self._fail = outside, store, bucket, fail
        self.log = EffectsLog(self)
        self.sayings = Sayings(self)
        self.runs: dict[str, Run] = {}
        self.programs: dict[str, tuple[PretendProgram, SealedProgram]] = {}
        self.epochs: dict[str, int] = {}
        self.acknowledged: dict[str, int] = {}
        self.found: list[str] = []
        self.moved: Callable[[Run], None] = lambda run: None
        """Told of each run that has changed."""

    def check(self, holds: bool, what: str) -> None:
        if not holds:
            self.found.append(what)
            self._fail(what)

    def content_of(self, row: PayloadRow) -> str:
        """A payload's text, from the store or from where it was put before the entry that names it."""
        if row.content is not None:
            return row.content
        location = row.location or ""
        self.check(
            self._bucket.facts(location) is not None, f"the payload {location} is named and is not there"
        )
        return self._bucket.read(location, 2**30).decode()

    # ---- commits ----

    def taken(self, run_id: str, epoch: int) -> None:
        self.check(epoch > self.epochs.get(run_id, 1), f"{run_id}: epoch {epoch} was given out before")
        self.epochs[run_id] = epoch

    def said(self, instruction_id: str, run_id: str, instruction: Instruction) -> None:
        self.sayings.said(instruction_id, run_id, instruction)

    def read(self, life: Life, instruction_ids: list[str]) -> None:
        self.sayings.read(life.name, instruction_ids)

    def refused(self, life: Life, instruction_id: str, why: str) -> None:
        self.sayings.refused(life.name, instruction_id, why)

    def committed(self, life: Life, record: RunRecord) -> None:
        """These entries are in the store."""
        run_id = record.run_id
        current = self.epochs.setdefault(run_id, 1)
        self.check(
            record.epoch == current, f"{run_id}: {life} wrote under epoch {record.epoch}, it is {current}"
        )
        if record.created is not None:
            self.check(run_id not in self.runs, f"{run_id}: created twice")
            self.runs[run_id] = Run(run_id, *self.programs[record.created.version])
        run = self.runs[run_id]
        payloads = {row.seq: json.loads(self.content_of(row)) for row in record.payloads}
        answers = dict(record.obeyed)
        self.check(len(answers) == len(record.obeyed), f"{run_id}: one entry answers two instructions")
        for seq, content, _ in record.entries:
            self.check(seq == run.entry_count, f"{run_id}: entry {seq} where {run.entry_count} was to come")
            run.entry_count = seq + 1
            entry = json.loads(content)
            told = Told(self, life, run, seq, entry["body"], payloads.get(seq, {}))
            self._entry(told, entry, answers.pop(seq, None))
            self._fold(run, content)
            self.sayings.run_changed(run)
        self.check(not answers, f"{run_id}: {answers} are obeyed by entries that are not there")
        for what in disagreements(run):
            self.check(False, f"{run_id}: {what}")
        self._compare_rows(run)
        self._compare_answers(record)
        self._see_what_is_erased(run)
        self.moved(run)

    def _entry(self, told: Told, entry: dict[str, Any], instruction_id: str | None) -> None:
        run, kind = told.run, told.body["kind"]
        told.check(not run.settled or kind in AFTER_SETTLING, f"the run is {run.settled}")
        told.check(entry["at"] >= run.at, "time runs backwards in the journal")
        told.check(entry["epoch"] >= run.epoch, "the epoch falls")
        run.at, run.epoch = entry["at"], entry["epoch"]
        if kind in WORDS and kind != "run_expired" and (kind != "stage_skipped" or told.body.get("by")):
            self.sayings.check_entry(told, instruction_id)
        else:
            told.check(instruction_id is None, f"it answers {instruction_id}")
        MEANINGS[kind](told)

    def _fold(self, run: Run, content: str) -> None:
        """clew's own fold, whose moves must be legal."""
        shadow = run.shadow
        before = shadow.status, {name: unit.status for name, unit in shadow.units.items()}
        shadow.touched.clear()
        shadow.apply(read_entry(content.encode()))
        after = shadow.status
        legal = after == before[0] or after in statuses.RUN_MOVES[before[0]]
        self.check(legal, f"{run.run_id}: from {before[0]} to {after}")
        for name in shadow.touched & before[1].keys() & shadow.units.keys():
            was, status = before[1][name], shadow.units[name].status
            legal = status == was or status in statuses.STAGE_MOVES[was]
            self.check(legal, f"{run.run_id}: {name} from {was} to {status}")

    # ---- the tracker ----

    def _compare_rows(self, run: Run) -> None:
        """The tracker says what the journal says."""
        found = self._store.run(run.run_id)
        assert found is not None
        row = run_row(run.shadow)
        told = (found["status"], found["cause"], found["ended_at"], found["residue"])
        self.check(told == tuple(row)[:4], f"{run.run_id}: the tracker says {told}, the journal {row}")
        self.check(found["entry_count"] == run.entry_count, f"{run.run_id}: the count of entries is wrong")
        units = [unit for stage in run.shadow.stages.values() for unit in (stage, *(stage.items or ()))]
        rows = self._store.stages(run.run_id)
        self.check(
            len(units) == len(rows), f"{run.run_id}: {len(rows)} rows of {len(units)} stages and items"
        )
        for unit, columns in zip(units, rows, strict=False):
            told = tuple(columns[name] for name in _STAGE_COLUMNS)
            expected = tuple(stage_row(unit))[1:]
            self.check(
                told == expected, f"{run.run_id}: {columns['name']} is {told} in the tracker, not {expected}"
            )

    def _compare_answers(self, record: RunRecord) -> None:
        """What is obeyed is so in the store, by the same commit as its entry."""
        for seq, instruction_id in record.obeyed:
            row = self._store.instruction(instruction_id)
            told = row is not None and (row.answer, row.seq) == ("obeyed", seq)
            self.check(
                told, f"{record.run_id}: {instruction_id} is {row} in the store, obeyed by entry {seq}"
            )

    def _see_what_is_erased(self, run: Run) -> None:
        """By the commit of the entry that says so, and nothing else is."""
        if run.erased is None:
            return
        left = [row.seq for row in self._store.payloads(run.run_id)]
        self.check(all(seq >= run.erased for seq in left), f"{run.run_id}: of {left} some were erased")
        found = self._store.run(run.run_id)
        self.check(
            found is not None and found["erased_at"], f"{run.run_id}: its row does not say that it was erased"
        )

    # ---- who was told what ----

    def acknowledged_entry(self, run_id: str, seq: int) -> None:
        """Somebody was told that this entry is durable."""
        self.acknowledged[run_id] = max(seq, self.acknowledged.get(run_id, -1))

    def check_acknowledged(self) -> None:
        """What anybody was told of is in the store."""
        for run_id, seq in self.acknowledged.items():
            row = self._store.run(run_id)
            self.check(row is not None, f"{run_id}: acknowledged, and vanished")
            if row is not None:
                self.check(row["entry_count"] > seq, f"{run_id}: entry {seq} was acknowledged, and vanished")


_STAGE_COLUMNS = (
    "item", "pass", "status", "attempts", "outcome", "error_kind", "rollback_attempts", "started_at", "ended_at",
    "result_seq",
)  # fmt: skip
