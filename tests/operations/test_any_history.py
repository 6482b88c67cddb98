"""Whatever happened to a run, it can be told: random histories, with crashes and people who say things, are looked
at from the outside."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from tests.simulation.world import World

from clew.cli.foretelling import lines_of
from clew.cli.output import Output
from clew.cli.sentences import sentence
from clew.core.running import entries as kinds
from clew.core.running.instructions import Instruction, Verb, refusal
from clew.operations.explaining import explanation
from clew.operations.instructing import UNDOING, ends_of, foreseen
from clew.operations.records import History, Records
from clew.operations.requests import run_document
from clew.operations.showing import stage_document

HISTORIES = 40
"""Some eighty runs, two hundred words of people; three seconds."""

MOMENTS = 10
"""At so many moments of each run somebody looks at it."""

_VERBS: dict[type, Verb] = {
    kinds.RunCancelled: "cancel",
    kinds.RollbackRequested: "rollback",
    kinds.RewindRequested: "rewind",
}


@lru_cache(maxsize=1)
def histories() -> list[tuple[int, History]]:
    """The record of every run of these histories, with its seed."""
    found = []
    for seed in range(HISTORIES):
        world = World(seed)
        world.play()
        programs = world.witness.programs

        def sealed_of(version: str, programs: dict[str, Any] = programs) -> Any:
            return programs[version][1]

        records = Records(world.store, world.bucket, sealed_of, rows_of=lambda state: ((), []))
        rows = [world.store.run(run_id) for run_id in world.store.run_ids()]
        found += [(seed, records.history(row)) for row in rows if row is not None]
    return found


def before(history: History, count: int) -> History:
    """The run as it was after so many entries."""
    return History(history.row, history.program, history.journal[:count], history.values)


def test_everything_can_be_told_of_any_run_at_any_moment() -> None:
    """Why it stands where it stands, what each stage did, what each entry says, and what a verb would undo."""
    for _, history in histories():
        for name in history.state.units:
            assert stage_document(history, name)["name"] == name
        for entry in history.entries:
            said = history.values.get(entry.seq, {})
            assert sentence(entry, history.program, lambda said=said: said)[1]
        length = len(history.journal)
        for count in {*range(1, length, max(length // MOMENTS, 1)), length}:
            look(before(history, count))


def look(history: History) -> None:
    state = history.state
    told = explanation(history)
    assert [one["pass"] for one in (*told["earlier"], told)] == list(range(1, state.pass_number + 1))
    assert bool(told["held"]) is bool(state.held)
    assert all(
        not refusal(
            state, Instruction(one["verb"], "", stage=one["stage"], values=dict.fromkeys(one["outputs"]))
        )
        for one in told["can_be_told"]
    )
    assert [stage["name"] for stage in run_document(state, {})["stages"]] == list(state.stages)
    ends_of(history)
    for verb in UNDOING:
        for stage in state.stages if verb == "rewind" else ("",):
            if not refusal(state, Instruction(verb, "", stage=stage)):
                assert list(lines_of(foreseen(history, verb, stage), Output(colour="never")))


def test_what_is_foreseen_of_a_run_at_rest_is_what_is_planned() -> None:
    """A verb that is obeyed by a run in which nothing is under way undoes just what was shown."""
    compared = 0
    for seed, history in histories():
        for said, planned in plans_of_people(history):
            was = before(history, said.seq)
            if any(unit.in_flight or unit.rollback_in_flight for unit in was.state.units.values()):
                continue
            if was.state.undo is not None and not was.state.is_settled:
                continue  # it is planned anew when what is planned already has been undone
            would = foreseen(was, _VERBS[type(said.body)], getattr(said.body, "stage", ""))
            foretold = [
                (block["index"], [(one["stage"], one["outcome"]) for one in block["stages"]])
                for block in would["undo"]
            ]
            done = [
                (block.index, [(one.stage, one.outcome) for one in block.stages]) for block in planned.blocks
            ]
            assert foretold == done, f"seed {seed}, run {history.row['run_id']}, entry {said.seq}"
            compared += 1
    assert compared > HISTORIES / 4, "hardly anybody said anything"


def plans_of_people(history: History) -> Iterator[tuple[kinds.Entry, kinds.RollbackPlanned]]:
    """Each entry by which somebody had something undone, with the plan that came of it."""
    said = None
    for entry in history.entries:
        if type(entry.body) in _VERBS:
            said = entry
        elif isinstance(entry.body, kinds.RunStopped | kinds.RunHeld):
            said = None
        elif isinstance(entry.body, kinds.RollbackPlanned) and said is not None:
            yield said, entry.body
            said = None
