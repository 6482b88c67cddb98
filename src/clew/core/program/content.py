"""A program's canonical content, with all defaults filled in, and the version that is its digest.

The content is itself a program document: reading it gives the same program. What has an order is written as a
list, since canonical JSON sorts the keys of mappings.

A key that clew came to know after it first kept versions is left out where it says what was so before: the
versions that stores and journals hold stay what they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from msgspec import to_builtins

from clew.core.program.durations import written_duration
from clew.core.program.model import (
    FOREVER,
    AnyDependency,
    AnySource,
    AskedDependency,
    Command,
    Condition,
    Delay,
    Dependency,
    GitSource,
    InputDependency,
    Limits,
    Output,
    Program,
    ProgramDependency,
    Retry,
    Rollback,
    Stage,
    VariableDependency,
)
from clew.core.program.pace_keys import default_active_runs
from clew.core.sealing.canonical import canonical_bytes
from clew.core.timing.clock_change import USUAL

VERSION_TAG = b"clew/program/v1\n"


def version(program: Program) -> str:
    """The program's version: lowercase hex SHA-256 of its tagged canonical content."""
    return version_of(content(program))


def version_of(document: Mapping[str, Any]) -> str:
    """The version of the program that the document says."""
    return sha256(VERSION_TAG + canonical_bytes(document)).hexdigest()


def content(program: Program) -> dict[str, Any]:
    """The program as a document that says everything."""
    return {
        "name": program.name,
        "timezone": program.timezone,
        "custom_times": {
            time.name: [time.base, written_duration(time.offset_milliseconds)]
            for time in program.custom_times
        },
        "maintain_sequence": program.maintain_sequence,
        "variables": dict(program.variables),
        "requests": dict(program.requests),
        "validate": [_condition(one) for one in program.validate],
        "stages": [_stage(one) for one in program.stages],
        **_timing(program),
        **_pace(program),
    }


def _timing(program: Program) -> dict[str, Any]:
    cadence = program.cadence
    said = {} if program.clock_change == USUAL else {"clock_change": to_builtins(program.clock_change)}
    return {
        **_said("cadence", [list(row) for row in cadence] if isinstance(cadence, tuple) else cadence),
        **_said("initial", program.initial),
        **_said("final", program.final),
        **said,
    }


def _pace(program: Program) -> dict[str, Any]:
    usual = default_active_runs(program.run_order, program.cadence is not None)
    most = program.max_active_runs
    return {
        **_limits(program.backfill_milliseconds, program.limits),
        **({} if program.on_missed == "record" else {"on_missed": program.on_missed}),
        **({} if most == usual else {"max_active_runs": most}),
        **({} if program.run_order == "any" else {"run_order": program.run_order}),
        **({} if program.overlap == "queue" else {"overlap": program.overlap}),
        **_retention(program),
    }


def _retention(program: Program) -> dict[str, Any]:
    said = {
        status: "forever" if kept == FOREVER else written_duration(kept)
        for status, kept in program.retention.items()
    }
    return {"retention": said} if said else {}


def _limits(backfill_milliseconds: int | None, limits: Limits) -> dict[str, Any]:
    said = {
        **_said_duration("run", limits.run_milliseconds),
        **_said_duration("execution", limits.execution_milliseconds),
        **_said_duration("validation", limits.validation_milliseconds),
    }
    return {**_said_duration("backfill", backfill_milliseconds), **({"monitor": said} if said else {})}


def _stage(stage: Stage) -> dict[str, Any]:
    return {
        "name": stage.name,
        "execute": [_command(one) for one in stage.execute],
        "dependencies": [dependency_content(one) for one in stage.dependencies],
        "inputs": list(stage.inputs),
        "outputs": [_output(one) for one in stage.outputs],
        "after": list(stage.after),
        **_said("when", stage.when),
        **_said("for_each", stage.for_each),
        **_said("max_parallel", stage.max_parallel),
        "validate": [_condition(one) for one in stage.validate],
        **_rollback(stage.rollback),
        "retry": _retry(stage.retry),
        "timeout": written_duration(stage.timeout_milliseconds),
        "delay": _delay(stage.delay),
        "executor": stage.executor,
        "environment": dict(stage.environment),
        **_said("source", _source(stage.source)),
        **_limits(stage.backfill_milliseconds, stage.limits),
    }


def _command(command: Command) -> dict[str, Any]:
    return {"command": command.name, **_said("params", command.params)}


def _condition(condition: Condition) -> dict[str, Any]:
    return {
        "condition": condition.name,
        **_said("params", condition.params),
        **_said_duration("maximum_time", condition.maximum_time_milliseconds),
        "interval": written_duration(condition.interval_milliseconds),
        "reexecute": condition.reexecute,
    }


def dependency_content(dependency: AnyDependency) -> dict[str, Any]:
    """The dependency as a document that says everything."""
    if isinstance(dependency, InputDependency):
        return {
            "name": dependency.name,
            "kind": "input",
            **_said("schema", dependency.schema),
            **_said_duration("deadline", dependency.deadline_milliseconds),
        }
    if not isinstance(dependency, Dependency):
        return {"name": dependency.name, **_named_dependency(dependency)}
    return {
        "name": dependency.name,
        "bucket": dependency.bucket,
        "prefix": [
            {"match": one.match, "type": one.kind, **_said("multiple", one.multiple)}
            for one in dependency.prefix
        ],
        **_said_duration("stable_for", dependency.stable_for_milliseconds),
    }


def _source(source: AnySource | None) -> dict[str, Any] | None:
    if source is None:
        return None
    folder = {"folder": source.folder} if source.folder else {}
    if isinstance(source, GitSource):
        return {"git": source.git, "commit": source.commit, **folder}
    return {"bucket": source.bucket, **folder}


def _named_dependency(
    dependency: VariableDependency | ProgramDependency | AskedDependency,
) -> dict[str, Any]:
    if isinstance(dependency, VariableDependency):
        default = {"default": dependency.default} if dependency.has_default else {}
        return {"kind": "variable", "program": dependency.program, "output": dependency.output, **default}
    if isinstance(dependency, ProgramDependency):
        offset = _said_duration("offset", dependency.offset_milliseconds)
        return {"kind": "program", "program": dependency.program, **offset}
    if not dependency.is_plug_in:
        return {"kind": dependency.kind, **dependency.params}
    timeout = _said_duration("timeout", dependency.timeout_milliseconds)
    return {"kind": dependency.kind, "params": dict(dependency.params), **timeout}


def _output(output: Output) -> dict[str, Any]:
    default = {"default": output.default} if output.has_default else {}
    return {"name": output.name, **_said("from", output.source), **default}


def _rollback(rollback: Rollback) -> dict[str, Any]:
    """All that the rollback says; also what it may not say, so that its reader can tell."""
    default = Rollback()
    undoes = rollback.kind == "commands"
    said: dict[str, Any] = {}
    if rollback.commands:
        said["commands"] = [_command(one) for one in rollback.commands]
    if rollback.restore:
        said["restore"] = list(rollback.restore)
    if rollback.to is not None:
        said["to"] = rollback.to
    if rollback.to is not None or rollback.attempts != default.attempts:
        said["attempts"] = rollback.attempts
    if rollback.on_failure != default.on_failure:
        said["on_failure"] = rollback.on_failure
    if undoes or rollback.retry != default.retry:
        said["retry"] = _retry(rollback.retry)
    if undoes or rollback.timeout_milliseconds != default.timeout_milliseconds:
        said["timeout"] = written_duration(rollback.timeout_milliseconds)
    if rollback.kind in ("none", "impossible"):
        return {"rollback": {"command": rollback.kind, **said} if said else rollback.kind}
    return {"rollback": said} if said else {}


def _retry(retry: Retry) -> dict[str, Any]:
    return {
        "attempts": retry.attempts,
        "delay": written_duration(retry.delay_milliseconds),
        "growth": retry.growth,
        "maximum_delay": written_duration(retry.maximum_delay_milliseconds),
        "jitter": retry.jitter,
        "on": list(retry.on),
    }


def _delay(delay: Delay) -> dict[str, Any]:
    return {
        "first": written_duration(delay.first_milliseconds),
        "growth": delay.growth,
        **_said_duration("maximum", delay.maximum_milliseconds),
    }


def _said(key: str, value: Any) -> dict[str, Any]:
    """The entry, unless there is nothing to say."""
    return {} if value is None else {key: value}


def _said_duration(key: str, milliseconds: int | None) -> dict[str, Any]:
    return {} if milliseconds is None else {key: written_duration(milliseconds)}
