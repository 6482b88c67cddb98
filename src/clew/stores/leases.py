"""Who drives which runs of a store, on every database: what nobody drives is claimed, what was claimed is handed back.

Each claim raises the run's epoch, and with it fences whoever had the run. Who is there still, the database says, by its
own clock.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import ceil
from typing import Any

import msgspec

from clew.ports import ClaimedRun
from clew.stores.parts import StorePart

PROGRAMS_A_CLAIM = 50
"""From as many programs runs are claimed together; then it is the turn of others."""


class StoredLeases(StorePart):
    """The `Leases` of a store."""

    me = ""
    """Under which name this process drives runs; empty: it drives none."""
    turn = 0
    turns = 1
    _last_program = ""
    """From whose runs some were claimed last."""

    def claim(self, limit: int, *, besides: Collection[str] = ()) -> list[ClaimedRun]:
        bound = {"me": self.me, "after": self._last_program, "limit": PROGRAMS_A_CLAIM}
        pairs = self._rows("select_to_drive", bound)
        if not pairs:
            return []
        claimed: list[ClaimedRun] = []
        with self._transaction():
            for number, (owner, program) in enumerate(pairs):
                share = ceil((limit - len(claimed)) / (len(pairs) - number))
                if share > 0:
                    claimed += self._claim(
                        "claim_runs", owner=owner, program=program, limit=share, besides=" ".join(besides)
                    )
                    self._last_program = program
        return claimed

    def claim_run(self, run_id: str) -> ClaimedRun | None:
        with self._transaction():
            claimed = self._claim("claim_run", run_id=run_id)
        return claimed[0] if claimed else None

    def programs_with_places(self) -> list[str]:
        return [program for (program,) in self._rows("select_with_places", {"me": self.me})]

    def take_gate(self, program: str) -> bool:
        bound = {"program": program, "me": self.me}
        if not self._rows("select_gate_is_free", bound)[0][0]:
            return False  # as a rule: whoever follows a run asks again and again
        with self._transaction():
            return bool(self._rows("take_gate", bound))

    def claim_with_places(self, program: str) -> list[ClaimedRun]:
        with self._transaction():
            if not self._rows("take_gate", {"program": program, "me": self.me}):
                return []  # it was another's meanwhile: what he drives is his
            claimed = self._claim("claim_with_places", program=program)
        return [run for run in claimed if run.status != "queued"]

    def release_some(self, run_ids: Sequence[str]) -> None:
        if run_ids:
            with self._transaction():
                given = msgspec.json.encode(run_ids).decode()
                self._rows("release_some", {"me": self.me, "run_ids": given})

    def release_gate(self, program: str) -> None:
        with self._transaction():
            self._rows("release_gate", {"me": self.me, "program": program})

    def owned(self) -> dict[str, int]:
        return dict(self._rows("select_owned", {"me": self.me}))

    def are_others(self) -> bool:
        [(are_others,)] = self._rows("select_others", {"me": self.me})
        return bool(are_others)

    def driven(self) -> set[str]:
        return {run_id for (run_id,) in self._rows("select_driven", {"me": self.me})}

    def release(self) -> None:
        with self._transaction():
            self._rows("release_runs", {"me": self.me})
            self._rows("release_gates", {"me": self.me})

    def _claim(self, query: str, **bound: Any) -> list[ClaimedRun]:
        return [ClaimedRun(*row) for row in self._rows(query, {"me": self.me, **bound})]
