"""What is swept: runs of small programs, each killed somewhere and taken up again until it rests."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
from tests.crash.faults import OTHER_TRANSACTIONS, STRUCK, Fault, Point, Transaction
from tests.crash.fork_server import Answer, Request
from tests.crash.judging import Act, Evidence, Kept, read_store, violations
from tests.crash.programs.outside import FETCHED
from tests.crash.victim import PASSED

from clew.operations.tree import judge_tree
from clew.stores.sqlite import SqliteStore
from clew.stores.store import DatabaseStore
from clew.trust.signing import verify_signature

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).with_name("programs")
STORE = Path(".clew", "clew.db")
KILLED = -9
NOTHING_LEFT, SOMETHING_LEFT, NOTHING_DONE, PERSON_NEEDED, UNFINISHED = (0, 3), 1, 2, 4, 5
"""Exit statuses: completed or all undone; not all is undone; not even begun; somebody has to act; not finished."""
SETTLED = ("completed", "failed", "rolled_back")
EXPRESSIONS, REGEXES = "cel", "re2"
"""Libraries of which most stories need neither."""
PIPE = "consumed"
OBJECTS = {
    "large": bytes(range(256)) * 5_000,
    "small": b"what was there before\n",
    "empty": b"",
    "beside": b"nobody's concern",
}
"""What is in the bucket of a story whose objects are restored."""
CODE = PROGRAMS / "outside.py"
OTHER = """

def _act(world: str, work: str, word: str = "", index: int | None = None) -> None:
    Path(world, "other was run").touch()
"""
"""What somebody puts in the place of code that is fetched: it leaves a sign when it is run."""
MEDDLED = ("small", b"somebody else was here")
"""What somebody makes of one of them."""


@dataclass(frozen=True)
class Story:
    """A program's run. `status` is the one it must end with. `begin`: the kill after which it is the resume that
    is swept. `held_as`: a person has to release it from that status; `strikes_release`: it is then that the fault
    strikes. `verb`: what a person says of the run once it rests; it is then that the fault strikes, and `begin` is a
    kill of who has said so before. `pass_count`: how often it goes forward. `is_restored`: all objects are in the end
    what they were. `fetches`: it fetches its code, and never runs any other. `quirk`: see `quirks.py`. `modules`: what
    its fork server is to have imported besides."""

    name: str
    program: str
    status: str
    begin: Fault | None = None
    held_as: str = ""
    strikes_release: bool = False
    verb: tuple[str, ...] = ()
    pass_count: int = 1
    is_restored: bool = False
    fetches: bool = False
    quirk: str = ""
    modules: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


def _kill(transaction: str, number: int, moment: str) -> Fault:
    return Fault(Point(transaction, number, moment))


STORIES = (
    Story("forward", "forward", "completed"),
    Story("backward", "backward", "rolled_back"),
    Story("skipping", "skipping", "completed", modules=(EXPRESSIONS,)),
    Story("held", "held", "rolled_back", held_as="rollback_failed", modules=(REGEXES,)),
    Story(
        "released", "held", "rolled_back", held_as="rollback_failed", strikes_release=True, modules=(REGEXES,)
    ),
    Story("forward-resumed", "forward", "completed", begin=_kill("attempt_ended", 3, "acted")),
    Story("backward-resumed", "backward", "rolled_back", begin=_kill("rollback_ended", 1, "acted")),
    Story("returning", "returning", "completed", pass_count=2),
    Story("each", "each", "rolled_back"),
    Story("restoring", "restoring", "rolled_back", is_restored=True),
    Story("meddling", "meddling", "rolled_back", held_as="held", is_restored=True),
    Story("mended", "meddling", "rolled_back", held_as="held", strikes_release=True, is_restored=True),
    Story("sourced", "sourced", "rolled_back", fetches=True),
    Story("swapped", "swapped", "completed", held_as="held", fetches=True),
    Story("put-back", "swapped", "completed", held_as="held", strikes_release=True, fetches=True),
    Story("expiring", "expiring", "rolled_back", quirk="expires"),
    Story("undone", "steps", "rolled_back", verb=("rollback", "--yes")),
    Story(
        "rewound",
        "steps",
        "completed",
        verb=("rewind", "--to", "two-left", "--yes"),
        pass_count=2,
        quirk="echoes",
    ),
    Story(
        "asked-twice", "steps", "rolled_back", verb=("rollback", "--yes"), begin=_kill("instruct", 1, "after")
    ),
    Story("erased", "steps", "completed", verb=("erase", "--payloads", "--yes", "--reason", "because")),
)


def _same_or_copied(source: str, target: str) -> None:
    """Objects stay the files that they are, since a run that has found one notices another in its place; nobody
    writes into them. All else is copied."""
    if Path(source).parent.name == "data":
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def acts_of(folder: Path) -> list[Act]:
    """What was done outside clew, in order."""
    path = folder / "acts"
    return [Act(*json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


class ForkServer:
    """A running `fork_server`, asked. All that it plays, it plays in `folder`, one after another: a run's
    variables name that folder, so that what was left there once can be put there again."""

    def __init__(self, folder: Path, *modules: str, environment: Mapping[str, str] | None = None) -> None:
        """`modules`: what the server is to import besides. `environment`: what it has besides the tests'."""
        self.folder = folder / "world"
        self._beginnings = folder / "beginnings"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.fork_server", *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **(environment or {}), "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        )

    def clew(
        self, *words: str, fault: Fault | None = None, bug: str = "", quirk: str = "", role: str = "",
        is_fresh: bool = False,
    ) -> int:  # fmt: skip
        """The exit status of clew with these words."""
        return self._ask(Request(words, str(self.folder), fault, bug, quirk, role, is_fresh)).status

    def begin_clew(self, *words: str, fault: Fault | None = None, role: str = "") -> int:
        """Begin clew with these words, and don't wait for it: gives its process, which is then to be ended."""
        return self._ask(Request(words, str(self.folder), fault, role=role, is_begun=True)).process

    def end_clew(self, process: int) -> int:
        """The exit status of what was begun."""
        return self._ask(Request(ends=process)).status

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
        ignored = shutil.ignore_patterns(PIPE, "copy-*")
        shutil.copytree(self.folder, self._beginnings / name, ignore=ignored, copy_function=_same_or_copied)

    def begin(self, name: str) -> bool:
        """Put back what was kept as that story's beginning; False if nothing was."""
        if not (self._beginnings / name).exists():
            return False
        shutil.rmtree(self.folder)
        shutil.copytree(self._beginnings / name, self.folder, copy_function=_same_or_copied)
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
        if story.begin is not None or story.verb:
            self._begin()
            (self.folder / STRUCK).unlink(missing_ok=True)  # what is looked at is what strikes from here on
        if strike:
            (self.folder / "strike").write_text(json.dumps(strike))
        if story.verb:
            self._say(faults)
        elif story.begin is not None:
            self._until_rest(("resume",), faults)
        else:
            self._run([] if story.strikes_release else faults)
        if story.held_as:
            self._release(faults if story.strikes_release else [])
        self.broken += [f"it is left behind: {process}" for process in self._server.remains()]
        return self

    def _set_out(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "data").mkdir(parents=True)
        os.mkfifo(self.folder / PIPE)
        (self.folder / "clew.toml").write_text('[buckets]\ndata = "file:data"\ncode = "file:code"\n')
        if self._story.fetches:
            self._put_code()
            (self.folder / "other").write_text(CODE.read_text() + OTHER)
        if self._story.is_restored:
            for name, content in OBJECTS.items():
                (self.folder / "data" / name).write_bytes(content)

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

    def _begin(self) -> None:
        """The story as far as to its first kill, or to where somebody has a word to say: played once, and put back
        after that."""
        fault, verb = self._story.begin, self._story.verb
        if not self._server.begin(self._story.name):
            self._run([fault] if fault and not verb else [], rests=fault is None or bool(verb))
            if fault and verb:
                self._until_rest(self._verb(), [fault], rests=False)
            self.broken += self._server.remains()
            self._server.keep_beginning(self._story.name)
            self.passed.clear()
        elif fault:
            self.statuses.append(KILLED)
            self.kills.append(self._copied())

    def _verb(self) -> Sequence[str]:
        [run_id] = self.end().runs
        verb, *options = self._story.verb
        return (verb, run_id, *options)

    def _say(self, faults: Sequence[Fault]) -> None:
        """A person says it; if nobody has heard of it, again. What another has said before may end the process."""
        self._until_rest(self._verb(), faults)
        if not self._is_obeyed(self._story.verb[0]):
            self._until_rest(self._verb(), [])
        if any(row["status"] not in SETTLED for row in self.end().runs.values()):
            self._until_rest(("resume",), [])

    def _is_obeyed(self, verb: str) -> bool:
        said = [
            json.loads(row["content"])["verb"] for row in self.end().instructions if row["answer"] == "obeyed"
        ]
        return verb in said

    def _release(self, faults: Sequence[Fault]) -> None:
        held_as = self._story.held_as
        for run_id, row in self.end().runs.items():
            if row["status"] != held_as:
                self.broken.append(f"it should be {held_as}, and is {row['status']}")
            self._put_right()
            self._until_rest(("resume", run_id), faults)
            if self.end().runs[run_id]["status"] == held_as:
                # Killed before it was durable that somebody had said so, who says it again.
                self._until_rest(("resume", run_id), [])

    def _put_right(self) -> None:
        """What a person does before saying that the run goes on."""
        (self.folder / "allowed").touch()
        if self._story.fetches:
            self._put_code()
        if self._story.is_restored:
            name, content = MEDDLED
            if (self.folder / "data" / name).read_bytes() != content:
                self.broken.append(f"what somebody else has made of {name} is gone")
            (self.folder / "data" / name).write_bytes(OBJECTS[name])

    def _put_code(self) -> None:
        """The code that the story fetches, where it fetches it."""
        place = self.folder.joinpath(*FETCHED)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(CODE.read_bytes())

    def _until_rest(self, words: Sequence[str], faults: Sequence[Fault], *, rests: bool = True) -> None:
        """The words, and then `resume` for as long as it is killed; or until then, where it is not to rest."""
        following = iter(faults)
        while True:
            fault = next(following, None)
            is_fresh = self._fresh in ("all", words[0])
            status = self._server.clew(
                *words, fault=fault, bug=self._bug, quirk=self._story.quirk, is_fresh=is_fresh
            )
            self.statuses.append(status)
            if status == NOTHING_DONE and words == self._request():
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

    def _passed(self, role: str = "") -> list[Transaction]:
        path = self.folder / f"{role}{PASSED}"  # which a new Python does not write
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
        return acts_of(self.folder)

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

    def struck(self, role: str = "") -> dict[str, Any] | None:
        """What was in the transaction that was struck, if any was."""
        path = self.folder / f"{role}{STRUCK}"
        found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
        return found

    def _evidence(self) -> Evidence:
        return Evidence(
            self.acts(), self.kills, self.end(), self.acknowledged(), self._story.status,
            self.knows_attempts, self._story.pass_count,
        )  # fmt: skip

    def _violations(self) -> list[str]:
        return violations(self._evidence())

    def judge(self) -> list[str]:
        """All that went wrong; empty where all is well."""
        broken = [*self.broken, *self._violations(), *self._not_restored(), *self._not_in_the_tree()]
        if self._story.verb[:1] == ("erase",):
            broken += self._not_deleted()
        if (self.folder / "other was run").exists():
            broken.append("other code was run than its first attempt ran")
        wanted = {KILLED, NOTHING_DONE, UNFINISHED, *NOTHING_LEFT, PERSON_NEEDED}
        if self._story.status == "failed":
            wanted.add(SOMETHING_LEFT)
        if not {*self.statuses} <= wanted:
            broken.append(f"processes ended with {self.statuses}")
        if broken:
            broken += [f"  stderr: {line}" for line in self.stderr().splitlines()[-20:]]
        return broken

    def _not_deleted(self) -> Iterator[str]:
        """Logs of what was erased, of which the store does not know that they are to be deleted yet."""
        due = self.due()
        for run_id in self.end().runs:
            if run_id not in due and list((self.folder / STORE).parent.glob(f"logs/{run_id}/*")):
                yield f"logs of run {run_id} are there, and nobody is going to delete them"

    def _not_in_the_tree(self) -> Iterator[str]:
        """Every run has its leaves, with a place or due for one, and the tree is whole."""
        store = self._opened()
        try:
            tree = store.tree
            judged = judge_tree(tree, keys=(), verify=verify_signature)
            yield from filter(None, (judged.flaw, judged.missing))
            for run_id in store.run_ids():
                row = store.run(run_id)
                leaves = [*(leaf for _, leaf in tree.leaves_of(run_id)), *tree.leaves_due(run_id)]
                assert row is not None
                if [leaf.kind for leaf in leaves[:1]] != ["open"] or len(leaves) != len(set(leaves)):
                    yield f"run {run_id} has the leaves {leaves}"
                elif row["status"] in SETTLED and (leaves[-1].entries, leaves[-1].head) != (
                    row["entry_count"],
                    row["head"],
                ):
                    yield f"run {run_id} has settled, and its last leaf is {leaves[-1]}"
        finally:
            store.close()

    def _opened(self) -> DatabaseStore:
        return SqliteStore(str(self.folder / STORE), read_only=True)

    def due(self) -> list[str]:
        """The runs whose objects and logs are to be deleted."""
        with closing(sqlite3.connect(self.folder / STORE)) as store:
            return [run_id for (run_id,) in store.execute("SELECT run_id FROM objects_due")]

    def _not_restored(self) -> list[str]:
        if not self._story.is_restored:
            return []
        found = {path.name: path.read_bytes() for path in (self.folder / "data").iterdir()}
        names = sorted(name for name in {*OBJECTS, *found} if OBJECTS.get(name) != found.get(name))
        return [f"the object {name} is not what it was" for name in names]


# ---- the points ------------------------------------------------------------------------------------------

UNSTEADY = {"stage_waiting": 1, "open": 2, "close": 2}
"""Transactions of which there are now more, now fewer: only so many of them can be aimed at."""


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
