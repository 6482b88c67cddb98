"""Local attempts end with the lease of their orchestrator, even where that can't do anything about it."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import msgspec
import psutil
import pytest
from tests.executors.attempts import Signal, local, runs, stages, submit

from clew.core.running.packets import PACKET_SIZE_MAX, READY, WHOLE, Joiner, packets_of
from clew.executors.attempts_lease import AttemptsLease, boot_nanoseconds
from clew.executors.spawning import AttemptProcess
from clew.ports import AttemptReport

ROOT = Path(__file__).parents[2]

LEASE_SECONDS = (1, 4, 16)
"""A lease may be over before the attempt has begun, when the machine is busy: then a longer one is tried."""
LONG_SECONDS = 3600

STAGES = """
import os, signal, time

def write_on(told, path):
    # A worker and its daemon, in a session of its own, both deaf, both writing a line every few milliseconds.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            write_lines(told, path)
        os._exit(0)
    os.wait()
    write_lines(told, path)

def write_lines(told, path):
    lines = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(lines, b"a line\\n")
    teller = os.open(told, os.O_WRONLY)
    os.write(teller, b"%10d" % os.getpid())
    while True:
        os.write(lines, b"a line\\n")
        time.sleep(0.005)
"""

ORCHESTRATOR = """
import asyncio, json, os, sys, threading
from pathlib import Path
from tests.executors.attempts import calls, local, submit
from clew.executors.attempts_lease import AttemptsLease, boot_nanoseconds

async def main(folder, told, seconds, forks):
    lease = AttemptsLease()

    def renew():
        lease.ends_at(boot_nanoseconds() + seconds * 10**9)

    def keep():
        while not is_over.wait(seconds / 20):
            renew()

    is_over = threading.Event()
    renew()
    async with local(folder, forks=forks, lease=lease) as executor:
        executor.start()  # now, since a process that has threads does not fork
        threading.Thread(target=keep).start()
        scope = {"told": told, "path": str(folder / "lines")}
        report = await submit(executor, calls(folder, "write_on", scope=scope))
        with open(told, "wb", 0) as teller:
            teller.write(b"     ended" * 2)
        print(json.dumps([report.outcome, report.error.kind, report.error.message]), flush=True)
        sys.stdin.readline()
    is_over.set()

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "forks"))
"""

Orchestrator = subprocess.Popen[str]


@contextmanager
def orchestrator_in(folder: Path, told: Signal, seconds: int, how: str) -> Iterator[Orchestrator]:
    """One that keeps a lease of that length and has one attempt, says what came of it, and waits for a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", ORCHESTRATOR, str(folder), str(told.path), str(seconds), how],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def processes_above(orchestrator: Orchestrator) -> list[int]:
    """The guardian and the supervisor, if they are there."""
    with suppress(psutil.Error):
        for guardian in psutil.Process(orchestrator.pid).children():
            return [guardian.pid, *(supervisor.pid for supervisor in guardian.children())]
    return []


def stop(process: Orchestrator) -> None:
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)


def wait_for_ends(processes: Iterable[int]) -> None:
    """Until all of these have ended; they may be gone by now."""
    for process in processes:
        with suppress(ProcessLookupError):
            handle = os.pidfd_open(process)
            select.select([handle], [], [])
            os.close(handle)


def moment_in(seconds: int) -> int:
    return boot_nanoseconds() + seconds * 10**9


def holding(folder: Path, name: str) -> tuple[Signal, int, list[str]]:
    """A program that says that it has begun and waits for a line: how it says so, where to write, what to run."""
    begun, line = Signal(folder, f"{name}-begun"), folder / f"{name}-line"
    os.mkfifo(line)
    return (
        begun,
        os.open(line, os.O_RDWR),
        ["sh", "-c", 'printf b >"$0"; read _ <"$1"', str(begun.path), str(line)],
    )


async def has_begun(begun: Signal, ended: asyncio.Future[AttemptReport]) -> bool:
    """Whether the program said so before the attempt ended."""
    writer = os.open(begun.path, os.O_WRONLY)
    ended.add_done_callback(lambda _: os.write(writer, b"e"))
    return await asyncio.to_thread(begun.wait_for) == b"b"


def with_a_lease_long_enough(is_shown: Callable[[int], bool]) -> None:
    assert any(is_shown(seconds) for seconds in LEASE_SECONDS)


# ---- an orchestrator that is stopped -----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["forks", "starts"])
@pytest.mark.parametrize("stopped", ["orchestrator", "supervisor too"])
def test_attempts_end_with_the_lease_of_a_stopped_orchestrator(
    tmp_path: Path, how: str, stopped: str
) -> None:
    """While an orchestrator is stopped its lease runs out, and every process of its attempts is dead, even if the
    supervisor is stopped too; when it goes on it is told that they were interrupted."""

    def is_shown(seconds: int) -> bool:
        folder = tmp_path / str(seconds)
        folder.mkdir()
        stages(folder, STAGES)
        told = Signal(folder, "told")
        with orchestrator_in(folder, told, seconds, how) as orchestrator:
            assert orchestrator.stdin is not None and orchestrator.stdout is not None
            said = told.wait_for(20).split()
            above = processes_above(orchestrator)
            if b"ended" in said or len(above) < 2:
                return False
            if stopped == "supervisor too":
                with suppress(ProcessLookupError):
                    os.kill(above[1], signal.SIGSTOP)
            stop(orchestrator)
            wait_for_ends([*map(int, said), *above])
            lines = (folder / "lines").read_bytes()
            orchestrator.send_signal(signal.SIGCONT)
            outcome, kind, message = json.loads(orchestrator.stdout.readline())
            assert (outcome, kind) == ("unknown", "interrupted") and "lease" in message
            orchestrator.stdin.write("\n")
            orchestrator.stdin.flush()
            assert orchestrator.wait() == 0
            assert (folder / "lines").read_bytes() == lines
        return True

    with_a_lease_long_enough(is_shown)


# ---- an orchestrator that can't renew its lease ------------------------------------------------------------


def test_attempts_end_with_a_lease_that_is_not_renewed(tmp_path: Path) -> None:
    """What runs when the lease is over is interrupted, what waits for its turn does not begin, and both say why;
    when the lease has been renewed, attempts begin again."""

    async def run(seconds: int) -> bool:
        begun, _, command = holding(tmp_path, f"for-{seconds}")
        never = tmp_path / "never"
        with closing(AttemptsLease()) as lease:
            lease.ends_at(moment_in(seconds))
            async with local(tmp_path, workers_max=1, lease=lease) as executor:
                held = submit(executor, runs(tmp_path, *command))
                waiting = submit(executor, runs(tmp_path, "touch", str(never)))
                if not await has_begun(begun, held):
                    return False
                interrupted, not_begun = await held, await waiting
                assert interrupted.outcome == "unknown" and interrupted.error is not None
                assert interrupted.error.kind == "interrupted" and "lease" in interrupted.error.message
                assert not_begun.outcome == "not_begun" and not_begun.error is not None
                assert not_begun.error.kind == "lease" and not never.exists()
                lease.ends_at(moment_in(LONG_SECONDS))
                assert (await submit(executor, runs(tmp_path, "true"))).outcome == "completed"
        return True

    with_a_lease_long_enough(lambda seconds: asyncio.run(run(seconds)))


def test_attempts_go_on_while_the_lease_is_renewed(tmp_path: Path) -> None:
    """When the moment comes at which it would have been over, nothing ends, and attempts begin as before."""

    async def run(seconds: int) -> bool:
        begun, line, command = holding(tmp_path, f"for-{seconds}")
        with closing(AttemptsLease()) as lease:
            would_be_over = moment_in(seconds)
            lease.ends_at(would_be_over)
            async with local(tmp_path, lease=lease) as executor:
                held = submit(executor, runs(tmp_path, *command))
                if not await has_begun(begun, held):
                    return False
                lease.ends_at(moment_in(LONG_SECONDS))
                if boot_nanoseconds() >= would_be_over:
                    return False
                others_after = 0
                while others_after < 10:
                    others_after += boot_nanoseconds() > would_be_over
                    assert (await submit(executor, runs(tmp_path, "true"))).outcome == "completed"
                os.write(line, b"\n")
                assert (await held).outcome == "completed"
        return True

    with_a_lease_long_enough(lambda seconds: asyncio.run(run(seconds)))


# ---- what has not begun ------------------------------------------------------------------------------------


def test_nothing_begins_without_a_lease(tmp_path: Path) -> None:
    """Before the first renewal, and when it is over, an attempt is not begun, and says why; it begins when the lease
    is renewed."""

    async def run() -> None:
        with closing(AttemptsLease()) as lease:
            async with local(tmp_path, lease=lease) as executor:
                for ends_at in (None, boot_nanoseconds()):
                    if ends_at is not None:
                        lease.ends_at(ends_at)
                    report = await submit(executor, runs(tmp_path, "true"))
                    assert report.outcome == "not_begun"
                    assert report.error is not None and report.error.kind == "lease"
                    lease.ends_at(moment_in(LONG_SECONDS))
                    assert (await submit(executor, runs(tmp_path, "true"))).outcome == "completed"

    asyncio.run(run())


def waits_for_a_moment(process: int) -> bool:
    """Whether a timer of that process is armed, by the kernel's word."""
    told = [path.read_text() for path in Path(f"/proc/{process}/fdinfo").iterdir()]
    armed = [line for text in told for line in text.splitlines() if line.startswith("it_value:")]
    return any(line.split(":")[1].strip() != "(0, 0)" for line in armed)


def test_what_was_ordered_in_time_asks_again_before_it_begins(tmp_path: Path) -> None:
    """An order that reaches the supervisor when the lease is over begins nothing, and leaves nothing."""
    with closing(AttemptsLease()) as lease:
        lease.ends_at(moment_in(LONG_SECONDS))
        others = set(psutil.Process().children())
        process = AttemptProcess(None, str(tmp_path), lease=lease.memory, forks=False)
        process.socket.setblocking(True)
        assert process.socket.recv(PACKET_SIZE_MAX)[:1] == READY
        (work,) = tmp_path.iterdir()
        (guardian,) = set(psutil.Process().children()) - others
        (supervisor,) = guardian.children()
        held = supervisor.num_fds()
        while not waits_for_a_moment(guardian.pid):
            pass  # it is about to, and then looks again in an hour
        lease.ends_at(boot_nanoseconds())
        for _ in range(3):
            one = runs(tmp_path, "touch", str(tmp_path / "never"), log=str(tmp_path / "log"))
            for message in packets_of(7, msgspec.json.encode(one)):
                process.socket.send(message)
            answer = Joiner().take(process.socket.recv(PACKET_SIZE_MAX))
            assert answer is not None and answer[:2] == (WHOLE, 7)
            report = msgspec.json.decode(answer[2], type=AttemptReport)
            assert report.outcome == "not_begun"
            assert report.error is not None and report.error.kind == "lease"
            assert list(work.iterdir()) == [] and supervisor.num_fds() == held
        process.dismiss()
        assert process.socket.recv(PACKET_SIZE_MAX) == b""
        process.release()
        assert not (tmp_path / "never").exists() and not work.exists()
