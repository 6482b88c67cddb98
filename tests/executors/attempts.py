"""What the executor tests share: requests, a local executor on an event loop, and signals to wait for."""

from __future__ import annotations

import asyncio
import os
import textwrap
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from clew.executors.attempts_lease import AttemptsLease
from clew.executors.local import LocalExecutor
from clew.orchestrator.real_world import LoopTasks
from clew.ports import AttemptReport, AttemptRequest, Executor, OutputItem, WorkItem

NUMBERS = count(1)


def stages(folder: Path, source: str) -> None:
    """The module `stages` that requests of that folder take their functions from."""
    (folder / "stages.py").write_text(textwrap.dedent(source))


def calls(folder: Path, function: str, **more: Any) -> AttemptRequest:
    """A request that calls `stages:function`."""
    return request(folder, [WorkItem("python", {"function": f"stages:{function}"})], **more)


def runs(folder: Path, *command: str, **more: Any) -> AttemptRequest:
    """A request that runs a program with its arguments."""
    return request(folder, [WorkItem("shell", {"command": list(command)})], **more)


def request(
    folder: Path,
    items: Sequence[WorkItem],
    *,
    outputs: Sequence[str] | Mapping[str, str | None] = (),
    scope: Mapping[str, Any] | None = None,
    timeout: float = 30,
    work: str = "execute",
    **more: Any,
) -> AttemptRequest:
    sources = outputs if isinstance(outputs, Mapping) else dict.fromkeys(outputs)
    return AttemptRequest(
        attempt_id=f"attempt-{next(NUMBERS)}",
        work=work,
        program="trip",
        run_id="run-1",
        stage="flight",
        attempt=2,
        idempotency_key="ck1_abc",
        items=tuple(items),
        scope=scope or {},
        inputs=tuple(scope or ()),
        outputs=tuple(OutputItem(name, source) for name, source in sources.items()),
        timeout_milliseconds=round(timeout * 1000),
        folder=str(folder),
        **more,
    )


@asynccontextmanager
async def local(
    folder: Path, *, workers_max: int = 8, forks: bool = False, lease: AttemptsLease | None = None
) -> AsyncIterator[LocalExecutor]:
    """A local executor whose lock and work folders are in the folder; closed at the end, and left nothing."""
    tasks = LoopTasks(asyncio.get_running_loop())
    executor = LocalExecutor(
        tasks, lock_path=str(folder / "attempts"), workers_max=workers_max, forks=forks, lease=lease
    )
    try:
        yield executor
    finally:
        await executor.close()
    if tasks.failed.done():
        tasks.failed.result()
    assert not (folder / "attempts.work").exists() or not any((folder / "attempts.work").iterdir())


def submit(executor: Executor, one: AttemptRequest) -> asyncio.Future[AttemptReport]:
    """Its report, when it has ended. A second end of the same attempt is an error in the loop."""
    future: asyncio.Future[AttemptReport] = asyncio.get_running_loop().create_future()
    executor.submit(one, future.set_result)
    return future


def report_of(folder: Path, one: AttemptRequest) -> AttemptReport:
    """What comes of a single attempt."""

    async def run() -> AttemptReport:
        async with local(folder) as executor:
            return await submit(executor, one)

    return asyncio.run(run())


class Signal:
    """A named pipe: who has it open for writing is alive, and what is written there has been reached."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / name
        os.mkfifo(self.path)
        self._reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(self._reader, True)
        # One of our own, so that there is somebody to wait for before the first writer comes.
        self._writer: int | None = os.open(self.path, os.O_WRONLY)

    def wait_for(self, size: int = 1) -> bytes:
        """The next bytes written; blocks until they are."""
        content = b""
        while len(content) < size:
            content += os.read(self._reader, size - len(content))
        return content

    def wait_until_writers_ended(self) -> bytes:
        """What was written until the last writer closed it or died; blocks until then."""
        if self._writer is not None:
            os.close(self._writer)
            self._writer = None
        content = b""
        while piece := os.read(self._reader, 4096):
            content += piece
        os.close(self._reader)
        return content
