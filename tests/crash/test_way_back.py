"""A run that goes back halfway, and forward again, as its journal has it."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.crash.conftest import Players
from tests.crash.stories import STORIES, ForkServer, Story

RETURNING = next(story for story in STORIES if story.name == "returning")

FORWARD = [
    ("attempt_started", "one"), ("attempt_started", "two"), ("attempt_started", "beside"),
    ("attempt_started", "three"), ("attempt_started", "three"),
]  # fmt: skip
BACK = [
    ("rollback_planned", "three"), ("rollback_started", "three"), ("rollback_started", "two"),
    ("rollback_started", "beside"),
]  # fmt: skip
FORWARD_AGAIN = [
    ("pass_begun", ""), ("attempt_started", "two"), ("attempt_started", "beside"), ("attempt_started", "three"),
    ("attempt_started", "three"), ("attempt_started", "four"), ("run_settled", ""),
]  # fmt: skip


def test_forward_back_forward_complete(play: Players, server_of: Callable[[Story], ForkServer]) -> None:
    """The journal shows all of it; the second pass has fresh retries, keys and variables; the record is sound."""
    ended = play(RETURNING)
    assert ended.judge() == []
    [(run_id, journal)] = ended.end().journals.items()
    bodies = [json.loads(content)["body"] for content, _ in journal]
    course = [*FORWARD, *BACK, *FORWARD_AGAIN]
    kinds = {kind for kind, _ in course}
    steps = [(body["kind"], body.get("stage", "")) for body in bodies if body["kind"] in kinds]
    assert steps == course

    [planned] = [body for body in bodies if body["kind"] == "rollback_planned"]
    assert (planned["to"], planned["forward"], planned["declared_by"]) == (2, True, "three")
    assert [block["index"] for block in planned["blocks"]] == [3, 2]
    assert [body["index"] for body in bodies if body["kind"] == "pass_begun"] == [2]

    attempts = [
        (act.stage, act.attempt) for act in ended.acts() if act.work == "execute" and act.stage == "three"
    ]
    assert attempts == [("three", number) for number in (1, 2, 3, 4)]
    keys = {stage: [act.key for act in ended.acts() if act.stage == stage and act.work == "execute"]
            for stage in ("one", "two", "three")}  # fmt: skip
    assert [len(set(keys[stage])) for stage in keys] == [1, 2, 2]
    assert keys["three"][0] == keys["three"][1] != keys["three"][2] == keys["three"][3]

    server = server_of(RETURNING)
    (ended.folder / "stdout").unlink()
    assert server.clew("show", run_id, "--format", "json") == 0
    shown = json.loads((ended.folder / "stdout").read_text())
    values = {name: shown["variables"][name] for name in ("one", "two", "three")}
    assert values == {"one": 1, "two": 2, "three": "after 2"}, "the second pass' are from the second pass"
    assert server.clew("verify", "--all") == 0
    assert server.clew("replay", "--all") == 0
