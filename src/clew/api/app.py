"""The application: every call is refused that is not allowed, whatever it calls; then checked, then answered.

Beneath every endpoint stands the same guard, so that one that says nothing of who may call it can't be. All that is
answered has a shape that is declared; all that goes wrong is a problem of a known sort.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from re import Pattern
from secrets import token_hex
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from starlette.responses import Response, StreamingResponse
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from clew.api.calls import Answer, Call, Caller, Endpoint, House
from clew.api.limits import Places, depth_of
from clew.api.problems import MEDIA_TYPE, Problem, bad_request, not_found
from clew.api.security_log import SecurityLog
from clew.desk import Conflict, Gone
from clew.operations.requests import RequestError
from clew.ports import CommitUnknown, StoreBusy

HEALTH_PATH = "/healthz"
"""The one path that answers anybody."""

HEALTHY = b'{"status":"alive"}'

KEY_LENGTH_MAX = 255
SMALL_SIZE = 16_384
"""Bytes of a body that is read at once: a few hundred microseconds. Nobody waits for a larger one."""

SAFE_METHODS = frozenset({"GET"})

_GUARDS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""What every answer says to browsers."""

log = logging.getLogger("clew.api")


class Route:
    """One path with the endpoints that stand there, by their methods."""

    def __init__(self, path: str) -> None:
        self.pattern: Pattern[str]
        self.pattern, _, _ = compile_path(path)
        self.endpoints: dict[str, Endpoint] = {}

    def endpoint(self, method: str, caller: Caller, security_log: SecurityLog) -> Endpoint:
        """That of the method, if the caller may call it. Raises Problem."""
        found = self.endpoints.get(method)
        if found is None:
            allowed = ", ".join(sorted(self.endpoints))
            raise Problem(405, "no-such-method", f"this path takes {allowed}", {"Allow": allowed})
        if not caller.may(found.role):
            security_log.refused("forbidden", caller.by, method=method, path=found.path)
            raise Problem(
                403, "not-allowed", f"this needs the role {found.role}; the token's is {caller.role}"
            )
        return found


class Called:
    """Which endpoint a call turned out to be of; of none where it was refused before that was known."""

    def __init__(self) -> None:
        self.method = self.path = "none"


class Application:
    """Answers calls (ASGI)."""

    def __init__(
        self, house: House, endpoints: Iterable[Endpoint], *, hosts: Sequence[str], is_tls: bool
    ) -> None:
        """`hosts`: the names by which this may be called; `is_tls`: it is reached by TLS alone."""
        self._house = house
        self._hosts = frozenset(host.lower() for host in hosts)
        self._guards = dict(_GUARDS)
        if is_tls:
            self._guards["strict-transport-security"] = "max-age=31536000"
        self._in_flight = Places(house.limits.in_flight_max, "calls")
        routes: dict[str, Route] = {}
        for endpoint in endpoints:
            route = routes.setdefault(endpoint.path, Route(endpoint.path))
            assert endpoint.method not in route.endpoints, (
                f"{endpoint.method} {endpoint.path} is declared twice"
            )
            route.endpoints[endpoint.method] = endpoint
        self._fixed = {path: route for path, route in routes.items() if "{" not in path}
        self._routes = [route for path, route in routes.items() if "{" in path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # nothing else is served, so nobody may ask for it
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        began = asyncio.get_running_loop().time()
        called = Called()
        try:
            response = await self._response(scope, receive, called)
        except Exception as error:
            response = self._problem(error, scope)
        seconds = asyncio.get_running_loop().time() - began
        self._house.measures.called(called.method, called.path, response.status_code, seconds)
        response.headers.update({**self._guards, **response.headers})
        with suppress(OSError):  # whoever asked has gone
            await response(scope, receive, send)

    async def _response(self, scope: Scope, receive: Receive, called: Called) -> Response:
        headers = _headers(scope, self._house.limits.header_size_max)
        self._see_host(headers)
        raw = scope["raw_path"] + b"?" + scope["query_string"]
        if len(raw) > self._house.limits.url_size_max:
            raise Problem(
                414,
                "too-long",
                f"the path and what follows take more than {self._house.limits.url_size_max} bytes",
            )
        if scope["path"] == HEALTH_PATH and scope["method"] == "GET":
            return Response(HEALTHY, media_type="application/json")
        client = scope.get("client") or ("", 0)
        caller = await self._house.access.caller(headers, client[0])
        route, path = self._route(scope["path"])
        endpoint = route.endpoint(scope["method"], caller, self._house.security_log)
        called.method, called.path = endpoint.method, endpoint.path
        if endpoint.method not in SAFE_METHODS:
            self._see_origin(headers)
        query = _query(scope["query_string"], endpoint.query)
        with self._in_flight:
            body = await self._body(endpoint, headers, receive)
        call = Call(self._house, caller, path, query, body, headers)
        if endpoint.takes_key:
            _see_key(headers)
        return _answered(endpoint, await endpoint.handle(call), headers)

    # ---- before anything is called ----

    def _see_host(self, headers: Mapping[str, str]) -> None:
        """A name that somebody else has had resolved to this machine is none of its names. Raises Problem."""
        host = _host_of(f"//{headers.get('host', '')}")
        if host not in self._hosts:
            raise Problem(
                421, "not-this-host", "this is not reached by that name; the setting api.hosts names others"
            )

    def _see_origin(self, headers: Mapping[str, str]) -> None:
        """No page of another site changes anything by somebody's browser. Raises Problem."""
        origin = headers.get("origin")
        is_other = origin is not None and _host_of(origin) not in self._hosts
        if is_other or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Problem(403, "another-site", "pages of other sites may not call this")

    def _route(self, path: str) -> tuple[Route, dict[str, str]]:
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed, {}
        for route in self._routes:
            found = route.pattern.match(path)
            if found is not None:
                return route, found.groupdict()
        raise not_found("there is nothing under this path")

    # ---- what was sent ----

    async def _body(self, endpoint: Endpoint, headers: Mapping[str, str], receive: Receive) -> Any:
        """What was sent, as the endpoint has declared it. Raises Problem."""
        limits = self._house.limits
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > limits.body_size_max:
            raise _too_large(limits.body_size_max)
        try:
            async with asyncio.timeout(limits.body_seconds):
                content = await _read(receive, limits.body_size_max)
        except TimeoutError:
            raise Problem(
                408, "too-slow", f"the body was not there after {limits.body_seconds} s", _CLOSE
            ) from None
        if endpoint.body is None:
            if content:
                raise bad_request("this takes no body")
            return None
        sort = headers.get("content-type", "").partition(";")[0].strip().lower()
        if sort != "application/json":
            raise Problem(415, "no-json", "send the body as Content-Type: application/json")
        kind, depth_max = endpoint.body, limits.json_depth_max
        if len(content) <= SMALL_SIZE:
            return decoded(content, kind, depth_max)
        return await self._house.desk.outside(lambda: decoded(content, kind, depth_max))

    # ---- what went wrong ----

    def _problem(self, error: Exception, scope: Scope) -> Response:
        instance = ""
        match error:
            case Problem():
                problem = error
            case Gone():
                problem = not_found(str(error))
            case Conflict():
                problem = Problem(409, "conflict", str(error))
            case RequestError():
                problem = Problem(422, "not-taken", str(error))
            case StoreBusy():
                problem = Problem(503, "store-busy", "the store is busy, or away; try again", _SOON)
            case CommitUnknown():
                what = "nobody knows whether it is on record; ask again under the same Idempotency-Key"
                problem = Problem(503, "not-known", what, _SOON)
            case _:
                instance = f"urn:clew:error:{token_hex(8)}"
                log.error(
                    "a call failed", exc_info=error,
                    extra={"event": "error", "instance": instance, "path": scope["path"]},
                )  # fmt: skip
                problem = Problem(500, "error", "an error on this side; the log tells more of this instance")
        document = msgspec.json.encode(problem.document(instance))
        return Response(document, problem.status, problem.headers, MEDIA_TYPE)


_CLOSE = {"Connection": "close"}
_SOON = {"Retry-After": "1"}


def _host_of(url: str) -> str:
    """Whom it names; empty where that can't be told."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _headers(scope: Scope, size_max: int) -> dict[str, str]:
    """Raises Problem where they are too large, or one that may be there once is there twice."""
    found: dict[str, str] = {}
    size = 0
    for name, value in scope["headers"]:
        size += len(name) + len(value) + 4
        key = name.decode("latin-1")
        if key in found and key in _ONCE:
            raise bad_request(f"the header {key} is there twice")
        found[key] = value.decode("latin-1")
    if size > size_max:
        raise Problem(431, "headers-too-large", f"the headers take more than {size_max} bytes", _CLOSE)
    return found


_ONCE = frozenset(
    {"authorization", "host", "content-type", "content-length", "idempotency-key", "origin", "last-event-id"}
)


def _query(raw: bytes, kind: type[Any]) -> Any:
    """Raises Problem for what the endpoint does not take, and for what is there twice."""
    if not raw:
        pairs = []
    else:
        try:
            pairs = parse_qsl(
                raw.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=True,
                errors="strict",
                max_num_fields=50,
            )
        except (ValueError, UnicodeDecodeError) as error:
            raise bad_request(f"what follows the ? can't be read: {error}") from error
    given = dict(pairs)
    if len(given) != len(pairs):
        raise bad_request("a name follows the ? twice")
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        names = ", ".join(each.name for each in msgspec.structs.fields(kind)) or "nothing"
        raise bad_request(f"what follows the ?: {error}; it takes {names}") from error


async def _read(receive: Receive, size_max: int) -> bytes:
    """The whole body. Raises Problem where it is too large, or whoever sent it has gone."""
    content = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise bad_request("the body was cut off")
        content += message.get("body", b"")
        if len(content) > size_max:
            raise _too_large(size_max)
        if not message.get("more_body", False):
            return bytes(content)


def _too_large(size_max: int) -> Problem:
    return Problem(413, "too-large", f"the body takes more than {size_max} bytes")


def decoded(content: bytes, kind: type[Any], depth_max: int) -> Any:
    """A JSON text as a value of that type. Raises Problem."""
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request(f"the body is no JSON: {error}") from error
    except RecursionError:
        raise bad_request(f"the body is nested deeper than {depth_max} levels") from None
    if depth_of(value) > depth_max:
        raise bad_request(f"the body is nested deeper than {depth_max} levels")
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise Problem(422, "not-taken", f"the body: {error}") from error


def _see_key(headers: Mapping[str, str]) -> None:
    key = headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= KEY_LENGTH_MAX and key.isascii() and key.isprintable()):
        raise bad_request(f"an Idempotency-Key has 1 to {KEY_LENGTH_MAX} printable characters of ASCII")


def _answered(endpoint: Endpoint, given: Any, headers: Mapping[str, str]) -> Response:
    answer = given if isinstance(given, Answer) else Answer(given)
    status = answer.status or endpoint.statuses[0]
    if answer.stream is not None:
        return StreamingResponse(answer.stream, status, dict(answer.headers), endpoint.media)
    if status == 204:
        return Response(None, status, dict(answer.headers))
    content = answer.content
    if content is None:
        content = msgspec.json.encode(answer.document)
    said = dict(answer.headers)
    if endpoint.method == "GET" and status == 200:
        said = {**said, "etag": f'"{sha256(content).hexdigest()[:32]}"', "cache-control": "private, no-cache"}
        if headers.get("if-none-match") == said["etag"]:
            return Response(None, 304, said)
    return Response(content, status, said, endpoint.media)
