"""Several `clew up` beside each other on one PostgreSQL, and what they did, by the database and the stages' own word.

A stage says by lines of one file that it has begun, that it goes on, and that it is through. So it shows, without any
clock, whether it ever ran beside itself: once an attempt of it has begun, no other may say a word any more.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from tests.surfaces.calling import ENVIRONMENT, Person

from clew.core.running.statuses import SETTLED
from clew.driving import Origin
from clew.settings import read_settings
from clew.wiring import load_program, queue_run, seal

SECONDS_MAX = 60
"""How long anything is waited for that takes a second or two."""

LEASE = "1 second"
STAGES = 3
SETTINGS = 'lease = "{lease}"\nworkers = 6\nprograms = ["walk.yaml"]\n'

PROGRAM = """name: walk
stages:
{stages}
"""
STAGE = """  - name: s{number}
    after: [{after}]
    execute: {{command: shell, params: [sh, {work}]}}
    rollback: none
"""
WORK = """say() {{ echo "$1 $CLEW_RUN $CLEW_STAGE $$" >> {log}; }}
say begun
for n in 1 2 3; do sleep 0.05; say goes-on; done
say through
"""

SKEWED = """
import sys, time
now_ns, now = time.time_ns, time.time
time.time_ns = lambda: now_ns() + {seconds} * 10**9
time.time = lambda: now() + {seconds}
sys.argv = ["clew", *sys.argv[1:]]
from clew.stores.postgres import PostgresStore
if {seconds} > 0:
    PostgresStore.runs_apart_min = 1
from clew.cli.main import main
main()
"""
"""`clew` of somebody whose clock is wrong; if it is fast, turns are taken while the server works on one run, too."""

UNSETTLED = f"status NOT IN {tuple(sorted(SETTLED))}"


class Member:
    """One `clew up`. `seconds`: by how much its wall clock is wrong."""

    def __init__(self, folder: Path, url: str, name: str, seconds: int) -> None:
        self.said = folder / f"{name}.said"
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SKEWED.format(seconds=seconds), "up", "--store", url, "--grace", "20 seconds"],
                cwd=folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            )  # fmt: skip

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> None:
        """It is stopped, and nothing of it runs any more."""
        self.signal(signal.SIGSTOP)
        stat = Path(f"/proc/{self.process.pid}/stat")
        until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")

    def go_on(self) -> None:
        self.signal(signal.SIGCONT)

    def count_said(self, words: str) -> int:
        """In how many lines it has said that."""
        return sum(words in line for line in self.said.read_text().splitlines())

    def end(self) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()


class Fleet:
    """The orchestrators of one database."""

    def __init__(self, folder: Path, url: str, lease: str) -> None:
        self.folder, self.url = folder, url
        self.log = folder / "log"
        self.members: list[Member] = []
        self.person = Person(folder)
        (folder / "clew.toml").write_text(SETTINGS.format(lease=lease))
        work = folder / "work.sh"
        work.write_text(WORK.format(log=self.log))
        stages = "".join(
            STAGE.format(number=n, after=f"s{n - 1}" if n else "", work=work) for n in range(STAGES)
        )
        (folder / "walk.yaml").write_text(PROGRAM.format(stages=stages))
        self._settings = read_settings(folder=str(folder), environment={}, store=url)
        self.database = self.open(url)

    @staticmethod
    def open(url: str) -> psycopg.Connection[Any]:
        return psycopg.connect(url, autocommit=True)

    def start(self, seconds: int = 0) -> Member:
        """Another orchestrator; returns when it has joined."""
        member = Member(self.folder, self.url, f"up-{len(self.members)}", seconds)
        self.members.append(member)
        until(lambda: member.count_said("live; Ctrl-C ends this") > 0 or member.process.poll() is not None)
        assert member.process.poll() is None, member.said.read_text()
        return member

    def ask(self, count: int, program: str = "walk.yaml") -> None:
        """So many more runs, which nobody drives yet."""
        loaded = load_program(str(self.folder / program), folder=str(self.folder))
        sealed, origin = seal(loaded.program), Origin(loaded.folder)
        for _ in range(count):
            queue_run(self._settings, sealed, {}, requested_by="test", origin=origin)

    def rows(self, query: str, *given: Any) -> list[Any]:
        return self.database.execute(query, given).fetchall()

    def driven_by(self, member: Member) -> set[str]:
        """The unsettled runs that are the member's, by the database."""
        found = self.rows(
            f"SELECT run_id FROM runs JOIN orchestrators ON orchestrator_id = owner WHERE pid = %s AND {UNSETTLED}",
            member.process.pid,
        )
        return {run_id for (run_id,) in found}

    def unsettled(self) -> int:
        [(count,)] = self.rows(f"SELECT count(*) FROM runs WHERE {UNSETTLED}")
        return int(count)

    def words(self) -> list[list[str]]:
        """What the stages have said: word, run, stage, process."""
        return [line.split() for line in self.log.read_text().splitlines()]

    def judge(self) -> None:
        """All runs are completed, each stage is on record as completed once, and none ever ran beside itself."""
        assert Counter(self.rows("SELECT status FROM runs")) == Counter(
            {("completed",): len(self.rows("SELECT 1 FROM runs"))}
        )
        last: dict[tuple[str, str], str] = {}
        for word, run, stage, process in self.words():
            if word == "begun":
                last[run, stage] = process
            assert last[run, stage] == process, f"{stage} of run {run} goes on beside another attempt of it"
        done = self.rows(
            "SELECT run_id, content::json->'body'->>'stage' FROM journal "
            "WHERE content::json->'body'->>'kind' = 'attempt_ended' AND content::json->'body'->>'outcome' = 'completed'"
        )
        assert max(Counter(done).values()) == 1
        assert len(done) == STAGES * len(self.rows("SELECT 1 FROM runs"))
        self.person.clew("verify", "--all", "--store", self.url)

    def end(self) -> None:
        for member in self.members:
            member.end()
        self.database.close()


@contextmanager
def fleet(folder: Path, url: str, lease: str = LEASE) -> Iterator[Fleet]:
    """Orchestrators that are gone at the end, whatever happened."""
    orchestrators = Fleet(folder, url, lease)
    try:
        yield orchestrators
    finally:
        orchestrators.end()


def until(holds: Callable[[], bool]) -> None:
    """Wait until that holds; nothing tells when it begins to."""
    end = time.monotonic() + SECONDS_MAX
    while not holds():
        assert time.monotonic() < end, f"not in {SECONDS_MAX} seconds"
        time.sleep(0.01)
