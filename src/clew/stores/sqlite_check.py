"""What the records of a SQLite store rest on, each thing looked at by itself: the library, the file system, the file,
the settings in force, the clock.

Nothing here changes anything. What is unsafe by itself says so with its reason; whether anything is driven all the same
is for others.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from clew.ports import Diagnosis, Holder
from clew.stores.file_systems import LOCAL, MEMORY, NETWORK, UNFLUSHED, FileSystem, file_system_of

FAULTY_SINCE = (3, 7, 0)
"""The first release with a WAL. Up to 3.51.2 a checkpoint that resets it may lose what another connection has just
committed (sqlite.org/wal.html, "the WAL-reset bug"): clew's verbs and readers are other connections."""

MENDED = {(3, 44): 6, (3, 50): 7, (3, 51): 3}
"""In which release of these lines that was mended; in all lines after the last of them it always was."""

ROOM_SIZE_MIN = 256 * 1024 * 1024
"""Bytes: room for some hundred thousand entries, so that somebody can be told before the disk is full."""

CLOCK_SANE_SINCE = datetime(2024, 1, 1, tzinfo=UTC)
"""A clock that shows an earlier moment was never set: a machine without a battery begins at 1970. Programs that came to
be live then would have been due ever since."""

CLOCK_OFF_MILLISECONDS_MAX = 60_000
"""A clock that is put right in passing moves less than the minute in which due times are told apart."""

Pragma = Callable[[str], Any]


def diagnose_library(version: str) -> Diagnosis:
    """Whether that release of SQLite, such as `3.51.3`, keeps what it has committed."""
    major, minor, patch = (int(part) for part in version.split(".")[:3])
    found, line = f"SQLite {version}", (major, minor)
    is_mended = line > max(MENDED) or patch >= MENDED.get(line, patch + 1)
    if is_mended or (major, minor, patch) < FAULTY_SINCE:
        return Diagnosis("library", "sound", found)
    releases = ", ".join(f"{major}.{minor}.{patch}" for (major, minor), patch in sorted(MENDED.items()))
    return Diagnosis(
        "library",
        "unsafe",
        f"{found}, which may lose what was committed while its log is reset",
        f"install an apsw that carries SQLite {releases} or later: pip install --upgrade apsw",
    )


# ---- where the file lies ---------------------------------------------------------------------------------


def diagnose_place(path: str) -> list[Diagnosis]:
    """Whether a store in that file, which need not be there yet, would last."""
    folder = os.path.dirname(os.path.realpath(path)) or "."
    beside = file_system_of(folder)
    own = file_system_of(path) if os.path.exists(path) else beside
    return [diagnose_file_system(beside), _file(path, own, beside), _room(folder)]


def diagnose_file_system(system: FileSystem | None) -> Diagnosis:
    """Whether that file system holds a store."""
    name = "file system"
    if system is None:
        return Diagnosis(
            name, "doubtful", "nobody tells of which kind it is", "see that it is a disk of this machine"
        )
    found = f"{system.kind}, mounted at {system.mounted_at}"
    elsewhere = "keep the store on a disk of this machine (--store sqlite:////path), or in PostgreSQL"
    unflushed = sorted(system.options & UNFLUSHED)
    if system.kind in NETWORK:
        return Diagnosis(
            name,
            "unsafe",
            f"{found}: shared with other machines, whose locks SQLite can't rely on",
            elsewhere,
        )
    if unflushed:
        return Diagnosis(
            name,
            "unsafe",
            f"{found} with the option {unflushed[0]}: what was flushed may be gone after a power failure",
            f"mount it without {unflushed[0]}, or {elsewhere}",
        )
    if system.kind in MEMORY:
        return Diagnosis(name, "doubtful", f"{found}: gone when this machine is switched off", elsewhere)
    if system.kind in LOCAL:
        return Diagnosis(name, "sound", found)
    return Diagnosis(
        name,
        "doubtful",
        f"{found}, of which clew knows nothing",
        "see that it is of this machine alone, keeps locks, and flushes; else " + elsewhere,
    )


def _file(path: str, own: FileSystem | None, beside: FileSystem | None) -> Diagnosis:
    """The log lies beside the file, under its name: the two must stay together."""
    name = "file"
    try:
        facts = os.stat(path)
    except OSError:
        return Diagnosis(name, "sound", f"{path}, which is not there yet")
    if own is not None and beside is not None and own.mount_id != beside.mount_id:
        return Diagnosis(
            name,
            "unsafe",
            f"{path} is mounted by itself, so that its write-ahead log lies in another file system",
            "mount the folder that holds it, and not the file alone",
        )
    if facts.st_nlink > 1:
        return Diagnosis(
            name,
            "doubtful",
            f"{path} has {facts.st_nlink} names, and each name has a write-ahead log of its own",
            "never open it by another name; to copy it: sqlite3 FILE '.backup COPY'",
        )
    if not os.access(path, os.W_OK):
        return Diagnosis(
            name, "doubtful", f"{path} can't be written by this user", "drive its runs as the one who may"
        )
    return Diagnosis(name, "sound", path)


def _room(folder: str) -> Diagnosis:
    name = "room"
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    facts = os.statvfs(folder)
    free = facts.f_bavail * facts.f_frsize
    found = f"{free // 1024**2:,} MiB free"
    if free < ROOM_SIZE_MIN:
        return Diagnosis(name, "doubtful", found, "make room before it is full: then nothing goes on")
    return Diagnosis(name, "sound", found)


# ---- what is in force ------------------------------------------------------------------------------------


def diagnose_settings(pragma: Pragma) -> list[Diagnosis]:
    """What is in force on a connection, as the library says it, whatever it was told."""
    log, flush = str(pragma("journal_mode")), int(pragma("synchronous"))
    found = f"journal_mode={log}, synchronous={_FLUSHES.get(flush, flush)}"
    if log == "memory":
        found = f"synchronous={_FLUSHES.get(flush, flush)}; the write-ahead log comes with the file"
    durability = Diagnosis("durability", "sound", found)
    if flush < 2:
        durability = Diagnosis(
            "durability",
            "unsafe",
            f"{found}: what was committed may be gone after a power failure",
            "use a library that obeys PRAGMA synchronous: pip install --upgrade apsw",
        )
    elif log not in ("wal", "memory"):
        durability = Diagnosis(
            "durability",
            "doubtful",
            f"{found}: somebody has switched the write-ahead log off",
            "leave it on; the next orchestrator switches it on again",
        )
    wanted = {"trusted_schema": 0, "cell_size_check": 1, "mmap_size": 0}
    in_force = {name: pragma(name) or 0 for name in wanted}
    others = ", ".join(f"{name}={value}" for name, value in in_force.items())
    guards = Diagnosis("guards", "sound", others)
    if in_force != wanted:
        guards = Diagnosis(
            "guards",
            "doubtful",
            f"{others}: damage is noticed late, or done",
            "use the library that apsw carries",
        )
    isolation = Diagnosis("isolation", "sound", "serializable: one writer at a time, locked from its start")
    if pragma("read_uncommitted"):
        isolation = Diagnosis(
            "isolation",
            "unsafe",
            "read_uncommitted=1: what is read may never be committed",
            "use the library that apsw carries",
        )
    return [durability, isolation, guards]


_FLUSHES = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}


def diagnose_clock(now: int, uptime: int, boot_id: str, *, newest: int, last: Holder | None) -> Diagnosis:
    """Whether the wall clock, which shows `now`, can be right: by the newest moment on record, and by the other clock
    of this machine, if it has not been started again since somebody drove last. All in milliseconds."""
    name, found = "clock", _moment(now)
    remedy = "set this machine's clock, and keep it right (NTP), before anything is due"
    if now < CLOCK_SANE_SINCE.timestamp() * 1000:
        return Diagnosis(name, "unsafe", f"{found}: it was never set", remedy)
    if last is not None:
        newest = max(newest, last.started_at)
    if newest - now > CLOCK_OFF_MILLISECONDS_MAX:
        return Diagnosis(
            name,
            "doubtful",
            f"{found}, which is before the newest moment on record, {_moment(newest)}: it is behind, or was ahead",
            remedy + "; what is on record as due until then does not come again",
        )
    if last is not None and last.boot_id == boot_id != "":
        moved = (now - last.started_at) - (uptime - last.uptime)
        if abs(moved) > CLOCK_OFF_MILLISECONDS_MAX:
            way = "forward" if moved > 0 else "back"
            return Diagnosis(
                name,
                "doubtful",
                f"{found}; it was set {way} by {abs(moved) // 1000} seconds since {_moment(last.started_at)}",
                "see that it is right now; times that it skipped are due, or missed, all the same",
            )
    return Diagnosis(name, "sound", found)


def _moment(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%SZ}"
