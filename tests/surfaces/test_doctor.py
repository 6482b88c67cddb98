"""`clew doctor`, and who drives the runs of a store when locks, files and settings are not what they should be."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import apsw
import pytest
from tests.object_stores.serving import ENVIRONMENT
from tests.surfaces.calling import Person, line_from, line_into, until_said
from tests.surfaces.terminal import STYLE, terminal

from clew.cli.diagnosing import doctor
from clew.stores import sqlite
from clew.stores.queries import load_migrations
from clew.stores.sqlite import SqliteStore
from clew.wiring.diagnosing import without_password

READY = "live; Ctrl-C ends this"
QUICK = "name: quick\nstages:\n  - {name: Do, execute: {command: shell, params: ['true']}, rollback: none}\n"

Begin = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def up(person: Person) -> Iterator[Begin]:
    """Begins `clew up`, and waits until it is ready. What is left at the end is killed."""
    person.write("quick.yaml", QUICK)
    begun: list[subprocess.Popen[str]] = []

    def begin(*words: str, ready: bool = True) -> subprocess.Popen[str]:
        begun.append(person.begin("up", "quick.yaml", *words))
        if ready:
            until_said(begun[-1], READY)
        return begun[-1]

    yield begin
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate()


def verdicts(document: object) -> dict[str, str]:
    return {each["name"]: each["verdict"] for each in document["diagnoses"]}  # type: ignore[index]


# ---- clew doctor -------------------------------------------------------------------------------------------


def test_a_store_that_is_not_there_is_foretold_and_not_made(person: Person) -> None:
    """What would be in force, and nothing comes to be."""
    done = person.clew("doctor", "--format", "json")
    found = done.document
    assert found["verdict"] == "sound" and not found["store"]["exists"]
    assert set(verdicts(found).values()) == {"sound"}
    assert {"library", "file system", "durability", "clock", "room"} <= set(verdicts(found))
    assert found["driven_by"] == [] and found["driven_last"] is None
    assert found["versions"]["sqlite"] == apsw.sqlite_lib_version()
    text = person.clew("doctor").out
    assert "not there yet" in text and "nobody now" in text
    assert os.listdir(person.folder) == []


def test_it_says_who_drives_and_who_did(person: Person, up: Begin) -> None:
    """While somebody does, and afterwards; asking keeps nobody away."""
    process = up()
    found = person.clew("doctor", "--format", "json").document
    assert found["is_driven"] and found["driven_by"][0]["pid"] == process.pid
    assert found["driven_by"][0]["host"] == os.uname().nodename
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", found["driven_by"][0]["started_at"])
    refused = person.clew("up", "quick.yaml", code=2)
    assert f"process {process.pid} on {os.uname().nodename} (since 2" in refused.err
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    found = person.clew("doctor", "--format", "json").document
    assert not found["is_driven"] and found["driven_last"]["pid"] == process.pid


def test_it_shows_what_is_in_force_and_no_secret(person: Person) -> None:
    """Settings with their file, buckets with whether they answer; of secrets only where they are."""
    (person.folder / "data").mkdir()
    key = person.folder / "key.txt"
    key.write_text("hush-hush")
    (person.folder / "own").touch(0o700)
    person.write("vaults.py", "def read(context, params): raise SystemExit('hush')\n")
    person.write(
        "clew.toml",
        'workers = 3\n[buckets]\nlines = "file:data"\nfar = "s3://far-away/?endpoint=http://127.0.0.1:9"\n'
        f'[secrets]\ntoken = {{environment = "SOME_TOKEN"}}\nkey = {{file = "{key}"}}\n'
        'shown = {command = ["sh", "-c", "echo hush"]}\nown = {command = ["./own"]}\n'
        'lost = {command = ["no-such-program-of-test", "hush"]}\n'
        'read = {plugin = "vaults:read"}\ngone = {plugin = "vaults:gone"}\nbought = {plugin = "bought"}\n',
    )
    given = {**ENVIRONMENT, "SOME_TOKEN": "hush", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_ACCESS_KEY_ID": ""}
    done = person.clew("doctor", "--format", "json", code=3, environment=given)
    found = done.document
    assert found["verdict"] == "doubtful"
    assert (verdicts(found)["bucket lines"], verdicts(found)["bucket far"]) == ("sound", "doubtful")
    assert found["settings"]["file"] == str(person.folder / "clew.toml")
    assert found["settings"]["secrets"] == {
        "key": f"file {key} (there)", "token": "environment SOME_TOKEN (set)",
        "shown": "command sh (there)", "own": "command ./own (there)",
        "lost": "command no-such-program-of-test (not found)",
        "read": "plug-in vaults:read (there)",
        "gone": "plug-in vaults:gone (the module 'vaults' has no function 'gone')",
        "bought": "plug-in bought (no package brings the plug-in 'bought'; a project's own is named module:function)",
    }  # fmt: skip
    assert "3 attempts" in found["executors"]["local"]
    assert "hush" not in done.out + done.err


SILENT = """
import socket, sys
import clew.wiring.diagnosing as diagnosing
from clew.settings import Settings
server = socket.create_server(("127.0.0.1", 0))
url = f"s3://far-away/?endpoint=http://127.0.0.1:{server.getsockname()[1]}"
diagnosing.BUCKETS_SECONDS_MAX = 0
found = diagnosing.diagnose(Settings("none/clew.db", "logs", "file:payloads", buckets={"far": url}))
print(*(each["found"] for each in found["diagnoses"] if each["name"] == "bucket far"))
"""


def test_a_bucket_that_never_answers_is_not_waited_for(person: Person) -> None:
    """Longer than the limit, which here is no time at all; and the process ends."""
    environment = {**os.environ, **ENVIRONMENT}
    words = [sys.executable, "-c", SILENT]
    said = subprocess.run(
        words, cwd=person.folder, env=environment, capture_output=True, text=True, check=True, timeout=50
    )
    assert said.stdout.endswith("did not answer within 0 seconds\n")


def test_what_is_unsafe_and_damaged_is_told(person: Person) -> None:
    """By the exit code, too; pages are read when that is asked for."""
    person.write("quick.yaml", QUICK)
    person.run("quick.yaml")
    sound = person.clew("doctor", "--thorough", "--format", "json").document
    assert verdicts(sound)["pages"] == "sound"
    path = person.folder / ".clew" / "clew.db"
    content = bytearray(path.read_bytes())
    content[-8_192:] = b"\xff" * 8_192
    path.write_bytes(content)
    assert (
        verdicts(person.clew("doctor", "--thorough", "--format", "json", code=1).document)["pages"]
        == "unsafe"
    )
    path.write_bytes(b"no store at all, but a text" * 100)
    done = person.clew("doctor", code=1)
    assert "✗ unsafe" in done.out and "not a clew store" in done.out


def test_an_older_store_is_looked_at_and_not_changed(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says of which schema it is, and which it will be."""
    person.write("quick.yaml", QUICK)
    whole = load_migrations("sqlite")
    monkeypatch.setattr(sqlite, "load_migrations", lambda database: whole[:5])
    monkeypatch.setattr(sqlite, "load_schema", lambda database: "\n".join(text for *_, text in whole[:5]))
    SqliteStore(str(person.folder / ".clew" / "clew.db")).close()
    assert f"schema 5 of {len(whole)}" in person.clew("doctor").out
    assert person.clew("doctor", "--format", "json").document["store"]["schema"] == 5
    person.run("quick.yaml")
    assert person.clew("doctor", "--format", "json").document["store"]["schema"] == len(whole)


def test_it_is_readable_in_a_terminal(person: Person) -> None:
    """With marks, words and colours."""
    with terminal(person, "doctor", columns=100) as opened:
        assert opened.end() == 0
    shown = STYLE.sub("", opened.shown)
    assert "✓ sound" in shown and "What its records rest on" in shown


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("postgresql://me:hush@db/clew?sslmode=require", "postgresql://me:…@db/clew?sslmode=require"),
        ("postgresql://me@db/clew", "postgresql://me@db/clew"),
        ("s3://b/x?endpoint=http://h:9", "s3://b/x?endpoint=http://h:9"),
        ("at https://u:hush@h/p and http://h?a=1&auth_token=hush, said", "at https://u:…@h/p and http://h?a=1&auth_token=…"),
        ("no URL: me:hush@db", "no URL: me:hush@db"),
    ],
)  # fmt: skip
def test_no_password_is_told(text: str, told: str) -> None:
    """Wherever in a text the URL stands."""
    assert without_password(text).removesuffix(" said") == told


def test_its_help_says_the_exit_codes() -> None:
    """As for every verb whose exit code means something."""
    assert "Exit code 0" in (doctor.help or "")


# ---- one orchestrator --------------------------------------------------------------------------------------


def test_who_loses_the_lock_file_loses_the_store(person: Person, up: Begin) -> None:
    """The lock is deleted while somebody drives: another begins, the first ends by itself, and runs go on."""
    fifo, go = person.fifo("begun"), person.fifo("go")
    person.write(
        "slow.yaml",
        "name: slow\nstages:\n  - {name: Do, retry: {attempts: 3, delay: 0 seconds}, rollback: none,"
        f" execute: {{command: shell, params: [sh, -c, 'echo $$ >{fifo}; read line <{go}']}}}}\n",
    )
    first = up()
    asked = person.begin("run", "slow.yaml")
    line_from(fifo)
    asked.kill()  # or it would be the next to drive
    asked.communicate()
    os.remove(person.folder / ".clew" / "clew.db.lock")
    second = up(ready=False)
    _, said = first.communicate(timeout=30)
    assert first.returncode == 5
    assert f"process {second.pid} on" in said and "nothing is recorded any more by this one" in said
    until_said(second, READY)
    line_from(fifo)
    line_into(go)
    until_said(second, "the run is completed")
    (run,) = person.clew("runs", "--format", "json").document
    assert person.clew("show", run["run_id"], "--format", "json").document["stages"][0]["attempts"] == 2
    assert person.clew("doctor", "--format", "json").document["driven_by"][0]["pid"] == second.pid
    person.clew("verify", "--all")
    person.clew("replay", "--all")


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_store_that_is_moved_away_ends_who_drives_it(person: Person, up: Begin, suffix: str) -> None:
    """It says so, and what to do; put back, it goes on."""
    process = up()
    path = person.folder / ".clew" / f"clew.db{suffix}"
    away = person.folder / "away"
    os.rename(path, away)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 5
    assert "moved, deleted or replaced while it was open" in said
    if not suffix:
        os.rename(away, path)
    assert person.run("quick.yaml")["status"] == "completed"
    person.clew("verify", "--all")


def test_a_copied_store_is_driven_beside_the_first(person: Person, up: Begin) -> None:
    """Each by its own orchestrator, neither of which keeps the other away."""
    up()
    done = person.run("quick.yaml")
    copied = person.folder / "copied"
    copied.mkdir()
    for name in ("clew.db", "clew.db-wal", "clew.db.lock"):
        shutil.copy(person.folder / ".clew" / name, copied / name)
    up("--store", f"sqlite:///{copied}/clew.db")
    assert person.run("quick.yaml")["status"] == "completed"
    listed = person.clew("runs", "--store", f"sqlite:///{copied}/clew.db", "--format", "json").document
    assert [row["run_id"] for row in listed] == [done["run_id"]]


def test_the_setting_for_unsafe_stores_is_read(person: Person) -> None:
    """From the file, from the environment, which overrules it, and from neither."""
    person.write("clew.toml", "unsafe_store = true\n")
    told = person.clew("doctor", "--format", "json").document["settings"]
    assert told["unsafe_store"] is True
    environment = {"CLEW_UNSAFE_STORE": "0"}
    told = person.clew("doctor", "--format", "json", environment=environment).document["settings"]
    assert told["unsafe_store"] is False
    wrong = person.clew("doctor", code=2, environment={"CLEW_UNSAFE_STORE": "yes"})
    assert "CLEW_UNSAFE_STORE=yes: must be 1 or 0" in wrong.err
    person.write("clew.toml", "unsafe_store = 1\n")
    assert "unsafe_store: must be true or false" in person.clew("doctor", code=2).err
