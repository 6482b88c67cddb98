"""Runs that have been kept for as long as they are to be leave the store, to an archive that can be verified."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.databases.postgres import PostgresServer
from tests.surfaces.calling import Person, until_said

from clew.operations.exports import export_lines
from clew.operations.requests import RequestError
from clew.ports import RemovedRun
from clew.settings import SettingsError, read_settings
from clew.stores.sqlite import SqliteStore
from clew.wiring import open_records
from clew.wiring.exporting import signed_now

PROGRAM = """
name: NAME
RETENTION
stages:
  - name: Count
    outputs: {sum: {from: stdout}}
    execute: {command: shell, params: [sh, -c, "echo 7 | tee /dev/stderr"]}
    rollback: {command: shell, params: [sh, -c, "true"]}
"""


class Keeper(Person):
    """Somebody whose runs are kept for a millisecond, if their program does not say otherwise."""

    def __init__(self, folder: Path, *settings: str, archive: str = "file:archive") -> None:
        super().__init__(folder)
        self.program("nightly")
        where = f'archive = "{archive}"\n' if archive else ""
        said = ['programs = ["nightly.yaml"]', "[retention]", 'completed = "1 millisecond"', where]
        self.write("clew.toml", "\n".join([*settings, *said]))

    def program(self, name: str, retention: str = "") -> str:
        return self.write(f"{name}.yaml", PROGRAM.replace("NAME", name).replace("RETENTION", retention))

    def runs(self, count: int, program: str = "nightly") -> list[str]:
        return [self.run(f"{program}.yaml")["run_id"] for _ in range(count)]

    def sweep(self, *said: str) -> str:
        """`clew up` until it has said so; all that it said."""
        process = self.begin("up")
        try:
            for words in said:
                until_said(process, words)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
        assert process.returncode == 0, err
        return err

    @property
    def archived(self) -> list[Path]:
        return sorted((self.folder / "archive").rglob("*.clew"))

    def sql(self, statement: str, *bound: Any) -> list[Any]:
        with closing(sqlite3.connect(self.folder / ".clew" / "clew.db")) as store:
            found = store.execute(statement, bound).fetchall()
            store.commit()
            return found

    def verified(self, *words: str, code: int = 0) -> Any:
        return self.clew("verify", *words, "--format", "json", code=code).document


def test_runs_leave_to_the_archive_where_they_can_be_verified(tmp_path: Path) -> None:
    """Of each a row is left, which agrees with the tree; and the one from which others may go on stays."""
    keeper = Keeper(tmp_path)
    ids = keeper.runs(3)
    keeper.sweep("2 runs removed, as retention says")
    assert [path.stem.partition("-")[0] for path in keeper.archived] == sorted(ids[:2])
    assert [row[0] for row in keeper.sql("SELECT DISTINCT run_id FROM journal")] == [ids[2]]
    assert [path.name for path in (tmp_path / ".clew" / "logs").iterdir()] == [ids[2]]
    key = keeper.clew("checkpoint", "--public-key").out.strip()
    for path in keeper.archived:
        keeper.clew("verify", str(path), "--key", key)
    told = keeper.verified("--all")
    assert {run["run_id"]: (run["verdict"], run["archive"]) for run in told["runs"]} == {
        **{
            run_id: ("sound", f"file:{path}")
            for run_id, path in zip(sorted(ids[:2]), keeper.archived, strict=True)
        },
        ids[2]: ("sound", ""),
    }
    shown = keeper.clew("verify", "--all").out
    assert "2 runs removed, as retention says: the rows that are left agree with the tree" in shown
    assert f"its export is file:{keeper.archived[0]}" in keeper.clew("verify", sorted(ids[:2])[0]).out
    assert keeper.clew("runs").out.count("removed") == 2
    keeper.clew("replay", "--all")


@pytest.mark.parametrize(
    "words", [("show",), ("why",), ("logs",), ("export", "--output", "x"), ("rollback", "--yes"),
              ("erase", "--payloads", "--yes")], ids=lambda words: words[0]
)  # fmt: skip
def test_whoever_asks_for_a_run_that_has_left_is_told_where_it_is(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    keeper = Keeper(tmp_path)
    run_id, _ = keeper.runs(2)
    keeper.sweep("1 run removed")
    told = keeper.clew(words[0], run_id, *words[1:], code=2).err
    assert (
        f"run {run_id} was removed from the store on " in told
        and f"its export is file:{tmp_path}/archive/" in told
    )


def test_no_time_that_has_left_is_run_again(tmp_path: Path) -> None:
    """Its row says that it was run: `clew backfill` finds nothing to make up for."""
    keeper = Keeper(tmp_path)
    keeper.program("nightly", 'cadence: "@daily"\ninitial: 2026-01-01T00:00:00Z\nfinal: 2026-01-03T00:00:00Z')
    span = ("--from", "2026-01-01T00:00:00Z", "--to", "2026-01-03T00:00:00Z")
    keeper.clew("backfill", "nightly.yaml", *span)
    before = keeper.sql("SELECT run_time, generation FROM runs ORDER BY run_time")
    assert len(before) == 3
    keeper.sweep("2 runs removed")
    keeper.clew("backfill", "nightly", *span)
    assert keeper.sql("SELECT run_time, generation FROM runs ORDER BY run_time") == before


def test_the_program_says_it_before_the_settings(tmp_path: Path) -> None:
    """By status, and as its last version says it."""
    keeper = Keeper(tmp_path)
    keeper.program("other", "retention: {completed: forever}")
    kept, left = keeper.runs(2, "other"), keeper.runs(2)
    keeper.sweep("1 run removed")
    gone = [row[0] for row in keeper.sql("SELECT run_id FROM runs WHERE removed_at IS NOT NULL")]
    assert gone == left[:1]
    keeper.program("other", "retention: 1 millisecond")
    kept += keeper.runs(1, "other")
    keeper.sweep("2 runs removed")
    assert [row[0] for row in keeper.sql("SELECT DISTINCT run_id FROM journal ORDER BY 1")] == sorted(
        [kept[2], left[1]]
    )


def test_without_an_archive_they_leave_for_good(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path, archive="")
    run_id, _ = keeper.runs(2)
    keeper.sweep("1 run removed")
    assert "it left no export" in keeper.clew("verify", run_id).out and not keeper.archived
    assert keeper.sql("SELECT seq FROM payloads WHERE run_id = ?", run_id) == []


def test_no_run_leaves_whose_export_is_not_sound(tmp_path: Path) -> None:
    """One of which a payload is lost, or was changed, is evidence yet: it stays, and `clew up` says why."""
    keeper = Keeper(tmp_path)
    lost, changed, good, _ = keeper.runs(4)
    keeper.sql("DELETE FROM payloads WHERE run_id = ?", lost)
    keeper.sql(
        "UPDATE journal SET content = replace(content, 'run_settled', 'run_settles') WHERE run_id = ?",
        changed,
    )
    missing = "its export in the archive is not sound: the payload that it names is missing"
    keeper.sweep("1 run removed", f"run {lost}: {missing}")
    assert [row[0] for row in keeper.sql("SELECT run_id FROM runs WHERE removed_at IS NOT NULL")] == [good]
    assert [path.stem.partition("-")[0] for path in keeper.archived] == [good], "nothing else stands there"
    assert len(keeper.sql("SELECT DISTINCT run_id FROM journal")) == 3


def test_an_archive_that_does_not_answer_keeps_all_and_is_told_of(tmp_path: Path) -> None:
    """Late is what should have left a day ago."""
    keeper = Keeper(tmp_path)
    run_id, _ = keeper.runs(2)
    keeper.write("archive", "a file, and no folder")
    keeper.sql("UPDATE runs SET ended_at = ended_at - 3 * 86400000 - 1000 WHERE run_id = ?", run_id)
    keeper.sweep("retention: 1 run should have left, the first 3 days ago: ")
    assert keeper.sql("SELECT 1 FROM runs WHERE removed_at IS NOT NULL") == []


def test_a_row_that_was_changed_is_found_though_its_run_has_left(tmp_path: Path) -> None:
    """As is one that says that its run has left, which has not settled."""
    keeper = Keeper(tmp_path)
    run_id, other = keeper.runs(2)
    keeper.sweep("1 run removed")
    keeper.sql("UPDATE runs SET head = ? WHERE run_id = ?", "0" * 64, run_id)
    problem = keeper.verified(run_id, code=1)["runs"][0]["problem"]
    assert "is not what the tree's last leaf of it says" in problem["what"]
    keeper.sql("UPDATE runs SET removed_at = 5 WHERE run_id = ?", other)
    for what in ("entries", "payloads", "stages"):
        problem = keeper.verified(other, code=1)["runs"][0]["problem"]
        assert problem["what"] == f"{what} stand there of a run that was removed"
        table = {"entries": "journal"}.get(what, what)
        keeper.sql(f"DELETE FROM {table} WHERE run_id = ?", other)
    keeper.verified(other)


def test_what_a_killed_process_has_put_into_the_archive_is_taken_out_again(tmp_path: Path) -> None:
    """Once the run does not leave after all, nothing of what it said stands there."""
    keeper = Keeper(tmp_path)
    run_id, _ = keeper.runs(2)
    (tmp_path / "archive" / "tree").mkdir(parents=True)
    keeper.write("archive/kept.clew", "no export of a run")
    place = keeper.write("archive/tree/half.clew", "what was written until it was killed")
    keeper.sql("UPDATE runs SET archive = ? WHERE run_id = ?", f"file:{tmp_path}/{place}", run_id)
    keeper.clew("rollback", run_id, "--yes")
    keeper.clew("erase", run_id, "--payloads", "--yes")
    until_gone(tmp_path / place, keeper)
    assert [path.name for path in keeper.archived] == ["kept.clew"]
    keeper.verified("--all")


def until_gone(path: Path, keeper: Keeper) -> None:
    """`clew up` until that file does not stand there any more."""
    process = keeper.begin("up")
    try:
        while path.exists():
            assert process.poll() is None
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


@pytest.mark.parametrize("erases", [False, True], ids=["removed", "erased"])
def test_an_export_is_of_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, erases: bool) -> None:
    """Of a run that leaves while it is read there is none; of one that is erased it is as after that."""
    keeper = Keeper(tmp_path, archive="")
    run_id, _ = keeper.runs(2)
    settings = read_settings(folder=str(tmp_path), environment={})
    with open_records(settings) as records:
        store, read, row = records.store, records.store.journal, records.find(run_id)

        def journal(of: str, after: int = -1) -> list[tuple[str, str]]:
            monkeypatch.setattr(store, "journal", read)
            found = read(of, after)
            if erases:
                keeper.clew("erase", of, "--payloads", "--yes")
            else:
                with closing(SqliteStore(settings.store)) as other:
                    assert other.removals.remove([RemovedRun(of, row["entry_count"], "")], 5) == [of]
            return found

        monkeypatch.setattr(store, "journal", journal)
        lines = export_lines(records, row, sign=lambda: signed_now(settings)[0])
        if erases:
            keeper.write("export", b"".join(lines).decode())
            key = keeper.clew("checkpoint", "--public-key").out.strip()
            assert "erased" in keeper.clew("verify", "export", "--key", key).out
        else:
            with pytest.raises(RequestError, match="was removed from the store"):
                next(lines)


def test_installations_that_sign_with_keys_of_their_own_can_both_archive(tmp_path: Path) -> None:
    """Also while the tree is as the other one has signed it."""
    keeper = Keeper(tmp_path)
    keeper.runs(2)
    keeper.clew("checkpoint")
    for name in ("signing-key", "signing-key.signed"):
        (tmp_path / ".clew" / f"clew.db.{name}").rename(tmp_path / name)
    keeper.sweep("1 run removed")
    key = keeper.clew("checkpoint", "--public-key").out.strip()
    keeper.clew("verify", str(keeper.archived[0]), "--key", key)


def test_on_postgresql_too(tmp_path: Path, postgres: PostgresServer) -> None:
    keeper = Keeper(tmp_path, f'store = "{postgres.url(postgres.new_database())}"')
    ids = keeper.runs(3)
    keeper.sweep("2 runs removed")
    assert [path.stem.partition("-")[0] for path in keeper.archived] == sorted(ids[:2])
    keeper.clew("verify", "--all")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ('done = "1 day"', "retention.done: there is no such status"),
        ("completed = 5", "retention.completed: must be a text"),
        ('completed = "soon"', "retention.completed: 'soon' is no duration"),
        ('archive = "somewhere"', "retention.archive: must be a URL"),
    ],
)
def test_settings_that_can_not_be_read_are_told_with_their_place(tmp_path: Path, said: str, why: str) -> None:
    (tmp_path / "clew.toml").write_text(f"[retention]\n{said}\n")
    with pytest.raises(SettingsError) as caught:
        read_settings(folder=str(tmp_path), environment={})
    assert why in str(caught.value)


def test_keys_of_requests_are_forgotten_after_their_time(tmp_path: Path) -> None:
    """Ninety days, if nobody says otherwise."""
    keeper = Keeper(tmp_path)
    keeper.runs(2)
    insert = "INSERT INTO request_keys VALUES ('nightly', ?, 'r', x'', '', ?)"
    now = int(keeper.sql("SELECT max(launched_at) FROM runs")[0][0])
    for key, days in (("new", 89), ("old", 91)):
        keeper.sql(insert, key, now - days * 86_400_000)
    keeper.sweep("1 run removed")
    assert keeper.sql("SELECT request_key FROM request_keys") == [("new",)]
    (tmp_path / "clew.toml").write_text('[retention]\nrequests = "forever"\n')
    assert read_settings(folder=str(tmp_path), environment={}).requests_kept_milliseconds == 0


def test_settings_say_it_by_status(tmp_path: Path) -> None:
    (tmp_path / "clew.toml").write_text(
        '[retention]\ncompleted = "90 days"\nfailed = "forever"\narchive = "file:far"\n'
    )
    settings = read_settings(folder=str(tmp_path), environment={})
    assert (dict(settings.retention), settings.archive) == (
        {"completed": 90 * 86_400_000},
        f"file:{tmp_path}/far",
    )
    assert (
        json.loads(json.dumps(dict(read_settings(folder=str(tmp_path / "none"), environment={}).retention)))
        == {}
    )
