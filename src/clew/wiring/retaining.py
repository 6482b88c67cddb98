"""Which runs have been kept for as long as they are to be, and their exports in the archive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from secrets import token_hex
from typing import TYPE_CHECKING

from clew.core.program.problems import ProgramError
from clew.core.running import statuses
from clew.core.running.retention import kept_until
from clew.orchestrator.remover import NotArchived, Page, Shelf
from clew.ports import KeptRun, RemovedRun, StoreError
from clew.settings import Settings
from clew.wiring.records import LazyBucket, open_records

if TYPE_CHECKING:
    from clew.operations.records import Records

RUNS_A_PAGE = 2_000
"""Looked at together: some ten milliseconds, in a thread."""


def new_shelf(settings: Settings) -> Shelf:
    """What finds the runs of a store whose time is over, and puts them into its archive."""
    return ArchiveShelf(settings)


class ArchiveShelf:
    """The `Shelf` of these settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def over(self, after: tuple[int, str], now: int) -> Page:
        with open_records(self._settings) as records:
            runs = records.store.removals.runs_after(*after, RUNS_A_PAGE)
            last = (runs[-1].launched_at, runs[-1].run_id) if len(runs) == RUNS_A_PAGE else None
            troubles: dict[str, None] = {}
            retention_of = cache(lambda program: _retention_of(records, program, troubles))
            last_completed = cache(lambda program: _last_completed(records, program))
            folder = records.store.tree.row().origin
            over, left_behind = [], []
            for run in runs:
                if run.removed_at is not None:
                    continue
                if run.archive:
                    left_behind.append((run.run_id, run.archive))
                if run.ended_at is None or run.status not in statuses.SETTLED:
                    continue
                until = self._until(run, retention_of(run.program))
                if until is not None and until <= now and last_completed(run.program) != run.run_id:
                    archive = self._place(f"{folder}/{run.run_id}-{token_hex(8)}.clew")
                    over.append((RemovedRun(run.run_id, run.entry_count, archive), until))
            return Page(over, last, tuple(troubles), left_behind)

    def _place(self, name: str) -> str:
        """Where an object of that name stands in the archive; empty where there is none."""
        if not self._settings.archive:
            return ""
        folder, mark, options = self._settings.archive.partition("?")
        return f"{folder.rstrip('/')}/{name}{mark}{options}"

    def _until(self, run: KeptRun, of_program: Mapping[str, int] | None) -> int | None:
        if of_program is None:
            return None
        assert run.ended_at is not None
        return kept_until(run.status, run.ended_at, of_program, self._settings.retention)

    def archive(self, run_id: str, archive: str) -> bool:
        # Most stores have no archive.
        from clew.core.sealing.pieces import Digested
        from clew.operations.exports import ExportJudge, export_lines
        from clew.operations.proving import SOUND
        from clew.operations.requests import RequestError
        from clew.trust.signing import verify_signature
        from clew.wiring.exporting import sealed_of_content, signed_now

        bucket, name = _bucket_of(archive)
        keys = []

        def sign() -> str:
            note, key = signed_now(self._settings)
            keys.append(key)
            return note

        with open_records(self._settings) as records:
            row = records.store.run(run_id)
            if row is None or row["removed_at"] is not None:
                return False
            written = Digested(export_lines(records, row, sign=sign))
            try:
                bucket.write_pieces(name, written)
            except RequestError:
                return False  # it has left since its row was read
            except ValueError as error:
                raise NotArchived(
                    f"run {run_id}: what is on record of it can't be exported: {error}"
                ) from error
        read = Digested(bucket.read_pieces(name))
        judge = ExportJudge(
            _lines_of(read), keys=keys, verify=verify_signature, read_program=sealed_of_content
        )
        try:
            judged = judge.judge()
        except RequestError as error:
            raise NotArchived(f"run {run_id}: what stands in the archive is no export: {error}") from error
        if judged.verdict != SOUND or judged.run_id != run_id or read.digest != written.digest:
            why = "it is not what was written" if judged.flaw is None else judged.flaw.what
            raise NotArchived(f"run {run_id}: its export in the archive is not sound: {why}")
        return True

    def delete(self, archive: str) -> None:
        bucket, name = _bucket_of(archive)
        bucket.delete(name)


def _bucket_of(archive: str) -> tuple[LazyBucket, str]:
    """Of an export's place: its folder as a bucket, and its name there."""
    place, mark, options = archive.partition("?")
    folder, _, name = place.rpartition("/")
    return LazyBucket(f"{folder}{mark}{options}"), name


def _lines_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in lines; in one that is too long where there is none."""
    from clew.operations.exports import LINE_SIZE_MAX

    begun = b""
    for piece in pieces:
        *whole, begun = (begun + piece).split(b"\n")
        yield from (line + b"\n" for line in whole)
        if len(begun) > LINE_SIZE_MAX:
            yield begun
            return
    if begun:
        yield begun


def _retention_of(records: Records, program: str, troubles: dict[str, None]) -> Mapping[str, int] | None:
    """What the version of the program says that is live, or ran last; None where that can't be read."""
    live = records.store.schedules.of(program)
    version = live.version if live is not None else records.store.last_version(program)
    try:
        return {} if version is None else records.program_of(version).retention
    except (StoreError, ProgramError, ValueError) as error:
        troubles[f"program {program}: for how long its runs are kept can't be read: {error}"] = None
        return None


def _last_completed(records: Records, program: str) -> str:
    """The run whose outputs others may go on from: it is kept, however old it is."""
    row = records.store.last_run(program, status=statuses.COMPLETED)
    return "" if row is None else str(row["run_id"])
