"""A run while it is driven: its folded state, the values of its variables map, and what is to be recorded.

The state is the journal's and nothing else's; the values stand beside it, since what they are never steers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from clew.core.running.decide import stands_still
from clew.core.running.entries import Body, Entry
from clew.core.running.rollback import residue_of
from clew.core.running.sealed_program import SealedProgram
from clew.core.running.stage_state import StageState
from clew.core.running.state import RunState
from clew.core.sealing.canonical import payload_digest
from clew.core.sealing.journal import Head, read_entry
from clew.ports import Advanced, ListingName, NewRun, PayloadRow, RunRecord, RunRow, StageRow, Timer

Json = Any
Observer = Callable[[Entry, RunState], None]
"""Told of each entry once it is durable."""

SALT_SIZE = 16
"""Bytes of salt of a payload: enough that a small value can't be guessed from its digest."""

NO_TRIES = (0, 0)
"""Of what was asked of a bucket: how often in vain, and when it is asked again."""

encode_payload = msgspec.json.encode


class DrivenRun:
    """One run in the hands of this orchestrator."""

    __slots__ = (
        "asked",
        "awaited_by",
        "created",
        "entries",
        "epoch",
        "error",
        "facts",
        "fetch_tries",
        "fetched",
        "head",
        "is_launch_recorded",
        "is_ready",
        "items",
        "keep_tries",
        "kept",
        "left",
        "look_now",
        "obeyed",
        "observer",
        "origin",
        "outbox",
        "outputs",
        "payloads",
        "refused",
        "rounds",
        "row",
        "rows",
        "said_in_vain",
        "sightings",
        "state",
        "supplied",
        "timers",
        "unanswered",
        "values",
        "waits_for",
        "written_at",
    )

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
        """What the last completed attempt of each stage and item gave, for its own conditions and rollback."""
        self.items: dict[str, list[Json]] = {}
        """The values for each of which a stage is done."""
        self.supplied: dict[str, Json] = {}
        """The inputs that were supplied."""
        self.kept: dict[str, Sequence[Mapping[str, Json]]] = {}
        """Which objects were kept for each stage and item."""
        self.left: dict[str, Mapping[str, str | None] | None] = {}
        """How the last attempt left these objects, as far as anybody knows."""
        self.keep_tries: dict[str, tuple[int, int]] = {}
        """How often in vain a bucket was asked to give them, and when it is asked again."""
        self.fetched: dict[str, Mapping[str, Json]] = {}
        """What the source of each stage is, of which no attempt has been ordered yet: its digest, files and size."""
        self.fetch_tries: dict[str, tuple[int, int]] = {}
        """How often that could not be found out, and when it is tried again."""
        self.facts: list[Any] = []
        """What came in since the last turn."""
        self.is_ready = False
        self.timers: dict[Any, Timer] = {}
        self.asked: set[Any] = set()
        """What was asked of the world and has not been answered: searches, tests, ends."""
        self.waits_for: dict[str, tuple[ListingName, ...]] = {}
        """The listings in which what a stage waits for did not stand, as far as this orchestrator has looked."""
        self.unanswered: dict[str, int] = {}
        """How often in a row a bucket had no answer for a stage that looks for its data."""
        self.sightings: dict[str, dict[tuple[str, str], Any]] = {}
        """What a stage has seen that may still be being written, by dependency and key (see `waiting.Sighting`)."""
        self.said_in_vain: dict[str, tuple[str, ...]] = {}
        """What the last recorded look of a stage in vain said: the verdict, and of which dependencies."""
        self.look_now: set[str] = set()
        """The stages that look for their data before they are due."""
        self.rounds: dict[Any, Any] = {}
        self.entries: list[Entry] = []
        """What was written and is not recorded yet."""
        self.rows: list[tuple[int, str, str]] = []
        """The same as it is stored: seq, content, hash."""
        self.payloads: list[PayloadRow] = []
        self.outbox: list[Any] = []
        """What to do once these entries are durable."""
        self.obeyed: list[tuple[int, str]] = []
        """The instructions that these entries say: seq and id."""
        self.refused: list[tuple[str, str]] = []
        """The instructions that the run can't obey, id and why; told once these entries are durable."""
        self.written_at = 0
        self.is_launch_recorded = not program.has_places
        """The tracker's row says when it was launched: one that needs no place is when it is made."""
        self.row: RunRow | None = None
        """The run's row of the tracker as it was last written."""
        self.error: Exception | None = None
        """Why this orchestrator drives the run no more: another one does, or it could not be created."""
        self.observer: Observer | None = None
        self.awaited_by: list[Callable[[], None]] = []
        """How those are told who wait for its rest."""

    @property
    def is_at_rest(self) -> bool:
        """It is on record that the run is settled, or that it waits for a person, with nothing in flight."""
        state = self.state
        if self.entries or not (state.is_settled or state.held):
            return False
        return not any(unit.in_flight or unit.rollback_in_flight for unit in state.units.values())

    @property
    def stands_still(self) -> bool:
        """It is on record that the run is paused, and nothing of it goes on until somebody says that it does."""
        return not self.entries and stands_still(self.state)

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
        units = state.units
        changed = [stage_row(units[name]) for name in state.touched]
        if len(units) == len(state.stages) and not state.dropped:
            stages, items = changed, list[StageRow]()
        else:
            stages = [row for row in changed if row.item < 0]
            items = [row for row in changed if row.item >= 0]
        return RunRecord(
            state.run_id,
            self.epoch,
            self.rows[0][0],
            self.rows,
            self.payloads,
            Advanced(self.head.seq, self.head.hash),
            self._changed_row(),
            stages,
            self.created,
            items,
            sorted(state.dropped) if state.dropped else (),
            self.obeyed,
            self._launch(),
        )

    def _launch(self) -> int | None:
        """When the run was launched, if that is not on record."""
        if self.is_launch_recorded or not self.state.launched_at:
            return None
        return self.state.launched_at

    def _changed_row(self) -> RunRow | None:
        """The run's row of the tracker, if it is another than the one that was written last."""
        state, known = self.state, self.row
        is_as_it_was = known is not None and state.status == known.status and state.cause == known.cause
        if is_as_it_was and state.undo is None and not state.ended_at:
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
        if self.obeyed:
            self.obeyed = []
        self.state.touched.clear()
        self.state.dropped.clear()
        if not self.is_launch_recorded:
            self.is_launch_recorded = bool(self.state.launched_at)
        return entries

    def forget(self, stages: Iterable[StageState]) -> None:
        """These stages begin again: whatever is known of their pass before is not known any more."""
        for stage in stages:
            for name in stage.sealed.own_names:
                self.values.pop(name, None)
                if stage.found:
                    self.supplied.pop(name, None)
            self.asked.discard(("fetch", stage.name))
            for of_stage in (self.items, self.fetched, self.fetch_tries):
                of_stage.pop(stage.name, None)
            self.rounds.pop(stage.sealed.block, None)
            for unit in {stage.name: stage, **{item.name: item for item in stage.units}}.values():
                for known in (self.outputs, self.kept, self.left, self.rounds, self.keep_tries):
                    known.pop(unit.name, None)

    # ---- taking up again ----

    def restore(self, journal: list[tuple[str, str]], payloads: Mapping[int, Mapping[str, Json]]) -> None:
        """Fold a stored journal and fetch the values that its entries wrote. `payloads`: by `seq`."""
        for content, _ in journal:
            entry = read_entry(content.encode())
            self.state.apply(entry)
            self.written_at = entry.at
        self.state.touched.clear()
        self.state.dropped.clear()
        self.is_launch_recorded = bool(self.state.launched_at)
        self.head = Head(self.state.run_id, self.state.seq + 1, journal[-1][1])
        self.values = dict(payloads.get(0, {}).get("variables", {}))
        for name, stage in self.state.units.items():
            if stage.written_seq >= 0:
                said = payloads.get(stage.written_seq, {})
                self.outputs[name] = said.get("variables" if stage.parent is None else "outputs", {})
            if stage.kept_seq >= 0:
                self.kept[name] = payloads.get(stage.kept_seq, {}).get("kept", ())
                self.left[name] = payloads.get(stage.left_seq, {}).get("left")
            defaults = defaults_of(stage).items()
            self.values.update((output, value) for output, value in defaults if output in self.state.written)
        for name, seq in self.state.supplied.items():
            self.supplied[name] = payloads.get(seq, {}).get("supplied")
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
    residue = state.residue if state.is_settled or state.undo is None else residue_of(state)
    text = encode_payload(residue).decode() if residue else "[]"
    return RunRow(state.status, state.cause, state.ended_at or None, text)


def stage_row(stage: StageState) -> StageRow:
    """The row of a stage, or of an item, of the tracker."""
    return StageRow(
        stage.sealed.position,
        stage.index,
        stage.pass_number,
        stage.status,
        stage.attempts,
        stage.outcome,
        stage.error_kind,
        stage.rollback_attempts,
        stage.started_at or None,
        stage.ended_at or None,
        stage.written_seq if stage.written_seq >= 0 else None,
    )
