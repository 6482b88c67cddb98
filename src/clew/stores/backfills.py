"""The backfills of a store, on every database."""

from __future__ import annotations

from collections.abc import Sequence

from clew.ports import BackfillRow, BackfillRun, BackfillTime, RunExists, RunRecord
from clew.stores.parts import StorePart

BACKFILLS_MAX = 1_000
"""As many as are listed."""

ALL = -1
"""As a limit of rows: without any."""


class StoredBackfills(StorePart):
    """The `Backfills` of a store."""

    def past_runs(self, program: str, first: int, last: int) -> dict[int, tuple[str, str]]:
        rows = self._rows("select_past_runs", (program, first, last))
        return {run_time: (run_id, status) for run_time, run_id, status in rows}

    def make(self, backfill: BackfillRow, times: Sequence[tuple[int, str]]) -> None:
        with self._transaction():
            self._rows("insert_backfill", tuple(backfill))
            for position, (run_time, follows) in enumerate(times):
                self._rows("insert_backfill_time", (backfill.backfill_id, position, run_time, follows))

    def all(self, *, only_open: bool = False) -> list[BackfillRow]:
        return self._select(None, only_open=only_open)

    def like(self, text: str) -> list[BackfillRow]:
        return self._select(text) if text.isalnum() else []

    def _select(self, id_: str | None, *, only_open: bool = False) -> list[BackfillRow]:
        bound = {"open": only_open, "id": id_, "limit": BACKFILLS_MAX}
        return [BackfillRow(*row) for row in self._rows("select_backfills", bound)]

    def counts(self, backfill_id: str) -> dict[str, int]:
        return dict(self._rows("count_backfill_times", (backfill_id,)))

    def next_times(self, backfill_id: str, limit: int) -> list[BackfillTime]:
        return [BackfillTime(*row) for row in self._rows("select_backfill_times", (backfill_id, limit))]

    def runs(self, backfill_id: str, limit: int = ALL) -> list[BackfillRun]:
        return [BackfillRun(*row) for row in self._rows("select_backfill_runs", (backfill_id, limit))]

    def unsettled(self, backfill_id: str) -> list[tuple[str, str]]:
        return self._rows("select_backfill_unsettled", (backfill_id,))

    def failures(self, backfill_id: str) -> int:
        [(count,)] = self._rows("count_backfill_failures", (backfill_id,))
        return int(count)

    def leave(self, backfill_id: str, position: int, run_id: str) -> bool:
        with self._transaction():
            return bool(self._rows("take_backfill_time", (run_id, backfill_id, position)))

    def begin(self, backfill_id: str, position: int, record: RunRecord) -> bool:
        with self._transaction():
            if not self._rows("take_backfill_time", (record.run_id, backfill_id, position)):
                return False
            self._insert_fresh([record])
            if not self._rows("select_head", (record.run_id,)):
                raise RunExists([record.run_id])
            return True

    def change(
        self,
        backfill_id: str,
        status: str,
        *,
        before: Sequence[str],
        at: int,
        by: str,
        why: str,
        cancel: str = "",
    ) -> bool:
        bound = {
            "id": backfill_id,
            "status": status,
            "before": f" {' '.join(before)} ",
            "at": at,
            "by": by,
            "why": why,
        }
        with self._transaction():
            if not self._rows("change_backfill", bound):
                return False
            if status == "running":
                self._rows("accept_backfill_failures", (backfill_id,))
            if cancel:
                self._rows("cancel_backfill_runs", (backfill_id, cancel, at))
            return True
