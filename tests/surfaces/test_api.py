"""The API as those see it who call it: what is asked for is done once, and what is answered is what is on record."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families
from tests.surfaces.calling import line_from
from tests.surfaces.serving import Host, serving

PROGRAM = """
name: adding
requests: {first: {type: integer}}
variables: {second: 4}
stages:
  - name: Add
    outputs: {sum: {from: stdout}}
    execute: {command: shell, params: [sh, -c, "echo $(({first} + {second}))"]}
    rollback: {command: shell, params: [sh, -c, "true"]}
"""

FAILING = """
name: failing
stages:
  - {name: Do, execute: {command: shell, params: ["true"]}, rollback: {command: shell, params: ["true"]}}
  - {name: Break, after: [Do], execute: {command: shell, params: ["false"]}, rollback: none}
"""

HOLDING = """
name: holding
stages:
  - name: Send
    execute: {command: shell, params: [sh, -c, "cat FIFO"]}
    rollback: none
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    made = Host(tmp_path_factory.mktemp("host"))
    made.program("adding", PROGRAM)
    made.program("failing", FAILING)
    with serving(made):
        yield made


def test_a_run_is_asked_for_and_waited_for(host: Host) -> None:
    found = host.request_run("adding", variables={"first": 3})
    run = found["run"]
    assert (run["status"], run["variables"]) == ("completed", {"first": 3, "second": 4, "sum": "7"})
    assert run["stages"][0]["outputs"] == {"sum": "7"}
    assert host.call("GET", f"/api/v1/runs/{run['run_id']}").document == run
    shown = host.clew("show", run["run_id"], "--format", "json").document
    assert (shown["variables"], shown["requested_by"]) == (run["variables"], "api:local")


def test_a_request_that_is_made_again_is_the_same_request(host: Host) -> None:
    """A hundred times at once too; with other variables it is refused."""
    call = ("POST", "/api/v1/programs/adding/runs", {"variables": {"first": 8}, "wait": 20})
    headers = {"idempotency-key": "of a hundred"}
    with ThreadPoolExecutor(100) as pool:
        replies = list(pool.map(lambda _: host.call(*call, headers=headers), range(100)))
    statuses = sorted(reply.status for reply in replies)
    busy = [reply for reply in replies if reply.status == 503]
    assert statuses.count(201) == 1 and statuses.count(200) + len(busy) == 99
    assert len({reply.document["run_id"] for reply in replies if reply.status < 300}) == 1
    other = host.call("POST", call[1], {"variables": {"first": 9}}, headers=headers)
    assert other.status == 409 and "a run with other variables was asked for" in other.document["detail"]
    assert host.call("POST", "/api/v1/programs/failing/runs", {}, headers=headers).status == 201, (
        "of another program"
    )


def test_a_request_is_the_same_after_a_restart(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.program("adding", PROGRAM)
    call = ("POST", "/api/v1/programs/adding/runs", {"variables": {"first": 1}})
    with serving(host):
        first = host.call(*call, headers={"idempotency-key": "k"}).document
        host.kill()
        host.start()
        again = host.call(*call, headers={"idempotency-key": "k"})
    assert (again.status, again.document["run_id"], again.document["is_new"]) == (200, first["run_id"], False)


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/api/v1/programs/adding/runs", {"variables": {"fist": 1}}, 422, "did you mean 'first'?"),
        ("/api/v1/programs/adding/runs", {}, 422, "it needs the variable 'first'"),
        ("/api/v1/programs/adding/runs", {"variables": {"first": "x"}}, 422, 'is not of type "integer"'),
        ("/api/v1/programs/adding/runs", {"var": {}}, 422, "unknown field `var`"),
        ("/api/v1/programs/adding/runs", [], 422, "Expected `object`, got `array`"),
        ("/api/v1/programs/adding/runs", {"wait": 301}, 422, "<= 300"),
        ("/api/v1/programs/nothing/runs", {}, 404, "no program 'nothing' is live here"),
    ],
)
def test_what_can_not_be_taken_is_said_with_what_would_be_right(
    host: Host, path: str, body: Any, status: int, words: str
) -> None:
    reply = host.call("POST", path, body)
    assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json")
    assert words in reply.document["detail"], reply.document


def test_runs_are_listed_page_by_page(host: Host) -> None:
    """Each once, though others come meanwhile."""
    wanted = [host.request_run("adding", variables={"first": at})["run_id"] for at in range(5)][::-1]
    found: list[str] = []
    cursor = ""
    while True:
        page = host.call("GET", f"/api/v1/runs?program=adding&limit=2{cursor}").document
        found += [run["run_id"] for run in page["runs"]]
        host.request_run("adding", variables={"first": 0})
        if page["next"] is None or len(found) >= len(wanted):
            break
        cursor = f"&cursor={page['next']}"
    assert found[: len(wanted)] == wanted
    assert host.call("GET", "/api/v1/runs?cursor=no").status == 400
    assert host.call("GET", "/api/v1/runs?status=gone").status == 400
    failed = host.request_run("failing")["run_id"]
    assert failed in [
        run["run_id"] for run in host.call("GET", "/api/v1/runs?status=rolled_back").document["runs"]
    ]


def test_what_has_not_changed_is_not_sent_again(host: Host) -> None:
    run = host.request_run("adding", variables={"first": 3})["run_id"]
    reply = host.call("GET", f"/api/v1/runs/{run}")
    again = host.call("GET", f"/api/v1/runs/{run}", headers={"if-none-match": reply.headers["etag"]})
    assert (again.status, again.content) == (304, b"")


def test_a_run_is_told_something(tmp_path: Path) -> None:
    """It obeys, or refuses; told again under the same key, it was told once. Who said it stands in its journal."""
    host = Host(tmp_path)
    host.fifo("fifo")
    host.program("holding", HOLDING.replace("FIFO", str(tmp_path / "fifo")))
    with serving(host):
        run = host.call("POST", "/api/v1/programs/holding/runs", {}).document["run_id"]
        path = f"/api/v1/runs/{run}"
        refused = host.call("POST", f"{path}/resume", {})
        assert refused.status == 409 and "running" in refused.document["detail"]
        key = {"idempotency-key": "pausing"}
        paused = host.call("POST", f"{path}/pause", {"reason": "lunch"}, headers=key)
        assert (paused.status, paused.document["answer"]) == (200, "obeyed")
        again = host.call("POST", f"{path}/pause", {"reason": "lunch"}, headers=key)
        assert again.document == paused.document
        assert host.call("POST", f"{path}/pause", {"reason": "dinner"}, headers=key).status == 409
        journal = host.call("GET", f"{path}/journal").document["entries"]
        said = [entry for entry in journal if entry["kind"] == "run_paused"]
        assert [(entry["body"]["by"], entry["payload"]) for entry in said] == [
            ("api:local", {"reason": "lunch"})
        ]
        assert host.call("GET", paused.headers["location"]).document == paused.document
        assert host.call("POST", f"{path}/cancel", {}).document["answer"] == "obeyed"
        assert host.call("GET", f"{path}/rest?seconds=20").document["status"] == "rolled_back"
        assert host.call("POST", f"{path}/cancel", {}).status == 409


def test_a_stream_has_every_entry_once_whatever_happens(tmp_path: Path) -> None:
    """Through a failure, a rollback, and the server's death and return."""
    host = Host(tmp_path)
    for name in ("did", "fail", "undo"):
        host.fifo(name)
    host.program("failing", """
name: failing
stages:
  - name: Do
    execute: {command: shell, params: [sh, -c, "echo did > FOLDER/did"]}
    rollback: {command: shell, params: [sh, -c, "cat FOLDER/undo"]}
  - {name: Break, after: [Do], execute: {command: shell, params: [sh, -c, "cat FOLDER/fail; false"]}, rollback: none}
""".replace("FOLDER", str(tmp_path)))  # fmt: skip
    with serving(host):
        run = host.call("POST", "/api/v1/programs/failing/runs", {}).document["run_id"]
        seen: list[tuple[int, str]] = []
        first = _Stream(host, run, seen)
        assert line_from(tmp_path / "did") == "did"
        first.until("attempt_started", count=2)
        (tmp_path / "fail").write_text("now")
        first.until("rollback_started")
        host.kill()
        with pytest.raises((urllib3.exceptions.HTTPError, EOFError)):
            first.until("run_settled")
        host.start()
        second = _Stream(host, run, seen)
        second.until("rollback_started", count=1)
        (tmp_path / "undo").write_text("now")
        second.until("settled")
    journal = host.clew("show", run, "--journal", "--format", "json").document
    assert [(seq, kind) for seq, kind in seen if kind != "settled"] == [
        (one["seq"], one["kind"]) for one in journal
    ]


class _Stream:
    """A run's events, each put down as it comes; opened where the last one ended."""

    def __init__(self, host: Host, run: str, seen: list[tuple[int, str]]) -> None:
        headers = {"last-event-id": str(seen[-1][0])} if seen else {}
        self._seen = seen
        self._reply = host.pool.request(
            "GET",
            f"{host.address}/api/v1/runs/{run}/events",
            headers=headers,
            preload_content=False,
            timeout=30,
        )
        host.streams.append(self._reply)
        assert self._reply.headers["content-type"].startswith("text/event-stream")
        self._lines = self._read()

    def _read(self) -> Iterator[str]:
        begun = b""
        for piece in self._reply.stream(1, decode_content=False):
            begun += piece
            while b"\n" in begun:
                line, _, begun = begun.partition(b"\n")
                yield line.decode()

    def until(self, kind: str, count: int = 1) -> None:
        """Read on until so many of that kind have come."""
        event: dict[str, str] = {}
        while count:
            line = next(self._lines, None)
            if line is None:
                raise EOFError("the stream has ended")
            if line:
                name, _, value = line.partition(": ")
                event[name] = value
                continue
            if "data" in event:
                found = json.loads(event["data"]).get("kind", event["event"])
                self._seen.append((int(event["id"]), found))
                count -= found == kind
            event = {}


def test_the_server_ends_with_streams_open(tmp_path: Path) -> None:
    """They end themselves; what runs ends too, or is left to the next."""
    host = Host(tmp_path)
    host.fifo("fifo")
    host.program("holding", HOLDING.replace("FIFO", str(tmp_path / "fifo")))
    host.start()
    assert host.process is not None
    run = host.call("POST", "/api/v1/programs/holding/runs", {}).document["run_id"]
    stream = _Stream(host, run, [])
    stream.until("attempt_started")
    host.process.send_signal(signal.SIGTERM)
    with pytest.raises(EOFError):
        stream.until("settled")
    (tmp_path / "fifo").write_text("now")
    host.end_of_it()
    for each in host.streams:
        each.close()
    host.pool.clear()


def test_programs_are_listed_and_shown(host: Host) -> None:
    found = host.call("GET", "/api/v1/programs").document["programs"]
    assert [one["program"] for one in found] == ["adding", "failing"]
    assert host.call("GET", "/api/v1/programs/adding").document == found[0]
    assert host.call("GET", "/readyz").document == {"status": "ready"}


def test_a_program_says_what_it_would_do_and_when(tmp_path: Path) -> None:
    """And is paused, and goes on; who said so is known."""
    host = Host(tmp_path)
    host.program("daily", PROGRAM.replace("requests: {first: {type: integer}}", 'cadence: "@daily"')
                 .replace("variables: {", "variables: {first: 1, ").replace("name: adding", "name: daily"))  # fmt: skip
    with serving(host):
        plan = host.call("GET", "/api/v1/programs/daily/plan").document
        assert plan == host.clew("plan", "programs/daily.yaml", "--format", "json").document
        path = "/api/v1/programs/daily/times?count=2"
        moment = "2026-03-01T12:00:00Z"
        assert host.call("GET", f"{path}&after={moment}").document["times"] == [
            "2026-03-02T00:00:00Z",
            "2026-03-03T00:00:00Z",
        ]
        assert host.call("GET", f"{path}&before={moment}").document["times"][0] == "2026-03-01T00:00:00Z"
        assert host.call("GET", f"{path}&before={moment}&after={moment}").status == 400
        assert host.call("GET", f"{path}&after=soon").status == 422
        paused = host.call("POST", "/api/v1/programs/daily/pause", {"reason": "holidays"}).document
        assert (paused["paused"], paused["by"], paused["why"]) == (True, "api:local", "holidays")
        assert host.call("POST", "/api/v1/programs/daily/pause", {}).status == 409
        shown = host.call("GET", "/api/v1/programs/daily").document["paused"]
        assert shown == {"at": paused["at"], "by": "api:local", "why": "holidays"}
        assert host.call("POST", "/api/v1/programs/daily/unpause", {}).document["paused"] is False


def test_what_a_run_wrote_and_what_proves_it(host: Host) -> None:
    """The log of each attempt, and an export that is sound by the key that signs checkpoints."""
    run = host.request_run("adding", variables={"first": 3})["run_id"]
    assert host.call("GET", f"/api/v1/runs/{run}/logs").document["logs"] == [
        {"stage": "Add", "work": "attempt", "attempt": 1, "size": 2}
    ]
    assert host.call("GET", f"/api/v1/runs/{run}/log?stage=Add").content == b"7\n"
    assert host.call("GET", f"/api/v1/runs/{run}/log?stage=Add&attempt=2").status == 404
    assert host.call("GET", f"/api/v1/runs/{run}/log").status == 400
    exported = host.call("GET", f"/api/v1/runs/{run}/export")
    (host.folder / "exported").write_bytes(exported.content)
    key = host.call("GET", "/api/v1/checkpoint").document["public_key"]
    assert "sound" in host.clew("verify", "exported", "--key", key).out
    assert host.call("GET", "/api/v1/runs/nothing/export").status == 404


def test_what_the_process_does_is_counted(tmp_path: Path) -> None:
    """As Prometheus reads it."""
    host = Host(tmp_path)
    host.program("adding", PROGRAM)
    host.program("failing", FAILING)
    with serving(host):
        for _ in range(2):
            host.request_run("adding", variables={"first": 3})
        host.request_run("failing")
        reply = host.call("GET", "/metrics")
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(reply.content.decode())
        for sample in family.samples
    }
    expected = {
        ("clew_runs_created_total", "adding"): 2,
        ("clew_runs_settled_total", "adding", "completed"): 2,
        ("clew_runs_settled_total", "failing", "rolled_back"): 1,
        ("clew_attempts_ended_total", "failed", "failing"): 1,
        ("clew_rollbacks_ended_total", "completed", "failing"): 1,
        ("clew_calls_total", "POST", "/api/v1/programs/{program}/runs", "201"): 3,
        ("clew_call_seconds_count", "POST", "/api/v1/programs/{program}/runs"): 3,
        ("clew_programs_live",): 2,
        ("clew_runs_driven",): 0,
        ("clew_attempts_in_flight",): 0,
    }
    assert {name: found.get(name) for name in expected} == expected, found
    assert found["clew_store_flushes",] > 0 and found["clew_loop_lag_seconds",] >= 0
