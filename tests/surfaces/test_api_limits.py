"""Whoever is slow, asks for too much, or comes too often is refused, and nobody else waits for them."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.surfaces.serving import FAST, Host, serving
from tests.surfaces.test_api import PROGRAM

IDLE_CONNECTIONS = 500

HASTY = FAST + "header_seconds = 0.3\nbody_seconds = 0.3\nidle_seconds = 1.0\n"
"""So that the tests need not wait for what people may take."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    made = Host(tmp_path_factory.mktemp("limited"), settings=HASTY)
    made.program("adding", PROGRAM)
    with serving(made):
        yield made


def opened(host: Host, said: bytes = b"") -> socket.socket:
    made = socket.create_connection(("127.0.0.1", host.port), timeout=20)
    made.sendall(said)
    return made


def answered(connection: socket.socket) -> bytes:
    """All that is answered until the other end ends it."""
    found = b""
    with connection:
        while piece := connection.recv(65_536):
            found += piece
    return found


HEAD = b"POST /api/v1/programs/adding/runs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize(
    "said", [b"", b"GET", b"GET /healthz HTTP/1.1\r\n", HEAD], ids=["nothing", "a word", "a line", "most"]
)
def test_a_head_that_does_not_come_is_not_waited_for(host: Host, said: bytes) -> None:
    assert answered(opened(host, said)) == b""


def test_a_body_that_does_not_come_is_not_waited_for(host: Host) -> None:
    reply = answered(opened(host, HEAD + b"content-length: 500\r\n\r\n{"))
    assert reply.startswith(b"HTTP/1.1 408 ")


def test_a_connection_that_says_nothing_more_is_ended(host: Host) -> None:
    reply = answered(opened(host, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"))
    assert reply.startswith(b"HTTP/1.1 200 ") and reply.endswith(b'{"status":"alive"}')


def test_a_head_that_is_too_large_is_refused(host: Host) -> None:
    for said in (b"x-a: " + b"a" * 20_000, b"x-a: b\r\n" * 4_000):
        reply = answered(opened(host, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n" + said + b"\r\n\r\n"))
        assert reply.split(b" ")[1] in (b"400", b"431")
    long = answered(opened(host, b"GET /healthz?" + b"a" * 5_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n"))
    assert long.startswith(b"HTTP/1.1 414 ")


def test_what_is_no_http_is_refused(host: Host) -> None:
    for said in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9\r\n\r\n",
        b"\r\n\r\n nonsense\r\n\r\n",
    ):
        assert answered(opened(host, said + b"\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("is_declared", [True, False], ids=["declared", "in chunks"])
def test_a_body_of_ten_megabytes_is_refused(host: Host, is_declared: bool) -> None:
    """Whoever sends it can read why."""
    size, piece = 10 * 1024 * 1024, b"x" * 65_536
    length = b"content-length: %d" % size if is_declared else b"transfer-encoding: chunked"
    with opened(host, HEAD + length + b"\r\n\r\n") as connection:
        for _ in range(size // len(piece)):
            connection.sendall(piece if is_declared else b"%x\r\n%s\r\n" % (len(piece), piece))
        reply = connection.recv(65_536)
    assert reply.startswith(b"HTTP/1.1 413 ") and b"the body takes more than 1048576 bytes" in reply


@pytest.mark.parametrize("depth", [65, 900, 100_000])
@pytest.mark.parametrize("letters", [("[", "]"), ('{"a":', "}")], ids=["arrays", "objects"])
def test_json_that_is_nested_too_deeply_is_refused(host: Host, depth: int, letters: tuple[str, str]) -> None:
    begin, end = letters
    content = f'{{"variables": {{"first": {begin * depth}1{end * depth}}}}}'.encode()
    reply = host.pool.request(
        "POST",
        f"{host.address}/api/v1/programs/adding/runs",
        body=content,
        headers={"content-type": "application/json"},
    )
    assert reply.status == 400 and "nested deeper" in json.loads(reply.data)["detail"]


def test_idle_connections_keep_nobody_out(tmp_path: Path) -> None:
    """So many are kept, of those beyond whoever waits longest is told so; and all are ended that say nothing."""
    host = Host(tmp_path, settings=FAST + "header_seconds = 8\n")
    host.program("adding", PROGRAM)
    with serving(host):
        with ExitStack() as stack:
            idle = [stack.enter_context(opened(host, b"GET / HT")) for _ in range(IDLE_CONNECTIONS)]
            assert host.request_run("adding", variables={"first": 1})["run"]["status"] == "completed"
            replies = [answered(connection) for connection in idle]
        refused = [reply for reply in replies if reply]
        assert len(refused) >= IDLE_CONNECTIONS - 256
        assert all(reply.startswith(b"HTTP/1.1 503 ") for reply in refused)


def test_no_more_wait_than_may(tmp_path: Path) -> None:
    host = Host(tmp_path, settings=FAST + "waiting_max = 1\n")
    host.fifo("fifo")
    host.program("adding", PROGRAM)
    host.program("holding", f"""
name: holding
stages:
  - {{name: Hold, execute: {{command: shell, params: [cat, "{tmp_path}/fifo"]}}, rollback: none}}
""")  # fmt: skip
    with serving(host):
        run = host.call("POST", "/api/v1/programs/holding/runs", {}).document["run_id"]
        stream = host.pool.request("GET", f"{host.address}/api/v1/runs/{run}/events", preload_content=False)
        host.streams.append(stream)
        assert stream.status == 200
        pieces = stream.stream(1)
        next(pieces)
        busy = host.call("GET", f"/api/v1/runs/{run}/rest")
        assert (busy.status, busy.headers["retry-after"]) == (503, "1")
        assert host.call("GET", f"/api/v1/runs/{run}").status == 200
        pieces.close()  # whoever goes leaves their place to others
        while host.call("GET", f"/api/v1/runs/{run}/rest?seconds=0").status == 503:
            pass
        (tmp_path / "fifo").write_text("done")
