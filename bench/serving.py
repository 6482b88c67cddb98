"""How fast `clew up` answers over HTTP: `python bench/serving.py [--rounds N] [--runs N] [--stored N]`.

A server of its own on a new SQLite store, called from this process. Printed: how long it takes from nothing to its
first answer; how many runs of one no-op stage are asked for and waited for to their end in a second, alone and 16 at
once; pages of 50 runs among so many stored ones, from the newest on and from anywhere; and how late the server's event
loop is at most while it is attacked: 500 connections that say nothing, bodies of 10 MB, JSON that is nested deep, or
wide.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw
import urllib3

PROGRAM = """
name: noop
stages:
  - {name: Nothing, execute: {command: shell, params: ["true"]}, rollback: none}
"""

SETTINGS = """
programs = ["noop.yaml"]
[api]
listen = "127.0.0.1:0"
"""

ATTACK_SECONDS = 8
INSERT = (
    "INSERT INTO runs (run_id, program, version, run_name, run_time, launched_at, ended_at, status, requested_by,"
    " generation, entry_count, head, epoch, origin)"
    " VALUES (?, 'old', 'v', ?, ?, ?, ?, 'completed', 'bench', 1, 5, 'h', 1, '{}')"
)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of that folder."""
    process = subprocess.Popen(
        [sys.executable, "-m", "clew", "up"], cwd=folder, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stderr is not None
    line = ""
    while "API at " not in line:
        line = process.stderr.readline()
        assert line, "it did not begin"
    threading.Thread(target=lambda: [None for _ in process.stderr], daemon=True).start()
    try:
        yield line.partition("API at ")[2].strip().removesuffix("/api/v1")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def request_run(pool: urllib3.PoolManager, address: str) -> None:
    reply = pool.request(
        "POST",
        f"{address}/api/v1/programs/noop/runs",
        body=b'{"wait": 60}',
        headers={"content-type": "application/json"},
    )
    assert reply.status == 201, reply.data


def rate(address: str, count: int, at_once: int) -> float:
    """Runs a second."""
    pool = urllib3.PoolManager(maxsize=at_once, retries=False)
    with ThreadPoolExecutor(at_once) as threads:
        began = time.perf_counter()
        list(threads.map(lambda _: request_run(pool, address), range(count)))
        return count / (time.perf_counter() - began)


def fill(folder: Path, count: int) -> None:
    store = apsw.Connection(str(folder / ".clew" / "clew.db"))
    first = 1_600_000_000_000
    store.execute("BEGIN")
    moments = (
        (f"{first + at * 1_000:012x}{at:016x}", f"n{at}", *[first + at * 1_000] * 3) for at in range(count)
    )
    store.executemany(INSERT, moments)
    store.execute("COMMIT")
    store.close()


def page_times(address: str, count: int, tries: int) -> Iterator[tuple[str, list[float]]]:
    """Milliseconds of each."""
    from base64 import urlsafe_b64encode

    pool, chance = urllib3.PoolManager(retries=False), random.Random(7)

    def cursor() -> str:
        at = 1_600_000_000_000 + chance.randrange(count) * 1_000
        return urlsafe_b64encode(f"{at} {'f' * 28}".encode()).decode()

    kinds: dict[str, Callable[[], str]] = {
        "newest": lambda: "limit=50",
        "anywhere": lambda: f"limit=50&cursor={cursor()}",
        "of a program": lambda: f"limit=50&program=old&cursor={cursor()}",
    }
    for name, query in kinds.items():
        times = []
        for _ in range(tries):
            url = f"{address}/api/v1/runs?{query()}"
            began = time.perf_counter()
            assert pool.request("GET", url).status == 200
            times.append((time.perf_counter() - began) * 1_000)
        yield name, sorted(times)


def attack(address: str) -> float:
    """How late the loop was at most, in seconds."""
    host, _, port = address.removeprefix("http://").partition(":")
    place, end = (host, int(port)), time.monotonic() + ATTACK_SECONDS
    head = (
        b"POST /api/v1/programs/noop/runs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    )

    def say_nothing() -> None:
        while time.monotonic() < end:
            with suppress(OSError), socket.create_connection(place, timeout=5) as connection:
                connection.sendall(b"GET / HT")
                connection.recv(99)

    def send(body: bytes) -> None:
        while time.monotonic() < end:
            with suppress(OSError), socket.create_connection(place, timeout=5) as connection:
                connection.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
                connection.recv(99)

    deep = b'{"variables": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    wide = b'{"variables": {"a": [' + b",".join([b"[1]"] * 240_000) + b"]}}"
    pool = urllib3.PoolManager(retries=False)
    lag_of(pool, address)
    threads = [threading.Thread(target=say_nothing) for _ in range(500)]
    threads += [threading.Thread(target=send, args=(body,)) for body in (b"x" * 10_000_000, deep, wide)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return lag_of(pool, address)


def lag_of(pool: urllib3.PoolManager, address: str) -> float:
    text = pool.request("GET", f"{address}/metrics").data.decode()
    return next(
        float(line.split()[1]) for line in text.splitlines() if line.startswith("clew_loop_lag_seconds ")
    )


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--runs", type=int, default=200)
    words.add_argument("--stored", type=int, default=1_000_000)
    said = words.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "noop.yaml").write_text(PROGRAM)
        (folder / "clew.toml").write_text(SETTINGS)
        began = time.perf_counter()
        with served(folder) as address:
            urllib3.request("GET", f"{address}/api/v1/programs")
            print(f"first answer  {time.perf_counter() - began:.2f} s")
            for at_once in (1, 16):
                rates = [
                    rate(address, said.runs if at_once > 1 else said.runs // 4, at_once)
                    for _ in range(said.rounds)
                ]
                print(f"asked for and waited for, {at_once} at once  {statistics.median(rates):.0f} runs/s")
        fill(folder, said.stored)
        with served(folder) as address:
            for name, times in page_times(address, said.stored, 500):
                p99 = times[int(len(times) * 0.99) - 1]
                print(
                    f"page of 50 of {said.stored}, {name}  median {statistics.median(times):.1f} ms, p99 {p99:.1f} ms"
                )
            print(f"loop at most late while attacked  {attack(address):.2f} s")


if __name__ == "__main__":
    main()
