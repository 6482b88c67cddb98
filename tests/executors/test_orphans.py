"""When an orchestrator dies, whatever it had started dies too, and its lock says when that has happened."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.executors.attempts import Signal, local, runs, submit

from clew.executors.attempts_lock import AttemptsRemain, take_lock, wait_until_attempts_ended

ORCHESTRATOR = """
import asyncio, sys
from pathlib import Path
from tests.executors.attempts import calls, local, stages, submit

STAGES = '''
import os, signal, time

def stay(path):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    file = os.open(path, os.O_WRONLY)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(file, b"d")
            while True:
                time.sleep(1000)
        os._exit(0)
    os.wait()
    os.write(file, b"w")
    while True:
        time.sleep(1000)
'''

async def main(folder):
    stages(folder, STAGES)
    async with local(folder) as executor:
        scope = {"path": str(folder / "alive")}
        await asyncio.gather(*(submit(executor, calls(folder, "stay", scope=scope)) for _ in range(9)))

asyncio.run(main(Path(sys.argv[1])))
"""

ROOT = Path(__file__).parents[2]


def start_orchestrator(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", ORCHESTRATOR, str(folder)], cwd=ROOT)


def test_a_killed_orchestrator_leaves_no_process_and_no_lock(tmp_path: Path) -> None:
    """After kill -9 of the orchestrator its attempts are killed, daemons included, before the lock is free;
    then another orchestrator runs at once."""
    alive = Signal(tmp_path, "alive")
    with start_orchestrator(tmp_path) as orchestrator:
        alive.wait_for(2)
        assert not wait_until_attempts_ended(str(tmp_path / "attempts"), 0.01)
        with pytest.raises(AttemptsRemain):
            take_lock(str(tmp_path / "attempts"))
        orchestrator.send_signal(signal.SIGKILL)
    assert wait_until_attempts_ended(str(tmp_path / "attempts"), 20)
    os.set_blocking(alive._reader, False)
    alive.wait_until_writers_ended()  # would raise BlockingIOError if anybody were left

    async def run() -> None:
        async with local(tmp_path) as executor:
            assert (await submit(executor, runs(tmp_path, "true"))).outcome == "completed"

    asyncio.run(run())


def test_a_lock_that_was_never_taken_is_free(tmp_path: Path) -> None:
    """Without its file there were no attempts; a free lock is seen at once and left free."""
    path = str(tmp_path / "attempts")
    assert wait_until_attempts_ended(path, 0)
    os.close(take_lock(path))
    assert wait_until_attempts_ended(path, 0)
    os.close(take_lock(path))
