"""The server beneath the application: one socket, one protocol, and an end to everything that can be slow."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import h11
import msgspec
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from clew.api.limits import Limits
from clew.api.problems import MEDIA_TYPE, Problem
from clew.settings import ApiSettings, SettingsError

LINGER_SECONDS = 5
"""How long what was refused is read all the same, so that whoever sends it reads the refusal."""

END_SECONDS = 5
"""How long calls may take that are under way when this process is to end."""

PORTS_TRIED = 20
"""Where nobody has said where to listen and the usual port is taken, the next ones are tried."""

BACKLOG = 128


class LimitedProtocol(H11Protocol):
    """HTTP/1.1 on one connection, by uvicorn; but a head that does not come, and a connection too many, are ended."""

    limits = Limits()
    headless: dict[LimitedProtocol, None]
    """Those from which the head of a call has not come yet, the one that waits longest first."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = None
        if len(self.connections) > self.limits.connections_max:
            # Whoever has said nothing for longest makes room, so that many who say nothing keep nobody out.
            longest = next(iter(self.headless), self)
            longest._refuse(Problem(503, "too-many-connections", "too many connections; try again"))
            if longest is self:
                return
        self.headless[self] = None
        self._end_after(self.limits.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self.headless.pop(self, None)
        self._end_never()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._timer is None and not self._is_answering:
            self._end_after(self.limits.header_seconds)  # the next head has begun
        super().data_received(data)
        if self._is_answering:
            self.headless.pop(self, None)
            self._end_never()

    @property
    def _is_answering(self) -> bool:
        cycle: Any = self.cycle  # None before the first
        return cycle is not None and not cycle.response_complete

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self.conn.their_state is h11.SEND_BODY:
            self._end_after(LINGER_SECONDS)
        elif self.cycle.response_complete:
            self.headless[self] = None
            self._end_never()

    def send_400_response(self, msg: str) -> None:
        self._refuse(
            Problem(
                400,
                "no-http",
                f"this is no HTTP, or its head takes more than {self.limits.header_size_max} bytes",
            )
        )

    def _refuse(self, problem: Problem) -> None:
        """Answer what can't be given to the application, and end the connection."""
        content = msgspec.json.encode(problem.document())
        head = (
            f"HTTP/1.1 {problem.status} {problem.document().title}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(content)}\r\nconnection: close\r\n\r\n"
        )
        self.headless.pop(self, None)
        self.connections.discard(self)
        self._end_never()
        self.transport.write(head.encode() + content)
        self.transport.close()

    def _end_after(self, seconds: float) -> None:
        self._end_never()
        self._timer = self.loop.call_later(seconds, self._end)

    def _end_never(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()


class Server(uvicorn.Server):
    """Ends when it is told to: signals are for the process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.has_started.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(
    application: object, bound: socket.socket, settings: ApiSettings, limits: Limits
) -> AsyncIterator[None]:
    """Answers calls at that socket within the block; at its end those that are under way come to theirs."""
    logging.getLogger("uvicorn.error").setLevel(
        logging.CRITICAL
    )  # what goes wrong is answered, or ours to log
    protocol = type("ClewProtocol", (LimitedProtocol,), {"limits": limits, "headless": {}})
    config = uvicorn.Config(
        application,  # type: ignore[arg-type]
        http=protocol, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
        proxy_headers=bool(settings.proxies), forwarded_allow_ips=list(settings.proxies) or None,
        timeout_keep_alive=int(limits.idle_seconds), timeout_graceful_shutdown=END_SECONDS, backlog=BACKLOG,
        h11_max_incomplete_event_size=limits.header_size_max,
        ssl_certfile=settings.certificate or None, ssl_keyfile=settings.certificate_key or None,
    )  # fmt: skip
    server = Server(config)
    started = asyncio.ensure_future(server.has_started.wait())
    task = asyncio.create_task(server.serve(sockets=[bound]), name="answer calls")
    try:
        await asyncio.wait([task, started], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        yield
    finally:
        started.cancel()
        server.should_exit = True
        await task


def bind(settings: ApiSettings) -> socket.socket:
    """The socket at which calls are answered. Raises SettingsError where it can't be had."""
    host, port = settings.address
    tries = PORTS_TRIED if settings.is_usual else 1
    for number in range(tries):
        try:
            return _bound(host, port + number)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or number == tries - 1:
                raise SettingsError(
                    f'api.listen: {settings.listen}: {error.strerror}; name another address, or listen = "off"'
                ) from error
    raise AssertionError("the last try has returned, or raised")


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # By its protocol asyncio knows that it may send without delay, and else every answer waits for 40 ms.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(BACKLOG)
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches that address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def see_certificate(settings: ApiSettings) -> None:
    """Raises SettingsError where its certificate, or the key, can't be used."""
    if settings.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(settings.certificate, settings.certificate_key or None)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"api.certificate: {settings.certificate}: can't be used: {error}") from error
