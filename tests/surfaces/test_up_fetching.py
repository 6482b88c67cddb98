"""`clew up` reads programs from buckets and git repositories, again and again; what goes wrong takes nothing away."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.databases.postgres import PostgresServer
from tests.object_stores.serving import ENVIRONMENT, ObjectStore
from tests.surfaces.calling import CLEW, Person, until_said
from tests.surfaces.calling import ENVIRONMENT as OWN

from clew.buckets import open_bucket
from clew.ports import Bucket

READY = "live; Ctrl-C ends this"
Up = subprocess.Popen[str]


@pytest.fixture
def up(person: Person) -> Iterator[Callable[..., Up]]:
    """Begins `clew up` with these places, and waits until it is ready. What is left at the end is killed."""
    begun: list[Up] = []

    def begin(
        *places: str, words: tuple[str, ...] = (), until: str = READY, folder: Path = person.folder
    ) -> Up:
        (folder / "clew.toml").write_text(f'programs = [{", ".join(places)}]\njitter = "0 seconds"\n')
        process = subprocess.Popen(
            [*CLEW, "up", *words], cwd=folder, env={**OWN, **ENVIRONMENT}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        begun.append(process)
        until_said(process, until)
        return process

    yield begin
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate()


def end(process: Up) -> str:
    """Tell it to end; what it said since."""
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    return said


def live(person: Person) -> dict[str, Any]:
    return {one["program"]: one for one in person.clew("programs", "--format", "json").document}


def program(name: str, cadence: str = "0 0 * * *") -> str:
    stage = '{name: Do, execute: {command: shell, params: ["true"]}, rollback: none}'
    return f"name: {name}\ncadence: '{cadence}'\nstages:\n  - {stage}\n"


def calling(name: str, *, cadence: str = "once") -> str:
    """A program whose code lies beside it."""
    stage = '{name: Do, execute: {command: python, params: {function: "beside:do"}}, outputs: [said], rollback: none}'
    return f"name: {name}\ncadence: {cadence}\nstages:\n  - {stage}\n"


BEFORE = {
    "programs/one.yaml": program("one"),
    "programs/deep/two.yaml": program("two"),
    "other.yaml": program("no"),
}


class Bucketed:
    """Programs in a bucket."""

    def __init__(self, url: str) -> None:
        self.bucket: Bucket = open_bucket(url, {}, ENVIRONMENT)
        path, mark, options = url.partition("?")
        self.url = f"{path.removesuffix('/')}/programs/{mark}{options}"
        self.entry = f'{{place = "{self.url}", every = "1 second"}}'
        self.name = self.url.partition("?")[0].removesuffix("/")
        self.prefix = f"{self.name}/"

    def change(self, **files: str | None) -> None:
        for name, text in files.items():
            if text is None:
                self.bucket.delete(name)
            else:
                self.bucket.write(name, text.encode())


class Repository:
    """Programs in a git repository, on a branch; named by its path, as a URL, or from the settings."""

    def __init__(self, folder: Path, *, address: str, keys: str = 'branch = "main"') -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        reference = keys.partition('"')[2].partition('"')[0]
        self.entry = f'{{git = "{address}", {keys}, folder = "programs", every = "1 second"}}'
        self.address = str(folder) if address.startswith("./") else address
        self.name = f"{self.address}@{reference}:programs"
        self.prefix = f"{self.name}/"

    def git(self, *words: str) -> str:
        who = {
            f"GIT_{who}_{what}": "me@host" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            **who,
        }
        done = subprocess.run(
            ["git", *words], cwd=self.folder, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def change(self, **files: str | None) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink() if text is None else path.write_text(text)
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--message", "x")


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Bucketed | Repository:
    found: Bucketed | Repository
    folder = tmp_path / "code"
    if request.param == "git":
        found = Repository(folder, address=str(folder))
    elif request.param == "git-url":
        found = Repository(folder, address=f"file://{folder}")
    elif request.param == "file":
        found = Bucketed(f"file:{folder}")
    else:
        store: ObjectStore = request.getfixturevalue(request.param)
        found = Bucketed(store.url(store.new_bucket(), "some/where/"))
    found.change(**BEFORE)
    return found


@pytest.mark.parametrize("place", ["file", "moto", "seaweed", "git", "git-url"], indirect=True)
def test_what_changes_there_is_live_when_it_is_read_again(
    person: Person, up: Callable[..., Up], place: Bucketed | Repository
) -> None:
    """New, changed, wrong, right again, and gone; the names of sources say where they are, and not where a copy is."""
    process = up(place.entry)
    first = live(person)
    assert {name: one["source"] for name, one in first.items()} == {
        "one": f"{place.prefix}one.yaml", "two": f"{place.prefix}deep/two.yaml",
    }  # fmt: skip
    place.change(**{"programs/one.yaml": program("one", "0 * * * *")})
    until_said(process, "one  live as version")
    second = live(person)
    assert second["one"]["version"] != first["one"]["version"]
    assert second["two"] == first["two"]
    assert second["one"]["source"] == first["one"]["source"]

    place.change(**{"programs/one.yaml": "name: one\nstages: nonsense\n"})
    until_said(process, f"{place.prefix}one.yaml:2:")
    until_said(process, f"{place.prefix}one.yaml  has mistakes: one goes on as it was")
    place.change(**{"programs/three.yaml": program("three")})
    until_said(process, "three  live as version")
    assert live(person)["one"] == second["one"]
    place.change(**{"programs/one.yaml": program("one", "0 * * * *")})
    until_said(process, "one  live as version")

    place.change(**{"programs/one.yaml": None})
    until_said(process, "one  not live any more")
    assert set(live(person)) == {"two", "three"}
    end(process)


@pytest.mark.parametrize("place", ["file", "git-url"], indirect=True)
def test_what_can_t_be_reached_takes_nothing_with_it(
    person: Person, up: Callable[..., Up], place: Bucketed | Repository, tmp_path: Path
) -> None:
    """While it runs, and after a restart; it is told once, and when the place is there again it is read again."""
    process = up(
        place.entry, '{place = "local", every = "1 second"}', until="there is no such file or folder"
    )
    until_said(process, READY)
    before = live(person)
    assert set(before) == {"one", "two"}
    os.rename(tmp_path / "code", tmp_path / "away")
    until_said(process, place.name)
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "mine.yaml").write_text(program("mine"))
    until_said(process, "mine  live as version")
    assert {name: one for name, one in live(person).items() if name != "mine"} == before
    assert "code" not in end(process).replace(str(tmp_path / "local"), ""), "it was told once"

    process = up(place.entry, until=place.name)
    until_said(process, "mine  not live any more")
    until_said(process, "2 programs live")
    assert live(person) == before
    os.rename(tmp_path / "away", tmp_path / "code")
    place.change(**{"programs/one.yaml": None, "programs/three.yaml": program("three")})
    until_said(process, "one  not live any more")
    until_said(process, "three  live as version")
    assert live(person)["two"] == before["two"]
    end(process)


@pytest.mark.parametrize("place", ["moto"], indirect=True)
def test_a_store_that_does_not_answer_takes_nothing_with_it(
    person: Person, up: Callable[..., Up], place: Bucketed
) -> None:
    """What was live is live by the version that is on record, without waiting for the store."""
    end(up(place.entry))
    before = live(person)
    address = place.entry.partition("endpoint=")[2].partition('"')[0]
    process = up(place.entry.replace(address, "http://127.0.0.1:9"))
    assert live(person) == before
    end(process)
    place.change(**{"programs/one.yaml": None})
    process = up(place.entry.replace("1 second", "1 day"))
    if "one" in live(person):
        until_said(process, "one  not live any more")
    assert set(live(person)) == {"two"}
    end(process)


def test_a_place_that_is_empty_takes_nothing_with_it(
    person: Person, up: Callable[..., Up], tmp_path: Path
) -> None:
    """A prefix without anything, or a folder that a commit has not, is an accident, as a folder that is gone."""
    place = Repository(tmp_path / "code", address="./code")
    place.change(**BEFORE)
    process = up(place.entry)
    shutil.rmtree(place.folder / "programs")
    place.change()
    until_said(process, "has no folder 'programs'")
    assert set(live(person)) == {"one", "two"}
    end(process)


def test_runs_keep_the_code_that_lay_beside_their_program(
    person: Person, up: Callable[..., Up], tmp_path: Path
) -> None:
    """A module beside the program is found, and is the new one for runs that begin after it has changed; a run that
    began before goes on with the old one."""
    begun, go_on = person.fifo("begun"), person.fifo("go_on")
    place = Repository(tmp_path / "code", address="./code")
    code = "def do():\n    return {{'said': {!r}}}\n"
    late = (
        "name: late\ncadence: once\nstages:\n  - {name: Wait, execute: {command: shell, params: "
        f'[sh, -c, "echo begun > {begun}; cat {go_on}"]}}, rollback: none}}\n'
        '  - {name: Do, after: [Wait], execute: {command: python, params: {function: "beside:do"}}, '
        "outputs: [said], rollback: none}\n"
    )
    place.change(**{"programs/late.yaml": late, "programs/beside.py": code.format("old")})
    process = up(place.entry)
    assert begun.read_text() == "begun\n"
    place.change(**{
        "programs/beside.py": code.format("new"), "programs/next.yaml": calling("next"),
    })  # fmt: skip
    until_said(process, "next  ")
    until_said(process, "the run is completed")
    go_on.write_text("x")
    until_said(process, "the run is completed")
    end(process)
    said = {
        one["program"]: person.clew("show", one["run_id"], "--format", "json").document["variables"]["said"]
        for one in person.clew("runs", "--format", "json").document
    }
    assert said == {"next": "new", "late": "old"}


def test_each_place_has_an_interval_of_its_own(person: Person, up: Callable[..., Up], tmp_path: Path) -> None:
    """One that is read once a day does not know what changes in it, while another has changed twice."""
    slow = Repository(tmp_path / "slow", address="./slow")
    fast = Bucketed(f"file:{tmp_path}/fast")
    slow.change(**{"programs/slow.yaml": program("slow")})
    fast.change(**{"programs/fast.yaml": program("fast")})
    process = up(slow.entry.replace("1 second", "1 day"), fast.entry)
    before = live(person)
    slow.change(**{"programs/slow.yaml": program("slow", "0 * * * *")})
    for cadence in ("0 * * * *", "1 * * * *"):
        fast.change(**{"programs/fast.yaml": program("fast", cadence)})
        until_said(process, "fast  live as version")
    assert live(person)["slow"] == before["slow"]
    end(process)


def test_who_reads_more_seldom_retires_nothing_that_is_new(
    up: Callable[..., Up], tmp_path: Path, postgres: PostgresServer
) -> None:
    """One orchestrator knows a newer commit: the other looks for itself before it says that a program is gone."""
    place = Repository(tmp_path / "code", address=str(tmp_path / "code"))
    place.change(**BEFORE)
    for name in ("slow", "fast", "local"):
        (tmp_path / name).mkdir()
    words = ("--store", postgres.url(postgres.new_database()))
    local = f'"{tmp_path}/local"'
    slow = up(place.entry.replace("1 second", "1 day"), local, words=words, folder=tmp_path / "slow")
    fast = up(place.entry, local, words=words, folder=tmp_path / "fast")
    place.change(**{"programs/three.yaml": program("three")})
    until_said(fast, "three  live as version")
    (tmp_path / "local" / "mine.yaml").write_text(program("mine"))
    assert slow.stderr is not None
    said = [slow.stderr.readline()]
    while "three  live as version" not in said[-1]:
        assert said[-1], "it ended"
        said.append(slow.stderr.readline())
    assert "not live any more" not in "".join(said)
    assert "not live any more" not in end(slow) + end(fast)


def test_a_tag_and_a_bucket_by_its_name(person: Person, up: Callable[..., Up], tmp_path: Path) -> None:
    """A tag is read as a branch is, also one that is an object of its own; a bucket of the settings by its name."""
    tagged = Repository(tmp_path / "code", address="./code", keys='tag = "v1"')
    tagged.change(**BEFORE)
    tagged.git("tag", "--annotate", "-m", "x", "v1")
    tagged.change(**{"programs/later.yaml": program("later")})
    named = Bucketed(f"file:{tmp_path}/named")
    named.change(**{"programs/named.yaml": program("named")})
    process = up(
        tagged.entry,
        '{bucket = "code", folder = "programs"}',
        words=("--bucket", f"code=file:{tmp_path}/named"),
    )
    assert {one["source"] for one in live(person).values()} == {
        f"{tagged.prefix}one.yaml", f"{tagged.prefix}deep/two.yaml", "code/programs/named.yaml",
    }  # fmt: skip
    tagged.git("tag", "--annotate", "--force", "-m", "x", "v1")
    until_said(process, "later  live as version")
    end(process)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('{git = "https://me:geheim@host/x.git", branch = "main"}', "programs[0].git: the address of a git"),
        ('{git = "./x", branch = "--upload-pack=touch ran"}', "programs[0].branch: "),
        ('{place = "programs", every = "often"}', "programs[0].every: 'often' is no duration"),
        ('"s3://me:geheim@code/x"', "programs[0]: s3://…@code: a URL has no place for credentials"),
    ],
)
def test_what_can_not_be_meant_is_refused(person: Person, entry: str, said: str) -> None:
    """With its place in the settings, and without what may be a password."""
    person.write("clew.toml", f"programs = [{entry}]\n")
    err = person.clew("up", code=2).err
    assert f"clew.toml: {said}" in err
    assert "geheim" not in err


def test_a_bucket_that_nobody_knows_is_refused(person: Person) -> None:
    """By `clew up` alone, since a flag may name it."""
    person.write("clew.toml", 'programs = [{bucket = "cod"}]\n[buckets]\ncode = "file:code"\n')
    assert "cod: there is no bucket 'cod'; did you mean 'code'" in person.clew("up", code=2).err
    person.clew("doctor", code=None)
