"""A stage's `now` is the same for all that is looked up for it, also when it begins again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import count
from queue import SimpleQueue
from typing import Any

from tests.core.running.story import DATA, IMPOSSIBLE, back_to, sealed, stage
from tests.orchestrator.by_hand import RunByHand

from clew.core.program.model import Rollback
from clew.core.running.entries import DependenciesFound, ObjectsKept, WhenTested
from clew.ports import SearchAnswer, SearchRequest

BEFORE = (
    stage("lasts", rollback=IMPOSSIBLE),
    stage("fails", after=("lasts",), rollback=back_to("fails")),
    stage("slow", after=("lasts",)),
)


class Ticking:
    """A clock that is never asked twice at the same moment."""

    def __init__(self) -> None:
        self._moments = count(1_000)

    def now(self) -> int:
        return next(self._moments)


class Slow:
    """A bucket whose answers wait for a word each."""

    url = "memory:copies"

    def __init__(self) -> None:
        self.words: SimpleQueue[None] = SimpleQueue()

    def search(self, requests: Sequence[SearchRequest]) -> list[SearchAnswer]:
        self.words.get()
        return [SearchAnswer("found", {"file": {"key": "file"}}) for _ in requests]

    def keep(
        self, places: Sequence[str], folder: str, buckets: Mapping[str, str]
    ) -> list[Mapping[str, str | None]]:
        self.words.get()
        return [{"place": place, "copy": None} for place in places]

    def look(self, places: Sequence[str], buckets: Mapping[str, str]) -> Mapping[str, str | None]:
        return dict.fromkeys(places)


async def moments(kind: type, **given: Any) -> list[int]:
    """What `now` was, in the entries of a stage that is ended while a bucket is asked for it, since another one has
    failed, and begins again, since a person goes forward after all; then the bucket answers."""
    bucket = Slow()
    program = sealed(*BEFORE, stage("asks", after=("lasts",), when="true", **given))
    hand = RunByHand(program, keeper=bucket, searcher=bucket.search, clock=Ticking())
    state = hand.run.state
    await hand.end("lasts.1")
    await hand.until(lambda: {"fails.1", "slow.1"} <= hand.executor.under_way.keys())
    await hand.end("fails.1", "failed")
    await hand.until(lambda: state.stages["asks"].status == "cancelled")
    hand.say("cancel")
    await hand.until(lambda: state.held == "point_of_no_return")
    await hand.end("slow.1", "cancelled")
    hand.say("resume")
    await hand.taken("fails.2")
    for _ in range(2):
        bucket.words.put(None)
    await hand.taken("asks.1")
    return [entry.body.now for entry in hand.entries if isinstance(entry.body, (WhenTested, kind))]


def test_an_answer_for_what_was_is_not_taken() -> None:
    """The bucket is asked again, for what is now."""
    for kind, given in (
        (DependenciesFound, {"dependencies": DATA}),
        (ObjectsKept, {"rollback": Rollback("commands", (), ("data/x",))}),
    ):
        before, after, found = asyncio.run(moments(kind, **given))
        assert before < after == found, kind
