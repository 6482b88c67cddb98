"""A bucket that does not give what is to be kept is left alone for a while before it is asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from tests.core.running.story import IMPOSSIBLE, sealed, stage
from tests.orchestrator.by_hand import RunByHand

from clew.core.program.model import Rollback
from clew.orchestrator import gathering
from clew.orchestrator.gathering import KEEP_TRIES_MAX
from clew.ports import BucketError

RESTORES = stage("a", rollback=Rollback("commands", (), ("data/x",)))


class OutOfOrder:
    """A bucket that gives nothing."""

    url = "memory:copies"

    def __init__(self) -> None:
        self.asked = 0

    def keep(
        self, places: Sequence[str], folder: str, buckets: Mapping[str, str]
    ) -> list[Mapping[str, str | None]]:
        self.asked += 1
        raise BucketError("out of order")

    def look(self, places: Sequence[str], buckets: Mapping[str, str]) -> Mapping[str, str | None]:
        raise AssertionError(places)


def test_a_bucket_is_left_alone_in_every_pass() -> None:
    """What it had been given time for in the pass before counts for nothing."""

    async def story() -> list[int]:
        keeper = OutOfOrder()
        hand = RunByHand(sealed(RESTORES), keeper=keeper)
        asked = []
        for pass_number in (1, 2, 3):
            await hand.until(lambda at=pass_number: hand.run.state.pass_number == at)
            await hand.until(lambda at=pass_number: keeper.asked >= at and not hand.run.asked)
            asked.append(keeper.asked)
            hand.say("rewind", stage="a")
        return asked

    assert asyncio.run(story()) == [1, 2, 3]


def test_a_stage_that_begins_again_asks_as_often_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """It had failed for want of what to keep, and a person goes on."""
    monkeypatch.setattr(gathering, "KEEP_AGAIN_MILLISECONDS", 0)

    async def story() -> list[int]:
        keeper = OutOfOrder()
        hand = RunByHand(sealed(stage("lasts", rollback=IMPOSSIBLE), RESTORES), keeper=keeper)
        await hand.end("lasts.1")
        await hand.until(lambda: hand.run.state.held)
        asked = [keeper.asked]
        hand.say("resume")
        await hand.until(lambda: hand.kinds.count("RunHeld") == 2)
        return [*asked, keeper.asked]

    assert asyncio.run(story()) == [KEEP_TRIES_MAX, 2 * KEEP_TRIES_MAX]
