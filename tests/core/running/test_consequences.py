"""What an attempt's end, a validation or a search makes of its stage."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.core.running.story import IMPOSSIBLE, LOOK, Story, back_to, last, stage, three_blocks

from clew.core.program.model import Condition, Delay, InputDependency, Retry
from clew.core.running.consequences import (
    ERROR_BUDGET_MILLISECONDS,
    INTERVAL_MILLISECONDS_MAX,
    NOT_BEGUN_MILLISECONDS,
    NOT_BEGUN_MILLISECONDS_MAX,
    Verdict,
    attempt_ended,
    inputs_due_at,
    look_again_at,
    looks_evenly,
    rollback_ended,
    validation_ended,
    verdict_of,
)
from clew.core.running.consequences import (
    Tested as Finding,
)
from clew.core.running.entries import RollbackStarted, RunHeld, RunReleased
from clew.core.running.fold_back import INTERRUPTED, INTERRUPTIONS_MAX
from clew.core.running.retry import DELAY_MILLISECONDS_MAX
from clew.core.running.rollback import plan_rollback, way_back

TWICE = Retry(attempts=2, delay_milliseconds=100, jitter=False)


def ended(story: Story, name: str, outcome: str, kind: str = "", at: int = 5_000) -> tuple[str, int]:
    """Take in how the stage's attempt ended; what the stage becomes, and when it is due again."""
    body = attempt_ended(story.state, story.stage(name), outcome, kind, at=at, jitter_permille=0)
    story.say(body)
    return body.becomes, body.retry_at


def undone(story: Story, name: str, outcome: str, kind: str = "", at: int = 5_000) -> tuple[str, int]:
    """The same for a try at its rollback, which is ordered first."""
    story.say(RollbackStarted(name, story.stage(name).rollback_attempts + 1, story.stage(name).outcome))
    body = rollback_ended(story.stage(name), outcome, kind, at=at, jitter_permille=0)
    story.say(body)
    return body.becomes, body.retry_at


def test_a_stage_with_conditions_is_validated_and_one_without_is_done() -> None:
    """Executing completes a stage, unless there is something to test."""
    story = Story(stage("a"), stage("b", validate=(LOOK,))).start("a", "b")
    assert ended(story, "a", "completed") == ("completed", 0)
    assert ended(story, "b", "completed") == ("validating", 0)


def test_retries_are_used_up_and_then_it_has_failed() -> None:
    """Failed attempts and failed validations count alike against `retry`."""
    story = Story(stage("a", retry=TWICE, validate=(LOOK,))).start("a")
    assert ended(story, "a", "failed", "exit") == ("started", 5_100)
    story.start("a")
    assert ended(story, "a", "completed") == ("validating", 0)
    last = validation_ended(story.stage("a"), "not_held", 4, at=6_000, jitter_permille=0)
    assert (last.becomes, last.retry_at, last.tests) == ("failed", 0, 4)


def test_a_failed_validation_is_retried_and_a_held_one_completes() -> None:
    """While tries are left a validation that fails orders another attempt."""
    story = Story(stage("a", retry=TWICE, validate=(LOOK,))).start("a")
    ended(story, "a", "completed")
    stage_state = story.stage("a")
    assert validation_ended(stage_state, "error", 1, at=6_000, jitter_permille=0).retry_at == 6_100
    assert validation_ended(stage_state, "held", 1, at=6_000, jitter_permille=0).becomes == "completed"


def test_an_error_that_is_not_worth_it_is_not_retried() -> None:
    """`retry.on` says which kinds of error are."""
    story = Story(stage("a", retry=Retry(attempts=5, on=("exit",)))).start("a")
    assert ended(story, "a", "failed", "ValueError") == ("failed", 0)


def test_losing_the_orchestrator_is_not_the_stages_failure_until_it_is_too_often() -> None:
    """Five interruptions are free; from then on each counts against `retry`, so that it comes to an end."""
    story = Story(stage("a", retry=TWICE))
    for _ in range(INTERRUPTIONS_MAX):
        assert ended(story.start("a"), "a", "unknown", INTERRUPTED) == ("started", 5_000)
    assert ended(story.start("a"), "a", "unknown", INTERRUPTED) == ("started", 5_100)
    assert ended(story.start("a"), "a", "unknown", INTERRUPTED) == ("failed", 0)
    assert (story.stage("a").interruptions, story.stage("a").tried) == (INTERRUPTIONS_MAX, 2)


def test_what_never_began_is_ordered_again_ever_later_and_counts_for_nothing() -> None:
    """Each time in a row takes twice as long, up to a minute; an attempt that began starts that over."""
    story = Story(stage("a", retry=TWICE))
    waits = [ended(story.start("a"), "a", "not_begun", "executor")[1] - 5_000 for _ in range(12)]
    assert waits[:3] == [NOT_BEGUN_MILLISECONDS, 2 * NOT_BEGUN_MILLISECONDS, 4 * NOT_BEGUN_MILLISECONDS]
    assert waits[-1] == NOT_BEGUN_MILLISECONDS_MAX
    assert story.stage("a").tried == 0 and not story.stage("a").may_have_acted
    assert ended(story.start("a"), "a", "failed", "exit")[0] == "started"
    assert ended(story.start("a"), "a", "not_begun", "executor") == (
        "started",
        5_000 + NOT_BEGUN_MILLISECONDS,
    )
    assert story.stage("a").may_have_acted


def test_whatever_ends_while_the_run_fails_is_cancelled() -> None:
    """A sibling's failure decides; how this attempt ended is only told to its rollback."""
    story = Story(stage("a"), stage("b"), stage("c", retry=TWICE), stage("d")).start("b", "c", "d").fail("a")
    assert ended(story, "b", "completed") == ("cancelled", 0)
    assert ended(story, "c", "failed", "exit") == ("cancelled", 0)
    assert ended(story, "d", "cancelled", "cancelled") == ("cancelled", 0)
    assert story.stage("b").outcome == "completed"


def test_what_fails_for_good_while_the_run_fails_has_failed_too() -> None:
    """It is heard in how far the run goes back; the first error stays the one that started it. Once a person has
    ended the run nobody asks any more."""
    story = three_blocks(last("c", rollback=back_to("b")), last("d", rollback=back_to("a")))
    story.start("c", "d").end("c", "failed", "failed", error_kind="exit")
    assert ended(story, "d", "timed_out", "timed_out") == ("failed", 0)
    assert (way_back(story.state).to, story.state.failed_stage) == (1, "c")
    story = Story(stage("a"), stage("b")).start("a", "b").tell("cancel")
    assert ended(story, "a", "failed", "exit") == ("cancelled", 0)


def test_what_ends_while_a_point_of_no_return_bars_the_way_back_goes_on() -> None:
    """The run waits for a person, and what was in flight is retried or done as if nothing had happened."""
    story = Story(
        stage("p", rollback=IMPOSSIBLE), stage("a", retry=TWICE), stage("b", validate=(LOOK,)), stage("c")
    )
    story.complete("p").start("a", "b").fail("c").follow()
    assert ended(story, "a", "failed", "exit") == ("started", 5_100)
    assert ended(story, "b", "completed") == ("validating", 0)


def failing(**given: object) -> Story:
    story = Story(stage("a", **given)).fail("a")
    return story.say(plan_rollback(story.state))


def test_a_rollback_is_retried_by_its_own_policy() -> None:
    """Its tries are used up, and then it has failed; done is done."""
    story = failing()
    assert undone(story, "a", "failed", "exit") == ("rolling_back", 5_100)
    assert undone(story, "a", "timed_out", "timed_out") == ("rollback_failed", 0)
    story.say(RunHeld("rollback_failed", "a"), RunReleased("somebody"))
    assert undone(story, "a", "completed") == ("rolled_back", 0)


def test_a_rollback_survives_orchestrators_and_ends_all_the_same() -> None:
    """Interruptions are free five times, what never began always, and both are tried again."""
    story = failing()
    for _ in range(INTERRUPTIONS_MAX):
        assert undone(story, "a", "unknown", INTERRUPTED) == ("rolling_back", 5_000)
    assert undone(story, "a", "not_begun", "executor") == ("rolling_back", 5_000 + NOT_BEGUN_MILLISECONDS)
    assert undone(story, "a", "not_begun", "executor") == ("rolling_back", 5_000 + 2 * NOT_BEGUN_MILLISECONDS)
    assert undone(story, "a", "unknown", INTERRUPTED) == ("rolling_back", 5_100)
    assert undone(story, "a", "unknown", INTERRUPTED) == ("rollback_failed", 0)


def test_what_is_told_to_begin_its_rollback_again_does_so_soon() -> None:
    """Only those tries count towards the wait that did not begin in a row: none before a failed one, none before a
    person's word, none of a pass before."""
    story = failing()
    for _ in range(4):
        undone(story, "a", "not_begun", "executor")
    undone(story, "a", "failed", "exit")
    assert undone(story, "a", "not_begun", "executor") == ("rolling_back", 5_000 + NOT_BEGUN_MILLISECONDS)
    assert undone(story, "a", "failed", "exit") == ("rollback_failed", 0)
    story.say(RunHeld("rollback_failed", "a")).tell("resume")
    assert undone(story, "a", "not_begun", "executor") == ("rolling_back", 5_000 + NOT_BEGUN_MILLISECONDS)
    undone(story, "a", "completed")
    story.follow().tell("rewind", "a").follow().fail("a").follow()
    assert undone(story, "a", "not_begun", "executor") == ("rolling_back", 5_000 + NOT_BEGUN_MILLISECONDS)


def test_looks_for_data_grow_apart_up_to_the_ceiling() -> None:
    """Without a ceiling a year is the most."""
    assert [look_again_at(Delay(100, 2), look, at=1_000) for look in (1, 2, 3)] == [1_100, 1_200, 1_400]
    assert look_again_at(Delay(100, 2, 150), 3, at=0) == 150
    assert look_again_at(Delay(100, 2), 5_000, at=0) == DELAY_MILLISECONDS_MAX
    assert look_again_at(Delay(100, 1e300), 5_000, at=0) == DELAY_MILLISECONDS_MAX


def test_looks_come_evenly_once_they_do_not_grow_apart_any_more() -> None:
    """Without growth they do from the first on."""
    assert looks_evenly(Delay(100), 1)
    assert [looks_evenly(Delay(100, 2, 400), look) for look in (1, 2, 3, 4)] == [False, False, True, True]


def test_the_first_input_that_is_late_decides_until_when_a_stage_waits() -> None:
    """Deadlines count from the stage's `now`; without one it is waited for as long as anything is."""
    soon, late, ever = InputDependency("a", None, 500), InputDependency("b", None, 900), InputDependency("c")
    assert inputs_due_at([late, soon, ever], now=1_000) == 1_500
    assert inputs_due_at([ever], now=1_000) == 1_000 + DELAY_MILLISECONDS_MAX


# ---- a round of tests ----


def looked(verdict: str, *, lasting: bool = False, **given: object) -> Finding:
    return Finding(Condition("look", **given), verdict, lasting)


def test_conditions_that_all_hold_are_held() -> None:
    """Nothing fails, nothing is waited for."""
    assert verdict_of([looked("held"), looked("held")], 1, clock_start=0, at=0) == Verdict("held")


def test_without_a_time_one_test_is_all() -> None:
    """A condition that does not hold has failed at once; one that can't be told is asked for a while."""
    assert verdict_of([looked("not_held")], 1, clock_start=0, at=0) == Verdict("not_held")
    again = verdict_of([looked("error", interval_milliseconds=200)], 1, clock_start=0, at=0)
    assert again == Verdict("again", 200)
    assert verdict_of([looked("error")], 9, clock_start=0, at=ERROR_BUDGET_MILLISECONDS) == Verdict("error")


def test_each_condition_has_its_own_time_and_the_first_to_run_out_decides() -> None:
    """The next round is never later than the end of the shortest time."""
    short = looked("error", maximum_time_milliseconds=500, interval_milliseconds=1_000)
    long = looked("not_held", maximum_time_milliseconds=9_000, interval_milliseconds=1_000)
    assert verdict_of([short, long], 1, clock_start=100, at=200) == Verdict("again", 600)
    assert verdict_of([short, long], 2, clock_start=100, at=600) == Verdict("error")


def test_a_clock_that_is_put_back_gives_conditions_no_more_time() -> None:
    """What was waited between the rounds counts, when by the clock nothing has begun yet."""
    assert verdict_of([looked("not_held")], 1, clock_start=90_000, at=100) == Verdict("not_held")
    timed = [
        looked("not_held", maximum_time_milliseconds=4_000, interval_milliseconds=1_000, reexecute=True),
        looked("held", interval_milliseconds=2_000),
    ]
    verdicts = [verdict_of(timed, rounds, clock_start=90_000, at=100).verdict for rounds in (1, 2, 3, 4)]
    assert verdicts == ["again", "again", "again", "not_held"], "after 0, 1, 2.5 and 4.75 seconds"
    assert verdict_of(timed, 4, clock_start=100, at=100).verdict == "again", "the clock is as good as any"


def test_what_looks_only_at_recorded_outputs_is_tested_once_unless_they_can_change() -> None:
    """Its time counts only when the stage is executed again in between."""
    pure = looked("not_held", lasting=True, maximum_time_milliseconds=9_000)
    assert verdict_of([pure], 1, clock_start=0, at=0) == Verdict("not_held")
    changing = looked("not_held", maximum_time_milliseconds=9_000, reexecute=True)
    assert verdict_of([pure, changing], 1, clock_start=0, at=0) == Verdict("again", 1_000, True)


def test_an_error_executes_nothing_again() -> None:
    """A server's error is not "false": the stage is executed again only for what does not hold."""
    unsure = looked("error", maximum_time_milliseconds=9_000, reexecute=True)
    assert verdict_of([unsure], 1, clock_start=0, at=0).reexecute is False


@given(rounds=st.integers(1, 10**6), interval=st.integers(0, 10**6), at=st.integers(0, 10**9))
def test_rounds_grow_apart_but_always_come(rounds: int, interval: int, at: int) -> None:
    """The next round comes after now and within a minute, or when the time is up."""
    condition = looked("not_held", maximum_time_milliseconds=2 * 10**9, interval_milliseconds=interval)
    verdict = verdict_of([condition], rounds, clock_start=0, at=at)
    assert verdict.verdict == "again"
    assert at < verdict.again_at <= at + INTERVAL_MILLISECONDS_MAX
