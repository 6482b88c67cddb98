"""What a store knows of when programs are due, on every database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clew.ports import PauseRow, RunRecord, ScheduleRow
from clew.stores.parts import StorePart


class StoredSchedules(StorePart):
    """The `Schedules` of a store."""

    def all(self) -> list[ScheduleRow]:
        return [ScheduleRow(*row) for row in self._rows("select_schedules", ())]

    def of(self, program: str) -> ScheduleRow | None:
        rows = self._rows("select_schedule", (program,))
        return ScheduleRow(*rows[0]) if rows else None

    def origins(self) -> list[str]:
        return [row[0] for row in self._rows("select_origins", ())]

    def go_live(
        self, program: str, version: str, *, at: int, source: str, origin: str, zones: str
    ) -> ScheduleRow:
        bound: Mapping[str, Any] = {
            "program": program, "version": version, "at": at, "source": source, "origin": origin, "zones": zones,
        }  # fmt: skip
        with self._transaction():
            self._rows("put_schedule", bound)
            return ScheduleRow(*self._rows("select_schedule", (program,))[0])

    def retire(self, program: str, at: int) -> None:
        with self._transaction():
            self._rows("retire_schedule", (at, program))

    def settle(
        self, program: str, *, settled_until: int, until: int, records: Sequence[RunRecord] = ()
    ) -> bool:
        with self._transaction():
            if not self._rows("settle_schedule", (until, program, settled_until)):
                return False
            self._insert_fresh(records)
            return True

    def pause(self, program: str, *, at: int, by: str, why: str) -> bool:
        with self._transaction():
            return bool(self._rows("pause_program", (program, at, by, why)))

    def unpause(self, program: str, *, at: int, by: str, why: str) -> bool:
        with self._transaction():
            return bool(self._rows("unpause_program", (at, by, why, program)))

    def pauses(self, program: str, after: int) -> list[PauseRow]:
        return [PauseRow(*row) for row in self._rows("select_pauses", (program, after))]

    def pause_count(self) -> tuple[int, int]:
        found = self._rows("count_pauses", ())[0]
        return int(found[0]), int(found[1])
