"""`python -m tests.crash.fork_server [MODULE...]`: a process that has clew imported, and forks it to do as it is told.

A request is one line of JSON on standard input, its answer one on standard output. What a child does with
clew is what `python -m clew` does; what it need not do is to start Python and to import everything, which at
hundreds of kill points would take minutes. Some points are swept without it: see `test_fresh_processes.py`.

The server is a subreaper: whatever a killed child leaves behind becomes the server's, which thereby knows
whether anything is left.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import select
import signal
import sys
import time
from importlib import import_module
from pathlib import Path

import msgspec
from tests.crash.faults import Fault

ROOT = Path(__file__).parents[2]

PREPARED = (
    "apsw", "asyncio", "click", "encodings.utf_16_be", "pwd", "shutil",
    "tomllib", "traceback", "unicodedata", "yaml",
    "clew.attempt.guardian", "clew.attempt.supervisor", "clew.attempt.worker", "clew.authoring.files",
    "clew.authoring.references", "clew.authoring.yaml_texts", "clew.buckets.file", "clew.buckets.keeping",
    "clew.buckets.searching", "clew.cli.main", "clew.cli.resuming", "clew.cli.running", "clew.cli.telling",
    "clew.commands.files", "clew.commands.python", "clew.commands.restoring", "clew.commands.shell",
    "clew.conditions.python", "clew.conditions.testing", "clew.core.program.parse", "clew.driving", "clew.embedded",
    "clew.executors.code_digest", "clew.executors.inline", "clew.executors.local", "clew.wiring.orchestrators",
    "outside", "tests.crash.planted_bugs", "tests.crash.quirks", "tests.crash.victim",
)  # fmt: skip
"""What the children would import, and the workers of their attempts; but not what few need and all would pay
for: the price of a fork is that of its memory."""

CHILD_SECONDS_MAX = 30
"""The longest verb of a sweep takes under a second; one that takes this long waits for what will not come."""
REMAINS_SECONDS_MAX = 10
"""What a killed orchestrator leaves is killed within milliseconds."""


class Request(msgspec.Struct, frozen=True):
    """`words`: of the command line. `role`: what the child's files begin with, where there is more than one at a time.
    `is_fresh`: by a new Python, where nothing is watched or struck. `is_begun`: not to be waited for; the answer names
    it. `ends`: no child, but to wait for the one of that name. `remains`: no child, but to wait until nothing is left,
    and to say what is."""

    words: tuple[str, ...] = ()
    folder: str = ""
    fault: Fault | None = None
    bug: str = ""
    quirk: str = ""
    role: str = ""
    is_fresh: bool = False
    is_begun: bool = False
    ends: int = 0
    remains: bool = False


class Answer(msgspec.Struct, frozen=True):
    """`status`: as of `os.waitstatus_to_exitcode`. `process`: of what was begun. `left`: what would not end."""

    status: int = 0
    process: int = 0
    left: tuple[str, ...] = ()


CODE_FOLDERS = (ROOT / "tests/crash/programs", ROOT / "examples/trip")
"""Where the swept programs have their code."""


def serve() -> None:
    sys.path += map(str, CODE_FOLDERS)
    for name in (*PREPARED, *sys.argv[1:]):
        import_module(name)
    from clew.attempt.processes import adopt_orphans

    adopt_orphans()
    gc.collect()
    gc.freeze()
    for line in sys.stdin.buffer:
        request = msgspec.json.decode(line, type=Request)
        sys.stdout.buffer.write(msgspec.json.encode(_answer(request)) + b"\n")
        sys.stdout.buffer.flush()


def _answer(request: Request) -> Answer:
    if request.remains:
        return Answer(left=_remains())
    if request.ends:
        return Answer(_end(request.ends))
    child = os.fork()
    if child == 0:
        _be_the_child(request)
    return Answer(process=child) if request.is_begun else Answer(_end(child))


def _end(child: int) -> int:
    handle = os.pidfd_open(child)
    look = select.poll()
    look.register(handle, select.POLLIN)
    if not look.poll(CHILD_SECONDS_MAX * 1000):
        os.kill(child, signal.SIGABRT)  # faulthandler says where it was
    os.close(handle)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _be_the_child(request: Request) -> None:
    status = 70
    try:
        os.chdir(request.folder)
        _redirect(0, os.devnull, os.O_RDONLY)
        _redirect(1, "stdout", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        _redirect(2, "stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        faulthandler.enable(all_threads=True)
        Path("orchestrator").write_text(str(os.getpid()))
        if request.is_fresh:
            os.execv(sys.executable, [sys.executable, "-m", "clew", *request.words])
        from tests.crash.victim import be_victim

        status = be_victim(request)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _redirect(descriptor: int, path: str, flags: int) -> None:
    file = os.open(path, flags, 0o600)
    os.dup2(file, descriptor)
    os.close(file)


def _remains() -> tuple[str, ...]:
    """Wait for all that was left to us, each bounded; what still lives then, by its command line."""
    end = time.monotonic() + REMAINS_SECONDS_MAX
    look = select.poll()
    while True:
        try:
            ended = os.waitpid(-1, os.WNOHANG)[0]
        except ChildProcessError:
            return ()
        if not ended:
            break
    from clew.attempt.processes import children_of

    left = []
    for process in children_of(os.getpid()):
        handle = os.pidfd_open(process)
        look.register(handle, select.POLLIN)
        if not look.poll(max(0.0, (end - time.monotonic()) * 1000)):
            left.append(Path(f"/proc/{process}/cmdline").read_text().replace("\0", " "))
            os.kill(process, signal.SIGKILL)
        look.unregister(handle)
        os.close(handle)
        os.waitpid(process, 0)
    return tuple(left) if left else _remains()


if __name__ == "__main__":
    serve()
