"""`clew find` and `clew plan` show what file dependencies match now, and run nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.surfaces.calling import Person

PROGRAM = r"""
name: tides
variables: {port: north}
requests: {year: {type: string}}
stages:
  - name: Gather
    dependencies:
      newest:
        bucket: tides
        prefix: [{match: "in/{port}"}, {match: 'day_(?P<day>\d+)\.csv$', type: regex, multiple: max}]
      notes:
        bucket: tides
        prefix: [{match: "in/{port}"}, {match: "day_{newest.day}.txt"}]
      all_days:
        bucket: tides
        prefix: [{match: in}, {match: '(?P<port>.+)', type: regex}, {match: 'day_', type: regex, multiple: all}]
      twins: {bucket: tides, prefix: [{match: in/north}, {match: day_, type: regex}]}
      yearly: {bucket: tides, prefix: [{match: "{year}.csv"}]}
      beside: {bucket: tides, prefix: [{match: "{notes.name}"}]}
      closed: {bucket: "file:not-a-folder/x", prefix: [{match: "x"}]}
    execute: {command: publish_file, params: ["tides/out", "{newest}"]}
    outputs: [out]
    rollback: none
  - name: Use
    dependencies: {later: {bucket: tides, prefix: [{match: "{out.key}"}]}}
    execute: {command: wait, params: [1 second]}
"""


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Person:
    folder: Path = tmp_path_factory.mktemp("tides")
    for name in ("in/north/day_9.csv", "in/north/day_10.csv", "in/south/day_3.csv"):
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / "program.yaml").write_text(PROGRAM)
    return Person(folder)


@pytest.fixture(scope="module")
def found(person: Person) -> dict[str, Any]:
    words = ("find", "program.yaml", "--bucket", "tides=file:data", "--format", "json")
    document = person.clew(*words).document
    assert list(document) == ["dependencies"]
    return {one["name"]: one for one in document["dependencies"]}


def test_a_match_is_told_with_what_it_rests_on(person: Person, found: dict[str, Any]) -> None:
    """Its URL, what its groups captured, the candidates, what was listed, and why this one."""
    newest, url = found["newest"], f"file://{person.folder}/data/in/north"
    (listing,) = newest.pop("listings")
    assert newest == {
        "stage": "Gather",
        "name": "newest",
        "match": f"{url}/day_10.csv",
        "captures": {"day": "10"},
        "matched": 2,
        "candidates": [f"{url}/day_10.csv", f"{url}/day_9.csv"],
        "why": "the greatest of 2 that match",
    }
    assert (listing["folder"], listing["start"], listing["count"]) == ("in/north/", "day_", 2)


def test_a_list_is_a_list(person: Person, found: dict[str, Any]) -> None:
    """With `multiple: all` the match is a list, and the captures are one by one."""
    several = found["all_days"]
    assert [url.rpartition("/in/")[2] for url in several["match"]] == [
        "north/day_10.csv",
        "north/day_9.csv",
        "south/day_3.csv",
    ]
    assert sorted(each["port"] for each in several["captures"]) == ["north", "north", "south"]
    assert several["why"] == "all of 3 that match"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("notes", "`in/north` exists; 0 of 2 names match `day_10.txt`"),
        ("twins", "2 match, and no `multiple` says which one to choose"),
        ("yearly", "it refers to 'year', which a request must give"),
        ("beside", "it refers to 'notes', which has no match"),
        ("later", "it refers to 'out', which the stage 'Gather' gives"),
    ],
)
def test_what_has_no_match_says_why(found: dict[str, Any], name: str, why: str) -> None:
    """How near it comes, what it can't be told apart from, or what is not known before a run."""
    assert (found[name]["match"], found[name]["why"]) == (None, why)


def test_a_bucket_that_cannot_be_opened_is_told_and_ends_with_2(person: Person) -> None:
    """The others are looked for all the same; a plan is shown whatever its buckets say."""
    words = ("program.yaml", "--format", "json")
    document = person.clew("find", *words, code=2).document
    first = document["dependencies"][0]
    assert (first["match"], first["error"]) == (None, first["why"])
    assert first["why"].startswith("no bucket 'tides' is known")
    told = person.clew("find", "program.yaml", code=2)
    assert "  not known: no bucket 'tides' is known" in told.out
    assert "nothing: no bucket" not in told.out
    assert told.err.endswith("of which nobody knows\n")
    plan = person.clew("plan", *words).document
    assert plan["blocks"][0]["stages"][0]["dependencies"][0]["now"]["why"] == first["why"]


def test_people_read_it_a_line_each(person: Person) -> None:
    """Name and stage, what matches, and why; `plan` shows the same below each dependency."""
    words = ("program.yaml", "--bucket", "tides=file:data", "--var", "year=1999")
    told = person.clew("find", *words)
    assert told.out.startswith(
        "newest  of Gather\n"
        f"  file://{person.folder}/data/in/north/day_10.csv  day=10\n"
        "  (the greatest of 2 that match)\n"
        "notes  of Gather\n"
        "  nothing: `in/north` exists; 0 of 2 names match `day_10.txt`\n"
    )
    assert told.err.endswith("8 file patterns, 6 of them without a match\n")
    plan = person.clew("plan", *words).out
    assert f"    now        file://{person.folder}/data/in/north/day_10.csv  day=10\n" in plan


def test_nothing_is_recorded(person: Person) -> None:
    """No store comes to be by looking."""
    assert not (person.folder / ".clew").exists()


@pytest.mark.parametrize("verb", ["find", "plan", "run"])
def test_a_variable_that_the_program_does_not_take_is_a_wrong_call(person: Person, verb: str) -> None:
    """It is told alike wherever variables are given, with the nearest name."""
    told = person.clew(verb, "program.yaml", "--bucket", "tides=file:data", "--var", "yaer=1999", code=2)
    assert "tides: it takes no variable 'yaer'; did you mean 'year'?" in told.err


def test_a_run_shows_afterwards_on_what_its_choice_rests(person: Person) -> None:
    """What was listed when the stage began, how much there was, and why this one was chosen."""
    person.write(
        "choosing.yaml",
        r"""
name: choosing
stages:
  - name: Take
    dependencies:
      newest: {bucket: tides, prefix: [{match: in/north}, {match: 'day_(?P<day>\d+)', type: regex, multiple: max}]}
    execute: {command: publish_file, params: ["tides/out", "{newest.day}"]}
    rollback: {command: delete_file, params: ["tides/out"]}
  - name: Doubt
    after: [Take]
    dependencies: {any: {bucket: tides, prefix: [{match: in/north}, {match: day, type: regex}]}}
    execute: {command: wait, params: [1 second]}
""",
    )
    run = person.run("choosing.yaml", "--bucket", "tides=file:data", code=3)["run_id"]
    evidence = person.clew("show", run, "Take", "--format", "json").document["evidence"]["newest"]
    assert (evidence["matched"], evidence["why"]) == (2, "the greatest of 2 that match")
    shown = person.clew("show", run, "Take").out
    assert "newest" in shown and "in/north/day_… (2)" in shown and "the greatest of 2 that match" in shown
    doubt = person.clew("show", run, "Doubt", "--format", "json").document["evidence"]["any"]
    assert doubt["candidates"] == ["in/north/day_10.csv", "in/north/day_9.csv"]
