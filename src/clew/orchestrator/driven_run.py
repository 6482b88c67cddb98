"""A run while it is driven: its folded state, the values of its variables map, and what is to be recorded.

The state is the journal's and nothing else's; the values stand beside it, since what they are never steers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from clew.core.running.decide import stands_still
from clew.core.running.entries import Body, Entry
from clew.core.running.rollback import residue_of
from clew.core.running.sealed_program import SealedProgram
from clew.core.running.stage_state import StageState
from clew.core.running.state import NONE, RunState
from clew.core.sealing.canonical import payload_digest
from clew.core.sealing.journal import Head, read_entry
from clew.core.sealing.leaves import CLOSE, OPEN, LeafKind
from clew.ports import Advanced, Erased, NewRun, PayloadRow, RunRecord, RunRow, StageRow, Timer

Json = Any
Observer = Callable[[Entry, RunState], None]
"""Told of each entry once it is durable."""

SALT_SIZE = 16
"""Bytes of salt of a payload: enough that a small value can't be guessed from its digest."""

T = TypeVar("T")
Few = list[T] | tuple[()]
"""None, most of the time, and then not even an empty list."""

NOTHING: AbstractSet[Any] = frozenset()
NO_OUTPUTS: dict[str, Mapping[str, Json]] = {}
NONE_OF_ANY: Mapping[str, int] = {}

ORIGINS_KEPT_MAX = 1_000
"""About as many as there are programs."""

NO_TRIES = (0, 0)
"""Of what was asked of a bucket: how often in vain, and when it is asked again."""

encode_payload = msgspec.json.encode


class DrivenRun:
    """One run in the hands of this orchestrator."""

    __slots__ = (
        "alarm",
        "asked",
        "awaited_by",
        "created",
        "entries",
        "epoch",
        "erased",
        "error",
        "facts",
        "fetch_tries",
        "fetched",
        "head",
        "is_being_recorded",
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
        "unanswered",
        "values",
        "waits_for",
        "wakes_at",
        "written_at",
    )

    def __init__(self, program: SealedProgram, run_id: str, *, epoch: int, origin: Origin) -> None:
        self.state = RunState(program)
        self.state.run_id = run_id
        self.epoch = epoch
        self.origin = origin
        self.head = Head(run_id, 0, program.plan_hash)
        self.created: NewRun | None = None
        self.is_ready = False
        self.is_being_recorded = False
        """What it wrote is on its way to the store: until its fate is known it has no turn."""
        self.written_at = 0
        self.is_launch_recorded = not program.has_places
        """The tracker's row says when it was launched: one that needs no place is when it is made."""
        self.row: RunRow | None = None
        """The run's row of the tracker as it was last written."""
        self.error: Exception | None = None
        """Why this orchestrator drives the run no more: another one does, or it could not be created."""
        self.observer: Observer | None = None
        self.outputs: dict[str, Mapping[str, Json]] = NO_OUTPUTS
        """What the last completed attempt of each stage and item gave, for its own conditions and rollback."""
        self.unanswered: Mapping[str, int] = NONE_OF_ANY
        """How often in a row a bucket had no answer for a stage that looks for its data."""
        self.wakes_at = 0
        """When it is woken, by `waking`; 0: never."""
        self.alarm: Timer | None = None
        """What has its turn come when time brings something about."""
        self.asked: AbstractSet[Any] = NOTHING
        """What was asked of the world and has not been answered: searches, tests, ends."""
        self.look_now: AbstractSet[str] = NOTHING
        """The stages that look for their data before they are due."""
        self.facts: Few[Any] = ()
        """What came in since the last turn."""
        self.entries: Few[Entry] = ()
        """What was written and is not recorded yet."""
        self.rows: Few[tuple[int, str, str]] = ()
        """The same as it is stored: seq, content, hash."""
        self.payloads: Few[PayloadRow] = ()
        self.outbox: Few[Any] = ()
        """What to do once these entries are durable."""
        self.obeyed: Few[tuple[int, str]] = ()
        """The instructions that these entries say: seq and id."""
        self.erased: Erased | None = None
        """What these entries have erased."""
        self.refused: Few[tuple[str, str]] = ()
        """The instructions that the run can't obey, id and why; told once these entries are durable."""
        self.awaited_by: Few[Callable[[], None]] = ()
        """How those are told who wait for its rest."""

    # Most of these most runs need for a moment, or never, and there may be a hundred thousand runs that wait: each is
    # made when it is first asked for, and what has become empty again may be deleted.

    values: dict[str, Json]
    """The variables map as it stands going forward."""
    items: dict[str, list[Json]]
    """The values for each of which a stage is done."""
    supplied: dict[str, Json]
    """The inputs that were supplied."""
    kept: dict[str, Sequence[Mapping[str, Json]]]
    """Which objects were kept for each stage and item."""
    left: dict[str, Mapping[str, str | None] | None]
    """How the last attempt left these objects, as far as anybody knows."""
    keep_tries: dict[str, tuple[int, int]]
    """How often in vain a bucket was asked to give them, and when it is asked again."""
    fetched: dict[str, Mapping[str, Json]]
    """What the source of each stage is, of which no attempt has been ordered yet: its digest, files and size."""
    fetch_tries: dict[str, tuple[int, int]]
    """How often that could not be found out, and when it is tried again."""
    waits_for: dict[str, Any]
    """With whom a stage waits for its data (see `waiting.Waiting`)."""
    sightings: dict[str, dict[tuple[str, str], Any]]
    """What a stage has seen that may still be being written, by dependency and key (see `waiting.Sighting`)."""
    said_in_vain: dict[str, tuple[str, ...]]
    """What the last recorded look of a stage in vain said: the verdict, and of which dependencies."""
    rounds: dict[Any, Any]
    """Of conditions that are tested, by stage, item or block."""

    if not TYPE_CHECKING:  # else no misspelt attribute would be found

        def __getattr__(self, name: str) -> Any:
            try:
                made = _MADE_WHEN_NEEDED[name]()
            except KeyError:
                raise AttributeError(name) from None
            setattr(self, name, made)
            return made

    @property
    def recorded_seq(self) -> int:
        """The last entry that is on record; -1 for none."""
        return self.state.seq - len(self.entries)

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
            self.payloads = more(
                self.payloads, PayloadRow(self.head.seq, payload.salt, text, payload.location)
            )
        block_hash = self.state.program.chain[block - 1].hash if block else ""
        entry, stored = self.head.link(body, at=at, epoch=self.epoch, block=block_hash, payload=digest)
        self.state.apply(entry)
        row = (entry.seq, stored.content.decode(), stored.hash)
        if isinstance(self.entries, list) and isinstance(self.rows, list):
            self.entries.append(entry)
            self.rows.append(row)
        else:
            self.entries, self.rows = [entry], [row]
        return entry

    def record(self) -> RunRecord:
        """All that this turn wrote, for one transaction."""
        state = self.state
        units = state.units
        changed = [stage_row(units[name]) for name in state.touched]
        stages: Sequence[StageRow] = changed
        items: Sequence[StageRow] = ()
        if len(units) != len(state.stages) or state.dropped:
            stages = [row for row in changed if row.item < 0]
            items = [row for row in changed if row.item >= 0]
        return RunRecord(
            state.run_id,
            self.epoch,
            self.head.seq - len(self.rows),
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
            self._leaves(),
            self.erased,
        )

    def _leaves(self) -> Sequence[LeafKind]:
        """A run is in the tree from the first moment on, and with each length in which it is settled."""
        if self.state.is_settled:
            return (OPEN, CLOSE) if self.created is not None else (CLOSE,)
        return (OPEN,) if self.created is not None else ()

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

    def recorded(self) -> Few[Entry]:
        """The record is durable: forget it, and say what it held."""
        entries = self.entries
        self.entries = self.rows = self.payloads = self.obeyed = ()
        self.created = self.erased = None
        self.state.touched.clear()
        self.state.dropped = NONE
        if not self.is_launch_recorded:
            self.is_launch_recorded = bool(self.state.launched_at)
        return entries

    def erase(self, entry: Entry) -> None:
        """By that entry all payloads before it are gone."""
        self.erased = Erased(entry.seq, entry.at)
        self._forget_values()

    def _forget_values(self) -> None:
        """Nothing is known of what was erased; from then on the run only goes back, and has no values."""
        self.outputs = NO_OUTPUTS
        for known in (self.values, self.items, self.supplied, self.kept, self.left):
            known.clear()

    def forget(self, stages: Iterable[StageState]) -> None:
        """These stages begin again: whatever is known of their pass before is not known any more."""
        for stage in stages:
            for name in stage.sealed.own_names:
                self.values.pop(name, None)
                if stage.found:
                    self.supplied.pop(name, None)
            self.answered(("fetch", stage.name))
            for of_stage in (self.items, self.fetched, self.fetch_tries):
                of_stage.pop(stage.name, None)
            self.rounds.pop(stage.sealed.block, None)
            for unit in {stage.name: stage, **{item.name: item for item in stage.units}}.values():
                for known in (self.outputs, self.kept, self.left, self.rounds, self.keep_tries):
                    known.pop(unit.name, None)

    # ---- what came in, and what is on its way ----

    def notice(self, fact: Any) -> None:
        """A fact came in, for the run's next turn."""
        self.facts = more(self.facts, fact)

    def order(self, what: Any) -> None:
        """Have that done once what this turn wrote is durable."""
        self.outbox = more(self.outbox, what)

    def gave(self, name: str, outputs: Mapping[str, Json]) -> None:
        """An attempt of that stage or item has completed, and these are its outputs."""
        if self.outputs is NO_OUTPUTS:
            self.outputs = {}
        self.outputs[name] = outputs

    def ask(self, key: Any) -> None:
        """The world was asked that, and owes the answer."""
        if isinstance(self.asked, set):
            self.asked.add(key)
        else:
            self.asked = {key}

    def answered(self, key: Any) -> None:
        """It has answered, or does not have to any more."""
        if isinstance(self.asked, set):
            self.asked.discard(key)
            self.asked = self.asked or NOTHING

    # ---- taking up again ----

    def restore(self, journal: list[tuple[str, str]], payloads: Mapping[int, Mapping[str, Json]]) -> None:
        """Fold a stored journal and fetch the values that its entries wrote. `payloads`: by `seq`."""
        for content, _ in journal:
            entry = read_entry(content.encode())
            self.state.apply(entry)
            self.written_at = entry.at
        self.state.touched.clear()
        self.state.dropped = NONE
        self.is_launch_recorded = bool(self.state.launched_at)
        self.state.run_id = self.head.run  # the same text as elsewhere, instead of its own
        self.head = Head(self.head.run, self.state.seq + 1, journal[-1][1])
        self.values = dict(payloads.get(0, {}).get("variables", {}))
        for name, stage in self.state.units.items():
            if stage.written_seq >= 0:
                said = payloads.get(stage.written_seq, {})
                self.gave(name, said.get("variables" if stage.parent is None else "outputs", {}))
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
        if self.state.erased is not None:
            self._forget_values()


_MADE_WHEN_NEEDED: Mapping[str, Callable[[], Any]] = {
    "fetch_tries": dict, "fetched": dict, "items": dict, "keep_tries": dict, "kept": dict, "left": dict,
    "rounds": dict, "said_in_vain": dict, "sightings": dict, "supplied": dict,
    "values": dict, "waits_for": dict,
}  # fmt: skip


def more(known: Few[T], one: T) -> list[T]:
    """The same with one more."""
    if isinstance(known, list):
        known.append(one)
        return known
    return [one]


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a run came from, as far as its attempts need it: the folder of the program's code, and the buckets
    that the request named. Not hashed: it says where things are on this machine, not what was done."""

    folder: str = ""
    buckets: dict[str, str] = {}


@lru_cache(maxsize=ORIGINS_KEPT_MAX)
def origin_of(text: str) -> Origin:
    """The origin as the store has it: one for all runs that came from there."""
    return msgspec.json.decode(text, type=Origin)


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
