"""The world outside: pretend attempts that act on it, and its log of what was done and undone: the oracle.

A pretend attempt is a process. It acts at some moment, or not; it ends, and tells, perhaps late or twice; it may
ignore for a while that it is to end; and it dies with the orchestrator that started it, though not at once.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from tests.simulation.odds import Odds
from tests.simulation.places import Places
from tests.simulation.timeline import Life, Timeline

from clew.core.running.fold_back import INTERRUPTED
from clew.ports import AttemptError, AttemptReport, AttemptRequest, Finding

Ended = Callable[[AttemptReport], None]

DEATH_MILLISECONDS_MAX = 400
"""How long an attempt may outlive its orchestrator, and go on acting."""


LOOKS = ("test", "fetch")
"""The kinds of work that act on nothing."""


class Effect(NamedTuple):
    """One line of the outside log: `what` is `did` or `undid`."""

    at: int
    what: str
    run_id: str
    unit: str
    key: str
    attempt: str


def unit_of(request: AttemptRequest) -> str:
    """The stage, or the item of one, that the request is for."""
    return request.attempt_id[len(request.run_id) + 1 :].partition(".")[0]


class Nature:
    """What a stage of a run, or an item, is like, drawn once by the seed, whatever happens when."""

    def __init__(self, chance: Random) -> None:
        self.failures = chance.choice((0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 99))
        """How many attempts fail before one does not."""
        self.error_kind = chance.choice(("exit", "exit", "ValueError"))
        self.rollback_failures = chance.choice((0, 0, 0, 0, 0, 0, 1, 3, 99))
        self.data_comes_at = chance.choice((0, 0, 10_000, 600_000, 7_200_000))
        self.is_ambiguous = chance.random() < 0.05
        self.pace = chance.choice((10, 200, 3_000))

    @staticmethod
    def holds_after(chance: Random) -> tuple[int, int]:
        """A condition's: how many milliseconds after its first test, and after how many executions, it holds."""
        return chance.choice((0, 0, 0, 500, 15_000, 10**12)), chance.choice((0, 0, 0, 2, 10**6))


class Attempt:
    """One pretend process."""

    def __init__(self, request: AttemptRequest, ended: Ended, life: Life) -> None:
        self.request, self.ended, self.life = request, ended, life
        self.is_alive = True
        self.has_acted = False
        self.outputs: dict[str, Any] = {}
        self.refusal: AttemptReport | None = None
        """What it found that it must not overwrite."""


class Outside:
    """Everything beyond the orchestrators: it outlives them all."""

    def __init__(self, timeline: Timeline, odds: Odds, seed: int) -> None:
        self.timeline, self.odds, self.seed = timeline, odds, seed
        self.log: list[Effect] = []
        self.places = Places(odds, seed)
        self.alive: list[Attempt] = []
        self.reports: dict[str, dict[str, AttemptReport]] = {}
        """What each attempt told, by its id, and by the outcome: one that is heard of after all tells another."""
        self.answers: dict[tuple[str, str], list[Any]] = {}
        """What searches found, by run and dependency."""
        self.fetched: dict[str, list[str]] = {}
        """The digests that looks at sources gave, by stage and pass, which begin the id of each look."""
        self.run_numbers: dict[str, int] = {}
        self.begun: Callable[[Attempt], None] = lambda attempt: None
        self.acted: Callable[[Attempt], None] = lambda attempt: None
        self.tell: Callable[[str], None] = lambda line: None
        self._natures: dict[tuple[str, str], Nature] = {}
        self._holds: dict[tuple[str, str], tuple[int, int, int]] = {}
        self._executions: dict[tuple[str, str], int] = {}
        self._tries: dict[str, int] = {}
        self.chance = Random(f"{seed}/outside")

    def nature(self, run_id: str, unit: str) -> Nature:
        key = (run_id, unit)
        if key not in self._natures:
            self._natures[key] = Nature(Random(f"{self.seed}/nature/{self.run_numbers[run_id]}/{unit}"))
        return self._natures[key]

    # ---- attempts begin ----

    def begin(self, request: AttemptRequest, ended: Ended, life: Life) -> None:
        attempt = Attempt(request, ended, life)
        self.alive.append(attempt)
        self.begun(attempt)
        if request.work == "fetch":
            self._plan_fetch(attempt)
        elif request.source is not None and self.odds.strike("code swapped", 0.06):
            kind = self.chance.choice(("code_changed", "code_gone"))
            self._end_after(self._duration(attempt), attempt, _report("not_begun", kind))
        elif request.work == "execute":
            self._plan_execution(attempt)
        elif request.work == "rollback":
            self._plan_rollback(attempt)
        else:
            self._plan_test(attempt)

    def _duration(self, attempt: Attempt) -> int:
        pace = self.nature(attempt.request.run_id, unit_of(attempt.request)).pace
        return int(self.chance.expovariate(1 / pace))

    def _plan_fetch(self, attempt: Attempt) -> None:
        """What a source is changes all the time: each look finds another."""
        odds, duration = self.odds, self._duration(attempt)
        if odds.strike("source not told", 0.15):
            outcome = self.chance.choice(("not_begun", "timed_out", "unknown"))
            self._end_after(duration, attempt, _report(outcome, "source"))
        elif odds.strike("source missing", 0.04):
            self._end_after(duration, attempt, _report("failed", "source"))
        else:
            known = self.fetched.setdefault(attempt.request.attempt_id.partition(".fetch.")[0], [])
            known.append(f"{attempt.request.stage} {len(known)}")
            found = {"digest": known[-1], "file_count": 1, "size": 1}
            self._end_after(duration, attempt, AttemptReport(outcome="completed", result=found))

    def _plan_execution(self, attempt: Attempt) -> None:
        request, odds = attempt.request, self.odds
        nature = self.nature(request.run_id, unit_of(request))
        duration = self._duration(attempt)
        if odds.strike("attempt not begun", 0.06):
            self._end_after(duration, attempt, _report("not_begun", "executor"))
            return
        attempt.outputs = {output.name: self._output(output.name) for output in request.outputs}
        report = AttemptReport(outcome="completed", result=dict(attempt.outputs), outputs=attempt.outputs)
        tried = self._tried(request.attempt_id)
        acts = True
        if odds.strike("attempt unknown", 0.04):
            report, acts = _report("unknown", "lost"), self.chance.random() < 0.5
        elif odds.strike("attempt timed out", 0.04):
            duration = request.timeout_milliseconds
            report, acts = _report("timed_out", "timed_out"), self.chance.random() < 0.5
        elif tried <= nature.failures or odds.strike("attempt failed", 0.04):
            odds.note("attempt failed")
            report, acts = _report("failed", nature.error_kind), self.chance.random() < 0.4
            if acts:
                odds.note("attempt acted and failed")
        self._perform(attempt, duration, report, acts)

    def _output(self, name: str) -> Any:
        """A number; or, as the name has it, a list, which now and then is none."""
        if name[0] == "o" or self.odds.strike("output of another kind", 0.03):
            return self.chance.randrange(100)
        return [self.chance.randrange(100) for _ in range(self.chance.choice((0, 1, 2, 3)))]

    def _plan_rollback(self, attempt: Attempt) -> None:
        request, odds = attempt.request, self.odds
        nature = self.nature(request.run_id, unit_of(request))
        duration = self._duration(attempt)
        tried = self._tried(request.attempt_id)
        report, acts = AttemptReport(outcome="completed"), True
        self.places.change(request)
        if odds.strike("rollback not begun", 0.04):
            self._end_after(duration, attempt, _report("not_begun", "executor"))
            return
        if odds.strike("rollback unknown", 0.05):
            report, acts = _report("unknown", "lost"), self.chance.random() < 0.5
        elif odds.strike("rollback timed out", 0.04):
            duration = request.timeout_milliseconds
            report, acts = _report("timed_out", "timed_out"), self.chance.random() < 0.5
        elif tried <= nature.rollback_failures:
            odds.note("rollback failed")
            report, acts = _report("failed", "exit"), self.chance.random() < 0.4
        self._perform(attempt, duration, report, acts)

    def _tried(self, attempt_id: str) -> int:
        """How many attempts of that stage, or tries at its rollback, there have been: the number ends the id."""
        key = attempt_id.rpartition(".")[0]
        self._tries[key] = self._tries.get(key, 0) + 1
        return self._tries[key]

    def _perform(self, attempt: Attempt, duration: int, report: AttemptReport, acts: bool) -> None:
        if acts:
            at = int(self.chance.random() * duration)
            if at == 0:
                self._act(attempt)
            else:
                self.timeline.after(at, lambda: self._act(attempt))
        self._end_after(duration, attempt, report)

    def _act(self, attempt: Attempt) -> None:
        if not attempt.is_alive:
            return
        request = attempt.request
        attempt.has_acted = True
        what = "undid" if request.work == "rollback" else "did"
        if what == "undid" and any(
            each.what == "undid" and each.key == request.idempotency_key for each in self.log
        ):
            self.odds.note("rollback twice")
        effect = Effect(
            self.timeline.now,
            what,
            request.run_id,
            unit_of(request),
            request.idempotency_key,
            request.attempt_id,
        )
        if what == "did":
            self.places.overwrite(request)
        elif (error := self.places.put_back(request)) is not None:
            self.tell(f"outside: {request.attempt_id}: {error}")
            attempt.refusal = _report("failed", error.kind)
            return
        self.log.append(effect)
        self.tell(f"outside: {request.attempt_id} {what} {request.idempotency_key[:10]}")
        self.acted(attempt)
        if what == "did":
            key = (request.run_id, unit_of(request))
            self._executions[key] = self._executions.get(key, 0) + 1

    # ---- tests of conditions ----

    def _plan_test(self, attempt: Attempt) -> None:
        odds, duration = self.odds, self.chance.choice((0, 5, 50))
        if odds.strike("test without answer", 0.04):
            self._end_after(duration, attempt, _report("unknown", INTERRUPTED))
            return
        findings = tuple(
            self._finding(attempt.request, item.params["function"]) for item in attempt.request.items
        )
        self._end_after(duration, attempt, AttemptReport(outcome="completed", findings=findings))

    def _finding(self, request: AttemptRequest, look: str) -> Finding:
        if self.odds.strike("test error", 0.06):
            return Finding("python", "error", "no answer")
        key = (request.run_id, look)
        if key not in self._holds:
            chance = Random(f"{self.seed}/look/{self.run_numbers[request.run_id]}/{look}")
            after, executions = Nature.holds_after(chance)
            self._holds[key] = (self.timeline.now + after, executions, 0)
        holds_at, executions, _ = self._holds[key]
        executed = self._executions.get((request.run_id, unit_of(request)), 0)
        if self.timeline.now >= holds_at or (executions and executed >= executions):
            return Finding("python", "held")
        self.odds.note("test not held")
        return Finding("python", "not_held", "not yet")

    # ---- attempts end ----

    def _end_after(self, milliseconds: int, attempt: Attempt, report: AttemptReport) -> None:
        self.timeline.after(milliseconds, lambda: self._end(attempt, report))

    def _end(self, attempt: Attempt, report: AttemptReport) -> None:
        """The process ends, if it has not already, and its executor tells the orchestrator."""
        if not attempt.is_alive:
            return
        attempt.is_alive = False
        self.alive.remove(attempt)
        if report.outcome == "completed" and attempt.refusal is not None:
            report = attempt.refusal
        if report.outcome == "failed" and self.odds.strike("neighbours failed with it", 0.15):
            self._fail_neighbours(attempt, report)
        self.reports[attempt.request.attempt_id] = {report.outcome: report}
        self.tell(f"outside: {attempt.request.attempt_id} ended {report.outcome}")
        delay = 0
        if self.odds.strike("late report", 0.05):
            delay = self.chance.choice((5, 500, 30_000))
        self._deliver(delay, attempt, report)
        if attempt.request.work in LOOKS:
            return
        if self.odds.strike("duplicate report", 0.05):
            self._deliver(delay + self.chance.choice((0, 5, 20_000)), attempt, report)
        if report.outcome == "unknown" and self.odds.strike("heard of after all", 0.5):
            later = delay + self.chance.choice((1, 500, 60_000, 3_600_000))
            after_all = self._after_all(attempt)
            self.reports[attempt.request.attempt_id][after_all.outcome] = after_all
            self._deliver(later, attempt, after_all)

    def _after_all(self, attempt: Attempt) -> AttemptReport:
        """What became of it, of which nobody could tell at first."""
        if attempt.refusal is not None:
            return attempt.refusal
        if attempt.has_acted:
            return AttemptReport(outcome="completed", outputs=attempt.outputs)
        return _report("failed", self.nature(attempt.request.run_id, unit_of(attempt.request)).error_kind)

    def _fail_neighbours(self, attempt: Attempt, report: AttemptReport) -> None:
        """What runs beside it, for the same run, comes to the same end."""
        for other in [each for each in self.alive if each.request.work == attempt.request.work not in LOOKS]:
            if other.life is attempt.life and other.request.run_id == attempt.request.run_id:
                self._end(other, report)

    def _deliver(self, delay: int, attempt: Attempt, report: AttemptReport) -> None:
        def deliver() -> None:
            if not attempt.life.is_gone:
                attempt.life.call_soon(attempt.ended, report)

        self.timeline.after(delay, deliver) if delay else deliver()

    def cancel(self, attempt_id: str, life: Life) -> None:
        for attempt in list(self.alive):
            if attempt.request.attempt_id == attempt_id and attempt.life is life:
                self.odds.note("attempt cancelled")
                if not attempt.has_acted and self.odds.strike("attempt not begun", 0.3):
                    self._end(attempt, _report("not_begun", "cancelled"))  # its turn had not come
                    continue
                grace = self.chance.choice((0, 10, 200))
                if self.odds.strike("cancel ignored", 0.3):
                    grace = self.chance.choice((2_000, 30_000))
                self._end_after(grace, attempt, _report("cancelled", "cancelled"))

    def kill_all_of(self, life: Life) -> None:
        """Its orchestrator is gone: whatever it started is killed, each a little later."""
        for attempt in self.alive:
            if attempt.life is life:
                report = _report("unknown", INTERRUPTED)
                self.timeline.after(
                    self.chance.randrange(DEATH_MILLISECONDS_MAX), lambda a=attempt, r=report: self._die(a, r)
                )

    def _die(self, attempt: Attempt, report: AttemptReport) -> None:
        if attempt.is_alive and attempt.has_acted:
            self.odds.note("attempt acted and was killed")
        self._end(attempt, report)

    def has_attempts_of(self, life: Life) -> bool:
        return any(attempt.life is life for attempt in self.alive)


def _report(outcome: str, kind: str) -> AttemptReport:
    return AttemptReport(outcome=outcome, error=AttemptError(kind, "pretended"))
