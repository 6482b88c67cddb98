"""Code is fetched whole and as it is, never out of its folder, and what can't be had is told from what is not there."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.buckets import open_bucket
from clew.buckets.memory import MemoryBucket
from clew.ports import Bucket, BucketError, ObjectFacts, SourceRequest
from clew.sources import cache as cache_module
from clew.sources import folders, trees
from clew.sources.cache import SourceCache
from clew.sources.fetching import NotFetched, Places, fetch
from clew.sources.folders import fetch_folder
from clew.sources.trees import Fetched, SourceError, TreeWriter, check_path, copy_tree


class Fetching:
    """A folder in which sources are fetched, each into a new one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = str(folder / "cache")
        self.bucket = MemoryBucket()
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        self._count = 0

    def places(self) -> Places:
        self._count += 1
        return Places(
            str(self.folder / f"fetched-{self._count}"),
            str(self.folder / f"scratch-{self._count}"),
            str(self.folder),
        )

    def fetch(self, bucket: Bucket | None = None, **said: Any) -> tuple[Fetched, Path]:
        places = self.places()
        source = SourceRequest(
            **{"cache": self.cache, **({"bucket": "code"} if "git" not in said else {}), **said}
        )
        fetched = fetch(source, {}, lambda _: bucket or self.bucket, places, self.environment)
        assert not os.path.exists(places.scratch)
        return fetched, Path(places.target)

    def refused(self, bucket: Bucket | None = None, **said: Any) -> NotFetched:
        with pytest.raises(NotFetched) as caught:
            self.fetch(bucket, **said)
        return caught.value


@pytest.fixture
def fetching(tmp_path: Path) -> Fetching:
    return Fetching(tmp_path)


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- folders ---------------------------------------------------------------------------------------------


@pytest.fixture(params=["file", "memory"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Bucket:
    return MemoryBucket() if request.param == "memory" else open_bucket(str(tmp_path / "bucket"), {})


def test_a_folder_is_fetched_whole(fetching: Fetching, bucket: Bucket) -> None:
    """With all below it, and nothing beside it; the digest is of what is there."""
    for key in ("jobs/v3/job.py", "jobs/v3/lib/one.py", "jobs/v3/lib/é\n", "jobs/v30/other", "jobs/x"):
        bucket.write(key, key.encode())
    fetched, there = fetching.fetch(bucket, folder="jobs/v3")
    assert files_in(there) == {
        name: f"jobs/v3/{name}".encode() for name in ("job.py", "lib/one.py", "lib/é\n")
    }
    assert (fetched.file_count, fetched.size) == (3, sum(map(len, files_in(there).values())))
    assert copy_tree(str(there), str(fetching.folder / "copy")).digest == fetched.digest
    assert fetching.fetch(bucket, folder="jobs/v3/")[0] == fetched


def test_a_whole_bucket_is_a_folder_too(fetching: Fetching, bucket: Bucket) -> None:
    """Without a folder all of it is fetched; its digest is the same wherever the same code lies."""
    bucket.write("a/job.py", b"1")
    fetched, there = fetching.fetch(bucket)
    assert files_in(there) == {"a/job.py": b"1"}
    bucket.write("x/a/job.py", b"1")
    assert fetching.fetch(bucket, folder="x")[0].digest == fetched.digest


def test_an_empty_folder_is_missing(fetching: Fetching) -> None:
    """That is final at first; once there was code, it is gone."""
    refused = fetching.refused(folder="jobs")
    assert (refused.kind, refused.is_final) == ("source", True)
    assert "there is nothing in the folder 'jobs/' of memory:" in str(refused)
    refused = fetching.refused(folder="jobs", digest="0" * 64)
    assert (refused.kind, refused.is_final) == ("code_gone", False)


def test_other_code_than_was_pinned_is_refused(fetching: Fetching) -> None:
    """And the same code again is taken, though other objects hold it."""
    fetching.bucket.write("job.py", b"1")
    pinned = fetching.fetch()[0].digest
    fetching.bucket.write("job.py", b"2")
    refused = fetching.refused(digest=pinned)
    assert (refused.kind, refused.is_final) == ("code_changed", False)
    fetching.bucket.write("job.py", b"1")
    assert fetching.fetch(digest=pinned)[0].digest == pinned


def test_what_was_found_out_just_now_is_taken_as_it_was(fetching: Fetching) -> None:
    """Whatever has become of the source meanwhile; if it is not kept any more, that is looked at."""
    fetching.bucket.write("job.py", b"1")
    pinned = fetching.fetch()[0]
    fetching.bucket.write("job.py", b"2")
    assert fetching.fetch(digest=pinned.digest, is_fresh=True)[0] == pinned
    for cache in ("", str(fetching.folder / "other")):
        assert fetching.refused(digest=pinned.digest, is_fresh=True, cache=cache).kind == "code_changed"
    assert SourceCache(fetching.cache).take_tree("0" * 64, str(fetching.folder / "nothing")) is None


def test_where_a_reference_leads(fetching: Fetching) -> None:
    """To a folder that was found, or to a text that names one: as the bucket, what else is said lies below it."""
    fetching.bucket.write("jobs/v3/a/job.py", b"1")
    found = {"url": "memory:/jobs/v3/", "bucket": "code", "key": "jobs/v3/", "etag": None}
    for value, name in ((found, "memory:"), ("code/jobs/v3", "code"), ("memory:code/jobs/v3", "memory:code")):
        opened: list[str] = []

        def open_it(name: str, opened: list[str] = opened) -> Bucket:
            opened.append(name)
            return fetching.bucket

        places = fetching.places()
        source = SourceRequest(bucket="{where}", folder="{sub}")
        fetch(source, {"where": value, "sub": "a"}, open_it, places, {})
        assert files_in(Path(places.target)) == {"job.py": b"1"}
        assert opened == [name]


@pytest.mark.parametrize("value", [None, 3, "", ["code"], {"bucket": "code"}])
def test_a_value_that_is_no_bucket(fetching: Fetching, value: object) -> None:
    """It is told before anything is opened."""
    with pytest.raises(NotFetched, match="no bucket") as caught:
        fetch(
            SourceRequest(bucket="{where}"),
            {"where": value},
            lambda _: fetching.bucket,
            fetching.places(),
            {},
        )
    assert caught.value.is_final


class Opaque(MemoryBucket):
    """As an object store, whose keys are any texts; `broken` is what it answers instead, once or for good."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        super().__init__("opaque:")
        self.keys = keys
        self.during: Callable[[], None] = lambda: None
        self.reads = 0

    def list_folder(self, folder: str, start: str = "") -> Iterator[ObjectFacts | str]:
        seen = set()
        for key in sorted(self.keys):
            if key.startswith(folder):
                name, slash, _ = key[len(folder) :].partition("/")
                if slash and folder + name + slash != key:
                    if name not in seen:
                        seen.add(name)
                        yield f"{folder}{name}/"
                    continue
                content = self.keys[key]
                yield ObjectFacts(key, len(content), f"etag {content!r}", 0)

    def read_pieces(self, key: str) -> Iterator[bytes]:
        self.reads += 1
        if key not in self.keys:
            raise FileNotFoundError(key)
        yield self.keys[key]
        self.during()


HOSTILE = [
    "/etc/passwd", "//x", "a//b", "../x", "a/../../x", "a/..", ".", "./x", "a/./b", "x\0y", "\udcff", "x" * 256,
    "y/" * 600 + "z", ".git/config", "a/.GIT/hooks/post-checkout", "a/.git",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_key_is_refused(fetching: Fetching, name: str) -> None:
    """It is no name of a file within the folder, and nothing is written outside, nor under another name."""
    before = set(os.listdir(fetching.folder))
    refused = fetching.refused(Opaque({f"code/{name}": b"x", "code/job.py": b"x"}), folder="code")
    assert (refused.kind, refused.is_final) == ("source", True)
    assert set(os.listdir(fetching.folder)) - before <= {"fetched-1"}
    with pytest.raises(SourceError):
        check_path(name)


@given(st.text(alphabet="./\\\0ag~ -", max_size=12))
def test_what_is_a_path_stays_within(path: str) -> None:
    """Whatever the text: it is refused, or leads to a place below the folder, and to the one of that name."""
    try:
        check_path(path)
    except SourceError:
        return
    assert os.path.normpath(os.path.join("/top", path)) == f"/top/{path}"


def test_a_name_is_a_file_or_a_folder(fetching: Fetching) -> None:
    """A store may have objects at `a` and below `a/`; a folder can't, and none of them is left out."""
    refused = fetching.refused(Opaque({"a": b"1", "a/b": b"2"}))
    assert "both as a file and as a folder" in str(refused)
    assert refused.is_final


def test_what_stands_for_a_folder_is_no_file(fetching: Fetching) -> None:
    """Empty objects whose keys end in a slash are made by some tools; with bytes in it, it would be lost."""
    bucket = Opaque({"code/": b"", "code/lib/": b"", "code/lib/a.py": b"1"})
    assert files_in(fetching.fetch(bucket, folder="code")[1]) == {"lib/a.py": b"1"}
    assert fetching.refused(Opaque({"code/": b"x"}), folder="code").is_final


def test_a_folder_that_changes_meanwhile_is_fetched_anew(fetching: Fetching) -> None:
    """Never some of the old and some of the new: what is there is what was there at one moment."""
    bucket = Opaque({"a": b"1", "b": b"1"})

    def change() -> None:
        bucket.keys.update(a=b"2", b=b"2", c=b"2")
        bucket.during = lambda: None

    bucket.during = change
    fetched, there = fetching.fetch(bucket)
    assert files_in(there) == {"a": b"2", "b": b"2", "c": b"2"}
    assert copy_tree(str(there), str(fetching.folder / "copy")).digest == fetched.digest


@pytest.mark.parametrize("how", ["other bytes", "longer", "shorter", "gone", "more"])
def test_a_folder_that_does_not_stop_changing_is_left_alone(fetching: Fetching, how: str) -> None:
    """After some tries, and for a while: nothing says that it is not there, or that it can't be used."""
    bucket = Opaque({"a": b"1", "b": b"10"})
    count = 0

    def change() -> None:
        nonlocal count
        count += 1
        if how == "gone":
            bucket.keys = {f"a{count}": b"1", f"b{count}": b"10"}
        elif how == "more":
            bucket.keys[f"c{count}"] = b"1"
        else:
            size = {"other bytes": 2, "longer": 2 + count, "shorter": max(0, 20 - count)}[how]
            bucket.keys["b"] = f"{count}".zfill(size).encode()

    bucket.during = change
    refused = fetching.refused(bucket)
    assert (refused.kind, refused.is_final) == ("source", False)
    assert f"{folders.TRIES_MAX} times in a row" in str(refused)
    assert not os.path.exists(fetching.cache)


@pytest.mark.parametrize("limit", ["FILES_MAX", "FOLDERS_MAX", "SIZE_MAX"])
def test_a_folder_has_limits(fetching: Fetching, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    """Of files, folders and bytes; beyond them nothing is fetched."""
    monkeypatch.setattr(folders, limit, 2)
    bucket = Opaque({"a/x": b"1", "b/x": b"1", "c/x": b"1"})
    refused = fetching.refused(bucket)
    assert refused.is_final and "too large" in str(refused)
    assert bucket.reads == 0


def test_a_tree_has_limits_of_its_own(fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was said of it before, it does not grow beyond them."""
    monkeypatch.setattr(trees, "FILES_MAX", 1)
    writer = TreeWriter(str(fetching.folder / "one"))
    writer.add("a", [b"1"])
    with pytest.raises(SourceError, match="more than 1 files"):
        writer.add("b", [b"1"])
    monkeypatch.setattr(trees, "SIZE_MAX", 3)
    with pytest.raises(SourceError, match="more than 3 bytes"):
        TreeWriter(str(fetching.folder / "two")).add("a", [b"12", b"34"])


def test_a_bucket_that_does_not_answer_is_no_missing_code(fetching: Fetching) -> None:
    """Also where there was code before: it may be had later."""

    class Silent(Opaque):
        def list_folder(self, folder: str, start: str = "") -> Iterator[ObjectFacts | str]:
            raise BucketError("503")

    class SilentLater(Opaque):
        def read_pieces(self, key: str) -> Iterator[bytes]:
            raise BucketError("503")

    for silent in (Silent({}), SilentLater({"a": b"1"})):
        for digest in ("", "0" * 64):
            refused = fetching.refused(silent, digest=digest)
            assert (refused.kind, refused.is_final, str(refused)) == ("source", False, "source: 503")


# ---- what is kept ----------------------------------------------------------------------------------------


def test_what_was_fetched_is_not_fetched_again(fetching: Fetching) -> None:
    """While the folder lists alike; objects that were changed are read again."""
    bucket = Opaque({"a": b"1", "b": b"2"})
    fetched, _ = fetching.fetch(bucket)
    assert bucket.reads == 2
    again, there = fetching.fetch(bucket)
    assert (again, bucket.reads, files_in(there)) == (fetched, 2, {"a": b"1", "b": b"2"})
    bucket.keys["a"] = b"3"
    assert fetching.fetch(bucket)[0] != fetched
    assert bucket.reads == 4


def test_objects_without_etags_are_always_read(fetching: Fetching) -> None:
    """One content can't be told from the next then."""

    class Bare(Opaque):
        def list_folder(self, folder: str, start: str = "") -> Iterator[ObjectFacts | str]:
            return iter([ObjectFacts("a", 1, "", 0)])

    bucket = Bare({"a": b"1"})
    fetching.fetch(bucket)
    fetching.fetch(bucket)
    assert bucket.reads == 2


def test_changing_what_an_attempt_was_given_changes_nothing_kept(fetching: Fetching) -> None:
    """Each attempt has files of its own."""
    fetching.bucket.write("a", b"1")
    fetched, there = fetching.fetch()
    (there / "a").write_bytes(b"2")
    assert files_in(fetching.fetch(digest=fetched.digest)[1]) == {"a": b"1"}


@pytest.mark.parametrize("damage", ["changed", "emptied", "removed", "more", "link", "pipe", "key"])
def test_what_is_damaged_is_fetched_again(fetching: Fetching, damage: str) -> None:
    """What is kept is used by its digest alone, and thrown away if it is something else."""
    bucket = Opaque({"a": b"1"})
    fetched, _ = fetching.fetch(bucket)
    [tree] = Path(fetching.cache, "trees").iterdir()
    [key] = Path(fetching.cache, "keys").iterdir()
    if damage in ("changed", "emptied"):
        (tree / "a").write_bytes(b"2" if damage == "changed" else b"")
    elif damage in ("more", "link", "pipe"):
        make = {"more": os.mkdir, "link": lambda path: os.symlink("/etc", path), "pipe": os.mkfifo}[damage]
        make(tree / "b")
        if damage == "more":
            (tree / "b" / "c").touch()
    elif damage == "key":
        key.write_bytes(b"\xff/../../x")
    else:
        (tree / "a").unlink()
        tree.rmdir()
    again, there = fetching.fetch(bucket)
    assert (again, files_in(there), bucket.reads) == (fetched, {"a": b"1"}, 2)


def test_what_can_t_be_kept_is_fetched_all_the_same(fetching: Fetching) -> None:
    """A cache that can't be written, as a file where its folder should be, is no trouble of the attempt."""
    Path(fetching.cache).write_text("in the way")
    fetching.bucket.write("a", b"1")
    assert files_in(fetching.fetch()[1]) == {"a": b"1"}
    assert files_in(fetching.fetch(cache="")[1]) == {"a": b"1"}


def keep(cache: SourceCache, folder: Path, key: str, content: bytes) -> Fetched:
    writer = TreeWriter(str(folder / f"made-{key}"))
    writer.add("a", [content])
    fetched = writer.finish()
    cache.keep(key, str(folder / f"made-{key}"), fetched)
    return fetched


def test_what_was_used_longest_ago_makes_room(fetching: Fetching) -> None:
    """By number and by size; what has just come stays, whatever its size."""
    cache = SourceCache(fetching.cache, trees_max=2, size_max=10)
    trees_folder = Path(fetching.cache, "trees")

    def kept() -> set[str]:
        return {tree.name.partition("-")[0] for tree in trees_folder.iterdir()}

    def used(fetched: Fetched, at: int) -> None:
        os.utime(trees_folder / f"{fetched.digest}-{fetched.size}", (at, at))

    one = keep(cache, fetching.folder, "one", b"1")
    two = keep(cache, fetching.folder, "two", b"2")
    used(one, 1_000)
    used(two, 2_000)
    assert cache.take("one", str(fetching.folder / "taken")) == one
    three = keep(cache, fetching.folder, "three", b"3")
    assert kept() == {one.digest, three.digest}
    large = keep(cache, fetching.folder, "large", b"x" * 11)
    assert kept() == {large.digest}
    assert cache.take("one", str(fetching.folder / "gone")) is None
    for number in range(6):
        keep(cache, fetching.folder, f"{number}", f"{number}".encode())
    assert len(os.listdir(f"{fetching.cache}/keys")) <= 2 * 2 + 1
    assert os.listdir(f"{fetching.cache}/making") == []


def test_what_killed_processes_left_is_removed(fetching: Fetching) -> None:
    """After a while, in which somebody may still be at it."""
    cache = SourceCache(fetching.cache)
    keep(cache, fetching.folder, "one", b"1")
    making = Path(fetching.cache, "making")
    for name in ("old", "new"):
        (making / name).mkdir()
        (making / name / "a").touch()
        (making / f"{name}-key").touch()
    for name in ("old", "old-key"):
        os.utime(making / name, (1, 1))
    keep(cache, fetching.folder, "two", b"2")
    assert sorted(os.listdir(making)) == ["new", "new-key"]


def test_many_may_use_it_at_the_same_time(fetching: Fetching) -> None:
    """Whoever fetches, keeps, uses and removes beside whom: each has the code that it wants, or none from here."""
    fetched = {}
    for number in range(4):
        writer = TreeWriter(str(fetching.folder / f"tree-{number}"))
        for name in range(5):
            writer.add(f"{name}", [bytes([number, name])])
        fetched[number] = writer.finish()
    wrong: list[object] = []

    def use(whose: int) -> None:
        cache = SourceCache(fetching.cache, trees_max=2)
        for turn in range(30):
            number = (turn + whose) % 4
            target = str(fetching.folder / f"target-{whose}-{turn}")
            found = cache.take(f"{number}", target)
            if found is None:
                cache.keep(f"{number}", str(fetching.folder / f"tree-{number}"), fetched[number])
                if os.path.exists(target):
                    wrong.append(target)
            elif found != fetched[number] or copy_tree(target, f"{target}-copy") != fetched[number]:
                wrong.append((number, found))

    threads = [threading.Thread(target=use, args=(whose,)) for whose in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_whoever_is_killed_leaves_it_as_it_is(fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended between any two of its steps, it has kept all of a tree or nothing, and the next one finds that."""

    class Killed(BaseException):
        pass

    steps = {name: getattr(os, name) for name in ("open", "mkdir", "rename", "replace", "write", "utime")}
    source = fetching.folder / "made"
    writer = TreeWriter(str(source))
    writer.add("a", [b"1"])
    writer.add("b/c", [b"2"])
    fetched = writer.finish()
    for limit in range(200):
        cache = SourceCache(str(fetching.folder / f"cache-{limit}"))
        count = 0

        def counted(name: str, limit: int = limit) -> Callable[..., object]:
            def step(*words: object, **more: object) -> object:
                nonlocal count
                count += 1
                if count > limit:
                    raise Killed
                return steps[name](*words, **more)

            return step

        with monkeypatch.context() as patched:
            for name in steps:
                patched.setattr(os, name, counted(name))
            # What is tidied up on the way out, a kill would leave.
            patched.setattr(cache_module.shutil, "rmtree", lambda *_, **__: None)
            try:
                cache.keep("key", str(source), fetched)
                is_through = True
            except Killed:
                is_through = False
        found = cache.take("key", str(fetching.folder / f"taken-{limit}"))
        assert found in (None, fetched)
        if is_through:
            assert found == fetched and limit > 10
            return
        cache.keep("key", str(source), fetched)
        assert cache.take("key", str(fetching.folder / f"again-{limit}")) == fetched
    raise AssertionError("it takes more steps than that")


def test_a_folder_that_is_fetched_by_itself(fetching: Fetching) -> None:
    """The function by itself gives what is there, or says what is wrong."""
    fetching.bucket.write("x/a", b"1")
    assert fetch_folder(fetching.bucket, "x/", str(fetching.folder / "x"), SourceCache("")).file_count == 1
    with pytest.raises(SourceError) as caught:
        fetch_folder(fetching.bucket, "y/", str(fetching.folder / "y"), SourceCache(""))
    assert caught.value.sort == "missing"


# ---- commits ---------------------------------------------------------------------------------------------


class Repository:
    """A git repository on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words: str, given: str = "") -> str:
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{who}_{what}": "me@host" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }  # fmt: skip
        done = subprocess.run(
            ["git", *words],
            cwd=self.folder,
            env=environment,
            input=given,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self, **files: str) -> str:
        for name, text in files.items():
            (self.folder / name).write_text(text)
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "--message", "x")
        return self.git("rev-parse", "HEAD")

    def commit_of(self, *entries: str) -> str:
        """A commit of a tree that git itself would not make: lines `MODE TYPE ID<tab>PATH`."""
        tree = self.git("mktree", "--missing", given="".join(f"{entry}\n" for entry in entries))
        commit = self.git("commit-tree", tree, "-m", "x")
        self.git("update-ref", "refs/heads/odd", commit)
        return commit

    def blob(self, content: str) -> str:
        return self.git("hash-object", "-w", "--stdin", given=content)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def test_a_commit_is_fetched_as_it_is(fetching: Fetching, repository: Repository) -> None:
    """Its files byte for byte, whatever attributes and filters say; those that can be executed; links within it."""
    (repository.folder / "lib").mkdir()
    (repository.folder / "lib" / "run.sh").write_text("#!/bin/sh\n")
    (repository.folder / "lib" / "run.sh").chmod(0o755)
    (repository.folder / "lib" / "link").symlink_to("../job.py")
    attributes = "* text eol=crlf ident export-ignore\n"
    commit = repository.commit(**{"job.py": "$Id$\n", "é": "x", ".gitattributes": attributes})
    repository.commit(**{"job.py": "other"})
    fetched, there = fetching.fetch(git="./repository", commit=commit)
    expected = {"job.py": b"$Id$\n", "lib/run.sh": b"#!/bin/sh\n", "lib/link": b"$Id$\n", "é": b"x"}
    assert files_in(there) == {**expected, ".gitattributes": attributes.encode()}
    assert [name for name in files_in(there) if os.access(there / name, os.X_OK)] == ["lib/run.sh"]
    assert os.readlink(there / "lib" / "link") == "../job.py"
    assert copy_tree(str(there), str(fetching.folder / "copy")) == fetched


def test_a_folder_of_a_commit(fetching: Fetching, repository: Repository) -> None:
    """Alone, and its digest is that of the same code in a bucket."""
    (repository.folder / "jobs").mkdir()
    (repository.folder / "jobs" / "job.py").write_text("1")
    commit = repository.commit(other="x")
    fetched, there = fetching.fetch(git=str(repository.folder), commit=commit, folder="jobs")
    assert files_in(there) == {"job.py": b"1"}
    fetching.bucket.write("job.py", b"1")
    assert fetching.fetch()[0].digest == fetched.digest
    for folder in ("nothing", "other", "jobs/job.py"):
        refused = fetching.refused(git="./repository", commit=commit, folder=folder)
        assert refused.is_final and f"has no folder '{folder}'" in str(refused)


def test_a_commit_that_no_branch_leads_to(fetching: Fetching, repository: Repository) -> None:
    """A server that gives it gives it; one that does not has no such commit, and neither has one without it."""
    commit = repository.commit(job="1")
    repository.git("checkout", "--quiet", "--orphan", "other")
    repository.commit(job="2")
    repository.git("branch", "-D", "main")
    assert files_in(fetching.fetch(git="file://" + str(repository.folder), commit=commit)[1]) == {"job": b"1"}
    for digest, kind in (("", "source"), ("0" * 64, "code_gone")):
        refused = fetching.refused(git="./repository", commit="0" * 40, digest=digest)
        assert (refused.kind, refused.is_final) == (kind, not digest)
        assert f"has no commit {'0' * 40}" in str(refused)


def test_a_server_that_gives_branches_alone(fetching: Fetching, repository: Repository) -> None:
    """All of it is fetched then, and the commit is found in it."""
    commit = repository.commit(job="1")
    repository.commit(job="2")
    home = fetching.folder / ".gitconfig"
    home.write_text("[protocol]\nversion = 0\n")
    _, there = fetching.fetch(git="./repository", commit=commit)
    assert files_in(there) == {"job": b"1"}


def test_what_is_no_commit(fetching: Fetching, repository: Repository) -> None:
    """The id of a tree is none, though it can be fetched."""
    repository.commit(job="1")
    tree = repository.git("rev-parse", "HEAD^{tree}")
    assert "has no commit" in str(fetching.refused(git="./repository", commit=tree))


def test_a_commit_is_not_fetched_twice(fetching: Fetching, repository: Repository) -> None:
    """It can't change: once it is kept, the repository need not even be there... as long as the folder is."""
    commit = repository.commit(job="1")
    fetched, _ = fetching.fetch(git="./repository", commit=commit)
    (repository.folder / ".git" / "HEAD").unlink()
    assert fetching.fetch(git="./repository", commit=commit, digest=fetched.digest)[0] == fetched
    refused = fetching.refused(git="./repository", commit=commit, cache="")
    assert (refused.kind, refused.is_final) == ("source", False)
    assert "git can't fetch from './repository'" in str(refused) or "can't fetch from" in str(refused)


@pytest.mark.parametrize(
    ("target", "is_taken"),
    [
        ("/etc/passwd", False), ("../x", False), ("lib/../../x", False), ("..", False), (".", True),
        ("nowhere", True), ("lib/x", True), ("", False),
    ],
)  # fmt: skip
def test_a_link_leads_nowhere_else(
    fetching: Fetching, repository: Repository, target: str, is_taken: bool
) -> None:
    """Out of the code neither by its path nor by another link; one within it that leads to nothing is nobody's harm."""
    blob = repository.blob(target)
    commit = repository.commit_of(f"120000 blob {blob}\tlink", f"100644 blob {repository.blob('x')}\tjob")
    if is_taken:
        assert os.readlink(fetching.fetch(git="./repository", commit=commit)[1] / "link") == target
    else:
        refused = fetching.refused(git="./repository", commit=commit)
        assert refused.is_final and "leads out of the code" in str(refused)


def test_links_lead_nowhere_else_together(fetching: Fetching, repository: Repository) -> None:
    """Each within the code by its text alone, both out of it."""
    (repository.folder / "a" / "b").mkdir(parents=True)
    (repository.folder / "a" / "b" / "top").symlink_to("../..")
    (repository.folder / "out").symlink_to("a/b/top/../x")
    commit = repository.commit(job="1")
    assert "'out' is a link that leads out" in str(fetching.refused(git="./repository", commit=commit))


def test_a_repository_has_nothing_run(fetching: Fetching, repository: Repository) -> None:
    """No hook, no filter, no submodule's address, neither of the repository nor of the person's settings."""
    ran = fetching.folder / "ran"
    script = fetching.folder / "hooks" / "reference-transaction"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\ntouch {ran}\n")
    script.chmod(0o755)
    settings = f'[core]\nhooksPath = {script.parent}\nfsmonitor = {script}\n[filter "x"]\nsmudge = {script}\n'
    (fetching.folder / ".gitconfig").write_text(settings)
    commit = repository.commit(**{".gitattributes": "* filter=x\n", "job": "1"})
    assert fetching.fetch(git="./repository", commit=commit)[0].file_count == 2
    assert not ran.exists()


def test_a_submodule_is_refused(fetching: Fetching, repository: Repository) -> None:
    """It would be an empty folder, silently; beside the folder that is fetched it is nobody's concern."""
    commit = repository.commit(job="1")
    inner = repository.git("rev-parse", "HEAD^{tree}")
    odd = repository.commit_of(f"160000 commit {commit}\tmodule", f"040000 tree {inner}\tjobs")
    assert "'module' is a submodule" in str(fetching.refused(git="./repository", commit=odd))
    assert files_in(fetching.fetch(git="./repository", commit=odd, folder="jobs")[1]) == {"job": b"1"}


@pytest.mark.parametrize("name", [".GIT", "x" * 300])
def test_a_hostile_name_in_a_commit_is_refused(fetching: Fetching, repository: Repository, name: str) -> None:
    """As in a bucket; git itself refuses most of them."""
    commit = repository.commit_of(f"100644 blob {repository.blob('x')}\t{name}")
    assert fetching.refused(git="./repository", commit=commit).is_final


def test_a_commit_of_nothing_is_missing(fetching: Fetching, repository: Repository) -> None:
    """As is an empty folder of a bucket."""
    assert "there is nothing in the commit" in str(
        fetching.refused(git="./repository", commit=repository.commit())
    )


def test_a_name_that_is_not_utf_8_is_refused(fetching: Fetching, repository: Repository) -> None:
    """It would have another name in a bucket."""
    (repository.folder / os.fsdecode(b"\xff")).write_text("x")
    assert "is not UTF-8" in str(fetching.refused(git="./repository", commit=repository.commit()))


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"git": "ext::sh -c 'touch ran'", "commit": "0" * 40}, "has git run a program of its own"),
        ({"git": "--upload-pack=touch", "commit": "0" * 40}, "no git repository's address"),
        ({"git": "./repository", "commit": "main"}, "'main' is no commit's full id"),
        ({"git": "./repository", "commit": "--all"}, "no commit's full id"),
        ({"git": "./repository", "commit": "0" * 40, "folder": "../x"}, "no folder of a commit"),
        ({"git": "./nowhere", "commit": "0" * 40}, "there is no git repository at './nowhere'"),
    ],
)
def test_what_references_lead_to_is_checked(
    fetching: Fetching, repository: Repository, said: dict, says: str
) -> None:
    """As strictly as what a program states outright."""
    refused = fetching.refused(**said)
    assert refused.is_final and says in str(refused)


def test_without_git_one_error_says_so(fetching: Fetching, repository: Repository) -> None:
    """With what would help; code that was pinned is not gone for that."""
    commit = repository.commit(job="1")
    fetching.environment["PATH"] = str(fetching.folder)
    refused = fetching.refused(git="./repository", commit=commit)
    assert refused.is_final and "'git' is not on this machine; install it" in str(refused)
    refused = fetching.refused(git="./repository", commit=commit, digest="0" * 64)
    assert (refused.kind, refused.is_final) == ("source", False)
