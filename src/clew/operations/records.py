"""The record of runs, read: rows of the tracker, journals, payloads. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Protocol

import msgspec

from clew.core.program.model import Json, Program
from clew.core.running import statuses
from clew.core.running.entries import Entry, PassBegun, PayloadsErased, RunCreated, StageSkipped
from clew.core.running.sealed_program import SealedProgram
from clew.core.running.state import RunState
from clew.core.sealing.journal import read_entry
from clew.operations.requests import RequestError
from clew.ports import (
    Access,
    Bucket,
    BucketError,
    InstructionRow,
    Leases,
    PayloadRow,
    Removals,
    RunRow,
    Schedules,
    StageRow,
    StandingRow,
    StoreBusy,
    StoreError,
    Tree,
)

PAYLOAD_SIZE_MAX = 64 * 1024 * 1024
"""The largest payload that is read back: four times what an attempt may give out."""

REST = statuses.SETTLED | statuses.NEEDS_PERSON
"""In these statuses nothing happens by itself."""

Row = dict[str, Any]


class Tracker(Protocol):
    """What reading needs of a store. Any call may raise StoreError."""

    def program(self, version: str) -> str | None: ...

    def chain(self, version: str) -> list[tuple[int, str, str]]: ...

    def last_version(self, program: str) -> str | None: ...

    def journal(self, run_id: str, after: int = -1) -> list[tuple[str, str]]: ...

    def payloads(self, run_id: str) -> list[PayloadRow]: ...

    def payload(self, run_id: str, seq: int) -> PayloadRow | None: ...

    def run(self, run_id: str) -> Row | None: ...

    def last_run(
        self, program: str, *, run_time: int | None = None, status: str | None = None, besides: str = ""
    ) -> Row | None: ...

    def run_ids_like(self, text: str) -> list[str]: ...

    def run_ids(self) -> list[str]: ...

    def runs(
        self,
        *,
        program: str | None = None,
        status: str | None = None,
        before: tuple[int, str] | None = None,
        limit: int,
    ) -> list[Row]: ...

    def stages(self, run_id: str) -> list[Row]: ...

    def instructions(self) -> list[tuple[str, str, str]]: ...

    def instruction(self, instruction_id: str) -> InstructionRow | None: ...

    def unsettled(self) -> list[tuple[str, str, int, str]]: ...

    def queued(self, program: str, limit: int) -> list[StandingRow]: ...

    def under_way(self, program: str) -> list[StandingRow]: ...

    @property
    def schedules(self) -> Schedules: ...

    @property
    def leases(self) -> Leases: ...

    @property
    def tree(self) -> Tree: ...

    @property
    def removals(self) -> Removals: ...

    @property
    def access(self) -> Access: ...


class Records(msgspec.Struct, frozen=True):
    """`payloads` is the bucket of large ones; `sealed_of` reads a version's program (raises StoreError);
    `rows_of` gives the tracker's rows that a state amounts to."""

    store: Tracker
    payloads: Bucket
    sealed_of: Callable[[str], SealedProgram]
    rows_of: Callable[[RunState], tuple[RunRow, list[StageRow]]]

    def program_of(self, version: str) -> Program:
        """The program of that version. Raises StoreError."""
        return self.sealed_of(version).program

    def find(self, text: str) -> Row:
        """The row of the run whose id begins with the text, or whose name it is. Raises RequestError."""
        row = self.store.run(text)
        if row is not None:
            return row
        found = self.store.run_ids_like(text) if text else []
        if len(found) > 1:
            listed = ", ".join(found)
            raise RequestError(f"'{text}' may be any of the runs {listed}; give more of the id")
        row = self.store.run(found[0]) if found else None
        if row is None:
            raise RequestError(f"there is no run '{text}' in this store; `clew runs` lists them")
        return row

    def history(self, row: Row) -> History:
        """All that is on record of a run. Raises StoreError when it can't be read, RequestError when it was removed."""
        journal, payloads = self.said(row)
        values = {payload.seq: msgspec.json.decode(self.content(payload)) for payload in payloads}
        return History(row, self.sealed_of(row["version"]), journal, values)

    def said(self, row: Row) -> tuple[list[tuple[str, str]], list[PayloadRow]]:
        """A run's journal and its payloads, of one moment as far as nothing of them leaves: where something was erased
        in between, they are read anew. Raises StoreError, RequestError when the run was removed."""
        while True:
            see_it_is_here(row)
            run_id, erased_at = row["run_id"], row["erased_at"]
            journal, payloads = self.store.journal(run_id), self.store.payloads(run_id)
            row = self.store.run(run_id) or row
            if (row["erased_at"], row["removed_at"]) == (erased_at, None):
                return journal, payloads

    def course(self, row: Row) -> History:
        """The same without the payloads, for whoever asks what was done and not what was said."""
        see_it_is_here(row)
        return History(row, self.sealed_of(row["version"]), self.store.journal(row["run_id"]), {})

    def written(self, row: Row, name: str) -> Written | None:
        """A name of the run's variables map, as it stands, with who wrote it; None if nobody has. Of the payloads
        only the one that holds it is read. Raises StoreError."""
        run_id = row["run_id"]
        journal = self.store.journal(run_id)
        payloads = _PayloadsOf(self, run_id)
        return History(row, self.sealed_of(row["version"]), journal, payloads).written(name)

    def content(self, row: PayloadRow) -> bytes:
        """A payload's stored bytes. Raises StoreError when they can't be had."""
        if row.content is not None:
            return row.content.encode()
        if row.location is None:
            raise StoreError(f"the payload of entry {row.seq} is neither in the store nor anywhere else")
        try:
            return self.payloads.read(row.location, PAYLOAD_SIZE_MAX)
        except (BucketError, FileNotFoundError) as error:
            raise StoreError(
                f"the payload of entry {row.seq}, {self.payloads.url}/{row.location}, can't be read: {error}"
            ) from error

    def unfinished(self) -> list[tuple[str, str]]:
        """The runs that anybody may take up and drive: id and status, oldest first."""
        unsettled, driven = self.store.unsettled(), self.store.leases.driven()
        return [
            (run_id, status)
            for run_id, _, _, status in unsettled
            if run_id not in driven and not self._is_left(run_id, status)
        ]

    def left_to_people(self) -> list[tuple[str, str]]:
        """The runs that are not settled and wait for a person's word: id and status, oldest first."""
        unsettled = self.store.unsettled()
        return [(run_id, status) for run_id, _, _, status in unsettled if self._is_left(run_id, status)]

    def _is_left(self, run_id: str, status: str) -> bool:
        """Whether a run in that status goes on only when a person says so."""
        return status in REST or (status == statuses.PAUSED and self.is_paused_by_person(run_id))

    def is_paused_by_person(self, run_id: str) -> bool:
        """Whether somebody has paused the run, and not its program's window; so is one that nobody can read. Raises
        StoreBusy."""
        row = self.store.run(run_id)
        if row is None:
            return False
        try:
            sealed = self.sealed_of(row["version"])
            return History(dict(row), sealed, self.store.journal(run_id), {}).state.is_paused
        except StoreBusy:
            raise
        except StoreError:
            return True

    def told(self) -> set[str]:
        """The runs to which something was said that nobody has taken up yet."""
        return {run_id for _, run_id, _ in self.store.instructions()}


def see_it_is_here(row: Row) -> None:
    """Raises RequestError where all of the run but its row was removed."""
    if row["removed_at"] is not None:
        day = datetime.fromtimestamp(row["removed_at"] / 1000, UTC).date().isoformat()
        where = f"; its export is {row['archive']}" if row["archive"] else ""
        raise RequestError(
            f"run {row['run_id']} was removed from the store on {day}, as its retention says: it is {row['status']}, "
            f"and nothing else is known of it here{where}"
        )


class _PayloadsOf(Mapping[int, Mapping[str, Json]]):
    """A run's payloads' values, each read when it is asked for."""

    def __init__(self, records: Records, run_id: str) -> None:
        self._records = records
        self._run_id = run_id

    def __getitem__(self, seq: int) -> Mapping[str, Json]:
        row = self._records.store.payload(self._run_id, seq)
        if row is None:
            raise KeyError(seq)
        value: dict[str, Json] = msgspec.json.decode(self._records.content(row))
        return value

    def __iter__(self) -> Iterator[int]:
        return (row.seq for row in self._records.store.payloads(self._run_id))

    def __len__(self) -> int:
        return len(self._records.store.payloads(self._run_id))


class Erasure(msgspec.Struct, frozen=True):
    """That the payloads of the entries before that `seq` were erased, at that moment in milliseconds since 1970, and by
    whom."""

    seq: int
    at: int
    by: str


def erasure_by(entry: Entry | None) -> Erasure | None:
    """What that entry has erased, if it has."""
    if entry is None or not isinstance(entry.body, PayloadsErased):
        return None
    return Erasure(entry.seq, entry.at, entry.body.by)


class Written(msgspec.Struct, frozen=True):
    """One name of the variables map: its value, who wrote it (a stage, or `` for the program or the request)
    and by which entry."""

    name: str
    value: Json
    stage: str
    seq: int


@dataclass
class History:
    """A run's row, program, journal and payloads' values (by `seq`)."""

    row: Row
    program: SealedProgram
    journal: Sequence[tuple[str, str]]
    values: Mapping[int, Mapping[str, Json]]

    @cached_property
    def entries(self) -> list[Entry]:
        """Raises StoreError where the journal holds what is no entry."""
        try:
            return [read_entry(content.encode()) for content, _ in self.journal]
        except ValueError as error:
            raise StoreError(f"the journal of run {self.row['run_id']}: {error}; verify it") from error

    @cached_property
    def state(self) -> RunState:
        """What the whole journal amounts to."""
        return self.state_before(len(self.entries))

    def state_before(self, seq: int) -> RunState:
        """What the journal amounts to before that entry. Raises StoreError when it tells no possible story."""
        state = RunState(self.program)
        try:
            for entry in self.entries[:seq]:
                state.apply(entry)
        except (KeyError, IndexError, TypeError) as error:
            raise StoreError(
                f"the journal of run {self.row['run_id']} can't be followed; verify it"
            ) from error
        return state

    @cached_property
    def _passes(self) -> list[tuple[int, int]]:
        """By which entries passes began after the first, and from which block."""
        return [(entry.seq, entry.body.index) for entry in self.entries if isinstance(entry.body, PassBegun)]

    def pass_of(self, name: str, seq: int) -> int:
        """In which pass the stage, or the item, of that name was at that entry."""
        block = self.program.stages[stage_of(name)].block
        begun = (at + 2 for at, (by, index) in enumerate(self._passes) if by <= seq and index <= block)
        return max(begun, default=1)

    def map_before(self, seq: int) -> list[Written]:
        """The variables map as it stood before that entry, without what was erased since."""
        state = self.state_before(seq)
        written = [
            Written(name, value, "", 0)
            for name, value in self._variables(0).items()
            if name not in state.written
        ]
        for name, by in state.written.items():
            if self.is_erased(by):
                continue
            written.append(Written(name, self._value(name, by), _stage_of(self.entries[by]), by))
        return sorted(written, key=lambda one: (one.seq, one.name))

    def written(self, name: str) -> Written | None:
        """That name of the variables map at the end of the journal, if a stage has written it and nobody has had it
        erased. Raises StoreError when its value is not on record any more all the same."""
        seq = self.state.written.get(name)
        if seq is None or self.is_erased(seq):
            return None
        if not isinstance(self.entries[seq].body, StageSkipped) and name not in self._variables(seq):
            raise StoreError(f"the value of '{name}' of run {self.row['run_id']} is not on record")
        return Written(name, self._value(name, seq), _stage_of(self.entries[seq]), seq)

    @property
    def erasure(self) -> Erasure | None:
        """The last that was erased of the run, if anything was."""
        return erasure_by(self.state.erased)

    def is_erased(self, seq: int) -> bool:
        """Whether what that entry has said is gone since somebody had it erased."""
        return self.erasure is not None and seq < self.erasure.seq

    @property
    def variables(self) -> dict[str, Json]:
        """The variables map at the end of the journal."""
        return {one.name: one.value for one in self.map_before(len(self.entries))}

    def _variables(self, seq: int) -> Mapping[str, Json]:
        found: Mapping[str, Json] = self.values.get(seq, {}).get("variables", {})
        return found

    def _value(self, name: str, seq: int) -> Json:
        variables = self._variables(seq)
        if name in variables:
            return variables[name]
        # A stage that was skipped wrote the defaults of its outputs, which its program says.
        stage = self.program.stages.get(_stage_of(self.entries[seq]))
        outputs = stage.stage.outputs if stage is not None else ()
        return next((output.default for output in outputs if output.name == name), None)


def stage_of(name: str) -> str:
    """The stage's name, also from that of an item."""
    return name.partition("[")[0]


def _stage_of(entry: Entry) -> str:
    """The stage that an entry is about; empty when it is about the run."""
    return "" if isinstance(entry.body, RunCreated) else getattr(entry.body, "stage", "")
