"""What one can ask of clew. The command line and the Python interface end here; they translate and print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clew.core.program.model import Json, Program
from clew.core.program.problems import nearest
from clew.core.running.rollback import residue_of
from clew.core.running.state import RunState


class RequestError(Exception):
    """The request can't be taken; the message says what would be right. Nothing was done."""


def check_request(program: Program, variables: Mapping[str, Json]) -> dict[str, Json]:
    """The variables map that a run begins with: the program's, overridden by the request's.

    Raises RequestError for a name the program does not take, one that is missing, or a value that does not
    fit its schema.
    """
    takes = {*program.variables, *program.requests}
    for name in variables:
        if name not in takes:
            hint = nearest(name, takes) or (
                f"it takes {', '.join(sorted(takes))}" if takes else "it takes none"
            )
            raise RequestError(f"{program.name} takes no variable '{name}'; {hint}")
    values = {**program.variables, **variables}
    for name, schema in program.requests.items():
        if name not in values:
            raise RequestError(f"{program.name} needs the variable '{name}'; give it with --var {name}=VALUE")
        if schema:
            _check_value(program, name, values[name], schema)
    return values


def _check_value(program: Program, name: str, value: Json, schema: Json) -> None:
    import jsonschema_rs  # 50 ms, and few requests have schemas

    try:
        jsonschema_rs.validate(schema, value)
    except jsonschema_rs.ValidationError as error:
        raise RequestError(f"{program.name}: the variable '{name}': {error.message}") from error


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
