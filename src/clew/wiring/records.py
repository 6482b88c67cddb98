"""Opens what the record of runs is read through: the store, the payloads beside it, the programs of its versions.

Nothing here drives a run, so nothing here loads what driving takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from clew.ports import Bucket, SearchAnswer, SearchRequest, StoreError
from clew.settings import Settings, is_url
from clew.stores.sqlite import SqliteStore
from clew.stores.store import DatabaseStore
from clew.wiring.plug_ins import PlugIns

if TYPE_CHECKING:
    from clew.core.running.sealed_program import SealedProgram
    from clew.operations.records import Records
    from clew.orchestrator.programs import ProgramBook
    from clew.stores.postgres import PostgresStore


def open_store(settings: Settings, *, read_only: bool = False) -> DatabaseStore:
    """The state store of these settings. Raises StoreError."""
    if not is_url(settings.store):
        return SqliteStore(settings.store, read_only=read_only)
    return _postgres()(settings.store, read_only=read_only)


def look_at_database(settings: Settings) -> PostgresStore:
    """What there is in a database, be it a store or not: for `clew doctor`. Raises StoreError."""
    return _postgres()(settings.store, read_only=True, may_be_empty=True)


def _postgres() -> type[PostgresStore]:
    try:
        from clew.stores.postgres import PostgresStore
    except ImportError as error:
        raise StoreError(
            "a store in PostgreSQL needs the extra 'postgres': pip install 'clew[postgres]'"
        ) from error
    return PostgresStore


def shown(store: str) -> str:
    """The store as it may be shown to anybody: a URL without its password."""
    if not is_url(store):
        return store
    from clew.stores.postgres import without_password

    return without_password(store)


def has_store(settings: Settings) -> bool:
    """Whether there may be a store: a database says so itself when it is opened."""
    return is_url(settings.store) or os.path.exists(settings.store)


def see_store(settings: Settings) -> None:
    """Raises StoreError where there is no store."""
    if not has_store(settings):
        raise StoreError(
            f"{settings.store}: there is no store here; `clew run` makes one, --store names another"
        )


@contextmanager
def open_records(settings: Settings) -> Iterator[Records]:
    """What there is to read about the runs of a store. Raises StoreError."""
    see_store(settings)
    from clew.operations.records import Records

    store = open_store(settings, read_only=True)
    try:
        yield Records(store, LazyBucket(settings.payloads), _sealed_in(store), _rows_of)
    finally:
        store.close()


def _sealed_in(store: DatabaseStore) -> Callable[[str], SealedProgram]:
    """Reads the versions of that store, each once."""

    @cache
    def book() -> ProgramBook:
        from clew.orchestrator.real_world import RealClock
        from clew.wiring.programs import new_book

        return new_book(store, RealClock())

    return lambda version: book().of_version(version)


def _rows_of(state: Any) -> Any:
    from clew.orchestrator.driven_run import run_row, stage_row

    return run_row(state), sorted(stage_row(unit) for unit in state.units.values())


# ---- logs ------------------------------------------------------------------------------------------------


def log_path(folder: str, run_id: str, stage: str, number: str) -> str:
    """The file of an attempt's log. Stages are named by people, so the name is made safe for a file."""
    return f"{folder}/{run_id}/{_safe_name(stage)}.{number}.log"


@lru_cache(maxsize=4096)
def _safe_name(stage: str) -> str:
    return "".join(
        letter if letter.isalnum() or letter in "-_" else f"%{ord(letter):02x}" for letter in stage
    )


# ---- searching -------------------------------------------------------------------------------------------


def search_dependencies(
    requests: Sequence[SearchRequest],
    *,
    settings: Settings | None = None,
    plug_ins: PlugIns | None = None,
    probes: bool = False,
) -> Sequence[SearchAnswer]:
    """See `ports.Searcher`. Without settings only files are looked for. With `probes` it also sees which part of a
    path exists, for a person who asks. `plug_ins`: those that somebody else can end."""
    from clew.buckets import open_bucket
    from clew.buckets.rounds import look_together

    if settings is None:
        return look_together(requests, open_bucket, probes=probes)
    from clew.wiring.asking import Asking, Surroundings

    look = (plug_ins or PlugIns()).look
    with Asking(Surroundings(settings=settings, look=look)) as ask:
        return look_together(requests, open_bucket, ask=ask, probes=probes)


class LazyBucket:
    """The bucket for large payloads, opened when there is one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._opened: Bucket | None = None

    def _bucket(self) -> Bucket:
        if self._opened is None:
            from clew.buckets import open_bucket

            self._opened = open_bucket(self.url, {})
        return self._opened

    def list_folder(self, folder: str, start: str = "") -> Iterator[Any]:
        return self._bucket().list_folder(folder, start)

    def facts(self, key: str) -> Any:
        return self._bucket().facts(key)

    def read(self, key: str, size_max: int) -> bytes:
        return self._bucket().read(key, size_max)

    def read_pieces(self, key: str) -> Iterator[bytes]:
        return self._bucket().read_pieces(key)

    def write(self, key: str, content: bytes) -> Any:
        return self._bucket().write(key, content)

    def write_pieces(self, key: str, pieces: Iterable[bytes]) -> Any:
        return self._bucket().write_pieces(key, pieces)

    def copy(self, key: str, target: str) -> Any:
        return self._bucket().copy(key, target)

    def delete(self, key: str) -> bool:
        return self._bucket().delete(key)


def probe(records: Records, row: Mapping[str, Any], settings: Settings) -> dict[str, SearchAnswer]:
    """Look now, for each waiting stage of the run, for what it waits for. Records nothing."""
    import msgspec

    from clew.core.running.consequences import inputs_missing
    from clew.core.running.statuses import WAITING
    from clew.orchestrator.driven_run import DrivenRun, Origin
    from clew.orchestrator.requests import scope_of, search_request

    history = records.history(dict(row))
    origin = msgspec.json.decode(row["origin"], type=Origin)
    run = DrivenRun(history.program, row["run_id"], epoch=row["epoch"], origin=origin)
    run.restore(list(history.journal), history.values)
    buckets = {**settings.buckets, **origin.buckets}
    answers: dict[str, SearchAnswer] = {}
    for name, stage in run.state.stages.items():
        if stage.status != WAITING:
            continue
        missing = inputs_missing(run.state, stage)
        if missing:
            names = ", ".join(f"'{one.name}'" for one in missing)
            answers[name] = SearchAnswer("missing", None, f"somebody has to supply {names}")
            continue
        if stage.found or not stage.sealed.stage.dependencies:
            answers[name] = SearchAnswer("missing", None, "its code, which is fetched when it begins")
            continue
        scope = scope_of(run, stage, stage.sealed.reads, now=stage.now_at)
        scope |= {one.name: run.supplied[one.name] for one in stage.sealed.stage.input_dependencies}
        wanted = search_request(run, stage, scope, buckets)
        (answers[name],) = search_dependencies([wanted], settings=settings, probes=True)
    return answers
