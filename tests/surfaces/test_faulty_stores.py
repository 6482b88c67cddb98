"""Runs over stores that fail, cut off, repeat or forget: they end as they would have, later, and nothing is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from tests.crash.judging import read_store
from tests.object_stores.faulty import FaultyStore
from tests.object_stores.listing import Generated, ListingStore, Names
from tests.object_stores.serving import ENVIRONMENT, ObjectStore
from tests.surfaces.calling import Person

# What is taken for missing is looked for again in an hour, when the test is over.
PROGRAM = r"""
name: gauges
delay: 1 hour
stages:
  - name: Collect
    dependencies:
      latest:
        bucket: sea
        prefix: [{match: east}, {match: 'level_(?P<number>\d+)\.csv$', type: regex, multiple: max}]
      note: {bucket: sea, prefix: [{match: "east/note_{latest.number}.txt"}]}
    execute:
      command: publish_file
      params: ["lists/{run_name}/found.csv", "latest,{latest}", "note,{note}"]
    validate:
      - condition: file_exists
        params: {bucket: lists, prefix: [{match: "{run_name}"}, {match: found.csv}]}
    rollback: {command: delete_file, params: ["lists/{run_name}/found.csv"]}
  - name: Copy
    after: [Collect]
    execute:
      - {command: copy_file, params: ["lists/{run_name}/found.csv", "lists/{run_name}/copy.csv"]}
      - {command: copy_file, params: ["{note}", "lists/{run_name}/note.txt"]}
    rollback: {command: delete_file, params: [["lists/{run_name}/copy.csv", "lists/{run_name}/note.txt"]]}
  - name: Check
    after: [Copy]
    execute: {command: shell, params: [sh, -c, "exit {code}"]}
    rollback: none
variables: {code: 0}
"""

KEYS = Generated(["east/"], [Names(3_600, "level_%05d.csv"), Names(3_600, "note_%05d.txt")])
LISTS = "GET ?list-type"


class Stores(NamedTuple):
    """Where the program finds its files, in pages of a thousand, and where it writes: both do what they are told to."""

    sea: FaultyStore
    lists: FaultyStore
    sea_url: str
    lists_url: str
    behind: ObjectStore
    name: str

    def written(self) -> dict[str, bytes]:
        """What was written, by its name, seen behind the fault."""
        client: Any = self.behind.client()
        keys = [one["Key"] for one in client.list_objects_v2(Bucket=self.name).get("Contents", ())]
        return {
            key.split("/")[1]: client.get_object(Bucket=self.name, Key=key)["Body"].read() for key in keys
        }


@pytest.fixture
def stores(moto: ObjectStore) -> Iterator[Stores]:
    with ListingStore(KEYS).running() as listing:
        sea, lists = FaultyStore(listing), FaultyStore(moto)
        name = moto.new_bucket()
        with sea.running() as sea_store, lists.running() as lists_store:
            yield Stores(sea, lists, sea_store.url("sea"), lists_store.url(name), moto, name)


FOUND = b"latest,s3://sea/east/level_03599.csv\nnote,s3://sea/east/note_03599.txt\n"
WRITTEN = {"found.csv": FOUND, "copy.csv": FOUND, "note.txt": b""}


def ran(person: Person, stores: Stores, *words: str, code: int = 0) -> tuple[Any, list[dict[str, Any]]]:
    """What is said of the run, and all that its journal keeps."""
    person.write("clew.toml", f'[buckets]\nsea = "{stores.sea_url}"\nlists = "{stores.lists_url}"\n')
    program = person.write("gauges.yaml", PROGRAM)
    run = person.clew("run", program, "--format", "json", *words, environment=ENVIRONMENT, code=code).document
    store = read_store(person.folder / ".clew" / "clew.db")
    [payloads] = store.payloads.values()
    return run, [json.loads(row["content"]) for row in payloads.values() if row["content"]]


@pytest.mark.parametrize(
    ("of_lists", "of_objects"),
    [
        pytest.param(["503", "429", None, "500"], ["503"], id="throttled"),
        pytest.param(["reset", "text cut", None, "closed", "web page"], ["answer lost"], id="broken off"),
        pytest.param(
            [None, "page again", None, None, "token lost", None, "no token"], ["reset"], id="pages and tokens"
        ),
        pytest.param([None, "hangs"], [], id="silent", marks=[pytest.mark.soak, pytest.mark.timeout(120)]),
    ],
)  # fmt: skip
def test_a_run_is_not_told_what_passes(
    person: Person, stores: Stores, of_lists: list[str | None], of_objects: list[str | None]
) -> None:
    """The right files are found and written, each stage by one attempt; the journal knows of no trouble."""
    stores.sea.faults = {LISTS: list(of_lists), "HEAD": list(of_objects)}
    stores.lists.faults = {"PUT": list(of_objects), "HEAD": list(of_objects), "GET": ["body cut"]}
    run, kept = ran(person, stores)
    assert run["status"] == "completed"
    assert [stage["attempts"] for stage in run["stages"]] == [1, 1, 1]
    assert stores.written() == WRITTEN
    assert not [one for one in kept if "missing" in one or "error" in one]
    assert not stores.sea.faults[LISTS] and not stores.lists.faults["PUT"]


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        (["403"], "AccessDenied"),
        ([None, "page ahead", "page behind"], "the pages of the list did not follow each other"),
    ],
    ids=["refused", "pages change places"],
)
def test_what_does_not_pass_is_on_record_as_what_it_is(
    person: Person, stores: Stores, faults: list[str | None], said: str
) -> None:
    """Never as a missing file. The store is asked again by itself, and the run goes on."""
    stores.sea.faults = {LISTS: list(faults)}
    run, kept = ran(person, stores)
    assert run["status"] == "completed"
    assert stores.written() == WRITTEN
    errors = [one["error"] for one in kept if "error" in one]
    assert errors and all(said in error for error in errors)
    assert not [one for one in kept if "missing" in one]


def test_what_was_written_is_taken_back_through_the_same_faults(person: Person, stores: Stores) -> None:
    """A run that fails leaves nothing in a store that fails meanwhile."""
    stores.lists.faults = {"DELETE": ["503", "reset", "answer lost"], "HEAD": [None, "503"]}
    run, _ = ran(person, stores, "--var", "code=7", code=3)
    assert (run["status"], run["residue"]) == ("rolled_back", [])
    assert stores.written() == {}
    assert not stores.lists.faults["DELETE"]
