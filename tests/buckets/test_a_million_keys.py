"""What a search costs in a bucket of a million keys: list requests, counted at the server."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from tests.object_stores.listing import Generated, ListingStore, Names
from tests.object_stores.serving import ENVIRONMENT, ObjectStore
from tests.surfaces.calling import Person

from clew.buckets import open_bucket
from clew.buckets.rounds import look_together
from clew.buckets.searching import search
from clew.core.planning.search import Ambiguous, Found, Missing, Outcome, Search
from clew.core.program.model import Dependency, Element
from clew.ports import Bucket, SearchRequest

MILLION = Generated(
    [
        f"sea/{region}/{year}/gauge_{one}/"
        for region in ("east", "north", "south", "west")
        for year in range(2021, 2026)
        for one in "abcde"
    ],
    [
        Names(500, "day_%04d.csv"),
        Names(7_000, "level_%05d.csv"),
        Names(500, "run_%04d/", ("a.csv", "b.csv")),
        Names(1_500, "wave_%04d.csv"),
    ],
)
FOLDER = "sea/north/2024/gauge_b"


class Case(NamedTuple):
    """A regex behind four exact segments: its literal start, and what comes of it (`None`: it is missing)."""

    match: str
    multiple: str | None
    start: str
    found: str | list[str] | type[Ambiguous] | None
    folder: str = FOLDER


CASES = {
    "greatest": Case(r"level_0399\d\.csv$", "max", "level_0399", "level_03999.csv"),
    "least": Case(r"level_(\d+)", "min", "level_", "level_00000.csv"),
    "newest": Case(r"day_", "newest", "day_", "day_0499.csv"),
    "all": Case(r"level_0123[0-2]", "all", "level_0123", [f"level_0123{last}.csv" for last in range(3)]),
    "the only one": Case(r"wave_\d*7\.c[s]v$", "oldest", "wave_", "wave_0007.csv"),
    "a folder": Case(r"run_0\d+/", "max", "run_0", "run_0499/"),
    "a name": Case(r"wave_1000\.csv$", None, "wave_1000.csv", "wave_1000.csv"),
    "many names alike": Case(r"level_\d+\.csv$", "max", "level_", "level_06999.csv"),
    "no literal start": Case(r"(level|wave)_\d+\.csv$", "max", "", "wave_1499.csv"),
    "any case": Case(r"(?i)WAVE_0001", None, "", "wave_0001.csv"),
    "pages that are full": Case(r"level_0[0-2].*\.csv$", "min", "level_0", "level_00000.csv"),
    "several": Case(r"day_\d+", None, "day_", Ambiguous),
    "none": Case(r"level_\d+\.txt$", "max", "level_", None),
    "none without a start": Case(r"[A-Z]", "max", "", None),
    "none that begins so": Case(r"tide_\d+", "max", "tide_", None),
    "no such folder": Case(r"level_\d+", "max", "level_", None, "sea/north/2024/gauge_x"),
    "no such path": Case(r"level_\d+", "max", "level_", None, "lake/north/2024/gauge_b"),
}


class Served(NamedTuple):
    million: ListingStore
    store: ObjectStore

    def open(self) -> Bucket:
        return open_bucket(self.store.url("million"), {}, ENVIRONMENT)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    million = ListingStore(MILLION)
    with million.running() as store:
        yield Served(million, store)


@pytest.fixture(autouse=True)
def forget(served: Served) -> None:
    served.million.keys = MILLION
    served.million.lists.clear()


def requests_max(case: Case) -> int:
    """What is promised: the pages of the folder's entries that share the literal start, and five more."""
    start, folder = f"{case.folder}/{case.start}", f"{case.folder}/"
    below = MILLION[bisect_left(MILLION, start) : bisect_left(MILLION, f"{start}\U0010ffff")]
    return ceil(len({key[len(folder) :].partition("/")[0] for key in below}) / 1_000) + 5


def came_to(outcome: Outcome | None) -> str | list[str] | type[Ambiguous] | None:
    """In the terms of a case."""
    if isinstance(outcome, Missing):
        return None
    if isinstance(outcome, Ambiguous):
        return Ambiguous
    assert isinstance(outcome, Found)
    located: Any = outcome.values["file"]
    if isinstance(located, list):
        return [one["name"] for one in located]
    return located["key"].removeprefix(f"{FOLDER}/")


def prefix_of(case: Case) -> tuple[Element, ...]:
    return (*map(Element, case.folder.split("/")), Element(case.match, "regex", case.multiple))


def test_there_are_a_million() -> None:
    """So many are in the bucket, 10,000 in each of its folders."""
    assert len(MILLION) == 1_000_000
    assert MILLION[0] == "sea/east/2021/gauge_a/day_0000.csv"
    assert MILLION[999_999] == "sea/west/2025/gauge_e/wave_1499.csv"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_search_costs_the_pages_of_what_begins_alike_and_five_more(served: Served, case: Case) -> None:
    """Whatever comes of it, and also where it goes on to say how near it came."""
    dependency = Dependency("file", "million", prefix_of(case))
    bucket = served.open()
    for probes in [False, True] if case.found is None else [False]:
        served.million.lists.clear()
        outcome = search(Search([dependency], {}, probes=probes), lambda name: bucket)
        assert came_to(outcome) == case.found
        assert 1 <= len(served.million.lists) <= requests_max(case)


@pytest.mark.parametrize("name", ["greatest", "no literal start", "several", "none", "no such path"])
def test_a_person_who_looks_pays_no_more(served: Served, tmp_path: Path, name: str) -> None:
    """`clew find` costs what is promised, and says the same."""
    case = CASES[name]
    element = {"match": case.match, "type": "regex"} | ({"multiple": case.multiple} if case.multiple else {})
    prefix = [*({"match": each} for each in case.folder.split("/")), element]
    stage = {
        "name": "Look",
        "dependencies": {"file": {"bucket": "million", "prefix": prefix}},
        "execute": {"command": "wait", "params": ["1 second"]},
    }
    person = Person(tmp_path)
    program = person.write("look.yaml", yaml.safe_dump({"name": "look", "stages": [stage]}))
    words = ["find", program, "--bucket", f"million={served.store.url('million')}", "--format", "json"]
    [found] = person.clew(*words, environment=ENVIRONMENT).document["dependencies"]
    match = case.found if isinstance(case.found, str) else None
    assert found["match"] == (match and f"s3://million/{FOLDER}/{match}")
    assert 1 <= len(served.million.lists) <= requests_max(case)


def waiting(stages: int, folders: int) -> list[SearchRequest]:
    """What so many stages ask for that wait for a file each in one of so many folders."""
    numbered = Element(r"tide_(\d+)$", "regex", "max")
    return [
        SearchRequest(
            (Dependency("file", "lines", (Element(f"in/{number % folders:03}"), numbered)),), {}, {}
        )
        for number in range(stages)
    ]


@pytest.mark.parametrize(("searches", "is_there"), [(10_000, False), (1_000, True)])
def test_searches_below_a_hundred_prefixes_cost_a_hundred_requests(
    served: Served, searches: int, is_there: bool
) -> None:
    """A round of looking, however many look: while nothing is there, and when all is."""
    served.million.keys = [f"in/{number:03}/tide_7" for number in range(100)] if is_there else []
    bucket = served.open()
    answers = look_together(waiting(searches, 100), lambda name, urls: bucket)
    assert {one.verdict for one in answers} == {"found" if is_there else "missing"}
    assert len(served.million.lists) == 100
