"""The scratch world of one scenario: its copies, its servers, its store; made when it begins and gone when it ends."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec

from clew.buckets.confining import copied_folder
from clew.commands.doubles import led
from clew.core.program.model import Json, Program
from clew.core.program.variables import TemplateError, render
from clew.operations.requests import RequestError, check_request, unknown_buckets
from clew.ports import Answer, AttemptReport, AttemptRequest, Doubles, Executor, SecretSource, WorkItem
from clew.rehearsing.copying import Copies, copy_again
from clew.rehearsing.declared import Declared, Double, Server
from clew.rehearsing.looking import Looking
from clew.rehearsing.outside import in_scratch
from clew.settings import Settings

START_SECONDS_MAX = 20
"""A server that takes no connection by then will not; most do within a second."""

START_INTERVAL_SECONDS = 0.02

START_TRIES_MAX = 3
"""Between finding a free port and taking it another process may take it: twice in a row is bad luck enough."""

LOG_SHOWN_MAX = 2_000
"""Characters of a server's log that say why it did not start: the last ones."""

LOOPBACK = "127.0.0.1"

_SERVER_MILLISECONDS_MAX = 24 * 3_600_000
"""It is ended with its scenario, long before."""


@dataclass(frozen=True, kw_only=True)
class Groundwork:
    """What all scenarios of a rehearsal share. `copies_folder` holds the copies that are copied again for each."""

    program: Program
    settings: Settings
    """The real ones: what other runs have left is read from their store."""
    folder: str
    """Where the program's own code is found."""
    declared: Declared
    given: Mapping[str, Json]
    copies: Copies
    copies_folder: str
    recorded: Sequence[Double]
    secrets: Sequence[str]
    scenario_seconds: float
    keeps: bool
    """The scratch folders are left when a scenario is over."""

    @property
    def doubles(self) -> tuple[Double, ...]:
        """Those that are declared before those that were recorded."""
        return (*self.declared.doubles, *self.recorded)


@dataclass(frozen=True, kw_only=True)
class ScratchWorld:
    """The world of one scenario."""

    folder: str
    settings: Settings
    values: Mapping[str, Json]
    """The variables of the request, leading to doubles wherever they lead outside."""
    environment: Mapping[str, str]
    looking: Looking
    ground: Groundwork
    doubles: Doubles

    def doubled(self, request: AttemptRequest) -> AttemptRequest:
        """The request of an attempt, for this world: with those answers that are for its stage and its work, with
        this world's environment and secrets, and none of its own environment leading outside."""
        work = "validate" if request.work == "test" else request.work
        answers = answers_for(self.ground, request.stage, work)
        return msgspec.structs.replace(
            request,
            doubles=msgspec.structs.replace(self.doubles, answers=answers),
            environment={**self.environment, **self._led(request)},
            secrets=self.settings.secrets,
        )

    def _led(self, request: AttemptRequest) -> dict[str, str]:
        copied = partial(copied_folder, doubles=self.doubles)
        found = {}
        for name, text in request.environment.items():
            value = render(text, request.scope)
            led_to = led(value, self.doubles, request.folder, copied)
            found[name] = text if led_to == value else literally(str(led_to))
        return found


def answers_for(ground: Groundwork, name: str, work: str) -> tuple[Answer, ...]:
    """The answers for a stage's work: the declared ones before the recorded."""
    found = []
    for double in ground.doubles:
        if double.stage in ("", name) and double.work in ("", work):
            default = literally(f"what '{name}' did")
            leaves = double.leaves if double.leaves is not None else default if work == "execute" else ""
            takes = double.takes if double.takes is not None else default if work == "rollback" else ""
            found.append(Answer(double.command, double.gives, double.stdout, leaves, takes))
    return tuple(found)


@asynccontextmanager
async def open_scratch(ground: Groundwork, executor: Executor, folder: str) -> AsyncIterator[ScratchWorld]:
    """A fresh scratch world in that folder, which must not be there yet. Raises RequestError."""
    async with AsyncExitStack() as stack:
        if not ground.keeps:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        await asyncio.to_thread(copy_again, ground.copies_folder, folder)
        for name in ("home", "files", "servers", "secrets", "marks"):
            os.makedirs(os.path.join(folder, name))
        addresses: dict[str, str] = {}
        for name, server in ground.declared.servers.items():
            addresses[name] = await stack.enter_async_context(
                _running(ground, executor, name, server, folder)
            )
        yield _world(ground, folder, addresses)


def _world(ground: Groundwork, folder: str, addresses: Mapping[str, str]) -> ScratchWorld:
    declared, copies = ground.declared, ground.copies
    doubles = doubles_in(ground, folder, addresses)
    names = told_names(ground.folder, folder, addresses)
    buckets = {name: os.path.join(folder, place) for name, place in copies.buckets.items()}
    settings = Settings(
        store=os.path.join(folder, "clew.db"),
        logs=os.path.join(folder, "logs"),
        payloads=f"file:{folder}/payloads",
        sources=os.path.join(os.path.dirname(folder), "sources"),
        buckets={name: f"file:{quote(path)}" for name, path in buckets.items()},
        secrets=_secrets(ground, folder, names),
        unsafe_store=True,  # nothing of it outlives the rehearsal
    )
    return ScratchWorld(
        folder=folder,
        settings=settings,
        values=doubled_values(ground, doubles, names),
        environment={"HOME": os.path.join(folder, "home"), **_environment(declared, names)},
        looking=Looking(
            buckets={**buckets, "files": os.path.join(folder, "files")},
            databases={
                os.path.basename(place): os.path.join(folder, place) for place in copies.databases.values()
            },
            marks=doubles.marks,
            servers={name: (addresses[name], server.state) for name, server in declared.servers.items()},
            ignored=declared.ignore,
        ),
        ground=ground,
        doubles=doubles,
    )


# ---- what is told to whom --------------------------------------------------------------------------------


def doubles_in(ground: Groundwork, folder: str, addresses: Mapping[str, str]) -> Doubles:
    """What stands in for the outside in that folder."""
    servers = {address: address for address in addresses.values()}
    for name, server in ground.declared.servers.items():
        servers.update(dict.fromkeys(server.stands_for, addresses[name]))
    return Doubles(
        folder=folder,
        marks=os.path.join(folder, "marks"),
        folders={real: os.path.join(folder, place) for real, place in ground.copies.folders.items()},
        databases={real: os.path.join(folder, place) for real, place in ground.copies.databases.items()},
        servers=servers,
        as_is=ground.declared.as_is,
    )


def told_names(code: str, folder: str, addresses: Mapping[str, str]) -> dict[str, Json]:
    """What the texts of the rehearsal file may refer to."""
    return {
        "scratch": os.path.join(folder, "servers"),
        "files": os.path.join(folder, "files"),
        "folder": code,
        "python": sys.executable,
        **{name: {"address": address} for name, address in addresses.items()},
    }


def request_values(
    program: Program, declared: Declared, given: Mapping[str, Json], names: Mapping[str, Json]
) -> dict[str, Json]:
    """The variables of the request, before anything in them leads elsewhere. Raises RequestError."""
    said = {name: told(value, names, f"variables.{name}") for name, value in declared.variables.items()}
    return {**program.variables, **said, **given}


def doubled_values(ground: Groundwork, doubles: Doubles, names: Mapping[str, Json]) -> dict[str, Json]:
    """The variables of the request, leading to the doubles. Raises RequestError, Outside."""
    values = request_values(ground.program, ground.declared, ground.given, names)
    mentions = ground.declared.mentions
    doubled = {name: in_scratch(value, doubles, ground.folder, mentions) for name, value in values.items()}
    unknown = unknown_buckets(ground.program, ground.copies.buckets)
    return check_request(ground.program, doubled, unknown_buckets=unknown)


def _environment(declared: Declared, names: Mapping[str, Json]) -> dict[str, str]:
    return {
        name: literally(str(told(text, names, f"environment.{name}")))
        for name, text in declared.environment.items()
    }


def literally(text: str) -> str:
    """The template that stands for the text, whatever braces are in it."""
    return text.replace("{", "{{").replace("}", "}}")


def _secrets(ground: Groundwork, folder: str, names: Mapping[str, Json]) -> dict[str, SecretSource]:
    """Made-up values: the real ones have no business here."""
    found = {}
    for number, name in enumerate(ground.secrets):
        path = os.path.join(folder, "secrets", str(number))
        value = ground.declared.secrets.get(name, f"made-up-{name}")
        with open(path, "w", encoding="utf-8") as file:
            file.write(str(told(value, names, f"secrets.{name}")))
        found[name] = SecretSource("file", path)
    return found


def told(value: Json, names: Mapping[str, Json], what: str) -> Any:
    """A value of the rehearsal file with its references filled in. Raises RequestError."""
    try:
        return render(value, names)
    except TemplateError as error:
        raise RequestError(f"the rehearsal file, {what}: {error}") from error


# ---- servers ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def _running(
    ground: Groundwork, executor: Executor, name: str, server: Server, folder: str
) -> AsyncIterator[str]:
    """The server, started and taking connections; gives its address. It runs as an attempt does, so that it ends with
    all its descendants, and with this process too, however that ends. Raises RequestError when it does not start."""
    log = os.path.join(folder, "servers", f"{name}.log")
    for number in range(START_TRIES_MAX):
        port = _free_port()
        names = {**told_names(ground.folder, folder, {}), "port": port}
        words = [str(told(word, names, f"servers.{name}.start")) for word in server.start]
        ended: asyncio.Future[AttemptReport] = asyncio.get_running_loop().create_future()
        request = AttemptRequest(
            attempt_id=f"{folder}/{name}.{number}",
            work="execute",
            program=ground.program.name,
            run_id="",
            stage=name,
            attempt=number + 1,
            idempotency_key="",
            items=(WorkItem("shell", {"command": ["{words}"]}),),
            scope={"words": words},
            # Nothing of a server's is to be found beside the program, not even what Python compiles.
            environment={"HOME": os.path.join(folder, "home"), "PYTHONDONTWRITEBYTECODE": "1"},
            timeout_milliseconds=_SERVER_MILLISECONDS_MAX,
            folder=ground.folder,
            log=log,
        )
        executor.submit(request, ended.set_result)
        try:
            if await _takes_connections(port, ended):
                yield f"http://{LOOPBACK}:{port}"
                return
        finally:
            if not ended.done():
                executor.cancel(request.attempt_id)
            report = await ended
    raise RequestError(
        f"the server '{name}' did not start ({' '.join(server.start)}){_last_words(report, log)}"
    )


async def _takes_connections(port: int, ended: asyncio.Future[AttemptReport]) -> bool:
    """Wait until the port takes connections: false when the server has ended before, or will not start."""
    try:
        async with asyncio.timeout(START_SECONDS_MAX):
            while not ended.done():
                try:
                    _, writer = await asyncio.open_connection(LOOPBACK, port)
                except OSError:
                    await asyncio.sleep(START_INTERVAL_SECONDS)
                    continue
                writer.close()
                return not ended.done()
    except TimeoutError:
        pass
    return False


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((LOOPBACK, 0))
        return int(found.getsockname()[1])


def _last_words(report: AttemptReport, log: str) -> str:
    """How it ended, and what it said."""
    how = "" if report.error is None else f": {report.error.message}"
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            text = file.read()[-LOG_SHOWN_MAX:].strip()
    except OSError:
        text = ""
    return f"{how}; it said:\n{text}" if text else how
