"""The same program file finds the same files and publishes the same list in a folder and in two stores of S3."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.examples.loading import EXAMPLES, load_example
from tests.object_stores.serving import ENVIRONMENT, ObjectStore
from tests.surfaces.calling import Person

from clew.buckets import open_bucket
from clew.ports import Bucket

PROGRAM = str(EXAMPLES / "five-ways" / "five-ways.yaml")
prepare = load_example("five-ways", "prepare")

TIDES = "sea/PIER_FOUR/harbour_tide_feeds"

FOUND = {
    "first_file": f"{TIDES}/z/level_03992_9.csv",
    "second_file": f"{TIDES}/z/level_03998.csv.gz",
    "third_file": f"{TIDES}/x/day_0123/readings.txt",
    # `z` fits the folder `zone` as well; what was matched of both is `z`, so that the greater number counts.
    "fourth_file": f"{TIDES}/zone/level_01960.csv",
    "fifth_file": "sea/PIER_FOUR/harbour_wave_feeds/z/level_01000.csv",
    "latest_day": f"{TIDES}/x/day_0123/readings.txt",
    "note": "notes/day_0123.txt",
}


class Place(NamedTuple):
    """The bucket with the gauge's files: as settings have it, as locations in it begin, and itself."""

    setting: str
    url: str
    bucket: Bucket


@pytest.fixture(params=["file", "moto", "seaweed"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "file":
        prepare.prepare(tmp_path / "gauges")
        return Place(
            "file:gauges", f"file://{tmp_path}/gauges/", open_bucket(f"file:{tmp_path}/gauges", {}, {})
        )
    store: ObjectStore = request.getfixturevalue(request.param)
    name = store.new_bucket()
    bucket = open_bucket(store.url(name), {}, ENVIRONMENT)
    for key in prepare.NAMES:
        bucket.write(key, prepare.content_of(key).encode())
    return Place(store.url(name), f"s3://{name}/", bucket)


def by_name(document: Any) -> Mapping[str, Any]:
    return {one["name"]: one for one in document["dependencies"]}


def test_five_ways_to_say_where_a_file_is(tmp_path: Path, place: Place) -> None:
    """Each finds what the table means, before the run and in it; the list is published, and the notes follow."""
    person = Person(tmp_path)
    given = [PROGRAM, "--bucket", f"gauges={place.setting}", "--format", "json"]
    shown = by_name(person.clew("find", *given, environment=ENVIRONMENT).document)
    assert {name: one["match"] for name, one in shown.items()} == {
        name: place.url + key for name, key in FOUND.items()
    }
    assert shown["latest_day"]["captures"] == {"day": "0123"}

    run = person.clew("run", *given, environment=ENVIRONMENT).document

    assert [(one["name"], one["status"]) for one in run["stages"]] == [
        ("Find and list", "completed"), ("Follow up", "completed")
    ]  # fmt: skip
    assert {name: run["variables"][name]["key"] for name in FOUND} == FOUND
    [out] = place.bucket.list_folder("out/five-ways/")
    listed = [f"{name},{place.url}{key}" for name, key in list(FOUND.items())[:5]]
    assert place.bucket.read(f"{out}sources.csv", 4_096).decode().splitlines() == [
        "File_Name,File_Location", *listed
    ]  # fmt: skip
    assert place.bucket.read(f"{out}note of third_file.txt", 4_096) == b"readings of notes/day_0123.txt\n"
    times = place.bucket.read(f"{out}times.csv", 4_096).decode().splitlines()
    assert [line.partition(",")[0] for line in times] == ["since", "cutoff"]
