from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.program.durations import DURATION_MILLISECONDS_MAX, read_duration, written_duration


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("5 seconds", 5_000),
        ("1 second", 1_000),
        ("-8 hours", -28_800_000),
        ("+8 hours", 28_800_000),
        ("- 8 hours", -28_800_000),
        ("2 days 4 hours", 187_200_000),
        ("1 day, 2 hours", 93_600_000),
        ("1.5 hours", 5_400_000),
        ("1,5 hours", 5_400_000),
        ("250 milliseconds", 250),
        ("250ms", 250),
        ("1h30min", 5_400_000),
        ("1 week", 604_800_000),
        ("0 seconds", 0),
        ("-120 minutes", -7_200_000),
        ("5 SECONDS", 5_000),
        ("PT5M", 300_000),
        ("P1DT2H", 93_600_000),
        ("-PT5M", -300_000),
        ("pt0.25s", 250),
        ("P2W", 1_209_600_000),
    ],
)
def test_a_duration_is_read_as_people_write_it_or_as_iso_8601_does(text: str, milliseconds: int) -> None:
    """A duration is read as people write it, or as ISO 8601 does."""
    assert read_duration(text) == milliseconds


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (5, "5 has no unit; write for example '5 seconds'"),
        (1.5, "1.5 has no unit"),
        ("5", "5 has no unit"),
        (True, "a duration is a text"),
        (None, "a duration is a text"),
        ("", "an empty duration"),
        ("-", "an empty duration"),
        ("five", "'five' is no duration"),
        ("5 seconds foo", "is no duration"),
        ("5 parsecs", "'parsecs' is no unit of time"),
        ("1 month", "a month has no one length"),
        ("1 years", "a year has no one length"),
        ("P1M", "years or months"),
        ("P1Y", "years or months"),
        ("P", "is no ISO 8601 duration"),
        ("PT", "is no ISO 8601 duration"),
        ("PT1", "is no ISO 8601 duration"),
        ("5 s 3 s", "names its seconds twice"),
        ("0.0001 seconds", "no whole number of milliseconds"),
        ("200000 days", "longer than 100 years"),
        ("-P200000D", "longer than 100 years"),
        ("x" * 200, "a duration of 200 characters"),
        ("٣ seconds", "is no duration"),
    ],
)
def test_what_is_no_duration_is_refused_with_what_would_be_right(value: object, says: str) -> None:
    """What is no duration is refused, and the error says what would be right."""
    with pytest.raises(ValueError, match=r".") as caught:
        read_duration(value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "PT0S"),
        (5_000, "PT5S"),
        (-300_000, "-PT5M"),
        (187_200_000, "P2DT4H"),
        (86_400_000, "P1D"),
        (90_061_001, "P1DT1H1M1.001S"),
        (250, "PT0.25S"),
    ],
)
def test_a_duration_is_written_in_its_one_canonical_form(milliseconds: int, text: str) -> None:
    """A duration is written in its one canonical form."""
    assert written_duration(milliseconds) == text


@given(st.integers(-DURATION_MILLISECONDS_MAX, DURATION_MILLISECONDS_MAX))
def test_reading_is_the_inverse_of_writing(milliseconds: int) -> None:
    """Reading a written duration gives the same length."""
    assert read_duration(written_duration(milliseconds)) == milliseconds


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Any text is a duration within bounds, or a ValueError."""
    try:
        assert abs(read_duration(text)) <= DURATION_MILLISECONDS_MAX
    except ValueError as error:
        assert str(error)
