"""The processes of attempts that begin as a fork of the orchestrator keep nothing of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ORCHESTRATOR = """
import asyncio, atexit, json, os, signal, sys
from pathlib import Path
import psutil
from tests.executors.attempts import calls, local, stages, submit
from clew.executors.attempts_lease import AttemptsLease, boot_nanoseconds

STAGES = '''
import asyncio, os, signal, sys

async def look():
    with open("/proc/self/status") as file:
        status = {line.split(":")[0]: line.split(":")[1].strip() for line in file}
    return {
        "descriptors": [one for one in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + one)],
        "blocked": status["SigBlk"],
        "is_default": signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL,
        "environment": "PRIVATE" in os.environ,
        "arguments": sys.argv[0],
    }
'''

def say_goodbye():
    print("goodbye")

async def main(folder):
    stages(folder, STAGES)
    lease = AttemptsLease()
    lease.ends_at(boot_nanoseconds() + 3600 * 10**9)
    async with local(folder, forks=True, lease=lease) as executor:
        report = await submit(executor, calls(folder, "look"))
        (guardian,) = psutil.Process().children()
        print(json.dumps([report.outcome, report.result, guardian.cmdline() == psutil.Process().cmdline()]))

folder = Path(sys.argv[1])
atexit.register(say_goodbye)
signal.signal(signal.SIGUSR1, lambda number, frame: None)
kept_open = open(folder / "open", "w")
kept_open.write("unwritten ")
os.environ["PRIVATE"] = "1"
sys.stdout.write("unflushed ")
asyncio.run(main(folder))
"""


def test_a_fork_keeps_nothing_of_the_orchestrator(tmp_path: Path) -> None:
    """Buffers are written once, exit handlers run once, and the worker has neither descriptors nor handlers."""
    done = subprocess.run(
        [sys.executable, "-c", ORCHESTRATOR, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout.count("unflushed") == done.stdout.count("goodbye") == 1, done.stdout
    assert (tmp_path / "open").read_text() == "unwritten "
    outcome, seen, is_fork = json.loads(done.stdout.removeprefix("unflushed ").splitlines()[0])
    assert outcome == "completed" and is_fork
    assert seen == {
        # Beside the standard ones its result, and what its event loop has opened: a selector and two sockets.
        "descriptors": ["0", "1", "2", "3", "4", "5", "6"],
        "blocked": "0000000000000000",
        "is_default": True,
        "environment": False,
        "arguments": "clew.attempt",
    }
