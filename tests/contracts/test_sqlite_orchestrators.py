"""A SQLite file has one orchestrator: by a lock beside it, and where that fails by the file's epoch."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.contracts.test_store import VERSION, created, following

from clew.ports import BackfillRow, Holder, StoreBusy, StoreError, StoreTaken
from clew.stores import sqlite_orchestrators
from clew.stores.lock import OrchestratorLock
from clew.stores.sqlite import SqliteStore

ME = Holder("here", 17, "boot", 1_790_000_000_000, 5_000, "0.1.0")
OTHER = ME._replace(host="there", pid=18)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "clew.db")


@pytest.fixture
def open_file(path: str) -> Iterator[Callable[..., SqliteStore]]:
    """Opens the file as another process would."""
    opened: list[SqliteStore] = []

    def open_again(where: str = path) -> SqliteStore:
        store = SqliteStore(where)
        store.register_program(VERSION, "trip", '{"name":"trip"}', [], 5)
        opened.append(store)
        return store

    yield open_again
    for one in opened:
        one.close()


# ---- the epoch ---------------------------------------------------------------------------------------------


def test_each_orchestrator_has_the_next_epoch(open_file: Callable[..., SqliteStore]) -> None:
    """And who it is stays on record, with what it put up with."""
    assert open_file().last_orchestrator() is None
    assert open_file().orchestrators.take(ME, {}) == 1
    third = open_file()
    assert third.orchestrators.take(OTHER, {"file system": "tmpfs"}) == 2
    assert third.last_orchestrator() == OTHER
    rows = third._rows("select_epoch")
    assert rows == [(2,)]
    said = list(apsw.Connection(third.path).execute("SELECT epoch, host, unsafe FROM orchestrators"))
    assert said == [(1, "here", "{}"), (2, "there", '{"file system":"tmpfs"}')]


WRITES: dict[str, Callable[[SqliteStore], Any]] = {
    "record": lambda store: store.record([following("r1", 2)]),
    "create": lambda store: store.record([created("r2", 2)]),
    "take_over": lambda store: store.leases.claim_run("r1"),
    "register_program": lambda store: store.register_program("w" * 64, "other", "{}", [], 5),
    "refuse": lambda store: store.refuse("i1", "no", epoch=1),
    "instruct": lambda store: store.instruct("i2", "r1", "{}", 7),
    "go_live": lambda store: store.schedules.go_live(
        "trip", VERSION, at=5, source="f", origin="{}", zones="z"
    ),
    "settle": lambda store: store.schedules.settle("trip", settled_until=4, until=9),
    "retire": lambda store: store.schedules.retire("trip", 9),
    "make": lambda store: store.backfills.make(
        BackfillRow("b", "trip", "", 1, 2, "all", "oldest", 1, 0, "{}", "{}", 1, "", "", "running", 1, "", ""), []
    ),
    "begin": lambda store: store.backfills.begin("b", 0, created("r3", 3)),
}  # fmt: skip


@pytest.mark.parametrize("write", WRITES)
def test_who_was_fenced_writes_nothing(write: str, open_file: Callable[..., SqliteStore], path: str) -> None:
    """By no method: the file is as the other has left it."""
    first, verb = open_file(), open_file()
    first.orchestrators.take(ME, {})
    first.record([created("r1", 1)])
    verb.instruct("i1", "r1", "{}", 6)
    second = open_file()
    second.orchestrators.take(OTHER, {})
    before = _content(path)
    with pytest.raises(StoreTaken, match="process 18 on there"):
        WRITES[write](first)
    with pytest.raises(StoreTaken):
        first.change_count()
    assert _content(path) == before
    assert first.journal("r1"), "it may read"


def test_those_who_do_not_drive_go_on(open_file: Callable[..., SqliteStore]) -> None:
    """A person's verbs write, whoever drives and whoever comes."""
    verb, driver = open_file(), open_file()
    driver.orchestrators.take(ME, {})
    driver.record([created("r1", 1)])
    verb.instruct("i1", "r1", "{}", 6)
    open_file().orchestrators.take(OTHER, {})
    verb.instruct("i2", "r1", "{}", 7)
    assert [row[0] for row in verb.instructions()] == ["i1", "i2"]


def test_what_lies_far_back_is_forgotten_but_not_what_was_unsafe(
    open_file: Callable[..., SqliteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table has an end, and epochs go on."""
    monkeypatch.setattr(sqlite_orchestrators, "ORCHESTRATORS_KEPT", 3)
    for number in range(6):
        store = SqliteStore(open_file().path)
        store.orchestrators.take(ME, {"clock": "1970"} if number == 1 else {})
        store.close()
    kept = [row[0] for row in apsw.Connection(store.path).execute("SELECT epoch FROM orchestrators")]
    assert kept == [2, 4, 5, 6]


# ---- the file ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
def test_a_file_that_is_not_the_one_any_more_takes_nothing(
    suffix: str, how: str, open_file: Callable[..., SqliteStore], path: str
) -> None:
    """Neither the store's nor its log's: what would be written would be in no file that anybody finds."""
    driver = open_file()
    driver.orchestrators.take(ME, {})
    driver.record([created("r1", 1)])
    if how == "replaced":
        shutil.copy(path + suffix, path + ".copy")
        os.replace(path + ".copy", path + suffix)
    elif how == "moved":
        os.rename(path + suffix, path + ".away")
    else:
        os.remove(path + suffix)
    with pytest.raises(StoreTaken, match="moved, deleted or replaced"):
        driver.change_count()
    if (suffix, how) != ("-wal", "replaced"):  # which log is there is only looked at now and then
        with pytest.raises(StoreTaken, match="moved, deleted or replaced"):
            driver.record([following("r1", 2)])


def test_a_file_behind_a_link_is_known(tmp_path: Path, path: str) -> None:
    """Its log lies beside the file, and not beside the link."""
    SqliteStore(path).close()
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(path)
    driver = SqliteStore(str(link))
    driver.orchestrators.take(ME, {})
    assert driver.change_count() > 0
    os.rename(path + "-wal", path + ".away")
    with pytest.raises(StoreTaken):
        driver.change_count()
    os.rename(path + ".away", path + "-wal")
    driver.close()


def test_a_copy_is_a_store_of_its_own(
    open_file: Callable[..., SqliteStore], path: str, tmp_path: Path
) -> None:
    """Each is driven by itself; the copy knows who drove the one that it was copied from."""
    driver = open_file()
    driver.orchestrators.take(ME, {})
    driver.record([created("r1", 1)])
    for name in ("clew.db", "clew.db-wal"):
        (tmp_path / "copy").mkdir(exist_ok=True)
        shutil.copy(tmp_path / name, tmp_path / "copy" / name)
    copied = open_file(str(tmp_path / "copy" / "clew.db"))
    assert copied.last_orchestrator() == ME
    assert copied.orchestrators.take(OTHER, {}) == 2
    copied.record([following("r1", 2)])
    driver.record([following("r1", 2)])


# ---- the lock ----------------------------------------------------------------------------------------------


def test_the_lock_says_who_has_it(path: str) -> None:
    """To whoever wants it, and to whoever only asks; when it is free, it can be had."""
    first, second = OrchestratorLock(path), OrchestratorLock(path)
    assert not first.is_held() and first.holder() is None
    first.acquire(ME)
    assert second.is_held() and second.holder() == ME
    with pytest.raises(StoreBusy, match=r"process 17 on here \(since 2026-09-21 14:13:20Z\) drives the runs"):
        second.acquire(OTHER)
    first.release()
    assert not second.is_held()
    second.acquire(OTHER)
    assert first.holder() == OTHER
    second.release()
    second.release()


def test_a_lock_that_is_looked_at_can_be_had(path: str) -> None:
    """Somebody who asks whether it is held keeps nobody away."""
    lock = OrchestratorLock(path)
    lock.acquire(ME)
    lock.release()
    for _ in range(200):
        assert not OrchestratorLock(path).is_held()
        lock.acquire(ME)
        lock.release()


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"pid": 17, "host": "here"})])
def test_a_lock_that_does_not_say_who_has_it_keeps_others_away_all_the_same(path: str, content: str) -> None:
    """Such as that of an older clew, or one that is just being written."""
    first = OrchestratorLock(path)
    first.acquire(ME)
    Path(path).write_text(content)
    with pytest.raises(StoreBusy, match="another process drives"):
        OrchestratorLock(path).acquire(OTHER)
    first.release()


def test_a_lock_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    """With its place and the reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="can't be opened as a store's lock"):
        OrchestratorLock(str(tmp_path / "file" / "clew.db.lock")).acquire(ME)


def _content(path: str) -> list[Any]:
    reader = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
    tables = [
        row[0] for row in reader.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")
    ]
    content = [list(reader.execute(f"SELECT * FROM {name}")) for name in tables]
    reader.close()
    return content
