"""Restate: a server, a service under granian, and this client. `python restate_peer.py server W1`."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import aiohttp
from measuring import fresh_store, kill_tree, measure, until

PORT = 28000
INGRESS, ADMIN, APP, NODE = (f"127.0.0.1:{PORT + more}" for more in (80, 70, 90, 22))


class RestatePeer:
    in_flight = 200

    def __init__(self, store):
        folder = Path(fresh_store(store))
        settings = {
            "DISABLE_TELEMETRY": "true", "BASE_DIR": str(folder), "NODE_NAME": "n1", "CLUSTER_NAME": "peer",
            "INGRESS__BIND_ADDRESS": INGRESS, "ADMIN__BIND_ADDRESS": ADMIN, "BIND_ADDRESS": NODE,
            "ADVERTISED_ADDRESS": f"http://{NODE}",
        }  # fmt: skip
        environment = {**os.environ, **{f"RESTATE_{name}": value for name, value in settings.items()}}
        log = open(folder / "log", "a")  # noqa: SIM115 - the servers write it as long as they live
        server = [os.environ["RESTATE_SERVER"], "--no-logo", "--listen-mode", "tcp"]
        host, port = APP.split(":")
        app = [
            sys.executable,
            "-m",
            "granian",
            "--interface",
            "asgi",
            "--http",
            "2",
            "--host",
            host,
            "--port",
            port,
        ]
        app += ["--workers", "1", "--log-level", "error", "restate_app:app"]
        self.servers = [
            subprocess.Popen(words, env=environment, stdout=log, stderr=log, cwd=Path(__file__).parent)
            for words in (server, app)
        ]
        until(lambda: call(f"{ADMIN}/health"), 60)
        until(lambda: call(f"{ADMIN}/deployments", {"uri": f"http://{APP}", "force": True}), 60)
        until(lambda: call(f"{INGRESS}/peer/first", 1), 60)
        if any(each.poll() is not None for each in self.servers):
            raise RuntimeError(f"a server ended at once, another may hold its port: see {folder}/log")

    def batch(self, workload, runs, in_flight):
        asyncio.run(self._batch(workload, runs, in_flight))

    async def _batch(self, workload, runs, in_flight):
        free = asyncio.Semaphore(in_flight)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight)) as client:

            async def one():
                async with free, client.post(f"http://{INGRESS}/peer/{workload}", json=1) as answer:
                    assert answer.status == 200, await answer.text()
                    await answer.read()

            await asyncio.gather(*(one() for _ in range(runs)))

    def first(self):
        call(f"{INGRESS}/peer/first", 1)
        self.end()

    def end(self):
        for each in self.servers:
            kill_tree(each)

    def long(self):
        raise RuntimeError("Restate's resumption is not measured here")

    def processes(self):
        return [each.pid for each in self.servers]


def call(address, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{address}", data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()
    return True


if __name__ == "__main__":
    measure(RestatePeer, sys.argv[1], sys.argv[2], __file__)
