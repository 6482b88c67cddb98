"""`clew next`, `clew prev` and the timing of `clew plan`: when a program is due, and which row and column say so."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.surfaces.calling import Person

from clew.authoring import zone_data
from clew.authoring.zone_data import zone_data_release

STAGES = "stages: [{name: a, execute: {command: wait, params: [1 second]}}]\n"
CONTRACT = """\
name: p
timezone: Europe/London
cadence:
  - ["* * 1-3 * *", "0 9 * * 1,2"]
  - ["0 9 * * *", "* * * 2 *", "* * * * 4"]
  - 30 1 29 3 *
"""


@pytest.fixture
def file(person: Person) -> str:
    return person.write("p.yaml", CONTRACT + STAGES)


def test_next_and_previous_times(person: Person, file: str) -> None:
    """So many times after a moment, or before it from the latest on; in UTC, as JSON and as lines."""
    words = ("next", file, "--after", "2026-01-01T00:00Z", "--count", "3")
    times = ["2026-02-02T09:00:00Z", "2026-02-03T09:00:00Z", "2026-02-05T09:00:00Z"]
    assert person.clew(*words, "--format", "json").document == {"times": times}
    assert person.clew(*words).out.splitlines() == times
    words = ("prev", file, "--before", "2026-02-05 09:00", "--count", "2", "--format", "json")
    assert person.clew(*words).document == {"times": times[1::-1]}
    assert len(person.clew("next", file, "--format", "json").document["times"]) == 5


def test_a_wrong_cadence_is_a_wrong_call(person: Person) -> None:
    """The place in the file, the row and column, the character in the expression; code 2."""
    file = person.write("p.yaml", f'name: p\ncadence: ["@daily", ["@daily", "0 10-5 * * *"]]\n{STAGES}')
    for verb in ("next", "prev", "plan", "check"):
        done = person.clew(verb, file, code=2)
        assert (
            "p.yaml:2:32: cadence[1][1]: '10-5' runs backwards, at character 3 of '0 10-5"
            in done.out + done.err
        )


def test_a_time_explained(person: Person, file: str) -> None:
    """Which row and column say yes or no, and what a change of clocks does."""
    done = person.clew("next", file, "--explain", "2026-03-29 01:30")
    assert done.out.splitlines() == [
        "2026-03-29T01:00:00Z  Sun 2026-03-29 02:00 in Europe/London  due",
        "  row 1  no",
        "    no   * * 1-3 * *  not its day",
        "    no   0 9 * * 1,2  not its hour nor its day",
        "  row 2  no",
        "    no   0 9 * * *  not its hour",
        "    no   * * * 2 *  not its month",
        "    no   * * * * 4  not its day",
        "  row 3  yes: clocks skip 01:30, so it is due at the first instant after the gap",
        "    yes  30 1 29 3 *",
    ]
    assert "clocks skip that time" in done.err
    words = ("next", file, "--explain", "2026-10-25 01:30", "--format", "json")
    document = person.clew(*words).document
    assert [one["time"] for one in document["explained"]] == ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]
    assert [one["local"][-6:] for one in document["explained"]] == ["+01:00", "+00:00"]
    assert document["timezone_data"] == zone_data_release()


def test_a_month_as_a_calendar(person: Person, file: str) -> None:
    """A week a line, each day with its time, or how many there are; and the changes of clocks."""
    done = person.clew("next", file, "--month", "2026-03")
    assert done.out.splitlines() == [
        "March 2026, Europe/London",
        "Mon       Tue       Wed       Thu       Fri       Sat       Sun",
        "                                                              1",
        "  2 09:00   3 09:00   4         5         6         7         8",
        "  9        10        11        12        13        14        15",
        " 16        17        18        19        20        21        22",
        " 23        24        25        26        27        28        29 02:00",
        " 30        31",
    ]
    assert done.err.splitlines() == [
        "due 3 times",
        "clocks change at 2026-03-29T01:00:00Z: from 2026-03-29 01:00 to 2026-03-29 02:00",
    ]
    hourly = person.write("h.yaml", f'name: h\ntimezone: Africa/Cairo\ncadence: "@hourly"\n{STAGES}')
    days = person.clew("next", hourly, "--month", "2026-04", "--format", "json").document["days"]
    # Clocks in Cairo skip the first hour of the last Friday of April.
    assert [len(day["times"]) for day in days] == [24] * 23 + [23] + [24] * 6
    assert " 24 x23" in person.clew("next", hourly, "--month", "2026-04").out


def test_no_cadence(person: Person) -> None:
    """A program that runs on request has no times, nor has one that is due once it is live; it is no mistake."""
    file = person.write("p.yaml", f"name: p\n{STAGES}")
    done = person.clew("next", file)
    assert (done.out, done.err) == ("", "p has no cadence: it runs on request only\n")
    assert person.clew("next", file, "--month", "2026-03").err == "due 0 times\n"
    assert person.clew("prev", file, "--format", "json").document == {"times": []}
    assert "no cadence" in person.clew("next", file, "--explain", "2026-01-01", code=2).err
    assert person.clew("plan", file, "--format", "json").document["timing"] is None
    once = person.write("o.yaml", f"name: o\ncadence: once\n{STAGES}")
    assert person.clew("next", once).err == "o is due once, when it is first live\n"
    single = person.write("s.yaml", f"name: s\ncadence: 2020-01-01 09:00\n{STAGES}")
    assert person.clew("next", single).err == "there are none\n"
    assert person.clew("prev", single).out == "2020-01-01T09:00:00Z\n"


@pytest.mark.parametrize(
    "words",
    [
        ("--after", "soon"),
        ("--count", "0"),
        ("--month", "March"),
        ("--month", "0001-01"),
        ("--month", "2026-03", "--explain", "2026-03-01"),
    ],
)
def test_wrong_calls(person: Person, file: str, words: tuple[str, ...]) -> None:
    """Times that are none, and questions that do not go together: code 2."""
    person.clew("next", file, *words, code=2)


def test_a_plan_tells_the_next_times(person: Person, file: str) -> None:
    """With the row that makes each and its columns; in words and as JSON. Too often is a warning."""
    document = person.clew("plan", file, "--format", "json").document
    timing = document["timing"]
    assert len(timing["next"]) == 3
    assert timing["in_words"][2] == "at 01:30 on March 29"
    assert all(one["rows"][0]["columns"] for one in timing["next"])
    assert document["warnings"] == [] or all(one["path"] != "cadence" for one in document["warnings"])
    out = person.clew("plan", file).out
    assert (
        "due every minute on every day of month from 1 through 3, and at 09:00 on Monday and Tuesday; or"
        in out
    )
    assert "  by row " in out
    often = person.write("o.yaml", f'name: o\ncadence: "* * * * *"\ninitial: 2026-01-01 00:00\n{STAGES}')
    out = person.clew("plan", often).out
    assert "warning: cadence: it is due every minute" in out
    assert "from 2026-01-01 00:00 to ever" in out


def test_the_release_of_the_time_zone_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the system's data where there is some, else from the package; what does not say is unknown."""
    monkeypatch.setattr(zone_data.zoneinfo, "TZPATH", (str(tmp_path),))
    assert zone_data_release()[:2] == "20"
    (tmp_path / "UTC").touch()
    assert zone_data_release() == "unknown"
    (tmp_path / "+VERSION").write_text("2024a\n")
    assert zone_data_release() == "2024a"
    (tmp_path / "tzdata.zi").write_text("# version 2025b\nR A 1916\n")
    assert zone_data_release() == "2025b"
