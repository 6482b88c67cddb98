"""What a run and its stages have said is erased for good, wherever it stood; what is left proves what was done."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.surfaces.calling import ENVIRONMENT, Person
from tests.surfaces.test_exports import INCOMPLETE, SOUND, TAMPERED, Exported

import clew
from clew.operations.results import last_output
from clew.ports import StoreError
from clew.settings import read_settings
from clew.wiring import open_records

WORD = "CANARY"

PROGRAM = """
name: letter
requests: {who: {type: string}}
stages:
  - name: Write
    outputs: {letter: {from: stdout}, big: {from: stdout}}
    execute: {command: shell, params: [sh, -c, "echo {who}; echo {who} >&2; head -c 300000 /dev/zero | tr '\\\\0' x"]}
    rollback: {commands: [{command: shell, params: [sh, -c, "echo burnt"]}], restore: [data/table]}
  - name: Post
    after: [Write]
    outputs: {number: {from: stdout}}
    execute: {command: shell, params: [sh, -c, "printf {who} > FOLDER/data/table; echo 7"]}
    rollback: {command: shell, params: [sh, -c, "echo {number} back"]}
"""


SHORT = """
name: short
stages:
  - {name: Do, execute: {command: shell, params: ["true"]}, rollback: none}
"""


class Writer(Person):
    """Somebody whose program's runs leave a word behind in every place where one can stand."""

    def __init__(self, folder: Path, *, restores: bool = True, number: str = "{number}") -> None:
        super().__init__(folder)
        (folder / "data").mkdir()
        (folder / "data" / "table").write_text(WORD)
        text = PROGRAM.replace("FOLDER", str(folder)).replace("{number} back", f"{number} back")
        self.write("letter.yaml", text if restores else text.replace(", restore: [data/table]", ""))
        self.write("clew.toml", '[buckets]\ndata = "file:data"\n')

    def letter(self) -> str:
        run_id: str = self.run("letter.yaml", "--var", f"who={WORD}")["run_id"]
        return run_id

    def places_of_the_word(self) -> list[str]:
        """The files of the store's folder in which it stands."""
        found = [path for path in (self.folder / ".clew").rglob("*") if path.is_file()]
        return [path.name for path in found if WORD.encode() in path.read_bytes()]

    def rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.folder / ".clew" / "clew.db")) as store:
            return store.execute(query).fetchall()

    def change(self, statement: str, *bound: Any) -> None:
        with closing(sqlite3.connect(self.folder / ".clew" / "clew.db")) as store:
            store.execute(statement, bound)
            store.commit()


def test_no_trace_of_it_is_left_but_that_it_was_there(tmp_path: Path) -> None:
    """Payloads in the store and beside it, kept objects, logs; the journal says who, when and why."""
    writer = Writer(tmp_path)
    run_id = writer.letter()
    standing = writer.places_of_the_word()
    assert {"clew.db", "0", "Write.1.log"} <= set(standing) and any(
        name.endswith(".json") for name in standing
    )
    told = writer.clew(
        "erase", run_id, "--payloads", "--yes", "--reason", "asked to", "--format", "json"
    ).document
    assert (told["status"], told["erased"]["entry"], told["variables"]) == ("completed", 8, {})
    assert writer.places_of_the_word() == []
    assert not (tmp_path / ".clew" / "payloads" / run_id).exists()
    assert not (tmp_path / ".clew" / "logs" / run_id).exists()
    shown = writer.clew("show", run_id, "--format", "json").document
    assert (shown["variables"], shown["erased"]) == ({}, told["erased"])
    assert "said: erased" not in writer.clew("show", run_id).out
    assert "asked to" in writer.clew("show", run_id, "--journal").out
    for words in (
        ("why", run_id),
        ("show", run_id, "Write"),
        ("logs", run_id),
        ("runs",),
        ("replay", run_id),
    ):
        writer.clew(*words)


def test_what_is_left_proves_what_it_proved(tmp_path: Path) -> None:
    """In the store, and in exports of before and after; a new leaf says how long the journal is by now."""
    writer = Writer(tmp_path)
    run_id = writer.letter()
    (tmp_path / "kept").write_text(writer.clew("checkpoint").out)
    exported = Exported(tmp_path, read_settings(folder=str(tmp_path), environment={}))
    before = exported.export(run_id)
    writer.clew("erase", run_id, "--payloads", "--yes")
    after = exported.export(run_id)
    assert WORD.encode() in before and WORD.encode() not in after
    assert exported.judge(before) == exported.judge(after) == (SOUND, SOUND)
    verified = writer.clew("verify", "--since", "kept", "--format", "json").document
    assert [run["verdict"] for run in verified["runs"]] == ["sound"]
    assert (verified["runs"][0]["erased"]["by"].split(":")[0], verified["tree"]["size"]) == ("cli", 3)
    assert "erased: what it and its stages had said, by cli:" in writer.clew("verify", run_id).out
    assert writer.rows("SELECT kind, entry_count FROM leaves") == [("open", 1), ("close", 7), ("close", 9)]


def test_what_was_erased_and_stands_there_again_is_found(tmp_path: Path) -> None:
    """By both who verify exports, and in the store; so is a payload that is gone without anybody having said so."""
    writer = Writer(tmp_path)
    run_id = writer.letter()
    exported = Exported(tmp_path, read_settings(folder=str(tmp_path), environment={}))
    lines = exported.export(run_id).splitlines(keepends=True)
    (payload,) = writer.rows("SELECT salt, content FROM payloads WHERE seq = 0")
    writer.clew("erase", run_id, "--payloads", "--yes")
    again = exported.export(run_id).splitlines(keepends=True)
    first = next(at for at, line in enumerate(again) if b'"kind":"entry"' in line)
    said = next(line for line in lines if b'"kind":"payload"' in line)
    assert exported.judge(b"".join([*again[: first + 1], said, *again[first + 1 :]])) == (TAMPERED, TAMPERED)
    last = next(at for at, line in enumerate(again) if b"payloads_erased" in line)
    assert exported.judge(b"".join(again[:last])) == (TAMPERED, TAMPERED), "its leaf has it"
    writer.change("INSERT INTO payloads (run_id, seq, salt, content) VALUES (?, 0, ?, ?)", run_id, *payload)
    problem = writer.clew("verify", run_id, "--format", "json", code=1).document["runs"][0]["problem"]
    assert (problem["seq"], problem["what"]) == (0, "it was erased by entry 8, and stands there again")
    writer.change("DELETE FROM payloads WHERE seq = 0")
    writer.change("UPDATE runs SET erased_at = NULL")
    problem = writer.clew("verify", run_id, "--format", "json", code=1).document["runs"][0]["problem"]
    assert "the run's erased_at is None" in problem["what"]


def test_a_payload_that_nobody_erased_is_missing_still(tmp_path: Path) -> None:
    """A run that was erased once may have said something since: what of that is gone is missing."""
    writer = Writer(tmp_path, restores=False, number="")
    run_id = writer.letter()
    writer.clew("erase", run_id, "--payloads", "--yes", "--reason", "why not")
    exported = Exported(tmp_path, read_settings(folder=str(tmp_path), environment={}))
    lines = exported.export(run_id).splitlines(keepends=True)
    without = [line for line in lines if b'"kind":"payload"' not in line]
    assert len(without) == len(lines) - 1
    assert exported.judge(b"".join(without)) == (INCOMPLETE, INCOMPLETE)


def test_it_is_refused_where_it_can_not_be_and_asked_for_where_it_can(tmp_path: Path) -> None:
    """Nothing is done then."""
    writer = Writer(tmp_path)
    run_id = writer.letter()
    assert "say what is to be erased" in writer.clew("erase", run_id, code=2).err
    refused = writer.clew("erase", run_id, "--payloads", code=2).err
    assert "this goes for good" in refused and "nobody can be asked here: nothing was done" in refused
    assert "clew.db" in writer.places_of_the_word()
    writer.write("held.yaml", "name: held\nstages: [{name: A, execute: {command: shell, params: [sh, -c, 'exit 1']}, "
                 "rollback: {command: shell, params: [sh, -c, 'exit 1']}}]\n")  # fmt: skip
    held = writer.run("held.yaml", code=4)["run_id"]
    told = writer.clew("erase", held, "--payloads", "--yes", code=2).err
    assert "it is rollback_failed: what it may need yet can be erased when it has settled" in told


def test_a_rollback_that_needs_what_is_gone_is_refused_by_name(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    run_id = writer.letter()
    writer.clew("erase", run_id, "--payloads", "--yes")
    refused = writer.clew("rollback", run_id, "--yes", code=2).err
    assert "that of 'Post' needs number; that of 'Write' needs the objects that were kept" in refused
    assert (
        "what its stages would go on with is gone"
        in writer.clew("rewind", run_id, "--to", "Post", "--yes", code=2).err
    )
    assert "that was done already" in writer.clew("erase", run_id, "--payloads", "--yes", code=2).err
    assert writer.clew("show", run_id, "--format", "json").document["status"] == "completed"


def test_a_rollback_that_needs_nothing_of_it_goes_on_and_can_be_erased_too(tmp_path: Path) -> None:
    """The logs of the way back are its own, and stay until somebody erases these."""
    writer = Writer(tmp_path, restores=False, number="")
    run_id = writer.letter()
    writer.clew("erase", run_id, "--payloads", "--yes")
    undone = writer.clew("rollback", run_id, "--yes", "--format", "json").document
    assert undone["status"] == "rolled_back"
    assert [
        log["work"] for log in writer.clew("logs", run_id, "--format", "json").document if log["size"]
    ] == [
        "rollback",
        "rollback",
    ]
    writer.clew("verify", run_id)
    writer.clew("erase", run_id, "--payloads", "--yes")
    assert not (tmp_path / ".clew" / "logs" / run_id).exists()
    writer.clew("verify", "--all")


def test_what_a_process_left_undeleted_that_ended_is_deleted_by_the_next(tmp_path: Path) -> None:
    """The store knows what is left to do, from the moment on in which it was erased."""
    writer = Writer(tmp_path)
    run_id = writer.letter()
    shutil.copytree(tmp_path / ".clew", tmp_path / "copy")
    writer.clew("erase", run_id, "--payloads", "--yes")
    assert writer.rows("SELECT run_id FROM objects_due") == []
    for name in ("payloads", "logs"):
        shutil.copytree(tmp_path / "copy" / name, tmp_path / ".clew" / name, dirs_exist_ok=True)
    writer.change("INSERT INTO objects_due (run_id, before_seq) VALUES (?, 8)", run_id)
    assert writer.places_of_the_word()
    writer.run("letter.yaml", "--var", "who=somebody")
    assert writer.rows("SELECT run_id FROM objects_due") == []
    assert writer.places_of_the_word() == ["0"], "what the later run keeps of the first one's work"


def test_a_bucket_that_does_not_answer_keeps_no_process_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither `clew up`, nor a run that comes by while somebody else's objects are due."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setitem(ENVIRONMENT, name, "any")
    writer = Writer(tmp_path)
    run_id = writer.letter()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"s3://payloads/clew/?endpoint=http://127.0.0.1:{silent.getsockname()[1]}&region=us-east-1"
        writer.write("clew.toml", f'payloads = "{url}"\nprograms = ["short.yaml"]\n')
        writer.write("short.yaml", SHORT)
        writer.change("INSERT INTO objects_due (run_id, before_seq) VALUES (?, 8)", run_id)
        process = writer.begin("up")
        with silent.accept()[0]:  # it waits for an answer by now
            process.send_signal(signal.SIGTERM)
            assert writer.end(process).code == 0
            writer.run("short.yaml")
    assert len(writer.rows("SELECT run_id FROM objects_due")) == 1


def test_what_can_not_be_read_any_more_can_be_erased(tmp_path: Path) -> None:
    """Nothing of what was said is needed for that."""
    writer = Writer(tmp_path)
    run_id = writer.letter()
    shutil.rmtree(tmp_path / ".clew" / "payloads")
    writer.clew("verify", run_id, code=3)
    writer.clew("erase", run_id, "--payloads", "--yes")
    writer.clew("verify", run_id)


def test_what_another_program_waits_for_can_not_be_told_when_it_was_erased(tmp_path: Path) -> None:
    """That it has a default does not help: that is for the first time, when there is nothing to go on from."""
    writer = Writer(tmp_path)
    run_id = writer.letter()
    with open_records(read_settings(folder=str(tmp_path), environment={})) as records:
        assert last_output(records, "letter", "number").value == "7"
    writer.clew("erase", run_id, "--payloads", "--yes")
    with open_records(read_settings(folder=str(tmp_path), environment={})) as records:
        with pytest.raises(StoreError, match="gave was erased: run it again"):
            last_output(records, "letter", "number")
        assert "had no output 'other'" in last_output(records, "letter", "other").why


def test_from_python(tmp_path: Path) -> None:
    """A session erases as the command line does."""
    store = f"sqlite:///{tmp_path}/store.db"

    async def erased() -> None:
        async with clew.open_session(GREETING, store=store) as session:
            greeted = await session.run(GREETING, variables={"who": WORD})
            assert greeted.variables["greeting"] == f"hello {WORD}"
            told = await session.instruct(greeted.run_id, "erase", reason="asked to")
            assert (told.status, told.variables) == ("completed", {})
            with pytest.raises(clew.RequestError, match="that was done already"):
                await session.instruct(greeted.run_id, "erase")

    asyncio.run(erased())
    assert not any(WORD.encode() in path.read_bytes() for path in tmp_path.iterdir())


async def greet(who: str) -> str:
    return f"hello {who}"


GREETING = clew.Program(
    "greeting", variables={"who": ""}, stages=[clew.stage(rollback="none", outputs=["greeting"])(greet)]
)
