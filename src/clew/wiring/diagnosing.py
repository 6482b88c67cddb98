"""What `clew doctor` tells: on what the store's records rest, who drives its runs, and what is in force here.

Nothing is changed by it, nor made; and nothing is told that is a secret.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import apsw
from msgspec import to_builtins

from clew.buckets import open_bucket
from clew.core.program.durations import written_duration
from clew.ports import BucketError, Diagnosis, Holder, SecretSource, SigningKeyError, StoreError
from clew.settings import Settings, is_url
from clew.stores.queries import load_migrations
from clew.wiring.orchestrators import EXECUTORS, WORKERS_PER_CORE
from clew.wiring.programs import zone_data_release
from clew.wiring.records import look_at_database, open_store, shown
from clew.wiring.taking import VERSION, diagnose_ground, lock_of, this_process

Json = Any

BUCKETS_SECONDS_MAX = 5
"""How long all buckets together may take to answer: a person waits for it."""

_WORST_FIRST = ("unsafe", "doubtful", "sound")
_OPTIONAL = {"psycopg": "postgres", "botocore": "aws"}
"""Packages that come with clew's extras."""


def diagnose(settings: Settings, *, is_thorough: bool = False) -> dict[str, Json]:
    """All of it, as one document. `is_thorough`: read the whole store as well, page by page."""
    seen = (_server if is_url(settings.store) else _file)(settings, is_thorough)
    diagnoses = list(seen.diagnoses)
    buckets = [("bucket " + name, url) for name, url in sorted(settings.buckets.items())]
    places = [(f"checkpoints {at}", url) for at, url in enumerate(settings.checkpoints, start=1)]
    if settings.archive:
        places.append(("retention.archive", settings.archive))
    diagnoses += _buckets([*buckets, ("payloads", settings.payloads), *places])
    diagnoses += _signing_key(settings.signing_key)
    return {
        "verdict": worst(each.verdict for each in diagnoses),
        "store": seen.document,
        "is_driven": seen.is_driven,
        "driven_by": [holder._asdict() for holder in seen.driven_by],
        "driven_last": seen.driven_last and seen.driven_last._asdict(),
        "diagnoses": [to_builtins(each) for each in diagnoses],
        "versions": _versions(),
        "executors": _executors(settings),
        "settings": _settings(settings),
    }


def worst(verdicts: Iterable[str]) -> str:
    """That which most needs to be looked at."""
    found = set(verdicts)
    return next(verdict for verdict in _WORST_FIRST if verdict in found)


# ---- the store -------------------------------------------------------------------------------------------


class _Seen(NamedTuple):
    """A store as a document, what is found of it, who drives its runs now, as far as they say so, and who did last."""

    document: dict[str, Json]
    diagnoses: list[Diagnosis]
    is_driven: bool
    driven_by: Sequence[Holder]
    driven_last: Holder | None


def _file(settings: Settings, is_thorough: bool) -> _Seen:
    """A store in a file, which may not be there yet."""
    path, lock = settings.store, lock_of(settings)
    exists, is_held = os.path.exists(path), lock.is_held()
    holder = lock.holder() if is_held else None
    document: dict[str, Json] = {
        "path": path, "exists": exists, "size": _size(path), "log_size": _size(path + "-wal"),
        "schema": None, "schema_here": load_migrations("sqlite")[-1][0],
    }  # fmt: skip
    diagnoses, last = diagnose_ground(settings), None
    try:
        with closing(open_store(settings if exists else _nowhere(settings), read_only=exists)) as store:
            document["schema"] = store.schema if exists else None
            if exists and is_thorough:
                diagnoses.append(_pages(store.damages()))
            last = store.last_orchestrator()
            diagnoses += store.diagnose(this_process())
    except StoreError as error:
        diagnoses.append(_not_opened(error))
    return _Seen(document, diagnoses, is_held, [] if holder is None else [holder], last)


def _server(settings: Settings, is_thorough: bool) -> _Seen:
    """A store in a database, in which there may be none yet."""
    document: dict[str, Json] = {
        "path": shown(settings.store), "exists": False, "size": 0, "log_size": None,
        "schema": None, "schema_here": load_migrations("postgres")[-1][0],
    }  # fmt: skip
    diagnoses: list[Diagnosis] = []
    there: list[Holder] = []
    last = None
    try:
        with closing(look_at_database(settings)) as store:
            diagnoses += store.diagnose(this_process())
            document["exists"] = exists = store.schema > 0
            if exists:
                document |= {"schema": store.schema, "size": store.size()}
                if is_thorough:
                    diagnoses.append(_pages(store.damages()))
                there, last = store.orchestrators(), store.last_orchestrator()
    except StoreError as error:
        document["exists"] = True  # as far as anybody can tell
        diagnoses.append(_not_opened(error))
    return _Seen(document, diagnoses, bool(there), there, last)


def _not_opened(error: StoreError) -> Diagnosis:
    return Diagnosis("store", "unsafe", str(error), "nothing can be driven before it opens")


def _nowhere(settings: Settings) -> Settings:
    """A store in memory, to see what would be in force."""
    return Settings(":memory:", settings.logs, settings.payloads)


def _pages(damages: list[str]) -> Diagnosis:
    if not damages:
        return Diagnosis("pages", "sound", "all were read, and none is damaged")
    remedy = "drive nothing; keep a copy of the files as they are, and restore the last sound one"
    return Diagnosis("pages", "unsafe", "; ".join(damages), remedy)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


# ---- buckets ---------------------------------------------------------------------------------------------


def _buckets(buckets: Iterable[tuple[str, str]]) -> list[Diagnosis]:
    """Whether each bucket answers; all are asked at the same time, and none is waited for longer than so long."""
    found: dict[str, Diagnosis] = {}

    def ask(name: str, url: str) -> None:
        found[name] = _bucket(name, url)

    asked = []
    for name, url in buckets:
        thread = threading.Thread(
            target=ask, args=(name, url), daemon=True
        )  # one that hangs ends with the process
        thread.start()
        asked.append((name, url, thread))
    told, end = [], monotonic() + BUCKETS_SECONDS_MAX
    for name, url, thread in asked:
        thread.join(max(end - monotonic(), 0))
        silent = f"{without_password(url)} did not answer within {BUCKETS_SECONDS_MAX} seconds"
        told.append(found.get(name) or Diagnosis(name, "doubtful", silent, _REACH))
    return told


_REACH = "see that it is there, and may be reached from here with the credentials at hand"


def _bucket(name: str, url: str) -> Diagnosis:
    told = without_password(url)
    if url.startswith("file:"):
        from clew.buckets.file import folder_of

        if not os.path.isdir(folder_of(url)):
            # Nothing is in it yet; the folder comes with the first object.
            return Diagnosis(name, "sound", f"{told}, a folder that is not there yet")
    try:
        next(iter(open_bucket(url, {}).list_folder("")), None)
    except BucketError as error:
        return Diagnosis(name, "doubtful", without_password(str(error)), _REACH)
    return Diagnosis(name, "sound", f"{told} answers")


def _signing_key(path: str) -> list[Diagnosis]:
    """Whether the key can sign; one that is not there yet is made when it is needed."""
    if not os.path.exists(path):
        return []
    from clew.trust.signing import read_signing_key

    try:
        key = read_signing_key(path).public
    except SigningKeyError as error:
        why, _, remedy = str(error).partition("; ")
        return [Diagnosis("signing key", "doubtful", why, remedy)]
    return [Diagnosis("signing key", "sound", f"{path} signs as {key.name}")]


# ---- what is in force here -------------------------------------------------------------------------------


def _versions() -> dict[str, str | None]:
    return {
        "clew": VERSION,
        "python": sys.version.split()[0],
        "sqlite": apsw.sqlite_lib_version(),
        "apsw": apsw.apsw_version(),
        **{name: _version_of(name) for name in _OPTIONAL},
        "time zone data": zone_data_release(),
    }


def _version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _executors(settings: Settings) -> dict[str, str]:
    count = settings.workers_max or WORKERS_PER_CORE * (os.cpu_count() or 1)
    said = "the setting `workers`" if settings.workers_max else f"{WORKERS_PER_CORE} a core"
    told = {
        "local": f"processes of this machine, {count} attempts at once ({said})",
        "inline": "functions of the process that calls `Program.run`; elsewhere as local",
    }
    return {name: told[name] for name in EXECUTORS}


def _settings(settings: Settings) -> dict[str, Json]:
    return {
        "store": without_password(settings.store),
        "logs": settings.logs,
        "payloads": without_password(settings.payloads),
        "sources": settings.sources,
        "programs": [place.name for place in settings.programs],
        "workers": settings.workers_max,
        "signing_key": settings.signing_key,
        "checkpoints": [without_password(url) for url in settings.checkpoints],
        "retention": {
            **{status: written_duration(kept) for status, kept in settings.retention.items()},
            **({"archive": without_password(settings.archive)} if settings.archive else {}),
        },
        "jitter_milliseconds": settings.jitter_milliseconds,
        "lease_milliseconds": settings.lease_milliseconds,
        "unsafe_store": settings.unsafe_store,
        "buckets": {name: without_password(url) for name, url in sorted(settings.buckets.items())},
        "secrets": {name: _secret(name, each) for name, each in sorted(settings.secrets.items())},
    }


def _secret(name: str, source: SecretSource) -> str:
    """Where a secret is found, and whether there is anything, or anybody to ask; never what. Nobody is asked."""
    match source.kind:
        case "environment":
            found = "set" if source.name in os.environ else "not set"
        case "file":
            found = "there" if os.path.exists(source.name) else "not there"
        case "command":
            found = "there" if _finds(source.name, source.folder) else "not found"
        case _:
            from clew.trust.providers import find_fault  # most settings have no plug-in

            found = find_fault(source, name) or "there"
    return f"{_SECRET_WORDS.get(source.kind, source.kind)} {source.name} ({found})"


_SECRET_WORDS = {"plugin": "plug-in"}


def _finds(program: str, folder: str) -> bool:
    """Whether a process that is started in the folder finds the program."""
    return shutil.which(os.path.join(folder, program) if os.sep in program else program) is not None


_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"]+", re.IGNORECASE)


def without_password(text: str) -> str:
    """The text, with each URL in it as it is but for its password, and for what follows such a name in its query."""
    return _URL.sub(lambda match: _bare(match[0]), text)


_SECRET_PARAMETER = re.compile(r"((?:^|&)[^=&]*(?:password|secret|token|key)[^=&]*=)[^&]*", re.IGNORECASE)


def _bare(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition("//")[0] + "//…"
    place = parts.netloc
    user, at, host = place.rpartition("@")
    if at and ":" in user:
        place = f"{user.partition(':')[0]}:…@{host}"
    query = _SECRET_PARAMETER.sub(r"\1…", parts.query)
    return urlunsplit((parts.scheme, place, parts.path, query, parts.fragment))
