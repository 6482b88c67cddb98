"""What one process does, counted: for those who watch it. Nothing is kept, and nothing waits for it."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from clew.core.running.entries import AttemptEnded, Entry, RollbackEnded, RunCreated, RunHeld, RunSettled
from clew.core.running.state import RunState

LAG_SECONDS = 0.25
"""How often it is measured how late the event loop is."""

CALL_SECONDS = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0)
"""The upper ends between which calls are counted by how long they took."""


class Measure(NamedTuple):
    """One measure: by its labels its values. `kind`: `counter`, `gauge` or `histogram`; of a histogram how many fell
    between each two of `CALL_SECONDS`, and the sum of all."""

    name: str
    about: str
    kind: str
    labels: tuple[str, ...]
    values: Mapping[tuple[str, ...], Any]


class Measures:
    """Counts what happens in this process from its beginning on."""

    def __init__(self) -> None:
        self._created: Counter[tuple[str, ...]] = Counter()
        self._settled: Counter[tuple[str, ...]] = Counter()
        self._held: Counter[tuple[str, ...]] = Counter()
        self._attempts: Counter[tuple[str, ...]] = Counter()
        self._rollbacks: Counter[tuple[str, ...]] = Counter()
        self._calls: Counter[tuple[str, ...]] = Counter()
        self._buckets: dict[tuple[str, ...], tuple[list[int], float]] = {}
        self._lag = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.now: dict[str, tuple[str, Callable[[], float]]] = {}
        """What is asked for when it is looked at: by name, with what it is."""

    def recorded(self, entry: Entry, state: RunState) -> None:
        """An entry of a run is on record."""
        program = state.program.program.name
        match entry.body:
            case AttemptEnded(outcome=outcome):
                self._attempts[program, outcome] += 1
            case RunCreated():
                self._created[(program,)] += 1
            case RunSettled(status=status):
                self._settled[program, status] += 1
            case RollbackEnded(outcome=outcome):
                self._rollbacks[program, outcome] += 1
            case RunHeld():
                self._held[(program,)] += 1

    def called(self, method: str, path: str, status: int, seconds: float) -> None:
        """A call was answered; `path` as it is declared."""
        self._calls[method, path, str(status)] += 1
        counts, total = self._buckets.get((method, path)) or ([0] * (len(CALL_SECONDS) + 1), 0.0)
        counts[bisect_left(CALL_SECONDS, seconds)] += 1
        self._buckets[method, path] = counts, total + seconds

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Measure from here on how late the loop is."""
        now = loop.time()
        if self._timer is not None:
            self._lag = max(self._lag, now - self._due)
        self._due = now + LAG_SECONDS
        self._timer = loop.call_at(self._due, self.watch, loop)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def all(self) -> Iterator[Measure]:
        """All measures as they are now."""
        yield Measure("clew_runs_created", "Runs that came to be.", "counter", ("program",), self._created)
        yield Measure(
            "clew_runs_settled", "Runs that settled.", "counter", ("program", "status"), self._settled
        )
        yield Measure(
            "clew_runs_held",
            "How often runs began to wait for a person.",
            "counter",
            ("program",),
            self._held,
        )
        yield Measure(
            "clew_attempts_ended", "Attempts that ended.", "counter", ("program", "outcome"), self._attempts
        )
        yield Measure(
            "clew_rollbacks_ended",
            "Tries at rollbacks that ended.",
            "counter",
            ("program", "outcome"),
            self._rollbacks,
        )
        yield Measure("clew_calls", "Calls answered.", "counter", ("method", "path", "status"), self._calls)
        yield Measure(
            "clew_call_seconds", "How long calls took.", "histogram", ("method", "path"),
            {labels: (counts[:], total) for labels, (counts, total) in self._buckets.items()},
        )  # fmt: skip
        lag, self._lag = self._lag, 0.0
        yield Measure(
            "clew_loop_lag_seconds",
            "How late the event loop was at most since this was last asked.",
            "gauge",
            (),
            {(): lag},
        )
        for name, (about, value) in self.now.items():
            yield Measure(name, about, "gauge", (), {(): value()})
