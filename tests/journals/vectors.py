"""The bytes and hashes of one entry of every kind, and of a plan's block, frozen in `vectors.json`.

`python -m tests.journals.vectors` adds vectors for kinds that have none yet. A vector that is there is never
changed: journals that hold such bytes are out in the world.
"""

from __future__ import annotations

import json
from pathlib import Path

from clew.core.running import entries as kinds
from clew.core.running.entries import Body, Entry, ResidueItem, UndoBlock, UndoStage
from clew.core.sealing.canonical import payload_digest, tagged_hash
from clew.core.sealing.chain import seal
from clew.core.sealing.journal import Head

PATH = Path(__file__).parent / "vectors.json"

BODIES: tuple[Body, ...] = (
    kinds.RunCreated("trip", "a" * 64, "b" * 64, "20260101T000000.000Z-1", 1_767_225_600_000, 1, "cli"),
    kinds.RunTaken("host:4711"),
    kinds.WhenTested("Réserver un vol", True, 1_767_225_600_001),
    kinds.StageSkipped("hotel", ("flight", "payment")),
    kinds.StageFailed("hotel", "ambiguous"),
    kinds.StageWaiting("hotel", 3, 1_767_225_900_000, 1_767_225_600_000),
    kinds.DependenciesFound("hotel", 1_767_225_600_000),
    kinds.AttemptStarted(
        "hotel", 2, True, {"ticket": 4, "day": 0}, {"execute": "c" * 64, "rollback": "d" * 64}
    ),
    kinds.AttemptEnded("hotel", 2, "failed", "started", "exit", 1_767_225_605_000),
    kinds.ValidationEnded("hotel", 2, "not_held", 5, "started", 1_767_225_605_000),
    kinds.BlockValidated(2, "held", 1),
    kinds.StageCancelled("car"),
    kinds.RollbackPlanned(
        "failure",
        (
            UndoBlock(2, (UndoStage("hotel", "failed"), UndoStage("car", "unknown"))),
            UndoBlock(1, (UndoStage("flight", "completed"),)),
        ),
        (ResidueItem("mail", True), ResidueItem("print", False)),
        "hotel",
        2,
        "exit",
    ),
    kinds.RollbackStarted("hotel", 1, "failed"),
    kinds.RollbackEnded("hotel", 1, "timed_out", "rolling_back", "timed_out", 1_767_225_605_000),
    kinds.RunHeld("rollback_failed", "hotel"),
    kinds.RunReleased('somebody "quoted"\n\x01\U0001f9f5'),
    kinds.RunSettled("failed", (ResidueItem("mail", True),)),
    kinds.ItemsMade("hotel", 3, 1_767_225_600_000),
    kinds.ItemsGathered("hotel"),
    kinds.InputSupplied("approval", "hotel", "somebody"),
    kinds.ObjectsKept("hotel[2]", 2, 1_767_225_600_000),
    kinds.ReportRefused("hotel[2]", 3, "completed", True),
    kinds.StageRetried("hotel[2]", "somebody"),
    kinds.RollbackSkipped("hotel", "somebody"),
    kinds.PassBegun(2),
    kinds.RunPaused("somebody"),
    kinds.RunUnpaused("somebody"),
    kinds.RunCancelled("somebody"),
    kinds.RunStopped("somebody"),
    kinds.RunExpired(),
    kinds.RollbackRequested("somebody"),
    kinds.RewindRequested("hotel", "somebody"),
    kinds.PlaceGiven(),
    kinds.WindowClosed(),
    kinds.WindowOpened(),
    kinds.PayloadsErased("somebody"),
)
"""One body of every kind, with every field given."""

RUN, SALT = "019b76daa8007ebdc2f5e28cb552", bytes(range(16))


def entry_of(body: Body) -> tuple[Entry, bytes, str]:
    """The entry that carries this body, its bytes and its hash."""
    entry, stored = Head(RUN, 7, "e" * 64).link(
        body, at=1_767_225_600_123, epoch=3, block="f" * 64, payload="0" * 64
    )
    return entry, stored.content, stored.hash


def plan() -> list[dict[str, object]]:
    """A plan of two blocks, with what only plans may hold: floats, null, keys beyond ASCII."""
    blocks = seal(
        "a" * 64, [[{"name": "flight", "é": 0.5}], [{"name": "hotel", "none": None}]], conditions={2: ["x"]}
    )
    return [{"content": block.content.decode(), "hash": block.hash} for block in blocks]


def main() -> None:
    held = json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}
    vectors = held.setdefault("entries", {})
    for body in BODIES:
        _, content, link = entry_of(body)
        vectors.setdefault(body.__struct_config__.tag, {"content": content.decode(), "hash": link})
    held.setdefault("plan", plan())
    held.setdefault("payload", {"salt": SALT.hex(), "content": "{}", "digest": payload_digest(SALT, b"{}")})
    held.setdefault(
        "tagged", {"tag": "clew/test\n", "content": "x", "hash": tagged_hash(b"clew/test\n", b"x")}
    )
    PATH.write_text(json.dumps(held, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
