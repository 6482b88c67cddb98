"""What an attempt says when its end is on record already changes nothing, whatever the run does by then."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from tests.core.running.story import sealed, stage
from tests.orchestrator.by_hand import RunByHand, report

from clew.core.program.model import Rollback


class Empty:
    """Keeps that there was nothing, and finds nothing."""

    url = "memory:copies"

    def keep(
        self, places: Sequence[str], folder: str, buckets: Mapping[str, str]
    ) -> list[Mapping[str, str | None]]:
        return [{"place": place, "copy": None} for place in places]

    def look(self, places: Sequence[str], buckets: Mapping[str, str]) -> Mapping[str, str | None]:
        return dict.fromkeys(places)


def test_an_attempt_is_heard_of_in_the_next_pass() -> None:
    """Nobody knew how it had ended, and it was undone. What it had overwritten is not kept any more by then."""

    async def story() -> tuple[str, list[str]]:
        program = sealed(
            stage("first"),
            stage("a", after=("first",), rollback=Rollback("commands", (), ("data/x",), to="first")),
        )
        hand = RunByHand(program, keeper=Empty())
        await hand.end("first.1")
        ended = await hand.taken("a.1")
        ended(report("unknown"))
        await hand.end("a.1.rollback.1")
        await hand.end("first.1.rollback.1")
        second = await hand.taken("first.2")
        ended(report("completed"))
        await hand.until(lambda: "ReportRefused" in hand.kinds)
        second(report("completed"))
        await hand.end("a.2")
        return await hand.settled(), hand.kinds

    status, kinds = asyncio.run(story())
    assert (status, kinds.count("ReportRefused")) == ("completed", 1)
