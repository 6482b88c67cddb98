"""The API of one process, opened: refused where it could be reached by anybody who should not."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from clew.api.access import AccessKeeper
from clew.api.app import Application
from clew.api.calls import House
from clew.api.limits import Limits, Places, Rates
from clew.api.resources import all_endpoints
from clew.api.security_log import SecurityLog
from clew.api.server import bind, is_loopback, see_certificate, serving
from clew.desk import Desk
from clew.measuring import Measures
from clew.settings import ApiSettings, Settings, SettingsError
from clew.wiring.reading import RecordsReader
from clew.wiring.tokens import list_tokens

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@asynccontextmanager
async def open_api(
    settings: Settings,
    desk: Desk,
    measures: Measures,
    *,
    is_ready: Callable[[], bool],
    ends: Callable[[], bool],
) -> AsyncIterator[str]:
    """Answers calls within the block, at the address that it gives. `ends`: whether streams are to end. Raises
    SettingsError where it would be open to others without TLS, or without a token."""
    api = settings.api
    limits = _limits(api)
    host = api.address[0]
    is_local = is_loopback(host)
    if not is_local:
        _see_it_is_safe(settings)
    see_certificate(api)
    bound = bind(api)
    port = bound.getsockname()[1]
    reader = RecordsReader(settings)
    try:
        security_log = SecurityLog(time.monotonic)
        access = AccessKeeper(
            reader, Rates(limits, time.monotonic), desk.note_token_used, security_log,
            is_open_to_local=is_local and not api.proxies,
        )  # fmt: skip
        waiting = Places(limits.waiting_max, "calls that wait")
        house = House(settings, limits, reader, desk, access, waiting, measures, security_log, is_ready, ends)
        hosts = (*(LOOPBACK_NAMES if is_local else (host,)), *api.hosts)
        application = Application(house, all_endpoints(), hosts=hosts, is_tls=bool(api.certificate))
        async with serving(application, bound, api, limits):
            shown = f"[{host}]" if ":" in host else host
            yield f"{'https' if api.certificate else 'http'}://{shown}:{port}"
            desk.news.tell_all()  # streams end
    finally:
        bound.close()
        reader.close()


def _limits(api: ApiSettings) -> Limits:
    try:
        limits = msgspec.convert(dict(api.limits), Limits, strict=True)
    except msgspec.ValidationError as error:
        raise SettingsError(f"api.limits: {error}") from error
    known = {each.name for each in msgspec.structs.fields(Limits)}
    for name in api.limits:
        if name not in known:
            raise SettingsError(f"api.limits.{name}: there is no such limit; {', '.join(sorted(known))}")
    return limits


def _see_it_is_safe(settings: Settings) -> None:
    """What others can reach needs TLS, its own or that of a proxy, and somebody who may ask."""
    api = settings.api
    if not api.certificate and not api.proxies:
        raise SettingsError(
            f"api.listen: {api.listen}: others reach this address, and would send tokens in the clear; name a "
            "certificate (api.certificate), or the proxy that has one (api.proxies)"
        )
    if not list_tokens(settings):
        raise SettingsError(
            f"api.listen: {api.listen}: others reach this address, and nobody has a token yet: "
            "`clew token make NAME --role admin` makes the first"
        )
