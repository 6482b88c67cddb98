"""What can be known of an instruction before it is said, and of its end."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.running.story import UNDO, Story, stage

from clew.cli.output import Output
from clew.cli.telling import print_ends
from clew.core.program.model import Rollback
from clew.core.running import entries as kinds
from clew.core.running.instructions import Instruction
from clew.operations.instructing import checked_instruction, ends_of, foreseen, verbs_now
from clew.operations.records import History
from clew.operations.requests import RequestError

LEAVES = Rollback()
IMPOSSIBLE = Rollback("impossible")


def history(story: Story, values: dict[int, Any] | None = None) -> History:
    journal = [(stored.content.decode(), stored.hash) for stored in story.stored]
    return History({"run_id": "run-1"}, story.program, journal, values or {})


# ---- what would be undone --------------------------------------------------------------------------------


def test_what_a_cancel_would_do() -> None:
    """What is in flight is ended; what may have acted is undone, last block first; what declares no rollback stays,
    and so the run would be failed. Looking ahead changes nothing."""
    story = Story(stage("a"), stage("b", after=("a",), rollback=LEAVES), stage("c", after=("b",)), stage("d"))
    story.complete("a", "d", "b").start("c")
    told = history(story)
    before = told.state.ending
    would = foreseen(told, "cancel")
    assert would["ends"] == [{"stage": "c", "attempt": 1}]
    assert [(block["index"], [one["stage"] for one in block["stages"]]) for block in would["undo"]] == [
        (3, ["c"]), (1, ["a", "d"])
    ]  # fmt: skip
    assert [(item["stage"], item["why"]) for item in would["residue"]] == [("b", "undeclared")]
    assert (would["becomes"], would["again"], would["barred_by"]) == ("failed", [], "")
    assert told.state.ending == before


def test_what_bars_the_way() -> None:
    """Beyond a point of no return a cancel undoes nothing; a rollback undoes what came after."""
    story = Story(stage("a"), stage("b", after=("a",), rollback=IMPOSSIBLE), stage("c", after=("b",)))
    story.complete("a", "b").start("c")
    would = foreseen(history(story), "cancel")
    assert (would["barred_by"], would["becomes"]) == ("b", "held")
    assert (would["ends"], would["undo"], would["residue"]) == ([], [], [])
    story.end("c", "failed", "failed", error_kind="exit").say(kinds.RunHeld("point_of_no_return", "c"))
    would = foreseen(history(story), "rollback")
    assert [block["index"] for block in would["undo"]] == [3]
    assert [(item["stage"], item["why"]) for item in would["residue"]] == [
        ("b", "impossible"),
        ("a", "beyond"),
    ]
    assert would["becomes"] == "failed"


@pytest.mark.parametrize(("rollback", "becomes"), [(UNDO, "running"), (LEAVES, "held")])
def test_what_a_rewind_would_do(rollback: Rollback, becomes: str) -> None:
    """The stages from that block on run again, as far as the run had come; over what stays it would be held."""
    story = Story(stage("a"), stage("b", after=("a",), rollback=rollback), stage("c", after=("b",)))
    story.complete("a").complete("b")
    would = foreseen(history(story), "rewind", "b")
    assert (would["to"], would["again"], would["becomes"]) == (2, ["b", "c"], becomes)


# ---- what can be told ------------------------------------------------------------------------------------


def test_what_a_held_run_can_be_told() -> None:
    """Only what it can obey, with the outputs that have to be given."""
    story = Story(
        stage("a", rollback=IMPOSSIBLE),
        stage("b", after=("a",), writes=("x",)),
        stage("c", reads=("x",)),
    )
    story.complete("a").fail("b").say(kinds.RunHeld("point_of_no_return", "b"))
    told = [(one["verb"], one["stage"], one["outputs"]) for one in verbs_now(story.state)]
    assert told == [
        ("resume", "", []), ("retry", "b", []), ("skip", "b", ["x"]), ("rollback", "", []), ("stop", "", [])
    ]  # fmt: skip
    assert checked_instruction(history(story), Instruction("retry", "me", stage="B")).stage == "b"
    with pytest.raises(RequestError, match="run run-1: 'a' is completed, not failed"):
        checked_instruction(history(story), Instruction("retry", "me", stage="a"))


# ---- whether what ran was seen to end --------------------------------------------------------------------


def test_an_end_that_nobody_saw(capsys: pytest.CaptureFixture[str]) -> None:
    """An attempt that could not be shown to end is said to be so; one whose orchestrator was lost has ended with
    it. What was not seen to end before may act still, too; of what ended before there is nothing to say."""
    story = Story(stage("a"), stage("b"), stage("c"), stage("d"), stage("e"))
    story.complete("e").start("a", "b", "c", "d")
    story.end("d", "unknown", "started", error_kind="unkillable", retry_at=5_000)
    story.say(kinds.RunStopped("me"))
    story.end("a", "unknown", "cancelled", error_kind="unkillable")
    seq = story.state.seq
    story.end("b", "unknown", "cancelled", error_kind="interrupted")
    error = {"kind": "unkillable", "message": "it hangs"}
    ends = ends_of(history(story, {seq: {"error": error}}))
    assert ends is not None
    assert [(one["stage"], one["outcome"], one["is_seen"]) for one in ends] == [
        ("d", "unknown", False), ("a", "unknown", False), ("b", "unknown", True), ("c", "", False)
    ]  # fmt: skip
    assert ends[1]["error"] == error
    print_ends(ends, Output(colour="never"))
    assert capsys.readouterr().out == (
        "\nnot confirmed: d, attempt 1, was not seen to end, and may act still\n"
        "not confirmed: a, attempt 1, was not seen to end (it hangs), and may act still\n"
        "not waited for: c, attempt 1, which was told to end\n"
    )


def test_a_run_in_which_nothing_was_ended() -> None:
    """There is nothing to say of ends where nobody ended it, nor where the way back is barred: all goes on then."""
    story = Story(stage("a", rollback=IMPOSSIBLE), stage("b", after=("a",))).complete("a")
    assert ends_of(history(story)) == []
    story.start("b").say(kinds.RunCancelled("me"), kinds.RunHeld("point_of_no_return", "a"))
    assert ends_of(history(story)) is None
