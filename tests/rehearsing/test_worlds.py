"""Two worlds differ in exactly what came, went or was replaced, and it is known whose work that was."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from clew.rehearsing.worlds import Act, Change, Fact, difference, doers, facts_of, without


def world(*facts):
    return Counter(facts)


def row(value, place="shop.db/orders"):
    return Fact("row", place, value)


def file(value, place="lines/out.csv"):
    return Fact("file", place, value, is_single=True)


FACTS = st.builds(
    lambda is_single, place, value: file(value, place) if is_single else row(value, place),
    st.booleans(),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["1", "2"]),
)
WORLDS = st.dictionaries(FACTS, st.integers(1, 3)).map(
    # Of a file there is one.
    lambda found: {
        fact: 1 if fact.is_single else count
        for fact, count in {(fact.kind, fact.place, fact.is_single or fact.value): (fact, count)
                            for fact, count in found.items()}.values()
    }
)  # fmt: skip


@given(WORLDS)
def test_a_world_is_as_it_is(same):
    """A world does not differ from itself."""
    assert difference(same, dict(same)) == []


@given(WORLDS, WORLDS)
def test_a_difference_leads_from_one_to_the_other(before, after):
    """Taking away what went and adding what came makes the one world into the other, and the other way round."""
    made = Counter(before)
    for change in difference(before, after):
        is_single = change.kind == "file"
        if change.was is not None:
            made[Fact(change.kind, change.place, change.was, is_single)] -= change.times
        if change.now is not None:
            made[Fact(change.kind, change.place, change.now, is_single)] += change.times
    assert +made == Counter(after)
    back = difference(after, before)
    assert sorted((change.place, change.now or "", change.was or "") for change in back) == sorted(
        (change.place, change.was or "", change.now or "") for change in difference(before, after)
    )


def test_equal_rows_are_counted():
    """A second equal row is a difference; so is how many there are too many."""
    (once,) = difference(world(row("x")), world(row("x"), row("x")))
    assert str(once) == "+ row shop.db/orders: x"
    (thrice,) = difference(world(row("x")), world(row("x"), row("x"), row("x"), row("x")))
    assert str(thrice) == "+ row shop.db/orders: x (3 times)"


def test_a_file_is_replaced_and_a_row_is_not():
    """Another content of a file is one change; another row in a table is one that went and one that came."""
    assert [str(change) for change in difference(world(file("1 bytes")), world(file("2 bytes")))] == [
        "~ file lines/out.csv: 1 bytes -> 2 bytes"
    ]
    changes = difference(world(row("1")), world(row("2")))
    assert sorted(change.sign for change in changes) == ["+", "-"]


def test_a_difference_of_nothing_and_something_is_said():
    """What came and what went are said with their sign, in order of place."""
    before, after = world(file("1 bytes", "b")), world(file("1 bytes", "a"))
    assert [str(change) for change in difference(before, after)] == [
        "+ file a: 1 bytes",
        "- file b: 1 bytes",
    ]


def test_what_is_ignored_makes_no_difference():
    """Places that may differ are left out, by their patterns."""
    seen = world(file("1", "lines/logs/a"), file("1", "lines/out"))
    assert without(seen, ["lines/logs/*"]) == world(file("1", "lines/out"))


def test_what_a_server_says_is_taken_apart():
    """Items of a list are facts in no order, named values are facts by their names, and empty is nothing."""
    said = {"bookings": [{"id": 2}, {"id": 1}], "money": {"agency": 7, "others": {}}, "open": True}
    again = {"open": True, "money": {"agency": 7}, "bookings": [{"id": 1}, {"id": 2}]}
    assert Counter(facts_of(said, "shop/books")) == Counter(facts_of(again, "shop/books"))
    changed = {**said, "money": {"agency": 8}, "bookings": [{"id": 1}]}
    changes = difference(Counter(facts_of(said, "shop/books")), Counter(facts_of(changed, "shop/books")))
    assert [str(change) for change in changes] == [
        '- shop/books bookings: {"id": 2}',
        "~ shop/books money.agency: 7 -> 8",
    ]


def act(stage, work, *pairs):
    changes = difference(world(*(was for was, _ in pairs if was)), world(*(now for _, now in pairs if now)))
    return Act(stage, work, tuple(changes))


def left(was, now):
    (change,) = difference(world(*([was] if was else [])), world(*([now] if now else [])))
    return change


def test_what_was_not_undone_is_its_stages():
    """What a stage put there and is there still goes back to that stage, whoever else wrote into the table."""
    acts = [act("book", "execute", (None, row("1"))), act("pay", "execute", (None, row("2")))]
    assert doers(left(None, row("2")), acts) == ["pay"]


def test_what_a_rollback_did_too_much_is_its_stages():
    """What only a rollback put there, or took away, goes back to that rollback."""
    acts = [
        act("book", "execute", (None, row("1"))),
        act("pay", "rollback", (None, row("refund"))),
        act("tidy", "rollback", (file("old"), None)),
    ]
    assert doers(left(None, row("refund")), acts) == ["pay"]
    assert doers(left(file("old"), None), acts) == ["tidy"]


def test_a_counter_that_two_count_goes_back_to_who_did_not_count_down():
    """Of two stages that count up one row, the one whose count is still there is meant."""
    acts = [
        act("first", "execute", (row("0"), row("1"))),
        act("second", "execute", (row("1"), row("2"))),
        act("second", "rollback", (row("2"), row("1"))),
    ]
    changes = difference(world(row("0")), world(row("1")))
    assert {name for change in changes for name in doers(change, acts)} == {"first"}


def test_a_value_that_nobody_wrote_is_of_whoever_changed_the_place():
    """A value that no single act explains goes back to those that changed its place, or to nobody."""
    acts = [act("sum", "execute", (file("1"), file("2")))]
    assert doers(Change("file", "lines/out.csv", "1", "3"), acts) == ["sum"]
    assert doers(Change("file", "lines/other.csv", "1", "3"), acts) == []
