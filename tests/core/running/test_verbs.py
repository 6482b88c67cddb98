"""Every verb in every state that a run can be in: whether it is obeyed, and where the run ends by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from tests.core.running.story import ASKED, IMPOSSIBLE, LOOK, Story, assert_moved_as_they_may, back_to, stage
from tests.core.running.walk import portrait

from clew.core.program.model import Rollback
from clew.core.running.consequences import expires
from clew.core.running.entries import (
    DependenciesFound,
    RunExpired,
    RunHeld,
    StageFailed,
    StageWaiting,
    ValidationEnded,
)
from clew.core.running.fold_back import CHANGED_SINCE

TO_B = back_to("b")


def new(a: Rollback | None = None, b: Rollback | None = None, c: Rollback | None = None) -> Story:
    """Three blocks of a stage each, and beside the second a stage that waits for an input."""
    given = [{} if one is None else {"rollback": one} for one in (a, b, c)]
    return Story(
        stage("a", writes=["x"], **given[0]),
        stage("b", reads=["x"], validate=(LOOK,), **given[1]),
        stage("w", reads=["x"], dependencies=ASKED),
        stage("c", after=("b", "w"), **given[2]),
    )


def at_b(**given: Rollback) -> Story:
    return new(**given).complete("a").say(StageWaiting("w", 1, 9_000, 1_000))


def at_c(**given: Rollback) -> Story:
    story = at_b(**given).tell("supply", word="yes").say(DependenciesFound("w", 1_000)).complete("w")
    return (
        story.start("b")
        .end("b", "completed", "validating")
        .say(ValidationEnded("b", 1, "held", 1, "completed"))
    )


def failed_at_c(**given: Rollback) -> Story:
    return at_c(**given).fail("c").follow()


def partly_back(**given: Rollback) -> Story:
    return failed_at_c(**{"c": TO_B, **given})


def missed() -> Story:
    return Story(stage("b", dependencies=ASKED)).say(StageFailed("b", "deadline")).follow()


STATES: Mapping[str, Callable[[], Story]] = {
    "queued": new,
    "waiting": at_b,
    "running": lambda: at_b().start("b"),
    "retry due": lambda: at_b().start("b").end("b", "failed", "started", error_kind="exit", retry_at=9_000),
    "validating": lambda: at_b().start("b").end("b", "completed", "validating"),
    "paused": lambda: at_b().tell("pause"),
    "paused in flight": lambda: at_b().start("b").tell("pause"),
    "being cancelled": lambda: at_b().start("b").tell("cancel"),
    "being stopped": lambda: at_b().start("b").tell("stop"),
    "being rewound": lambda: at_b().start("b").tell("rewind", "b"),
    "failing": lambda: at_b().start("b").say(StageFailed("w", "deadline")),
    "held: code_changed": lambda: at_b().start("b").end("b", "failed", "started").say(RunHeld("code_changed", "b")),
    "held: no return": lambda: failed_at_c(b=IMPOSSIBLE),
    "held: no return, cancelled": lambda: at_c(b=IMPOSSIBLE).tell("cancel").follow(),
    "partly back": lambda: partly_back().undo("c"),
    "partly back, cancelled": lambda: partly_back().tell("cancel"),
    "partly back, held: rollback_failed": lambda: partly_back().refuse_to_be_undone("c").follow(),
    "partly back, held: changed_since": lambda: partly_back().refuse_to_be_undone("c", CHANGED_SINCE).follow(),
    "partly back, held: code_gone": lambda: partly_back().say(RunHeld("code_gone", "c")),
    "partly back, held: not_undone": lambda: partly_back(b=Rollback()).undo("c", "w").follow(),
    "partly back, held: no return": lambda: partly_back(a=IMPOSSIBLE).tell("cancel").undo("c", "b", "w").follow(),
    "all the way back": lambda: failed_at_c().undo("c"),
    "all the way back, held: rollback_failed": lambda: failed_at_c().refuse_to_be_undone("c").follow(),
    "completed": lambda: at_c().complete("c").follow(),
    "completed, no return": lambda: at_c(b=IMPOSSIBLE).complete("c").follow(),
    "completed, nothing to undo": lambda: at_c(c=IMPOSSIBLE).complete("c").follow(),
    "failed": lambda: at_c().tell("stop").follow(),
    "rolled_back": lambda: failed_at_c().undo("c", "b", "w", "a").follow(),
    "missed": missed,
}  # fmt: skip

TABLE = """
                                         cancel stop pause unpause resume retry skip supply rollback rewind expire
queued                                   R      F    C     .       .      .     .    C      .        C      M
waiting                                  R      F    C     .       .      .     .    C      .        C      R
running                                  R      F    C     .       .      .     .    C      .        C      R
retry due                                R      F    C     .       .      .     .    C      .        C      R
validating                               R      F    C     .       .      .     .    C      .        C      R
paused                                   R      F    .     C       .      .     .    C      R        C      .
paused in flight                         R      F    .     C       .      .     .    C      R        C      .
being cancelled                          .      F    .     .       .      .     .    .      .        .      .
being stopped                            .      .    .     .       .      .     .    .      .        .      .
being rewound                            R      F    .     .       .      .     .    .      .        .      R
failing                                  R      F    .     .       .      .     .    .      .        .      R
held: code_changed                       R      F    .     .       C      .     C    C      R        C      .
held: no return                          .      F    .     .       C      C     C    .      F        .      .
held: no return, cancelled               .      F    .     .       C      .     .    .      F        .      .
partly back                              R      .    .     .       .      .     .    .      .        .      R
partly back, cancelled                   .      .    .     .       .      .     .    .      .        .      .
partly back, held: rollback_failed       .      F    .     .       C      C     C    .      R        .      .
partly back, held: changed_since         .      F    .     .       C      C     C    .      R        .      .
partly back, held: code_gone             .      F    .     .       C      .     C    .      R        .      .
partly back, held: not_undone            F      F    .     .       C      .     .    .      F        .      .
partly back, held: no return             .      F    .     .       C      .     .    .      F        .      .
all the way back                         .      .    .     .       .      .     .    .      .        .      .
all the way back, held: rollback_failed  .      F    .     .       R      R     F    .      R        .      .
completed                                .      .    .     .       .      .     .    .      R        C      .
completed, no return                     .      .    .     .       .      .     .    .      F        .      .
completed, nothing to undo               .      .    .     .       .      .     .    .      .        .      .
failed                                   .      .    .     .       .      .     .    .      R        C      .
rolled_back                              .      .    .     .       .      .     .    .      .        C      .
missed                                   .      .    .     .       .      .     .    .      .        C      .
"""
"""`.`: it is refused, and nothing changes. A letter: it is obeyed, and the run ends as completed, rolled back, failed
or missed, once all goes well. What is retried or skipped is the stage that the run waits for; what it is rewound to is
`b`, or what comes first where nothing is done."""

ENDS = {"C": "completed", "R": "rolled_back", "F": "failed", "M": "missed"}
VERBS, *ROWS = (line for line in TABLE.splitlines() if line)
CELLS = [
    (row[:41].strip(), verb, row[41:].split()[at]) for row in ROWS for at, verb in enumerate(VERBS.split())
]


def target(story: Story, verb: str) -> str:
    if verb in ("retry", "skip"):
        return story.state.held_stage or "b"
    if verb == "rewind":
        first = next(iter(story.state.stages.values()))
        return "b" if first.status == "completed" else first.name
    return ""


def tell(story: Story, verb: str) -> str:
    """Why the run does not obey; nothing when it has."""
    values = {"word": "yes"} if verb == "supply" else {}
    if verb == "expire":
        if not expires(story.state):
            return "its time does not count"
        story.say(RunExpired())
        return ""
    why = story.refusal(verb, target(story, verb), **values)
    if not why:
        story.tell(verb, target(story, verb), **values)
    return why


@pytest.mark.parametrize(("state", "verb", "end"), CELLS, ids=lambda value: value.replace(" ", "_"))
def test_a_verb_is_refused_or_leads_to_its_end(state: str, verb: str, end: str) -> None:
    """A verb that is refused says why, and changes nothing; one that is obeyed is an entry that leads where it says."""
    story = STATES[state]()
    before = portrait(story.state)
    why = tell(story, verb)
    if end == ".":
        assert why and portrait(story.state) == before
    else:
        assert not why
        assert story.see_through().state.status == ENDS[end]
    assert_moved_as_they_may(story)


def test_the_table_has_every_state() -> None:
    """None is built that is not in it, nor the other way round."""
    assert [state for state, _, _ in CELLS[:: len(VERBS.split())]] == [*STATES]
