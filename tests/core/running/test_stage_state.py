"""What is known of one stage, or of one of its items."""

from __future__ import annotations

from tests.core.running.story import Story, stage

from clew.core.running.stage_state import StageState


def test_a_stage_is_its_own_whole_and_its_only_unit() -> None:
    """It is executed and undone by itself."""
    found = Story(stage("a")).stage("a")
    assert (found.whole, found.units, found.is_for_each, found.index) == (found, (found,), False, -1)
    assert [*found.items_not_begun()] == []


def test_a_stage_with_items_is_executed_and_undone_item_by_item() -> None:
    """Before its items are known there is nothing of it that could be; an item is a unit of its own."""
    story = Story(stage("a", for_each=[1, 2]))
    found = story.stage("a")
    assert (found.units, found.is_for_each) == ((), True)
    first, second = story.make("a", 2).stage("a[0]"), story.stage("a[1]")
    assert (found.units, found.items_left, found.open_count) == ([first, second], 2, 0)
    assert (first.name, first.index, first.whole, first.is_for_each) == ("a[0]", 0, found, False)
    assert (second.units, second.sealed) == ((second,), found.sealed)


def test_items_take_over_what_their_stage_has_fixed() -> None:
    """They see its `now`, and belong to its pass."""
    found = StageState(Story(stage("a", for_each=[1])).program.stages["a"])
    found.now_at, found.pass_number = 1_234, 3
    found.make_items(1)
    (item,) = found.units
    assert (item.now_at, item.pass_number, item.status) == (1_234, 3, "pending")


def test_the_first_item_that_has_not_begun_is_behind_all_that_have() -> None:
    """Also when some before it began later, or ended before they began."""
    story = Story(stage("a", for_each=[1])).make("a", 4)
    found = story.stage("a")
    story.start("a[2]")
    assert (found.next_item, [item.index for item in found.items_not_begun()]) == (0, [0, 1, 3])
    story.start("a[0]", "a[1]")
    assert (found.next_item, [item.index for item in found.items_not_begun()]) == (3, [3])
    assert [item.index for item in found.open_items] == [2, 0, 1]


def test_an_item_that_begins_again_is_open_and_one_that_had_not_begun_waits_for_its_turn() -> None:
    """So there are never more under way than there is room for."""
    found = Story(stage("a", for_each=[1])).make("a", 3).start("a[0]", "a[1]", "a[2]").stage("a")
    for item in found.units:
        found.close_item(item)
        item.status = "cancelled"
    found.reopen_item(found.units[2], has_begun=True)
    assert ([item.index for item in found.open_items], found.next_item) == ([2], 3)
    found.reopen_item(found.units[1], has_begun=False)
    found.units[1].status = "pending"
    assert ([item.index for item in found.items_not_begun()], found.next_item) == ([1], 1)


def test_attempts_are_numbered_from_pass_to_pass() -> None:
    """As many numbers as there are outcomes of this pass, after those of the passes before."""
    found = Story(stage("a")).complete("a").stage("a")
    assert [*found.attempt_numbers] == [1]
    found.attempts_before, found.outcomes = 4, ("failed", "completed")
    assert [*found.attempt_numbers] == [5, 6]
