"""What can be called, as OpenAPI 3.1 says it: made of the endpoints' declarations, by which calls are checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, TypeGuard

import msgspec

from clew.api.app import HEALTH_PATH, KEY_LENGTH_MAX
from clew.api.calls import VIEWER, Answer, Call, Endpoint, Endpoints
from clew.api.problems import MEDIA_TYPE, ProblemDocument

Json = Any

PATH = "/api/v1/openapi.json"

ALWAYS = (400, 401, 403, 408, 413, 414, 421, 429, 431, 500, 503)
"""Which problems may come of every call."""

_ABOUT = {
    "run_id": "The run's id, whole.",
    "program": "The program's name.",
    "instruction_id": "What a call that told the run something has answered.",
    "token_id": "The token's id, which is its middle part.",
}

_REFERENCES = "#/components/schemas/{name}"


def document_of(endpoints: Iterable[tuple[str, Endpoint]], *, version: str) -> Json:
    """The whole document; of each endpoint with its tag."""
    found = list(endpoints)
    types: set[type[Any]] = {ProblemDocument}
    for _, one in found:
        types.update(filter(_is_named, (one.query, one.body, one.answer)))
    _, components = msgspec.json.schema_components(types, ref_template=_REFERENCES)
    paths: dict[str, dict[str, Json]] = {}
    for tag, one in found:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(tag, one, components)
    paths[HEALTH_PATH] = {"get": _alive()}
    queries = {one.query.__name__ for _, one in found}
    return {
        "openapi": "3.1.0",
        "info": {"title": "clew", "version": version, "description": _DESCRIPTION},
        "security": [{"token": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {name: schema for name, schema in components.items() if name not in queries},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "clew_ID_SECRET"}
            },
        },
    }


def _is_named(kind: Any) -> TypeGuard[type[msgspec.Struct]]:
    """Whether it is a type of ours, that stands among the components."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


_DESCRIPTION = (
    "Durable programs made of stages. All that goes wrong is answered as application/problem+json (RFC 9457). A call "
    "that changes something may carry an Idempotency-Key: made again under it, it is the same call."
)


def _operation(tag: str, one: Endpoint, components: Mapping[str, Json]) -> Json:
    operation: dict[str, Json] = {
        "tags": [tag],
        "operationId": one.name,
        "summary": one.about,
        "description": f"Needs the role {one.role}.",
        "parameters": [*_path_parameters(one), *_query_parameters(one, components), *_headers(one)],
        "responses": {
            **{str(status): _given(one, status) for status in one.statuses},
            **({"304": {"description": "It is what it was."}} if one.method == "GET" else {}),
            **{str(status): _problem(status) for status in sorted({*ALWAYS, *one.problems, *_of_body(one)})},
        },
    }
    if one.body is not None:
        content: dict[str, Json] = {"schema": {"$ref": _REFERENCES.format(name=one.body.__name__)}}
        if one.example is not None:
            content["example"] = one.example
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    return operation


def _of_body(one: Endpoint) -> tuple[int, ...]:
    return () if one.body is None else (415, 422)


def _given(one: Endpoint, status: int) -> Json:
    given: dict[str, Json] = {"description": HTTPStatus(status).phrase}
    if _is_named(one.answer):
        given["content"] = {one.media: {"schema": {"$ref": _REFERENCES.format(name=one.answer.__name__)}}}
    elif status != 204:
        given["content"] = {one.media: {"schema": _OF_MEDIA.get(one.media, {"type": "object"})}}
    if one.method == "POST" and status in (200, 201, 202) and one.takes_key:
        given["headers"] = {"Location": {"schema": {"type": "string"}}}
    return given


_OF_MEDIA = {
    "text/event-stream": {
        "description": "Of each event. Its data is an EntryDocument where it is an `entry`.",
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "event": {"enum": ["entry", "settled"]},
            "data": {"type": "string", "contentMediaType": "application/json"},
        },
        "required": ["id", "event", "data"],
    },
    "text/plain": {"type": "string"},
    "application/x-ndjson": {"type": "string"},
}
"""The shape of what is no JSON document of a type."""


def _problem(status: int) -> Json:
    schema = {"$ref": _REFERENCES.format(name=ProblemDocument.__name__)}
    return {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}


def _path_parameters(one: Endpoint) -> list[Json]:
    names = re.findall(r"\{(\w+)\}", one.path)
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _ABOUT[name],
            "schema": {"type": "string", "minLength": 1},
        }
        for name in names
    ]


def _query_parameters(one: Endpoint, components: Mapping[str, Json]) -> list[Json]:
    schema = components.get(one.query.__name__, {})
    properties: Mapping[str, Json] = schema.get("properties", {})
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _not_null(each)}
        for name, each in properties.items()
    ]


def _not_null(schema: Json) -> Json:
    """Of a parameter that may be left out: it can't be null."""
    kinds = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    found = kinds[0] if len(kinds) == 1 else schema
    if isinstance(found.get("enum"), list):
        found = {**found, "enum": [one for one in found["enum"] if one is not None]}
    return {key: value for key, value in found.items() if not (key == "default" and value is None)}


def _headers(one: Endpoint) -> list[Json]:
    found = []
    if one.takes_key:
        schema = {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH_MAX, "pattern": "^[ -~]+$"}
        found.append({
            "name": "Idempotency-Key", "in": "header", "required": False, "schema": schema,
            "description": "By which the same call, made again, is known.",
        })  # fmt: skip
    if one.media == "text/event-stream":
        schema = {"type": "string", "pattern": "^[0-9]{1,15}$"}
        found.append({"name": "Last-Event-ID", "in": "header", "required": False, "schema": schema})
    return found


def _alive() -> Json:
    schema = {"type": "object", "properties": {"status": {"const": "alive"}}, "required": ["status"]}
    return {
        "operationId": "show_health",
        "summary": "Whether this process answers. Asks for no token, and always says the same.",
        "security": [],
        "responses": {
            "200": {"description": "OK", "content": {"application/json": {"schema": schema}}},
            "421": _problem(421),
        },
    }


described = Endpoints("description")


@described.add("GET", PATH, role=VIEWER, about="This description.")
async def describe(call: Call) -> Answer:
    return Answer(content=_encoded())


@cache
def _encoded() -> bytes:
    from clew.api.resources import ALL
    from clew.wiring.taking import VERSION

    return msgspec.json.encode(
        document_of(((each.tag, one) for each in ALL for one in each.all), version=VERSION)
    )
