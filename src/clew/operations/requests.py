"""What one can ask of clew. The command line and the Python interface end here; they translate and print."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from clew.core.program.model import Command, FolderSource, Json, Program
from clew.core.program.problems import nearest
from clew.core.program.sources import split_folder
from clew.core.running.json_values import NotJson, to_json
from clew.core.running.rollback import residue_of
from clew.core.running.stage_state import StageState
from clew.core.running.state import RunState


class RequestError(Exception):
    """The request can't be taken; the message says what would be right. Nothing was done."""


def check_request(
    program: Program,
    variables: Mapping[str, Json],
    *,
    unknown_buckets: Iterable[str] = (),
    unknown_secrets: Iterable[str] = (),
) -> dict[str, Json]:
    """The variables map that a run begins with: the program's, overridden by the request's.

    `unknown_buckets` and `unknown_secrets` are those of the program's that the settings do not know: a stage would
    fail for want of one, and so would its rollback. Raises RequestError with everything that is
    wrong: names the program does not take, values that are missing, no JSON, or against their schema, buckets
    and secrets nobody knows.
    """
    takes = {*program.variables, *program.requests}
    problems = [_not_taken(name, takes) for name in variables if name not in takes]
    values = {**program.variables, **variables}
    for name in variables:
        problems += _not_json(name, values)
    for name, schema in program.requests.items():
        if name not in values:
            problems.append(f"it needs the variable '{name}' (on the command line: --var {name}=VALUE)")
        elif schema and not problems:
            problems += against_schema(name, values[name], schema)
    for bucket in unknown_buckets:
        problems.append(
            f"no setting says where the bucket '{bucket}' is; name it in clew.toml, or with --bucket {bucket}=URL"
        )
    for secret in unknown_secrets:
        problems.append(
            f"no setting says where the secret '{secret}' is; name it in clew.toml, under [secrets], "
            f'as {secret} = {{environment = "VARIABLE"}} or {{file = "/path"}}'
        )
    if problems:
        raise RequestError("\n".join(f"{program.name}: {problem}" for problem in problems))
    return values


def refuse_unknown(program: Program, names: Iterable[str]) -> None:
    """Refuse the names of variables that the program does not take, where values may still be missing. Raises
    RequestError with all of them."""
    takes = {*program.variables, *program.requests}
    problems = [_not_taken(name, takes) for name in names if name not in takes]
    if problems:
        raise RequestError("\n".join(f"{program.name}: {problem}" for problem in problems))


def _not_taken(name: str, takes: set[str]) -> str:
    hint = nearest(name, takes) or (f"it takes {', '.join(sorted(takes))}" if takes else "it takes none")
    return f"it takes no variable '{name}'; {hint}"


def _not_json(name: str, values: dict[str, Json]) -> list[str]:
    try:
        values[name] = to_json(values[name], name)
    except NotJson as error:
        return [str(error)]
    return []


def against_schema(name: str, value: Json, schema: Json, *, what: str = "variable") -> list[str]:
    """What of the value is against its JSON Schema; none allows all. `what` the name is of is said in each."""
    if not schema and schema is not False:
        return []
    import jsonschema_rs  # 50 ms, and few requests have schemas

    try:
        found = jsonschema_rs.validator_for(schema, validate_formats=True, offline=True).iter_errors(value)
        return [f"the {what} '{name}': {error.message}" for error in found]
    except jsonschema_rs.ValidationError as error:
        return [f"the schema of the {what} '{name}' can't be used: {error.message}"]


def unknown_buckets(program: Program, known: Container[str]) -> list[str]:
    """The buckets that the program names outright and the settings do not know."""
    return [name for name in named_buckets(program) if name not in known]


def named_buckets(program: Program) -> list[str]:
    """The buckets that the program names outright, each once: not those it gives as URLs or refers to."""
    names: dict[str, None] = {}
    for stage in program.stages:
        places: list[Json] = [dependency.bucket for dependency in stage.file_dependencies]
        places += _buckets_in(stage.rollback.restore)
        if isinstance(stage.source, FolderSource):
            places.append(split_folder(stage.source.bucket)[0])
        for command in (*stage.execute, *stage.rollback.commands):
            places += _buckets_of(command, BUCKET_PARAMS.get(command.name, ()))
        for condition in (*stage.validate, *program.validate):
            if condition.name == "file_exists" and isinstance(condition.params, Mapping):
                places.append(condition.params.get("bucket"))
        names.update(dict.fromkeys(place for place in places if _is_plain(place)))
    return list(names)


BUCKET_PARAMS = {"publish_file": ("location",), "copy_file": ("from", "to"), "delete_file": ("location",)}
"""Which params of the built-in commands are places, whose bucket can be known beforehand."""


def _buckets_of(command: Command, params: Sequence[str]) -> list[Json]:
    found: list[Json] = []
    for param in params:
        given = command.params.get(param) if isinstance(command.params, Mapping) else None
        found += _buckets_in(given if isinstance(given, list) else [given])
    return found


def _buckets_in(places: Iterable[Json]) -> list[Json]:
    """What stands where a bucket does in each of the places."""
    return [
        place.split("/", 1)[0]
        for place in places
        if isinstance(place, str) and "/" in place and not place.startswith("/")
    ]


def _is_plain(place: Json) -> bool:
    """A bucket's name as it stands: no URL, no reference."""
    return isinstance(place, str) and bool(place) and "{" not in place and ":" not in place


def run_document(state: RunState, variables: Mapping[str, Json]) -> dict[str, Any]:
    """What `clew run --format json` ends with."""
    return {
        "run_id": state.run_id,
        "program": state.program.program.name,
        "version": state.program.version,
        "status": state.status,
        "cause": state.cause,
        "is_paused": state.is_paused,
        "stages": [_stage_document(stage) for stage in state.stages.values()],
        "variables": dict(variables),
        "residue": residue_documents(state),
    }


def _stage_document(stage: StageState) -> dict[str, Any]:
    """A stage, with its items where it is done for each of several values."""
    document = {
        "name": stage.name,
        "block": stage.sealed.block,
        "pass": stage.pass_number,
        "status": stage.status,
        "attempts": stage.attempts,
        "outcome": stage.outcome,
    }
    if stage.is_for_each:
        document["items"] = [
            {"item": item.index, "status": item.status, "attempts": item.attempts, "outcome": item.outcome}
            for item in stage.items or ()
        ]
    return document


def residue_documents(state: RunState) -> list[dict[str, Any]]:
    """What the run has left standing, or may have, as things are now."""
    residue = state.residue if state.is_settled else residue_of(state)
    return [{"stage": item.stage, "certain": item.certain, "pass": item.pass_number} for item in residue]
