"""Programs and runs that wait for each other in a circle."""

from __future__ import annotations

from clew.core.planning.cycles import STEPS_MAX, Awaits, circle_from, waiting_circle

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


def test_it_is_looked_for_along_so_many_steps_only() -> None:
    """However many programs await however many others."""
    names = [f"p{number:02}" for number in range(40)]
    tangle = [Awaits(one, other, 1) for one in names for other in names if one != other]
    assert len(tangle) ** 2 > STEPS_MAX and waiting_circle(tangle) == ()


def test_a_circle_is_found_from_any_run_that_leads_into_it() -> None:
    """It need not be in it itself."""
    leads = {1: [2, 5], 2: [3], 3: [4], 4: [2], 5: []}
    assert circle_from(1, lambda one: leads[one], 50) == (2, 3, 4)
    assert circle_from(5, lambda one: leads[one], 50) == ()
    assert circle_from(1, lambda one: {1: [2, 3], 2: [4], 3: [4], 4: []}[one], 50) == ()
    assert circle_from(0, lambda one: [one + 1], 10) == ()
