"""A run while it is driven: its folded state, the values of its variables map, and what is to be recorded.

The state is the journal's and nothing else's; the values stand beside it, since what they are never steers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from clew.core.running import statuses
from clew.core.running.entries import Body, Entry
from clew.core.running.rollback import residue_of
from clew.core.running.sealed_program import SealedProgram
from clew.core.running.state import RunState, StageState
from clew.core.sealing.canonical import payload_digest
from clew.core.sealing.journal import Head, read_entry
from clew.ports import Advanced, NewRun, PayloadRow, RunRecord, RunRow, StageRow, Timer

Json = Any
Observer = Callable[[Entry, RunState], None]
"""Told of each entry once it is durable."""

SALT_SIZE = 16
"""Bytes of salt of a payload: enough that a small value can't be guessed from its digest."""

encode_payload = msgspec.json.encode


class DrivenRun:
    """One run in the hands of this orchestrator."""

    __slots__ = (
        "asked", "created", "entries", "epoch", "error", "facts", "head", "is_ready", "observer", "origin", "outbox",
        "outputs", "payloads", "rounds", "row", "rows", "settled", "state", "timers", "values", "written_at",
    )  # fmt: skip

    def __init__(self, program: SealedProgram, run_id: str, *, epoch: int, origin: Origin) -> None:
        self.state = RunState(program)
        self.state.run_id = run_id
        self.epoch = epoch
        self.origin = origin
        self.head = Head(run_id, 0, program.plan_hash)
        self.created: NewRun | None = None
        self.values: dict[str, Json] = {}
        """The variables map as it stands going forward."""
        self.outputs: dict[str, Mapping[str, Json]] = {}
        """What each stage's last completed attempt gave, for its own conditions and rollback."""
        self.facts: list[Any] = []
        """What came in since the last turn."""
        self.is_ready = False
        self.timers: dict[Any, Timer] = {}
        self.asked: set[Any] = set()
        """What was asked of the world and has not been answered: searches, tests, ends."""
        self.rounds: dict[Any, Any] = {}
        self.entries: list[Entry] = []
        """What was written and is not recorded yet."""
        self.rows: list[tuple[int, str, str]] = []
        """The same as it is stored: seq, content, hash."""
        self.payloads: list[PayloadRow] = []
        self.outbox: list[Any] = []
        """What to do once these entries are durable."""
        self.written_at = 0
        self.row: RunRow | None = None
        """The run's row of the tracker as it was last written."""
        self.error: Exception | None = None
        """Why this orchestrator drives the run no more: another one does, or it could not be created."""
        self.observer: Observer | None = None
        self.settled: Callable[[], None] | None = None

    @property
    def is_at_rest(self) -> bool:
        """It is on record that the run is settled, or that it waits for a person, with nothing in flight."""
        state = self.state
        if self.entries or not (state.is_settled or state.held):
            return False
        return not any(stage.in_flight or stage.rollback_in_flight for stage in state.stages.values())

    # ---- recording ----

    def write(self, body: Body, *, at: int, block: int = 0, payload: PayloadContent | None = None) -> Entry:
        """Append an entry and take it into the state. It is durable only when `record` has been written.

        An entry's moment is never before that of the one before, whatever the clock does.
        """
        if at < self.written_at:
            at = self.written_at
        self.written_at = at
        digest = ""
        if payload is not None:
            digest = payload_digest(payload.salt, payload.content)
            text = None if payload.location else payload.content.decode()
            self.payloads.append(PayloadRow(self.head.seq, payload.salt, text, payload.location))
        block_hash = self.state.program.chain[block - 1].hash if block else ""
        entry, stored = self.head.link(body, at=at, epoch=self.epoch, block=block_hash, payload=digest)
        self.state.apply(entry)
        self.entries.append(entry)
        self.rows.append((entry.seq, stored.content.decode(), stored.hash))
        return entry

    def record(self) -> RunRecord:
        """All that this turn wrote, for one transaction."""
        state = self.state
        stages = state.stages
        return RunRecord(
            state.run_id,
            self.epoch,
            self.rows[0][0],
            self.rows,
            self.payloads,
            Advanced(self.head.seq, self.head.hash),
            self._changed_row(),
            [stage_row(stages[name]) for name in state.touched],
            self.created,
        )

    def _changed_row(self) -> RunRow | None:
        """The run's row of the tracker, if it is another than the one that was written last."""
        state, known = self.state, self.row
        if known is not None and state.undo is None and state.status == known.status and not state.ended_at:
            return None
        row = run_row(state)
        if row == known:
            return None
        self.row = row
        return row

    def recorded(self) -> list[Entry]:
        """The record is durable: forget it, and say what it held."""
        entries, self.entries, self.rows, self.created = self.entries, [], [], None
        if self.payloads:
            self.payloads = []
        self.state.touched.clear()
        return entries

    # ---- taking up again ----

    def restore(self, journal: list[tuple[str, str]], payloads: Mapping[int, Mapping[str, Json]]) -> None:
        """Fold a stored journal and fetch the values that its entries wrote. `payloads`: by `seq`."""
        for content, _ in journal:
            entry = read_entry(content.encode())
            self.state.apply(entry)
            self.written_at = entry.at
        self.state.touched.clear()
        self.head = Head(self.state.run_id, self.state.seq + 1, journal[-1][1])
        self.values = dict(payloads.get(0, {}).get("variables", {}))
        for stage in self.state.stages.values():
            if stage.written_seq >= 0:
                self.outputs[stage.sealed.stage.name] = payloads.get(stage.written_seq, {}).get(
                    "variables", {}
                )
            if stage.status == statuses.SKIPPED:
                self.values.update(defaults_of(stage))
        for name, seq in self.state.written.items():
            variables = payloads.get(seq, {}).get("variables", {})
            if name in variables:
                self.values[name] = variables[name]


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a run came from, as far as its attempts need it: the folder of the program's code, and the buckets
    that the request named. Not hashed: it says where things are on this machine, not what was done."""

    folder: str = ""
    buckets: dict[str, str] = {}


class PayloadContent(msgspec.Struct, frozen=True):
    """A payload's bytes, exactly as they are hashed, and where they were put if that is not the store."""

    salt: bytes
    content: bytes
    location: str | None = None


def defaults_of(stage: StageState) -> dict[str, Json]:
    """The outputs that a skipped stage still has."""
    return {output.name: output.default for output in stage.sealed.stage.outputs if output.has_default}


def run_row(state: RunState) -> RunRow:
    """The run's row of the tracker."""
    if state.undo is None:
        return RunRow(state.status, state.cause, state.ended_at or None, "[]")
    residue = state.residue if state.is_settled else residue_of(state)
    text = encode_payload(residue).decode()
    return RunRow(state.status, state.cause, state.ended_at or None, text)


def stage_row(stage: StageState) -> StageRow:
    """The stage's row of the tracker."""
    return StageRow(
        stage.sealed.position,
        stage.status,
        stage.attempts,
        stage.outcome,
        stage.error_kind,
        stage.rollback_attempts,
        stage.started_at or None,
        stage.ended_at or None,
        stage.written_seq if stage.written_seq >= 0 else None,
    )
