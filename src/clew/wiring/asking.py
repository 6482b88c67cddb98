"""Answers what dependencies ask that are no files: from the store, of this machine, of addresses and plug-ins."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Lock
from types import TracebackType

from clew.core.planning.questions import Question, Reply
from clew.core.program.model import ANSWER_MILLISECONDS
from clew.core.program.preparing import ParamsError
from clew.core.program.problems import ProgramError
from clew.operations.records import Records
from clew.operations.results import awaited_time, completed_run, last_output, never_due
from clew.ports import Finding, Look, Looked, NotTold, SearchRequest, StoreError
from clew.settings import Settings
from clew.wiring.records import has_store, open_records


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What answers come from. `look` asks a plug-in, and raises NotTold as that says. `lead`: where an address leads,
    see `conditions.infrastructure`."""

    settings: Settings
    look: Callable[[Look], Looked]
    lead: Callable[[str], str] = str


class Asking:
    """A `ports.Ask` for one round: the store is opened once, when it is first needed, and closed at the end."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._opened = ExitStack()
        self._records: Records | None = None
        self._lock = Lock()  # a store is used by one thread at a time

    def __enter__(self) -> Asking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def __call__(self, question: Question, request: SearchRequest) -> Reply:
        match question.kind:
            case "variable" | "program":
                return self._of_runs(question, request)
            case "resource":
                from clew.conditions.resources import look_at_resources

                return _found(question, lambda params: look_at_resources(params))
            case "infrastructure":
                from clew.conditions.infrastructure import look_at_infrastructure

                return _found(question, lambda params: look_at_infrastructure(params, self._around.lead))
        return self._of_plug_in(question, request)

    def _of_runs(self, question: Question, request: SearchRequest) -> Reply:
        params, settings = question.params, self._around.settings
        if not has_store(settings):
            return Reply(False, None, f"there is no store yet, and so no run of '{params['program']}'")
        with self._lock:
            try:
                if self._records is None:
                    self._records = self._opened.enter_context(open_records(settings))
                if question.kind == "variable":
                    return last_output(self._records, params["program"], params["output"])
                awaited = awaited_time(
                    self._records,
                    params["program"],
                    params["offset_milliseconds"],
                    run_time=request.run_time,
                    is_due=request.is_due,
                )
                never = ""
                if awaited is not None:
                    never = never_due(self._records, params["program"], awaited, is_due=request.is_due)
                return completed_run(
                    self._records, params["program"], run_time=awaited, besides=request.run_id, never=never
                )
            except StoreError as error:
                raise NotTold(str(error)) from error
            except (ProgramError, ValueError) as error:  # the store holds what clew would not have written
                raise NotTold(f"what is on record of '{params['program']}' can't be read: {error}") from error

    def _of_plug_in(self, question: Question, request: SearchRequest) -> Reply:
        looked = self._around.look(
            Look(
                kind=question.kind,
                params=question.params,
                run_time=request.run_time,
                folder=request.folder or os.getcwd(),
                timeout_milliseconds=question.timeout_milliseconds or ANSWER_MILLISECONDS,
                secrets=self._around.settings.secrets,
            )
        )
        why = looked.message or f"'{question.kind}' found it"
        return Reply(looked.verdict == "found", looked.value, why)


def _found(question: Question, test: Callable[[Mapping[str, object]], Finding]) -> Reply:
    """What a condition says, asked as a dependency."""
    try:
        finding = test(question.params)
    except (ParamsError, OSError) as error:
        raise NotTold(f"{question.kind}: {error}") from error
    value = finding.compared
    if finding.verdict == "held":
        return Reply(True, value, "it is there", {"compared": value})
    return Reply(False, None, finding.message, {"compared": value})
