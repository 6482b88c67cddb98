"""The Python form of a program: `Program("trip", stages=[...])`, which builds the same model as a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import asdict, replace

from clew.authoring.decorators import StageFunction
from clew.authoring.functions import default_values, module_of, reference_of
from clew.authoring.stages_of_functions import stage_model
from clew.core.program import model
from clew.core.program.durations import read_duration
from clew.core.program.grammar import PACE_GOES_WITH, PACE_KEYS, TIMING_KEYS
from clew.core.program.model import Json
from clew.core.program.problems import ProgramError
from clew.core.program.records import Key, Record
from clew.core.program.shapes import Anything, Found
from clew.core.running.json_values import NotJson, to_json


class FunctionProgram:
    """A program whose stages are functions (or stage models). `model` is the program as clew understands it."""

    def __init__(
        self,
        name: str,
        *,
        stages: Sequence[StageFunction[..., Any] | model.Stage],
        variables: Mapping[str, Json] | None = None,
        requests: Mapping[str, Json] | None = None,
        timezone: str = "UTC",
        custom_times: Mapping[str, Sequence[str]] | None = None,
        maintain_sequence: bool = False,
        validate: Sequence[model.Condition] = (),
        cadence: str | Sequence[str | Sequence[str]] | datetime | None = None,
        initial: str | datetime | None = None,
        final: str | datetime | None = None,
        clock_change: Mapping[str, str] | None = None,
        backfill: str | None = None,
        on_missed: str | None = None,
        monitor: str | Mapping[str, str] | None = None,
        max_active_runs: int | None = None,
        run_order: str | None = None,
        overlap: str | None = None,
        retention: str | Mapping[str, str] | None = None,
    ) -> None:
        """Builds the model. An input that nothing produces becomes a variable of the request: required, unless
        its parameter has a default, which then is the program's. Raises ProgramError with every mistake in what
        is said as in a file; names and order are looked at when the program is read to be run."""
        self.functions: dict[str, Callable[..., Any]] = {}
        """Every function of the program, by the reference under which it is recorded."""
        self.folder = ""
        produced = _produced(stages, variables or {}, requests or {}, custom_times or {})
        variables = {**_defaults(stages, produced), **(variables or {})}
        produced |= variables.keys()
        found = Found()
        models = tuple(self._stage(each, produced, found) for each in stages)
        times = {"cadence": cadence, "initial": initial, "final": final, "clock_change": clock_change}
        pace = {
            "backfill": backfill, "on_missed": on_missed, "monitor": monitor, "max_active_runs": max_active_runs,
            "run_order": run_order, "overlap": overlap, "retention": retention,
        }  # fmt: skip
        timing = _timing({key: said for key, said in times.items() if said is not None}, timezone, found)
        paced = _pace(
            {key: said for key, said in pace.items() if said is not None}, cadence is not None, found
        )
        if found.problems:
            raise ProgramError(found.problems)
        asked: dict[str, Json] = {name: {} for name in _unproduced(stages, produced)}
        self.model = model.Program(
            name,
            models,
            timezone=timezone,
            custom_times=tuple(
                model.CustomTime(time, base, read_duration(offset))
                for time, (base, offset) in (custom_times or {}).items()
            ),
            maintain_sequence=maintain_sequence,
            variables=variables,
            requests={**asked, **(requests or {})},
            validate=tuple(validate),
            **timing,
            **paced,
        )

    @property
    def name(self) -> str:
        return self.model.name

    def _stage(
        self, stage: StageFunction[..., Any] | model.Stage, produced: frozenset[str], found: Found
    ) -> model.Stage:
        if isinstance(stage, model.Stage):
            return stage
        conditions = [condition for condition, _ in stage.conditions]
        for function in (stage.function, stage.rollback_function, *conditions):
            if function is not None:
                self.functions[reference_of(function)] = function
        self.folder = self.folder or _folder_of(stage.function)
        return stage_model(stage, produced, found)

    def with_executor(self, executor: str) -> model.Program:
        """The model with every stage on that executor."""
        return replace(
            self.model, stages=tuple(replace(stage, executor=executor) for stage in self.model.stages)
        )


def _timing(times: Mapping[str, Any], timezone: str, found: Found) -> dict[str, Any]:
    """When it is due, as the model keeps it; with the mistakes of a file."""
    if not times:
        return {}
    from clew.core.program.timing_keys import read_timing

    parts = Record(TIMING_KEYS, goes_with={"clock_change": "cadence"}).read(_as_in_a_file(times), (), found)
    return asdict(read_timing(parts, timezone, found))


def _pace(pace: Mapping[str, Any], has_cadence: bool, found: Found) -> dict[str, Any]:
    """How its runs follow each other, as the model keeps it; with the mistakes of a file."""
    if not (pace or has_cadence):
        return {}
    from clew.core.program.pace_keys import read_pace

    cadence = {"cadence": None} if has_cadence else {}
    keys = {**PACE_KEYS, "cadence": Key(Anything())}
    parts = Record(keys, goes_with=PACE_GOES_WITH).read({**pace, **cadence}, (), found)
    return read_pace(parts, found)


def _as_in_a_file(said: Any) -> Json:
    if isinstance(said, datetime):
        return said.isoformat(sep=" ")
    if isinstance(said, Mapping):
        return {key: _as_in_a_file(value) for key, value in said.items()}
    if isinstance(said, Sequence) and not isinstance(said, str):
        return [_as_in_a_file(value) for value in said]
    return said


def _produced(
    stages: Sequence[StageFunction[..., Any] | model.Stage], *given: Mapping[str, Any]
) -> frozenset[str]:
    names = {name for mapping in given for name in mapping}
    for stage in stages:
        names.update(output.name for output in stage.outputs)
        if isinstance(stage, model.Stage):
            names.update(dependency.name for dependency in stage.dependencies)
        else:
            names.update(stage.dependency_names)
    return frozenset(names)


def _unproduced(
    stages: Sequence[StageFunction[..., Any] | model.Stage], produced: frozenset[str]
) -> list[str]:
    names: dict[str, None] = {}
    for stage in stages:
        if isinstance(stage, StageFunction):
            names.update(dict.fromkeys(name for name in stage.names_asked if name not in produced))
    return list(names)


def _defaults(
    stages: Sequence[StageFunction[..., Any] | model.Stage], produced: frozenset[str]
) -> dict[str, Json]:
    """The defaults of inputs that nothing produces. One that is no JSON, or that another stage needs without a
    default or with another one, stays its function's own business."""
    needed = set(_unproduced(stages, produced))
    defaults: dict[str, Json] = {}
    for stage in stages:
        if not isinstance(stage, StageFunction):
            continue
        for name, value in default_values(stage.function).items():
            if name in produced or name in needed or name in stage.names_given:
                continue
            try:
                found = to_json(value, name)
            except NotJson:
                needed.add(name)
                continue
            if defaults.setdefault(name, found) != found:
                needed.add(name)
    return {name: value for name, value in defaults.items() if name not in needed}


def _folder_of(function: Callable[..., Any]) -> str:
    """The folder from which the function's module was imported, so that it can be found again."""
    module = sys.modules.get(function.__module__)
    path: str | None = getattr(module, "__file__", None)
    if path is None:
        return ""
    folder = os.path.dirname(os.path.abspath(path))
    for _ in range(module_of(function).count(".")):
        folder = os.path.dirname(folder)
    return folder
