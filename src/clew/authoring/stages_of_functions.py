"""From a function that is a stage to the stage as clew understands it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from clew.authoring.decorators import StageFunction
from clew.authoring.functions import parameters_of, reference_of
from clew.core.program.durations import read_duration
from clew.core.program.model import HOUR, SECOND, Command, Condition, Json, Retry, Rollback, Stage
from clew.core.program.problems import Path
from clew.core.program.shapes import Found
from clew.core.program.variables import ROLLBACK_NAMES
from clew.core.running.json_values import NotJson, to_json

_AS_IN_FILES = ("dependencies", "delay", "rollback", "backfill", "monitor")
_WORDS = ("none", "impossible")


def stage_model(function: StageFunction[..., Any], produced: frozenset[str], found: Found) -> Stage:
    """The stage that a decorated function stands for. `produced`: every name that the program's variables and
    stages make, so that a parameter with a default that nothing produces keeps its default. What is said as in
    a file is read as one's is, and its mistakes go to `found`."""
    said, path = function.said, ("stages", function.name)
    given = function.names_given
    if said.get("source") is not None:
        what = "the stage is a function of this process, whose code is here already"
        hint = "leave it out, or have the function named by a stage of a file, which fetches its code"
        found.problem((*path, "source"), what, hint)
    parameters = parameters_of(function.function, produced | given)
    stage = Stage(
        name=function.name,
        execute=(_command(function.function, parameters),),
        inputs=tuple(name for name in parameters if name not in given),
        outputs=function.outputs,
        after=tuple(_name_of(each) for each in said.get("after", ())),
        when=said.get("when"),
        for_each=_for_each(said.get("for_each"), (*path, "for_each"), found),
        max_parallel=said.get("max_parallel"),
        validate=tuple(
            _condition(condition, more, produced | given) for condition, more in function.conditions
        ),
        rollback=_rollback(function, produced | given, (*path, "rollback"), found),
        retry=_retry(said.get("retry")),
        timeout_milliseconds=_duration(said.get("timeout"), HOUR),
        executor=said.get("executor") or "local",
    )
    return replace(stage, **_read_as_in_files(function, path, found))


def _read_as_in_files(function: StageFunction[..., Any], path: Path, found: Found) -> dict[str, Any]:
    """The parts of the stage that were said as in a file, without what can't be read."""
    said = {key: function.said[key] for key in _AS_IN_FILES if function.said.get(key) is not None}
    if function.rollback_function is not None or said.get("rollback") in _WORDS:
        said.pop("rollback", None)
    if not said:
        return {}
    # What reads files takes 15 ms to load, and most programs of functions say nothing in this way.
    from clew.authoring.file_parts import read_parts

    if isinstance(said.get("rollback"), Mapping) and "to" in said["rollback"]:
        said["rollback"] = {**said["rollback"], "to": _name_of(said["rollback"]["to"])}
    return read_parts(said, path, found)


def _command(function: Callable[..., Any], parameters: Sequence[str]) -> Command:
    return Command("python", _function_params(function, parameters))


def _function_params(function: Callable[..., Any], parameters: Sequence[str]) -> dict[str, Json]:
    return {"function": reference_of(function), "with": {name: f"{{{name}}}" for name in parameters}}


def _for_each(said: Any, path: Path, found: Found) -> Json:
    try:
        return said if isinstance(said, str) else to_json(said, "for_each")
    except NotJson as error:
        found.problem(path, str(error))
        return None


def _condition(function: Callable[..., Any], said: Mapping[str, Any], known: frozenset[str]) -> Condition:
    params = _function_params(function, parameters_of(function, known))
    longest = said.get("maximum_time")
    return Condition(
        "python",
        params,
        maximum_time_milliseconds=None if longest is None else read_duration(longest),
        interval_milliseconds=_duration(said.get("interval"), SECOND),
        reexecute=bool(said.get("reexecute")),
    )


def _rollback(function: StageFunction[..., Any], known: frozenset[str], path: Path, found: Found) -> Rollback:
    """What the function for it says, or the word that stands for there being none."""
    undo, word = function.rollback_function, function.said.get("rollback")
    if undo is None:
        return Rollback(word) if word in _WORDS else Rollback()
    if word is not None:
        what = f"the stage says how it is undone, and '{undo.__name__}' does"
        found.problem(path, what, "leave out one of them")
    said = function.rollback_said
    return Rollback(
        "commands",
        (_command(undo, parameters_of(undo, known | ROLLBACK_NAMES)),),
        restore=tuple(said["restore"]),
        to=_name_of(said["to"]),
        attempts=said["attempts"],
        on_failure=said["on_failure"],
        retry=_retry(said["retry"]),
        timeout_milliseconds=_duration(said["timeout"], HOUR),
    )


def _name_of(stage: Any) -> Any:
    return stage.name if isinstance(stage, StageFunction) else stage


def _retry(said: Any) -> Retry:
    if said is None:
        return Retry()
    if isinstance(said, Retry):
        return said
    if isinstance(said, int):
        return Retry(attempts=said)
    default = Retry()
    on = said.get("on", default.on)
    return Retry(
        attempts=said.get("attempts", default.attempts),
        delay_milliseconds=_duration(said.get("delay"), default.delay_milliseconds),
        growth=said.get("growth", default.growth),
        maximum_delay_milliseconds=_duration(said.get("maximum_delay"), default.maximum_delay_milliseconds),
        jitter=said.get("jitter", default.jitter),
        on=(on,) if isinstance(on, str) else tuple(on),
    )


def _duration(said: Any, default: int) -> int:
    return default if said is None else read_duration(said)
