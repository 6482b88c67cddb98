"""What the record of a run proves: `verify` recomputes every hash and link, `replay` derives the state again.

Both read and change nothing. They believe no row of the tracker: each is held against what the journal amounts
to. What they find first is a flaw; without one, the record is what was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from clew.core.program.content import VERSION_TAG
from clew.core.program.problems import ProgramError
from clew.core.running import statuses
from clew.core.running.entries import Entry, PayloadsErased, RunCreated
from clew.core.running.sealed_program import SealedProgram
from clew.core.running.state import NONE, RunState
from clew.core.sealing.canonical import payload_digest, tagged_hash
from clew.core.sealing.chain import ChainError, SealedBlock, verify_chain
from clew.core.sealing.journal import JournalError, StoredEntry, read_entry, verify_journal
from clew.core.sealing.leaves import CLOSE, Leaf
from clew.core.sealing.merkle import ProofError
from clew.operations.records import Erasure, Records, Row, Tracker, erasure_by
from clew.operations.tree import leaf_flaws, see_in_tree
from clew.ports import PayloadRow, StoreError

SOUND = "sound"
TAMPERED = "tampered"
INCOMPLETE = "incomplete"
"""Nothing that could be looked at is wrong, and not all could be."""
AGREES = "agrees"
DIFFERS = "differs"

SALT_SIZE = 16
"""Bytes of every payload's salt. With another size, bytes could pass from the content to the salt unseen."""

READS_MAX = 20
"""How often a run is read that moves on meanwhile: a read takes less than a turn, so that few are enough."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong first. `where`: `program`, `plan`, `journal`, `payload`, `state`, `run`, `stage` or `tree`. `seq`:
    the entry that is bad, or that a bad row contradicts. Without `is_proof`, something could not be looked at."""

    where: str
    what: str
    seq: int | None = None
    is_proof: bool = True


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of verifying or replaying a run. `head`: the hash of its last entry, as its row says."""

    run_id: str
    verdict: str
    entry_count: int
    head: str
    status: str
    flaw: Flaw | None = None
    erasure: Erasure | None = None
    """What of it was erased, by its own journal: of that only the digests are left."""
    removed_at: int | None = None
    """When all of it but its row was removed, in milliseconds since 1970: only that row was held against the tree."""
    archive: str = ""
    """Where its export stands then; empty for nowhere."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is on record of a run, as of one moment."""

    row: Row
    journal: Sequence[StoredEntry]
    stages: Sequence[Row]
    payloads: Sequence[PayloadRow]
    leaves: Sequence[Leaf]
    """In the order of the tree, the last of them without a place in it yet."""

    @property
    def run_id(self) -> str:
        run_id: str = self.row["run_id"]
        return run_id


class Prover:
    """Judges the runs of a store; what a program version proves is worked out once."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._flaws_of: dict[str, list[Flaw]] = {}

    def verify(self, run_id: str) -> Judgement:
        """`sound`, `tampered` or `incomplete`. Raises StoreError when the store can't be read."""
        return self._judged(run_id, SOUND, TAMPERED, INCOMPLETE)

    def verify_in_tree(self, run_id: str) -> Judgement:
        """As `verify`, and that the run's leaves stand in the tree: for one run, since of all runs `judge_tree` says
        it."""
        judged = self.verify(run_id)
        if judged.verdict != SOUND:
            return judged
        tree = self._records.store.tree
        try:
            see_in_tree(tree, tree.leaves_of(run_id))
        except ProofError as error:
            return replace(judged, verdict=TAMPERED, flaw=Flaw("tree", str(error)))
        return judged

    def replay(self, run_id: str) -> Judgement:
        """`agrees` or `differs`. Needs no payload. Raises StoreError when the store can't be read."""
        return self._judged(run_id, AGREES, DIFFERS, DIFFERS)

    def _judged(self, run_id: str, good: str, bad: str, unknown: str) -> Judgement:
        row, erasure = _row(self._records.store, run_id), None
        if row["removed_at"] is not None:
            return self._judged_by_row(row, good, bad)
        try:
            evidence = _gather(self._records.store, run_id)
            flaws = self._flaws(evidence) if good == SOUND else self._differences(evidence)
            flaw = _worst(flaws)
        except UnicodeDecodeError as error:
            flaw = Flaw("journal", f"something on record of this run is not text: {error}")
        except _MovesOn:
            flaw = Flaw(
                "run", "it moves on faster than it can be read; ask again when it rests", is_proof=False
            )
        else:
            row, erasure = evidence.row, _erasure_of(evidence.journal)
            if row["removed_at"] is not None:  # it has left while it was read
                return self._judged_by_row(row, good, bad)
        verdict = good if flaw is None else bad if flaw.is_proof else unknown
        return Judgement(run_id, verdict, row["entry_count"], row["head"], row["status"], flaw, erasure)

    def _judged_by_row(self, row: Row, good: str, bad: str) -> Judgement:
        """Of a run that was removed its row is left, and its leaves: they agree."""
        run_id, tree = row["run_id"], self._records.store.tree
        leaves = [*(leaf for _, leaf in tree.leaves_of(run_id)), *tree.leaves_due(run_id)]
        wanted = Leaf(row["entry_count"], row["head"], CLOSE, run_id)
        is_settled = row["status"] in statuses.SETTLED
        flaw = None
        if not (leaves and leaves[-1] == wanted and is_settled):
            flaw = Flaw(
                "tree", "the row of this run, which was removed, is not what the tree's last leaf of it says"
            )
        else:
            flaw = self._left_flaw(run_id)
        return Judgement(
            run_id, bad if flaw else good, row["entry_count"], row["head"], row["status"], flaw,
            removed_at=row["removed_at"], archive=row["archive"],
        )  # fmt: skip

    def _left_flaw(self, run_id: str) -> Flaw | None:
        """What stands there that was to leave with the run."""
        store = self._records.store
        for where, what, left in (
            ("journal", "entries", store.journal),
            ("payload", "payloads", store.payloads),
            ("stage", "stages", store.stages),
        ):
            if left(run_id):
                return Flaw(where, f"{what} stand there of a run that was removed", 0)
        return None

    # ---- verifying ----

    def _flaws(self, evidence: Evidence) -> Iterator[Flaw]:
        """Each rests on that there is none before it that is a proof."""
        version = evidence.row["version"]
        if version not in self._flaws_of:
            self._flaws_of[version] = list(_version_flaws(self._records.store, version))
        yield from self._flaws_of[version]
        try:
            entries = verify_journal(evidence.run_id, evidence.journal)
        except JournalError as error:
            yield Flaw("journal", str(error).removeprefix(f"entry {error.seq}: "), error.seq)
            return
        except RecursionError:
            yield _read(evidence.journal)[1] or Flaw("journal", "it is nested too deeply to be read")
            return
        yield from _journal_flaws(evidence, entries, self._records.store)
        yield from self._payload_flaws(evidence, entries)
        yield from self._state_flaws(evidence, entries)
        yield from _leaf_flaws(evidence)

    def _payload_flaws(self, evidence: Evidence, entries: Sequence[Entry]) -> Iterator[Flaw]:
        """Every payload that an entry names, and that was not erased, is there, is what was hashed, and is named by
        one."""
        rows = {row.seq: row for row in evidence.payloads}
        erased = max((entry.seq for entry in entries if isinstance(entry.body, PayloadsErased)), default=-1)
        for entry in entries:
            row = rows.pop(entry.seq, None)
            if row is None:
                if entry.payload and entry.seq >= erased:
                    yield Flaw("payload", "the payload that it names is missing", entry.seq)
            elif not entry.payload:
                yield Flaw("payload", "it names no payload, and one was put there", entry.seq)
            elif entry.seq < erased:
                yield Flaw("payload", f"it was erased by entry {erased}, and stands there again", entry.seq)
            else:
                yield from self._content_flaws(row, entry.payload)
        for seq in sorted(rows):
            yield Flaw("payload", "a payload was put there for an entry that does not exist", seq)

    def _content_flaws(self, row: PayloadRow, digest: str) -> Iterator[Flaw]:
        if (row.content is None) == (row.location is None):
            yield Flaw(
                "payload", "its payload must stand in the store or elsewhere, and one of both", row.seq
            )
            return
        if len(row.salt) != SALT_SIZE:
            yield Flaw("payload", "its payload's salt was changed", row.seq)
            return
        try:
            content = self._records.content(row)
        except StoreError as error:
            yield Flaw("payload", str(error), row.seq, is_proof=False)
            return
        if payload_digest(row.salt, content) != digest:
            yield Flaw("payload", "its payload, or the salt, is not what was hashed", row.seq)

    def _state_flaws(self, evidence: Evidence, entries: Sequence[Entry]) -> Iterator[Flaw]:
        try:
            program = self._records.sealed_of(evidence.row["version"])
        except (StoreError, ProgramError) as error:
            what = f"what the journal amounts to can't be derived by this version of clew: {error}"
            yield Flaw("program", what, is_proof=False)
            return
        followed = follow(program, entries)
        if followed.flaw is not None:
            yield followed.flaw
            return
        yield from _row_flaws(self._records, evidence, followed)

    # ---- replaying ----

    def _differences(self, evidence: Evidence) -> Iterator[Flaw]:
        entries, flaw = _read(evidence.journal)
        if flaw is not None:
            yield flaw
            return
        if not entries or not isinstance(entries[0].body, RunCreated):
            yield Flaw("journal", "a journal begins with run_created", 0)
            return
        yield from _creation_flaws(entries)
        yield from self._state_flaws(evidence, entries)


# ---- reading ---------------------------------------------------------------------------------------------


class _MovesOn(Exception):
    """The run was recorded to whenever it was read."""


def _gather(store: Tracker, run_id: str) -> Evidence:
    """All that is on record of a run. Whoever drives it may record between two reads, and every record moves the
    run's row on: what was read between two equal rows is of one moment."""
    row = _row(store, run_id)
    for _ in range(READS_MAX):
        journal = [StoredEntry(content.encode(), hash) for content, hash in store.journal(run_id)]
        due = store.tree.leaves_due(run_id)
        placed = [leaf for _, leaf in store.tree.leaves_of(run_id)]
        # One may have got its place meanwhile.
        leaves = [*placed, *(leaf for leaf in due if leaf not in placed)]
        evidence = Evidence(row, journal, store.stages(run_id), store.payloads(run_id), leaves)
        row = _row(store, run_id)
        if row == evidence.row:
            return evidence
    raise _MovesOn


def _row(store: Tracker, run_id: str) -> Row:
    row = store.run(run_id)
    if row is None:
        raise StoreError(f"there is no run {run_id} any more")
    return row


def _worst(flaws: Iterator[Flaw]) -> Flaw | None:
    """The first that is a proof, else the first."""
    first: Flaw | None = None
    for flaw in flaws:
        if flaw.is_proof:
            return flaw
        first = first or flaw
    return first


# ---- the sealed program ----------------------------------------------------------------------------------


def _version_flaws(store: Tracker, version: str) -> Iterator[Flaw]:
    """The program is what its version is the digest of, and its plan's chain holds."""
    try:
        content = store.program(version)
        chain = [SealedBlock(index, text.encode(), hash) for index, text, hash in store.chain(version)]
        if content is None:
            yield Flaw("program", f"program version {version} is missing")
        elif tagged_hash(VERSION_TAG, content.encode()) != version:
            yield Flaw("program", f"the content of program version {version} does not give its version")
        elif not chain:
            yield Flaw("plan", "plan block 1: it is missing")
        else:
            verify_chain(version, chain)
    except ChainError as error:
        yield Flaw("plan", str(error))
    except (UnicodeDecodeError, RecursionError) as error:
        yield Flaw("plan", f"the program or its plan can't be read: {error}")


# ---- the journal -----------------------------------------------------------------------------------------


def _journal_flaws(evidence: Evidence, entries: Sequence[Entry], store: Tracker) -> Iterator[Flaw]:
    """The journal belongs to the plan, and is as long, and ends as its run's row says."""
    row = evidence.row
    hashes = [hash for _, _, hash in store.chain(row["version"])]
    created = entries[0].body
    if isinstance(created, RunCreated) and created.plan != hashes[-1]:
        yield Flaw("journal", "it links to another plan than that of the run's program version", 0)
    yield from _creation_flaws(entries)
    for entry in entries:
        if entry.block and entry.block not in hashes:
            yield Flaw("journal", "it names a block that the plan does not have", entry.seq)
    if store.journal(evidence.run_id, len(entries) - 1):
        yield Flaw("journal", "entries stand under other numbers than their own", len(entries) - 1)
    if row["entry_count"] != len(entries):
        missing_or_added = min(row["entry_count"], len(entries))
        what = f"the run's row tells of {row['entry_count']} entries, and the journal has {len(entries)}"
        yield Flaw("journal", what, missing_or_added)
    if row["head"] != evidence.journal[-1].hash:
        yield Flaw("journal", "its hash is not the head that the run's row tells of", entries[-1].seq)
    if row["epoch"] < entries[-1].epoch:
        yield Flaw("run", "the run's row has an epoch from before this entry's", entries[-1].seq)


def _leaf_flaws(evidence: Evidence) -> Iterator[Flaw]:
    """The journal goes on from where the tree says that it ended."""
    hashes = [stored.hash for stored in evidence.journal]
    is_settled = evidence.row["status"] in statuses.SETTLED
    for what, seq in leaf_flaws(evidence.leaves, hashes, is_settled=is_settled):
        yield Flaw("tree", what, seq)


def _read(journal: Sequence[StoredEntry]) -> tuple[list[Entry], Flaw | None]:
    """The entries up to the first that can't be read, and what is wrong with that one."""
    entries: list[Entry] = []
    for content, _ in journal:
        try:
            entries.append(read_entry(content))
        except (ValueError, RecursionError) as error:
            return entries, Flaw("journal", str(error), len(entries))
    return entries, None


def _erasure_of(journal: Sequence[StoredEntry]) -> Erasure | None:
    """The last that was erased, as far as the journal can be read."""
    mark = str(PayloadsErased.__struct_config__.tag).encode()
    for content, _ in reversed(journal):
        if mark in content:
            with suppress(ValueError, RecursionError):
                erasure = erasure_by(read_entry(content))
                if erasure is not None:
                    return erasure
    return None


def _creation_flaws(entries: Sequence[Entry]) -> Iterator[Flaw]:
    for entry in entries[1:]:
        if isinstance(entry.body, RunCreated):
            yield Flaw("journal", "a run is created once", entry.seq)


# ---- the state -------------------------------------------------------------------------------------------


@dataclass
class Followed:
    """What a journal amounts to, and which entry changed the run's status, and each stage, last."""

    state: RunState
    run_seq: int = 0
    stage_seqs: dict[str, int] = field(default_factory=dict)
    flaw: Flaw | None = None


def follow(program: SealedProgram, entries: Iterable[Entry]) -> Followed:
    """Fold the entries, and see that each moves the run and its stages only as they may be moved."""
    followed = Followed(RunState(program))
    state = followed.state
    known = {name: stage.status for name, stage in state.stages.items()}
    for entry in entries:
        before = state.status
        try:
            state.apply(entry)
        except (LookupError, TypeError, ValueError) as error:
            followed.flaw = Flaw("state", f"nothing in the run can be so changed: {error!r}", entry.seq)
            return followed
        moves = [
            (name, known.get(name, statuses.PENDING), state.units[name].status) for name in state.touched
        ]
        what = _illegal_move(before, state.status, moves)
        if isinstance(entry.body, PayloadsErased) and before not in statuses.SETTLED:
            what = f"its payloads were erased while it was {before}: only what has settled can be"
        if what is not None:
            followed.flaw = Flaw("state", what, entry.seq)
            return followed
        if before != state.status:
            followed.run_seq = entry.seq
        for name, _, status in moves:
            known[name] = status
            followed.stage_seqs[name] = entry.seq
        state.touched.clear()
        if state.dropped:
            state.dropped = NONE
            known = {name: status for name, status in known.items() if name in state.units}
    return followed


def _illegal_move(before: str, after: str, stages: Sequence[tuple[str, str, str]]) -> str | None:
    """What was moved as nothing may be moved. An entry may leave a status as it is."""
    if before != after and after not in statuses.RUN_MOVES.get(before, ()):
        return f"it makes the run {after}, which a run that is {before} can't become"
    for name, was, became in stages:
        if was != became and became not in statuses.STAGE_MOVES.get(was, ()):
            return f"it makes stage {name} {became}, which a stage that is {was} can't become"
    return None


# ---- the tracker's rows ----------------------------------------------------------------------------------


def _row_flaws(records: Records, evidence: Evidence, followed: Followed) -> Iterator[Flaw]:
    """The tracker tells of the run and its stages what the journal amounts to."""
    state = followed.state
    run, stages = records.rows_of(state)
    for name, said, meant in _unequal(evidence.row, _created_columns(state, evidence)):
        yield Flaw("run", f"the run's {name} is {said!r}, and by the journal {meant!r}", 0)
    erased_at = None if state.erased is None else state.erased.at
    if evidence.row["erased_at"] != erased_at:
        what = f"the run's erased_at is {evidence.row['erased_at']!r}, and by the journal {erased_at!r}"
        yield Flaw("run", what, 0 if state.erased is None else state.erased.seq)
    for name, said, meant in _unequal(evidence.row, run._asdict()):
        yield Flaw("run", f"the run's {name} is {said!r}, and by the journal {meant!r}", followed.run_seq)
    if len(evidence.stages) != len(stages):
        what = f"the tracker has {len(evidence.stages)} stages and items, and by the journal {len(stages)}"
        yield Flaw("stage", what)
        return
    for said_row, meant_row in zip(evidence.stages, stages, strict=True):
        _, stage, block = state.program.places[meant_row.position]
        unit = stage if meant_row.item < 0 else f"{stage}[{meant_row.item}]"
        wanted = {"name": stage, "block": block, **meant_row._asdict()}
        del wanted["position"]
        wanted["pass"] = wanted.pop("pass_number")
        for name, said, meant in _unequal(said_row, wanted):
            what = f"the {name} of stage {unit} is {said!r}, and by the journal {meant!r}"
            yield Flaw("stage", what, followed.stage_seqs.get(unit, 0))


def _created_columns(state: RunState, evidence: Evidence) -> dict[str, Any]:
    """What a run's row has from its first entry."""
    created = read_entry(evidence.journal[0].content).body
    assert isinstance(created, RunCreated), "looked at before"
    return {
        "program": created.program,
        "version": created.version,
        "run_name": created.run_name,
        "run_time": created.run_time,
        "launched_at": state.launched_at or state.created_at,
        "requested_by": created.requested_by,
        "generation": created.generation,
    }


def _unequal(row: Row, wanted: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name, meant in wanted.items():
        if row[name] != meant:
            yield name, row[name], meant
