"""A run's journal: entries, each linked by hash to the one before, the first to the plan."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from typing import NamedTuple

import msgspec

from clew.core.running.entries import Body, Entry, RunCreated
from clew.core.sealing.canonical import ENTRY_TAG, encode


@cache
def _decoder() -> msgspec.json.Decoder[Entry]:
    """Made when the first entry is read: that takes as long as a short run, which reads none."""
    return msgspec.json.Decoder(Entry)


class JournalError(ValueError):
    """A journal does not hold; `seq` is that of the first bad entry."""

    def __init__(self, seq: int, what: str) -> None:
        super().__init__(f"entry {seq}: {what}")
        self.seq = seq


class StoredEntry(NamedTuple):
    """An entry as it stands in the store: the very bytes that were hashed, and their hash."""

    content: bytes
    hash: str


class Head:
    """Where a journal ends: the next entry's `seq` and `prev`. Linking moves it on."""

    __slots__ = ("hash", "run", "seq")

    def __init__(self, run: str, seq: int, hash: str) -> None:
        self.run, self.seq, self.hash = run, seq, hash

    def link(
        self, body: Body, *, at: int, epoch: int, block: str = "", payload: str = ""
    ) -> tuple[Entry, StoredEntry]:
        """The next entry and what is stored of it."""
        entry = Entry(at, body, epoch, self.hash, self.run, self.seq, 1, block, payload)
        content = encode(entry)
        self.seq += 1
        self.hash = sha256(ENTRY_TAG + content).hexdigest()
        return entry, StoredEntry(content, self.hash)


def read_entry(content: bytes) -> Entry:
    """The entry of stored bytes. Raises ValueError when they are not canonical or not an entry."""
    try:
        entry = _decoder().decode(content)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a journal entry: {error}") from error
    if encode(entry) != content:
        raise ValueError("not in canonical form, or with fields that no entry has")
    return entry


class JournalLinks:
    """Takes a journal's entries one after the other, and recomputes hash and link of each. `count`: how many there
    were; `hash`: of the last of them."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.count = 0
        self.hash = ""
        self._epoch = 0

    def take(self, content: bytes) -> Entry:
        """The next entry. Raises JournalError where it does not hold."""
        seq = self.count
        try:
            entry = read_entry(content)
        except ValueError as error:
            raise JournalError(seq, str(error)) from error
        if entry.run != self.run or entry.seq != seq:
            raise JournalError(seq, f"it stands in the place of entry {entry.seq} of run {entry.run}")
        if seq == 0:
            if not isinstance(entry.body, RunCreated):
                raise JournalError(seq, "a journal begins with run_created")
            self.hash = entry.body.plan
        if entry.prev != self.hash:
            raise JournalError(seq, "it does not link to the entry before")
        if entry.epoch < self._epoch:
            raise JournalError(seq, "it was written under an epoch that had been taken over")
        self.hash = sha256(ENTRY_TAG + content).hexdigest()
        self._epoch = entry.epoch
        self.count += 1
        return entry


def verify_journal(run: str, stored: Iterable[StoredEntry]) -> list[Entry]:
    """Recompute every hash and link. Returns the entries; raises JournalError at the first that does not hold."""
    entries: list[Entry] = []
    links = JournalLinks(run)
    for content, found in stored:
        entries.append(links.take(content))
        if links.hash != found:
            raise JournalError(links.count - 1, "its bytes do not give its hash")
    if not entries:
        raise JournalError(0, "the journal is empty")
    return entries
