"""Watches a history from outside and says what must never be: the promises, checked after every commit.

What it knows of a run it reads from the committed entries' bytes, by a fold of its own, and from the outside
log. clew's own fold is used beside it only to be compared with the tracker's rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.simulation.outside import Attempt, Outside
from tests.simulation.programs import PretendProgram
from tests.simulation.seen import SeenRun, SeenStage
from tests.simulation.timeline import Life

from clew.buckets.memory import MemoryBucket
from clew.core.running import statuses
from clew.core.running.sealed_program import SealedProgram
from clew.core.running.state import INTERRUPTED
from clew.core.sealing.journal import read_entry
from clew.orchestrator.driven_run import run_row, stage_row
from clew.ports import PayloadRow, RunRecord
from clew.stores.sqlite import SqliteStore

INTERRUPTIONS_FREE = 5
"""So many lost orchestrators do not count against a stage's `retry`."""


class Witness:
    """Told of every commit, every acknowledgement, and all that happens outside."""

    def __init__(
        self, outside: Outside, store: SqliteStore, bucket: MemoryBucket, fail: Callable[[str], None]
    ) -> None:
        self._outside, self._store, self._bucket, self._fail = outside, store, bucket, fail
        self.runs: dict[str, SeenRun] = {}
        self.programs: dict[str, tuple[PretendProgram, SealedProgram]] = {}
        self.epochs: dict[str, int] = {}
        self.acknowledged: dict[str, int] = {}
        self.begun_ids: set[str] = set()
        self.found: list[str] = []

    def check(self, holds: bool, what: str) -> None:
        if not holds:
            self.found.append(what)
            self._fail(what)

    def content_of(self, row: PayloadRow) -> str:
        """A payload's text, from the store or from where it was put before the entry that names it."""
        if row.content is not None:
            return row.content
        location = row.location or ""
        self.check(
            self._bucket.facts(location) is not None, f"the payload {location} is named and is not there"
        )
        return self._bucket.read(location, 2**30).decode()

    # ---- commits ----

    def taken(self, run_id: str, epoch: int) -> None:
        self.check(epoch > self.epochs.get(run_id, 1), f"{run_id}: epoch {epoch} was given out before")
        self.epochs[run_id] = epoch

    def committed(self, life: Life, record: RunRecord) -> None:
        """These entries are in the store."""
        run_id = record.run_id
        current = self.epochs.setdefault(run_id, 1)
        self.check(
            record.epoch == current, f"{run_id}: {life} wrote under epoch {record.epoch}, it is {current}"
        )
        if record.created is not None:
            self.check(run_id not in self.runs, f"{run_id}: created twice")
            self.runs[run_id] = SeenRun(run_id, *self.programs[record.created.version])
        run = self.runs[run_id]
        payloads = {row.seq: json.loads(self.content_of(row)) for row in record.payloads}
        for seq, content, _ in record.entries:
            self.check(seq == run.entry_count, f"{run_id}: entry {seq} where {run.entry_count} was to come")
            run.entry_count = seq + 1
            entry = json.loads(content)
            self._entry(life, run, entry, payloads.get(seq, {}))
            self._fold(run, content)
        self._compare_rows(run)

    def _fold(self, run: SeenRun, content: str) -> None:
        """clew's own fold, whose moves must be legal."""
        before = run.shadow.status, {name: stage.status for name, stage in run.shadow.stages.items()}
        run.shadow.apply(read_entry(content.encode()))
        after = run.shadow.status
        legal = after == before[0] or after in statuses.RUN_MOVES[before[0]]
        self.check(legal, f"{run.run_id}: from {before[0]} to {after}")
        for name, stage in run.shadow.stages.items():
            was = before[1][name]
            legal = stage.status == was or stage.status in statuses.STAGE_MOVES[was]
            self.check(legal, f"{run.run_id}: {name} from {was} to {stage.status}")

    def _compare_rows(self, run: SeenRun) -> None:
        """The tracker says what the journal says."""
        found = self._store.run(run.run_id)
        assert found is not None
        row = run_row(run.shadow)
        told = (found["status"], found["cause"], found["ended_at"], found["residue"])
        self.check(told == tuple(row)[:4], f"{run.run_id}: the tracker says {told}, the journal {row}")
        self.check(found["entry_count"] == run.entry_count, f"{run.run_id}: the count of entries is wrong")
        for stage, columns in zip(run.shadow.stages.values(), self._store.stages(run.run_id), strict=True):
            told = tuple(columns[name] for name in _STAGE_COLUMNS)
            expected = tuple(stage_row(stage))[1:]
            self.check(
                told == expected, f"{run.run_id}: {columns['name']} is {told} in the tracker, not {expected}"
            )

    # ---- entries ----

    def _entry(self, life: Life, run: SeenRun, entry: dict[str, Any], payload: dict[str, Any]) -> None:
        body = entry["body"]
        kind = body["kind"]
        self.check(not run.settled, f"{run.run_id}: {kind} after the run had settled")
        self.check(entry["at"] >= run.at, f"{run.run_id}: time runs backwards in the journal")
        self.check(entry["epoch"] >= run.epoch, f"{run.run_id}: the epoch falls")
        run.at, run.epoch = entry["at"], entry["epoch"]
        stage = run.stages.get(body.get("stage", ""))
        checked = getattr(self, f"_{kind}", None)
        if checked is not None:
            checked(life, run, stage, body, payload)

    def _run_created(self, life: Life, run: SeenRun, stage: Any, body: Any, payload: Any) -> None:
        run.names.update(payload["variables"])

    def _stage_skipped(self, life: Life, run: SeenRun, stage: SeenStage, body: Any, payload: Any) -> None:
        stage.done = "skipped"
        for output in stage.pretend.stage.outputs:
            if output.has_default:
                run.names[output.name] = output.default

    def _stage_failed(self, life: Life, run: SeenRun, stage: SeenStage, body: Any, payload: Any) -> None:
        stage.is_over = True
        run.failing = run.failing or stage.pretend.name

    def _dependencies_found(
        self, life: Life, run: SeenRun, stage: SeenStage, body: Any, payload: Any
    ) -> None:
        for dependency in stage.pretend.stage.dependencies:
            value = payload["variables"][dependency.name]
            answers = self._outside.answers.get((run.run_id, dependency.name), [])
            self.check(value in answers, f"{run.run_id}: {dependency.name} is {value}, which no search found")
            run.names[dependency.name] = value

    def _attempt_started(self, life: Life, run: SeenRun, stage: SeenStage, body: Any, payload: Any) -> None:
        who = f"{run.run_id}: {stage.pretend.name}.{body['attempt']}"
        self.check(not stage.in_flight, f"{who} ordered while another attempt is in flight")
        self.check(not stage.done, f"{who} ordered although the stage is {stage.done}")
        self.check(not run.failing, f"{who} ordered after {run.failing} had failed for good")
        self.check(not run.held, f"{who} ordered while the run is held")
        self.check(body["attempt"] == len(stage.outcomes) + 1, f"{who} is not the next attempt")
        allowed = stage.pretend.stage.retry.attempts
        self.check(stage.counted < allowed, f"{who} after {stage.counted} failures of {allowed}")
        self.check(run.at >= stage.retry_at, f"{who} ordered before it was due")
        for other in run.stages.values():
            if other.pretend.level < stage.pretend.level:
                self.check(
                    bool(other.done),
                    f"{who} ordered before {other.pretend.name}, in an earlier block, is done",
                )
        for label, producer in stage.pretend.needs.items():
            self.check(producer is None or label in run.names, f"{who} ordered before {label} is recorded")
        self.check(
            all(run.stages[name].done for name in stage.pretend.after),
            f"{who} ordered before what it is after",
        )
        for index, level in enumerate(run.pretend.condition_levels):
            if level < stage.pretend.level:
                self.check(level in run.validated, f"{who} ordered before condition {index} held")
        stage.in_flight, stage.ordered_by = body["attempt"], life

    def _attempt_ended(self, life: Life, run: SeenRun, stage: SeenStage, body: Any, payload: Any) -> None:
        attempt_id = f"{run.run_id}/{stage.pretend.name}.{body['attempt']}"
        self.check(stage.in_flight == body["attempt"], f"{attempt_id} ended, and was not in flight")
        self._outcome_is_true(life, attempt_id, stage.ordered_by, body)
        stage.in_flight = 0
        stage.outcomes.append(body["outcome"])
        stage.retry_at = body.get("retry_at", 0)
        if body["outcome"] == "completed":
            stage.completed_attempt = body["attempt"]
            run.outputs[stage.pretend.name] = payload.get("variables", {})
            truth = dict(self._outside.reports[attempt_id][1].outputs)
            self.check(run.outputs[stage.pretend.name] == truth, f"{attempt_id}: other outputs were recorded")
        elif body.get("error_kind") == INTERRUPTED and stage.interruptions < INTERRUPTIONS_FREE:
            stage.interruptions += 1
        elif body["outcome"] != "not_begun":
            stage.counted += 1
        self._becomes(run, stage, body, body.get("error_kind", ""))

    def _outcome_is_true(self, life: Life, attempt_id: str, ordered_by: Life | None, body: Any) -> None:
        told = self._outside.reports.get(attempt_id)
        if ordered_by is not life:
            said = (body["outcome"], body.get("error_kind"))
            self.check(
                said == ("unknown", INTERRUPTED),
                f"{attempt_id}: {life} says {said} of {ordered_by}'s attempt",
            )
        elif told is None:
            self.check(False, f"{attempt_id}: recorded as {body['outcome']}, and has not ended")
        else:
            self.check(
                told[1].outcome == body["outcome"],
                f"{attempt_id}: {told[1].outcome} became {body['outcome']}",
            )

    def _validation_ended(self, life: Life, run: SeenRun, stage: SeenStage, body: Any, payload: Any) -> None:
        stage.retry_at = body.get("retry_at", 0)
        if body["verdict"] != "held":
            stage.counted += 1
        self._becomes(run, stage, body, "validation")

    def _becomes(self, run: SeenRun, stage: SeenStage, body: Any, error_kind: str) -> None:
        who = f"{run.run_id}: {stage.pretend.name}"
        if body["becomes"] == "completed":
            stage.done = "completed"
            run.names.update(run.outputs[stage.pretend.name])
        elif body["becomes"] == "failed":
            retry = stage.pretend.stage.retry
            worth = "any" in retry.on or error_kind in retry.on
            self.check(
                stage.counted >= retry.attempts or not worth, f"{who} gave up after {stage.counted} tries"
            )
            stage.is_over = True
            run.failing = run.failing or stage.pretend.name
        elif body["becomes"] == "cancelled":
            stage.is_over = True

    def _block_validated(self, life: Life, run: SeenRun, stage: Any, body: Any, payload: Any) -> None:
        level = body["index"]
        self.check(level in run.pretend.condition_levels, f"{run.run_id}: block {level} has no conditions")
        done = all(other.done for other in run.stages.values() if other.pretend.level <= level)
        self.check(done, f"{run.run_id}: block {level} validated before it was done")
        if body["verdict"] == "held":
            run.validated.add(level)
        else:
            run.failing = run.failing or f"block {level}"

    def _stage_cancelled(self, life: Life, run: SeenRun, stage: SeenStage, body: Any, payload: Any) -> None:
        self.check(bool(run.failing), f"{run.run_id}: {stage.pretend.name} cancelled, and nothing has failed")
        stage.is_over = True

    # ---- the way back ----

    def _rollback_planned(self, life: Life, run: SeenRun, stage: Any, body: Any, payload: Any) -> None:
        self.check(bool(run.failing), f"{run.run_id}: rolled back, and nothing has failed")
        self.check(run.planned is None, f"{run.run_id}: the way back was planned twice")
        self.check(
            not any(each.in_flight for each in run.stages.values()),
            f"{run.run_id}: planned with work in flight",
        )
        indices = [block["index"] for block in body["blocks"]]
        self.check(
            indices == sorted(indices, reverse=True), f"{run.run_id}: blocks are undone in order {indices}"
        )
        run.planned = {
            item["stage"]: (block["index"], item["outcome"])
            for block in body["blocks"]
            for item in block["stages"]
        }
        run.residue = {item["stage"] for item in body.get("residue", ())}
        acted = [each for each in run.stages.values() if each.may_have_acted]
        expected = {
            each.pretend.name: (each.pretend.level, each.told)
            for each in acted
            if each.pretend.undo == "commands"
        }
        self.check(run.planned == expected, f"{run.run_id}: to be undone are {run.planned}, not {expected}")
        left = {each.pretend.name for each in acted if each.pretend.undo == "undeclared"}
        self.check(run.residue == left, f"{run.run_id}: residue is {run.residue}, not {left}")

    def _rollback_started(self, life: Life, run: SeenRun, stage: SeenStage, body: Any, payload: Any) -> None:
        who = f"{run.run_id}: rollback {body['attempt']} of {stage.pretend.name}"
        assert run.planned is not None
        level, outcome = run.planned[stage.pretend.name]
        self.check(body["outcome"] == outcome, f"{who} is told {body['outcome']}, planned was {outcome}")
        self.check(not stage.rollback_in_flight and not stage.is_undone, f"{who} ordered once too often")
        self.check(body["attempt"] == stage.rollback_attempts + 1, f"{who} is not the next")
        self.check(not run.held, f"{who} ordered while the run is held")
        for name, (other_level, _) in run.planned.items():
            if other_level > level:
                self.check(run.stages[name].is_undone, f"{who} ordered before {name} is undone")
        stage.rollback_in_flight = stage.rollback_attempts = body["attempt"]
        stage.ordered_by = life

    def _rollback_ended(self, life: Life, run: SeenRun, stage: SeenStage, body: Any, payload: Any) -> None:
        attempt_id = f"{run.run_id}/{stage.pretend.name}.{len(stage.outcomes)}.rollback.{body['attempt']}"
        self.check(stage.rollback_in_flight == body["attempt"], f"{attempt_id} ended, and was not in flight")
        self._outcome_is_true(life, attempt_id, stage.ordered_by, body)
        stage.rollback_in_flight = 0
        stage.is_undone = body["becomes"] == "rolled_back"
        self.check(stage.is_undone == (body["outcome"] == "completed"), f"{attempt_id}: {body}")

    def _run_held(self, life: Life, run: SeenRun, stage: Any, body: Any, payload: Any) -> None:
        self.check(bool(body["reason"]), f"{run.run_id}: held without a reason")
        run.held = body["reason"]
        if run.held in ("code_changed", "code_gone"):
            self._outside.odds.note(run.held.replace("_", " "))

    def _run_released(self, life: Life, run: SeenRun, stage: Any, body: Any, payload: Any) -> None:
        run.held = ""

    def _run_settled(self, life: Life, run: SeenRun, stage: Any, body: Any, payload: Any) -> None:
        run.settled = body["status"]
        self.check_settled(run)

    def check_settled(self, run: SeenRun) -> None:
        """What the run is called at its end is what the outside log says of it."""
        standing = self._standing(run)
        told = f"{run.run_id}: called {run.settled}, but"
        if run.settled == "completed":
            self.check(all(each.done for each in run.stages.values()), f"{told} not every stage is done")
            undone = [
                each for each in self._outside.log if each.run_id == run.run_id and each.what == "undid"
            ]
            self.check(not undone, f"{told} {undone} was undone")
            missing = [
                each.pretend.name
                for each in run.stages.values()
                if each.done == "completed" and not each.outcomes
            ]
            self.check(not missing, f"{told} {missing} never ran")
            return
        assert run.planned is not None
        self.check(
            all(run.stages[name].is_undone for name in run.planned),
            f"{told} not all that was planned is undone",
        )
        if run.settled == "rolled_back":
            self.check(not standing, f"{told} {sorted(standing)} still stands")
            self.check(not run.residue, f"{told} {run.residue} may still stand")
        else:
            self.check(standing <= run.residue, f"{told} {standing} stands and the residue is {run.residue}")
            self.check(bool(run.residue), f"{told} nothing is left standing")

    def _standing(self, run: SeenRun) -> set[str]:
        """The stages whose effects stand outside: done, and not undone after."""
        standing: set[str] = set()
        for each in self._outside.log:
            if each.run_id == run.run_id and run.stages[each.stage].pretend.undo != "none":
                (standing.add if each.what == "did" else standing.discard)(each.stage)
        return standing

    # ---- outside ----

    def begun(self, attempt: Attempt) -> None:
        """An attempt has begun outside: its order must be durable, by who drives the run, with the right map."""
        request = attempt.request
        if request.work == "test":
            return
        who = f"{request.attempt_id} of {attempt.life}"
        self.check(request.attempt_id not in self.begun_ids, f"{who} began twice")
        self.begun_ids.add(request.attempt_id)
        twins = [
            each.request.attempt_id for each in self._outside.alive
            if each is not attempt and each.request.work != "test"
            and (each.request.run_id, each.request.stage) == (request.run_id, request.stage)
        ]  # fmt: skip
        self.check(not twins, f"{who} began while {twins} had not ended")
        self._is_ordered(attempt, who)

    def _is_ordered(self, attempt: Attempt, who: str) -> None:
        request = attempt.request
        run = self.runs.get(request.run_id)
        stage = run.stages[request.stage] if run else None
        if run is None or stage is None:
            self.check(False, f"{who} began before its run was recorded")
            return
        number = int(request.attempt_id.rpartition(".")[2])
        in_flight = stage.rollback_in_flight if request.work == "rollback" else stage.in_flight
        is_ordered = in_flight == number and stage.ordered_by is attempt.life
        self.check(is_ordered, f"{who} began before its order was recorded")
        if is_ordered:
            self._map_is_right(run, stage, attempt, who)

    def _map_is_right(self, run: SeenRun, stage: SeenStage, attempt: Attempt, who: str) -> None:
        scope = attempt.request.scope
        names = [*stage.pretend.stage.inputs, *(each.name for each in stage.pretend.stage.dependencies)]
        for name in names:
            if name in run.names:
                self.check(
                    scope[name] == run.names[name],
                    f"{who} is told {name}={scope[name]}, it is {run.names[name]}",
                )
        if attempt.request.work == "rollback":
            self.check(
                scope["outcome"] == stage.told, f"{who} is told {scope['outcome']}, it was {stage.told}"
            )
            told = [each["outcome"] for each in scope["attempts"]]
            self.check(told == stage.outcomes, f"{who} is told of {told}, they were {stage.outcomes}")
            own = run.outputs.get(stage.pretend.name, {})
            for output in stage.pretend.stage.outputs:
                value = own.get(output.name)
                self.check(
                    scope[output.name] == value,
                    f"{who} is told {output.name}={scope[output.name]}, it is {value}",
                )

    def acted(self, attempt: Attempt) -> None:
        """It acts now: that must be within what is recorded as in flight."""
        request = attempt.request
        run = self.runs.get(request.run_id)
        if run is None:
            self.check(False, f"{request.attempt_id} acted in a run that is not recorded")
            return
        self.check(not run.settled, f"{request.attempt_id} acted after its run was {run.settled}")
        stage = run.stages[request.stage]
        in_flight = stage.rollback_in_flight if request.work == "rollback" else stage.in_flight
        number = int(request.attempt_id.rpartition(".")[2])
        self.check(in_flight == number, f"{request.attempt_id} acted, and is not in flight by the journal")

    def acknowledged_entry(self, run_id: str, seq: int) -> None:
        """Somebody was told that this entry is durable."""
        self.acknowledged[run_id] = max(seq, self.acknowledged.get(run_id, -1))

    def check_acknowledged(self) -> None:
        """What anybody was told of is in the store."""
        for run_id, seq in self.acknowledged.items():
            row = self._store.run(run_id)
            self.check(row is not None, f"{run_id}: acknowledged, and vanished")
            if row is not None:
                self.check(row["entry_count"] > seq, f"{run_id}: entry {seq} was acknowledged, and vanished")


_STAGE_COLUMNS = (
    "status", "attempts", "outcome", "error_kind", "rollback_attempts", "started_at", "ended_at", "result_seq"
)  # fmt: skip
