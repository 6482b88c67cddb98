"""Recorded journals: how they are written down, and how they are read again.

A file holds a run: first its program, its plan and what the journal amounted to when it was recorded, then the
journal's own lines. `python -m tests.journals.recording` records more runs, out of simulated histories and out of
stories for what these do not have, as long as they show what none of the recorded ones shows yet. What is there is
never changed: it must mean the same to every later version.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from tests.core.running.story import Story

from clew.commands import SIGNATURES
from clew.conditions import SIGNATURES as CONDITIONS
from clew.core.program.content import content
from clew.core.program.parse import parse
from clew.core.running.decide import decide
from clew.core.running.entries import (
    MISSED_TIME,
    DependenciesFound,
    ObjectsKept,
    PlaceGiven,
    RunExpired,
    RunTaken,
    StageWaiting,
    WindowClosed,
    WindowOpened,
)
from clew.core.running.fold_back import CHANGED_SINCE
from clew.core.running.sealed_program import SealedProgram, seal_program
from clew.core.running.state import RunState
from clew.core.sealing.journal import StoredEntry, verify_journal

FOLDER = Path(__file__).parent
ENTRIES_MAX = 40
"""Longer journals say no more, and nobody reads them."""

SEEDS = range(600)
"""As many histories as it takes to come upon what happens seldom: a minute or two."""

NEWS_MIN = 2
"""A run is recorded for the sake of so many things that no other shows. The rest is shown by examples."""


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
        due.append(
            [
                [type(action).__name__, *msgspec.to_builtins(msgspec.structs.astuple(action))]
                for action in decide(state)
            ]
        )
    stages = {
        name: {
            "status": stage.status, "attempts": stage.attempts, "tried": stage.tried, "outcomes": list(stage.outcomes),
            "outcome": stage.outcome, "error_kind": stage.error_kind, "may_have_acted": stage.may_have_acted,
            "rollback_attempts": stage.rollback_attempts, "started_at": stage.started_at, "ended_at": stage.ended_at,
            "written_seq": stage.written_seq,
        }
        for name, stage in state.stages.items()
    }  # fmt: skip
    units = {
        name: {
            "pass_number": unit.pass_number, "attempts_before": unit.attempts_before, "items_left": unit.items_left,
            "status": unit.status, "in_flight": unit.in_flight, "kept_seq": unit.kept_seq, "left_seq": unit.left_seq,
            "rollback_tried": unit.rollback_tried, "rollback_outcome": unit.rollback_outcome,
            "rollback_error_kind": unit.rollback_error_kind, "rollback_is_over": unit.rollback_is_over,
        }
        for name, unit in state.units.items()
    }  # fmt: skip
    meaning = {
        "units": units,
        "pass_number": state.pass_number,
        "block": state.block,
        "ending": state.ending,
        "is_paused": state.is_paused,
        "failed_stage": state.failed_stage,
        "returns": state.returns,
        "supplied": state.supplied,
        "refused": sorted(state.refused),
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
    """Record runs, each for what those before it do not show, until little is left to be shown."""
    recorded = [read(path) for path in sorted(FOLDER.glob("*.jsonl"))]
    seen = set[str]().union(*map(_shows, recorded))
    candidates = [*_told(), *_simulated()]
    while candidates:
        chosen = max(candidates, key=lambda one: (len(_shows(one) - seen), -len(one.journal)))
        news = _shows(chosen) - seen
        if len(news) < NEWS_MIN:
            return
        seen |= news
        candidates.remove(chosen)
        recorded.append(chosen)
        path = FOLDER / f"{len(recorded):02}-{chosen.meaning['status']}.jsonl"
        path.write_text(written(chosen), encoding="utf-8")
        sys.stdout.write(f"{path.name}: {len(chosen.journal)} entries, for {', '.join(sorted(news))}\n")


RATES = {
    "name": "rates",
    "stages": [
        {"name": "publish", "execute": {"command": "publish_file", "params": ["lines/rates.csv", "new"]},
         "rollback": {"restore": ["lines/rates.csv"]}},
        {"name": "each", "after": ["publish"], "for_each": ["north", "south"],
         "execute": {"command": "publish_file", "params": ["lines/{item}.csv", "{item}"]},
         "rollback": {"restore": ["lines/{item}.csv"]}},
        {"name": "spoil", "after": ["each"], "execute": {"command": "shell", "params": ["false"]}, "rollback": "none"},
    ],
}  # fmt: skip
"""What stages overwrite is put back: the pretend world has no such objects."""


NIGHTLY = {
    "name": "nightly",
    "cadence": ["30 22 * * *"],
    "initial": "21:00",
    "final": "05:00",
    "backfill": "2 hours",
    "on_missed": "backfill",
    "monitor": {"run": "6 hours", "execution": "1 hour"},
    "stages": [
        {"name": "take", "execute": {"command": "wait", "params": ["1 second"]},
         "dependencies": {"rates": {"bucket": "lines", "prefix": [{"match": "rates.csv"}]}}},
        {"name": "give", "after": ["take"], "execute": {"command": "shell", "params": ["true"]},
         "rollback": {"command": "shell", "params": ["true"]}},
    ],
}  # fmt: skip
"""It is run by a cadence: its runs wait for a place and for its window, and their time is up in the end."""


def _told() -> Iterator[Recorded]:
    """Runs that are told entry by entry."""
    story = Story(program=seal_program(parse(RATES, SIGNATURES, CONDITIONS), SIGNATURES, CONDITIONS))
    story.say(ObjectsKept("publish", 1, story.at)).complete("publish").make("each", 2)
    story.say(ObjectsKept("each[1]", 1), ObjectsKept("each[0]", 1)).complete("each[1]", "each[0]").follow()
    story.fail("spoil").follow().undo("each[0]", "each[1]").refuse_to_be_undone(
        "publish", CHANGED_SINCE
    ).follow()
    story.epoch += 1
    story.say(RunTaken("host:4711")).tell("retry", "publish").refuse_to_be_undone(
        "publish", CHANGED_SINCE
    ).follow()
    story.tell("skip", "publish").follow()
    yield _recorded(story)
    yield _recorded(_on_time())
    yield _recorded(_on_time().tell("erase"))


def _on_time() -> Story:
    """A run for a due time that waits for its turn, for data and for its window, twice."""
    created = {"due": True, "zones": "2026a", "backfill": MISSED_TIME, "follows": "run-0", "generation": 2}
    story = Story(
        program=seal_program(parse(NIGHTLY, SIGNATURES, CONDITIONS), SIGNATURES, CONDITIONS), created=created
    )
    story.say(PlaceGiven()).follow()
    story.say(StageWaiting("take", 1, 301_000, story.at)).say(
        DependenciesFound("take", story.stage("take").now_at)
    )
    story.say(PlaceGiven()).start("take").say(WindowClosed()).end("take", "completed", "completed").follow()
    story.say(WindowOpened()).start("give").say(WindowClosed(), WindowOpened()).say(
        RunExpired("execution", "give")
    )
    return story.end("give", "cancelled", "cancelled").follow().undo("give").follow()


def _recorded(story: Story) -> Recorded:
    program, run_id = story.program, story.head.run
    chain = [[block.index, block.content.decode(), block.hash] for block in program.chain]
    meaning = meaning_of(program, run_id, story.stored)
    return Recorded(run_id, content(program.program), program.version, chain, meaning, story.stored)


def _simulated() -> Iterator[Recorded]:
    """Runs of simulated histories that are short enough."""
    from tests.simulation.world import World

    for seed in SEEDS:
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
    shows |= {f"held {body['reason']}" for body in bodies if body["kind"] == "run_held"}
    shows |= {f"back {sorted({'to', 'forward', 'declared_by'} & set(body))} for {body['cause']}" for body in bodies
              if body["kind"] == "rollback_planned"}  # fmt: skip
    shows |= {f"an item's {body['kind']}" for body in bodies if body.get("stage", "").endswith("]")}
    shows |= {f"failed by {body['error_kind']}" for body in bodies if body["kind"] == "stage_failed"}
    shows |= {f"{body['kind']} by a person" for body in bodies if body.get("by") and "given" in body}
    return shows


if __name__ == "__main__":
    main()
