"""Code that misbehaves harms its own attempt only: the report is honest, and the next attempt runs as ever."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import psutil
import pytest
from tests.executors.attempts import Signal, calls, local, report_of, runs, stages, submit

from clew.ports import AttemptReport, AttemptRequest, SecretSource

STAGES = """
import atexit, os, signal, subprocess, sys, threading, time

def remove_work_folder():
    os.rmdir(os.getcwd())

def lock_work_folder():
    os.makedirs("deep/deeper")
    open("deep/deeper/file", "w").close()
    os.symlink("/", "deep/link")
    os.chmod("deep/deeper", 0)
    os.chmod("deep", 0)

def close_everything():
    os.closerange(0, 100)

def give_without_end():
    while True:
        os.write(3, b"x" * 65536)

def give_nonsense():
    os.write(3, b"{")

def crash_at_exit():
    atexit.register(os._exit, 9)
    return 1

def return_while_a_thread_works(path):
    def work():
        with open(path, "w") as file:
            file.write("done")
    threading.Thread(target=work).start()

def hide():
    import ctypes
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)
    subprocess.Popen(["sh", "-c", "setsid sleep 1000 &"]).wait()

def write_on(told, path):
    # Leaves a writer behind: in a session of its own twice over, deaf, with nothing open but its file.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                teller, file = os.open(told, os.O_WRONLY), os.open(path, os.O_WRONLY | os.O_CREAT)
                os.write(file, b"x")
                os.write(teller, b"%10d" % os.getpid())
                os.closerange(0, file)
                while True:
                    os.write(file, b"x")
                    time.sleep(0.001)
            os._exit(0)
        os._exit(0)
    os.close(writer)
    os.read(reader, 1)  # until nobody has the other end, the writer neither

def write_on_and_stay(told, path):
    write_on(told, path)
    while True:
        time.sleep(1000)

def zone():
    return time.strftime("%Z", time.localtime(0))

def text():
    return ["completed", "failed twice"]
"""


def one_after_another(folder: Path, *requests: AttemptRequest) -> list[AttemptReport]:
    """The reports of the attempts, by one executor, which must be as well as ever after each."""

    async def run() -> list[AttemptReport]:
        reports = []
        async with local(folder) as executor:
            for one in requests:
                reports.append(await submit(executor, one))
                assert (await submit(executor, runs(folder, "true"))).outcome == "completed"
        return reports

    return asyncio.run(run())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    stages(tmp_path, STAGES)
    return tmp_path


def test_a_work_folder_is_removed_whatever_became_of_it(folder: Path) -> None:
    """One that the code has removed, or has locked itself out of, disturbs nobody; links are not followed."""
    reports = one_after_another(
        folder, calls(folder, "remove_work_folder"), calls(folder, "lock_work_folder")
    )
    assert [report.outcome for report in reports] == ["completed", "completed"], reports


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        ("close_everything", "exit"),
        ("give_without_end", "output"),
        ("give_nonsense", "output"),
        ("crash_at_exit", "exit"),
    ],
)
def test_a_result_that_is_none_is_a_failure(folder: Path, function: str, kind: str) -> None:
    """Whatever a worker does to its way of reporting, its attempt fails, and says how."""
    (report,) = one_after_another(folder, calls(folder, function, output_size_max=100_000))
    assert report.outcome == "failed"
    assert report.error is not None and report.error.kind == kind, report.error


def test_threads_are_waited_for(folder: Path) -> None:
    """An attempt has ended when the threads that its function started have."""
    path = folder / "written"
    report = report_of(folder, calls(folder, "return_while_a_thread_works", scope={"path": str(path)}))
    assert report.outcome == "completed" and path.read_text() == "done"


def test_hiding_from_the_worker_does_not_help(folder: Path) -> None:
    """What a worker that adopts no orphans has left is found by the supervisor: nothing outlives the executor."""
    (report,) = one_after_another(folder, calls(folder, "hide"))
    assert report.outcome == "completed"


@pytest.mark.parametrize(
    ("function", "outcome"),
    [("write_on", "completed"), ("write_on_and_stay", "cancelled"), ("write_on_and_stay", "timed_out")],
)
def test_nothing_of_an_attempt_acts_when_it_has_ended(folder: Path, function: str, outcome: str) -> None:
    """A deaf daemon that goes on writing is dead, and reaped, when the end of its attempt is told: by itself, by
    being cancelled, or by its deadline."""

    async def run(seconds: float) -> bool:
        """Whether the writer had begun when the attempt was ended."""
        told, path = Signal(folder, f"told-{seconds}"), folder / f"written-{seconds}"
        scope = {"told": str(told.path), "path": str(path)}
        one = calls(folder, function, scope=scope, timeout=seconds)
        ended: asyncio.Future[tuple[AttemptReport, list[int]]] = asyncio.get_running_loop().create_future()
        async with local(folder) as executor:
            executor.submit(one, lambda report: ended.set_result((report, who_has_open(path))))
            if outcome == "cancelled":
                writer = int(await asyncio.to_thread(told.wait_for, 10))
                assert who_has_open(path) == [writer]
                executor.cancel(one.attempt_id)
            report, alive = await ended
            assert (report.outcome, alive) == (outcome, []), report.error
            said = told.wait_until_writers_ended()
            assert not said or not psutil.pid_exists(int(said))
            return path.exists()

    # A deadline may come before the writer has begun, when the machine is busy: then a later one is tried.
    deadlines = (1, 4, 16) if outcome == "timed_out" else (30,)
    assert any(asyncio.run(run(seconds)) for seconds in deadlines)


def who_has_open(path: Path) -> list[int]:
    """The processes that have the file open."""
    found = []
    for process in psutil.process_iter():
        try:
            found += [process.pid for file in process.open_files() if file.path == str(path)]
        except psutil.Error:
            continue  # gone meanwhile, or another user's
    return found


def test_what_can_not_be_prepared_has_not_begun(folder: Path) -> None:
    """Where the log can't be written the attempt does not begin, and says why."""
    (folder / "file").write_text("")
    (report,) = one_after_another(folder, runs(folder, "true", log=str(folder / "file" / "log")))
    assert report.outcome == "not_begun"
    assert report.error is not None and report.error.kind == "executor" and "file/log" in report.error.message


def test_a_full_disk_costs_the_log_and_nothing_else(folder: Path) -> None:
    """When the log can't be written any more the work goes on, and the report says that the log is not whole."""
    (report,) = one_after_another(folder, runs(folder, "echo", "hello", log="/dev/full"))
    assert (report.outcome, report.log_size, report.log_truncated) == ("completed", 0, True)


def test_a_bug_of_ours_costs_one_attempt(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A request that the supervisor chokes on fails, loudly, and takes no other with it."""
    (report,) = one_after_another(folder, runs(folder, "true", log="no\0path"))
    assert report.outcome == "failed"
    assert report.error is not None and report.error.kind == "bug"
    assert "Traceback" in capfd.readouterr().err


def test_the_zone_of_a_stage_is_its_own(folder: Path) -> None:
    """A stage that sets TZ has it in its Python code too."""
    report = report_of(folder, calls(folder, "zone", environment={"TZ": "XYZ-3"}))
    assert report.result == "XYZ", report.error


def test_a_secret_never_changes_what_a_report_means(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only texts of the user's are redacted: a secret that is one of clew's own words does no harm."""
    monkeypatch.setenv("CLEW_TEST_WORD", "completed")
    secrets = {"word": SecretSource("environment", "CLEW_TEST_WORD")}
    report = report_of(folder, calls(folder, "text", environment={"WORD": "secret:word"}, secrets=secrets))
    assert report.outcome == "completed"
    assert report.result == ["[secret word]", "failed twice"]
    assert "CLEW_TEST_WORD" in os.environ
