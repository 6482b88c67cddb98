"""A server in front of an object store that hands on what is asked and answered, and does wrong when it is told to."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import quote
from xml.sax.saxutils import unescape

import urllib3
from tests.object_stores.serving import ObjectStore

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "host", "content-length"})


class Asked(NamedTuple):
    """A request, as far as tests tell them apart: such as `GET ?list-type`, `GET`, `PUT ?partNumber`."""

    method: str
    path: str

    @property
    def kind(self) -> str:
        for mark in ("list-type", "uploads", "partNumber", "uploadId"):
            if re.search(rf"[?&]{mark}\b", self.path):
                return f"{self.method} ?{mark}"
        return self.method


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class FaultyStore:
    """`faults`: by what kind of request, the faults of those to come, in turn; None is none. `always`: the faults of
    all of that kind. `asked`: the kinds of all requests so far."""

    def __init__(self, behind: ObjectStore) -> None:
        self.behind = behind
        self.letting_go = threading.Event()
        self._changing = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Do nothing wrong, and begin to count anew."""
        self.faults: dict[str, list[str | None]] = {}
        self.always: dict[str, str] = {}
        self.asked: list[str] = []
        self.pages: list[Answer] = []
        self.left_out: Answer | None = None

    def fault_of(self, asked: Asked) -> str | None:
        with self._changing:
            self.asked.append(asked.kind)
            planned = self.faults.get(asked.kind)
            return planned.pop(0) if planned else self.always.get(asked.kind)

    @contextmanager
    def running(self) -> Iterator[ObjectStore]:
        """The address to ask at."""
        store = self

        class Handler(_Handler):
            faulty = store
            pool = urllib3.PoolManager()

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                yield ObjectStore("faulty", f"http://127.0.0.1:{server.server_address[1]}")
            finally:
                self.letting_go.set()
                server.shutdown()
                thread.join()
                Handler.pool.clear()


class _Handler(BaseHTTPRequestHandler):
    faulty: FaultyStore
    pool: urllib3.PoolManager
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _serve(self) -> None:
        asked = Asked(self.command, self.path)
        body = self._body()
        fault = self.faulty.fault_of(asked)
        if fault in _INSTEAD:
            return _INSTEAD[fault](self)
        if fault == "token lost":
            self.path = re.sub(r"[?&]continuation-token=[^&]*", "", self.path)
        answer = self._asked_behind(body)
        if asked.kind == "GET ?list-type":
            answer = self._page(answer, fault, body)
        if fault == "answer lost":
            return self._reset()
        if fault == "body cut":
            return self._send(answer, upto=len(answer.body) // 2)
        if fault == "text cut":
            cut = answer.body[: len(answer.body) // 2]
            answer = Answer(answer.status, {**answer.headers, "Content-Length": str(len(cut))}, cut)
        if fault == "changed":
            answer = Answer(answer.status, {**answer.headers, "ETag": '"other"'}, answer.body)
        self._send(answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def _page(self, answer: Answer, fault: str | None, body: bytes) -> Answer:
        pages = self.faulty.pages
        if fault == "page again" and pages:
            return pages[-1]
        if fault == "page ahead":
            # The one after it, in its place; `page behind` then gives it.
            token = re.search(rb"<NextContinuationToken>(.*?)</", answer.body)
            assert token, "there is no page after it"
            path = re.sub(r"&continuation-token=[^&]*", "", self.path)
            self.path = f"{path}&continuation-token={quote(unescape(token[1].decode()), safe='')}"
            self.faulty.left_out = answer
            answer = self._asked_behind(body)
        if fault == "page behind":
            assert self.faulty.left_out is not None, "no page was left out"
            return self.faulty.left_out
        if fault == "no token":
            without = re.sub(rb"<NextContinuationToken>.*?</NextContinuationToken>", b"", answer.body)
            answer = Answer(answer.status, {**answer.headers, "Content-Length": str(len(without))}, without)
        pages.append(answer)
        return answer

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        read = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            read += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return read

    def _asked_behind(self, body: bytes) -> Answer:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        answer = self.pool.urlopen(
            self.command,
            self.faulty.behind.endpoint + self.path,
            body=body,
            headers={**headers, "Host": self.headers["Host"]},
            redirect=False,
            retries=False,
            decode_content=False,
        )
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
        size = answer.headers.get("Content-Length") if self.command == "HEAD" else None
        return Answer(answer.status, {**kept, "Content-Length": size or str(len(answer.data))}, answer.data)

    def _send(self, answer: Answer, upto: int | None = None) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[:upto])
        if upto is not None:
            self.close_connection = True

    def _say(self, status: int, code: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>said by the test</Message></Error>".encode()
        body = b"" if self.command == "HEAD" else text
        self._send(
            Answer(status, {"Content-Length": str(len(body)), "Content-Type": "application/xml"}, body)
        )

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _hang(self) -> None:
        self.faulty.letting_go.wait()
        self.close_connection = True

    def _close(self) -> None:
        self.close_connection = True

    def _web_page(self) -> None:
        body = b"<html><body>Welcome to the network of this hotel</body></html>"
        self._send(Answer(200, {"Content-Length": str(len(body)), "Content-Type": "text/html"}, body))


_INSTEAD: dict[str | None, Callable[[_Handler], None]] = {
    "500": lambda handler: handler._say(500, "InternalError"),
    "503": lambda handler: handler._say(503, "SlowDown"),
    "429": lambda handler: handler._say(429, "TooManyRequests"),
    "403": lambda handler: handler._say(403, "AccessDenied"),
    "closed": _Handler._close,
    "hangs": _Handler._hang,
    "reset": _Handler._reset,
    "web page": _Handler._web_page,
}
"""What is answered without asking the store behind."""
