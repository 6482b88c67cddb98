"""Faults at addressed points: a store and a file system that count what passes, and strike where they are told.

What passes are the store's transactions. Those that record are named by the kinds of the entries that they
carry; the others by what they do (OTHER_TRANSACTIONS). A point is the n-th transaction of a name, and a moment:

    before                nothing of it has reached the file
    write-N               inside the N-th write to the database or its WAL: half of it is there
    sync                  all is written, nothing is flushed
    synced                it is flushed, and the library has not said so yet
    after                 it is committed, and nothing has been acted on
    acting                what it ordered was handed over, and nothing has left the process
    acted                 it has

Nothing of this is known to clew: its store is watched from outside, in the victim's process.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import msgspec

from clew.ports import RunRecord
from clew.stores.leases import StoredLeases
from clew.stores.sqlite import SqliteStore
from clew.stores.sqlite_orchestrators import SqliteOrchestrators

OTHER_TRANSACTIONS = ("open", "take", "register_program", "claim_run", "instruct", "refuse", "close")
LOOP_TURNS_TO_ACT = 3
"""After so many turns of the event loop what was handed to an executor has been sent to it."""
SYSTEM = apsw.vfs_names()[0]
"""The library's own file system, which is the default unless another is made so."""
STRUCK = "struck.json"
"""The file in which a witness says what it has struck."""


class Point(msgspec.Struct, frozen=True, order=True):
    """The `number`-th transaction (from 1) of that name, and the moment in it."""

    transaction: str
    number: int
    moment: str

    def __str__(self) -> str:
        return f"{self.transaction}.{self.number}/{self.moment}"


class Transaction(msgspec.Struct, frozen=True):
    """One that has passed: the kinds of its entries (or its name), and how often it wrote."""

    kinds: tuple[str, ...]
    write_count: int


class Fault(msgspec.Struct, frozen=True):
    """What happens at the point. `kill`; or `io`, a flush that fails, or `full`, a write for which there is no
    room; those two go on failing where `is_lasting`."""

    point: Point
    kind: str = "kill"
    is_lasting: bool = False


class Witness:
    """Sees transactions pass, and strikes."""

    def __init__(self, told: Path, fault: Fault | None) -> None:
        """`told`: the file that says what was struck: the kinds in the transaction, and how often it had written."""
        self._told = told
        self._fault = fault
        self._counts: Counter[str] = Counter()
        self._kinds: tuple[str, ...] = ()
        self._write_count = 0
        self._is_aimed_at = False
        self.has_struck = False
        self.passed: list[Transaction] = []

    # ---- what the store and the file system tell ----

    @contextmanager
    def transaction(self, kinds: Sequence[str]) -> Iterator[Callable[[str], None]]:
        """What happens within is one transaction; what is given tells of later moments of it."""
        self._kinds, self._write_count = tuple(kinds), 0
        self._is_aimed_at = self._count()
        try:
            self._at("before")
            yield self._later_moments(self._kinds, self._is_aimed_at)
            self.passed.append(Transaction(self._kinds, self._write_count))
            self._at("after")
        finally:
            self._is_aimed_at, self._kinds = False, ()

    def writing(self, write_half: Callable[[], None]) -> None:
        """A write is about to be made. Raises apsw.Error where it is to fail."""
        if self._kinds:
            self._write_count += 1
        if self._lasts("full"):
            self._strike()
        if self._is_at(f"write-{self._write_count}"):
            if self._fault is not None and self._fault.kind == "kill":
                write_half()
            self._strike()

    def syncing(self) -> None:
        """A flush is about to be made. Raises apsw.Error where it is to fail."""
        if self._lasts("io"):
            self._strike()
        if self._is_aimed_at and self._falls_short():
            self._strike()
        self._at("sync")

    def synced(self) -> None:
        """A flush was made. Raises apsw.Error where it is to be said to have failed."""
        self._at("synced")

    # ---- striking ----

    def _count(self) -> bool:
        """Count the transaction; whether it is the point's."""
        before = Counter(self._counts)
        self._counts.update(self._kinds)
        if self._fault is None:
            return False
        point = self._fault.point
        return before[point.transaction] < point.number <= self._counts[point.transaction]

    def _later_moments(self, kinds: tuple[str, ...], is_aimed_at: bool) -> Callable[[str], None]:
        def at(moment: str) -> None:
            if is_aimed_at and self._moment() == moment:
                self._kinds = kinds
                self._strike()

        return at

    def _falls_short(self) -> bool:
        """Whether the record wrote less often than it did in another run, when the point was chosen."""
        if self._fault is None or self._fault.kind != "kill" or self._kinds[0] in OTHER_TRANSACTIONS:
            return False
        return not self.has_struck and self._moment().startswith("write-")

    def _lasts(self, kind: str) -> bool:
        fault = self._fault
        return self.has_struck and fault is not None and fault.is_lasting and fault.kind == kind

    def _is_at(self, moment: str) -> bool:
        return self._is_aimed_at and not self.has_struck and self._moment() == moment

    def _at(self, moment: str) -> None:
        if self._is_at(moment):
            self._strike()

    def _moment(self) -> str:
        return "" if self._fault is None else self._fault.point.moment

    def _strike(self) -> None:
        assert self._fault is not None
        if not self.has_struck:
            struck = {"kinds": self._kinds, "write_count": self._write_count}
            self._told.write_text(json.dumps(struck))
        self.has_struck = True
        if self._fault.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._fault.kind == "io":
            raise apsw.IOError("the flush failed: injected")
        raise apsw.FullError("no room left: injected")


class FaultyFile(apsw.VFSFile):
    """A file of the database that tells the witness of its writes and flushes."""

    def __init__(self, witness: Witness, base: str, name: Any, flags: list[int]) -> None:
        self._witness = witness
        super().__init__(base, name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        def write_half() -> None:
            apsw.VFSFile.xWrite(self, bytes(data)[: len(data) // 2], offset)

        self._witness.writing(write_half)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self._witness.syncing()
        super().xSync(flags)
        self._witness.synced()


class FaultySystem(apsw.VFS):
    """The file system of this machine, with a witness. Being the default, it serves whoever opens a store."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        super().__init__("faulty", SYSTEM, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> FaultyFile:
        return FaultyFile(self._witness, SYSTEM, name, flags)


def watch(store: type[SqliteStore], witness: Witness) -> None:
    """Have this process' stores tell the witness of their transactions."""
    begin, record, close = store.__init__, store.record, store.close

    def watched_begin(self: SqliteStore, *given: Any, **named: Any) -> None:
        if named.get("read_only"):
            # The system's own files: what fails when a reader closes is ignored by the library, but is raised
            # where its file system is one in Python.
            begin(self, *given, **{**named, "vfs": SYSTEM})
            return
        with witness.transaction(["open"]):
            begin(self, *given, **named)
        _WATCHED.add(id(self))

    def watched_record(self: SqliteStore, records: Sequence[RunRecord]) -> list[str]:
        with witness.transaction(kinds_of(records)) as tell:
            fenced = record(self, records)
        tell_in_later_turns(tell)
        return fenced

    def watched_close(self: SqliteStore) -> None:
        if id(self) not in _WATCHED:
            close(self)
            return
        _WATCHED.discard(id(self))
        with witness.transaction(["close"]):
            try:
                close(self)
            except apsw.Error:
                if not witness.has_struck:
                    raise
                # The library has closed all the same: here, too, only a file system in Python makes it an error.

    taken = SqliteOrchestrators
    taken.take = named(witness, "take", taken.take)  # type: ignore[method-assign]
    for name in ("register_program", "instruct", "refuse"):
        setattr(store, name, named(witness, name, getattr(store, name)))
    StoredLeases.claim_run = named(witness, "claim_run", StoredLeases.claim_run)  # type: ignore[method-assign]
    store.__init__, store.record, store.close = watched_begin, watched_record, watched_close  # type: ignore[assignment, method-assign]


_WATCHED: set[int] = set()
"""The stores of this process that are open for writing."""


def named(witness: Witness, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, whose transaction has that name."""

    def watched(*given: Any, **named: Any) -> Any:
        with witness.transaction([name]):
            return method(*given, **named)

    return watched


def kinds_of(records: Sequence[RunRecord]) -> list[str]:
    """The kinds of all entries of these records."""
    return [json.loads(content)["body"]["kind"] for each in records for _, content, _ in each.entries]


def tell_in_later_turns(tell: Callable[[str], None]) -> None:
    """Tell of the moments after a commit, as the event loop goes on."""
    loop = asyncio.get_running_loop()

    def acted(turns: int) -> None:
        if turns:
            loop.call_soon(acted, turns - 1)
        else:
            tell("acted")

    loop.call_soon(tell, "acting")
    loop.call_soon(acted, LOOP_TURNS_TO_ACT)
