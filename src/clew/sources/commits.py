"""Code from a git commit. git fetches, and lists and gives what it has fetched; it never checks anything out.

So none of what a repository can have git do happens: no hooks, no filters, no attributes, no submodules. Files are
what the commit says, byte for byte.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import IO, NamedTuple

from clew.core.program.sources import COMMIT, COMMIT_RULE, git_address_problem, git_folder_problem
from clew.sources.cache import SourceCache
from clew.sources.deadlines import Deadline
from clew.sources.trees import FILES_MAX, PATH_SIZE_MAX, SIZE_MAX, Fetched, SourceError, TreeWriter

REPOSITORY_SIZE_MAX = 4 * 1024**3
"""Bytes of a file that git may write: a commit alone is asked for, but not every server gives it alone."""
_LISTING_SIZE_MAX = FILES_MAX * (PATH_SIZE_MAX + 64)
_SAID_SIZE_MAX = 2_000
"""Bytes of what git says of a failure: its last lines."""
_PIECE_SIZE = 1024 * 1024
_ENVIRONMENT = ("PATH", "HOME", "SSH_AUTH_SOCK", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY")
"""What git is given of the attempt's environment: where its helpers and keys are, and the way out."""
_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "fetch.recurseSubmodules": "false",
    "credential.interactive": "never",
}
_ALWAYS = {
    "GIT_ALLOW_PROTOCOL": "https:ssh:file",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "false",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "LC_ALL": "C",
}

_FILES = {"100644": False, "100664": False, "100755": True}
"""The modes of files: whether they can be executed."""
_LINK, _SUBMODULE = "120000", "160000"


class Commit(NamedTuple):
    """A folder of a commit ("" for all of it) of a repository. A relative path begins in `base`."""

    address: str
    commit: str
    folder: str
    base: str


def find_tip(
    address: str, reference: str, scratch: str, environment: Mapping[str, str], deadline: Deadline
) -> str:
    """The commit that a reference (`refs/heads/main`, `refs/tags/v1`) of a repository leads to now. `scratch`: a folder
    that is made, and removed. Raises SourceError."""
    problem = git_address_problem(address)
    if problem is not None:
        raise SourceError("unfit", "; ".join(problem))
    git = _Git(scratch, environment, deadline)
    try:
        git.run("init", "--quiet", "--bare", ".")
        listed = git.run("ls-remote", "--quiet", "--", address, reference, f"{reference}^{{}}")
    except _GitFailed as error:
        raise SourceError("trouble", f"git can't ask '{address}': {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    lines = [line.partition("\t") for line in listed.decode("utf-8", "replace").splitlines()]
    found = {name: id for id, _, name in lines}
    # A tag may be an object of its own, which leads to the commit.
    commit = found.get(f"{reference}^{{}}") or found.get(reference, "")
    if not re.fullmatch(COMMIT, commit):
        sort, _, name = reference.removeprefix("refs/").partition("/")
        said = {"heads": "branch", "tags": "tag"}[sort]
        raise SourceError("missing", f"'{address}' has no {said} '{name}'")
    return commit


def fetch_commit(
    wanted: Commit,
    target: str,
    scratch: str,
    environment: Mapping[str, str],
    cache: SourceCache,
    deadline: Deadline | None = None,
) -> Fetched:
    """Write what the commit says into a folder that is made for it. `scratch`: a folder that is made, and removed.
    Raises SourceError."""
    _check(wanted)
    address = wanted.address
    if address.startswith(("./", "../")):
        address = os.path.join(os.path.abspath(wanted.base), address)
    key = json.dumps(["git", address, wanted.commit, wanted.folder])
    known = cache.take(key, target)
    if known is not None:
        return known
    git = _Git(scratch, environment, deadline)
    try:
        git.run("init", "--quiet", "--bare", ".")
        _fetch(git, address, wanted.commit)
        fetched = _write(git, wanted, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    cache.keep(key, target, fetched)
    return fetched


def _check(wanted: Commit) -> None:
    problem = git_address_problem(wanted.address) or git_folder_problem(wanted.folder)
    if problem is None and not re.fullmatch(COMMIT, wanted.commit):
        problem = f"'{wanted.commit[:60]}' is no commit's full id", COMMIT_RULE
    if problem is not None:
        raise SourceError("unfit", f"{problem[0]}; {problem[1]}")
    address = wanted.address
    if address.startswith(("/", "./", "../")) and not os.path.isdir(os.path.join(wanted.base, address)):
        raise SourceError("missing", f"there is no git repository at '{address}'")


def _fetch(git: _Git, address: str, commit: str) -> None:
    """Have git fetch the commit: alone, or, from a server that gives none but what its branches end in, with all."""
    flags = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
    try:
        git.run(*flags, "--depth=1", "--", address, commit)
    except _GitFailed:
        try:
            git.run(*flags, "--", address, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        except _GitFailed as error:
            raise SourceError("trouble", f"git can't fetch from '{address}': {error}") from error
    try:
        found = git.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}")
    except _GitFailed:
        found = b""
    if found.decode().strip() != commit:
        raise SourceError("missing", f"'{address}' has no commit {commit}")


# ---- what is in it ---------------------------------------------------------------------------------------


class _Entry(NamedTuple):
    path: str
    mode: str
    id: str
    size: int


def _write(git: _Git, wanted: Commit, target: str) -> Fetched:
    folder = wanted.folder.removesuffix("/")
    try:
        listed = git.run("ls-tree", "-r", "-z", "--long", "--full-tree", f"{wanted.commit}:{folder}")
    except _GitFailed:
        raise SourceError("missing", f"the commit {wanted.commit} has no folder '{folder}'") from None
    entries = [_entry(line) for line in listed.split(b"\0") if line]
    if not entries:
        raise SourceError("missing", f"there is nothing in the commit {wanted.commit}")
    if sum(entry.size for entry in entries) > SIZE_MAX:
        raise SourceError("unfit", f"it has more than {SIZE_MAX} bytes, which is the most")
    writer = TreeWriter(target)
    with git.objects() as objects:
        for entry in entries:
            if entry.mode == _LINK:
                writer.add_link(entry.path, b"".join(objects.pieces(entry, size_max=PATH_SIZE_MAX)))
            else:
                pieces = objects.pieces(entry, size_max=SIZE_MAX)
                writer.add(entry.path, pieces, is_executable=_FILES[entry.mode])
    return writer.finish()


def _entry(line: bytes) -> _Entry:
    facts, _, path = line.partition(b"\t")
    mode, _, id, size = facts.decode().split()
    try:
        name = path.decode()
    except UnicodeDecodeError:
        raise SourceError("unfit", f"the name {path!r} is not UTF-8") from None
    if mode == _SUBMODULE:
        what = (
            "is a submodule, which is not fetched; name a folder without it, or a commit that holds the files"
        )
        raise SourceError("unfit", f"{name!r} {what}")
    if mode != _LINK and mode not in _FILES:
        raise SourceError("unfit", f"{name!r} is neither a file nor a link")
    return _Entry(name, mode, id, int(size))


# ---- git -------------------------------------------------------------------------------------------------


class _GitFailed(Exception):
    """git ended with an error; the message is what it said."""


class _Git:
    """git, in a repository of its own. With a deadline it has no terminal, and is killed with all that it has begun
    when that is over; else whoever began this process sees to it."""

    def __init__(self, folder: str, environment: Mapping[str, str], deadline: Deadline | None = None) -> None:
        os.mkdir(folder, 0o700)
        self._deadline = deadline
        self._folder = folder
        given = {name: environment[name] for name in _ENVIRONMENT if name in environment}
        settings = {"GIT_CONFIG_COUNT": str(len(_SETTINGS))}
        for number, (name, value) in enumerate(_SETTINGS.items()):
            settings[f"GIT_CONFIG_KEY_{number}"], settings[f"GIT_CONFIG_VALUE_{number}"] = name, value
        place = {"GIT_DIR": folder, "GIT_CEILING_DIRECTORIES": folder}
        self._environment = {**given, **_ALWAYS, **settings, **place}

    def run(self, *words: str) -> bytes:
        """What git says with these words. Raises _GitFailed, SourceError."""
        said_path = f"{self._folder}.said"
        with open(said_path, "wb+") as said:
            process = self._begin(words, subprocess.DEVNULL, said)
            assert process.stdout is not None
            with self._ended(process):
                answer = process.stdout.read(_LISTING_SIZE_MAX + 1)
                if len(answer) > _LISTING_SIZE_MAX:
                    raise SourceError("unfit", f"it has more than {FILES_MAX} files, which is the most")
            if process.returncode:
                if self._deadline is not None:
                    self._deadline.check()
                said.seek(max(0, said.seek(0, os.SEEK_END) - _SAID_SIZE_MAX))
                words_said = said.read(_SAID_SIZE_MAX).decode("utf-8", "replace").strip()
                raise _GitFailed(words_said or f"it ended with {process.returncode}")
        os.unlink(said_path)
        return answer

    @contextmanager
    def objects(self) -> Iterator[_Objects]:
        """What gives the bytes of objects, one after another."""
        process = self._begin(("cat-file", "--batch"), subprocess.PIPE, subprocess.DEVNULL)
        with self._ended(process):
            yield _Objects(process)

    @contextmanager
    def _ended(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """At the end of the block the process has ended, whatever happens in it."""
        with nullcontext() if self._deadline is None else self._deadline.kills(process), _ended(process):
            try:
                yield
            except SourceError:
                if self._deadline is not None:
                    self._deadline.check()  # what was killed gives no bytes
                raise

    def _begin(self, words: Sequence[str], stdin: int, stderr: int | IO[bytes]) -> subprocess.Popen[bytes]:
        if self._deadline is not None:
            self._deadline.check()
        try:
            process = subprocess.Popen(
                ["git", *words],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=self._folder,
                env=self._environment,
                start_new_session=self._deadline is not None,
            )
        except FileNotFoundError:
            what = "the program 'git' is not on this machine; install it, or take the code from a bucket's folder"
            raise SourceError("tool", what) from None
        _limit_files(process.pid)
        return process


def _limit_files(process_id: int) -> None:
    """Before it has anything to write. It is done from outside, since this process may have threads, beside which
    nothing may be done in a child that is not git yet."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = REPOSITORY_SIZE_MAX if hard == resource.RLIM_INFINITY else min(hard, REPOSITORY_SIZE_MAX)
    with suppress(ProcessLookupError):  # it has ended already
        resource.prlimit(process_id, resource.RLIMIT_FSIZE, (limit, limit))


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """At the end of the block the process has ended, whatever happens in it."""
    try:
        yield
    except BaseException:
        process.kill()
        raise
    finally:
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        process.wait()


class _Objects:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def pieces(self, entry: _Entry, *, size_max: int) -> Iterator[bytes]:
        """The object's bytes. Raises SourceError when git does not give them."""
        asked, answered = self._process.stdin, self._process.stdout
        assert asked is not None and answered is not None
        asked.write(f"{entry.id}\n".encode())
        asked.flush()
        header = answered.readline(200).split()
        left = int(header[2]) if len(header) == 3 and header[1] == b"blob" else -1
        if left != entry.size or left > size_max:
            raise SourceError("unfit", f"git does not give the bytes of {entry.path!r}")
        while left:
            piece = answered.read(min(left, _PIECE_SIZE))
            if not piece:
                raise SourceError("trouble", f"git ended before it gave the bytes of {entry.path!r}")
            left -= len(piece)
            yield piece
        answered.read(1)
