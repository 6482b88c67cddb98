"""A run's state is what its journal amounts to, entry by entry."""

from __future__ import annotations

from tests.core.running.story import ASKED, DATA, LOOK, Story, back_to, stage
from tests.core.running.walk import portrait

from clew.core.program.model import InputDependency, Output, Rollback
from clew.core.running.actions import SearchDependencies, StartAttempt
from clew.core.running.consequences import inputs_missing
from clew.core.running.entries import (
    AttemptEnded,
    BlockValidated,
    DependenciesFound,
    ObjectsKept,
    ReportRefused,
    RollbackEnded,
    RollbackPlanned,
    RollbackStarted,
    RunHeld,
    RunReleased,
    RunSettled,
    RunTaken,
    StageFailed,
    StageSkipped,
    StageWaiting,
    UndoBlock,
    UndoStage,
    ValidationEnded,
    WhenTested,
)


def test_a_run_is_queued_until_something_is_ordered() -> None:
    """Its first entry says what it is; the first order sets it running."""
    story = Story(stage("a"))
    state = story.state
    assert (state.run_id, state.run_name, state.requested_by, state.generation) == ("run-1", "a", "test", 1)
    assert (state.status, state.created_at, state.is_settled) == ("queued", 1_000, False)
    story.start("a")
    assert state.status == "running"


def test_a_run_waits_when_nothing_runs_and_data_is_missing() -> None:
    """It is waiting only while no stage of it is active."""
    story = Story(stage("a", dependencies=DATA), stage("b"))
    story.say(StageWaiting("a", 1, 9_000, 1_010))
    assert story.state.status == "waiting"
    story.start("b")
    assert story.state.status == "running"
    story.end("b", "completed", "completed")
    assert story.state.status == "waiting"
    story.say(DependenciesFound("a", 1_010)).start("a")
    assert story.state.status == "running"


def test_now_is_fixed_by_the_first_entry_that_says_it() -> None:
    """Later attempts, and later looks for data, see the same `now`."""
    story = Story(stage("a", when="true", dependencies=DATA)).say(WhenTested("a", True, 1_010))
    story.say(StageWaiting("a", 1, 9_000, 5_000), DependenciesFound("a", 6_000)).start("a")
    assert story.stage("a").now_at == 1_010
    assert Story(stage("a")).start("a").stage("a").now_at == 1_010
    story = (
        Story(stage("a", for_each="{file}", dependencies=DATA))
        .say(DependenciesFound("a", 1_015))
        .make("a", 1)
    )
    assert (story.stage("a").now_at, story.start("a[0]").stage("a[0]").now_at) == (1_015, 1_015)
    story = Story(stage("a", dependencies=DATA)).say(StageWaiting("a", 1, 9_000, 1_015))
    assert story.say(DependenciesFound("a", 7_000)).start("a").stage("a").now_at == 1_015
    assert Story(stage("a", for_each=[1])).make("a", 1).stage("a[0]").now_at == 1_010
    story = Story(stage("a", rollback=Rollback("commands", restore=("data/file",)))).say(
        ObjectsKept("a", 1, 1_030)
    )
    assert story.start("a").stage("a").now_at == 1_030


def test_a_stage_has_started_with_its_first_attempt_or_when_its_items_are_made() -> None:
    """Later attempts change nothing of that; an item has started with its own."""
    story = (
        Story(stage("a"), stage("b", for_each=[1]))
        .start("a")
        .end("a", "failed", "started")
        .start("a")
        .make("b", 1)
    )
    story.start("b[0]")
    assert [story.stage(name).started_at for name in ("a", "b", "b[0]")] == [1_010, 1_040, 1_050]


def test_each_name_is_written_by_the_entry_that_recorded_it() -> None:
    """Dependencies when they are found, outputs when their stage is done, defaults when it is skipped."""
    story = Story(
        stage("a", dependencies=DATA, writes=["x"]),
        stage("b", when="false", writes=["y", Output("z", has_default=True)]),
    )
    story.say(WhenTested("b", False, 1_010), StageSkipped("b"), DependenciesFound("a", 1_010)).start("a")
    assert story.state.written == {"z": 2, "file": 3}
    story.end("a", "completed", "completed")
    assert story.state.written == {"z": 2, "file": 3, "x": 5}


def test_outputs_count_when_they_are_valid_and_are_those_of_the_last_execution() -> None:
    """Until validation has held the map has none of them; a re-execution replaces what came before."""
    story = Story(stage("a", writes=["x"], validate=(LOOK,))).start("a").end("a", "completed", "validating")
    assert story.state.written == {}
    executed_at = story.stage("a").executed_at
    story.start("a", reexecution=True).end("a", "completed", "validating")
    assert story.stage("a").executed_at == executed_at, "the conditions' clocks do not start again"
    story.say(ValidationEnded("a", 2, "held", 3, "completed"))
    assert story.state.written == {"x": 4}


def test_a_failed_validation_starts_the_clocks_anew() -> None:
    """The next attempt under `retry` has the whole time again, and counts."""
    story = Story(stage("a", validate=(LOOK,))).start("a").end("a", "completed", "validating")
    story.say(ValidationEnded("a", 1, "not_held", 1, "started", 7_000))
    found = story.stage("a")
    assert (found.status, found.executed_at, found.tried, found.retry_at) == ("started", 0, 1, 7_000)
    assert (found.error_kind, found.outcome) == ("validation", "completed")


def test_the_first_attempt_pins_the_code() -> None:
    """Later attempts keep the digests of the first."""
    story = (
        Story(stage("a")).start("a", code={"execute": "1"}).end("a", "failed", "started", error_kind="exit")
    )
    story.start("a", code={"execute": "2"}, inputs={"x": 1})
    assert story.stage("a").code == {"execute": "1"} and story.stage("a").inputs == {"x": 1}


def test_an_ordered_attempt_may_act_until_all_are_shown_not_to_have_begun() -> None:
    """The order alone makes it so; `not_begun` takes that back only when no other attempt may have acted."""
    story = Story(stage("a")).start("a")
    assert story.stage("a").may_have_acted
    story.end("a", "not_begun", "started")
    assert not story.stage("a").may_have_acted
    story.start("a").end("a", "failed", "started", error_kind="exit").start("a").end(
        "a", "not_begun", "started"
    )
    assert story.stage("a").may_have_acted
    assert story.stage("a").outcomes == ("not_begun", "failed", "not_begun")


def test_the_first_failure_is_the_one_that_is_kept() -> None:
    """A sibling that fails afterwards changes nothing of what the run failed by."""
    story = Story(stage("a"), stage("b", dependencies=DATA), stage("c")).start("a", "c")
    story.end("c", "failed", "failed", error_kind="exit")
    seq = story.state.seq
    story.say(StageFailed("b", "ambiguous"))
    assert (story.state.failed_stage, story.state.error_seq, story.stage("b").error_kind) == (
        "c",
        seq,
        "ambiguous",
    )
    assert story.state.ending and story.stage("b").ended_at


def test_a_block_is_passed_when_it_is_done_and_valid() -> None:
    """Conditions of its own keep a block open until they have held."""
    story = Story(stage("a", writes=["x"]), stage("b", reads=["x"]), validate=(LOOK,)).complete("a")
    assert (story.state.block, story.state.open_stages) == (1, 0)
    assert story.state.block_done_at == story.at - 10
    story.say(BlockValidated(1, "held", 2))
    assert (story.state.block, story.state.open_stages, story.state.block_validated) == (2, 1, False)
    story.complete("b")
    assert story.state.block == 3


def test_a_block_that_is_not_valid_fails_the_run() -> None:
    """It is the block that failed, not a stage of it."""
    story = Story(stage("a"), validate=(LOOK,)).complete("a").say(BlockValidated(1, "error", 2))
    assert (story.state.block_failed, story.state.failed_stage, story.state.ending) == (1, "", "failure")


def test_another_orchestrator_changes_the_epoch_and_nothing_else() -> None:
    """Its entries carry it."""
    story = Story(stage("a")).start("a")
    story.epoch = 2
    story.say(RunTaken("other"))
    assert (story.state.epoch, story.state.status, story.stage("a").in_flight) == (2, "running", True)


def back(story: Story, *stages: str, outcome: str = "failed") -> Story:
    blocks = tuple(UndoBlock(1, (UndoStage(name, outcome),)) for name in stages)
    return story.say(RollbackPlanned("failure", blocks, (), stages[0]))


def test_the_plan_of_the_way_back_fixes_the_case_that_each_rollback_is_told() -> None:
    """The run is rolling back from then on, with its cause."""
    story = back(Story(stage("a")).fail("a"), "a", outcome="unknown")
    assert (story.state.status, story.state.cause) == ("rolling_back", "failure")
    assert story.stage("a").outcome == "unknown" and "a" in story.state.touched


def test_a_rollback_in_flight_and_its_end() -> None:
    """Tries are counted apart from the attempts; what is undone closes its place in the plan."""
    story = back(Story(stage("a")).fail("a"), "a").say(RollbackStarted("a", 1, "failed"))
    found = story.stage("a")
    assert (found.status, found.rollback_in_flight, found.rollback_attempts) == ("rolling_back", True, 1)
    story.say(RollbackEnded("a", 1, "failed", "rolling_back", "exit", 4_000))
    assert (found.rollback_in_flight, found.rollback_tried, found.rollback_retry_at) == (False, 1, 4_000)
    story.say(RollbackStarted("a", 2, "failed"), RollbackEnded("a", 2, "completed", "rolled_back"))
    assert (found.status, found.ended_at, story.state.undo_position) == ("rolled_back", story.at - 10, 1)


def test_a_release_gives_failed_rollbacks_their_tries_back() -> None:
    """Only those that had failed; the run rolls on."""
    story = Story(stage("a"), stage("b")).complete("b").fail("a")
    story.say(
        RollbackPlanned("failure", (UndoBlock(1, (UndoStage("a", "failed"), UndoStage("b", "completed"))),))
    )
    story.say(RollbackStarted("a", 1, "failed"), RollbackEnded("a", 1, "failed", "rollback_failed", "exit"))
    story.say(RollbackStarted("b", 1, "completed"), RollbackEnded("b", 1, "completed", "rolled_back"))
    story.say(RunHeld("rollback_failed", "a"))
    assert (story.state.status, story.state.held) == ("rollback_failed", "rollback_failed")
    story.say(RunReleased("somebody"))
    found = story.stage("a")
    assert (story.state.status, found.status, found.rollback_tried) == ("rolling_back", "rolling_back", 0)
    assert story.stage("b").status == "rolled_back" and story.state.held == ""


def test_what_ends_while_the_run_is_held_does_not_set_it_going() -> None:
    """Only a person does; then it is running, or waiting, as its stages say."""
    story = Story(stage("a"), stage("b", dependencies=DATA)).start("a").say(RunHeld("code_gone", "b"))
    story.end("a", "completed", "completed")
    assert story.state.status == "held"
    story.say(StageWaiting("b", 1, 9_000, 1_010), RunReleased("somebody"))
    assert story.state.status == "waiting"
    other = Story(stage("a")).say(RunHeld("code_gone", "a"), RunReleased("somebody"))
    assert other.state.status == "running"


def test_a_settled_run_says_how_and_when() -> None:
    """Its status is final, with what is left standing."""
    story = Story(stage("a", rollback=Rollback())).complete("a").say(RunSettled("completed"))
    assert story.state.is_settled and story.state.ended_at == story.at - 10


def test_an_attempt_that_ends_while_the_run_fails_leaves_its_outputs_to_its_rollback() -> None:
    """They are on record, and not in the map."""
    story = Story(stage("a"), stage("b", writes=["x"])).start("b").fail("a")
    story.say(AttemptEnded("b", 1, "completed", "cancelled"))
    assert story.stage("b").written_seq == story.state.seq and story.state.written == {}


def test_folding_a_journal_again_gives_the_same_state() -> None:
    """There is no second path: what a driver holds is what its successor finds."""
    story = Story(stage("a", writes=["x"]), stage("b", reads=["x"])).complete("a").fail("b")
    assert portrait(story.again()) == portrait(story.state)
    assert story.again().touched == story.state.touched


# ---- inputs ----------------------------------------------------------------------------------------------


def test_an_input_can_be_supplied_before_its_stage_asks_for_it_and_again_until_it_has_begun() -> None:
    """The last word counts; a stage that waits looks again at once, and what it has found is no longer replaced."""
    story = Story(stage("a", writes=["x"]), stage("b", reads=["x"], dependencies=ASKED))
    story.tell("supply", word="early")
    assert inputs_missing(story.state, story.stage("b")) == []
    story.complete("a").tell("supply", word="later")
    assert story.state.supplied == {"word": story.state.seq}
    story.say(DependenciesFound("b", 1_500))
    assert (
        story.refusal("supply", word="too late") == "'word' was supplied already, and 'b' has begun with it"
    )


def test_a_stage_that_waits_for_an_input_looks_again_when_it_is_supplied() -> None:
    """Not only when it would have."""
    story = Story(stage("a", dependencies=ASKED)).say(StageWaiting("a", 1, 99_000, 1_500))
    assert story.state.status == "waiting"
    story.tell("supply", word="yes")
    assert story.due() == [SearchDependencies("a", 0)]


def test_a_new_pass_asks_again_for_the_inputs_that_the_last_one_used() -> None:
    """One that was supplied and not used yet is still there."""
    story = Story(
        stage("a", dependencies=ASKED),
        stage("b", after=("a",), rollback=back_to("a")),
        stage("c", after=("b",), dependencies=(InputDependency("later"),)),
    )
    story.tell("supply", word="yes").say(DependenciesFound("a", 1_500)).complete("a").tell("supply", later=1)
    story.fail("b").follow().undo("b", "a").follow()
    assert list(story.state.supplied) == ["later"]
    assert [one.name for one in inputs_missing(story.state, story.stage("a"))] == ["word"]


def test_an_input_is_refused_that_nobody_waits_for() -> None:
    """One that the program does not have, with what it has; and any, once the run goes back or has settled."""
    story = Story(stage("a", dependencies=ASKED))
    assert story.refusal("supply", wort=1) == "it has no input 'wort'; did you mean 'word'?"
    assert story.refusal("supply", other=1) == "it has no input 'other'; it has word"
    assert Story(stage("a")).refusal("supply", word=1) == "it has no input 'word'; it has none"
    story.tell("cancel")
    assert story.refusal("supply", word=1) == "it is going back"
    held = Story(stage("a", writes=["x"]), stage("b", reads=["x"], dependencies=ASKED)).fail("a").follow()
    assert held.refuse_to_be_undone("a").follow().refusal("supply", word=1) == "it is going back"
    assert story.follow().refusal("supply", word=1) == "it is rolled_back already"


# ---- late reports ----------------------------------------------------------------------------------------


def test_a_report_that_comes_too_late_changes_nothing_but_that_it_is_on_record() -> None:
    """That it was refused is known, so that it is recorded once; an attempt and a rollback's try are told apart."""
    story = Story(stage("a")).start("a").end("a", "unknown", "started", error_kind="lost").start("a")
    before = portrait(story.state)
    story.say(ReportRefused("a", 1, "completed"))
    assert story.state.refused == {("a", 1, False)}
    after = {**portrait(story.state), "refused": set(), "seq": before["seq"]}
    assert after == before
    story.say(ReportRefused("a", 1, "completed", True))
    assert story.state.refused == {("a", 1, False), ("a", 1, True)}


# ---- objects that are put back ---------------------------------------------------------------------------


def test_what_was_kept_and_how_an_attempt_left_it_stand_in_entries_of_this_pass() -> None:
    """An attempt that never began has left nothing; each other one leaves the objects in its own way."""
    story = Story(stage("a", rollback=Rollback("commands", restore=("data/file",), to="a"))).say(
        ObjectsKept("a", 1)
    )
    found = story.stage("a")
    assert (found.kept_seq, found.left_seq) == (1, -1)
    story.start("a").end("a", "not_begun", "started", error_kind="executor")
    assert found.left_seq == -1
    story.start("a").end("a", "failed", "started", error_kind="exit")
    assert found.left_seq == story.state.seq
    story.fail("a")
    assert (found.kept_seq, found.left_seq) == (1, story.state.seq)
    story.follow().undo("a").follow()
    assert (story.stage("a").kept_seq, story.stage("a").left_seq) == (-1, -1)
    other = Story(stage("a")).complete("a")
    assert other.stage("a").left_seq == -1


# ---- skipping and being skipped --------------------------------------------------------------------------


def test_a_person_can_give_what_a_skipped_stage_would_have_written() -> None:
    """Its outputs are then those given; whoever needs them goes on, and a default need not be given."""
    story = Story(
        stage("a", writes=["x", Output("y", has_default=True)]),
        stage("b", reads=["x"]),
        stage("c", reads=["y"]),
    )
    story.start("a").end("a", "failed", "started").say(RunHeld("code_gone", "a"))
    assert story.refusal("skip", "a") == "other stages need what 'a' would give: give 'x' (for 'b')"
    assert story.refusal("skip", "a", z=1) == "'a' has no output 'z'; it writes x, y"
    story.tell("skip", "a", x=7)
    assert story.state.written == {"x": story.state.seq, "y": story.state.seq}
    assert story.due() == [StartAttempt("b", 1, 0), StartAttempt("c", 1, 0)]


def test_what_can_not_be_skipped_says_why() -> None:
    """What is done, what has not come, what is under way, an item by itself, and what there is not."""
    story = Story(stage("a", writes=["x"]), stage("b", for_each=[1]), stage("c", reads=["x"]), stage("d"))
    assert story.refusal("skip", "a") == "it is queued: no person is needed"
    story.complete("a").make("b", 1).start("b[0]").say(RunHeld("code_gone", "d"))
    assert story.refusal("skip", "a") == "'a' is completed, and not what the run waits for"
    assert story.refusal("skip", "c") == "'c' is pending, and not what the run waits for"
    assert story.refusal("skip", "b") == "'b' has an attempt under way"
    assert story.refusal("skip", "b[0]") == "an item can't be skipped by itself; skip 'b'"
    assert story.refusal("skip", "e") == "it has no stage 'e'; it has a, b, d, c"
