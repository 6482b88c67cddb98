"""What is swept: runs of small programs, each killed somewhere and taken up again until it rests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
from tests.crash.faults import OTHER_TRANSACTIONS, STRUCK, Fault, Point, Transaction
from tests.crash.fork_server import Answer, Request
from tests.crash.judging import Act, Evidence, Kept, read_store, violations
from tests.crash.victim import PASSED

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).with_name("programs")
STORE = Path(".clew", "clew.db")
KILLED = -9
NOTHING_LEFT, NOTHING_DONE, PERSON_NEEDED, UNFINISHED = (0, 3), 2, 4, 5
"""Exit statuses: completed or all undone; not even begun; somebody has to act; not finished."""
HELD = "rollback_failed"
EXPRESSIONS, REGEXES = "cel", "re2"
"""Libraries of which most stories need neither."""
PIPE = "consumed"


@dataclass(frozen=True)
class Story:
    """A program's run. `status` is the one it must end with. `begin`: the kill after which it is the resume that
    is swept. `is_held`: a person has to release it; `strikes_release`: it is then that the fault strikes.
    `modules`: what its fork server is to have imported besides."""

    name: str
    program: str
    status: str
    begin: Fault | None = None
    is_held: bool = False
    strikes_release: bool = False
    modules: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


def _kill(transaction: str, number: int, moment: str) -> Fault:
    return Fault(Point(transaction, number, moment))


STORIES = (
    Story("forward", "forward", "completed"),
    Story("backward", "backward", "rolled_back"),
    Story("skipping", "skipping", "completed", modules=(EXPRESSIONS,)),
    Story("held", "held", "rolled_back", is_held=True, modules=(REGEXES,)),
    Story("released", "held", "rolled_back", is_held=True, strikes_release=True, modules=(REGEXES,)),
    Story("forward-resumed", "forward", "completed", begin=_kill("attempt_ended", 3, "acted")),
    Story("backward-resumed", "backward", "rolled_back", begin=_kill("rollback_ended", 1, "acted")),
)


class ForkServer:
    """A running `fork_server`, asked. All that it plays, it plays in `folder`, one after another: a run's
    variables name that folder, so that what was left there once can be put there again."""

    def __init__(self, folder: Path, *modules: str) -> None:
        """`modules`: what the server is to import besides."""
        self.folder = folder / "world"
        self._beginnings = folder / "beginnings"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.fork_server", *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        )

    def clew(self, *words: str, fault: Fault | None = None, bug: str = "", is_fresh: bool = False) -> int:
        """The exit status of clew with these words."""
        return self._ask(Request(words, str(self.folder), fault, bug, is_fresh)).status

    def remains(self) -> tuple[str, ...]:
        """What is left of all that was killed, when it has had its time to end."""
        return self._ask(Request(remains=True)).left

    def _ask(self, request: Request) -> Answer:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(msgspec.json.encode(request) + b"\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline(), type=Answer)

    def keep_beginning(self, name: str) -> None:
        """Keep the folder as it is, as the beginning of a story."""
        shutil.copytree(self.folder, self._beginnings / name, ignore=shutil.ignore_patterns(PIPE, "copy-*"))

    def begin(self, name: str) -> bool:
        """Put back what was kept as that story's beginning; False if nothing was."""
        if not (self._beginnings / name).exists():
            return False
        shutil.rmtree(self.folder)
        shutil.copytree(self._beginnings / name, self.folder)
        os.mkfifo(self.folder / PIPE)
        return True

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Play:
    """A story, played once. `fresh`: by processes that are started anew (`all` of them, or those that `resume`),
    rather than forked."""

    knows_attempts = True

    def __init__(self, story: Story, server: ForkServer, *, bug: str = "", fresh: str = "") -> None:
        self._story = story
        self._server = server
        self._bug = bug
        self._fresh = fresh
        self.folder = server.folder
        self.kills: list[Kept] = []
        self.statuses: list[int] = []
        self.passed: list[list[Transaction]] = []
        """Of each process that lived to its end: the transactions that passed."""
        self.broken: list[str] = []
        self._copies = 0

    # ---- the course of it ----

    def perform(self, *faults: Fault, strike: Sequence[str] = ()) -> Play:
        """From the request to the run's rest, by as many processes as it takes. `strike`: the stage, the work
        and the moment at which an attempt is to kill its orchestrator."""
        story = self._story
        self._set_out()
        if strike:
            (self.folder / "strike").write_text(json.dumps(strike))
        if story.begin is not None:
            self._begin(story.begin)
            self._until_rest(("resume",), faults)
        else:
            self._run([] if story.strikes_release else faults)
        if story.is_held:
            self._release(faults if story.strikes_release else [])
        self.broken += [f"it is left behind: {process}" for process in self._server.remains()]
        return self

    def _set_out(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "data").mkdir(parents=True)
        os.mkfifo(self.folder / PIPE)
        (self.folder / "clew.toml").write_text('[buckets]\ndata = "file:data"\n')

    def _run(self, faults: Sequence[Fault], *, rests: bool = True) -> None:
        words = self._request()
        self._until_rest(words, faults, rests=rests)
        if rests and not self.end().runs:
            # Killed before the run came to be. Whoever asked for it was told nothing, and asks again.
            self._check_nothing_was_done()
            self._until_rest(words, [])

    def _request(self) -> Sequence[str]:
        program = PROGRAMS / f"{self._story.program}.yaml"
        return ("run", str(program), "--var", f"world={self.folder}")

    def _begin(self, fault: Fault) -> None:
        """The story as far as to its first kill: played once, and put back after that."""
        if not self._server.begin(self._story.name):
            self._run([fault], rests=False)
            self.broken += self._server.remains()
            self._server.keep_beginning(self._story.name)
            return
        self.statuses.append(KILLED)
        self.kills.append(self._copied())

    def _release(self, faults: Sequence[Fault]) -> None:
        for run_id, row in self.end().runs.items():
            if row["status"] != HELD:
                self.broken.append(f"it should be {HELD}, and is {row['status']}")
            (self.folder / "allowed").touch()
            self._until_rest(("resume", run_id), faults)
            if self.end().runs[run_id]["status"] == HELD:
                # Killed before it was durable that somebody had said so, who says it again.
                self._until_rest(("resume", run_id), [])

    def _until_rest(self, words: Sequence[str], faults: Sequence[Fault], *, rests: bool = True) -> None:
        """The words, and then `resume` for as long as it is killed; or until then, where it is not to rest."""
        following = iter(faults)
        while True:
            fault = next(following, None)
            is_fresh = self._fresh in ("all", words[0])
            status = self._server.clew(*words, fault=fault, bug=self._bug, is_fresh=is_fresh)
            self.statuses.append(status)
            if status == NOTHING_DONE and words[0] != "resume":
                self._check_nothing_was_done()
            if status != KILLED and not self._has_fallen(fault, status):
                self.passed.append(self._passed())
                return
            self.kills.append(self._copied())
            if not rests:
                return
            words = ("resume",)

    def _has_fallen(self, fault: Fault | None, status: int) -> bool:
        """Whether the process has ended of a failing disk, as it should have if that failed."""
        if fault is None or fault.kind == "kill" or self.struck() is None:
            return False
        if status in NOTHING_LEFT:
            self.broken.append(f"the disk failed, and all the same the process ended with {status}")
        return True

    def _passed(self) -> list[Transaction]:
        path = self.folder / PASSED  # which a new Python does not write
        return msgspec.json.decode(path.read_bytes(), type=list[Transaction]) if path.exists() else []

    def _check_nothing_was_done(self) -> None:
        kept = self._copied()
        if self.acknowledged() or self.acts() or kept.runs:
            told, done = set(self.acknowledged()), self.acts()
            self.broken.append(
                f"nothing should be there; but kept {list(kept.runs)}, told {told}, done {done}"
            )

    # ---- what is known of it ----

    def acts(self) -> list[Act]:
        path = self.folder / "acts"
        return [Act(*json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []

    def acknowledged(self) -> frozenset[str]:
        """The runs that the command line has named."""
        lines = self.stderr().splitlines()
        return frozenset(line.split()[1] for line in lines if line.startswith("run "))

    def stderr(self) -> str:
        path = self.folder / "stderr"
        return path.read_text() if path.exists() else ""

    def _copied(self) -> Kept:
        """What the store holds, of which the next process must find all as it is, its WAL included."""
        self._copies += 1
        return read_store(self.folder / STORE, aside=self.folder / f"copy-{self._copies}")

    def end(self) -> Kept:
        return read_store(self.folder / STORE)

    def struck(self) -> dict[str, Any] | None:
        """What was in the transaction that was struck, if any was."""
        path = self.folder / STRUCK
        found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
        return found

    def _evidence(self) -> Evidence:
        return Evidence(
            self.acts(), self.kills, self.end(), self.acknowledged(), self._story.status, self.knows_attempts
        )

    def judge(self) -> list[str]:
        """All that went wrong; empty where all is well."""
        broken = [*self.broken, *violations(self._evidence())]
        if not {*self.statuses} <= {KILLED, NOTHING_DONE, UNFINISHED, *NOTHING_LEFT, PERSON_NEEDED}:
            broken.append(f"processes ended with {self.statuses}")
        if broken:
            broken += [f"  stderr: {line}" for line in self.stderr().splitlines()[-20:]]
        return broken


# ---- the points ------------------------------------------------------------------------------------------

UNSTEADY = {"stage_waiting": 1}
"""Kinds of which a run has now more, now fewer entries: only so many of them can be aimed at."""


def points_of(passed: Sequence[Transaction], *, all_writes: bool = False) -> list[Point]:
    """The points of a story of which these transactions passed when nothing struck."""
    points: list[Point] = []
    counts: dict[str, int] = {}
    frequencies = {
        kind: sum(each.kinds.count(kind) for each in passed) for each in passed for kind in each.kinds
    }
    for transaction in passed:
        # The rarest of its kinds is its name: it is the least likely to be counted otherwise another time.
        name = min(transaction.kinds, key=lambda kind: (frequencies[kind], kind))
        number = counts.get(name, 0) + 1
        for kind in transaction.kinds:
            counts[kind] = counts.get(kind, 0) + 1
        if number <= UNSTEADY.get(name, number):
            points += [Point(name, number, moment) for moment in _moments(transaction, all_writes)]
    return points


def _moments(transaction: Transaction, all_writes: bool) -> Iterator[str]:
    count = transaction.write_count
    yield "before"
    if count:
        writes = range(1, count + 1) if all_writes else sorted({1, (count + 1) // 2, count})
        yield from (f"write-{write}" for write in writes)
        yield from ("sync", "synced")
    yield "after"
    if transaction.kinds[0] not in OTHER_TRANSACTIONS:
        yield "acting"
        if not {"run_settled", "run_held"} & set(transaction.kinds):
            yield "acted"  # after those the process is at its end


def sample(points: Sequence[Point], count: int) -> list[Point]:
    """So many of the points, always the same ones of the same list: first of each kind of entry one before,
    one inside and one after its commit, then the second ones, and so on."""
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in sorted(points, key=lambda point: crc32(str(point).encode())):
        groups.setdefault((point.transaction, part_of(point)), []).append(point)
    ranked = [
        (rank, crc32(str(point).encode()), point)
        for group in groups.values()
        for rank, point in enumerate(group)
    ]
    return [point for _, _, point in sorted(ranked)[:count]]


def part_of(point: Point) -> str:
    """Where the point is: `before`, `inside` or `after` its transaction's commit."""
    if point.moment in ("after", "acting", "acted"):
        return "after"
    return "before" if point.moment == "before" else "inside"
