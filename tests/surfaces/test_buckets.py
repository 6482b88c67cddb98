"""One program file runs unchanged with a folder or a store behind the bucket's name."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from tests.object_stores.serving import ENVIRONMENT, ObjectStore
from tests.surfaces.calling import Person

from clew.buckets import open_bucket
from clew.ports import Bucket

PROGRAM = r"""
name: parcels
variables: {code: 0}
stages:
  - name: Publish
    dependencies:
      first_file:
        bucket: lines
        prefix:
          - {match: tx}
          - {match: daily/z}
          - {match: 'batch_(?P<batch>\d+)\.csv$', type: regex, multiple: max}
    execute:
      command: publish_file_to_s3
      params: ["lines/out/{run_name}/sources.csv", "name,key,batch", "first_file,{first_file.key},{first_file.batch}"]
    validate:
      - condition: file_exists
        params: {bucket: lines, prefix: [{match: "out/{run_name}"}, {match: sources.csv}]}
    rollback: {command: delete_file, params: ["lines/out/{run_name}/sources.csv"]}
  - name: Copy
    execute:
      - {command: copy_file, params: ["{first_file}", "lines/out/{run_name}/copy 100% +.csv"]}
      - {command: copy_file, params: ["{first_file.url}", "lines/out/{run_name}/by-url.csv"]}
    rollback:
      - {command: delete_file, params: ["lines/out/{run_name}/copy 100% +.csv", "lines/out/{run_name}/by-url.csv"]}
  - name: Overwrite
    after: [Copy]
    execute: {command: publish_file, params: [lines/state.txt, after]}
    rollback: {restore: [lines/state.txt, lines/none.txt]}
  - name: Environment
    after: [Overwrite]
    execute: {command: shell, params: [sh, -c, "env; exit {code}"]}
    outputs: {environment: {from: stdout}}
    rollback: none
  - name: Take away
    after: [Environment]
    execute: {command: delete_file, params: [lines/state.txt]}
    rollback: impossible
"""

BEFORE = {
    "tx/daily/z/batch_9.csv": b"nine\n",
    "tx/daily/z/batch_10.csv": b"ten\n",
    "tx/daily/z/batch_10.csv.part": b"",
    "state.txt": b"before\n",
}


class Place(NamedTuple):
    """A bucket with what was before: its URL as the settings have it, and the bucket."""

    url: str
    bucket: Bucket

    def content(self, folder: str = "") -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for one in self.bucket.list_folder(folder):
            found |= (
                self.content(one) if isinstance(one, str) else {one.key: self.bucket.read(one.key, 1_000_000)}
            )
        return found


@pytest.fixture(params=["file", "moto", "seaweed"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "file":
        url = f"file:{tmp_path}/lines"
    else:
        store: ObjectStore = request.getfixturevalue(request.param)
        url = store.url(store.new_bucket(), "some/where/")
    place = Place(url, open_bucket(url, {}, ENVIRONMENT))
    for key, content in BEFORE.items():
        place.bucket.write(key, content)
    return place


def test_one_program_for_every_bucket(person: Person, place: Place) -> None:
    """Found, published, copied, overwritten and deleted: the same, wherever the bucket is. The stage sees nothing of
    the credentials that its bucket was opened with."""
    person.write("clew.toml", f'[buckets]\nlines = "{place.url}"\n')
    words = ["run", person.write("parcels.yaml", PROGRAM), "--format", "json"]
    run = person.clew(*words, environment=ENVIRONMENT).document
    assert run["status"] == "completed"
    written = {"sources.csv": b"name,key,batch\nfirst_file,tx/daily/z/batch_10.csv,10\n"}
    written |= {"copy 100% +.csv": b"ten\n", "by-url.csv": b"ten\n"}
    [name] = {key.split("/")[1] for key in place.content("out/")}
    expected = {**BEFORE, **{f"out/{name}/{key}": content for key, content in written.items()}}
    del expected["state.txt"]
    assert place.content() == expected
    assert "PATH=" in run["variables"]["environment"]
    assert "AWS_" not in run["variables"]["environment"]


def test_every_bucket_is_brought_back(person: Person, place: Place) -> None:
    """A run that fails leaves every bucket as it was: what it overwrote is put back from its copy."""
    words = ["--bucket", f"lines={place.url}", "--var", "code=7", "--format", "json"]
    run = person.clew(
        "run", person.write("parcels.yaml", PROGRAM), *words, environment=ENVIRONMENT, code=3
    ).document
    assert run["status"] == "rolled_back"
    assert place.content() == BEFORE


def test_what_clew_keeps_may_be_in_a_store(person: Person, moto: ObjectStore) -> None:
    """Large outputs, and the copies of what a stage overwrites, go to the bucket of the setting `payloads`."""
    lines, payloads = (moto.url(moto.new_bucket()) for _ in range(2))
    bucket, kept = (open_bucket(url, {}, ENVIRONMENT) for url in (lines, payloads))
    bucket.write("state.txt", b"before\n")
    person.write("clew.toml", f'payloads = "{payloads}"\n[buckets]\nlines = "{lines}"\n')
    text = """
name: keeps
stages:
  - name: Overwrite
    execute: {command: publish_file, params: [lines/state.txt, after]}
    rollback: {restore: [lines/state.txt]}
  - name: Say much
    after: [Overwrite]
    execute: {command: shell, params: [sh, -c, "printf %0300000d 7"]}
    outputs: {much: {from: stdout}}
    rollback: none
  - name: Fail
    after: [Say much]
    execute: {command: shell, params: ["false"]}
    rollback: none
"""
    run = person.clew(
        "run", person.write("keeps.yaml", text), "--format", "json", environment=ENVIRONMENT, code=3
    )
    assert run.document["status"] == "rolled_back"
    assert [stage["attempts"] for stage in run.document["stages"]] == [1, 1, 1]
    assert bucket.read("state.txt", 9) == b"before\n"
    contents = Place(payloads, kept).content().values()
    assert any(b"0" * 299_999 + b"7" in content for content in contents)
    assert b"before\n" in contents


def test_a_store_that_refuses_is_told_and_nothing_is_missing(person: Person, moto: ObjectStore) -> None:
    """A bucket that is not there fails the run as what it is."""
    url = moto.url("no-such-bucket")
    text = "\n".join(
        [
            "name: writes",
            "stages:",
            "  - name: Write",
            "    execute: {command: publish_file, params: [lines/a, b]}",
        ]
    )
    words = ["--bucket", f"lines={url}", "--format", "json"]
    run = person.clew("run", person.write("writes.yaml", text), *words, environment=ENVIRONMENT, code=1)
    assert "NoSuchBucket" in run.err


def test_a_rehearsal_leaves_a_store_alone(person: Person, moto: ObjectStore) -> None:
    """A rehearsal reads the bucket, and works on a copy of it."""
    place = Place(url := moto.url(moto.new_bucket()), open_bucket(url, {}, ENVIRONMENT))
    for key, content in BEFORE.items():
        place.bucket.write(key, content)
    person.write("parcels.rehearsal.toml", 'as_is = ["shell"]\n')
    program = person.write("parcels.yaml", PROGRAM[: PROGRAM.index("  - name: Take away")])
    words = ["rehearse", program, "--bucket", f"lines={url}", "--stage", "Overwrite", "--format", "json"]
    assert person.clew(*words, environment=ENVIRONMENT).document["faults"] == []
    assert place.content() == BEFORE


def test_what_can_not_be_copied_is_not_rehearsed(person: Person, moto: ObjectStore, tmp_path: Path) -> None:
    """A bucket whose keys no folder can hold is refused, and nothing is written beside the scratch folder."""
    person.write("parcels.rehearsal.toml", 'as_is = ["shell"]\n')
    program = person.write("parcels.yaml", PROGRAM)
    for key, text in [
        ("a/../../../../escaped", "can't be in a folder"),
        ("state.txt/x", "can't be copied into a folder"),
    ]:
        bucket = open_bucket(url := moto.url(moto.new_bucket()), {}, ENVIRONMENT)
        for each in (key, "state.txt"):
            bucket.write(each, b"")
        words = ["rehearse", program, "--bucket", f"lines={url}"]
        done = person.clew(*words, environment={**ENVIRONMENT, "TMPDIR": str(tmp_path)}, code=2)
        assert text in done.err and "Traceback" not in done.err
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize("by_flag", [True, False])
def test_credentials_in_a_url_are_refused_before_anything_is_kept(person: Person, by_flag: bool) -> None:
    """A run keeps its buckets' URLs, and settings are shown: a password in one is refused, and not repeated."""
    url = "s3://somebody:hush@lines"
    words = ["--bucket", f"lines={url}"] if by_flag else []
    if not by_flag:
        person.write("clew.toml", f'[buckets]\nlines = "{url}"\n')
    done = person.clew("run", person.write("parcels.yaml", PROGRAM), *words, code=2)
    assert "the bucket lines: s3://…@lines: a URL has no place for credentials" in done.err
    assert "hush" not in done.out + done.err
    assert not (person.folder / ".clew").exists()
