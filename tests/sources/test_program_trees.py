"""What places of programs hold is fetched whole into folders that never change, and goes when nobody needs it."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from clew.buckets.memory import MemoryBucket
from clew.ports import BucketError, ObjectFacts
from clew.sources.cache import SourceCache
from clew.sources.commits import Commit, find_tip
from clew.sources.deadlines import Deadline
from clew.sources.program_trees import ProgramTrees, Tree
from clew.sources.trees import SourceError


class Counted(MemoryBucket):
    """A bucket that remembers what was read of it; `during` is done when something is."""

    def __init__(self, **files: str) -> None:
        super().__init__()
        self.read_keys: list[str] = []
        self.has_etags = True
        self.deadline: Deadline | None = None
        self.change(**files)

    def change(self, **files: str) -> None:
        for name, text in files.items():
            self.write(name, text.encode())

    def list_folder(self, folder: str, start: str = "") -> Iterator[ObjectFacts | str]:
        for one in super().list_folder(folder, start):
            yield one if isinstance(one, str) or self.has_etags else ObjectFacts(one.key, one.size, "", 0)

    def read_pieces(self, key: str) -> Iterator[bytes]:
        self.read_keys.append(key)
        if self.deadline is not None:
            self.deadline.call_off()
        yield from super().read_pieces(key)


class Fetching:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "programs"
        self.trees = ProgramTrees(str(self.folder), SourceCache(str(folder / "cache")))

    def fetch(self, bucket: Counted, last: Tree | None = None, folder: str = "") -> Tree:
        bucket.read_keys = []
        return self.trees.of_folder(bucket, folder, last, Deadline(60))

    def names(self, of: str = "trees") -> set[str]:
        return set(os.listdir(self.folder / of))


@pytest.fixture
def fetching(tmp_path: Path) -> Fetching:
    return Fetching(tmp_path)


def contents(tree: Tree) -> dict[str, str]:
    folder = Path(tree.folder)
    return {str(one.relative_to(folder)): one.read_text() for one in folder.rglob("*") if one.is_file()}


# ---- buckets ---------------------------------------------------------------------------------------------


def test_what_has_changed_is_in_another_folder(fetching: Fetching) -> None:
    """The one of before stays as it is; what has not changed is not fetched again, nor is an object of it."""
    bucket = Counted(**{"jobs/a": "1", "jobs/b/c": "2", "other": "3"})
    first = fetching.fetch(bucket, folder="jobs/")
    assert contents(first) == {"a": "1", "b/c": "2"}
    assert fetching.fetch(bucket, first, "jobs/") == first
    assert bucket.read_keys == []
    bucket.change(**{"jobs/a": "4", "jobs/d": "5"})
    second = fetching.fetch(bucket, first, "jobs/")
    assert contents(second) == {"a": "4", "b/c": "2", "d": "5"}
    assert sorted(bucket.read_keys) == ["jobs/a", "jobs/d"]
    assert contents(first) == {"a": "1", "b/c": "2"}
    assert fetching.names("making") == set()


def test_a_copy_that_was_changed_is_fetched_again(fetching: Fetching) -> None:
    """What a tree has of an object counts by its digest alone."""
    bucket = Counted(a="1", b="2", c="3")
    first = fetching.fetch(bucket)
    (Path(first.folder) / "a").write_text("x")
    (Path(first.folder) / "b").unlink()
    bucket.change(c="4")
    assert contents(fetching.fetch(bucket, first)) == {"a": "1", "b": "2", "c": "4"}
    assert bucket.read_keys == ["a", "b", "c"]


def test_a_tree_that_is_gone_is_fetched_again(fetching: Fetching) -> None:
    """Somebody has removed the folder: it comes back under its name."""
    bucket = Counted(a="1")
    first = fetching.fetch(bucket)
    (Path(first.folder) / "a").unlink()
    os.rmdir(first.folder)
    assert fetching.fetch(bucket, first) == first
    assert contents(first) == {"a": "1"}


def test_a_bucket_that_tells_nothing_is_read_each_time(fetching: Fetching) -> None:
    """What is the same is the same tree."""
    bucket = Counted(a="1")
    bucket.has_etags = False
    first = fetching.fetch(bucket)
    assert fetching.fetch(bucket, first) == first
    assert bucket.read_keys == ["a"]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", ".git/config", "a//b"])
def test_a_hostile_key_is_refused_whole(fetching: Fetching, name: str) -> None:
    """Nothing of the place is taken, and nothing is left."""

    class Hostile(Counted):
        def list_folder(self, folder: str, start: str = "") -> Iterator[ObjectFacts | str]:
            yield ObjectFacts(name, 1, "etag", 0)

    with pytest.raises(SourceError):
        fetching.fetch(Hostile())
    assert not fetching.folder.exists()


def test_fetching_ends_at_its_deadline_or_when_it_is_called_off(fetching: Fetching) -> None:
    """Between two pieces; nothing half fetched is left."""
    bucket = Counted(a="1", b="2")
    with pytest.raises(SourceError, match="longer than 0 seconds"):
        fetching.trees.of_folder(bucket, "", None, Deadline(0))
    bucket.deadline = Deadline(60)
    with pytest.raises(SourceError, match="called off"):
        fetching.trees.of_folder(bucket, "", None, bucket.deadline)
    assert fetching.names("making") == set()


def test_what_the_bucket_says_comes_through(fetching: Fetching) -> None:
    """As trouble of the bucket's, and nothing is left."""

    class Silent(Counted):
        def read_pieces(self, key: str) -> Iterator[bytes]:
            raise BucketError("503")

    with pytest.raises(BucketError, match="503"):
        fetching.fetch(Silent(a="1"))
    assert fetching.names("making") == set()


# ---- what goes -------------------------------------------------------------------------------------------


def test_what_nobody_needs_goes(fetching: Fetching) -> None:
    """What is needed stays, wherever in it the code lies; of the rest the latest few, and what was left just now."""
    bucket = Counted()
    trees = []
    for number in range(5):
        bucket.change(a=str(number))
        trees.append(fetching.fetch(bucket))
        os.utime(trees[-1].folder, (1_000 + number, 1_000 + number))
    needed = [f"{trees[0].folder}/deep/er", "/somewhere/else", ""]
    fetching.trees.touch(trees[1].folder)
    (fetching.folder / "making" / "old").mkdir()
    (fetching.folder / "making" / "new").mkdir()
    os.utime(fetching.folder / "making" / "old", (1_000, 1_000))
    assert fetching.trees.remove(needed, kept_max=2, spared=100) == 2
    assert fetching.names() == {os.path.basename(trees[at].folder) for at in (0, 1, 4)}
    assert fetching.names("making") == {"new"}
    assert fetching.trees.remove([], kept_max=0, spared=100) == 2
    assert fetching.names() == {os.path.basename(trees[1].folder)}, "it was in use till just now"
    fetching.trees.touch(trees[2].folder)
    assert ProgramTrees(str(fetching.folder / "none"), SourceCache("")).remove([]) == 0


# ---- repositories ----------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    return folder


def git(folder: Path, *words: str) -> str:
    who = {f"GIT_{who}_{what}": "me@host" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", **who}
    done = subprocess.run(
        ["git", *words], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(folder: Path, **files: str) -> str:
    for name, text in files.items():
        (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "x")
    return git(folder, "rev-parse", "HEAD")


def test_a_branch_is_what_it_leads_to_now(fetching: Fetching, repository: Path) -> None:
    """The same commit is not fetched twice; another one is in another folder; a tag leads to its commit."""
    wanted = Commit(str(repository), "", "", "")

    def tip(last: Tree | None = None, reference: str = "refs/heads/main") -> Tree:
        return fetching.trees.of_tip(wanted, reference, last, Deadline(60))

    id = commit(repository, a="1")
    git(repository, "tag", "--annotate", "-m", "x", "v1")
    first = tip()
    assert (first.key, contents(first)) == (id, {"a": "1"})
    before = os.stat(first.folder).st_mtime_ns
    assert tip(first) == first
    assert os.stat(first.folder).st_mtime_ns == before
    commit(repository, a="2")
    assert contents(tip(first)) == {"a": "2"}
    assert tip(reference="refs/tags/v1") == first
    git(repository, "tag", "v2")
    assert contents(tip(reference="refs/tags/v2")) == {"a": "2"}
    assert fetching.names("making") == set()


@pytest.mark.parametrize(
    ("address", "reference", "sort", "said"),
    [
        ("REPOSITORY", "refs/heads/other", "missing", "has no branch 'other'"),
        ("REPOSITORY", "refs/heads/mai", "missing", "has no branch 'mai'"),
        ("REPOSITORY", "refs/tags/v1", "missing", "has no tag 'v1'"),
        ("/nowhere/at/all", "refs/heads/main", "trouble", "git can't ask '/nowhere/at/all'"),
        ("--upload-pack=touch ran", "refs/heads/main", "unfit", "is no git repository's address"),
        ("https://me:geheim@host/x", "refs/heads/main", "unfit", "holds no credentials"),
        ("ext::sh -c 'touch ran'", "refs/heads/main", "unfit", "has git run a program of its own"),
    ],
)
def test_what_can_not_be_asked_is_told(
    tmp_path: Path, repository: Path, address: str, reference: str, sort: str, said: str
) -> None:
    """And nothing but git's own is run; nothing is left."""
    commit(repository, a="1")
    with pytest.raises(SourceError) as caught:
        find_tip(
            address.replace("REPOSITORY", str(repository)), reference, str(tmp_path / "scratch"), os.environ,
            Deadline(60),
        )  # fmt: skip
    assert (caught.value.sort, said in str(caught.value)) == (sort, True)
    assert "geheim" not in str(caught.value)
    assert not (tmp_path / "scratch").exists()
    assert not list(tmp_path.rglob("ran"))


def test_links_lead_nowhere_else(fetching: Fetching, repository: Path) -> None:
    """A program file that is a link out of the repository is refused, with all the rest."""
    os.symlink("/etc/passwd", repository / "one.yaml")
    commit(repository)
    with pytest.raises(SourceError, match="leads out"):
        fetching.trees.of_tip(Commit(str(repository), "", "", ""), "refs/heads/main", None, Deadline(60))
    assert fetching.names("making") == set()


@pytest.mark.parametrize("how", ["deadline", "called off"])
def test_a_git_that_hangs_is_killed(tmp_path: Path, how: str) -> None:
    """With what it has begun: here a helper that opens the connection, and does not come back."""
    begun = tmp_path / "begun"
    tells = f"echo $$ > {begun}\n" if how == "called off" else ""
    helper = tmp_path / "ssh"
    helper.write_text(f"#!/bin/sh\n{tells}exec sleep 1000\n")
    helper.chmod(0o700)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    scratch = str(tmp_path / "scratch")
    if how == "deadline":
        with pytest.raises(SourceError, match="longer than 1 seconds"):
            find_tip("ssh://host/x", "refs/heads/main", scratch, environment, Deadline(1))
        return
    os.mkfifo(begun)
    deadline = Deadline(600)
    helpers: list[int] = []

    def call_off() -> None:
        helpers.append(int(begun.read_text()))
        deadline.call_off()

    watcher = threading.Thread(target=call_off)
    watcher.start()
    with pytest.raises(SourceError, match="called off"):
        find_tip("ssh://host/x", "refs/heads/main", scratch, environment, deadline)
    watcher.join()
    while is_running(helpers[0]):
        os.sched_yield()


def is_running(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"
