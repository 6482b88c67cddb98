"""The measurements, the same for every peer: what a peer does is handed in, when and for how long is seen here.

A peer's file is run as `python luigi_peer.py STORE WORKLOAD`: one measurement, in a process of its own, whose figures
are printed as a line of JSON. Sizes and places come with the environment, from run.py.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import psutil

WORK = Path(os.environ.get("PEERS_WORK", "/tmp/clew-peers"))
POSTGRES = os.environ.get("PEERS_POSTGRES", "")
"""URL of a database that databases are made from."""
STEPS = 10
RUNS = int(os.environ.get("PEERS_RUNS", "200"))
IN_FLIGHT = int(os.environ.get("PEERS_IN_FLIGHT", "0"))
"""Workflows at a time, or a peer's workers; 0: the peer's best."""
LEVELS = (2, 1, 3, 1)
"""How many tasks each level of the graph has."""
ALONE = int(os.environ.get("PEERS_ALONE", "20"))
HISTORY = [int(count) for count in os.environ.get("PEERS_HISTORY", "0,20000,100000").split(",")]
LONG_STEPS = 100
LONG_STEP_SECONDS = 0.05
CHILD_SECONDS_MAX = 200
"""A peer that needs longer to start or to resume is said to have failed."""
WORKLOADS = {"W1": "chain", "W2": "graph", "W3": "failing"}


class Peer(Protocol):
    """What a peer's file provides."""

    in_flight: int

    def batch(self, workload: str, runs: int, in_flight: int) -> None:
        """Runs of `chain`, `graph` or `failing`, until all have ended."""

    def first(self) -> None:
        """One run of one step."""

    def long(self) -> None:
        """LONG_STEPS steps of LONG_STEP_SECONDS, each noted; begun, or gone on with."""

    def processes(self) -> list[int]:
        """Those whose memory counts, with all below them."""


def fresh_folder(name: str) -> Path:
    folder = WORK / "state" / f"{name}-{uuid4().hex[:10]}"
    folder.mkdir(parents=True)
    return folder


def fresh_database() -> str:
    """URL of a new database."""
    import psycopg

    name = f"peer_{uuid4().hex[:16]}"
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return POSTGRES.rsplit("/", 1)[0] + "/" + name


def fresh_store(kind: str) -> str:
    """Where a peer keeps its state: what its parent tells it, or a new place."""
    if told := os.environ.get("PEERS_STORE"):
        return told
    return fresh_database() if kind == "postgres" else str(fresh_folder(kind))


def measure(make: Any, store: str, workload: str, file: str) -> None:
    """One measurement of the peer that `make(store)` makes."""
    if workload in ("first", "long"):
        getattr(make(store), workload)()
        print("DONE", flush=True)
        os._exit(0)  # whatever threads the peer has left
    if workload == "W4":
        report(cold_start(file, store))
    elif workload == "W6":
        report(resumed(file, store))
    else:
        peer = make(store)
        try:
            report(measured(peer, workload))
        finally:
            getattr(peer, "end", lambda: None)()
    os._exit(0)


def measured(peer: Peer, workload: str) -> dict[str, Any]:
    in_flight = IN_FLIGHT or peer.in_flight
    name = WORKLOADS.get(workload, "chain")
    peer.batch(name, min(20, RUNS), in_flight)  # imports and caches are start-up, which W4 measures
    if workload == "W5":
        with PeakMemory(peer.processes()) as peak:
            peer.batch(name, RUNS, in_flight)
        idle = memory_mb(peer.processes())
        return {
            "peak_rss_mb": peak.rss,
            "peak_pss_mb": peak.pss,
            "processes": peak.count,
            "idle_pss_mb": idle[1],
        }
    if workload == "W7":
        return grown(peer, in_flight)
    seconds = timed(peer, name, RUNS, in_flight)
    alone = statistics.median(timed(peer, name, 1, 1) for _ in range(ALONE))
    figure = {"steps_per_s": RUNS * STEPS / seconds} if workload == "W1" else {"runs_per_s": RUNS / seconds}
    return {**figure, "alone_ms": 1000 * alone, "in_flight": in_flight}


def grown(peer: Peer, in_flight: int) -> dict[str, Any]:
    """Steps a second as the store grows, by real runs."""
    figures, stored = {}, min(20, RUNS) * STEPS
    for wanted in HISTORY:
        missing = max(0, wanted - stored) // STEPS
        if missing:
            peer.batch("chain", missing, in_flight)
        figures[f"steps_per_s_at_{wanted}"] = RUNS * STEPS / timed(peer, "chain", RUNS, in_flight)
        stored += (missing + RUNS) * STEPS
    return figures


def timed(peer: Peer, workload: str, runs: int, in_flight: int) -> float:
    started = time.perf_counter()
    peer.batch(workload, runs, in_flight)
    return time.perf_counter() - started


def report(figures: dict[str, Any]) -> None:
    print("RESULT " + json.dumps(figures), flush=True)


def child(file: str, store: str, workload: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    with open(WORK / "children.log", "a") as log:
        return subprocess.Popen(
            [sys.executable, file, store, workload], stdout=subprocess.PIPE, stderr=log, text=True,
            env={**os.environ, **environment},
        )  # fmt: skip


def cold_start(file: str, store: str) -> dict[str, Any]:
    """Seconds from a new interpreter on a new store to the end of its first run."""
    environment = {"PEERS_STORE": fresh_store(store)}
    started = time.perf_counter()
    process = child(file, store, "first", environment)
    assert process.stdout is not None
    killer = threading.Timer(CHILD_SECONDS_MAX, process.kill)
    killer.start()
    try:
        is_done = any("DONE" in line for line in process.stdout)
    finally:
        killer.cancel()
    seconds = time.perf_counter() - started
    process.wait(CHILD_SECONDS_MAX)
    if not is_done:
        raise RuntimeError("it did not get to its first run; see children.log")
    return {"seconds": seconds}


def note_step(step: int | str) -> None:
    """Called by a step of the long run: it really ran, and when."""
    note = os.open(os.environ["PEERS_NOTES"], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.write(note, f"{step} {time.time():.6f}\n".encode())
    os.close(note)


def notes() -> list[tuple[str, float]]:
    path = Path(os.environ["PEERS_NOTES"])
    lines = path.read_text().splitlines() if path.exists() else []
    return [(number, float(moment)) for number, moment in (line.split() for line in lines)]


def resumed(file: str, store: str) -> dict[str, Any]:
    """Kills the process in the middle of the long run, and begins it again at once."""
    environment = {"PEERS_STORE": fresh_store(store)}
    os.environ["PEERS_NOTES"] = str(fresh_folder("notes") / "steps")
    running = [child(file, store, "long", environment)]

    def restart() -> None:
        kill_tree(running.pop())
        running.append(child(file, store, "long", environment))

    try:
        return followed(restart)
    finally:
        for process in running:
            kill_tree(process)


def followed(restart: Any) -> dict[str, Any]:
    """Follows the long run's notes: at its half `restart` kills and begins again."""
    until(lambda: len(notes()) >= LONG_STEPS // 2)
    time.sleep(0.02)  # into the middle of a step
    began = time.time()
    restart()
    before = {number for number, moment in notes() if moment <= began}
    until(lambda: len({number for number, _ in notes()}) >= LONG_STEPS)
    ran = [number for number, _ in notes()]
    first = min(moment for number, moment in notes() if number not in before)
    return {"resume_s": first - began, "ran_twice": len(ran) - len(set(ran))}


def until(is_so: Any, seconds: float = CHILD_SECONDS_MAX) -> None:
    """Looks until it is so. An error that a look raises counts as no."""
    end = time.monotonic() + seconds
    while True:
        try:
            if is_so():
                return
        except OSError as error:  # nobody listens yet
            if time.monotonic() > end:
                raise RuntimeError(f"it did not come to be within {seconds} s") from error
        if time.monotonic() > end:
            raise RuntimeError(f"it did not come to be within {seconds} s")
        time.sleep(0.005)


def tree(processes: list[int]) -> list[psutil.Process]:
    found = {}
    for pid in processes:
        try:
            top = psutil.Process(pid)
            found.update({each.pid: each for each in [top, *top.children(recursive=True)]})
        except psutil.Error:
            continue
    return list(found.values())


def kill_tree(process: subprocess.Popen[Any]) -> None:
    for each in tree([process.pid]):
        try:
            each.send_signal(signal.SIGKILL)
        except psutil.Error:
            continue
    process.wait(CHILD_SECONDS_MAX)


def memory_mb(processes: list[int]) -> tuple[float, float, int]:
    """RSS, PSS (which counts what is shared once), and how many processes."""
    rss = pss = count = 0
    for each in tree(processes):
        try:
            memory = each.memory_full_info()
        except psutil.Error:
            continue
        rss, pss, count = rss + memory.rss, pss + memory.pss, count + 1
    return rss / 1e6, pss / 1e6, count


class PeakMemory:
    """The most that a tree of processes took, looked at four times a second."""

    def __init__(self, processes: list[int]) -> None:
        self.processes, self.rss, self.pss, self.count = processes, 0.0, 0.0, 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._end.wait(0.25):
            self._look()

    def _look(self) -> None:
        rss, pss, count = memory_mb(self.processes)
        self.rss, self.pss, self.count = max(self.rss, rss), max(self.pss, pss), max(self.count, count)
