"""Programs and runs that wait for each other in a circle."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from clew.core.planning.cycles import Awaits, circle_from, waiting_circle

DAY = 86_400_000


def test_programs_that_await_each_other_for_the_same_time_are_a_circle() -> None:
    """Also by way of others, and where the offsets cancel each other out."""
    assert waiting_circle([Awaits("a", "b"), Awaits("b", "a")]) == ("a", "b")
    assert waiting_circle([Awaits("a", "a")]) == ("a",)
    long = [Awaits("a", "b", -DAY), Awaits("b", "c"), Awaits("c", "a", DAY), Awaits("c", "d")]
    assert waiting_circle(long) == ("a", "b", "c")


def test_what_leads_to_another_time_is_no_circle() -> None:
    """Each day awaits the day before, down to the first."""
    assert waiting_circle([Awaits("a", "b"), Awaits("b", "a", -DAY)]) == ()
    assert waiting_circle([Awaits("a", "b"), Awaits("a", "c"), Awaits("b", "c")]) == ()
    assert waiting_circle([]) == ()


def test_what_leads_to_a_later_time_has_no_beginning_either() -> None:
    """Also where a way forth and a way back meet; with the circle of the way forth."""
    assert waiting_circle([Awaits("a", "b"), Awaits("b", "a", DAY)]) == ("a", "b")
    both = [Awaits("c", "a", DAY), Awaits("a", "c"), Awaits("a", "b"), Awaits("b", "a", -7 * DAY)]
    assert waiting_circle(both) == ("a", "c")
    assert waiting_circle([Awaits("a", "a", DAY), Awaits("a", "a", -DAY)]) == ("a",)


def test_a_circle_of_many_programs_is_found_among_many_others() -> None:
    """However many steps it has, and however many lead astray."""
    names = [f"p{number:03}" for number in range(60)]
    tangle = [Awaits(one, other, -1) for one in names for other in names if one != other]
    assert waiting_circle(tangle) == ()
    ring = [Awaits(one, other, -2) for one, other in pairwise(names)]
    assert waiting_circle([*tangle, *ring, Awaits(names[-1], names[0], 2 * 59)]) != ()
    line = [Awaits(one, other) for one, other in pairwise(names)]
    assert waiting_circle([*line, Awaits("p059", "p000", -1)]) == ()
    assert waiting_circle([*line, Awaits("p059", "p000")]) == tuple(names)


@given(
    st.lists(
        st.builds(Awaits, st.sampled_from("abcd"), st.sampled_from("abcd"), st.integers(-2, 2)), max_size=8
    )
)
def test_it_is_found_where_going_round_on_foot_finds_it(awaits: list[Awaits]) -> None:
    """What is told is a circle, and none is overlooked."""
    sums = {path: total for path, total in round_on_foot(awaits) if total >= 0}
    found = waiting_circle(awaits)
    assert bool(found) == bool(sums)
    assert not found or found in sums


def round_on_foot(awaits: list[Awaits]) -> Iterator[tuple[tuple[str, ...], int]]:
    """All circles, from their first name on, with the most that their offsets come to."""
    best: dict[tuple[str, ...], int] = {}
    ahead: list[tuple[tuple[str, ...], int]] = [((start,), 0) for start in "abcd"]
    while ahead:
        path, total = ahead.pop()
        for one in awaits:
            if one.program != path[-1]:
                continue
            if one.other == path[0] and path[0] == min(path):
                best[path] = max(best.get(path, total + one.offset), total + one.offset)
            elif one.other not in path:
                ahead.append(((*path, one.other), total + one.offset))
    yield from best.items()


def test_a_circle_is_found_from_any_run_that_leads_into_it() -> None:
    """It need not be in it itself."""
    leads = {1: [2, 5], 2: [3], 3: [4], 4: [2], 5: []}
    assert circle_from(1, lambda one: leads[one], 50) == (2, 3, 4)
    assert circle_from(5, lambda one: leads[one], 50) == ()
    assert circle_from(1, lambda one: {1: [2, 3], 2: [4], 3: [4], 4: []}[one], 50) == ()
    assert circle_from(0, lambda one: [one + 1], 10) == ()
