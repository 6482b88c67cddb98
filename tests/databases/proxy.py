"""Stands between a client and a PostgreSQL server, and cuts the connection at a message that a test names.

It knows the protocol as far as messages have a length: those by which a connection begins have no type, all others
begin with one. Nothing of it sleeps or guesses: what is to be forwarded has been, when the cut is made.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self


class CuttingProxy:
    """Forwards to a server on this machine. Without a plan it is as if it were not there.

    `cut_after`: the connection is cut when that many of the client's messages, from now on, have been forwarded; what
    the server answers from then on is not. `cut_replies`: everything is forwarded, the answer is waited for to its end,
    and the client sees nothing of it.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0
        self.messages = 0
        """Of clients, without those by which connections begin."""
        self._left: int | None = None
        self._stays_away = False
        self._swallows = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.close()
        self.cut_all()

    def cut_after(self, count: int, *, stays_away: bool = False) -> None:
        """See the class. `stays_away`: so is every connection that is made afterwards, at its first message."""
        with self._lock:
            self._left, self._stays_away = count, stays_away

    def cut_replies(self) -> None:
        """The server's next answer is not passed on; the connection is cut when it has come."""
        with self._lock:
            self._swallows = True

    def forward(self) -> None:
        """There is no plan any more."""
        with self._lock:
            self._left, self._swallows = None, False

    def cut_all(self) -> None:
        """Every connection is cut now."""
        for one in list(self._open):
            _close(one)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port), 5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open |= {client, server}
            for work in (self._from_client, self._from_server):
                threading.Thread(target=work, args=(client, server), daemon=True).start()

    def _from_client(self, client: socket.socket, server: socket.socket) -> None:
        has_kind = False
        with suppress(OSError):
            while (message := _message(client, has_kind=has_kind)) is not None:
                if has_kind and self._is_cut(before=True):
                    break
                server.sendall(message)
                if has_kind and self._is_cut(before=False):
                    break
                # Those that ask whether the connection may be encrypted come before the one by which it begins.
                has_kind = has_kind or message[4:8] not in _ASKS
        # What the server makes of the messages that it has is its business: it sees no more than the end of them.
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)
        _close(client)

    def _is_cut(self, *, before: bool) -> bool:
        """Whether the connection is to be cut before, or after, a message is forwarded."""
        with self._lock:
            if not before:
                self.messages += 1
                if self._left is not None:
                    self._left -= 1
            if self._left != 0:
                return False
            self._left = 0 if self._stays_away else None
            self.cuts += 1
            return True

    def _from_server(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                with self._lock:
                    swallows = self._swallows and _is_over(data)
                    if swallows:
                        self._swallows = False
                        self.cuts += 1
                    elif self._swallows:
                        continue
                if swallows:
                    break
                client.sendall(data)
        self._forget(client, server)

    def _forget(self, *pair: socket.socket) -> None:
        for one in pair:
            _close(one)
            self._open.discard(one)


_ASKS = ((80877103).to_bytes(4, "big"), (80877104).to_bytes(4, "big"))


def _is_over(data: bytes) -> bool:
    """The server has said that it is ready for what comes next."""
    return len(data) >= 6 and data[-6:-1] == b"Z\x00\x00\x00\x05"


def _message(client: socket.socket, *, has_kind: bool) -> bytes | None:
    """The next message whole; None at the end."""
    head = _exactly(client, 5 if has_kind else 4)
    if head is None:
        return None
    body = _exactly(client, int.from_bytes(head[-4:], "big") - 4)
    return None if body is None else head + body


def _exactly(client: socket.socket, size: int) -> bytes | None:
    got = b""
    while len(got) < size:
        part = client.recv(size - len(got))
        if not part:
            return None
        got += part
    return got


def _close(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
