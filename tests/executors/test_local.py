"""The local executor runs attempts in processes of their own, and each ends in one report."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil
import pytest
from tests.executors.attempts import Signal, calls, local, report_of, request, runs, stages, submit

from clew.buckets import open_bucket
from clew.buckets.keeping import keep, look
from clew.executors.local import LocalExecutor
from clew.orchestrator.real_world import LoopTasks
from clew.ports import AttemptReport, Bucket, SecretSource, WorkItem


def test_a_function_gives_its_outputs(tmp_path: Path) -> None:
    """What a plain or async function returns becomes the outputs; what it prints goes to the log."""
    stages(
        tmp_path,
        """
        import asyncio, dataclasses

        @dataclasses.dataclass
        class Booking:
            seat: str
            price: float

        def book(city):
            print("booking", city)
            return Booking("1A", 9.5)

        async def later(city):
            await asyncio.sleep(0)
            return city.upper()
        """,
    )
    log = tmp_path / "logs" / "flight"
    booked = report_of(
        tmp_path, calls(tmp_path, "book", scope={"city": "Rome"}, outputs=["seat", "price"], log=str(log))
    )
    assert booked.outcome == "completed", booked.error
    assert booked.outputs == {"seat": "1A", "price": 9.5}
    assert booked.result == {"seat": "1A", "price": 9.5}
    assert log.read_text() == "booking Rome\n"
    assert booked.log_size == len("booking Rome\n") and not booked.log_truncated
    assert log.stat().st_mode & 0o777 == 0o600

    waited = report_of(tmp_path, calls(tmp_path, "later", scope={"city": "Rome"}, outputs=["name"]))
    assert waited.outputs == {"name": "ROME"}, waited.error


def test_a_program_gives_its_outputs(tmp_path: Path) -> None:
    """A shell command's outputs come from the file it is told of, or from its standard output."""
    line = 'echo hello; echo aside >&2; echo \'{{"total": 3}}\' > "$CLEW_OUTPUT"'
    item = WorkItem("shell", {"command": line, "shell": True})
    one = request(tmp_path, [item], outputs={"total": None, "said": "stdout"}, log=str(tmp_path / "log"))
    report = report_of(tmp_path, one)
    assert report.outputs == {"total": 3, "said": "hello"}, report.error
    assert sorted((tmp_path / "log").read_text().splitlines()) == ["aside", "hello"]


@pytest.mark.parametrize(
    ("function", "kind", "message"),
    [
        ("raises", "ValueError", "no seats"),
        ("exits", "SystemExit", "3"),
        ("vanishes", "exit", "its process ended with exit code 7"),
        ("vanishes_well", "exit", "its process ended with exit code 0 before it gave its result"),
        ("crashes", "signal", "its process was ended by signal 11 (SIGSEGV)"),
        ("gives_nan", "output", "result.rows[1] is nan, for which JSON has no word: return None or a number"),
        ("gives_other", "output", "output 'seat' is missing: there is 'seats'; did you mean 'seats'?"),
        ("gives_much", "output", "its outputs have 1000011 bytes; they may have 100000"),
    ],
)
def test_a_failure_says_what_happened(tmp_path: Path, function: str, kind: str, message: str) -> None:
    """However an attempt fails, its report says of what kind that was, and how, in words."""
    stages(
        tmp_path,
        """
        import os, signal, sys

        def raises(): raise ValueError("no seats")
        def exits(): sys.exit(3)
        def vanishes(): os._exit(7)
        def vanishes_well(): os._exit(0)
        def crashes(): os.kill(os.getpid(), signal.SIGSEGV)
        def gives_nan(): return {"rows": [1, float("nan")]}
        def gives_other(): return {"seats": 1}
        def gives_much(): return "x" * 1_000_000
        """,
    )
    outputs = ["seat", "price"] if function == "gives_other" else ["seat"]
    report = report_of(tmp_path, calls(tmp_path, function, outputs=outputs, output_size_max=100_000))
    assert report.outcome == "failed"
    assert report.error is not None
    assert report.error.kind == kind
    assert report.error.message.endswith(message)


def test_a_traceback_begins_with_the_users_code(tmp_path: Path) -> None:
    """An exception's detail is its traceback without clew's own frames, and stands in the log too."""
    stages(tmp_path, "def outer():\n    inner()\n\ndef inner():\n    raise KeyError('seat')\n")
    report = report_of(tmp_path, calls(tmp_path, "outer", log=str(tmp_path / "log")))
    assert report.error is not None
    lines = report.error.detail.splitlines()
    assert lines[1].endswith('stages.py", line 2, in outer'), report.error.detail
    assert lines[-1] == "KeyError: 'seat'"
    assert (tmp_path / "log").read_text() == report.error.detail


def test_a_program_that_fails_says_how(tmp_path: Path) -> None:
    """A command's exit code and signal are the attempt's error."""
    ended = report_of(tmp_path, runs(tmp_path, "sh", "-c", "exit 4"))
    assert ended.outcome == "failed" and ended.error is not None and ended.error.kind == "exit"
    killed = report_of(tmp_path, runs(tmp_path, "sh", "-c", "kill -9 $$"))
    assert killed.outcome == "failed" and killed.error is not None and killed.error.kind == "signal"


def test_conditions_give_findings(tmp_path: Path) -> None:
    """An attempt of the kind `test` tests each condition and completes, whatever they say."""
    stages(tmp_path, "def check(total):\n    return None if total == 3 else 'not three'\n")
    items = [
        WorkItem("equals", ["{total}", 3]),
        WorkItem("python", {"function": "stages:check"}),
        WorkItem("no_such_condition"),
    ]
    report = report_of(tmp_path, request(tmp_path, items, work="test", scope={"total": 4}))
    assert report.outcome == "completed"
    assert [finding.verdict for finding in report.findings] == ["not_held", "not_held", "error"]


def test_a_rollback_puts_back_what_was_kept(tmp_path: Path) -> None:
    """What was kept, how the stage left it, and where the copies stand reach the command that puts it back."""
    buckets = {"lines": str(tmp_path / "lines")}

    def open_one(name: str) -> Bucket:
        return open_bucket(name, buckets)

    copies = open_bucket(str(tmp_path / "copies"), {})
    open_one("lines").write("a", b"before")
    kept = keep(["lines/a", "lines/b"], open_one, copies, "run-1")
    open_one("lines").write("a", b"after")
    open_one("lines").write("b", b"after")
    one = request(
        tmp_path,
        [WorkItem("restore_files")],
        work="rollback",
        buckets=buckets,
        kept=msgspec.to_builtins(kept),
        left=look(["lines/a", "lines/b"], open_one),
        kept_bucket=copies.url,
    )
    report = report_of(tmp_path, one)
    assert report.outcome == "completed", report.error
    assert report.result == {"restored": 1, "deleted": 1, "as_before": 0}
    assert open_one("lines").read("a", 9) == b"before"


def test_user_code_sees_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is what the contract lists, and no descriptor but the standard ones is inherited."""
    monkeypatch.setenv("SOMETHING_PRIVATE", "1")
    monkeypatch.setenv("TZ", "UTC")
    stages(
        tmp_path,
        """
        import os, resource, subprocess, sys

        def look():
            with open("/proc/self/status") as file:
                status = {line.split(":")[0]: line.split(":")[1].strip() for line in file}
            listed = subprocess.run(["ls", "/proc/self/fd"], capture_output=True, text=True, check=True)
            return {
                "environment": dict(os.environ),
                "descriptors": listed.stdout.split(),
                "stdin": os.readlink("/proc/self/fd/0"),
                "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
                "privileges": status["NoNewPrivs"],
                "mask": status["Umask"],
                "mode": oct(os.stat(".").st_mode & 0o777),
                "here": os.getcwd(),
                "group": os.getpgid(0) == os.getpid(),
                "first": sys.path[0],
            }
        """,
    )
    environment = {"CITY": "to {city}", "PYTHONUNBUFFERED": "1"}
    item = WorkItem("python", {"function": "stages:look", "with": {}})
    report = report_of(tmp_path, request(tmp_path, [item], scope={"city": "Rome"}, environment=environment))
    assert report.outcome == "completed", report.error
    seen = report.result
    told = seen["environment"]
    deadline, output = told.pop("CLEW_DEADLINE"), told.pop("CLEW_OUTPUT")
    assert deadline.endswith("Z") and os.path.dirname(output) == seen["here"]
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
    assert told == {
        **kept,
        "CITY": "to Rome",
        "PYTHONUNBUFFERED": "1",
        "CLEW_RUN": "run-1",
        "CLEW_STAGE": "flight",
        "CLEW_ATTEMPT": "2",
        "CLEW_PROGRAM": "trip",
        "CLEW_IDEMPOTENCY_KEY": "ck1_abc",
    }
    assert seen["descriptors"] == ["0", "1", "2", "3"], "3 is the folder that ls itself reads"
    assert seen["stdin"] == "/dev/null"
    assert (seen["core"], seen["privileges"], seen["mask"], seen["mode"]) == (0, "1", "0077", "0o700")
    assert seen["group"] and seen["first"] == str(tmp_path)


@pytest.mark.parametrize("name", ["LD_PRELOAD", "PYTHONPATH", "CLEW_RUN", "BASH_ENV", "A=B", ""])
def test_reserved_variables_are_refused(tmp_path: Path, name: str) -> None:
    """A stage can't set what chooses the code that is loaded, nor what clew tells attempts."""
    report = report_of(tmp_path, runs(tmp_path, "true", environment={name: "x"}))
    assert report.outcome == "failed"
    assert (
        report.error is not None and report.error.kind == "environment" and f"{name}" in report.error.message
    )


def test_secrets_reach_the_attempt_and_nothing_that_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret is filled in where the program names it; logs, results and errors have a mark in its place."""
    monkeypatch.setenv("TOKEN_OF_THE_AIRLINE", "hunter-canary-42")
    (tmp_path / "password").write_text("swordfish-canary\n")
    stages(
        tmp_path,
        """
        import os, sys

        def use(key, said):
            assert os.environ["TOKEN"] == "hunter-canary-42"
            assert key == "swordfish-canary"
            assert said == "secret:password", "a variable's value names no secret"
            print("with", key, "and", os.environ["TOKEN"][:6], end="", flush=True)
            print(os.environ["TOKEN"][6:])
            raise RuntimeError("refused " + key)
        """,
    )
    secrets = {
        "token": SecretSource("environment", "TOKEN_OF_THE_AIRLINE"),
        "password": SecretSource("file", str(tmp_path / "password")),
        "unused": SecretSource("environment", "NOT_SET_AT_ALL"),
    }
    params = {"function": "stages:use", "with": {"key": "secret:password", "said": "{said}"}}
    one = request(
        tmp_path,
        [WorkItem("python", params)],
        scope={"said": "secret:password"},
        environment={"TOKEN": "secret:token"},
        secrets=secrets,
        log=str(tmp_path / "log"),
    )
    report = report_of(tmp_path, one)
    assert report.error is not None and report.error.kind == "RuntimeError", report.error
    assert report.error.message == "refused [secret password]"
    log = (tmp_path / "log").read_text()
    assert log.startswith("with [secret password] and [secret token]\n")
    assert "canary" not in log + str(report)


def test_a_secret_that_is_not_there_fails_the_attempt(tmp_path: Path) -> None:
    """Without its secret an attempt does not begin, and says which one is missing."""
    secrets = {"token": SecretSource("environment", "CLEW_TEST_NOT_SET")}
    missing = report_of(tmp_path, runs(tmp_path, "true", environment={"A": "secret:token"}, secrets=secrets))
    assert missing.error is not None and "CLEW_TEST_NOT_SET" in missing.error.message
    unknown = report_of(tmp_path, runs(tmp_path, "true", environment={"A": "secret:nobody"}))
    assert unknown.error is not None and "'nobody'" in unknown.error.message
    assert {missing.error.kind, unknown.error.kind} == {"secret"}


def test_others_are_asked_for_secrets_before_the_attempt_begins(tmp_path: Path) -> None:
    """A command and a plug-in are asked once for what the attempt refers to, and for nothing else; the code has what
    they gave, and nothing of what they had; what they left behind is gone."""
    alive = Signal(tmp_path, "alive")
    (tmp_path / "vaults.py").write_text(
        "def read(context, params): return f'{context.name}-{params}-canary'\n"
    )
    stages(
        tmp_path,
        """
        import os

        def use(key):
            assert "OF_THE_VAULT" not in os.environ
            print(key, os.environ["TOKEN"])
            return [key.startswith("key-{'a': 1}-"), os.environ["TOKEN"].startswith("north-")]
        """,
    )
    line = "echo asked >> asked; (exec sleep 1000 3> alive) > /dev/null & echo north-canary"
    secrets = {
        "token": SecretSource("command", "sh", ("-c", line), folder=str(tmp_path)),
        "key": SecretSource("plugin", "vaults:read", params={"a": 1}, folder=str(tmp_path)),
        "unused": SecretSource("command", "no-such-program-of-test"),
    }
    params = {"function": "stages:use", "with": {"key": "secret:key"}}
    one = request(
        tmp_path,
        [WorkItem("python", params)],
        environment={"TOKEN": "secret:token"},
        secrets=secrets,
        log=str(tmp_path / "log"),
    )
    report = report_of(tmp_path, one)
    assert report.result == [True, True], report.error
    assert (tmp_path / "asked").read_text() == "asked\n"
    assert (tmp_path / "log").read_text() == "[secret key] [secret token]\n"
    alive.wait_until_writers_ended()


def test_who_is_asked_for_a_secret_keeps_nobody_waiting(tmp_path: Path) -> None:
    """Meanwhile other attempts begin and end; whoever cancels the attempt ends the command with it."""
    asked = Signal(tmp_path, "asked")
    line = "exec 3> asked; echo begun >&3; exec sleep 1000"
    secrets = {"token": SecretSource("command", "sh", ("-c", line), folder=str(tmp_path))}
    waiting = runs(tmp_path, "true", environment={"A": "secret:token"}, secrets=secrets)

    async def story() -> AttemptReport:
        async with local(tmp_path) as executor:
            ended = submit(executor, waiting)
            await asyncio.to_thread(asked.wait_for, len("begun\n"))
            other = await submit(executor, runs(tmp_path, "true"))
            assert other.outcome == "completed", other.error
            assert not ended.done()
            executor.cancel(waiting.attempt_id)
            return await ended

    report = asyncio.run(story())
    assert report.outcome == "cancelled"
    asked.wait_until_writers_ended()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "echo canary; echo canary >&2; exit 4",
            "secret 'token': the command 'sh' ended with exit code 4; run it",
        ),
        ("kill -9 $PPID", "the process that asked for its secrets ended with exit code -9"),
        (
            "echo canary; exec sleep 1000",
            "secret 'token': the command 'sh' did not answer within 0.2 seconds",
        ),
    ],
)
def test_an_attempt_does_not_begin_without_the_secret_that_was_asked_for(
    tmp_path: Path, line: str, said: str
) -> None:
    """It fails, says why, and nothing of what it was told; its code has not run."""
    secrets = {"token": SecretSource("command", "sh", ("-c", line), timeout_milliseconds=200)}
    one = runs(tmp_path, "touch", str(tmp_path / "begun"), environment={"A": "secret:token"}, secrets=secrets)
    report = report_of(tmp_path, one)
    assert report.outcome == "failed" and report.error is not None
    assert report.error.kind == "secret" and said in report.error.message
    assert "canary" not in str(report)
    assert not (tmp_path / "begun").exists()


def test_the_log_keeps_the_order_and_both_ends(tmp_path: Path) -> None:
    """Both streams are in the log as they were written; of a whole GiB, the beginning and the end are kept."""
    stages(
        tmp_path,
        """
        import os, sys

        def talk():
            for number in range(50):
                print("out", number)
                print("err", number, file=sys.stderr)

        def shout():
            print("first")
            sys.stdout.flush()
            line = b"x" * 1023 + b"\\n"
            for _ in range(1024):
                os.write(1, line * 1024)
            os.write(2, b"\\xff\\x00\\x1b[31m\\r\\nlast\\n")
        """,
    )
    report = report_of(tmp_path, calls(tmp_path, "talk", log=str(tmp_path / "talk")))
    expected = [f"{stream} {number}" for number in range(50) for stream in ("out", "err")]
    assert (tmp_path / "talk").read_text().splitlines() == expected, report.error

    report = report_of(tmp_path, calls(tmp_path, "shout", log=str(tmp_path / "shout"), log_size_max=300_000))
    log = (tmp_path / "shout").read_bytes()
    assert report.outcome == "completed" and report.log_truncated
    assert report.log_size == len(log) <= 300_000
    assert log.startswith(b"first\nxxx")
    assert log.endswith(b"\xff\x00\x1b[31m\r\nlast\n")
    assert b"bytes are left out here; this log is limited to 300000]" in log


def test_a_deadline_ends_even_what_will_not_end(tmp_path: Path) -> None:
    """A process that ignores SIGTERM, and its daemon that moved to a session of its own, are both killed."""
    stages(
        tmp_path,
        """
        import os, signal, time

        def stay(path):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    file = os.open(path, os.O_WRONLY)
                    os.write(file, b"daemon")
                    while True:
                        time.sleep(1000)
                os._exit(0)
            os.wait()
            file = os.open(path, os.O_WRONLY)
            os.write(file, b"worker")
            while True:
                time.sleep(1000)
        """,
    )
    alive = Signal(tmp_path, "alive")
    report = report_of(tmp_path, calls(tmp_path, "stay", scope={"path": str(alive.path)}, timeout=0.5))
    assert report.outcome == "timed_out"
    assert report.error is not None and report.error.kind == "timed_out"
    assert sorted(alive.wait_until_writers_ended()) == sorted(b"daemon" + b"worker")


def test_who_is_asked_to_end_may_tidy_up(tmp_path: Path) -> None:
    """A cancelled function's `finally`, and a cancelled program's trap, run before the attempt ends."""
    stages(
        tmp_path,
        """
        import os, time

        def hold(path):
            file = os.open(path, os.O_WRONLY)
            try:
                os.write(file, b"b")
                time.sleep(1000)
            finally:
                os.write(file, b"tidied")
        """,
    )
    trap = 'exec 9>"$0"; trap "printf tidied >&9; exit 0" TERM; printf b >&9; '
    script = trap + "while :; do sleep 1000 & wait $!; done"

    async def run() -> None:
        async with local(tmp_path) as executor:
            for one in ("function", "program"):
                state = Signal(tmp_path, one)
                path = str(state.path)
                function = calls(tmp_path, "hold", scope={"path": path})
                attempt = function if one == "function" else runs(tmp_path, "sh", "-c", script, path)
                future = submit(executor, attempt)
                await asyncio.to_thread(state.wait_for)
                executor.cancel(attempt.attempt_id)
                report = await future
                assert report.outcome == "cancelled", report
                assert state.wait_until_writers_ended() == b"tidied"

    asyncio.run(run())


def test_what_a_worker_leaves_behind_is_ended(tmp_path: Path) -> None:
    """A process that a finished function left running does not outlive its attempt, whose result stands."""
    stages(
        tmp_path,
        """
        import subprocess

        def leave(path):
            script = 'exec 9>"$0"; printf b >&9; setsid sleep 1000 & sleep 1000'
            process = subprocess.Popen(["sh", "-c", script, path], start_new_session=True)
            with open(path + ".begun", "rb") as begun:
                begun.read(1)
            return process.pid
        """,
    )
    alive, begun = Signal(tmp_path, "alive"), tmp_path / "alive.begun"
    begun.write_text("b")
    report = report_of(tmp_path, calls(tmp_path, "leave", scope={"path": str(alive.path)}))
    assert report.outcome == "completed", report.error
    alive.wait_until_writers_ended()
    assert not psutil.pid_exists(report.result)


def test_what_waits_its_turn_can_be_cancelled_before_it_begins(tmp_path: Path) -> None:
    """Beyond `workers_max` attempts wait; one cancelled then is reported as not begun, and never runs."""

    async def run() -> None:
        state, never = Signal(tmp_path, "state"), tmp_path / "never"
        async with local(tmp_path, workers_max=1) as executor:
            holding = runs(tmp_path, "sh", "-c", 'exec 9>"$0"; printf b >&9; sleep 1000', str(state.path))
            first = submit(executor, holding)
            waiting = runs(tmp_path, "touch", str(never))
            second = submit(executor, waiting)
            third = submit(executor, runs(tmp_path, "true"))
            await asyncio.to_thread(state.wait_for)
            executor.cancel(waiting.attempt_id)
            executor.cancel(waiting.attempt_id)
            executor.cancel("of nobody")
            executor.cancel(holding.attempt_id)
            outcomes = [(await one).outcome for one in (first, second, third)]
            assert outcomes == ["cancelled", "not_begun", "completed"]
        assert not never.exists()

    asyncio.run(run())


def test_close_ends_all_and_refuses_more(tmp_path: Path) -> None:
    """Closing ends what runs and what waits; each still gets its report, and so does who comes too late."""

    async def run() -> None:
        state = Signal(tmp_path, "state")
        async with local(tmp_path, workers_max=1) as executor:
            script = 'exec 9>"$0"; printf b >&9; sleep 1000'
            running = submit(executor, runs(tmp_path, "sh", "-c", script, str(state.path)))
            waiting = submit(executor, runs(tmp_path, "true"))
            await asyncio.to_thread(state.wait_for)
            await executor.close()
            late = submit(executor, runs(tmp_path, "true"))
            assert [(await one).outcome for one in (running, waiting, late)] == [
                "cancelled",
                "not_begun",
                "not_begun",
            ]
            await executor.close()
        state.wait_until_writers_ended()

    asyncio.run(run())


def test_cancelling_at_once_is_fine(tmp_path: Path) -> None:
    """Attempts that are cancelled in the moment they begin each end in one report, and others go on."""

    async def run() -> None:
        async with local(tmp_path, workers_max=4) as executor:
            reports = []
            for number in range(60):
                one = runs(tmp_path, "sleep", "1000")
                ended = submit(executor, one)
                await asyncio.sleep(0 if number % 2 else number / 10_000)
                executor.cancel(one.attempt_id)
                reports.append(ended)
            assert {(await ended).outcome for ended in reports} <= {"cancelled", "not_begun"}
            assert (await submit(executor, runs(tmp_path, "true"))).outcome == "completed"

    asyncio.run(run())


def test_large_documents_pass(tmp_path: Path) -> None:
    """Requests and reports larger than a packet, or than the socket's buffer, arrive whole."""
    stages(tmp_path, "def turn(text):\n    return text[::-1]\n")
    text = "".join(str(number) for number in range(200_000))
    report = report_of(tmp_path, calls(tmp_path, "turn", scope={"text": text}, outputs=["turned"]))
    assert report.outputs["turned"] == text[::-1]


def zombies_below(process: psutil.Process) -> int:
    """How many of its descendants have ended and were not reaped."""
    found = 0
    for below in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            found += below.status() == psutil.STATUS_ZOMBIE
    return found


@pytest.mark.timeout(300)  # some 20 s of work where this was written; a slow machine may take longer
def test_thousands_of_programs_leave_no_zombie(tmp_path: Path) -> None:
    """However many short programs have run, nobody is left to be reaped when the last has ended; meanwhile there
    are never more than those of the attempts that are just ending."""

    others = set(psutil.Process().children())
    count, workers_max = 5_000, 8

    async def run() -> None:
        async with local(tmp_path, workers_max=workers_max) as executor:
            await submit(executor, runs(tmp_path, "true"))
            (guardian,) = set(psutil.Process().children()) - others
            (supervisor,) = guardian.children()
            zombies: list[int] = []

            def ended(report: AttemptReport) -> None:
                outcomes[report.outcome] += 1
                if outcomes.total() % 100 == 0:
                    zombies.append(zombies_below(guardian))
                if outcomes.total() == count:
                    all_ended.set()

            outcomes: Counter[str] = Counter()
            all_ended = asyncio.Event()
            executor.submit_all([(runs(tmp_path, "true"), ended) for _ in range(count)])
            await all_ended.wait()
            assert outcomes == {"completed": count}
            assert max(zombies) <= 2 * workers_max, "an attempt's program and its worker"
            assert zombies_below(guardian) == 0 and supervisor.children() == []

    asyncio.run(run())


def test_three_hundred_attempts_leave_nothing(tmp_path: Path) -> None:
    """After many attempts at once no zombie, no process, no descriptor and no folder is left."""

    others = set(psutil.Process().children())

    async def run() -> None:
        async with local(tmp_path, workers_max=16) as executor:
            before = len(os.listdir("/proc/self/fd"))
            first = await submit(executor, runs(tmp_path, "true"))
            held = len(os.listdir("/proc/self/fd"))
            reports = await asyncio.gather(*(submit(executor, runs(tmp_path, "true")) for _ in range(299)))
            assert {report.outcome for report in (first, *reports)} == {"completed"}
            assert len(os.listdir("/proc/self/fd")) == held <= before + 2
            (guardian,) = set(psutil.Process().children()) - others
            (supervisor,) = guardian.children()
            assert supervisor.children() == []
            assert supervisor.num_fds() < 12
            assert os.listdir(next((tmp_path / "attempts.work").iterdir())) == []
        assert set(psutil.Process().children()) <= others

    asyncio.run(run())


@pytest.mark.parametrize("victim", ["supervisor", "guardian"])
def test_a_lost_supervisor_makes_its_attempts_unknown(tmp_path: Path, victim: str) -> None:
    """When a process above the workers is killed, all below it end, their outcome is unknown, and the next
    attempt gets a new one."""

    others = set(psutil.Process().children())

    async def run() -> None:
        alive = Signal(tmp_path, "alive")
        async with local(tmp_path) as executor:
            script = 'exec 9>"$0"; printf b >&9; setsid sleep 1000 & sleep 1000'
            lost = submit(executor, runs(tmp_path, "sh", "-c", script, str(alive.path)))
            await asyncio.to_thread(alive.wait_for)
            (guardian,) = set(psutil.Process().children()) - others
            (supervisor,) = guardian.children()
            os.kill((supervisor if victim == "supervisor" else guardian).pid, signal.SIGKILL)
            report = await lost
            assert report.outcome == "unknown"
            assert report.error is not None and report.error.kind == "interrupted"
            await asyncio.to_thread(alive.wait_until_writers_ended)
            assert (await submit(executor, runs(tmp_path, "true"))).outcome == "completed"

    asyncio.run(run())


def test_without_the_lock_nothing_begins(tmp_path: Path) -> None:
    """While attempts of another orchestrator are there, new ones are refused, and say why."""

    async def run() -> None:
        async with local(tmp_path) as executor:
            assert (await submit(executor, runs(tmp_path, "true"))).outcome == "completed"
            tasks = LoopTasks(asyncio.get_running_loop())
            other = LocalExecutor(tasks, lock_path=str(tmp_path / "attempts"), workers_max=1)
            report = await submit(other, runs(tmp_path, "true"))
            assert report.outcome == "not_begun"
            assert report.error is not None and "another orchestrator" in report.error.message
            await other.close()

    asyncio.run(run())
