"""Where a stage's code may come from, as far as its text says."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.program.tables import COMMANDS, CONDITIONS
from tests.core.program.test_parse import problems, read, staged

from clew.core.planning.plan import stage_reads
from clew.core.program.content import content, version
from clew.core.program.model import FolderSource, GitSource
from clew.core.program.sources import as_folder, git_address_problem, git_folder_problem, split_folder
from clew.core.running.sealed_program import seal_program

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git(address: str = "https://host/code.git", commit: str = COMMIT, **more: Any) -> dict[str, Any]:
    return staged(source={"git": address, "commit": commit, **more})


@pytest.mark.parametrize(
    ("said", "source"),
    [
        ("code/jobs/v3/", FolderSource("code", "jobs/v3/")),
        ("code", FolderSource("code")),
        ("file:///srv/code/", FolderSource("file:///srv/code/")),
        ("s3://code/jobs", FolderSource("s3://code", "jobs")),
        ("memory:code/jobs", FolderSource("memory:code", "jobs")),
        ({"bucket": "code", "folder": "jobs"}, FolderSource("code", "jobs")),
        ({"git": "./code", "commit": COMMIT}, GitSource("./code", COMMIT)),
        ({"git": "h:c", "commit": "{run_name}", "folder": "a/b"}, GitSource("h:c", "{run_name}", "a/b")),
    ],
)  # fmt: skip
def test_a_source_is_read(said: Any, source: Any) -> None:
    """A folder as a text or a mapping, and a commit; the content says it so that it is read alike."""
    program = read(staged(source=said))
    assert program.stages[0].source == source
    assert read(content(program)) == program


def test_a_program_without_a_source_is_what_it_was() -> None:
    """Its content does not name the key, so that its version stays what stores hold."""
    assert "source" not in content(read(staged()))["stages"][0]
    assert version(read(staged())) != version(read(staged(source="code")))


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (staged(source="/srv/code"), "stages[0].source: '/srv/code' names no bucket; write bucket/folder/"),
        (staged(source=3), "stages[0].source: this is a text, not 3"),
        (staged(source={"folder": "x"}), "source: the key 'bucket' is missing; give one of bucket and git"),
        (
            staged(source={"bucket": "b", "git": "./c", "commit": COMMIT}),
            "source: both bucket and git are given",
        ),
        (staged(source={"git": "./c"}), "source.git: 'git' goes with 'commit', which is not here"),
        (staged(source={"bucket": "b", "commit": COMMIT}), "source.commit: 'commit' goes with 'git'"),
        (staged(source={"bucket": "b", "prefix": "x"}), "source.prefix: there is no key 'prefix' here"),
        (git(commit="main"), "source.commit: 'main' can't be used here; write the commit's full id"),
        (git(commit=COMMIT[:12]), "write the commit's full id"),
        (git(commit=COMMIT.upper()), "write the commit's full id"),
        (git(commit="{zz}"), "source.commit: nothing produces 'zz'"),
        (git(folder="../x"), "source.folder: '../x' is no folder of a commit"),
        (git("ext::sh -c true"), "source.git: 'ext::sh -c true' has git run a program of its own to fetch"),
        (git("https://me:pw@host/x"), "source.git: the address of a git repository holds no credentials"),
        (staged(source="{zz}/x"), "stages[0].source: nothing produces 'zz'"),
        (staged(source="b/{attempt}"), "'attempt' is not told to source; what its first attempt runs, all"),
        (staged(source="b/{outcome}"), "'outcome' is not told to source"),
        (staged(source="b/{x}", outputs=["x"]), "'x' is an output of the stage 'a' itself; a stage can read"),
        (
            staged(source="b/{item}", for_each=[1]),
            "'item' is not told to source, which is read before there are items",
        ),
    ],
)
def test_a_mistake_in_a_source_is_told(document: Any, says: str) -> None:
    """With its place, and what would be right."""
    [problem] = problems(document)
    assert says in problem


def test_references_are_checked_when_they_are_filled_in() -> None:
    """An address or a folder that holds one may turn out right."""
    document = git("https://host/{where}", folder="{where}/../x")
    document["variables"] = {"where": "here"}
    assert read(document).stages[0].source == GitSource("https://host/{where}", COMMIT, "{where}/../x")


@pytest.mark.parametrize(
    "parts", [{"source": "code/{lane}/{file.name}"}, {"environment": {"OF": "{lane} {file.name}"}}],
    ids=["source", "environment"],
)  # fmt: skip
def test_all_that_a_stage_does_reads_its_source_and_environment(parts: Any) -> None:
    """Its attempts, conditions and rollback see the names: all run the same code, in the same surroundings."""
    document = staged(**parts)
    document["variables"] = {"lane": "fast"}
    document["stages"][0]["dependencies"] = {"file": {"bucket": "b", "prefix": [{"match": "x"}]}}
    program = read(document)
    reads = stage_reads(program.stages[0], COMMANDS, CONDITIONS)
    assert all("lane" in names for names in (reads.forward, reads.validate, reads.rollback))
    [sealed] = seal_program(program, COMMANDS, CONDITIONS).stages.values()
    for names in (sealed.reads, sealed.validate_reads, sealed.rollback_reads):
        assert {"lane", "file"} <= set(names)
    assert {"lane", "file"} <= set(sealed.rollback_needs)


@pytest.mark.parametrize(
    "address",
    [
        "https://host/code.git", "https://host:8443/code", "ssh://git@host/code", "ssh://host:22/~me/code",
        "git@host:code.git", "host:code", "host:/srv/code", "[::1]:code", "me@[fe80::1]:code",
        "/srv/code", "./code", "../code:x", "file:///srv/code", "file://localhost/srv/code",
    ],
)  # fmt: skip
def test_addresses_from_which_code_is_fetched(address: str) -> None:
    """By https, by ssh in both spellings, and from this machine."""
    assert git_address_problem(address) is None


@pytest.mark.parametrize(
    "address",
    [
        "", "x\ny", "code", "http://host/x", "git://host/x", "ftp://host/x", "ext::sh -c x", "fd::17", "foo::/x",
        "--upload-pack=touch x", "-x:y", "host:-x", "-host:y", "https://-host/x", "https:///x", "https://host",
        "ssh://-oProxyCommand=x/y", "ssh://-x@host/y", "ssh://me:pw@host/x", "https://token@host/x",
        "https://a@b@host/x", "file://other/x", "://x/y", "secret:address",
    ],
)  # fmt: skip
def test_other_addresses_are_refused(address: str) -> None:
    """Those that have git run something, hold credentials, or may be taken for an option."""
    problem = git_address_problem(address)
    assert problem is not None and all(problem)


@pytest.mark.parametrize("folder", ["/x", "x//y", "..", "x/../y", "./x", "x/.", "/", "x\0"])
def test_what_is_no_folder_of_a_commit(folder: str) -> None:
    """Paths from the top alone are."""
    assert git_folder_problem(folder) is not None


def test_folders() -> None:
    """A folder's key ends in a slash, whoever has written it; what is in a bucket is told from the bucket."""
    assert [as_folder(text) for text in ("", "a", "a/")] == ["", "a/", "a/"]
    assert [git_folder_problem(text) for text in ("", "a", "a/b/")] == [None] * 3
    assert split_folder("s3://b/x/y/") == ("s3://b", "x/y/")
