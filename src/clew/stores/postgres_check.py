"""What the records of a store in PostgreSQL rest on: the server's release, its settings, its role, and the clocks.

Nothing here changes anything. What is unsafe by itself says so with its reason; whether anything is driven all the same
is for others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from clew.ports import Diagnosis

RELEASE_MIN = 14
"""The oldest that is tested, and that its makers still mend."""

CLOCKS_APART_MILLISECONDS_MAX = 5_000
"""Leases go by the server's clock alone; records and due times by this machine's."""

Asked = Callable[[str], list[Sequence[Any]]]
"""Answers a query."""


def diagnose_server(ask: Asked, now: int) -> list[Diagnosis]:
    """Whether what is recorded on that server would last. `now`: this machine's clock, in milliseconds since 1970."""
    names = (
        "server_version_num", "server_version", "fsync", "full_page_writes", "synchronous_commit",
        "default_transaction_isolation", "default_transaction_read_only",
    )  # fmt: skip
    asked = ", ".join(f"current_setting('{name}')" for name in names)
    found = dict(zip(names, ask(f"SELECT {asked}")[0], strict=True))
    [(is_standby, clock)] = ask("SELECT pg_is_in_recovery(), extract(epoch FROM clock_timestamp()) * 1000")
    return [
        _release(int(found["server_version_num"]) // 10_000, found["server_version"]),
        _durability(found),
        _isolation(found["default_transaction_isolation"]),
        _role(is_standby, found["default_transaction_read_only"] == "on"),
        _clocks(int(clock) - now),
    ]


def _release(release: int, version: str) -> Diagnosis:
    found = f"PostgreSQL {version}"
    if release >= RELEASE_MIN:
        return Diagnosis("server", "sound", found)
    return Diagnosis(
        "server", "unsafe", f"{found}, which clew is not tested on", f"use PostgreSQL {RELEASE_MIN} or later"
    )


def _durability(found: dict[str, str]) -> Diagnosis:
    wrong = [f"{name} = {found[name]}" for name in ("fsync", "full_page_writes") if found[name] != "on"]
    if found["synchronous_commit"] == "off":
        wrong.append("synchronous_commit = off")
    if wrong:
        return Diagnosis(
            "durability", "unsafe", f"{', '.join(wrong)}: what was committed may be lost, or damaged, with its power",
            "set it on, for the server, or for the database: ALTER DATABASE ... SET synchronous_commit = on",
        )  # fmt: skip
    return Diagnosis(
        "durability",
        "sound",
        f"a commit is on disk when it is told (synchronous_commit = {found['synchronous_commit']})",
    )


def _isolation(level: str) -> Diagnosis:
    if level == "read committed":
        return Diagnosis("isolation", "sound", level)
    return Diagnosis(
        "isolation", "unsafe", f"{level}: a claim that waited for another would fail instead of seeing it",
        "ALTER DATABASE ... SET default_transaction_isolation = 'read committed'",
    )  # fmt: skip


def _role(is_standby: bool, is_read_only: bool) -> Diagnosis:
    if is_standby or is_read_only:
        what = "a standby" if is_standby else "read only"
        return Diagnosis(
            "role", "unsafe", f"the server is {what}, where nothing can be recorded", "name the primary"
        )
    return Diagnosis("role", "sound", "primary")


def _clocks(apart: int) -> Diagnosis:
    if abs(apart) <= CLOCKS_APART_MILLISECONDS_MAX:
        return Diagnosis("clocks", "sound", f"this machine's and the server's are {abs(apart)} ms apart")
    way = "behind" if apart > 0 else "ahead of"
    return Diagnosis(
        "clocks", "doubtful", f"this machine's is {abs(apart) / 1000:.0f} seconds {way} the server's",
        "set the clock that is wrong; leases go by the server's, due times and records by this machine's",
    )  # fmt: skip
