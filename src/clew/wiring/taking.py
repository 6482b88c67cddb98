"""A store is taken, so that its runs are driven by this process: its lock, a look at what its records rest on, its next
epoch; in this order, so that nothing is written to what is unsafe, and nobody is fenced in vain.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import apsw

from clew.orchestrator.lease_keeper import LeaseKeeper, boot_nanoseconds
from clew.ports import Diagnosis, Holder, StoreBusy, UnsafeStore
from clew.settings import Settings, is_url
from clew.stores.lock import OrchestratorLock
from clew.stores.sqlite_check import diagnose_library, diagnose_place
from clew.stores.store import DatabaseStore
from clew.wiring.records import open_store, shown

if TYPE_CHECKING:
    from clew.executors.attempts_lease import AttemptsLease

LOCK_INTERVAL_SECONDS = 0.05
"""How often a lock that another process holds is asked for: soon enough for a person, rare enough for a core."""

VERSION = "0.1.0"
"""Of clew, as its package says it: asking that costs 40 ms of every start."""

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class TakenStore(NamedTuple):
    """A store whose runs this process drives, and what was found of what its records rest on. `release`: gives back
    what keeps others from them, when the store is closed; `lease`, `attempts`: kept where there are others."""

    store: DatabaseStore
    diagnoses: Sequence[Diagnosis]
    release: Callable[[], None]
    lease: LeaseKeeper | None = None
    attempts: AttemptsLease | None = None


async def take_store(settings: Settings, *, wait: bool) -> TakenStore:
    """The store of these settings, to drive its runs. Raises StoreBusy when another process does and there may be only
    one, unless told to wait, UnsafeStore unless the settings put up with it, and StoreError."""
    if is_url(settings.store):
        return _join(settings)
    lock = lock_of(settings)
    await _acquire(lock, wait=wait)
    try:
        store, diagnoses = _open(settings, diagnose_ground(settings))
    except BaseException:
        lock.release()
        raise
    return TakenStore(store, diagnoses, lock.release)


def _join(settings: Settings) -> TakenStore:
    """Beside others, for the length of a lease that is kept."""
    from clew.executors.attempts_lease import AttemptsLease

    since, length = boot_nanoseconds(), settings.lease_milliseconds
    store, diagnoses = _open(settings, [])
    os.makedirs(os.path.dirname(settings.beside), mode=0o700, exist_ok=True)
    attempts = AttemptsLease()
    keeper = LeaseKeeper(
        store.renewals(length), since=since, lease_milliseconds=length, attempts_last=attempts.ends_at
    )
    keeper.start()

    def release() -> None:
        keeper.stop()
        attempts.close()

    return TakenStore(store, diagnoses, release, keeper, attempts)


def _open(settings: Settings, diagnoses: list[Diagnosis]) -> tuple[DatabaseStore, list[Diagnosis]]:
    _refuse_unsafe(settings, diagnoses)
    store = open_store(settings)
    try:
        me = this_process()
        diagnoses += store.diagnose(me)
        _refuse_unsafe(settings, diagnoses)
        unsafe = {each.name: each.found for each in unsafe_of(diagnoses)}
        store.join(me, unsafe, lease_milliseconds=settings.lease_milliseconds)
    except BaseException:
        store.close()
        raise
    return store, diagnoses


def lock_of(settings: Settings) -> OrchestratorLock:
    """The lock of the store, not taken."""
    return OrchestratorLock((settings.beside or settings.store) + ".lock")


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
    unsafe, told = unsafe_of(diagnoses), shown(settings.store)
    if unsafe and not settings.unsafe_store:
        raise UnsafeStore(
            "\n".join(
                [
                    f"{told}: what is recorded here might be lost or damaged; nothing was done",
                    *(f"{each.name}: {each.found}; {each.remedy}" for each in unsafe),
                    "or drive it all the same, and on record: --unsafe-store, or unsafe_store = true in clew.toml",
                ]
            )
        )
