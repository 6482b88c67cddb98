"""clew's settings: `clew.toml`, then the environment, then flags; each overrules the one before."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from clew.core.program.problems import nearest

if TYPE_CHECKING:
    from clew.core.program.program_places import ProgramPlace
    from clew.ports import SecretSource

FILE_NAME = "clew.toml"
FILE_SIZE_MAX = 1024 * 1024
"""Settings are written by hand; a larger file is something else."""

ARCHIVE, REQUESTS, FOREVER = "archive", "requests", "forever"
"""What `retention` says besides statuses, and instead of a time."""

DEFAULT_STORE = "sqlite:///.clew/clew.db"


class SettingsError(Exception):
    """The settings can't be used; the message says where and what would be right."""


USUAL_PORT = 8787

OFF = "off"


class ApiSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`listen`: the address at which `clew up` answers calls, or `off`; `hosts`: by which names it is called, besides
    that address; `certificate`, `certificate_key`: files in PEM for TLS; `proxies`: addresses of those who have TLS in
    its stead, and say who calls; `limits`: see `api.limits.Limits`."""

    listen: str = f"127.0.0.1:{USUAL_PORT}"
    hosts: tuple[str, ...] = ()
    certificate: str = ""
    certificate_key: str = ""
    proxies: tuple[str, ...] = ()
    limits: Mapping[str, int | float] = {}
    is_usual: bool = True
    """Nobody has said where to listen: where that port is taken, another one will do."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


class Settings(msgspec.Struct, frozen=True):
    """`store`: path of the SQLite file, or the URL of a PostgreSQL database. `payloads`: URL of the bucket that takes
    large payloads. `sources`: folder in which the code that stages have fetched is kept, so that it need not be fetched
    again; empty for none."""

    store: str
    logs: str
    payloads: str
    buckets: Mapping[str, str] = {}
    secrets: Mapping[str, SecretSource] = {}
    """Where each `secret:NAME` is found."""
    sources: str = ""
    workers_max: int = 0
    """Attempts that run side by side on this machine; 0 for four a core."""
    programs: tuple[ProgramPlace, ...] = ()
    """Where `clew up` reads programs from."""
    beside: str = ""
    """What the files of this machine begin with that belong to a store which is no file."""
    lease_milliseconds: int = 15_000
    """How long after an orchestrator of a database is gone others take over its runs."""
    jitter_milliseconds: int = 1_000
    """Over how long the programs are spread that are due at the same moment, each by its name."""
    unsafe_store: bool = False
    """The store's runs are driven also where what is recorded might be lost; that is put on record."""
    signing_key: str = ""
    """File of the key that signs the checkpoints of the store's tree; made when there is none. Empty: nothing is
    signed."""
    checkpoints: tuple[str, ...] = ()
    """URLs of buckets in which each signed checkpoint is kept."""
    retention: Mapping[str, int] = {}
    """By status, for how many milliseconds after their end runs are kept; of what is not there for good. A program may
    say otherwise."""
    requests_kept_milliseconds: int = 90 * 86_400_000
    """For how long the keys are known under which runs were asked for; 0: for good."""
    archive: str = ""
    """URL of the bucket to which runs go before they are removed; empty: they leave for good."""
    api: ApiSettings = ApiSettings()


_KEYS = (
    "store",
    "payloads",
    "logs",
    "workers",
    "programs",
    "jitter",
    "lease",
    "unsafe_store",
    "signing_key",
    "checkpoints",
    "retention",
    "api",
    "buckets",
    "secrets",
)

LEASE_MILLISECONDS_MAX = 600_000
"""Whoever wants his runs to stand still for longer wants no other orchestrator."""

JITTER_MILLISECONDS_MAX = 30_000
"""Half of the minute for which a due time is due."""


def read_settings(
    *,
    folder: str,
    environment: Mapping[str, str],
    file: str | None = None,
    store: str | None = None,
    buckets: Mapping[str, str] | None = None,
    unsafe_store: bool = False,
) -> Settings:
    """The settings in force in a folder. `file` names another file than the folder's `clew.toml`; `store`, `buckets`
    and `unsafe_store` are flags. Raises SettingsError."""
    path = file or environment.get("CLEW_SETTINGS") or os.path.join(folder, FILE_NAME)
    said = _read_file(path, is_named=file is not None or "CLEW_SETTINGS" in environment)
    url = store or environment.get("CLEW_STORE") or said.get("store", DEFAULT_STORE)
    # A store named in the file lies beside the file; one given by flag or environment, where the caller is.
    base = os.path.dirname(os.path.abspath(path)) if not store and "CLEW_STORE" not in environment else folder
    base_of_file = os.path.dirname(os.path.abspath(path))
    store_path = _store_path(url, base)
    local_path = _store_path(DEFAULT_STORE, base) if is_url(store_path) else store_path
    beside = os.path.dirname(local_path)
    named = {
        name: _bucket_url(url, os.path.dirname(os.path.abspath(path)))
        for name, url in said.get("buckets", {}).items()
    }
    given = {name: _bucket_url(url, folder) for name, url in (buckets or {}).items()}
    places = {f"checkpoints[{at}]": url for at, url in enumerate(said.get("checkpoints", ()))}
    kept = said.get("retention", {})
    archive = kept.get(ARCHIVE, "")
    _check_s3_urls(
        {**named, **given, **places, "payloads": said.get("payloads", ""), "retention.archive": archive}
    )
    return Settings(
        store=store_path,
        logs=os.path.join(base, said["logs"]) if "logs" in said else os.path.join(beside, "logs"),
        payloads=_bucket_url(said["payloads"], base) if "payloads" in said else f"file:{beside}/payloads",
        buckets={**named, **given},
        secrets=_secrets(said.get("secrets", {}), path),
        sources=os.path.join(beside, "sources"),
        beside=local_path,
        workers_max=said.get("workers", 0),
        programs=_program_places(said.get("programs", ()), base_of_file, path),
        jitter_milliseconds=_jitter(said.get("jitter"), path),
        lease_milliseconds=_duration(
            "lease",
            said.get("lease"),
            path,
            Settings("", "", "").lease_milliseconds,
            1_000,
            LEASE_MILLISECONDS_MAX,
        ),
        signing_key=os.path.join(base_of_file, said["signing_key"])
        if "signing_key" in said
        else f"{local_path}.signing-key",
        checkpoints=tuple(_bucket_url(url, base_of_file) for url in said.get("checkpoints", ())),
        retention=_retention(kept, path),
        requests_kept_milliseconds=_requests_kept(kept.get(REQUESTS), path),
        archive=_bucket_url(archive, base_of_file),
        api=_api(said.get("api", {}), environment, base_of_file, path),
        unsafe_store=unsafe_store
        or _is_said(environment, "CLEW_UNSAFE_STORE", said.get("unsafe_store", False)),
    )


def is_url(store: str) -> bool:
    """Whether that store is a database, and no file."""
    return "://" in store


def _read_file(path: str, *, is_named: bool) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            content = file.read(FILE_SIZE_MAX + 1)
    except FileNotFoundError:
        if is_named:
            raise SettingsError(f"{path}: there is no such settings file") from None
        return {}
    except OSError as error:
        raise SettingsError(f"{path}: can't be read: {error.strerror}") from error
    if len(content) > FILE_SIZE_MAX:
        raise SettingsError(f"{path}: larger than {FILE_SIZE_MAX} bytes")
    import tomllib  # most folders have no settings file

    try:
        said = tomllib.loads(content.decode("utf-8"))
    except ValueError as error:
        raise SettingsError(f"{path}: {error}") from error
    for key in said:
        if key not in _KEYS:
            raise SettingsError(
                f"{path}: {key}: there is no such setting; {nearest(key, _KEYS) or ', '.join(_KEYS)}"
            )
    _check_types(said, path)
    return said


def _check_types(said: Mapping[str, Any], path: str) -> None:
    wanted = {
        "store": str, "payloads": str, "logs": str, "workers": int, "programs": list, "jitter": str, "lease": str,
        "unsafe_store": bool, "signing_key": str, "checkpoints": list, "retention": dict, "api": dict, "buckets": dict,
        "secrets": dict,
    }  # fmt: skip
    for key, kind in wanted.items():
        if key in said and type(said[key]) is not kind:  # true is no whole number
            what = {
                str: "a text",
                int: "a whole number",
                dict: "a table",
                list: "a list",
                bool: "true or false",
            }[kind]
            raise SettingsError(f"{path}: {key}: must be {what}")
    for url in said.get("checkpoints", ()):
        if not isinstance(url, str) or ":" not in url:
            raise SettingsError(f'{path}: checkpoints: must be URLs of buckets, such as ["file:checkpoints"]')
    _check_retention(said.get("retention", {}), path)
    for name, url in said.get("buckets", {}).items():
        if not isinstance(url, str):
            raise SettingsError(f'{path}: buckets.{name}: must be a URL, such as "file:data"')


def _check_retention(said: Mapping[str, Any], path: str) -> None:
    if not said:
        return
    from clew.core.program.model import SETTLED_STATUSES  # most settings say nothing of it

    known = (*SETTLED_STATUSES, REQUESTS, ARCHIVE)
    for name, value in said.items():
        if name not in known:
            hint = nearest(name, known) or ", ".join(known)
            raise SettingsError(f"{path}: retention.{name}: there is no such status; {hint}")
        if not isinstance(value, str) or (name == ARCHIVE and ":" not in value):
            what = 'a URL, such as "s3://archive/clew/"' if name == ARCHIVE else 'a text, such as "90 days"'
            raise SettingsError(f"{path}: retention.{name}: must be {what}")


def _is_said(environment: Mapping[str, str], variable: str, otherwise: bool) -> bool:
    """What a variable of the environment says of something that is so or not; where it says nothing, what the file
    does."""
    text = environment.get(variable, "")
    if text not in ("", "0", "1"):
        raise SettingsError(f"{variable}={text}: must be 1 or 0")
    return text == "1" if text else otherwise


def _program_places(said: Sequence[Any], folder: str, path: str) -> tuple[ProgramPlace, ...]:
    if not said:
        return ()
    from clew.core.program.program_places import (  # of all verbs `clew up` alone reads them
        PlaceMistake,
        read_places,
    )

    try:
        return read_places(said, os.path.abspath(folder))
    except PlaceMistake as mistake:
        raise SettingsError(f"{path}: programs{mistake.where}: {mistake}") from None


def _jitter(said: str | None, path: str) -> int:
    usual = Settings("", "", "").jitter_milliseconds
    return _duration("jitter", said, path, usual, 0, JITTER_MILLISECONDS_MAX)


def _duration(key: str, said: str | None, path: str, usual: int, least: int, most: int) -> int:
    """Milliseconds."""
    if said is None:
        return usual
    from clew.core.program.durations import read_duration, written_duration

    try:
        found = read_duration(said)
    except ValueError as error:
        raise SettingsError(f"{path}: {key}: {error}") from error
    if not least <= found <= most:
        least_said, most_said = written_duration(least), written_duration(most)
        raise SettingsError(f"{path}: {key}: must be {least_said} to {most_said}")
    return found


def _retention(said: Mapping[str, str], path: str) -> dict[str, int]:
    """Milliseconds by status."""
    if not said:
        return {}
    from clew.core.program.durations import DURATION_MILLISECONDS_MAX

    return {
        status: _duration(f"retention.{status}", kept, path, 0, 1, DURATION_MILLISECONDS_MAX)
        for status, kept in said.items()
        if status not in (ARCHIVE, REQUESTS) and kept != FOREVER
    }


def _api(said: Mapping[str, Any], environment: Mapping[str, str], folder: str, path: str) -> ApiSettings:
    listen = environment.get("CLEW_API_LISTEN") or said.get("listen")
    if not said and listen is None:
        return ApiSettings()
    if "is_usual" in said:
        raise SettingsError(f"{path}: api.is_usual: there is no such setting")
    given = {**said, "is_usual": listen is None}
    if listen is not None:
        given["listen"] = listen
    for name in ("certificate", "certificate_key"):
        if isinstance(said.get(name), str):
            given[name] = os.path.join(folder, said[name])
    try:
        api = msgspec.convert(given, ApiSettings)
    except msgspec.ValidationError as error:
        known = ", ".join(each for each in ApiSettings.__struct_fields__ if each != "is_usual")
        raise SettingsError(f"{path}: api: {error}; it has {known}") from error
    host, colon, port = api.listen.rpartition(":")
    if api.listen != OFF and not (colon and host and port.isdecimal() and int(port) < 65_536):
        raise SettingsError(
            f"{path}: api.listen: {api.listen}: must be an address and a port, such as "
            f'"127.0.0.1:{USUAL_PORT}", or "off"'
        )
    return api


def _requests_kept(said: str | None, path: str) -> int:
    usual = Settings("", "", "").requests_kept_milliseconds
    if said is None:
        return usual  # most settings say nothing of it
    if said == FOREVER:
        return 0
    from clew.core.program.durations import DURATION_MILLISECONDS_MAX

    return _duration(f"retention.{REQUESTS}", said, path, usual, 1, DURATION_MILLISECONDS_MAX)


def _store_path(url: str, folder: str) -> str:
    if url.startswith(("postgresql://", "postgres://")):
        return url
    path = url.removeprefix("sqlite:///") if url.startswith("sqlite:///") else ""
    if not path:
        raise SettingsError(
            f"{url}: not a store; write sqlite:///PATH (three slashes; four for an absolute path), or "
            f"postgresql://USER@HOST/DATABASE"
        )
    return os.path.join(os.path.abspath(folder), path)


def _bucket_url(url: str, folder: str) -> str:
    """A relative `file:` URL, made absolute."""
    path = url.removeprefix("file:")
    if path != url and not path.startswith("/"):
        return f"file:{os.path.join(os.path.abspath(folder), path)}"
    return url


def _check_s3_urls(urls: Mapping[str, str]) -> None:
    """Before anything is kept of them: a run keeps its buckets' URLs, which may hold no credentials."""
    for name, url in urls.items():
        if url.startswith("s3:"):
            from clew.core.planning.s3_urls import place_of  # most settings have none

            try:
                place_of(url)
            except ValueError as error:
                raise SettingsError(f"the bucket {name}: {error}") from error


_SECRET_KEYS = {
    "environment": (),
    "file": (),
    "command": ("timeout",),
    "plugin": ("params", "timeout"),
}
"""Where a secret may be, and what else may be said of it then."""

SECRET_MILLISECONDS_MAX = 300_000
"""Every attempt that needs it waits for it; who takes longer is waiting for a person."""


def _secrets(said: Mapping[str, Any], path: str) -> dict[str, SecretSource]:
    return {name: _secret(f"secrets.{name}", source, path) for name, source in said.items()}


def _secret(key: str, said: Any, path: str) -> SecretSource:
    kinds = [kind for kind in _SECRET_KEYS if isinstance(said, dict) and kind in said]
    if len(kinds) != 1:
        raise SettingsError(
            f'{path}: {key}: must be {{environment = "VARIABLE"}}, {{file = "/path"}}, '
            f'{{command = ["program", "argument"]}}, or {{plugin = "module:function"}}'
        )
    kind = kinds[0]
    for name in said:
        if name not in (kind, *_SECRET_KEYS[kind]):
            also = " and ".join(_SECRET_KEYS[kind]) or "nothing"
            raise SettingsError(
                f"{path}: {key}.{name}: there is no such setting; beside `{kind}` there may be {also}"
            )
    if kind == "command":
        _check_command(said[kind], f"{path}: {key}.command")
    elif not isinstance(said[kind], str) or not said[kind]:
        raise SettingsError(f"{path}: {key}.{kind}: must be a text")
    params = said.get("params", {})
    if not isinstance(params, dict):
        raise SettingsError(f'{path}: {key}.params: must be a table, such as {{path = "warehouse"}}')
    from clew.ports import SecretSource  # most settings have none

    if kind in ("environment", "file"):
        return SecretSource(kind, said[kind])
    first, *others = said[kind] if kind == "command" else [said[kind]]
    usual = SecretSource(kind, first).timeout_milliseconds
    timeout = _duration(f"{key}.timeout", said.get("timeout"), path, usual, 1, SECRET_MILLISECONDS_MAX)
    folder = os.path.dirname(os.path.abspath(path))
    return SecretSource(kind, first, tuple(others), _plain(params), folder, timeout)


def _check_command(said: Any, place: str) -> None:
    if (
        not isinstance(said, list)
        or not all(isinstance(word, str) for word in said)
        or not said
        or not said[0]
    ):
        raise SettingsError(
            f'{place}: must be the program and its arguments, such as ["pass", "show", "warehouse"]; no shell reads it'
        )
    if any("\0" in word for word in said):
        raise SettingsError(f"{place}: no program can be given a zero character")


def _plain(value: Any) -> Any:
    """With the dates and times of TOML as texts, for which JSON has no word."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float)) else str(value)
