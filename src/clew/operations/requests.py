"""What one can ask of clew. The command line and the Python interface end here; they translate and print."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from clew.core.program.model import Command, Json, Program
from clew.core.program.problems import nearest
from clew.core.running.json_values import NotJson, to_json
from clew.core.running.rollback import residue_of
from clew.core.running.state import RunState


class RequestError(Exception):
    """The request can't be taken; the message says what would be right. Nothing was done."""


def check_request(
    program: Program,
    variables: Mapping[str, Json],
    buckets: Container[str],
    unknown_secrets: Iterable[str] = (),
) -> dict[str, Json]:
    """The variables map that a run begins with: the program's, overridden by the request's.

    `buckets` are the names that the settings know, `unknown_secrets` those of the program's that they do not:
    a stage would fail for want of one, and so would its rollback. Raises RequestError with everything that is
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
            problems += _against(name, values[name], schema)
    for bucket in named_buckets(program):
        if bucket not in buckets:
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


def _not_taken(name: str, takes: set[str]) -> str:
    hint = nearest(name, takes) or (f"it takes {', '.join(sorted(takes))}" if takes else "it takes none")
    return f"it takes no variable '{name}'; {hint}"


def _not_json(name: str, values: dict[str, Json]) -> list[str]:
    try:
        values[name] = to_json(values[name], name)
    except NotJson as error:
        return [str(error)]
    return []


def _against(name: str, value: Json, schema: Json) -> list[str]:
    import jsonschema_rs  # 50 ms, and few requests have schemas

    try:
        found = jsonschema_rs.validator_for(schema, validate_formats=True, offline=True).iter_errors(value)
        return [f"the variable '{name}': {error.message}" for error in found]
    except jsonschema_rs.ValidationError as error:
        return [f"the schema of the variable '{name}' can't be used: {error.message}"]


def named_buckets(program: Program) -> list[str]:
    """The buckets that the program names outright, each once: not those it gives as URLs or refers to."""
    names: dict[str, None] = {}
    for stage in program.stages:
        places: list[Json] = [dependency.bucket for dependency in stage.file_dependencies]
        places += _buckets_in(stage.rollback.restore)
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
    residue = state.residue if state.is_settled else residue_of(state)
    return {
        "run_id": state.run_id,
        "program": state.program.program.name,
        "version": state.program.version,
        "status": state.status,
        "stages": [
            {
                "name": name,
                "block": stage.sealed.block,
                "status": stage.status,
                "attempts": stage.attempts,
                "outcome": stage.outcome,
            }
            for name, stage in state.stages.items()
        ],
        "variables": dict(variables),
        "residue": [{"stage": item.stage, "certain": item.certain} for item in residue],
    }
