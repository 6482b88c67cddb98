"""What a stage's source is is found out before its first attempt, on record with it, and asked for once at a time."""

from __future__ import annotations

import asyncio

import pytest
from tests.core.running.story import LOOK, UNDO, back_to, sealed, stage
from tests.orchestrator.by_hand import HELD, NOT_HELD, RunByHand

from clew.core.program.model import Condition, FolderSource, Retry, Rollback
from clew.core.running.entries import AttemptStarted, RunHeld, StageFailed, StageWaiting
from clew.ports import AttemptError, AttemptReport

SOURCE = FolderSource("code", "jobs")
FOUND = AttemptReport(outcome="completed", result={"digest": "d" * 64, "file_count": 1, "size": 2})


def refused(kind: str, outcome: str = "not_begun") -> AttemptReport:
    return AttemptReport(outcome=outcome, error=AttemptError(kind, f"source: {kind}"))


def test_the_first_attempt_pins_what_was_found() -> None:
    """Its order says the digest, and those after it are told; nobody looks again before they begin."""

    async def story() -> tuple[str, list[str], list[dict[str, str]]]:
        hand = RunByHand(sealed(stage("a", source=SOURCE, retry=Retry(2, 0, jitter=False))))
        (await hand.taken("a.1.fetch.1"))(FOUND)
        await hand.end("a.1", "failed")
        await hand.end("a.2")
        status = await hand.settled()
        started = [entry.body.code for entry in hand.entries if isinstance(entry.body, AttemptStarted)]
        return status, hand.executor.begun, started

    status, begun, started = asyncio.run(story())
    assert (status, begun) == ("completed", ["a.1.fetch.1", "a.1", "a.2"])
    assert started == [{"source": "d" * 64}, {}]


def test_items_wait_for_one_look() -> None:
    """Before there are any; then each begins."""

    async def story() -> tuple[str, list[str]]:
        hand = RunByHand(sealed(stage("a", source=SOURCE, for_each=[1, 2])))
        (await hand.taken("a.1.fetch.1"))(FOUND)
        for number in range(2):
            await hand.end(f"a[{number}].1")
        return await hand.settled(), hand.executor.begun

    assert asyncio.run(story()) == ("completed", ["a.1.fetch.1", "a[0].1", "a[1].1"])


@pytest.mark.parametrize("outcome", ["not_begun", "timed_out", "unknown"])
def test_what_can_t_be_told_is_waited_for(outcome: str) -> None:
    """Longer each time, and it is on record; it is no look that found something missing."""

    async def story() -> tuple[list[StageWaiting], list[str]]:
        hand = RunByHand(sealed(stage("a", source=SOURCE)))
        (await hand.taken("a.1.fetch.1"))(refused("source", outcome))
        await hand.until(lambda: "StageWaiting" in hand.kinds)
        state = hand.run.state
        assert (state.status, state.stages["a"].status) == ("waiting", "waiting")
        hand.say("cancel")
        await hand.settled()
        waiting = [entry.body for entry in hand.entries if isinstance(entry.body, StageWaiting)]
        return waiting, hand.executor.begun

    waiting, begun = asyncio.run(story())
    assert [body.look for body in waiting] == [0]
    assert begun == ["a.1.fetch.1"]


def test_what_is_not_there_fails_the_stage() -> None:
    """Before an attempt of it has begun; a person may have it looked for again."""

    async def story() -> tuple[str, list[str], list[str]]:
        hand = RunByHand(
            sealed(
                stage("first", rollback=Rollback("impossible")), stage("a", source=SOURCE, after=("first",))
            )
        )
        await hand.end("first.1")
        (await hand.taken("a.1.fetch.1"))(refused("source", "failed"))
        await hand.until(lambda: hand.run.state.held)
        kinds = [entry.body.error_kind for entry in hand.entries if isinstance(entry.body, StageFailed)]
        hand.say("retry", stage="a")
        (await hand.taken("a.1.fetch.1"))(FOUND)
        await hand.end("a.1")
        return await hand.settled(), kinds, hand.executor.begun

    status, kinds, begun = asyncio.run(story())
    assert (status, kinds) == ("completed", ["source"])
    assert begun == ["first.1", "a.1.fetch.1", "a.1.fetch.1", "a.1"]


def test_a_look_that_nobody_waits_for_is_ended() -> None:
    """Another stage has failed: the look is asked to end, and what it says then is for nobody."""

    async def story() -> tuple[str, list[str], list[str]]:
        hand = RunByHand(sealed(stage("a", source=SOURCE), stage("b")))
        look = await hand.taken("a.1.fetch.1")
        await hand.end("b.1", "failed")
        await hand.end("b.1.rollback.1")
        status = await hand.settled()
        look(FOUND)
        await asyncio.sleep(0)
        return status, hand.executor.begun, hand.kinds

    status, begun, kinds = asyncio.run(story())
    assert (status, sorted(begun)) == ("rolled_back", ["a.1.fetch.1", "b.1", "b.1.rollback.1"])
    assert "AttemptStarted" in kinds and kinds[-1] == "RunSettled"


def test_a_look_of_the_pass_before_says_nothing() -> None:
    """A new pass looks for itself."""

    async def story() -> tuple[str, list[str], list[str]]:
        hand = RunByHand(sealed(stage("b", rollback=back_to("b")), stage("a", source=SOURCE)))
        look = await hand.taken("a.1.fetch.1")
        await hand.end("b.1", "failed")
        await hand.end("b.1.rollback.1")
        second = await hand.taken("a.2.fetch.1")
        look(refused("source", "failed"))
        await hand.end("b.2")
        second(FOUND)
        await hand.end("a.1")
        return await hand.settled(), hand.executor.begun, hand.kinds

    status, begun, kinds = asyncio.run(story())
    assert status == "completed"
    assert begun.count("a.2.fetch.1") == 1 and "StageFailed" not in kinds


def test_code_that_is_not_what_it_was_holds_the_run_once() -> None:
    """Whichever stages find so at the same time; each goes on when a person says so."""

    async def story() -> tuple[str, list[RunHeld], int]:
        retry = Retry(3, 0, jitter=False)
        hand = RunByHand(sealed(*(stage(name, source=SOURCE, retry=retry) for name in "ab")))
        for name in "ab":
            (await hand.taken(f"{name}.1.fetch.1"))(FOUND)
        ends = [await hand.taken(f"{name}.1") for name in "ab"]
        for end in ends:
            end(refused("code_changed"))
        await hand.until(lambda: hand.run.state.held)
        hand.say("resume")
        for name in "ab":
            await hand.end(f"{name}.2")
        status = await hand.settled()
        held = [entry.body for entry in hand.entries if isinstance(entry.body, RunHeld)]
        return status, held, hand.run.state.stages["a"].tried

    status, held, tried = asyncio.run(story())
    assert (status, held, tried) == ("completed", [RunHeld("code_changed", "a")], 0)


def test_an_error_of_the_stage_s_own_of_that_name_holds_nothing() -> None:
    """It has begun, and failed; what it calls that is its own business."""

    async def story() -> tuple[str, list[str]]:
        hand = RunByHand(sealed(stage("a", retry=Retry(2, 0, jitter=False))))
        (await hand.taken("a.1"))(refused("code_changed", "failed"))
        await hand.end("a.2")
        return await hand.settled(), hand.kinds

    status, kinds = asyncio.run(story())
    assert status == "completed" and "RunHeld" not in kinds


def test_a_test_and_a_rollback_hold_it_too() -> None:
    """Nothing is judged, or undone, by other code."""

    async def story() -> tuple[str, list[RunHeld]]:
        python = Condition("python", {"function": "m:f"})
        hand = RunByHand(sealed(stage("a", source=SOURCE, validate=(python,), rollback=UNDO)))
        (await hand.taken("a.1.fetch.1"))(FOUND)
        await hand.end("a.1")
        (await hand.taken("a.1.test.1"))(refused("code_gone"))
        await hand.until(lambda: hand.run.state.held)
        hand.say("resume")
        await hand.end("a.1.test.2", findings=(NOT_HELD,))
        (await hand.taken("a.1.rollback.1"))(refused("code_changed"))
        await hand.until(lambda: hand.run.state.held)
        hand.say("resume")
        await hand.end("a.1.rollback.2")
        status = await hand.settled()
        return status, [entry.body for entry in hand.entries if isinstance(entry.body, RunHeld)]

    status, held = asyncio.run(story())
    assert (status, held) == ("rolled_back", [RunHeld("code_gone", "a"), RunHeld("code_changed", "a")])


def test_what_runs_no_code_is_told_of_none() -> None:
    """A condition that looks at the world otherwise needs no code to be there."""

    async def story() -> str:
        hand = RunByHand(sealed(stage("a", source=SOURCE, validate=(LOOK,))))
        (await hand.taken("a.1.fetch.1"))(FOUND)
        await hand.end("a.1")
        await hand.end("a.1.test.1", findings=(HELD,))
        return await hand.settled()

    assert asyncio.run(story()) == "completed"
