"""Servers that speak as S3 does, started for tests: processes on 127.0.0.1 that need and reach nothing else."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

START_SECONDS_MAX = 40
"""A server that takes 3 s on an idle machine, on a busy one."""

START_TRIES_MAX = 4
"""Ports that were free may be taken by the time a server wants them."""

ACCESS_KEY, SECRET_KEY = "clew-tests", "this-is-no-secret"

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    # Nothing of the machine that runs the tests: neither its files nor the cloud that it may be in.
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}
"""What a process needs to use these servers."""

_PORTS = range(12_000, 22_000)
"""Below the ports that systems give to connections, even with 10,000 added, as one of the servers does."""

_PR_SET_PDEATHSIG = 1


class ObjectStore(NamedTuple):
    """A running server."""

    name: str
    endpoint: str

    def url(self, bucket: str, prefix: str = "") -> str:
        return f"s3://{bucket}/{prefix}?endpoint={self.endpoint}"

    def new_bucket(self) -> str:
        """The name of a new, empty bucket."""
        bucket = f"{self.name}-{uuid4().hex[:20]}"
        self.client().create_bucket(Bucket=bucket)
        return bucket

    def client(self) -> object:
        """A client of its own, for what a test does behind clew's back."""
        from clew.buckets.s3.clients import client_of
        from clew.core.planning.s3_urls import S3Options

        return client_of(S3Options(endpoint=self.endpoint), ENVIRONMENT)


@contextmanager
def served(
    name: str, port_count: int, command: Callable[[list[int]], list[str]], folder: Path
) -> Iterator[ObjectStore]:
    """A server's process, from when it answers on its first port, which is that for S3, to its end."""
    for tries_left in reversed(range(START_TRIES_MAX)):
        ports = _free_ports(port_count)
        with _process(command(ports), folder / f"{name}-{ports[0]}.log") as (process, log):
            if _answers(process, ports[0]):
                yield ObjectStore(name, f"http://127.0.0.1:{ports[0]}")
                return
        if not tries_left:
            raise RuntimeError(f"{name} did not start:\n{log.read_text()[-4000:]}")


def program(name: str) -> str:
    """The path of a program that is installed beside this Python."""
    return str(Path(sys.executable).parent / name)


@contextmanager
def _process(words: list[str], log: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    environment: Mapping[str, str] = {**os.environ, **ENVIRONMENT}
    with open(log, "wb") as out:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env=environment,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
    try:
        yield process, log
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().choice(_PORTS)
        if port not in found and _is_free(port) and _is_free(port + 10_000):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether it answers a request, within a limit; False when it ends instead."""
    until = time.monotonic() + START_SECONDS_MAX
    while process.poll() is None and time.monotonic() < until:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as one:
                one.sendall(b"GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
                if one.recv(9).startswith(b"HTTP/1."):
                    return True
        except OSError:
            pass
        time.sleep(0.05)  # nothing tells when a port begins to be served
    return False
