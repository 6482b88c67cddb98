"""What is tested is what stands now: an answer about what was before is for nobody, and keeps nobody waiting."""

from __future__ import annotations

import asyncio

import pytest
from tests.core.running.story import IMPOSSIBLE, LOOK, UNDO, back_to, sealed, stage
from tests.orchestrator.by_hand import HELD, NOT_HELD, RunByHand, report

from clew.core.program.model import Rollback

LEAVES_NOTHING = Rollback("none")


@pytest.mark.parametrize("rollback", [LEAVES_NOTHING, UNDO], ids=["nothing to undo", "something to undo"])
@pytest.mark.parametrize("answered", ["never", "on the way back", "in the next pass"])
def test_a_block_that_is_rewound_while_it_is_tested_is_tested_again(
    rollback: Rollback, answered: str
) -> None:
    """Whenever the first test is answered, and whatever that says."""

    async def story() -> tuple[str, int]:
        hand = RunByHand(sealed(stage("a", rollback=rollback), validate=(LOOK,)))
        await hand.end("a.1")
        first = await hand.taken("block-1.1.test.1")
        hand.say("rewind", stage="a")
        if rollback is UNDO:
            second = await hand.taken("a.1.rollback.1")
            if answered == "on the way back":
                first(report("completed", findings=(NOT_HELD,)))
            second(report("completed"))
        elif answered == "on the way back":
            first(report("completed", findings=(NOT_HELD,)))
        await hand.end("a.2")
        second = await hand.taken("block-1.2.test.1")
        if answered == "in the next pass":
            first(report("completed", findings=(NOT_HELD,)))
        second(report("completed", findings=(HELD,)))
        return await hand.settled(), hand.run.state.pass_number

    assert asyncio.run(story()) == ("completed", 2)


@pytest.mark.parametrize("answered", ["never", "on the way back", "going forward", "with the next test"])
def test_a_stage_that_begins_again_is_not_judged_by_what_it_was(answered: str) -> None:
    """It was ended while it was tested, for the sake of one that failed; then a person goes forward after all."""

    async def story() -> tuple[str, list[str]]:
        program = sealed(
            stage("a", rollback=IMPOSSIBLE),
            stage("tested", after=("a",), validate=(LOOK,)),
            stage("fails", after=("a",), rollback=back_to("fails")),
            stage("slow", after=("a",)),
        )
        hand = RunByHand(program)
        state = hand.run.state
        await hand.end("a.1")
        await hand.end("tested.1")
        first = await hand.taken("tested.1.test.1")
        await hand.end("fails.1", "failed")
        await hand.until(lambda: state.stages["tested"].status == "cancelled")
        if answered == "on the way back":
            first(report("completed", findings=(NOT_HELD,)))
            await asyncio.sleep(0)
        hand.say("cancel")
        await hand.until(lambda: state.held == "point_of_no_return")
        await hand.end("slow.1", "cancelled")
        hand.say("resume")
        second = await hand.taken("tested.2")
        if answered == "going forward":
            first(report("completed", findings=(NOT_HELD,)))
        second(report("completed"))
        test = await hand.taken("tested.2.test.1")
        if answered == "with the next test":
            first(report("completed", findings=(NOT_HELD,)))
        test(report("completed", findings=(HELD,)))
        await hand.end("fails.2")
        await hand.end("slow.2")
        return await hand.settled(), hand.executor.begun

    status, begun = asyncio.run(story())
    assert status == "completed"
    assert [name for name in begun if "test" in name and "test." in name] == [
        "tested.1.test.1",
        "tested.2.test.1",
    ]
