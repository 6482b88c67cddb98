"""`infrastructure`: something answers at an address."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from clew.conditions.interface import ConditionContext, checked, finding
from clew.core.program.demands import INFRASTRUCTURE
from clew.core.program.durations import read_duration
from clew.ports import Finding, Json

TIMEOUT_DEFAULT = "5 seconds"
"""What answers at all does so by then; what does not is looked at again."""

Lead = Callable[[str], str]
"""From an address to the one that is gone to: itself, or in a rehearsal that of what stands in for it."""


def infrastructure(context: ConditionContext, params: Mapping[str, Json]) -> Finding:
    return look_at_infrastructure(params, context.lead)


def look_at_infrastructure(params: Mapping[str, Json], lead: Lead) -> Finding:
    """See whether anything answers. That nothing does, or only that it can't (5xx), is no error: it is not there yet.
    Raises ParamsError."""
    checked(INFRASTRUCTURE, params)
    seconds = read_duration(params.get("timeout", TIMEOUT_DEFAULT)) / 1000
    address = address_of(params)
    compared: dict[str, Json] = {"address": address}
    trouble = _ask(lead(address), seconds, compared)
    return finding(INFRASTRUCTURE, holds=not trouble, message=f"{address}: {trouble}", compared=compared)


def address_of(params: Mapping[str, Json]) -> str:
    """The address as one text, `tcp://HOST:PORT` where no url is given."""
    if "url" in params:
        return str(params["url"])
    host = str(params["host"])
    return f"tcp://[{host}]:{params['port']}" if ":" in host else f"tcp://{host}:{params['port']}"


def _ask(address: str, seconds: float, compared: dict[str, Json]) -> str:
    """What is wrong; empty if something answers."""
    if address.startswith("tcp://"):
        parts = urlsplit(address)
        try:
            socket.create_connection((parts.hostname, parts.port), seconds).close()
        except OSError as error:
            return f"nothing answers ({error.strerror or error})"
        return ""
    import urllib3  # 60 ms, which only those who need it should pay

    # An answer is all that is wanted: not what a redirect leads to, and not the document.
    timeout = urllib3.Timeout(total=seconds)
    with urllib3.PoolManager(retries=False, timeout=timeout) as pool:
        try:
            answer = pool.request("GET", address, redirect=False, preload_content=False)
        except urllib3.exceptions.HTTPError as error:
            return f"nothing answers ({error})"
        compared["status"] = answer.status
        answer.close()
    return f"it was answered with {compared['status']}" if compared["status"] >= 500 else ""
