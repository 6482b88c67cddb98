"""What is compared when a history is over: the store's bytes, the fold of them, and what the driver holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from tests.simulation.model import Run
from tests.simulation.witness import Witness

from clew.core.running.stage_state import StageState
from clew.core.running.state import RunState
from clew.core.sealing.canonical import payload_digest
from clew.core.sealing.chain import SealedBlock, verify_chain
from clew.core.sealing.journal import JournalError, StoredEntry, verify_journal
from clew.orchestrator.driven_run import DrivenRun, Origin
from clew.stores.sqlite import SqliteStore


def reckon(witness: Witness, store: SqliteStore, driven: Mapping[str, DrivenRun]) -> None:
    """Check the whole history once more, now that it is over."""
    witness.check_acknowledged()
    witness.sayings.check_answers(store.instruction)
    for version in witness.programs:
        blocks = [SealedBlock(index, content.encode(), link) for index, content, link in store.chain(version)]
        if blocks:
            verify_chain(version, blocks)
    for run_id, run in witness.runs.items():
        folded = _verified_fold(witness, store, run)
        if run.settled:
            witness.log.check_settled(run)
        successor = _taken_up(witness, store, run)
        live = driven.get(run_id)
        if live is not None and not live.entries and live.epoch == witness.epochs[run_id]:
            _compare(witness, run_id, "live", folded, live.state)
            _compare_values(witness, run_id, successor, live)


def _verified_fold(witness: Witness, store: SqliteStore, run: Run) -> RunState:
    """The journal's own account of the run, each hash and link and payload digest verified."""
    stored = [StoredEntry(content.encode(), link) for content, link in store.journal(run.run_id)]
    try:
        entries = verify_journal(run.run_id, stored)
    except JournalError as error:
        witness.check(False, f"{run.run_id}: {error}")
        raise AssertionError from error
    payloads = {row.seq: row for row in store.payloads(run.run_id)}
    folded = RunState(run.shadow.program)
    for entry in entries:
        folded.apply(entry)
        row = payloads.pop(entry.seq, None)
        if row is None and run.erased is not None and entry.seq < run.erased:
            continue
        digest = payload_digest(row.salt, witness.content_of(row).encode()) if row else ""
        witness.check(
            entry.payload == digest, f"{run.run_id}: the payload of entry {entry.seq} is not what it names"
        )
    witness.check(not payloads, f"{run.run_id}: payloads {sorted(payloads)} belong to no entry")
    row = store.run(run.run_id)
    assert row is not None
    witness.check(row["head"] == stored[-1].hash, f"{run.run_id}: the run's head is not the journal's")
    _compare(witness, run.run_id, "watched", folded, run.shadow)
    return folded


def _compare(witness: Witness, run_id: str, whose: str, folded: RunState, other: RunState) -> None:
    for name in _fields(folded, other) - {"dropped", "program", "stages", "touched", "units"}:
        one, two = getattr(folded, name), getattr(other, name)
        witness.check(one == two, f"{run_id}: {name} is {one!r} by the journal, {two!r} in the {whose} state")
    witness.check(folded.units.keys() == other.units.keys(), f"{run_id}: the {whose} state has other items")
    for unit_name, unit in folded.units.items():
        for name in _fields(unit, other.units[unit_name]) - {"sealed", "parent"}:
            one, two = _plain(getattr(unit, name, None)), _plain(getattr(other.units[unit_name], name, None))
            where = f"{run_id}: {unit_name}.{name}"
            witness.check(one == two, f"{where} is {one!r} by the journal, {two!r} in the {whose} state")


def _plain(value: Any) -> Any:
    """The names of items, in place of themselves."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.name if isinstance(value, StageState) else value


def _fields(*states: Any) -> set[str]:
    """The names of all that these states hold, whether it stands in slots, in the class or in the instance."""
    names: set[str] = set()
    for state in states:
        names.update(getattr(type(state), "__slots__", ()), getattr(state, "__dict__", ()))
        names.update(getattr(type(state), "__annotations__", ()))
    return names


def _taken_up(witness: Witness, store: SqliteStore, run: Run) -> DrivenRun:
    """The run as a successor would find it, whose variables map must be the model's."""
    successor = DrivenRun(run.shadow.program, run.run_id, epoch=run.epoch, origin=Origin())
    values: dict[int, Any] = {
        row.seq: msgspec.json.decode(witness.content_of(row)) for row in store.payloads(run.run_id)
    }
    successor.restore(store.journal(run.run_id), values)
    told = f"{run.run_id}: the map is {run.names}, and {successor.values} when taken up"
    witness.check(run.names == successor.values, told)
    return successor


def _compare_values(witness: Witness, run_id: str, successor: DrivenRun, live: DrivenRun) -> None:
    """A successor would find what this driver holds."""
    for name, one, two in (
        ("values", successor.values, live.values),
        ("outputs", _said(successor.outputs), _said(live.outputs)),
        ("supplied", successor.supplied, live.supplied),
        ("kept", successor.kept, live.kept),
        ("left", successor.left, {name: live.left.get(name) for name in live.kept}),
        ("head", (successor.head.seq, successor.head.hash), (live.head.seq, live.head.hash)),
    ):
        witness.check(one == two, f"{run_id}: {name} are {one} when taken up, {two} in the driver")


def _said(outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Outputs, as far as there are any."""
    return {stage: dict(values) for stage, values in outputs.items() if values}
