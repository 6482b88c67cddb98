"""`http`: one request to a server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clew.commands.interface import CommandContext, CommandError, limited
from clew.core.program.durations import read_duration
from clew.ports import Json

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

TIMEOUT_DEFAULT = "30 seconds"
"""As long as most servers and proxies let a request take."""
REDIRECTS_MAX = 5
"""More than any deliberate chain of redirects has."""
DETAIL_SIZE_MAX = 2_048
"""Characters of an unexpected answer that go into the error: its first lines say what was wrong."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Those that change nothing on the server (RFC 9110)."""

_CHUNK_SIZE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """A request, ready to be sent."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    expected: tuple[int, ...]
    timeout_seconds: float
    follows_redirects: bool

    def __str__(self) -> str:
        # Without the query, in which tokens tend to be.
        return f"{self.method} {limited(self.url.partition('?')[0], 200)}"


def http(context: CommandContext, params: Mapping[str, Json]) -> Json:
    """Gives back `{status, headers, json}`, or `{..., text}` when it is no JSON; headers in lower case.

    Fails with `status` on another status than the expected ones, with `connection` when no answer came, with
    `output` when it is larger than an output may be.
    """
    # A target that knows the stage's key would take the undoing for the same request come again.
    request = read_request(params, context.rollback_idempotency_key or context.idempotency_key)
    status, headers, content = _answer(request, context.output_size_max)
    if not _is_expected(status, request):
        wanted = ", ".join(str(one) for one in request.expected) or "200 to 299"
        detail = limited(content.decode("utf-8", "replace"), DETAIL_SIZE_MAX)
        raise CommandError("status", f"{request} was answered with {status}, not {wanted}", detail)
    return {"status": status, "headers": headers, **_body_of(headers, content)}


def read_request(params: Mapping[str, Json], idempotency_key: str) -> Request:
    """The request that the params describe. Raises CommandError (`params`)."""
    method, url = str(params.get("method") or "GET").upper(), params["url"]
    if not isinstance(url, str) or not url.lower().startswith(("http://", "https://")):
        raise CommandError("params", f"'{url}' is no address; it begins with http:// or https://")
    if not method.isalpha() or not method.isascii():
        raise CommandError("params", f"'{method}' is no method")
    headers = _headers(params)
    known = {name.lower() for name in headers}
    if method not in SAFE_METHODS and "idempotency-key" not in known and idempotency_key:
        headers["Idempotency-Key"] = idempotency_key
    body = _body(params)
    if body is not None and "json" in params and "content-type" not in known:
        headers["Content-Type"] = "application/json"
    return Request(
        method,
        url,
        headers,
        body,
        _statuses(params.get("expect")),
        _seconds(params.get("timeout", TIMEOUT_DEFAULT)),
        bool(params.get("follow_redirects")),
    )


def _headers(params: Mapping[str, Json]) -> dict[str, str]:
    given = params.get("headers") or {}
    if not isinstance(given, dict):
        raise CommandError("params", "headers is a mapping")
    headers = {
        str(name): value if isinstance(value, str) else json.dumps(value) for name, value in given.items()
    }
    for name, value in headers.items():
        if any(ord(one) < 32 or ord(one) == 127 for one in name + value.replace("\t", "")):
            raise CommandError("params", f"the header '{limited(name, 60)}' holds a control character")
    return headers


def _body(params: Mapping[str, Json]) -> bytes | None:
    if "json" in params and "body" in params:
        raise CommandError("params", "http takes json or body, not both")
    if "json" in params:
        return json.dumps(params["json"], ensure_ascii=False, allow_nan=False).encode()
    body = params.get("body")
    if body is None:
        return None
    return (body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)).encode()


def _statuses(expect: Json) -> tuple[int, ...]:
    statuses = [] if expect is None else expect if isinstance(expect, list) else [expect]
    if not all(isinstance(one, int) and 100 <= one <= 599 for one in statuses):
        raise CommandError("params", f"'{expect}' is no status, nor a list of them; a status is 100 to 599")
    return tuple(statuses)


def _seconds(timeout: Json) -> float:
    try:
        milliseconds = read_duration(timeout)
    except ValueError as error:
        raise CommandError("params", str(error)) from error
    if milliseconds <= 0:
        raise CommandError("params", f"a timeout of '{timeout}' leaves no time")
    return milliseconds / 1000


def _answer(request: Request, size_max: int) -> tuple[int, dict[str, str], bytes]:
    # 120 ms to import, which only those who make requests should pay.
    import urllib3

    retries = urllib3.Retry(total=REDIRECTS_MAX, connect=0, read=0, status=0, other=0, redirect=REDIRECTS_MAX)
    with urllib3.PoolManager() as pool:
        try:
            response = pool.request(
                request.method,
                request.url,
                body=request.body,
                headers=dict(request.headers),
                timeout=urllib3.Timeout(total=request.timeout_seconds),
                retries=retries if request.follows_redirects else False,
                redirect=request.follows_redirects,
                preload_content=False,
            )
            content = _content(response, request, size_max)
            return response.status, {name.lower(): value for name, value in response.headers.items()}, content
        except (urllib3.exceptions.HTTPError, UnicodeError) as error:
            reason: Any = getattr(error, "reason", None) or error
            raise CommandError("connection", f"{request} had no answer: {reason}") from error


def _content(response: BaseHTTPResponse, request: Request, size_max: int) -> bytes:
    content = bytearray()
    # Unpacked in pieces, so that a small answer that unpacks to a huge one is noticed early.
    for chunk in response.stream(_CHUNK_SIZE, decode_content=True):
        content += chunk
        if len(content) > size_max:
            response.close()
            raise CommandError("output", f"{request} was answered with more than {size_max} bytes")
    return bytes(content)


def _is_expected(status: int, request: Request) -> bool:
    return status in request.expected if request.expected else 200 <= status <= 299


def _body_of(headers: Mapping[str, str], content: bytes) -> dict[str, Json]:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return {"json": json.loads(content, parse_constant=_refuse)}
        except (ValueError, RecursionError):
            # The server's word was wrong. What it sent is kept as what it is.
            return {"text": content.decode("utf-8", "replace")}
    return {"text": content.decode("utf-8", "replace")}


def _refuse(constant: str) -> Json:
    raise ValueError(f"{constant} is no JSON number")
