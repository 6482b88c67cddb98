"""A store is taken, so that its runs are driven by this process: its lock, a look at what its records rest on, its next
epoch; in this order, so that nothing is written to what is unsafe, and nobody is fenced in vain.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import apsw

from clew.ports import Diagnosis, Holder, StoreBusy, UnsafeStore
from clew.settings import Settings
from clew.stores.lock import OrchestratorLock
from clew.stores.sqlite import SqliteStore
from clew.stores.sqlite_check import diagnose_library, diagnose_place
from clew.wiring.records import open_store

LOCK_INTERVAL_SECONDS = 0.05
"""How often a lock that another process holds is asked for: soon enough for a person, rare enough for a core."""

VERSION = "0.1.0"
"""Of clew, as its package says it: asking that costs 40 ms of every start."""

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class TakenStore(NamedTuple):
    """A store whose runs this process drives, and what was found of what its records rest on."""

    store: SqliteStore
    lock: OrchestratorLock
    diagnoses: Sequence[Diagnosis]


async def take_store(settings: Settings, *, wait: bool) -> TakenStore:
    """The store of these settings, to drive its runs. Raises StoreBusy when another process does, unless told to wait,
    UnsafeStore unless the settings put up with it, and StoreError."""
    lock = lock_of(settings)
    await _acquire(lock, wait=wait)
    store: SqliteStore | None = None
    try:
        diagnoses = diagnose_ground(settings)
        _refuse_unsafe(settings, diagnoses)
        store = open_store(settings)
        me = this_process()
        diagnoses += store.diagnose(me)
        _refuse_unsafe(settings, diagnoses)
        store.join(me, {each.name: each.found for each in unsafe_of(diagnoses)})
    except BaseException:
        if store is not None:
            store.close()
        lock.release()
        raise
    return TakenStore(store, lock, diagnoses)


def lock_of(settings: Settings) -> OrchestratorLock:
    """The lock of the store, not taken."""
    return OrchestratorLock(settings.store + ".lock")


def diagnose_ground(settings: Settings) -> list[Diagnosis]:
    """What can be told of a store before it is opened, or made."""
    return [diagnose_library(apsw.sqlite_lib_version()), *diagnose_place(settings.store)]


def unsafe_of(diagnoses: Iterable[Diagnosis]) -> list[Diagnosis]:
    """Those that keep a store from being driven."""
    return [each for each in diagnoses if each.verdict == "unsafe"]


def this_process() -> Holder:
    """This process, as it takes a store now."""
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            boot_id = file.read().strip()
    except OSError:
        boot_id = ""
    clock = getattr(
        time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC
    )  # the one that goes on while a machine sleeps
    uptime = time.clock_gettime_ns(clock) // 1_000_000
    return Holder(os.uname().nodename, os.getpid(), boot_id, time.time_ns() // 1_000_000, uptime, VERSION)


async def _acquire(lock: OrchestratorLock, *, wait: bool) -> None:
    """Asked for again and again rather than waited for in a thread, which nothing could interrupt."""
    while True:
        try:
            return lock.acquire(this_process())
        except StoreBusy:
            if not wait:
                raise
        await asyncio.sleep(LOCK_INTERVAL_SECONDS)


def _refuse_unsafe(settings: Settings, diagnoses: Iterable[Diagnosis]) -> None:
    unsafe = unsafe_of(diagnoses)
    if unsafe and not settings.unsafe_store:
        raise UnsafeStore(
            "\n".join(
                [
                    f"{settings.store}: what is recorded here might be lost or damaged; nothing was done",
                    *(f"{each.name}: {each.found}; {each.remedy}" for each in unsafe),
                    "or drive it all the same, and on record: --unsafe-store, or unsafe_store = true in clew.toml",
                ]
            )
        )
