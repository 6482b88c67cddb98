"""What a program asks of a machine or of an address: sizes, counts and places as people write them, checked.

Conditions and dependencies of these names take the same params. What still holds a reference is left alone: it is
checked again, by the same rules, once it has been filled in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from clew.core.program.durations import read_duration
from clew.core.program.model import MINUTE, Json
from clew.core.program.problems import Path
from clew.core.program.shapes import said

RESOURCE_AVAILABLE = "resource_available"
INFRASTRUCTURE = "infrastructure"

ANSWER_MILLISECONDS_MAX = MINUTE
"""How long an address may be waited for in one look; it is looked at again later, and others wait meanwhile."""

_UNITS = {"B": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_SIZE = r"(?ai)(\d{1,15}(?:\.\d{1,9})?)\s*(?:B|([KMGTP])(i?)B)"

Problems = Iterator[tuple[Path, str, str]]


def read_size(value: object) -> int:
    """The bytes of a size such as `500 MB` or `4 GiB`; a whole number is one already. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = re.fullmatch(_SIZE, value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{said(value)} is no size; write it as '500 MB' or '4 GiB'")
    number, unit, is_binary = match[1], (match[2] or "B").upper(), match[3]
    return int(float(number) * (1024 if is_binary else 1000) ** _UNITS[unit])


def demand_problems(name: str, params: Mapping[str, Json]) -> Problems:
    """What is wrong with the values of the params: the path within them, what, and a hint; nothing for names that
    are not of this page."""
    check = _CHECKS.get(name)
    if check is not None:
        yield from check(params)


def _resource_problems(params: Mapping[str, Json]) -> Problems:
    if not params.keys() & {"cores", "memory", "disk"}:
        yield (), "nothing is asked for", "give one of cores, memory and disk"
    cores = params.get("cores", 1)
    is_count = isinstance(cores, (int, float)) and not isinstance(cores, bool) and cores > 0
    if not is_count and not _is_open(cores):
        yield ("cores",), f"{said(cores)} is no number of cores", "write it as 2 or 0.5"
    for name in ("memory", "disk"):
        yield from _read(name, params, read_size)
    yield from _text("folder", params)


def _infrastructure_problems(params: Mapping[str, Json]) -> Problems:
    has_url, has_host = "url" in params, "host" in params
    if has_url == has_host:
        what = "both url and host are given" if has_url else "there is no address"
        yield (), what, "give url, or host and port"
    if ("port" in params) != has_host:
        yield (), "host and port go together", "give both, or a url"
    yield from _read("url", params, _read_url)
    yield from _text("host", params)
    port = params.get("port", 1)
    is_port = isinstance(port, int) and not isinstance(port, bool) and 1 <= port <= 65_535
    if not is_port and not _is_open(port):
        yield ("port",), f"{said(port)} is no port", "write 1 to 65535"
    yield from _read("timeout", params, _read_timeout)


def _read(name: str, params: Mapping[str, Json], read: Callable[[Any], object]) -> Problems:
    value = params.get(name)
    if name not in params or _is_open(value):
        return
    try:
        read(value)
    except ValueError as error:
        what, _, hint = str(error).partition("; ")
        yield (name,), what, hint


def _text(name: str, params: Mapping[str, Json]) -> Problems:
    value = params.get(name, "text")
    if not isinstance(value, str) or not value or value.startswith("secret:"):
        yield (name,), f"this is a text, not {said(value)}", ""


def _read_url(value: object) -> None:
    try:
        from urllib.parse import urlsplit  # of use where an address is waited for

        parts = urlsplit(value) if isinstance(value, str) else None
        is_http = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_http = False
    if not is_http:
        raise ValueError(f"{said(value)} is no address; it begins with http:// or https://")


def _read_timeout(value: object) -> None:
    if not 1 <= read_duration(value) <= ANSWER_MILLISECONDS_MAX:
        raise ValueError(f"{said(value)} is out of bounds; write 1 ms to 1 minute")


def _is_open(value: Json) -> bool:
    """Whether only a run can know the value."""
    return isinstance(value, str) and "{" in value


_CHECKS: Mapping[str, Callable[[Mapping[str, Json]], Problems]] = {
    RESOURCE_AVAILABLE: _resource_problems,
    INFRASTRUCTURE: _infrastructure_problems,
}
