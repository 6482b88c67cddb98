"""Recorded journals: how they are written down, and how they are read again.

A file holds a run: first its program, its plan and what the journal amounted to when it was recorded, then the
journal's own lines. `python -m tests.journals.recording` records a dozen more runs, out of simulated histories,
into files that are not there yet. What is there is never changed: it must mean the same to every later version.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from clew.commands import SIGNATURES
from clew.conditions import SIGNATURES as CONDITIONS
from clew.core.program.parse import parse
from clew.core.running.decide import decide
from clew.core.running.sealed_program import SealedProgram, seal_program
from clew.core.running.state import RunState
from clew.core.sealing.journal import StoredEntry, verify_journal

FOLDER = Path(__file__).parent
ENTRIES_MAX = 40
"""Longer journals say no more, and nobody reads them."""


@dataclass(frozen=True)
class Recorded:
    """A recorded run."""

    run_id: str
    program: Any
    version: str
    chain: list[list[Any]]
    meaning: dict[str, Any]
    journal: list[StoredEntry]

    def sealed(self) -> SealedProgram:
        return seal_program(parse(self.program, SIGNATURES, CONDITIONS), SIGNATURES, CONDITIONS)


def read(path: Path) -> Recorded:
    first, *lines = path.read_text(encoding="utf-8").splitlines()
    head = json.loads(first)
    journal = [StoredEntry(json.loads(line)[0].encode(), json.loads(line)[1]) for line in lines]
    return Recorded(head["run_id"], head["program"], head["version"], head["chain"], head["meaning"], journal)


def written(recorded: Recorded) -> str:
    head = {
        "run_id": recorded.run_id, "program": recorded.program, "version": recorded.version, "chain": recorded.chain,
        "meaning": recorded.meaning,
    }  # fmt: skip
    lines = [json.dumps([entry.content.decode(), entry.hash]) for entry in recorded.journal]
    return "\n".join([json.dumps(head, sort_keys=True), *lines, ""])


def meaning_of(program: SealedProgram, run_id: str, journal: list[StoredEntry]) -> dict[str, Any]:
    """What the journal amounts to: the status after each entry, what was due after each, how all stands at the
    end. Raises JournalError when it does not hold."""
    state = RunState(program)
    statuses, due = [], []
    for entry in verify_journal(run_id, journal):
        state.apply(entry)
        statuses.append(state.status)
        due.append([[type(action).__name__, *msgspec.to_builtins(tuple(action))] for action in decide(state)])
    stages = {
        name: {
            "status": stage.status, "attempts": stage.attempts, "tried": stage.tried, "outcomes": list(stage.outcomes),
            "outcome": stage.outcome, "error_kind": stage.error_kind, "may_have_acted": stage.may_have_acted,
            "rollback_attempts": stage.rollback_attempts, "started_at": stage.started_at, "ended_at": stage.ended_at,
            "written_seq": stage.written_seq,
        }
        for name, stage in state.stages.items()
    }  # fmt: skip
    meaning = {
        "statuses": statuses,
        "due": due,
        "stages": stages,
        "status": state.status,
        "cause": state.cause,
        "held": state.held,
        "epoch": state.epoch,
        "written": dict(sorted(state.written.items())),
        "residue": msgspec.to_builtins(state.residue),
    }
    return dict(json.loads(msgspec.json.encode(meaning)))  # as it will be read: lists, not tuples


def main() -> None:
    """Record a dozen runs, each of which shows most of what those before it do not."""
    seen: set[str] = set()
    candidates = list(_candidates())
    for number in range(1, 13):
        ends = {shown for shown in seen if shown.startswith("ends ")}
        chosen = max(candidates, key=lambda one: (len({*_shows(one)} - seen - ends), -len(one.journal)))
        seen = seen | _shows(chosen) if number % 6 else set()
        candidates.remove(chosen)
        path = FOLDER / f"{number:02}-{chosen.meaning['status']}.jsonl"
        if not path.exists():
            path.write_text(written(chosen), encoding="utf-8")
            sys.stdout.write(f"{path.name}: {len(chosen.journal)} entries\n")


def _candidates() -> Iterator[Recorded]:
    """Runs of simulated histories that are short enough."""
    from tests.simulation.world import World

    for seed in range(150):
        world = World(seed)
        world.play()
        for run_id in world.witness.runs:
            journal = [StoredEntry(content.encode(), link) for content, link in world.store.journal(run_id)]
            if len(journal) <= ENTRIES_MAX:
                row = world.store.run(run_id)
                assert row is not None
                version = row["version"]
                program = json.loads(world.store.program(version) or "")
                chain = [list(block) for block in world.store.chain(version)]
                recorded = Recorded(run_id, program, version, chain, {}, journal)
                meaning = meaning_of(recorded.sealed(), run_id, journal)
                yield Recorded(run_id, program, version, chain, meaning, journal)


def _shows(recorded: Recorded) -> set[str]:
    """What there is to be seen in a recorded run."""
    bodies = [json.loads(entry.content)["body"] for entry in recorded.journal]
    shows = {f"kind {body['kind']}" for body in bodies} | {f"ends {recorded.meaning['status']}"}
    shows |= {
        f"{body['kind']} {body[key]}"
        for body in bodies
        for key in ("outcome", "becomes", "verdict")
        if key in body
    }
    shows |= {f"again {body['reexecution']}" for body in bodies if "reexecution" in body}
    shows |= {f"residue {item['certain']}" for item in recorded.meaning["residue"]}
    return shows


if __name__ == "__main__":
    main()
