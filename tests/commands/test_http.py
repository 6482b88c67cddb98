"""`http`: one request, against a real server on this machine."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.commands.surroundings import Surroundings

from clew.commands.interface import CommandError
from clew.commands.performing import perform


class Handler(BaseHTTPRequestHandler):
    """Tells what it was asked, or does what the path says."""

    def do(self):
        length = int(self.headers.get("Content-Length") or 0)
        asked = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": self.rfile.read(length).decode(),
        }
        path = self.path.partition("?")[0]
        if path.startswith("/status/"):
            self.answer(int(path[8:]), b"a long story", "text/plain")
        elif path == "/redirect":
            self.answer(302, b"", "text/plain", {"Location": "/asked"})
        elif path == "/bomb":
            self.answer(200, gzip.compress(b"0" * 10_000_000), "text/plain", {"Content-Encoding": "gzip"})
        elif path == "/liar":
            self.answer(200, b"{not json", "application/json")
        elif path == "/nan":
            self.answer(200, b"NaN", "application/problem+json; charset=utf-8")
        elif path == "/bytes":
            self.answer(200, b"\xff\x00", "application/octet-stream")
        elif path == "/hang":
            self.server.release.wait(30)
        else:
            self.answer(200, json.dumps(asked).encode(), "application/json; charset=utf-8")

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do

    def answer(self, status, content, kind, headers=None):
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.release = threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def around(tmp_path):
    return Surroundings(tmp_path)


def do(around, url, scope=None, output_size_max=1_000_000, **params):
    with around.context(output_size_max=output_size_max) as context:
        return perform("http", {"url": url, **params}, context, scope or {}).value


def failure(around, url, **params):
    with pytest.raises(CommandError) as raised:
        do(around, url, **params)
    return raised.value


def test_a_request_is_made_as_it_is_stated(around, address):
    """Method, address, headers and JSON body reach the server, with variables filled in."""
    result = do(
        around,
        f"{address}/book?day={{day}}",
        {"day": "2026-07-14", "n": 2},
        method="post",
        headers={"X-Count": "{n}"},
        json={"seats": "{n}"},
    )
    asked = result["json"]
    assert (asked["method"], asked["path"]) == ("POST", "/book?day=2026-07-14")
    assert json.loads(asked["body"]) == {"seats": 2}
    assert asked["headers"]["x-count"] == "2"
    assert asked["headers"]["content-type"] == "application/json"
    assert result["status"] == 200
    assert result["headers"]["content-type"] == "application/json; charset=utf-8"


def test_what_changes_something_carries_the_idempotency_key(around, address):
    """Unsafe methods get the stage's key, unless they have their own; safe ones get none."""
    assert do(around, address, method="POST")["json"]["headers"]["idempotency-key"] == "key-1"
    assert do(around, address, method="DELETE")["json"]["headers"]["idempotency-key"] == "key-1"
    mine = do(around, address, method="PUT", headers={"idempotency-KEY": "mine"})["json"]
    assert mine["headers"]["idempotency-key"] == "mine"
    assert "idempotency-key" not in do(around, address)["json"]["headers"]


def test_what_undoes_carries_a_key_of_its_own(around, address):
    """A rollback's request carries the rollback's key: the stage's would make it the stage's request come again."""
    with around.context(rollback_idempotency_key="undo-1") as context:
        said = perform("http", {"url": f"{address}/x", "method": "DELETE"}, context, {}).value
    assert said["json"]["headers"]["idempotency-key"] == "undo-1"


def test_a_text_body_goes_as_it_stands(around, address):
    """`body` is sent as it is, without a type of its own; an own type is kept for json too."""
    assert do(around, address, method="POST", body="é=1")["json"]["body"] == "é=1"
    assert do(around, address, method="POST", body=[1])["json"]["body"] == "[1]"
    kept = do(around, address, method="POST", json=1, headers={"Content-Type": "text/x"})["json"]
    assert kept["headers"]["content-type"] == "text/x"


def test_another_status_than_expected_fails(around, address):
    """Without `expect` the 200s are a success; the failure tells the status and how the answer begins."""
    error = failure(around, f"{address}/status/503?token=abc")
    assert (error.kind, error.detail) == ("status", "a long story")
    assert error.message.endswith("/status/503 was answered with 503, not 200 to 299")
    assert do(around, f"{address}/status/404", expect=404)["text"] == "a long story"
    assert do(around, f"{address}/status/404", expect=[200, 404])["status"] == 404
    assert "not 404" in failure(around, address, expect=404).message


def test_redirects_are_followed_only_when_asked(around, address):
    """A redirect is an answer like any other, unless it is to be followed."""
    assert failure(around, f"{address}/redirect").message.endswith("was answered with 302, not 200 to 299")
    assert do(around, f"{address}/redirect", follow_redirects=True)["json"]["path"] == "/asked"


def test_answers_that_are_no_json_are_texts(around, address):
    """What is not JSON, or only says it is, is kept as text."""
    assert do(around, f"{address}/liar")["text"] == "{not json"
    assert do(around, f"{address}/nan")["text"] == "NaN"
    assert do(around, f"{address}/bytes")["text"] == "\ufffd\0"
    assert do(around, address, method="HEAD")["text"] == ""


def test_answers_are_bounded_even_when_they_unpack(around, address):
    """An answer that is larger than an output may be fails, however small it was sent."""
    error = failure(around, f"{address}/bomb", output_size_max=100_000)
    assert (error.kind, "more than 100000 bytes" in error.message) == ("output", True)


def test_no_answer_is_a_failure_of_the_connection(around, address):
    """A refused, a silent and an unknown server are all `connection`."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = failure(around, f"http://127.0.0.1:{unused.getsockname()[1]}/")
    assert error.kind == "connection"
    assert failure(around, f"{address}/hang", timeout="50 ms").kind == "connection"
    assert failure(around, "http://nowhere.invalid/").kind == "connection"
    assert failure(around, "http://[broken/").kind == "connection"


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"url": "file:///etc/passwd"}, "begins with http://"),
        ({"url": 7}, "begins with http://"),
        ({"method": "GET /\r\nX: y"}, "is no method"),
        ({"headers": {"A": "b\r\nC: d"}}, "control character"),
        ({"headers": [1]}, "headers is a mapping"),
        ({"json": 1, "body": "x"}, "json or body, not both"),
        ({"expect": "ok"}, "is no status"),
        ({"expect": [99]}, "is no status"),
        ({"timeout": 5}, "write for example '5 seconds'"),
        ({"timeout": "0 seconds"}, "leaves no time"),
    ],
)
def test_wrong_params_are_told(around, params, text):
    """A mistake is found before anything is sent."""
    error = failure(around, **{"url": "http://127.0.0.1:1/", **params})
    assert error.kind == "params"
    assert text in error.message
