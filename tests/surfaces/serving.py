"""`clew up` as a process of its own, and its API called over HTTP."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import urllib3
from tests.surfaces.calling import Person, until_said

USUAL = 'programs = ["programs"]\n[api]\nlisten = "127.0.0.1:0"\n'
FAST = "[api.limits]\ncalls_a_second = 1e6\ncalls_burst = 1000000\n"
"""For tests that call as fast as they can."""


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.content)


class Host(Person):
    """Somebody whose `clew up` is called."""

    def __init__(self, folder: Path, *, settings: str = FAST) -> None:
        super().__init__(folder)
        (folder / "programs").mkdir(exist_ok=True)
        self.write("clew.toml", USUAL + settings)
        self.address = ""
        self.process: subprocess.Popen[str] | None = None
        self._said: list[str] = []
        self._listener: threading.Thread | None = None
        self.streams: list[Any] = []
        """What is still read when the server ends."""
        self.pool = urllib3.PoolManager(maxsize=120, retries=False, timeout=30)

    def program(self, name: str, text: str) -> None:
        self.write(f"programs/{name}.yaml", text)

    def start(self) -> None:
        """Begin `clew up`, and wait until its programs are live."""
        self.process = self.begin("up")
        said = until_said(self.process, "live; Ctrl-C ends this")
        self.address = next(
            line.partition("API at ")[2].removesuffix("/api/v1")
            for line in said.splitlines()
            if "API at " in line
        )
        self._listen()

    def _listen(self) -> None:
        """Read on what it says: nobody else does, and it would wait."""
        assert self.process is not None and self.process.stderr is not None
        self._said = []
        self._listener = threading.Thread(target=self._said.extend, args=(self.process.stderr,), daemon=True)
        self._listener.start()

    def stop(self) -> str:
        """End it, with grace; all else that it said."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.end_of_it()

    def end_of_it(self) -> str:
        """Wait until it has ended, well; all else that it said."""
        assert self.process is not None
        try:
            self.process.wait(timeout=30)
        finally:
            self._close()
        assert self.process.returncode == 0, self._said
        return "".join(self._said)

    def kill(self) -> None:
        """End it as the power does."""
        assert self.process is not None
        self._close()

    def _close(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        if self._listener is not None:
            self._listener.join()
            self._listener = None
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Call it; `body` as JSON, where there is one."""
        said = dict(headers or {})
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            said.setdefault("content-type", "application/json")
        if token:
            said["authorization"] = f"Bearer {token}"
        reply = self.pool.request(method, self.address + path, body=content, headers=said)
        return Reply(reply.status, reply.headers, reply.data)

    def request_run(self, program: str, wait: float = 30, **more: Any) -> Any:
        """Ask for a run, and wait for its rest."""
        reply = self.call("POST", f"/api/v1/programs/{program}/runs", {"wait": wait, **more})
        assert reply.status == 201, reply.content
        return reply.document

    def token(self, role: str, *, lifetime: str = "1 day") -> str:
        return self.clew("token", "make", f"a {role}", "--role", role, "--for", lifetime).out.strip()

    @property
    def port(self) -> int:
        found = urlsplit(self.address).port
        assert found is not None
        return found


@contextmanager
def serving(host: Host) -> Iterator[Host]:
    """`clew up` within the block."""
    try:
        host.start()
        yield host
    finally:
        if host.process is not None and host.process.poll() is None:
            host.stop()
        elif host.process is not None:
            host.kill()
        for stream in host.streams:
            stream.close()
        host.pool.clear()
